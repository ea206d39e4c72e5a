"""Subgroups, reliability, decision curves."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from by_scikit_learn import calibration_slope
from made_predictions import make_predictions
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from cxrlib.evaluation.calibration import bins_of, logit
from cxrlib.evaluation.probabilities import decision_curves, net_benefit, reliability_table
from cxrlib.evaluation.scores import collect_scores
from cxrlib.evaluation.subgroups import KIND, levels, subgroup_table


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(patients=60)


@pytest.fixture(scope="module")
def facts(predictions):
    """Views by patient; two patients are over 80, three of unknown sex; all from one source."""
    films = predictions.query("role == 'hospital'").drop_duplicates("image_id")
    patient = films["patient_id"].str.removeprefix("hospitalp").astype(int)
    return pd.DataFrame(
        {
            "image_id": films["image_id"],
            "source": "one place",
            "finding": np.where(films["label"] == "positive", "COVID-19", "none"),
            "view": np.where(patient < 30, "AP", "PA"),
            "sex": np.where(patient < 3, "", np.where(patient % 3 == 0, "F", "M")),
            "age": np.select([patient < 2, patient < 30], [85.0, 50.0], 39.9),
        }
    )


def test_levels_are_text_with_bands_of_age_and_no_subgroup_of_one_level(facts):
    table = levels(facts)
    assert table.columns.tolist() == ["view", "sex", "age", "finding"]
    assert set(table["age"]) == {"80 and over", "40 to 59", "under 40"}
    assert set(table["sex"]) == {"not known", "F", "M"}
    bands = levels(pd.DataFrame({"image_id": list("abcdef"), "age": [0, 40, 59.9, 60, 80, np.nan]}))["age"]
    assert bands.tolist() == ["under 40", "40 to 59", "40 to 59", "60 to 79", "80 and over", "not known"]


def test_of_private_films_findings_are_told_by_their_kind_alone(predictions, facts):
    known = predictions.drop_duplicates("image_id").set_index("image_id")[["patient_id", "label"]]
    more = facts.assign(**{name: facts["image_id"].map(known[name]) for name in known}, **{KIND: facts["finding"]})
    assert {"finding", KIND} <= set(levels(more))
    shown = levels(more, private=True)
    assert "finding" not in shown
    assert set(shown[KIND]) == {"COVID-19", "none"}


def test_parts_of_the_films_have_intervals_over_runs_too(predictions, facts):
    """One of two runs calls nearly everything positive: the interval of a part has to know of it."""
    moved = predictions["p_positive"] + 0.5 * (predictions["seed"] == 1)
    scores = collect_scores(predictions.assign(p_positive=moved.clip(0, 1)), "hospital")
    found = subgroup_table(scores, facts, seed=1, resamples=100).query("metric == 'recall_negative'")
    both = found.query("subgroup == 'view' and arm == 'baseline'")
    assert len(both) == 2
    assert (both["high"] - both["low"] > 0.5).all()
    alike = subgroup_table(collect_scores(predictions, "hospital"), facts, seed=1, resamples=100)
    alike = alike.query("metric == 'recall_negative' and subgroup == 'view' and arm == 'baseline'")
    assert (alike["high"] - alike["low"] < 0.5).all()


def test_of_private_films_no_typed_word_is_printed_and_rare_levels_are_joined(predictions, facts):
    patients = facts["image_id"].map(predictions.drop_duplicates("image_id").set_index("image_id")["patient_id"])
    labels = facts["image_id"].map(predictions.drop_duplicates("image_id").set_index("image_id")["label"])
    typed = np.where(np.arange(len(facts)) % 2, "UKU ward A", "UKU ward B").astype(object)
    typed[0] = "Station 7 Prof. Zwiebel"
    private = facts.assign(source=typed, patient_id=patients, label=labels)
    shown = levels(private, private=True)
    assert set(shown["source"]) <= {"source 1", "source 2 or source 3", "source 1 or source 3", "source 2"}
    assert not any("Zwiebel" in str(level) or "COVID" in str(level) for level in shown.to_numpy().ravel())
    table = subgroup_table(collect_scores(predictions, "hospital"), private, seed=1, resamples=50, private=True)
    assert (table.groupby(["subgroup", "level"])["patients"].min() >= 5).all()
    assert not table["suppressed"].any()
    assert table["positives"].notna().all()


def test_a_level_has_the_figures_of_its_films(predictions, facts):
    scores = collect_scores(predictions, "hospital")
    table = subgroup_table(scores, facts, seed=1, resamples=200)
    row = table.query("arm == 'synthetic' and subgroup == 'view' and level == 'AP'").set_index("metric")
    films = set(facts.loc[facts["view"] == "AP", "image_id"])
    answers = predictions.query("role == 'hospital' and arm == 'synthetic'")
    answers = answers[answers["image_id"].isin(films)]
    expected = {"recall_positive": [], "recall_negative": [], "roc_auc": []}
    for _, seed in answers.groupby("seed"):
        truth = seed["label"] == "positive"
        expected["recall_positive"].append(reference.recall_score(truth, seed["p_positive"] >= 0.5))
        expected["recall_negative"].append(reference.recall_score(truth, seed["p_positive"] >= 0.5, pos_label=0))
        expected["roc_auc"].append(reference.roc_auc_score(truth, seed["p_positive"]))
    for metric, values in expected.items():
        assert row.loc[metric, "estimate"] == pytest.approx(np.mean(values), abs=1e-12)
        assert row.loc[metric, "low"] <= row.loc[metric, "estimate"] <= row.loc[metric, "high"]
    assert row["films"].tolist() == [60] * 3
    assert row["patients"].tolist() == [30] * 3
    assert row["positives"].tolist() == [30] * 3


def test_few_patients_are_not_shown_and_do_not_follow_from_other_rows(predictions, facts):
    table = subgroup_table(collect_scores(predictions, "hospital"), facts, seed=1, resamples=50)
    numbers = ["films", "patients", "positives", "estimate", "low", "high"]
    old = table.query("arm == 'baseline' and subgroup == 'age'").set_index("level")
    assert old.loc["80 and over", "suppressed"].all()
    assert old.loc["80 and over", numbers].isna().all(axis=None)
    assert not old.loc["under 40", "suppressed"].any()
    # One of the two old patients is positive: known sums would tell, so a neighbour's positives are hidden too.
    assert old["positives"].isna().groupby(level=0).all().sum() >= 2
    assert table.query("level == 'not known'")["suppressed"].all()


def test_a_metric_whose_label_a_level_lacks_is_empty(predictions, facts):
    table = subgroup_table(collect_scores(predictions, "hospital"), facts, seed=1, resamples=50)
    row = table.query("arm == 'baseline' and level == 'COVID-19'").set_index("metric")
    assert row["estimate"].isna().to_dict() == {"recall_positive": False, "recall_negative": True, "roc_auc": True}
    assert not row["suppressed"].any()


def test_every_film_is_in_one_bin_and_bins_are_about_equal():
    random = np.random.default_rng(0)
    p = random.random(203)
    bins = bins_of(p)
    assert set(np.bincount(bins)) <= {19, 20, 21, 22}
    assert (np.diff(bins[np.argsort(p)]) >= 0).all()
    assert set(bins_of(np.full(203, 0.3))) == {0}


def test_reliability_is_given_before_and_after_scaling(predictions):
    scores = {"hospital": collect_scores(predictions, "hospital")}
    table = reliability_table(scores, seed=1, resamples=100)
    assert table.groupby(["arm", "calibrated"])["films"].sum().tolist() == pytest.approx([120] * 4)
    means = table.query("arm == 'baseline'").groupby("calibrated")["p_mean"].min()
    assert means[True] >= 0.25 > means[False]
    found = scores["hospital"]["baseline"]
    shares = [found.labels[bins_of(p) == 9].mean() for p in found.p_positive]
    last = table.query("arm == 'baseline' and bin == 9 and not calibrated").iloc[0]
    assert last["positive_share"] == pytest.approx(np.mean(shares))
    assert (table["low"] <= table["positive_share"]).all()
    assert (table["positive_share"] <= table["high"]).all()


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_calibration_slope_finds_the_truth_and_agrees_with_scikit_learn(slope):
    random = np.random.default_rng(1)
    p = random.random(4000)
    labels = (random.random(4000) < 1 / (1 + np.exp(-slope * logit(p) - 0.3))).astype(int)
    found = calibration_slope(labels, p)
    assert found == pytest.approx(slope, abs=0.15)
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(p)[:, None], labels)
    assert found == pytest.approx(fitted.coef_[0, 0], rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "p"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),
        ([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9]),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]),
        ([1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4]),
    ],
    ids=["separated", "the wrong way round", "touching", "all the same", "one label"],
)
def test_a_slope_that_does_not_exist_is_not_a_number(labels, p):
    assert np.isnan(calibration_slope(np.array(labels), np.array(p)))


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_a_certain_answer_that_is_wrong_leaves_a_slope_and_it_is_that_of_statsmodels(wrong):
    """One film answered with certainty, wrongly: its logit lies far out, and Newton's first steps overshoot."""
    random = np.random.default_rng(2)
    labels = random.integers(0, 2, 80)
    p = np.append(1 / (1 + np.exp(-2 * (labels - 0.5) - random.normal(0, 1, 80))), wrong)
    labels = np.append(labels, 1 - int(wrong))
    fitted = sm.GLM(labels, sm.add_constant(logit(p)), family=sm.families.Binomial()).fit(maxiter=200, tol=1e-12)
    assert calibration_slope(labels, p) == pytest.approx(fitted.params[1], rel=1e-5)


