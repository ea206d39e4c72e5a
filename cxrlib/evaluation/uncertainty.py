"""Intervals: percentiles of resamples for anything measured on films, Wilson's for a paper's bare counts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

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


def divided(top: Any, bottom: Any, empty: float = np.nan) -> np.ndarray:
    """`top` / `bottom`, float64, broadcast against each other; `empty` where `bottom` is not above 0."""
    top, bottom = np.broadcast_arrays(np.asarray(top, dtype=float), np.asarray(bottom, dtype=float))
    return np.divide(top, bottom, out=np.full(bottom.shape, empty), where=bottom > 0)


def percentile_bounds(values: np.ndarray, limits: tuple[float, float] = (-np.inf, np.inf)) -> np.ndarray:
    """95 % percentile bounds (Efron & Tibshirani 1993, ch. 13) of (resamples, quantities), as (quantities, 2).

    For quantities that are neither biased nor skewed; `bootstrap_bounds` is for the rest. A quantity that is not a
    number in more than a twentieth of the resamples has no interval.
    """
    tail = (1 - CONFIDENCE) / 2
    columns = (_defined(column) for column in values.T)
    bounds = [_quantiles(column, [tail, 1 - tail]) if len(column) else [np.nan] * 2 for column in columns]
    return np.clip(np.asarray(bounds), *limits)


def bootstrap_bounds(
    estimates: np.ndarray,
    values: np.ndarray,
    left_out: np.ndarray,
    patients: np.ndarray,
    limits: tuple[Any, Any] = (-np.inf, np.inf),
    widened: np.ndarray | float = 1.0,
) -> np.ndarray:
    """95 % bounds of several quantities, (quantities, 2), by the bias-corrected and accelerated bootstrap (Efron 1987).

    `estimates` (quantities,), `values` (resamples, quantities). `left_out` (groups, quantities) is how far a quantity
    moves when a patient, or a group of them, is left out: the skewness comes from it. `patients` (quantities,) is how
    many patients a quantity rests on: with few of them the bounds are too narrow, and are moved outwards to where
    Student's t has them (Hesterberg 2015, The American Statistician 69, 371). `widened` (quantities,) is the variance
    of `values` over what patients alone give; the rest of it is taken to be symmetric.

    A quantity that is not a number in more than a twentieth of the resamples has no interval, and where no resample can
    differ (no error at all, say) it has no width. Bounds are kept inside the limits of what is possible, lowest and
    highest, each a number or (quantities,).
    """
    bounds = np.full((len(estimates), 2), np.nan)
    widened = np.broadcast_to(widened, len(estimates))
    for column, estimate in enumerate(estimates):
        there = _defined(values[:, column])
        if np.isnan(estimate) or not len(there):
            continue
        skewness = _acceleration(left_out[:, column]) / max(1.0, float(widened[column])) ** 1.5
        bounds[column] = _quantiles(there, _shares(estimate, there, skewness, float(patients[column])))
    return np.clip(bounds, *(np.broadcast_to(limit, len(bounds))[:, None] for limit in limits))


def _defined(values: np.ndarray) -> np.ndarray:
    """The numbers among the values, (resamples,) or fewer; none at all where too many are undefined."""
    there = values[~np.isnan(values)]
    return there if len(there) >= (1 - MOST_UNDEFINED) * len(values) else there[:0]


def _quantiles(values: np.ndarray, shares: np.ndarray | list[float]) -> np.ndarray:
    """The k-th of n values stands for the share k / (n + 1) (Davison & Hinkley 1997, sect. 5.2): with other rules the
    interval of a few hundred resamples is too narrow."""
    return np.quantile(values, shares, method="weibull")


def _shares(estimate: float, values: np.ndarray, acceleration: float, patients: float) -> np.ndarray:
    """Which shares of the resamples bound the interval, (2,)."""
    tail = (1 - CONFIDENCE) / 2
    reach = -special.ndtri(tail)
    if 1 < patients < np.inf:
        reach = -np.sqrt(patients / (patients - 1)) * special.stdtrit(patients - 1, tail)
    # Equal values count half, up to what rounding makes of them.
    near = np.isclose(values, estimate, rtol=0, atol=1e-12)
    below = ((values < estimate) & ~near).mean() + near.mean() / 2
    smallest = 1 / (2 * len(values))
    bias = special.ndtri(np.clip(below, smallest, 1 - smallest))
    ends = bias + np.array([-reach, reach])
    return special.ndtr(bias + ends / np.maximum(1 - acceleration * ends, 0.1))


def _acceleration(left_out: np.ndarray) -> float:
    """A sixth of the skewness of what patients contribute, from the jackknife (Efron 1987, eq. 7.3)."""
    moved = left_out[~np.isnan(left_out)]
    spread = float((moved**2).sum())
    return -float((moved**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0


def wilson_interval(successes: int, trials: int) -> Interval:
    """Wilson's 95 % score interval of a proportion (Wilson 1927)."""
    found = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))


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
