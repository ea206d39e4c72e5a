"""How often films are positive that get a probability: bin by bin, with intervals over patients and training runs."""

import numpy as np
import pandas as pd

from cxrlib.evaluation.calibration import BINS, bins_of
from cxrlib.evaluation.ratios import resample_ratios
from cxrlib.evaluation.scores import Scores
from cxrlib.evaluation.uncertainty import RESAMPLES

COLUMNS = ["role", "arm", "calibrated", "bin", "p_mean", "positive_share", "low", "high", "films"]


def reliability_table(scores: dict[str, dict[str, Scores]], *, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """A row per role, arm, bin, and before or after temperature scaling (`calibrated`); means over seeds.

    Each seed has its own bins of about equally many films; a bin that is empty in some seed is left out. `films` is the
    mean number of films in the bin.
    """
    rows = []
    for role, arms in scores.items():
        for arm, found in arms.items():
            for calibrated, p in ((False, found.p_positive), (True, found.p_calibrated)):
                inside = (np.stack([bins_of(of_seed) for of_seed in p])[..., None] == np.arange(BINS)).astype(float)
                counts = inside.sum(axis=1)
                kept = np.flatnonzero((counts > 0).all(axis=0))
                inside, counts = inside[..., kept], counts[:, kept]
                p_mean = ((inside * p[..., None]).sum(axis=1) / counts).mean(axis=0)
                positive = inside * found.labels[:, None]
                interval = resample_ratios(found, positive, inside, seed=seed, resamples=resamples).intervals((0, 1))
                columns = kept, p_mean, interval.estimates, interval.low, interval.high, counts.mean(axis=0)
                rows += [(role, arm, calibrated, *row) for row in zip(*columns, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS)
