"""The kernel distance between two sets of films, with an interval that rests on patients, and its paired differences.

The squared maximum mean discrepancy with the kernel (xᵀy/D + 1)³ (Bińkowski et al. 2018), unbiased: all pairs of films
count but those of one group, since a patient's films are alike. The interval is a jackknife that leaves out a group at
a time of either set, by Student's t with Welch's degrees of freedom. (A bootstrap draws films twice, and a film beside
itself is a pair that no sample has: it is biased here.)
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from cxrlib.errors import InputError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class KernelDistance:
    """An estimate, and what it is without each group of the first set (G,) and of the second (H,)."""

    estimate: float
    without_first: np.ndarray
    without_second: np.ndarray

    def bounds(self) -> tuple[float, float]:
        """Ends of the 95 % interval; where both sets are of one distribution it is wider than it need be."""
        # Of each set, from the values with one group left out (Efron and Tibshirani 1993, equation 11.5).
        both = self.without_first, self.without_second
        parts = [float((len(v) - 1) / len(v) * ((v - v.mean()) ** 2).sum()) for v in both]
        freedom, variance = [len(v) - 1 for v in both], sum(parts)
        if variance == 0:
            return self.estimate, self.estimate
        welch = variance**2 / sum(part**2 / number for part, number in zip(parts, freedom, strict=True))
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, welch) * variance**0.5
        return self.estimate - float(reach), self.estimate + float(reach)

    def __sub__(self, other: "KernelDistance") -> "KernelDistance":
        """The difference of two distances whose groups are the same ones in the same order: what both owe to a patient,
        or to a seed, cancels."""
        return KernelDistance(
            self.estimate - other.estimate,
            self.without_first - other.without_first,
            self.without_second - other.without_second,
        )


def kernel_distance(
    first: np.ndarray, second: np.ndarray, first_groups: np.ndarray | None = None,
    second_groups: np.ndarray | None = None,
) -> KernelDistance:  # fmt: skip
    """Distance between features (N, D) and (M, D); groups (N,) and (M,) are patients, by default each film is its own.

    Near 0, and as often below as above, where both sets come from one distribution. Groups left out go by their sorted
    names. Raises `InputError` if a set has fewer than 3 groups, features differ in number or are not finite.
    """
    a, b = checked(first, second, "kernel distance", 2)
    groups = [
        np.unique(np.arange(len(rows)) if names is None else np.asarray(names), return_inverse=True)[1]
        for rows, names in ((a, first_groups), (b, second_groups))
    ]
    for name, numbers, rows in zip(("first", "second"), groups, (a, b), strict=True):
        if len(numbers) != len(rows):
            raise ValueError(f"{len(numbers)} groups for the {len(rows)} films of the {name} set")
        if numbers.max() < 2:
            raise InputError(f"kernel distance: the {name} set is of {numbers.max() + 1} patients; expected at least 3")
    cross = _kernel(a, b)
    own = [_between(_kernel(rows, rows), numbers) for rows, numbers in zip((a, b), groups, strict=True)]
    means = [total / pairs for total, pairs, _, _ in own]
    estimate = sum(means) - 2 * cross.mean()
    without = []
    for index, numbers in enumerate(groups):
        total, pairs, by_group, pairs_by_group = own[index]
        rows, others = cross.shape if index == 0 else cross.shape[::-1]
        lost = np.bincount(numbers, cross.sum(axis=1 - index))
        left = rows - np.bincount(numbers)
        within = (total - 2 * by_group) / (pairs - 2 * pairs_by_group)
        without.append(within + means[1 - index] - 2 * (cross.sum() - lost) / (left * others))
    return KernelDistance(float(estimate), *without)


def _kernel(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    return ((a @ b.T / a.shape[1] + 1) ** 3).numpy()


def _between(kernel: np.ndarray, numbers: np.ndarray) -> tuple[float, int, np.ndarray, np.ndarray]:
    """Sum over ordered pairs of different groups, how many they are; both for the pairs that begin in each group."""
    groups = numbers.max() + 1
    sums = np.zeros((groups, len(kernel)))
    np.add.at(sums, numbers, kernel)
    table = np.zeros((groups, groups))
    np.add.at(table.T, numbers, sums.T)
    np.fill_diagonal(table, 0)
    sizes = np.bincount(numbers)
    pairs = sizes * (len(kernel) - sizes)
    return table.sum(), int(pairs.sum()), table.sum(axis=1), pairs


def checked(
    features_a: np.ndarray, features_b: np.ndarray, measure: str, fewest: int, why: str = ""
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sets in float64, since squares and cubes lose small differences in float32; `InputError` if not usable."""
    for name, features in (("first", features_a), ("second", features_b)):
        if features.ndim != 2 or len(features) < fewest:
            raise InputError(
                f"{measure}: the {name} set has features of shape {features.shape}; "
                f"expected at least {f'{why} = ' if why else ''}{fewest} rows of features"
            )
        if not np.isfinite(features).all():
            raise InputError(f"{measure}: features of the {name} set are not all finite")
    a, b = (torch.from_numpy(np.asarray(features, np.float64)) for features in (features_a, features_b))
    if a.shape[1] != b.shape[1]:
        raise InputError(f"{measure}: {a.shape[1]} features in the first set, {b.shape[1]} in the second")
    return a, b
