"""Ratios of sums over films, such as net benefit or the share of positives in a bin, on resampled patients."""

import numpy as np

from cxrlib.evaluation.resampled import Resampled, draws
from cxrlib.evaluation.scores import Scores
from cxrlib.evaluation.uncertainty import RESAMPLES, divided


def resample_ratios(
    scores: Scores, top: np.ndarray, bottom: np.ndarray, *, seed: int, resamples: int = RESAMPLES
) -> Resampled:
    """Ratios of an arm's films: `ratios_of` with its patients and runs."""
    return ratios_of(scores.patients, scores.seeds, scores.runs, top, bottom, seed=seed, resamples=resamples)


def ratios_of(
    rows: np.ndarray, seeds: tuple[int, ...], runs: tuple[int, ...], top: np.ndarray, bottom: np.ndarray, *,
    seed: int, resamples: int = RESAMPLES,
) -> Resampled:  # fmt: skip
    """Sums of `top` over sums of `bottom`, both (seeds, films, quantities), seed by seed and resample by resample.

    `rows` (films,) are the patients, as whole numbers from 0. Not a number where a resample has no film in the
    denominator.
    """
    patients, parts = int(rows.max()) + 1, []
    sums = []
    for values in (top, bottom):
        by_patient = np.zeros((len(values), patients, values.shape[-1]))
        for run, of_run in zip(by_patient, values, strict=True):
            np.add.at(run, rows, of_run)
        sums.append(by_patient)
    for times in draws(patients, resamples, np.random.default_rng(seed)):
        upper, lower = (np.einsum("rp,spq->rsq", times, values, optimize=True) for values in sums)
        parts.append(divided(upper, lower))
    behind = (sums[1] > 0).sum(axis=1).min(axis=0)
    return Resampled.of_draws(seeds, runs, np.concatenate(parts), resamples, behind)
