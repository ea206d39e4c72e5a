"""Arms beside each other, from a table of predictions."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from cxrlib.errors import InputError
from cxrlib.evaluation import comparison
from cxrlib.evaluation.metrics import METRICS


def make_predictions(arms=("baseline", "synthetic"), seeds=2, patients=40, better=0.0, random_seed=0):
    """Two films a patient; `better` is added to what the arms after the first say of positives."""
    random = np.random.default_rng(random_seed)
    rows = []
    for role in ("validation", "hospital"):
        difficulty = random.normal(0, 0.15, patients)
        for arm in arms:
            for seed in range(seeds):
                for film in range(2 * patients):
                    patient = film // 2
                    positive = patient % 2
                    score = 0.4 + 0.25 * positive + difficulty[patient] + random.normal(0, 0.1)
                    score += better * positive * (arm != arms[0])
                    label = "positive" if positive else "negative"
                    rows.append((arm, seed, f"{role}{film}", f"{role}p{patient}", role, label, np.clip(score, 0, 1)))
    columns = ["arm", "seed", "image_id", "patient_id", "role", "label", "p_positive"]
    return pd.DataFrame(rows, columns=columns)


def test_table_2_is_the_mean_over_seeds_of_scikit_learns_values():
    predictions = make_predictions()
    table = comparison.metrics_by_arm(predictions, bootstrap_seed=1).set_index(["role", "arm"])
    values = []
    for seed in (0, 1):
        rows = predictions.query(f"role == 'hospital' and arm == 'synthetic' and seed == {seed}")
        values.append(reference.recall_score(rows["label"] == "positive", rows["p_positive"] >= 0.5))
    row = table.loc[("hospital", "synthetic")]
    assert row["recall_positive"] == pytest.approx(np.mean(values), abs=1e-12)
    assert row["recall_positive_sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert row["recall_positive_low"] < row["recall_positive"] < row["recall_positive_high"]
    assert row["seeds"] == 2


def test_by_seed_counts_and_ranking():
    predictions = make_predictions()
    table = comparison.metrics_by_seed(predictions)
    assert len(table) == 8
    assert (table[["true_positive", "false_negative", "false_positive", "true_negative"]].sum(axis=1) == 80).all()
    row = table.iloc[0]
    rows = predictions.query("role == @row.role and arm == @row.arm and seed == @row.seed")
    assert row["roc_auc"] == pytest.approx(reference.roc_auc_score(rows["label"] == "positive", rows["p_positive"]))


def test_differences_are_those_of_table_2_and_find_a_better_arm():
    predictions = make_predictions(better=0.3)
    table = comparison.metrics_by_arm(predictions, bootstrap_seed=1).set_index(["role", "arm"])
    found = comparison.contrasts(predictions, [("synthetic", "baseline")], bootstrap_seed=1)
    assert len(found) == 2 * len(METRICS)
    for row in found.itertuples():
        expected = table.loc[(row.role, "synthetic"), row.metric] - table.loc[(row.role, "baseline"), row.metric]
        assert row.difference == pytest.approx(expected, abs=1e-12)
        assert row.low <= row.difference <= row.high
    recall = found.query("role == 'hospital' and metric == 'recall_positive'").iloc[0]
    assert recall["low"] > 0


def test_order_of_rows_does_not_matter():
    predictions = make_predictions()
    shuffled = predictions.sample(frac=1, random_state=1)
    first, second = (
        comparison.metrics_by_arm(table, bootstrap_seed=1).sort_values(["role", "arm"], ignore_index=True)
        for table in (predictions, shuffled)
    )
    pd.testing.assert_frame_equal(first, second)


def test_shift_is_hospital_minus_validation():
    predictions = make_predictions()
    hospital = predictions["role"] == "hospital"
    predictions.loc[hospital, "p_positive"] = (predictions.loc[hospital, "p_positive"] - 0.2).clip(0, 1)
    table = comparison.shift(predictions, bootstrap_seed=1).set_index(["arm", "metric"])
    row = table.loc[("baseline", "recall_positive")]
    assert row["high"] < 0


def test_arms_on_different_films_are_not_compared():
    predictions = make_predictions()
    predictions = predictions[~((predictions["arm"] == "synthetic") & (predictions["image_id"] == "hospital0"))]
    with pytest.raises(InputError, match=r"different films: 0 only in the first, 1 only in the second"):
        comparison.contrasts(predictions, [("synthetic", "baseline")], bootstrap_seed=1)


def test_one_label_alone_is_refused():
    predictions = make_predictions().query("label == 'negative'")
    with pytest.raises(InputError, match="expected both"):
        comparison.metrics_by_seed(predictions)


def test_curves_run_from_corner_to_corner():
    points = comparison.curves(make_predictions())
    roc = points.query("role == 'hospital' and arm == 'baseline' and seed == 0 and curve == 'roc'")
    assert roc[["x", "y"]].iloc[0].tolist() == [0, 0]
    assert roc[["x", "y"]].iloc[-1].tolist() == [1, 1]
    assert set(points["curve"]) == {"roc", "precision_recall"}
