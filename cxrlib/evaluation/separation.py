"""How well one number per film tells two groups of films apart, with intervals from resampled patients.

The measure is the area under the ROC curve: the chance that a film drawn from the second group has the greater number,
ties counting one half. One half means that the number tells nothing.
"""

import numpy as np

from cxrlib.evaluation.uncertainty import CONFIDENCE, RESAMPLES, Interval

RESAMPLES_AT_ONCE = 100


def separation(
    groups: np.ndarray, values: np.ndarray, patients: np.ndarray, *, seed: int, parts: np.ndarray | None = None,
    resamples: int = RESAMPLES,
) -> Interval:  # fmt: skip
    """Area under the ROC curve with its percentile interval; patients are resampled, each with all its films.

    `groups` are 0 and 1, `values` real numbers, `patients` any labels, each (N,). With `parts` only films of the same
    part are compared: numbers from models that were cross-fitted part by part are on scales of their own. NaN
    throughout where a group is empty; resamples without a pair to compare are left out.
    """
    groups, values = np.asarray(groups), np.asarray(values, dtype=float)
    parts = np.zeros(len(groups), dtype=int) if parts is None else np.asarray(parts)
    people, films_of = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    estimate = _area(groups, values, parts, np.ones((1, len(groups))))[0]
    random = np.random.default_rng(seed)
    found = []
    for start in range(0, resamples, RESAMPLES_AT_ONCE):
        draws = min(RESAMPLES_AT_ONCE, resamples - start)
        times = random.multinomial(len(people), np.full(len(people), 1 / len(people)), size=draws)
        found.append(_area(groups, values, parts, times[:, films_of].astype(float)))
    areas = np.concatenate(found)
    areas = areas[~np.isnan(areas)]
    if np.isnan(estimate) or not len(areas):
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(areas, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(estimate), float(low), float(high))


def _area(groups: np.ndarray, values: np.ndarray, parts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted area for each row of weights (resamples, N): pairs in order over pairs, within parts."""
    in_order, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        rows = rows[np.argsort(values[rows], kind="stable")]
        starts = np.flatnonzero(np.diff(values[rows], prepend=np.nan) != 0)
        first = np.add.reduceat(weights[:, rows] * (groups[rows] == 0), starts, axis=1)
        second = np.add.reduceat(weights[:, rows] * (groups[rows] == 1), starts, axis=1)
        below = np.cumsum(first, axis=1) - first
        in_order += (second * (below + first / 2)).sum(axis=1)
        pairs += first.sum(axis=1) * second.sum(axis=1)
    return np.divide(in_order, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
