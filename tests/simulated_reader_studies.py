"""Reader studies of which the truth is known, and how often intervals hold it."""

from itertools import combinations

import numpy as np
from scipy import special, stats

from cxrlib.evaluation.pairwise import compare_with_first, preferred_to_first
from cxrlib.evaluation.reader_studies import reader_study
from cxrlib.evaluation.readers import areas_by_reader

CRITERIA = (-1.2, -0.6, 0.0, 0.6, 1.2)
FILMS_VARY = 0.7
INTERVALS = ("interval", "small_sample_interval")


def covered(readers: int, films: int, differ: float, draws: int) -> dict[str, float]:
    """How often each of `INTERVALS` of the mean area holds the true one, of readers whose d′ varies by `differ`."""
    random, real = np.random.default_rng(readers * films), np.repeat([True, False], films // 2)
    edges = np.concatenate([[-np.inf], CRITERIA, [np.inf]])
    distances = 0.9 + differ * stats.norm.ppf((np.arange(200) + 0.5) / 200)
    shares = [np.diff(stats.norm.cdf(edges - side * distances[:, None])) for side in (0.5, -0.5)]
    truth = (shares[0] * (np.cumsum(shares[1], axis=1) - shares[1] / 2)).sum(axis=1).mean()
    held = dict.fromkeys(INTERVALS, 0)
    for _ in range(draws):
        means = np.where(real, 0.5, -0.5) * random.normal(0.9, differ, (readers, 1))
        looks = means + 0.5**0.5 * (random.normal(size=films) + random.normal(size=(readers, films)))
        study = reader_study(areas_by_reader(np.searchsorted(CRITERIA, looks), real, 6), real)
        for name in INTERVALS:
            found = getattr(study, name)()
            held[name] += found.low <= truth <= found.high
    return {name: number / draws for name, number in held.items()}


def pairs_covered(readers: int, pairs: int, generators: int, differ: float, apart: float, draws: int) -> float:
    """How often the interval of `compare_with_first` holds the true chance that a generator is preferred to the first.

    So many `pairs` are shared out among each two of the generators, which stand `apart` in turn above and below the
    first on the scale of log odds. Films of one generator vary by 0.7, and readers' liking of it by `differ`.
    """
    random = np.random.default_rng(readers * pairs)
    kinds = list(combinations(range(generators), 2))
    shown = np.repeat(kinds, pairs // len(kinds), axis=0)
    levels = apart * np.array([0, 1, -0.7, 0.4])[:generators]
    # The chances over all films and readers, a mixture of the logistic with the normal, in steps of equal probability.
    spread = np.hypot(FILMS_VARY, differ) * 2**0.5 * stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    won = special.expit(np.subtract.outer(levels, levels)[..., None] + spread).mean(axis=-1)
    truth = preferred_to_first(1e6 * won * ~np.eye(generators, dtype=bool))[1:]
    held = 0
    for _ in range(draws):
        looks = random.normal(levels[shown], FILMS_VARY) + random.normal(0, differ, (readers, generators))[:, shown]
        first = random.random(looks.shape[:2]) < special.expit(looks[..., 0] - looks[..., 1])
        found = compare_with_first(np.where(first, *shown.T), shown, generators)
        held += sum(interval.low <= chance <= interval.high for interval, chance in zip(found, truth, strict=True))
    return float(held / (draws * (generators - 1)))
