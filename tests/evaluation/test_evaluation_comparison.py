"""Arms beside each other, from a table of predictions."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import make_predictions
from sklearn import metrics as reference

from cxrlib.errors import InputError
from cxrlib.evaluation import comparison
from cxrlib.evaluation.metrics import METRICS
from cxrlib.evaluation.resampled import quantity, resample_all
from cxrlib.evaluation.scores import collect_scores

ROLES = ("validation", "hospital")


def scores_of(predictions):
    return {role: collect_scores(predictions, role) for role in ROLES}


def resamples_of(predictions, resamples=300):
    return {role: resample_all(found, seed=1, resamples=resamples) for role, found in scores_of(predictions).items()}


@pytest.fixture(scope="module")
def resampled():
    return resamples_of(make_predictions())


def test_table_2_is_the_mean_over_seeds_of_scikit_learns_values(resampled):
    predictions = make_predictions()
    table = comparison.table2(resampled).set_index(["role", "arm", "operating_point"])
    for point, threshold in (("fixed", 0.5), ("validation", 0.4)):
        recalls, areas = [], []
        for seed in (0, 1):
            rows = predictions.query(f"role == 'hospital' and arm == 'synthetic' and seed == {seed}")
            recalls.append(reference.recall_score(rows["label"] == "positive", rows["p_positive"] >= threshold))
            areas.append(reference.roc_auc_score(rows["label"] == "positive", rows["p_positive"]))
        row = table.loc[("hospital", "synthetic", point)]
        assert row["recall_positive"] == pytest.approx(np.mean(recalls), abs=1e-12)
        assert row["roc_auc"] == pytest.approx(np.mean(areas), abs=1e-12)
        assert row["recall_positive_low"] < row["recall_positive"] < row["recall_positive_high"]
        assert row["seeds"] == 2


def test_table_2_is_the_mean_of_its_seeds(resampled):
    by_seed = comparison.table2_seeds(scores_of(make_predictions()), resampled)
    keys = ["role", "arm", "operating_point"]
    means = by_seed.groupby(keys)[list(METRICS)].mean()
    table = comparison.table2(resampled).set_index(keys)[list(METRICS)]
    pd.testing.assert_frame_equal(table.sort_index(), means, atol=1e-12)
    assert (by_seed[["tp", "fn", "fp", "tn"]].sum(axis=1) == 80).all()


def test_differences_are_those_of_table_2_and_find_a_better_arm():
    resampled = resamples_of(make_predictions(better=0.3, seeds=5))
    keys = ["role", "arm", "operating_point"]
    table = comparison.table2(resampled).set_index(keys)
    found = comparison.contrasts(resampled, [("synthetic", "baseline"), ("absent", "baseline")])
    assert len(found) == 2 * 2 * len(comparison.COMPARED)
    for row in found[found["metric"].isin(METRICS)].itertuples():
        ours, base = (table.loc[(row.role, arm, row.operating_point), row.metric] for arm in ("synthetic", "baseline"))
        assert row.difference == pytest.approx(ours - base, abs=1e-12, nan_ok=row.metric == "calibration_slope")
        # So good an arm separates the labels in many resamples, and then has no slope.
        assert row.low <= row.difference <= row.high or (row.metric == "calibration_slope" and np.isnan(row.low))
    recall = found.query("role == 'hospital' and metric == 'recall_positive' and operating_point == 'fixed'").iloc[0]
    assert recall["low"] > 0


def test_order_of_rows_does_not_matter():
    predictions = make_predictions()
    shuffled = predictions.sample(frac=1, random_state=1)
    first, second = (
        comparison.table2(resamples_of(table, 100)).sort_values(["role", "arm", "operating_point"], ignore_index=True)
        for table in (predictions, shuffled)
    )
    pd.testing.assert_frame_equal(first, second)


def test_shift_is_hospital_minus_validation():
    predictions = make_predictions()
    hospital = predictions["role"] == "hospital"
    predictions.loc[hospital, "p_positive"] = (predictions.loc[hospital, "p_positive"] - 0.2).clip(0, 1)
    resampled = resamples_of(predictions)
    table = comparison.shift(resampled).set_index(["arm", "metric"])
    row = table.loc[("baseline", "recall_positive")]
    assert row["high"] < 0
    values = comparison.table2(resampled).query("operating_point == 'fixed' and arm == 'baseline'").set_index("role")
    expected = values.loc["hospital", "recall_positive"] - values.loc["validation", "recall_positive"]
    assert row["difference"] == pytest.approx(expected, abs=1e-12)


def test_an_arm_that_answers_for_validation_only_has_no_shift_and_no_hospital_rows():
    predictions = make_predictions(arms=("baseline", "source-rule"))
    predictions = predictions.query("role == 'validation' or arm == 'baseline'")
    resampled = resamples_of(predictions, 50)
    assert comparison.shift(resampled)["arm"].unique().tolist() == ["baseline"]
    found = comparison.contrasts(resampled, [("source-rule", "baseline")])
    assert found["role"].unique().tolist() == ["validation"]


def test_intervals_hold_the_chance_of_training():
    """Two seeds far apart: their mean can't be known better than the two allow."""
    predictions = make_predictions(arms=("baseline",), patients=60)
    bad = (predictions["seed"] == 1) & (predictions["label"] == "positive")
    predictions.loc[bad, "p_positive"] = (predictions.loc[bad, "p_positive"] - 0.3).clip(0, 1)
    found = resamples_of(predictions)["hospital"]["baseline"]
    column = quantity("recall_positive")
    alone, both = found.over_patients((0, 1))[column], comparison.level_intervals(found)
    assert both.high[column] - both.low[column] > 1.5 * np.ptp(alone)
    assert 0 <= both.low[column] <= alone[0] < alone[1] <= both.high[column] <= 1
    assert both.from_runs[column] > 0.5


