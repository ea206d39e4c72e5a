"""What validation decides about a finished classifier: the temperature of its probabilities, and a threshold."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from cxrlib.errors import InputError

# Probabilities nearer to 0 or 1 than this are taken for this: float64 keeps no difference beyond it.
SMALLEST_PROBABILITY = 1e-12
# Where validation films are told apart without error, ever lower temperatures fit ever better; where the answers are
# no better than chance, ever higher ones. At either limit nothing is known of the temperature.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.2, 10.0
# Probabilities this near to 0 or 1, or to each other, no longer tell films apart.
SATURATED = 1e-6
NO_TEMPERATURE = "no temperature can be estimated, left at 1"
ALL_ALIKE = "all tuning films get the same probability"
ALL_SURE = "nearly all probabilities are 0 or 1"


def logits(p_positive: np.ndarray) -> np.ndarray:
    """log(p / (1 − p)), finite for every p in [0, 1]."""
    return logit(np.clip(p_positive, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))


def calibrated(p_positive: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities of the same order whose log-odds are divided by the temperature."""
    return expit(logits(p_positive) / temperature)


def fit_temperature(p_positive: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of least negative log-likelihood (Guo et al. 2017, On calibration of modern neural networks).

    `p_positive` (N,) in [0, 1], `labels` (N,) of 0 and 1. In β = 1/temperature the likelihood is convex: its
    derivative, the mean of (σ(βz) − y)·z, rises, and its root is found to 1e-10. The result lies between 0.2 and
    10; at these limits the films say nothing of the temperature.
    Raises `InputError` if a label is missing or a probability is not from 0 to 1.
    """
    check_validation(p_positive, labels)
    z = logits(p_positive)

    def slope(beta: float) -> float:
        return float(((expit(beta * z) - labels) * z).mean())

    flattest, steepest = 1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE
    if slope(flattest) >= 0:
        return 1.0 if not z.any() else HIGHEST_TEMPERATURE
    if slope(steepest) <= 0:
        return LOWEST_TEMPERATURE
    return float(1 / brentq(slope, flattest, steepest, xtol=1e-10))


def youden_threshold(p_positive: np.ndarray, labels: np.ndarray) -> float:
    """The threshold t of largest sensitivity + specificity − 1 where p ≥ t means positive (Youden 1950).

    Candidates are 0.5 and the midpoints between neighbouring probabilities; of equally good ones the nearest to 0.5.
    Raises `InputError` as `fit_temperature` does.
    """
    check_validation(p_positive, labels)
    levels = np.unique(p_positive)
    edges = np.concatenate(([0.0], levels, [1.0]))
    candidates = np.unique(np.concatenate(([0.5], (edges[1:] + edges[:-1]) / 2)))
    positives, negatives = np.sort(p_positive[labels == 1]), np.sort(p_positive[labels == 0])
    # Counted rather than divided, so that equally good thresholds are exactly equal.
    hits = len(positives) - np.searchsorted(positives, candidates, side="left")
    rejected = np.searchsorted(negatives, candidates, side="left")
    gain = hits * len(negatives) + rejected * len(positives)
    best = candidates[gain == gain.max()]
    return float(best[np.argmin(np.abs(best - 0.5))])


def decided_by_validation(p_positive: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Threshold and temperature by the names that they have in a classifier's record; a temperature at its limit is
    not applied: it is 1."""
    temperature = fit_temperature(p_positive, labels)
    return {
        "threshold_validation": youden_threshold(p_positive, labels),
        "temperature": temperature if LOWEST_TEMPERATURE < temperature < HIGHEST_TEMPERATURE else 1.0,
    }


def remarks(p_positive: np.ndarray, labels: np.ndarray) -> list[str]:
    """What is wrong with a classifier's probabilities of validation films, in words; empty if nothing is."""
    found = []
    if not LOWEST_TEMPERATURE < fit_temperature(p_positive, labels) < HIGHEST_TEMPERATURE:
        found.append(NO_TEMPERATURE)
    if np.ptp(p_positive) < SATURATED:
        found.append(ALL_ALIKE)
    elif np.mean(np.minimum(p_positive, 1 - p_positive) < SATURATED) > 0.99:
        found.append(ALL_SURE)
    return found


def check_validation(p_positive: np.ndarray, labels: np.ndarray) -> None:
    """Raises `InputError` where validation can't decide anything."""
    if not np.all((p_positive >= 0) & (p_positive <= 1)):
        wrong = int((~((p_positive >= 0) & (p_positive <= 1))).sum())
        raise InputError(f"validation: found {wrong} of {len(p_positive)} probabilities that are not from 0 to 1")
    for value, label in enumerate(("negative", "positive")):
        if not (labels == value).any():
            raise InputError(
                f"validation: found {len(labels)} films, none of them {label}; threshold and temperature need both "
                "labels: check `data.validation` in the study file and its labels"
            )
