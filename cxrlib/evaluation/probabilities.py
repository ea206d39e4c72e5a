"""What probabilities are worth: to someone who acts at one of them, and whether so many films are positive as they say.

Decision curves: Vickers & Elkin 2006. Intervals are over patients and training runs.
"""

import numpy as np
import pandas as pd

from cxrlib.evaluation.calibration import BINS, bins_of
from cxrlib.evaluation.resampled import ratios_of
from cxrlib.evaluation.scores import Scores
from cxrlib.evaluation.uncertainty import RESAMPLES

THRESHOLDS = np.arange(1, 100) / 100
TREAT_ALL, TREAT_NONE = "treat-all", "treat-none"
RELIABILITY_COLUMNS = ["role", "arm", "calibrated", "bin", "p_mean", "positive_share", "low", "high", "films"]


def net_benefit(labels: np.ndarray, p_positive: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """True positives per film, less false positives per film weighted by the odds of the threshold; (thresholds,).

    Whoever acts from probability t upwards finds one missed positive as bad as (1 − t) / t false alarms. Thresholds
    lie between 0 and 1, both excluded.
    """
    called = np.asarray(p_positive) >= np.asarray(thresholds)[:, None]
    positive = np.asarray(labels) == 1
    odds = thresholds / (1 - thresholds)
    return (called & positive).mean(axis=1) - odds * (called & ~positive).mean(axis=1)


def decision_curves(scores: dict[str, dict[str, Scores]], *, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Net benefit of each arm by threshold, mean over seeds with its interval over patients and training runs, from the
    calibrated probabilities; and of two rules without a classifier: call every film positive (`treat-all`), or none
    (`treat-none`), without intervals."""
    parts, odds = [], THRESHOLDS / (1 - THRESHOLDS)
    for role, arms in scores.items():
        for arm, found in arms.items():
            called = found.p_calibrated[..., None] >= THRESHOLDS
            worth = np.where(found.labels[:, None] == 1, 1.0, -odds)
            known, every = (found.patients, found.seeds, found.runs), np.ones(called.shape)
            interval = ratios_of(*known, called * worth, every, seed=seed, resamples=resamples).intervals()
            parts.append(_curve(role, arm, interval.estimates, interval.low, interval.high))
        if arms:
            labels = next(iter(arms.values())).labels
            for rule, answer in ((TREAT_ALL, np.ones), (TREAT_NONE, np.zeros)):
                benefit = net_benefit(labels, answer(len(labels)))
                parts.append(_curve(role, rule, benefit, *np.full((2, len(benefit)), np.nan)))
    return pd.concat(parts, ignore_index=True)


def _curve(role: str, arm: str, benefit: np.ndarray, low: np.ndarray, high: np.ndarray) -> pd.DataFrame:
    facts = {"role": role, "arm": arm, "threshold": THRESHOLDS, "net_benefit": benefit, "low": low, "high": high}
    return pd.DataFrame(facts)


def reliability_table(scores: dict[str, dict[str, Scores]], *, seed: int, resamples: int = RESAMPLES) -> pd.DataFrame:
    """A row per role, arm, bin, and before or after temperature scaling (`calibrated`); means over seeds.

    Each seed has its own bins of about equally many films; a bin that is empty in some seed is left out. `films` is the
    mean number of films in the bin.
    """
    rows = []
    for role, arms in scores.items():
        for arm, found in arms.items():
            known = found.patients, found.seeds, found.runs
            for calibrated, p in ((False, found.p_positive), (True, found.p_calibrated)):
                inside = (np.stack([bins_of(of_seed) for of_seed in p])[..., None] == np.arange(BINS)).astype(float)
                counts = inside.sum(axis=1)
                kept = np.flatnonzero((counts > 0).all(axis=0))
                inside, counts = inside[..., kept], counts[:, kept]
                p_mean = ((inside * p[..., None]).sum(axis=1) / counts).mean(axis=0)
                positive = inside * found.labels[:, None]
                interval = ratios_of(*known, positive, inside, seed=seed, resamples=resamples).intervals((0, 1))
                columns = kept, p_mean, interval.estimates, interval.low, interval.high, counts.mean(axis=0)
                rows += [(role, arm, calibrated, *row) for row in zip(*columns, strict=True)]
    return pd.DataFrame(rows, columns=RELIABILITY_COLUMNS)