def test_equal_precision_is_the_best_recall_whose_precision_reaches_the_baselines():
    predictions = make_predictions(better=0.1)
    resampled = resamples_of(predictions, 100)
    table = comparison.at_equal_precision(resampled).set_index(["role", "arm"])
    apart = comparison.contrasts(resampled, [("synthetic", "baseline")]).query("metric == 'recall_at_precision'")
    for role in ROLES:
        rows = predictions[predictions["role"] == role]
        seeds = [part for _, part in rows[rows["arm"] == "baseline"].groupby("seed")]
        asked = np.mean([reference.precision_score(_truth(part), part["p_positive"] >= 0.5) for part in seeds])
        for arm in ("baseline", "synthetic"):
            best = []
            for _, part in rows[rows["arm"] == arm].groupby("seed"):
                precision, recall, _ = reference.precision_recall_curve(_truth(part), part["p_positive"])
                best.append(recall[:-1][precision[:-1] >= asked - 1e-12].max(initial=0))
            assert table.loc[(role, arm), "recall"] == pytest.approx(np.mean(best), abs=1e-12)
        ours, base = (table.loc[(role, arm), "recall"] for arm in ("synthetic", "baseline"))
        differences = apart.loc[apart["role"] == role, "difference"]
        assert differences.tolist() == pytest.approx([ours - base] * 2, abs=1e-12)


def test_dose_curve_runs_from_the_baseline_to_all_synthetic_films():
    predictions = make_predictions(arms=("baseline", "synthetic-crossfit", "synthetic-dose25"))
    percents = {"baseline": 0, "synthetic-dose25": 25, "synthetic-crossfit": 100}
    resampled = resamples_of(predictions, 50)
    table2 = comparison.table2(resampled)
    table = comparison.dose(table2, percents)
    rows = table.query("role == 'hospital' and metric == 'roc_auc'")
    assert rows["dose_percent"].tolist() == [0, 25, 100]
    arms = table2.query("role == 'hospital' and operating_point == 'fixed'").set_index("arm")["roc_auc"]
    assert rows["estimate"].tolist() == [arms[arm] for arm in percents]
    seeds = comparison.dose_seeds(comparison.table2_seeds(scores_of(predictions), resampled), percents)
    assert len(seeds) == 2 * 3 * 2 * len(METRICS)


def test_curves_run_from_corner_to_corner():
    points = comparison.curves(scores_of(make_predictions()))
    roc = points.query("role == 'hospital' and arm == 'baseline' and seed == 0 and curve == 'roc'")
    assert roc[["x", "y"]].iloc[0].tolist() == [0, 0]
    assert roc[["x", "y"]].iloc[-1].tolist() == [1, 1]


def test_arms_on_different_films_are_not_compared():
    predictions = make_predictions()
    predictions = predictions[~((predictions["arm"] == "synthetic") & (predictions["image_id"] == "hospital0"))]
    with pytest.raises(InputError, match=r"different films: 1 only in the first, 0 only in the second"):
        collect_scores(predictions, "hospital")


def test_seeds_on_different_films_are_refused():
    predictions = make_predictions()
    predictions = predictions[~((predictions["seed"] == 1) & (predictions["image_id"] == "hospital0"))]
    with pytest.raises(InputError, match=r"seeds 0 and 1 answered for different films \(80 and 79 answers\)"):
        collect_scores(predictions, "hospital")


def test_a_film_answered_twice_is_refused():
    predictions = make_predictions()
    with pytest.raises(InputError, match="1 films are answered twice"):
        collect_scores(pd.concat([predictions, predictions.tail(1)]), "hospital")


@pytest.mark.parametrize("column", ["label", "patient_id"])
def test_labels_and_patients_must_agree_between_arms(column):
    predictions = make_predictions()
    row = (predictions["arm"] == "synthetic") & (predictions["image_id"] == "hospital0")
    predictions.loc[row, column] = "positive"
    with pytest.raises(InputError, match="1 films have another label or patient"):
        collect_scores(predictions, "hospital")


def test_one_label_alone_is_refused():
    with pytest.raises(InputError, match="hospital predictions of `baseline`: found labels"):
        collect_scores(make_predictions().query("label == 'negative'"), "hospital")


@pytest.mark.parametrize("column", ["p_positive", "p_calibrated", "threshold_validation"])
def test_what_is_not_a_number_is_refused(column):
    predictions = make_predictions()
    predictions.loc[predictions.index[-1], column] = np.nan
    with pytest.raises(InputError, match=f"hospital predictions: {column}: found nan"):
        collect_scores(predictions, "hospital")


def test_missing_columns_are_named():
    with pytest.raises(InputError, match=r"expected also \['p_calibrated'\]"):
        collect_scores(make_predictions().drop(columns="p_calibrated"), "hospital")


def _truth(rows):
    return rows["label"] == "positive"
