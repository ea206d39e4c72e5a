"""Decision curves: what a classifier is worth to someone who acts at a given probability (Vickers & Elkin 2006)."""

import numpy as np
import pandas as pd

from cxrlib.evaluation.scores import Scores

THRESHOLDS = np.arange(1, 100) / 100
TREAT_ALL, TREAT_NONE = "treat-all", "treat-none"


def net_benefit(labels: np.ndarray, p_positive: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """True positives per film, less false positives per film weighted by the odds of the threshold; (thresholds,).

    Whoever acts from probability t upwards finds one missed positive as bad as (1 − t) / t false alarms. Thresholds
    lie between 0 and 1, both excluded.
    """
    called = np.asarray(p_positive) >= np.asarray(thresholds)[:, None]
    positive = np.asarray(labels) == 1
    odds = thresholds / (1 - thresholds)
    return (called & positive).mean(axis=1) - odds * (called & ~positive).mean(axis=1)


def decision_curves(scores: dict[str, dict[str, Scores]]) -> pd.DataFrame:
    """Net benefit of each arm and seed by threshold, from the calibrated probabilities, and of two rules without a
    classifier: call every film positive (`treat-all`) and none (`treat-none`); these two have seed 0."""
    parts = []
    for role, arms in scores.items():
        for arm, found in arms.items():
            for seed, p_positive in zip(found.seeds, found.p_calibrated, strict=True):
                parts.append(_curve(role, arm, seed, net_benefit(found.labels, p_positive)))
        if arms:
            labels = next(iter(arms.values())).labels
            parts.append(_curve(role, TREAT_ALL, 0, net_benefit(labels, np.ones(len(labels)))))
            parts.append(_curve(role, TREAT_NONE, 0, net_benefit(labels, np.zeros(len(labels)))))
    return pd.concat(parts, ignore_index=True)


def _curve(role: str, arm: str, seed: int, benefit: np.ndarray) -> pd.DataFrame:
    facts = {"role": role, "arm": arm, "seed": seed, "threshold": THRESHOLDS, "net_benefit": benefit}
    return pd.DataFrame(facts)
