"""The chance of training in an interval: few runs of each arm, and what their spread allows one to say.

A figure that is averaged over S runs varies with the patients and with the runs. The variance between runs that is
found is due in part to the patients too (no two runs answer alike for the same films), and that part is already in the
interval over patients. Only what exceeds it is added, with the reach of Student's t for S − 1 degrees of freedom, as
the root of the sum of squares (Zou & Donner 2008, Statistics in Medicine 27, 1693). Few runs may lie close together by
luck; therefore not the whole of the patients' part is taken off, but what it would be at a lower quantile of its
chi-squared distribution, and nothing with two runs. The quantile falls with the level that is asked for, so that small
p-values can be trusted too. `benchmarks/interval_coverage.py` holds the method against simulated studies.
"""

import numpy as np
from scipy import special

from cxrlib.evaluation.uncertainty import CONFIDENCE

# The quantile of the patients' part that is taken off is this many times the level: three tenths for 95 % intervals,
# and at most a half.
LUCK, MOST_TAKEN_OFF = 6.0, 0.5
FEWEST_RUNS = 2
# p-values are sought between these.
SMALLEST_P, HALVINGS = 1e-12, 50


def spread_of_runs(found: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance between runs of each quantity, and the part of it that the choice of patients explains, (quantities,).

    `found` (runs, quantities) as measured; `values` (resamples, runs, quantities) on resampled patients, not a number
    where a resample has no value.
    """
    if len(found) < FEWEST_RUNS:
        return np.zeros(found.shape[1]), np.zeros(found.shape[1])
    deviations = values - values.mean(axis=1, keepdims=True)
    there = ~np.isnan(deviations).any(axis=1)
    number = np.maximum(there.sum(axis=0), 1)
    deviations = np.where(there[:, None], deviations, 0.0)
    means = deviations.sum(axis=0) / number
    varying = (deviations**2).sum(axis=0) / number - means**2
    return found.var(axis=0, ddof=1), varying.sum(axis=0) / (len(found) - 1)


def reach_of_runs(spread: np.ndarray, by_patients: np.ndarray, runs: int, level: np.ndarray | float) -> np.ndarray:
    """How far the chance of training reaches beyond that of patients, squared, at a level such as 0.05."""
    if runs < FEWEST_RUNS:
        return np.zeros_like(spread)
    degrees = runs - 1
    quantile = np.minimum(LUCK * level, MOST_TAKEN_OFF)
    taken_off = 2 * special.gammaincinv(degrees / 2, quantile) / degrees if runs > FEWEST_RUNS else 0.0
    reach = _student(degrees, level)
    return reach**2 * np.maximum(0.0, spread - taken_off * by_patients) / runs


def widened(
    estimates: np.ndarray,
    bounds: np.ndarray,
    spread: np.ndarray,
    by_patients: np.ndarray,
    runs: int,
    shares: np.ndarray | bool = False,
) -> np.ndarray:
    """95 % bounds over patients, (quantities, 2), widened to bounds over patients and runs.

    `shares` (quantities,) are those that lie between 0 and 1: near an end runs are skewed, and Wilson's score interval
    (Wilson 1927), for as many trials as have the variance found, takes the place of the symmetric one.
    """
    more = reach_of_runs(spread, by_patients, runs, 1 - CONFIDENCE)
    reach = np.sqrt(np.stack([more, more], axis=1))
    inside = shares & (estimates > 0) & (estimates < 1)
    product = np.where(inside, estimates * (1 - estimates), 1.0)
    ratio = more / product
    middle = (estimates + ratio / 2) / (1 + ratio) - estimates
    half = np.sqrt(more + ratio**2 / 4) / (1 + ratio)
    reach = np.where(inside[:, None], np.stack([half - middle, half + middle], axis=1), reach)
    to_bounds = np.hypot(bounds - estimates[:, None], reach)
    return estimates[:, None] + to_bounds * np.array([-1.0, 1.0])


def p_values(
    estimates: np.ndarray,
    bounds: np.ndarray,
    spread: np.ndarray,
    by_patients: np.ndarray,
    runs: int,
    patients: np.ndarray,
) -> np.ndarray:
    """Two-sided p that a difference is zero, (quantities,): below 0.05 just where its 95 % interval leaves zero out.

    `bounds` (quantities, 2) are those over patients. Between the one on the side of zero and the estimate lies
    Student's reach for so many `patients`; at other levels the reach is that level's. Not a number with a single run,
    or where there is no interval.
    """
    half = np.abs(np.where(estimates > 0, bounds[:, 0], bounds[:, 1]) - estimates)
    degrees = np.maximum(patients - 1, 1)
    unit = half / _student(degrees, 1 - CONFIDENCE)
    low, high = np.full(len(estimates), np.log(SMALLEST_P)), np.zeros(len(estimates))
    for _ in range(HALVINGS):
        level = np.exp((low + high) / 2)
        squared = (unit * _student(degrees, level)) ** 2 + reach_of_runs(spread, by_patients, runs, level)
        inside = squared > estimates**2
        low, high = np.where(inside, (low + high) / 2, low), np.where(inside, high, (low + high) / 2)
    found = np.where(estimates == 0, 1.0, np.exp(high))
    return np.where(np.isnan(half) | (runs < FEWEST_RUNS), np.nan, found)


def _student(degrees: np.ndarray | int, level: np.ndarray | float) -> np.ndarray:
    """What Student's t exceeds on either side with this probability."""
    return -special.stdtrit(degrees, np.asarray(level) / 2)
