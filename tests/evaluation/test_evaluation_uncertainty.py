"""Intervals: against scipy, scikit-learn and statsmodels, resample by resample."""

import numpy as np
import pytest
import statsmodels.api as sm
from by_scikit_learn import probability_metrics, threshold_metrics
from made_predictions import make_predictions
from scipy import stats
from sklearn import metrics as reference
from statsmodels.stats.proportion import proportion_confint

from cxrlib.evaluation.calibration import logit
from cxrlib.evaluation.comparison import table2
from cxrlib.evaluation.metrics import METRICS, THRESHOLD_METRICS
from cxrlib.evaluation.resampled import answer_intervals, draws, quantity, resample_all
from cxrlib.evaluation.scores import collect_scores
from cxrlib.evaluation.uncertainty import percentile_bounds, wilson_interval


def test_each_resample_is_what_scikit_learn_gives_for_its_films():
    """Films of a patient drawn twice are written down twice, and every metric is computed from that list."""
    scores = collect_scores(make_predictions(patients=25, films=3), "hospital")
    found = resample_all(scores, seed=4, resamples=12)["synthetic"]
    answers = scores["synthetic"]
    blocks = np.concatenate(list(draws(25, 12, np.random.default_rng(4))))
    assert (blocks[0] == 1).all()
    for values, times in zip(found.values, blocks[1:13], strict=True):
        assert times.sum() == 25
        rows = np.repeat(np.arange(len(answers.labels)), times[answers.patients].astype(int))
        for seed in (0, 1):
            labels, p = answers.labels[rows], answers.p_positive[seed, rows]
            expected = probability_metrics(labels, p, answers.p_calibrated[seed, rows])
            expected |= threshold_metrics(labels, (p >= 0.5).astype(int))
            assert [values[seed, quantity(name)] for name in METRICS] == pytest.approx(
                [expected[name] for name in METRICS], abs=1e-9, nan_ok=True
            )
            other = threshold_metrics(labels, (p >= 0.4).astype(int))
            assert [values[seed, quantity(name, "validation")] for name in THRESHOLD_METRICS] == pytest.approx(
                [other[name] for name in THRESHOLD_METRICS], abs=1e-12
            )


def test_calibration_slope_is_that_of_statsmodels_resample_by_resample():
    scores = collect_scores(make_predictions(patients=40), "hospital")
    found = resample_all(scores, seed=2, resamples=6)["baseline"]
    answers = scores["baseline"]
    blocks = np.concatenate(list(draws(40, 6, np.random.default_rng(2))))
    x = sm.add_constant(logit(answers.p_positive[1]))
    slopes = [
        sm.GLM(answers.labels, x, family=sm.families.Binomial(), freq_weights=times[answers.patients]).fit().params[1]
        for times in blocks[:7]
    ]
    assert found.found[1, quantity("calibration_slope")] == pytest.approx(slopes[0], rel=1e-6)
    assert found.values[:, 1, quantity("calibration_slope")] == pytest.approx(slopes[1:], rel=1e-6)


def test_interval_of_a_proportion_agrees_with_scipy():
    """One film a patient and one seed: the bootstrap of accuracy is the bootstrap of a mean."""
    predictions = make_predictions(arms=("baseline",), seeds=1, patients=150, films=1)
    scores = collect_scores(predictions, "hospital")
    found = resample_all(scores, seed=5, resamples=4000)["baseline"]
    low, high = percentile_bounds(found.values.mean(axis=1))[quantity("accuracy")]
    right = (scores["baseline"].predicted("fixed")[0] == scores["baseline"].labels).astype(float)
    expected = stats.bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=9).confidence_interval
    assert found.estimates[quantity("accuracy")] == pytest.approx(right.mean(), abs=1e-12)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_intervals_of_bare_answers_are_those_of_an_arm_with_them():
    scores = collect_scores(make_predictions(arms=("baseline",), seeds=1), "hospital")
    arm = resample_all(scores, seed=5, resamples=300)["baseline"]
    answers = scores["baseline"]
    found = answer_intervals(
        answers.labels, answers.predicted("fixed")[0], answers.patient_ids[answers.patients], seed=5, resamples=300
    )
    bounds = arm.over_patients()
    for name, interval in found.items():
        assert interval.estimate == pytest.approx(arm.estimates[quantity(name)], abs=1e-12)
        assert (interval.low, interval.high) == pytest.approx(bounds[quantity(name)], abs=1e-12)


