"""The study's figures of merit: Table 2's seven at a threshold, and those of the ranking.

Labels and predictions are arrays of 0 (negative) and 1 (positive); probabilities lie in [0, 1].
"""

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from cxrlib.errors import InputError

METRICS = (
    "accuracy", "f1_positive", "f1_negative", "precision_positive", "precision_negative", "recall_positive",
    "recall_negative",
)  # fmt: skip
COUNTS = ("true_positive", "false_negative", "false_positive", "true_negative")
THRESHOLD = 0.5


def predicted_labels(p_positive: np.ndarray) -> np.ndarray:
    """1 where the probability of `positive` is at least 0.5. Raises `InputError` for what is no probability."""
    p_positive = np.asarray(p_positive, dtype=float)
    wrong = ~((p_positive >= 0) & (p_positive <= 1))
    if wrong.any():
        raise InputError(f"p_positive: found {p_positive[wrong][0]} in {int(wrong.sum())} rows, expected 0 to 1")
    return (p_positive >= THRESHOLD).astype(np.int64)


def check_both_labels(labels: np.ndarray, where: str) -> None:
    """Raises `InputError` unless both labels are there: without one, its recall does not exist."""
    found = np.unique(np.asarray(labels))
    if not np.array_equal(found, [0, 1]):
        raise InputError(f"{where}: found labels {found.tolist()}, expected both 0 (negative) and 1 (positive)")


def threshold_metrics(labels: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """The seven of `METRICS` by scikit-learn; a ratio with denominator 0 is 0."""
    values = {"accuracy": float(accuracy_score(labels, predicted))}
    for label, name in ((1, "positive"), (0, "negative")):
        for metric, function in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
            values[f"{metric}_{name}"] = float(function(labels, predicted, pos_label=label, zero_division=0))
    return {name: values[name] for name in METRICS}


def ranking_metrics(labels: np.ndarray, p_positive: np.ndarray) -> dict[str, float]:
    """Area under the ROC curve and average precision, by scikit-learn."""
    return {
        "roc_auc": float(roc_auc_score(labels, p_positive)),
        "average_precision": float(average_precision_score(labels, p_positive)),
    }


def confusion_counts(labels: np.ndarray, predicted: np.ndarray) -> dict[str, int]:
    """Counts named as in `COUNTS`."""
    matrix = confusion_matrix(labels, predicted, labels=[1, 0])
    return dict(zip(COUNTS, matrix.ravel().tolist(), strict=True))


def metrics_from_counts(counts: np.ndarray) -> np.ndarray:
    """The seven of `METRICS` from confusion counts, (…, 4) in the order of `COUNTS` to (…, 7).

    Counts may be whole or weighted; a ratio with denominator 0 is 0, as in `threshold_metrics`.
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
    values = [np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0) for top, bottom in ratios]
    return np.stack(values, axis=-1)


def roc_points(labels: np.ndarray, p_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rate of false positives and rate of true positives at every threshold, (0, 0) to (1, 1)."""
    x, y, _ = roc_curve(labels, p_positive)
    return x, y


def precision_recall_points(labels: np.ndarray, p_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every threshold, by rising recall, from (0, 1)."""
    precision, recall, _ = precision_recall_curve(labels, p_positive)
    return recall[::-1], precision[::-1]
