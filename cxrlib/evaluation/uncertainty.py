"""Intervals: bootstrap over patients for anything measured on films, Wilson's for a paper's bare counts.

A patient's films are alike, so films are no independent draws: patients are resampled, each with all its films. What
is resampled are per-patient confusion counts, (seeds, patients, 4) in the order of `metrics.COUNTS`. Every seed sees
the same resampled patients and the statistic is the mean over seeds, so seeds that err on the same films don't pass
for independent evidence. Percentile intervals (Efron & Tibshirani 1993, ch. 13) by scipy; where no resample can
differ (no error at all, say), such an interval has no width.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cxrlib.evaluation.metrics import metrics_from_counts

RESAMPLES = 2000
CONFIDENCE = 0.95
# Resamples handled at once: bounds the memory to a few tens of megabytes.
RESAMPLES_AT_ONCE = 250


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval."""

    estimate: float
    low: float
    high: float


def patient_counts(patients: np.ndarray, labels: np.ndarray, predicted: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Confusion counts of each patient, (patients, 4), rows as in `order`, the sorted distinct patient ids."""
    cell = 2 * (1 - np.asarray(labels)) + (1 - np.asarray(predicted))
    rows = np.searchsorted(order, patients)
    counts = np.zeros((len(order), 4))
    np.add.at(counts, (rows, cell), 1)
    return counts


def metric_intervals(counts: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> list[Interval]:
    """Mean over seeds of each of `METRICS`, with its interval; counts (seeds, patients, 4)."""
    estimates = metrics_from_counts(counts.sum(axis=1)).mean(axis=0)

    def statistic(patients: np.ndarray, axis: int) -> np.ndarray:
        return metrics_from_counts(_resampled_sums(counts, patients)).mean(axis=-2).T

    return _bootstrap(statistic, [counts.shape[1]], estimates, seed, resamples)


def paired_differences(
    counts: np.ndarray, reference: np.ndarray, *, seed: int, resamples: int = RESAMPLES
) -> list[Interval]:
    """Arm minus reference on the same patients, who are resampled together; each (its seeds, patients, 4)."""
    if counts.shape[1] != reference.shape[1]:
        raise ValueError(f"found {counts.shape[1]} and {reference.shape[1]} patients, expected the same ones")
    both = [metrics_from_counts(part.sum(axis=1)).mean(axis=0) for part in (counts, reference)]
    stacked = np.concatenate((counts, reference))
    split = len(counts)

    def statistic(patients: np.ndarray, axis: int) -> np.ndarray:
        metrics = metrics_from_counts(_resampled_sums(stacked, patients))
        return (metrics[..., :split, :].mean(axis=-2) - metrics[..., split:, :].mean(axis=-2)).T

    return _bootstrap(statistic, [counts.shape[1]], both[0] - both[1], seed, resamples)


def unpaired_differences(
    counts: np.ndarray, reference: np.ndarray, *, seed: int, resamples: int = RESAMPLES
) -> list[Interval]:
    """First minus second where the patients are different ones, resampled apart; each (its seeds, patients, 4)."""
    both = [metrics_from_counts(part.sum(axis=1)).mean(axis=0) for part in (counts, reference)]

    def statistic(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        pair = ((counts, first), (reference, second))
        means = [metrics_from_counts(_resampled_sums(part, drawn)).mean(axis=-2) for part, drawn in pair]
        return (means[0] - means[1]).T

    return _bootstrap(statistic, [counts.shape[1], reference.shape[1]], both[0] - both[1], seed, resamples)


def wilson_interval(successes: int, trials: int) -> Interval:
    """Wilson's 95 % score interval of a proportion."""
    found = stats.binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))


def _resampled_sums(counts: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Confusion counts (…, seeds, 4) summed over drawn patients (…, draws), through how often each was drawn."""
    seeds, total, _ = counts.shape
    drawn = patients.reshape(-1, patients.shape[-1])
    times = np.bincount((drawn + total * np.arange(len(drawn))[:, None]).ravel(), minlength=len(drawn) * total)
    sums = times.reshape(len(drawn), total) @ counts.transpose(1, 0, 2).reshape(total, seeds * 4)
    return sums.reshape(*patients.shape[:-1], seeds, 4)


def _bootstrap(
    statistic: Callable[..., np.ndarray], patients: list[int], estimates: np.ndarray, seed: int, resamples: int
) -> list[Interval]:
    """Percentile intervals of a statistic of drawn patient indices that gives (metrics, resamples)."""
    found = stats.bootstrap(
        [np.arange(number) for number in patients],
        statistic,
        n_resamples=resamples,
        batch=RESAMPLES_AT_ONCE,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    columns = zip(estimates, np.atleast_1d(found.low), np.atleast_1d(found.high), strict=True)
    return [Interval(float(value), float(low), float(high)) for value, low, high in columns]