def test_net_benefit_of_the_definition_and_of_the_two_rules(predictions):
    labels, p = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.3, 0.6, 0.2, 0.1])
    # At 0.25: two of two found, one false alarm, whose weight is 1/3.
    assert net_benefit(labels, p, np.array([0.25, 0.5])) == pytest.approx([2 / 5 - 1 / 15, 1 / 5 - 1 / 5])
    scores = collect_scores(predictions, "hospital")
    table = decision_curves({"hospital": scores}, seed=1, resamples=100)
    baseline = table[table["arm"] == "baseline"].set_index("threshold")
    means = np.mean([net_benefit(scores["baseline"].labels, p) for p in scores["baseline"].p_calibrated], axis=0)
    assert baseline["net_benefit"].to_numpy() == pytest.approx(means)
    assert (baseline["low"] <= baseline["net_benefit"]).all()
    assert baseline.loc[0.5, "low"] < baseline.loc[0.5, "high"]
    rules = table[table["arm"].isin(["treat-all", "treat-none"])].set_index(["arm", "threshold"])["net_benefit"]
    assert (rules["treat-none"] == 0).all()
    assert rules["treat-all", 0.2] == pytest.approx(0.5 - 0.5 * 0.25)
    assert rules["treat-all", 0.5] == pytest.approx(0)
    assert set(table["arm"]) == {"baseline", "synthetic", "treat-all", "treat-none"}
