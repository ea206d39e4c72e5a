"""Metrics against scikit-learn, and the paper's tables from its counts."""

import numpy as np
import pytest
from sklearn import metrics as reference

from cxrlib.errors import InputError
from cxrlib.evaluation.metrics import (
    COUNTS,
    METRICS,
    check_both_labels,
    confusion_counts,
    metrics_from_counts,
    precision_recall_points,
    predicted_labels,
    ranking_metrics,
    roc_points,
    threshold_metrics,
)
from cxrlib.evaluation.paper import paper_table1, paper_table2


@pytest.fixture
def answers():
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 200)
    return labels, np.clip(random.normal(0.4 + 0.2 * labels, 0.2), 0, 1)


def test_counts_and_metrics_agree_with_scikit_learn(answers):
    labels, p_positive = answers
    predicted = predicted_labels(p_positive)
    found = threshold_metrics(labels, predicted)
    report = reference.classification_report(labels, predicted, output_dict=True)
    for label, name in (("1", "positive"), ("0", "negative")):
        for metric, key in (("f1", "f1-score"), ("precision", "precision"), ("recall", "recall")):
            assert found[f"{metric}_{name}"] == pytest.approx(report[label][key], abs=1e-12)
    assert found["accuracy"] == pytest.approx(report["accuracy"], abs=1e-12)
    counts = confusion_counts(labels, predicted)
    assert counts["true_positive"] == int(((labels == 1) & (predicted == 1)).sum())
    assert counts["false_negative"] == int(((labels == 1) & (predicted == 0)).sum())
    assert counts["false_positive"] == int(((labels == 0) & (predicted == 1)).sum())
    derived = metrics_from_counts([counts[name] for name in COUNTS])
    assert derived == pytest.approx([found[name] for name in METRICS], abs=1e-12)


@pytest.mark.parametrize("constant", [0, 1])
def test_a_classifier_of_one_answer_has_zeros_where_ratios_do_not_exist(answers, constant):
    labels, _ = answers
    predicted = np.full_like(labels, constant)
    found = threshold_metrics(labels, predicted)
    counts = confusion_counts(labels, predicted)
    assert metrics_from_counts([counts[name] for name in COUNTS]) == pytest.approx(list(found.values()), abs=1e-12)


def test_area_under_the_curves_equals_the_ranking_metrics(answers):
    labels, p_positive = answers
    found = ranking_metrics(labels, p_positive)
    x, y = roc_points(labels, p_positive)
    assert np.trapezoid(y, x) == pytest.approx(found["roc_auc"], abs=1e-12)
    recall, precision = precision_recall_points(labels, p_positive)
    assert np.sum(np.diff(recall) * precision[1:]) == pytest.approx(found["average_precision"], abs=1e-12)
    assert (recall[0], precision[0]) == (0, 1)


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.5])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(InputError, match="expected 0 to 1"):
        predicted_labels(np.array([0.5, wrong]))


def test_one_label_alone_is_refused():
    with pytest.raises(InputError, match=r"validation: found labels \[0\]"):
        check_both_labels(np.zeros(4, int), "validation")


PAPER_TABLE2 = {
    ("validation", "COVIDx"): (0.9600, 0.9583, 0.9615, 1.0000, 0.9259, 0.9200, 1.0000),
    ("validation", "COVIDx+Synth"): (0.9550, 0.9548, 0.9552, 0.9596, 0.9505, 0.9500, 0.9600),
    ("test", "COVIDx"): (0.8949, 0.8276, 0.9244, 0.9032, 0.8917, 0.7636, 0.9596),
    ("test", "COVIDx+Synth"): (0.9249, 0.8936, 0.9420, 0.8400, 0.9760, 0.9545, 0.9103),
}


@pytest.mark.parametrize(("row", "printed"), PAPER_TABLE2.items(), ids=lambda value: str(value[0]))
def test_the_papers_table_2_to_four_digits(row, printed):
    table = paper_table2().set_index(["dataset", "model"]).loc[row]
    assert tuple(round(float(table[name]), 4) for name in METRICS) == printed


def test_the_reported_precision_and_recall_of_covidnet():
    row = paper_table2().set_index("model").loc["COVIDNet-CXR-2"]
    reported = (0.9700, 0.9560, 0.9550, 0.9700)
    names = ("precision_positive", "precision_negative", "recall_positive", "recall_negative")
    assert [row[name] for name in names] == pytest.approx(reported, abs=5e-4)


def test_the_papers_recall_interval_is_wilsons():
    """84 of 110: closed form of Wilson (1927)."""
    row = paper_table2().set_index(["dataset", "model"]).loc[("test", "COVIDx")]
    z, n, p = 1.959963984540054, 110, 84 / 110
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    bounds = [(centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert [row["recall_positive_low"], row["recall_positive_high"]] == pytest.approx(bounds, abs=1e-9)
    assert np.isnan(row["f1_positive_low"])


def test_the_papers_table_1():
    table = paper_table1().set_index("role")
    assert table.loc["hospital", ["positive_images", "negative_images"]].tolist() == [110, 223]
    assert paper_table1()["positive_images"].tolist() == [2158, 12158, 200, 110]
