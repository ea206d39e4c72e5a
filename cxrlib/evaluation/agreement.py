"""How far people who judge the same films agree, beyond what chance would give.

Ratings are an int array (films, readers) of categories 0 to K − 1, with −1 where a reader gave no answer. κ and AC1
differ in what they take for chance: κ falls near 0 where nearly every film is of one kind although readers agree on
almost all of them, AC1 does not, and so both are given.
"""

import numpy as np

from cxrlib.evaluation.readers import clustered_wilson, exact_interval
from cxrlib.evaluation.uncertainty import RESAMPLES, Interval, divided, percentile_bounds

NOT_ANSWERED = -1
# Resamples of fewer films say nothing about others.
FEWEST_FILMS = 10


def rating_counts(ratings: np.ndarray, categories: int) -> np.ndarray:
    """How many readers put each film into each category, (films, categories); films with fewer than two are left out.

    Raises `ValueError` for a rating that is no category.
    """
    ratings = np.asarray(ratings)
    if ratings.size and not (ratings.min() >= NOT_ANSWERED and ratings.max() < categories):
        raise ValueError(f"ratings: found {ratings.min()} to {ratings.max()}, expected 0 to {categories - 1}, or −1")
    counts = (ratings[:, :, None] == np.arange(categories)).sum(axis=1)
    return counts[counts.sum(axis=1) >= 2]


def observed_agreement(counts: np.ndarray) -> np.ndarray:
    """Share of the pairs of readers of a film who agree, (films,), from `rating_counts`."""
    raters = counts.sum(axis=1)
    return (counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))


def _of_readers(counts: np.ndarray, films: np.ndarray) -> np.ndarray:
    """Observed agreement, Fleiss' κ (1971) and Gwet's AC1 (2008, British Journal of Mathematical and Statistical
    Psychology 61, 29), (resamples, 3); `films` (resamples, films) says how often each film counts. κ is not a number
    where all answers are of one category."""
    number = films.sum(axis=1)
    observed = films @ observed_agreement(counts) / number
    shares = films @ (counts / counts.sum(axis=1, keepdims=True)) / number[:, None]
    by_chance = (shares**2).sum(axis=1), (shares * (1 - shares)).sum(axis=1) / (counts.shape[1] - 1)
    return np.stack([observed, *(divided(observed - chance, 1 - chance) for chance in by_chance)], axis=1)


def _of_two(tables: np.ndarray, weights: str) -> np.ndarray:
    """Share of equal answers, Cohen's κ and Gwet's AC1, (resamples, 3), from tables (resamples, K, K).

    `weights`: "none" (Cohen 1960), or "quadratic" for ordered categories (1968): a disagreement then counts by the
    square of the steps between the two.
    """
    number, categories = tables.sum(axis=(1, 2)), tables.shape[1]
    steps = np.subtract.outer(np.arange(categories), np.arange(categories))
    cost = steps.astype(float) ** 2 if weights == "quadratic" else (steps != 0).astype(float)
    shares = tables / number[:, None, None]
    first, second = shares.sum(axis=2), shares.sum(axis=1)
    observed = np.trace(shares, axis1=1, axis2=2)
    expected = np.einsum("rk,kl,rl->r", first, cost, second)
    disagreement = (cost * shares).sum(axis=(1, 2))
    kappa = 1 - divided(disagreement, expected)
    means = (first + second) / 2
    chance = (means * (1 - means)).sum(axis=1) / (categories - 1)
    return np.stack([observed, kappa, divided(observed - chance, 1 - chance)], axis=1)


def agreement_of_readers(
    ratings: np.ndarray, categories: int, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Share of agreeing pairs, Fleiss' κ and Gwet's AC1 of all readers, with 95 % intervals over the films.

    The readers are taken as they are, as in Gwet's own variance: the intervals speak of other films, not of other
    readers. Empty where no film has two answers.
    """
    counts = rating_counts(ratings, categories)
    if not len(counts):
        return {}
    drawn = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), resamples)
    estimates = _of_readers(counts, np.ones((1, len(counts))))[0]
    names = ("agreement", "Fleiss' κ", "Gwet's AC1")
    return _intervals(names, estimates, _of_readers(counts, drawn), len(counts))


def agreement_of_two(
    first: np.ndarray, second: np.ndarray, categories: int, *, seed: int, films: np.ndarray | None = None,
    weights: str = "none", resamples: int = RESAMPLES,
) -> dict[str, Interval]:  # fmt: skip
    """Share of equal answers, Cohen's κ and Gwet's AC1 of two columns, with 95 % intervals over the films.

    For two readers, for a reader and the truth, or for a reader's first and second answer. `films` (answers,) names
    the film of each answer where several readers gave some: a film is then drawn with all of its answers. The interval
    of the share is exact, or Wilson's for films with several answers. Empty without an answer in both columns.
    """
    first, second = np.asarray(first), np.asarray(second)
    both = (first >= 0) & (second >= 0)
    if not both.any():
        return {}
    _, film = np.unique(np.arange(len(first))[both] if films is None else np.asarray(films)[both], return_inverse=True)
    tables = np.zeros((film.max() + 1, categories, categories))
    np.add.at(tables, (film, first[both], second[both]), 1.0)
    number = len(tables)
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), resamples)
    values = _of_two(np.einsum("bf,fkl->bkl", drawn, tables), weights)
    names = ("agreement", "Cohen's κ" if weights == "none" else "Cohen's κ, weighted", "Gwet's AC1")
    found = _intervals(names, _of_two(tables.sum(axis=0)[None], weights)[0], values, number)
    same = (first == second)[both]
    found["agreement"] = (
        exact_interval(int(same.sum()), number) if number == len(same) else clustered_wilson(same, film)
    )
    return found


def _intervals(names: tuple[str, ...], estimates: np.ndarray, values: np.ndarray, films: int) -> dict[str, Interval]:
    """Percentiles of the resamples; no interval where there are too few films for one."""
    bounds = percentile_bounds(values, (-1.0, 1.0)) if films >= FEWEST_FILMS else np.full((len(names), 2), np.nan)
    return {
        name: Interval(float(estimate), float(low), float(high))
        for name, estimate, (low, high) in zip(names, estimates, bounds, strict=True)
    }
