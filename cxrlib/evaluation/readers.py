"""Can readers tell synthetic films from real ones? Shares with exact intervals, equivalence, areas, several readers.

That a share does not differ from chance is no sign that it equals chance: few answers differ from nothing. Whether
readers are at chance is therefore asked separately, by two one-sided tests against a margin (Schuirmann 1987).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from cxrlib.evaluation.uncertainty import CONFIDENCE, RESAMPLES, Interval, divided

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


def clustered_wilson(hits: np.ndarray, films: np.ndarray) -> Interval:
    """Wilson's 95 % interval (1927) of the share of `hits` (answers,) where several answers are about one film.

    The number of answers is divided by how much more the share varies from film to film than single answers would
    (Dean & Pagano 2015, Survey Methodology 41, 279), at most down to the number of films. With one answer a film it is
    Wilson's own. Not a number without answers.
    """
    hits, (_, film) = np.asarray(hits, float), np.unique(films, return_inverse=True)
    total = len(hits)
    if not total:
        return Interval(float("nan"), float("nan"), float("nan"))
    share, each = float(hits.mean()), np.bincount(film)
    number, most = len(each), total / len(each)
    simple = share * (1 - share) / total
    if simple and number > 1:
        between = number / (number - 1) * ((np.bincount(film, hits) - share * each) ** 2).sum() / total**2
        most = float(np.clip(between / simple, 1.0, most))
    reach, count = stats.norm.ppf((1 + CONFIDENCE) / 2) ** 2, total / most
    middle = (share + reach / (2 * count)) / (1 + reach / count)
    half = np.sqrt(reach * (share * (1 - share) / count + reach / (4 * count**2))) / (1 + reach / count)
    return Interval(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


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
    return divided(won, pairs)


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


def over_readers(
    measure: Callable[[np.ndarray], np.ndarray], strata: np.ndarray, readers: int, *, seed: int,
    resamples: int = RESAMPLES,
) -> OverReaders:  # fmt: skip
    """The mean over readers of a measure, with intervals over readers and films, both drawn anew.

    `measure(weights)` takes how often each film counts, (resamples, films), and gives each reader's value, (resamples,
    readers), not a number where a reader has none. Films are drawn within `strata` (films,). Of n readers or films of
    a stratum n − 1 are drawn, so that the spread of few is not understated (Rao & Wu 1988, JASA 83, 231). With a
    single reader only the films are drawn anew: what is found then holds for that reader.
    """
    random = np.random.default_rng(seed)
    weights = np.zeros((resamples, len(strata)))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        drawn = max(1, len(rows) - 1)
        weights[:, rows] = random.multinomial(drawn, np.full(len(rows), 1 / len(rows)), resamples) * len(rows) / drawn
    chosen = random.integers(0, readers, (resamples, max(1, readers - 1)))
    values = _mean_of_known(np.take_along_axis(measure(weights), chosen, axis=1))
    estimate = float(_mean_of_known(measure(np.ones((1, len(strata)))))[0])
    there = values[~np.isnan(values)]
    outer, inner = (
        np.quantile(there, [(1 - width) / 2, (1 + width) / 2], method="weibull") if len(there) else (np.nan, np.nan)
        for width in (CONFIDENCE, 1 - 2 * SIGNIFICANCE)
    )
    found, within = (Interval(estimate, float(low), float(high)) for low, high in (outer, inner))
    return OverReaders(found, within)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Means of the rows over what is a number."""
    known = ~np.isnan(values)
    return divided(np.nan_to_num(values).sum(axis=1), known.sum(axis=1))


def means_by_reader(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """For `over_readers`: mean of `values` (readers, films), such as 1 for right and 0 for wrong; NaN is no answer."""
    known, filled = (~np.isnan(values)).astype(float), np.nan_to_num(values)
    return lambda weights: divided(weights @ filled.T, weights @ known.T)


def areas_by_reader(steps: np.ndarray, real: np.ndarray, number: int) -> Callable[[np.ndarray], np.ndarray]:
    """For `over_readers`: area of the steps (readers, films) from 0 to `number` − 1, −1 where not answered; `real`
    (films,) says which films are."""
    on_step = (steps[:, :, None] == np.arange(number)).astype(float)

    def measure(weights: np.ndarray) -> np.ndarray:
        found = [np.einsum("rfs,bf->brs", on_step, weights * kind) for kind in (real, ~real)]
        return step_area(*found)

    return measure


def medians_by_reader(values: np.ndarray, highest: int) -> Callable[[np.ndarray], np.ndarray]:
    """For `over_readers`: median of `values` (readers, films), whole numbers from 1 to `highest`; NaN is no answer.

    Where half of the films lie below a step and half above, it is the middle between the two.
    """
    on_step = (values[:, :, None] == np.arange(1, highest + 1)).astype(float)

    def measure(weights: np.ndarray) -> np.ndarray:
        counts = np.einsum("rfs,bf->brs", on_step, weights)
        up_to = divided(np.cumsum(counts, axis=-1), counts.sum(axis=-1, keepdims=True))
        half = 0.5 - 1e-9
        lower, upper = (up_to < half).sum(axis=-1) + 1, (up_to <= 0.5 + 1e-9).sum(axis=-1) + 1
        return np.where(counts.sum(axis=-1) > 0, (lower + upper) / 2, np.nan)

    return measure
