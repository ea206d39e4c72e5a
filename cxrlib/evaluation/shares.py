"""The mean of a share over films, with an interval over patients."""

import numpy as np

from cxrlib.evaluation.uncertainty import RESAMPLES, Interval, percentile_bounds


def mean_over_films(values: np.ndarray, patients: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Mean of finite `values` (N,) over films; its 95 % interval draws `patients` (N,) with all their films.

    Not a number where there is no film; without an interval where there are fewer than two patients.
    """
    _, rows = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    sums, films = np.bincount(rows, weights=np.asarray(values, float)), np.bincount(rows).astype(float)
    estimate = float(sums.sum() / films.sum()) if len(sums) else np.nan
    if len(sums) < 2:
        return Interval(estimate, np.nan, np.nan)
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    (low, high), *_ = percentile_bounds((drawn @ sums / (drawn @ films))[:, None])
    return Interval(estimate, float(low), float(high))
