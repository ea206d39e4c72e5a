"""Can readers tell synthetic films from real ones? Shares with exact intervals, equivalence, areas, several readers.

That a share does not differ from chance is no sign that it equals chance: few answers differ from nothing. Whether
readers are at chance is therefore asked separately, by two one-sided tests against a margin (Schuirmann 1987).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from cxrlib.evaluation.uncertainty import CONFIDENCE, RESAMPLES, Interval

CHANCE = 0.5
MARGIN = 0.10
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class ReaderShare:
    """A share of answers with its exact 95 % interval, its exact p against chance, and that of equivalence to it."""

    right: int
    total: int
    interval: Interval
    p_chance: float
    p_equivalence: float


def exact_interval(right: int, total: int, confidence: float = CONFIDENCE) -> Interval:
    """Clopper and Pearson's interval of a proportion (1934), as fractions; (0, 1) without observations."""
    if total == 0:
        return Interval(float("nan"), 0.0, 1.0)
    found = stats.binomtest(right, total).proportion_ci(confidence, method="exact")
    return Interval(right / total, float(found.low), float(found.high))


def equivalence_p(right: int, total: int, *, chance: float = CHANCE, margin: float = MARGIN) -> float:
    """The larger p of two one-sided exact tests, that the share lies above chance − margin and below chance + margin.

    Below 0.05 exactly where the exact 90 % interval lies inside the margins; 1 without observations.
    """
    above = stats.binom.sf(right - 1, total, chance - margin)
    below = stats.binom.cdf(right, total, chance + margin)
    return float(max(above, below))


def share_of_answers(right: int, total: int) -> ReaderShare:
    """Of one reader's answers to films that each count once."""
    p_chance = float(stats.binomtest(right, total, CHANCE).pvalue) if total else float("nan")
    return ReaderShare(right, total, exact_interval(right, total), p_chance, equivalence_p(right, total))


def step_area(real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of ordered steps, from how many films of each kind fell on each step, (..., steps).

    It is the chance that a real film stands on a higher step than a synthetic one, ties counting half; not a number
    where a kind has no film.
    """
    below = np.cumsum(synthetic, axis=-1) - synthetic
    pairs = real.sum(axis=-1) * synthetic.sum(axis=-1)
    won = (real * (below + synthetic / 2)).sum(axis=-1)
    return np.divide(won, pairs, out=np.full(np.shape(won), np.nan), where=pairs > 0)


def area_interval(area: float, real: int, synthetic: int) -> Interval:
    """95 % interval of one reader's area over films (Newcombe 2006, Statistics in Medicine 25, 559, method 5).

    Those areas whose own standard error reaches as far as the one observed: unlike DeLong's, the interval has a width
    even where a reader makes no mistake.
    """
    if np.isnan(area):
        return Interval(float("nan"), 0.0, 1.0)
    reach, mean = stats.norm.ppf((1 + CONFIDENCE) / 2), (real + synthetic) / 2

    def excess(other: float) -> float:
        spread = 1 + (mean - 1) * ((1 - other) / (2 - other) + other / (1 + other))
        return (other - area) ** 2 - reach**2 * other * (1 - other) * spread / (real * synthetic)

    # At 0 and 1 the observed area is itself a root, and not the one that is looked for.
    inside = 1e-9
    low = 0.0 if area <= inside else optimize.brentq(excess, 0.0, area - inside)
    high = 1.0 if area >= 1 - inside else optimize.brentq(excess, area + inside, 1.0)
    return Interval(float(area), float(low), float(high))


@dataclass(frozen=True)
class OverReaders:
    """The mean over readers, its 95 % interval, and the 90 % interval that equivalence is judged by."""

    interval: Interval
    inner: Interval
    readers: int

    @property
    def differs_from_chance(self) -> bool:
        return not self.interval.low <= CHANCE <= self.interval.high

    @property
    def equivalent_to_chance(self) -> bool:
        return self.inner.low > CHANCE - MARGIN and self.inner.high < CHANCE + MARGIN


def over_readers(
    measure: Callable[[np.ndarray], np.ndarray], strata: np.ndarray, readers: int, *, seed: int,
    resamples: int = RESAMPLES,
) -> OverReaders:  # fmt: skip
    """The mean over readers of a measure, with intervals over readers and films, both drawn anew.

    `measure(weights)` takes how often each film counts, (films,), and gives each reader's value, (readers,), not a
    number where a reader has none. Films are drawn within `strata` (films,). Of n readers or films of a stratum n − 1
    are drawn, so that the spread of few is not understated (Rao & Wu 1988, JASA 83, 231). With a single reader only
    the films are drawn anew: what is found then holds for that reader.
    """
    random, values = np.random.default_rng(seed), np.full(resamples, np.nan)
    groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for index in range(resamples):
        weights = np.zeros(len(strata))
        for rows in groups:
            drawn = random.integers(0, len(rows), max(1, len(rows) - 1))
            weights[rows] = np.bincount(drawn, minlength=len(rows)) * len(rows) / len(drawn)
        chosen = random.integers(0, readers, max(1, readers - 1))
        found = measure(weights)[chosen]
        values[index] = np.nanmean(found) if not np.isnan(found).all() else np.nan
    estimate = float(np.nanmean(measure(np.ones(len(strata)))))
    there = values[~np.isnan(values)]
    bounds = [
        np.quantile(there, [(1 - width) / 2, (1 + width) / 2], method="weibull") if len(there) else (np.nan, np.nan)
        for width in (CONFIDENCE, 1 - 2 * SIGNIFICANCE)
    ]
    (low, high), (inner_low, inner_high) = bounds
    return OverReaders(
        Interval(estimate, float(low), float(high)), Interval(estimate, float(inner_low), float(inner_high)), readers
    )


def shares_by_reader(right: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """For `over_readers`: share of right answers, from `right` (readers, films) of 0, 1 and NaN (not answered)."""
    answered, filled = ~np.isnan(right), np.nan_to_num(right)

    def measure(weights: np.ndarray) -> np.ndarray:
        films = answered @ weights
        return np.divide(filled @ weights, films, out=np.full(len(right), np.nan), where=films > 0)

    return measure


def areas_by_reader(steps: np.ndarray, real: np.ndarray, number: int) -> Callable[[np.ndarray], np.ndarray]:
    """For `over_readers`: area of the steps (readers, films) from 0 to `number` − 1, −1 where not answered; `real`
    (films,) says which films are."""
    on_step = (steps[:, :, None] == np.arange(number)).astype(float)

    def measure(weights: np.ndarray) -> np.ndarray:
        found = [np.einsum("rfs,f->rs", on_step, weights * kind) for kind in (real, ~real)]
        return step_area(*found)

    return measure
