"""Intervals: percentiles of resamples for anything measured on films, Wilson's for a paper's bare counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000
# Above this share of resamples in which a figure does not exist, its interval would describe the rest only.
MOST_UNDEFINED = 0.05


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    estimate: float
    low: float
    high: float


def percentile_bounds(values: np.ndarray, limits: tuple[Any, Any] = (-np.inf, np.inf)) -> np.ndarray:
    """95 % percentile bounds (Efron & Tibshirani 1993, ch. 13) of (resamples, quantities), as (quantities, 2).

    A quantity that is not a number in more than a twentieth of the resamples has no interval. Where no resample can
    differ (no error at all, say), the interval has no width. Bounds are kept inside the limits of what is possible,
    lowest and highest, each a number or (quantities, 1).
    """
    tail = (1 - CONFIDENCE) / 2
    bounds = np.full((values.shape[1], 2), np.nan)
    undefined = np.isnan(values).mean(axis=0)
    whole = undefined == 0
    if whole.any():
        bounds[whole] = np.quantile(values[:, whole], [tail, 1 - tail], axis=0).T
    for column in np.flatnonzero((undefined > 0) & (undefined <= MOST_UNDEFINED)):
        there = values[~np.isnan(values[:, column]), column]
        bounds[column] = np.quantile(there, [tail, 1 - tail])
    return np.clip(bounds, *limits)


def wilson_interval(successes: int, trials: int) -> Interval:
    """Wilson's 95 % score interval of a proportion (Wilson 1927)."""
    found = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))
