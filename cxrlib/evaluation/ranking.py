"""How well probabilities rank films, for many sets of weights at once.

A resample of patients is a weight per film (how often its patient was drawn), so the measures here take weights,
(resamples, rows), and films sorted once. With all weights 1 they are scikit-learn's `roc_auc_score` and
`average_precision_score`.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

# Shares of whole numbers that are equal may differ in the last bit.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Ladder:
    """Weights of positives and negatives at each distinct probability, highest first; each (resamples, steps)."""

    positive: np.ndarray
    negative: np.ndarray

    @cached_property
    def true_positives(self) -> np.ndarray:
        return self.positive.cumsum(axis=1)

    @cached_property
    def called_positive(self) -> np.ndarray:
        return (self.positive + self.negative).cumsum(axis=1)


@dataclass(frozen=True)
class Order:
    """Films by falling probability: their rows, where each distinct probability starts, and which are positive."""

    rows: np.ndarray
    starts: np.ndarray
    positive: np.ndarray


def ranked(labels: np.ndarray, p_positive: np.ndarray) -> Order:
    """The order of films (rows,) that `ladder` needs; it does not depend on the weights."""
    rows = np.argsort(-p_positive, kind="stable")
    falling = p_positive[rows]
    starts = np.flatnonzero(np.concatenate(([True], falling[1:] != falling[:-1])))
    return Order(rows, starts, labels[rows].astype(float))


def ladder(order: Order, weights: np.ndarray) -> Ladder:
    """Weights (resamples, rows), summed at each distinct probability."""
    falling = weights[:, order.rows]
    positive = np.add.reduceat(falling * order.positive, order.starts, axis=1)
    return Ladder(positive, np.add.reduceat(falling, order.starts, axis=1) - positive)


def roc_auc(steps: Ladder) -> np.ndarray:
    """Chance that a positive film ranks above a negative one, ties half; (resamples,), NaN without both labels."""
    above = steps.true_positives - steps.positive / 2
    pairs = steps.positive.sum(axis=1) * steps.negative.sum(axis=1)
    return _ratio((above * steps.negative).sum(axis=1), pairs)


def average_precision(steps: Ladder) -> np.ndarray:
    """Precision averaged over the positive films, each at its own probability; (resamples,), NaN without positives."""
    precision = np.nan_to_num(_ratio(steps.true_positives, steps.called_positive))
    return _ratio((precision * steps.positive).sum(axis=1), steps.positive.sum(axis=1))


def recall_at_precision(steps: Ladder, precision: np.ndarray) -> np.ndarray:
    """The highest recall at a threshold whose precision reaches the one asked for, (resamples,) to (resamples,).

    0 where no threshold reaches it; NaN where there are no positives or no precision is given.
    """
    found = np.nan_to_num(_ratio(steps.true_positives, steps.called_positive))
    recall = _ratio(steps.true_positives, steps.positive.sum(axis=1)[:, None])
    reached = np.where(found >= precision[:, None] - ROUNDING, recall, 0).max(axis=1)
    return np.where(np.isnan(precision), np.nan, reached)


def roc_points(labels: np.ndarray, p_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rate of false positives and rate of true positives at every threshold, (0, 0) to (1, 1)."""
    x, y, _ = roc_curve(labels, p_positive)
    return x, y


def precision_recall_points(labels: np.ndarray, p_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every threshold, by rising recall, from (0, 1)."""
    precision, recall, _ = precision_recall_curve(labels, p_positive)
    return recall[::-1], precision[::-1]


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Not a number where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(top, dtype=float), np.asarray(bottom, dtype=float))
    return np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom > 0)
