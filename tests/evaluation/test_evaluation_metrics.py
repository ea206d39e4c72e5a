"""Metrics against scikit-learn and statsmodels, and the paper's tables from its counts."""

import math

import numpy as np
import pytest
from by_scikit_learn import probability_metrics, threshold_metrics
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from cxrlib.errors import InputError
from cxrlib.evaluation.metrics import (
    COUNTS,
    THRESHOLD_METRICS,
    check_both_labels,
    check_probabilities,
    confusion_counts,
    metrics_from_counts,
)
from cxrlib.evaluation.paper import mcnemar_limits, paper_conclusions, paper_table1, paper_table2
from cxrlib.evaluation.ranking import curve_points


@pytest.fixture
def answers():
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 200)
    return labels, np.clip(random.normal(0.4 + 0.2 * labels, 0.2), 0, 1)


def by_counts(labels, predicted):
    counts = confusion_counts(labels, predicted)
    return dict(zip(THRESHOLD_METRICS, metrics_from_counts([counts[name] for name in COUNTS]), strict=True))


@pytest.mark.parametrize("threshold", [0.5, 0.31])
def test_counts_and_metrics_agree_with_scikit_learn(answers, threshold):
    labels, p_positive = answers
    predicted = (p_positive >= threshold).astype(int)
    counts = confusion_counts(labels, predicted)
    assert counts["tp"] == int(((labels == 1) & (predicted == 1)).sum())
    assert counts["fn"] == int(((labels == 1) & (predicted == 0)).sum())
    assert counts["fp"] == int(((labels == 0) & (predicted == 1)).sum())
    assert counts["tn"] == int(((labels == 0) & (predicted == 0)).sum())
    assert by_counts(labels, predicted) == pytest.approx(threshold_metrics(labels, predicted), abs=1e-12)


@pytest.mark.parametrize("constant", [0, 1])
def test_a_classifier_of_one_answer_has_zeros_where_ratios_do_not_exist(answers, constant):
    labels, _ = answers
    predicted = np.full_like(labels, constant)
    assert by_counts(labels, predicted) == pytest.approx(threshold_metrics(labels, predicted), abs=1e-12)


def test_area_under_the_curves_equals_the_ranking_metrics(answers):
    labels, p_positive = answers
    found = probability_metrics(labels, p_positive, p_positive)
    (x, y), (recall, precision) = curve_points(labels, p_positive).values()
    assert np.trapezoid(y, x) == pytest.approx(found["roc_auc"], abs=1e-12)
    assert np.sum(np.diff(recall) * precision[1:]) == pytest.approx(found["average_precision"], abs=1e-12)
    assert (recall[0], precision[0]) == (0, 1)


@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.5])
def test_what_is_no_probability_is_refused(wrong):
    with pytest.raises(InputError, match="expected 0 to 1"):
        check_probabilities(np.array([0.5, wrong]))


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
    assert tuple(round(float(table[name]), 4) for name in THRESHOLD_METRICS[:7]) == printed


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


def test_what_the_papers_counts_allow_one_to_conclude():
    """105 against 84 of 110 positives: at best 21 films against none, at worst 26 against 5 (tails by hand)."""
    table = paper_conclusions().set_index(["dataset", "metric"])
    recall = table.loc[("test", "recall_positive")]
    assert (recall["right"], recall["right_reference"], recall["films"]) == (105, 84, 110)
    assert recall["p_lowest"] == pytest.approx(2 * 0.5**21, rel=1e-9)
    assert recall["p_highest"] == pytest.approx(2 * sum(math.comb(31, k) for k in range(6)) * 0.5**31, rel=1e-9)
    assert recall["verdict"] == "different"
    assert [recall["share_low"], recall["share_high"]] == pytest.approx(
        list(proportion_confint(105, 110, method="wilson")), abs=1e-9
    )
    accuracy = table.loc[("test", "accuracy")]
    assert accuracy["p_lowest"] == pytest.approx(2 * 0.5**10, rel=1e-9)
    assert accuracy["p_highest"] == pytest.approx(2 * sum(math.comb(60, k) for k in range(26)) * 0.5**60, rel=1e-9)
    assert accuracy["verdict"] == "undecided"
    assert table.loc[("validation", "accuracy"), "verdict"] == "not different"


@pytest.mark.parametrize(("right", "right_reference", "films"), [(7, 4, 9), (3, 3, 5), (0, 4, 4), (10, 1, 12)])
def test_limits_of_mcnemar_hold_over_every_paired_table(right, right_reference, films):
    """All tables with these margins, each by statsmodels."""
    p_values = []
    for both in range(films + 1):
        cells = [both, right - both, right_reference - both, films - right - right_reference + both]
        if min(cells) >= 0:
            p_values.append(mcnemar([cells[:2], cells[2:]], exact=True).pvalue)
    assert mcnemar_limits(right, right_reference, films) == pytest.approx((min(p_values), max(p_values)), abs=1e-12)
