"""The mean of a share over films, with an interval over patients."""

import numpy as np
from scipy import stats

from cxrlib.evaluation.uncertainty import CONFIDENCE, RESAMPLES, RESAMPLES_AT_ONCE, Interval


def mean_over_films(values: np.ndarray, patients: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Mean of finite `values` (N,) over films; its 95 % interval draws `patients` (N,) with all their films.

    Percentile interval by scipy; not a number where there are fewer than two patients.
    """
    _, rows = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    sums, films = np.bincount(rows, weights=np.asarray(values, float)), np.bincount(rows).astype(float)
    estimate = float(sums.sum() / films.sum()) if len(sums) else np.nan
    if len(sums) < 2:
        return Interval(estimate, np.nan, np.nan)
    found = stats.bootstrap(
        (np.arange(len(sums)),),
        lambda drawn, axis: sums[drawn].sum(axis=axis) / films[drawn].sum(axis=axis),
        n_resamples=resamples,
        batch=RESAMPLES_AT_ONCE,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(estimate, float(found.low), float(found.high))