@pytest.mark.parametrize(("patients", "groups"), [(7, 7), (300, 300), (1000, 400)])
def test_every_patient_is_left_out_once(patients, groups):
    blocks = list(draws(patients, 5, np.random.default_rng(0)))
    assert max(len(block) for block in blocks) <= 250
    rows = np.concatenate(blocks)
    assert (rows[0] == 1).all()
    assert (rows[1:6].sum(axis=1) == patients).all()
    assert len(rows) == 6 + groups
    assert ((rows[6:] == 0).sum(axis=0) == 1).all()


def test_where_every_answer_is_right_a_share_has_wilsons_interval_for_so_many_patients():
    predictions = make_predictions(arms=("baseline",), patients=30)
    perfect = predictions.assign(p_positive=np.where(predictions["label"] == "positive", 0.9, 0.1))
    resampled = {"hospital": resample_all(collect_scores(perfect, "hospital"), seed=1, resamples=100)}
    row = table2(resampled).query("operating_point == 'fixed'").iloc[0]
    for metric, patients in (("recall_positive", 15), ("recall_negative", 15), ("accuracy", 30)):
        expected = proportion_confint(patients, patients, method="wilson")
        assert (row[f"{metric}_low"], row[f"{metric}_high"]) == pytest.approx(expected, abs=1e-9)
        assert row[metric] == 1


def test_same_seed_same_resamples_and_they_don_t_depend_on_the_other_arms():
    scores = collect_scores(make_predictions(), "hospital")
    both, again = (resample_all(scores, seed=1, resamples=60) for _ in range(2))
    alone = resample_all({"baseline": scores["baseline"]}, seed=1, resamples=60)
    np.testing.assert_array_equal(both["synthetic"].values, again["synthetic"].values)
    np.testing.assert_array_equal(both["baseline"].values, alone["baseline"].values)


def test_seeds_that_err_alike_do_not_narrow_the_interval():
    one = make_predictions(arms=("baseline",), seeds=1)
    five = np.concatenate([[seed] * len(one) for seed in range(5)])
    repeated = one.iloc[np.tile(np.arange(len(one)), 5)].assign(seed=five)
    alone, together = (
        percentile_bounds(
            resample_all(collect_scores(table, "hospital"), seed=1, resamples=200)["baseline"].values.mean(axis=1)
        )
        for table in (one, repeated)
    )
    np.testing.assert_allclose(alone, together, atol=1e-12)


def test_resamples_without_one_of_the_labels_do_not_count_and_many_of_them_leave_no_interval():
    """Three patients of whom one is positive: more than a twentieth of the resamples lack a label."""
    predictions = make_predictions(arms=("baseline",), seeds=1, patients=3)
    found = resample_all(collect_scores(predictions, "hospital"), seed=1, resamples=400)["baseline"]
    lacking = np.isnan(found.values[:, 0, quantity("accuracy")]).mean()
    assert lacking == pytest.approx((2 / 3) ** 3 + (1 / 3) ** 3, abs=0.08)
    assert np.isnan(percentile_bounds(found.values.mean(axis=1))).all()
    few = np.linspace(0, 1, 1000)[:, None]
    few[:30] = np.nan
    assert percentile_bounds(few)[0] == pytest.approx(np.quantile(few[30:], [0.025, 0.975]), abs=1e-3)


def test_bounds_stay_inside_what_is_possible():
    values = np.random.default_rng(0).normal(1, 0.2, (500, 2))
    bounds = percentile_bounds(values, (0, 1))
    assert (bounds[:, 1] == 1).all()
    assert (bounds[:, 0] < 1).all()


def test_wilson_interval_of_no_failure_has_width():
    interval = wilson_interval(20, 20)
    assert interval.high == pytest.approx(1)
    assert 0.8 < interval.low < 0.9


def test_recall_at_precision_needs_a_baseline_that_calls_something_positive():
    predictions = make_predictions()
    silent = predictions.assign(
        p_positive=np.where(predictions["arm"] == "baseline", predictions["p_positive"] / 10, predictions["p_positive"])
    )
    scores = collect_scores(silent, "hospital")
    assert reference.recall_score(scores["baseline"].labels, scores["baseline"].predicted("fixed")[0]) == 0
    found = resample_all(scores, seed=1, resamples=20)
    assert np.isnan(found["synthetic"].estimates[quantity("recall_at_precision")])
