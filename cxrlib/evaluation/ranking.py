"""How well probabilities rank films, for many sets of weights at once.

A resample of patients is a weight per film (how often its patient was drawn), so the measures here take weights,
(resamples, rows), and films sorted once. With all weights 1 they are scikit-learn's `roc_auc_score` and
`average_precision_score`.

Films in different parts are never ranked against each other: the models of a cross-fitted arm have scales of their own,
and an area over all their films is biased (Parker, Günter & Bedo 2007, BMC Bioinformatics 8, 326). Areas are means over
parts weighted by their pairs of films, everything else by their positives.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from cxrlib.evaluation.uncertainty import CONFIDENCE, RESAMPLES, Interval, divided

# Shares of whole numbers that are equal may differ in the last bit.
ROUNDING = 1e-12
RESAMPLES_AT_ONCE = 100


@dataclass(frozen=True)
class Ladder:
    """Weights of positives and negatives at each distinct probability, part by part, highest first; each (resamples,
    steps). `parts` are the steps at which a part begins."""

    positive: np.ndarray
    negative: np.ndarray
    parts: np.ndarray

    @cached_property
    def true_positives(self) -> np.ndarray:
        return self._summed(self.positive)

    @cached_property
    def called_positive(self) -> np.ndarray:
        return self._summed(self.positive + self.negative)

    def of_parts(self, weights: np.ndarray) -> np.ndarray:
        """Sums over the steps of each part, (resamples, parts)."""
        return np.add.reduceat(weights, self.parts, axis=1)

    def _summed(self, weights: np.ndarray) -> np.ndarray:
        """Sums from the first step of a part to each of its steps."""
        total = weights.cumsum(axis=1)
        if len(self.parts) == 1:
            return total
        before = np.concatenate((np.zeros((len(total), 1)), total[:, self.parts[1:] - 1]), axis=1)
        return total - np.repeat(before, np.diff(self.parts, append=total.shape[1]), axis=1)


@dataclass(frozen=True)
class Order:
    """Films part by part by falling probability: their rows, the places at which each distinct probability starts,
    which of these steps begin a part, and which films are positive."""

    rows: np.ndarray
    starts: np.ndarray
    parts: np.ndarray
    positive: np.ndarray


def ranked(labels: np.ndarray, p_positive: np.ndarray, parts: np.ndarray | None = None) -> Order:
    """The order of films (rows,) that `ladder` needs; it does not depend on the weights. `parts` (rows,) are any
    numbers; without them all films are ranked together."""
    parts = np.zeros(len(labels), dtype=int) if parts is None else np.asarray(parts)
    rows = np.lexsort((-p_positive, parts))
    falling, part = p_positive[rows], parts[rows]
    changes = part[1:] != part[:-1]
    starts = np.flatnonzero(np.concatenate(([True], changes | (falling[1:] != falling[:-1]))))
    begins = np.flatnonzero(np.concatenate(([True], part[starts][1:] != part[starts][:-1])))
    return Order(rows, starts, begins, labels[rows].astype(float))


def ladder(order: Order, weights: np.ndarray) -> Ladder:
    """Weights (resamples, rows), summed at each distinct probability."""
    falling = weights[:, order.rows]
    positive = np.add.reduceat(falling * order.positive, order.starts, axis=1)
    return Ladder(positive, np.add.reduceat(falling, order.starts, axis=1) - positive, order.parts)


def roc_auc(steps: Ladder) -> np.ndarray:
    """Chance that a positive film ranks above a negative one of its part, ties half; (resamples,), NaN without both
    labels."""
    above = steps.true_positives - steps.positive / 2
    pairs = (steps.of_parts(steps.positive) * steps.of_parts(steps.negative)).sum(axis=1)
    return divided((above * steps.negative).sum(axis=1), pairs)


def average_precision(steps: Ladder) -> np.ndarray:
    """Precision averaged over the positive films, each at its own probability; (resamples,), NaN without positives."""
    precision = np.nan_to_num(divided(steps.true_positives, steps.called_positive))
    return divided((precision * steps.positive).sum(axis=1), steps.positive.sum(axis=1))


def recall_at_precision(steps: Ladder, precision: np.ndarray) -> np.ndarray:
    """The highest recall at thresholds whose precision reaches the one asked for, (resamples,) to (resamples,).

    Each part has its own threshold. 0 where no threshold reaches the precision; NaN where there are no positives or no
    precision is given.
    """
    found = np.nan_to_num(divided(steps.true_positives, steps.called_positive))
    reached = np.where(found >= precision[:, None] - ROUNDING, steps.true_positives, 0)
    recall = divided(np.maximum.reduceat(reached, steps.parts, axis=1).sum(axis=1), steps.positive.sum(axis=1))
    return np.where(np.isnan(precision), np.nan, recall)


def curve_points(labels: np.ndarray, p_positive: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """x and y at every threshold: `roc`, rates of false and of true positives, from (0, 0); `precision_recall`, recall
    and precision, from (0, 1)."""
    precision, recall, _ = precision_recall_curve(labels, p_positive)
    return {"roc": roc_curve(labels, p_positive)[:2], "precision_recall": (recall[::-1], precision[::-1])}


def separation(
    groups: np.ndarray, values: np.ndarray, patients: np.ndarray, *, seed: int, parts: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Interval:  # fmt: skip
    """How well one number per film tells two groups of films apart: the chance that a film of the second group has the
    greater number (area under the ROC curve), with its percentile interval over patients.

    `groups` are 0 and 1, `values` real numbers, `patients` any labels, each (N,). With `parts` only films of the same
    part are compared: numbers from models that were cross-fitted part by part are on scales of their own. NaN
    throughout where a group is empty; resamples without a pair to compare are left out.
    """
    order = ranked(np.asarray(groups), np.asarray(values, dtype=float), parts)
    estimate = roc_auc(ladder(order, np.ones((1, len(groups)))))[0]
    people, films_of = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    random = np.random.default_rng(seed)
    found = []
    for start in range(0, resamples, RESAMPLES_AT_ONCE):
        draws = min(RESAMPLES_AT_ONCE, resamples - start)
        times = random.multinomial(len(people), np.full(len(people), 1 / len(people)), size=draws)
        found.append(roc_auc(ladder(order, times[:, films_of].astype(float))))
    areas = np.concatenate(found)
    areas = areas[~np.isnan(areas)]
    if np.isnan(estimate) or not len(areas):
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(areas, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(estimate), float(low), float(high))
