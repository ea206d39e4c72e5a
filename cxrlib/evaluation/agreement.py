"""How far people who judge the same films agree, beyond what chance would give.

Ratings are an int array (films, readers) of categories 0 to K − 1, with −1 where a reader gave no answer. κ and AC1
differ in what they take for chance: κ falls near 0 where nearly every film is of one kind although readers agree on
almost all of them, AC1 does not, and so both are given.
"""

import numpy as np

from cxrlib.evaluation.uncertainty import RESAMPLES, Interval, percentile_bounds

NOT_ANSWERED = -1


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


def fleiss_kappa(counts: np.ndarray) -> float:
    """Fleiss' κ (1971), of any number of readers a film; not a number where all answers are of one category."""
    shares = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    return _beyond_chance(observed_agreement(counts).mean(), float((shares**2).sum()))


def gwet_ac1(counts: np.ndarray) -> float:
    """Gwet's AC1 (2008, British Journal of Mathematical and Statistical Psychology 61, eq. 4 to 6)."""
    shares = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    chance = float((shares * (1 - shares)).sum() / (counts.shape[1] - 1))
    return _beyond_chance(observed_agreement(counts).mean(), chance)


def cohen_kappa(first: np.ndarray, second: np.ndarray, categories: int, *, weights: str = "none") -> float:
    """Cohen's κ of two columns of ratings (films,), where both answered.

    `weights`: "none" (1960), or "quadratic" for ordered categories (Cohen 1968): a disagreement then counts by the
    square of the steps between the two. Not a number where all answers are of one category.
    """
    both = (np.asarray(first) >= 0) & (np.asarray(second) >= 0)
    table = np.zeros((categories, categories))
    np.add.at(table, (np.asarray(first)[both], np.asarray(second)[both]), 1.0)
    steps = np.subtract.outer(np.arange(categories), np.arange(categories))
    cost = steps.astype(float) ** 2 if weights == "quadratic" else (steps != 0).astype(float)
    if not table.sum():
        return float("nan")
    table /= table.sum()
    expected = float((cost * np.outer(table.sum(axis=1), table.sum(axis=0))).sum())
    return float(1 - (cost * table).sum() / expected) if expected > 0 else float("nan")


def _beyond_chance(observed: float, chance: float) -> float:
    return float((observed - chance) / (1 - chance)) if chance < 1 else float("nan")


COEFFICIENTS = {"Fleiss' κ": fleiss_kappa, "Gwet's AC1": gwet_ac1}


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
    measures = {"agreement": lambda of_films: float(observed_agreement(of_films).mean()), **COEFFICIENTS}
    draws = np.random.default_rng(seed).integers(0, len(counts), (resamples, len(counts)))
    values = np.array([[measure(counts[rows]) for measure in measures.values()] for rows in draws])
    bounds = percentile_bounds(values, (-1.0, 1.0))
    return {
        name: Interval(measure(counts), float(low), float(high))
        for (name, measure), (low, high) in zip(measures.items(), bounds, strict=True)
    }


def agreement_of_two(
    first: np.ndarray, second: np.ndarray, categories: int, *, seed: int, weights: str = "none",
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:  # fmt: skip
    """Share of equal answers, Cohen's κ and Gwet's AC1 of two columns, with 95 % intervals over the films.

    For two readers, for a reader and the truth, or for a reader's first and second answer. Empty without a film that
    both columns answer.
    """
    first, second = np.asarray(first), np.asarray(second)
    both = (first >= 0) & (second >= 0)
    first, second = first[both], second[both]
    if not len(first):
        return {}

    def measured(rows: np.ndarray) -> list[float]:
        pair = np.stack([first[rows], second[rows]], axis=1)
        kappa = cohen_kappa(pair[:, 0], pair[:, 1], categories, weights=weights)
        return [float((pair[:, 0] == pair[:, 1]).mean()), kappa, gwet_ac1(rating_counts(pair, categories))]

    draws = np.random.default_rng(seed).integers(0, len(first), (resamples, len(first)))
    bounds = percentile_bounds(np.array([measured(rows) for rows in draws]), (-1.0, 1.0))
    names = ("agreement", "Cohen's κ" if weights == "none" else "Cohen's κ, weighted", "Gwet's AC1")
    estimates = measured(np.arange(len(first)))
    return {
        name: Interval(estimate, float(low), float(high))
        for name, estimate, (low, high) in zip(names, estimates, bounds, strict=True)
    }
