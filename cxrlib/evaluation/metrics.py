"""The study's figures of merit: those at a threshold, from confusion counts; and those of the ranking and of the
probabilities, for one set of films.

Labels are arrays of 0 (negative) and 1 (positive), probabilities lie in [0, 1], and whatever is computed from
confusion counts takes them in the order of `COUNTS`. The same figures for thousands of resamples at once are in
`cxrlib.evaluation.resampled`; tests hold both against scikit-learn.
"""

import numpy as np
from sklearn.metrics import confusion_matrix

from cxrlib.errors import InputError
from cxrlib.evaluation.uncertainty import divided

THRESHOLD_METRICS = (
    "accuracy", "f1_positive", "f1_negative", "precision_positive", "precision_negative", "recall_positive",
    "recall_negative", "balanced_accuracy", "mcc", "precision_at_tenth",
)  # fmt: skip
# `brier` is the mean squared error of the probability (Brier 1950): 0 is perfect, 0.25 is what "one half" for every
# film gets; `brier_calibrated` is that after temperature scaling. `calibration_in_the_large` is the mean probability
# less the share of positives: above 0, films are called positive too readily.
PROBABILITY_METRICS = (
    "roc_auc", "average_precision", "brier", "brier_calibrated", "calibration_slope", "calibration_in_the_large",
)  # fmt: skip
METRICS = (*THRESHOLD_METRICS, *PROBABILITY_METRICS)
COUNTS = ("tp", "fn", "fp", "tn")
THRESHOLD = 0.5
# The smallest and largest value that each may take; the slope is the only one without limits.
RANGES = dict.fromkeys(METRICS, (0.0, 1.0)) | {
    "mcc": (-1.0, 1.0), "calibration_slope": (-np.inf, np.inf), "calibration_in_the_large": (-1.0, 1.0),
}  # fmt: skip
# What each is called, and beside them the sensitivity at another arm's precision.
# Measures that are no shares of films, and so are not told in per cent.
PLAIN = ("roc_auc", "average_precision", "mcc")
METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1_positive": "F1, positive",
    "f1_negative": "F1, negative",
    "precision_positive": "precision, positive",
    "precision_negative": "precision, negative",
    "recall_positive": "recall, positive",
    "recall_negative": "recall, negative",
    "roc_auc": "area under ROC",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "Matthews correlation",
    "average_precision": "average precision",
    "brier": "Brier score",
    "brier_calibrated": "Brier score, temperature-scaled",
    "calibration_slope": "calibration slope",
    "calibration_in_the_large": "mean probability less share of positives",
    "precision_at_tenth": "precision if 10 % were positive",
    "recall_at_precision": "recall at equal precision",
}
# Share of positives for which `precision_at_tenth` gives the precision that follows from the two recalls.
PREVALENCE = 0.1


def check_probabilities(p_positive: np.ndarray, where: str = "p_positive") -> None:
    """Raises `InputError` for what is no probability (below 0, above 1, or not a number)."""
    p_positive = np.asarray(p_positive, dtype=float)
    wrong = ~((p_positive >= 0) & (p_positive <= 1))
    if wrong.any():
        raise InputError(f"{where}: found {p_positive[wrong][0]} in {int(wrong.sum())} rows, expected 0 to 1")


def check_both_labels(labels: np.ndarray, where: str) -> None:
    """Raises `InputError` unless both labels are there: without one, its recall does not exist."""
    found = np.unique(np.asarray(labels))
    if not np.array_equal(found, [0, 1]):
        raise InputError(f"{where}: found labels {found.tolist()}, expected both 0 (negative) and 1 (positive)")


def confusion_counts(labels: np.ndarray, predicted: np.ndarray) -> dict[str, int]:
    """Counts named as in `COUNTS`."""
    matrix = confusion_matrix(labels, predicted, labels=[1, 0])
    return dict(zip(COUNTS, matrix.ravel().tolist(), strict=True))


def metrics_from_counts(counts: np.ndarray) -> np.ndarray:
    """`THRESHOLD_METRICS` from confusion counts, (…, 4) in the order of `COUNTS` to (…, 10).

    Counts may be whole or weighted. A ratio with denominator 0 is 0, as with scikit-learn's `zero_division=0`: a
    classifier that never says "positive" has precision 0. Matthews' coefficient (Matthews 1975) is 0 there too.
    """
    tp, fn, fp, tn = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    ratios = (
        (tp + tn, tp + fn + fp + tn),
        (2 * tp, 2 * tp + fp + fn),
        (2 * tn, 2 * tn + fp + fn),
        (tp, tp + fp),
        (tn, tn + fn),
        (tp, tp + fn),
        (tn, tn + fp),
    )
    values = [divided(top, bottom, 0.0) for top, bottom in ratios]
    balanced = (values[5] + values[6]) / 2
    mcc = divided(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)), 0.0)
    found, alarms = PREVALENCE * values[5], (1 - PREVALENCE) * divided(fp, tn + fp, 0.0)
    return np.stack([*values, balanced, mcc, divided(found, found + alarms, 0.0)], axis=-1)
