"""How well one number per film tells two groups of films apart, with intervals from resampled patients.

The measure is the area under the ROC curve: the chance that a film drawn from the second group has the greater number,
ties counting one half. One half means that the number tells nothing.
"""

import numpy as np

from cxrlib.evaluation.ranking import ladder, ranked, roc_auc
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
