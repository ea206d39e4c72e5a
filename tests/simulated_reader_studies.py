"""Reader studies whose true mean area is known, and how often intervals hold it."""

import numpy as np
from scipy import stats

from cxrlib.evaluation.reader_studies import reader_study
from cxrlib.evaluation.readers import areas_by_reader

CRITERIA = (-1.2, -0.6, 0.0, 0.6, 1.2)
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
