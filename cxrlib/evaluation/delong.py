"""Areas under ROC curves compared: DeLong's test, with films grouped by patient.

The area is a mean over pairs of a positive and a negative film, and its variance follows from how much each film
contributes to it (DeLong, DeLong & Clarke-Pearson 1988). DeLong's test takes films for independent. Films of one
patient are not, so contributions are first summed within patients (Obuchowski 1997); with one film per patient the two
are the same. Contributions are computed from midranks in O(n log n) (Sun & Xu 2014). Where films fall into parts that
can't be ranked against each other, the area is the mean over parts weighted by their pairs, and a cluster contributes
what it contributes to each.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Contributions:
    """An area and what each cluster contributes to its deviation, (clusters,) for positive and for negative films."""

    auc: float
    positive: np.ndarray
    negative: np.ndarray
    has_positive: np.ndarray
    has_negative: np.ndarray


@dataclass(frozen=True)
class DelongTest:
    """Difference of two areas, its standard error, z and the two-sided p."""

    difference: float
    standard_error: float
    statistic: float
    p_value: float


def contributions(
    labels: np.ndarray, p_positive: np.ndarray, clusters: np.ndarray, number: int, parts: np.ndarray | None = None
) -> Contributions:
    """Of one classifier: labels (rows,) of 0 and 1, probabilities (rows,), clusters (rows,) from 0 to number − 1.

    A cluster is a patient, or a film for DeLong's own test. Only films of the same part (rows,) are compared. Both
    labels must be there in some part; a part that lacks one does not count.
    """
    positive = np.asarray(labels) == 1
    parts = np.zeros(len(positive), dtype=int) if parts is None else np.asarray(parts)
    shares = {
        part: float(positive[parts == part].sum() * (~positive[parts == part]).sum()) for part in np.unique(parts)
    }
    auc, summed, there = 0.0, np.zeros((2, number)), np.zeros((2, number), dtype=bool)
    for part, pairs in shares.items():
        if not pairs:
            continue
        rows = parts == part
        share = pairs / sum(shares.values())
        area, *deviations = _deviations(positive[rows], p_positive[rows])
        auc += share * area
        for side, (label, deviation) in enumerate(zip((True, False), deviations, strict=True)):
            inside = clusters[rows & (positive == label)]
            summed[side] += share * np.bincount(inside, deviation, minlength=number) / len(inside)
            there[side] |= np.bincount(inside, minlength=number) > 0
    return Contributions(auc, *summed, *there)


def _deviations(positive: np.ndarray, p_positive: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The area, and how far each positive's and each negative's share of right pairs lies from it."""
    x, y = p_positive[positive], p_positive[~positive]
    ranks = stats.rankdata(p_positive)
    below_x = (ranks[positive] - stats.rankdata(x)) / len(y)
    above_y = 1 - (ranks[~positive] - stats.rankdata(y)) / len(x)
    auc = float(below_x.mean())
    return auc, below_x - auc, above_y - auc


def variance(found: Contributions, reference: Contributions | None = None) -> float:
    """Variance of an area, or of the difference of two areas on the same clusters (Obuchowski 1997, eq. 3 to 6).

    Not a number where one label has a single cluster.
    """
    positive, negative = found.positive, found.negative
    if reference is not None:
        positive, negative = positive - reference.positive, negative - reference.negative
    with_positive, with_negative = int(found.has_positive.sum()), int(found.has_negative.sum())
    clusters = int((found.has_positive | found.has_negative).sum())
    if min(with_positive, with_negative) < 2:
        return float("nan")
    return float(
        with_positive / (with_positive - 1) * (positive @ positive)
        + with_negative / (with_negative - 1) * (negative @ negative)
        + 2 * clusters / (clusters - 1) * (positive @ negative)
    )


def delong_test(found: Contributions, reference: Contributions) -> DelongTest:
    """Whether two areas differ; both classifiers must have answered for the same clusters.

    Two classifiers that rank alike have p = 1; where the areas differ although no film varies (both separate the
    labels without error, one the wrong way round), z and p are not numbers.
    """
    difference = found.auc - reference.auc
    spread = variance(found, reference) ** 0.5
    if spread > 0:
        z = difference / spread
        return DelongTest(difference, spread, z, float(2 * stats.norm.sf(abs(z))))
    same = spread == 0 and difference == 0
    return DelongTest(difference, spread, *((0.0, 1.0) if same else (float("nan"), float("nan"))))
