"""How near two sets of films are, by features.

Features are taken by `film_features`, with the study's judge. Distances between sets: Fréchet distance (the kernel
distance has a module of its own), and one of left and right; what part of one set lies among the films of the other:
precision, recall, density, coverage.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional

from cxrlib.features import describe_weights, extract_features, feature_extractor
from cxrlib.generators.kernel_distance import checked
from cxrlib.networks import JUDGE, NETWORKS, TEACHER

if TYPE_CHECKING:
    from cxrlib.study import Study

NEIGHBOURS = 5
PIXEL_SIDE = 16


def judge_of(study: "Study") -> tuple[str, str]:
    """Network and weights of the judge: the study's own where they are trained, else EfficientNet-Lite0 with those of
    ImageNet, which need no download. Random networks hardly see what is wrong with a film, and the one
    that the generators learned from is partial."""
    own = study.classifier.network, study.classifier.weights
    return (JUDGE, "imagenet") if own[1] == "none" or own == (TEACHER, "imagenet") else own


def second_judge_of(study: "Study") -> tuple[str, str] | None:
    """Network and weights of the judge that the study names beside it, if it names one."""
    return (study.gan.second_judge, study.gan.second_judge_weights) if study.gan.second_judge else None


def film_features(study: "Study", films: np.ndarray, judge: tuple[str, str] | None = None) -> np.ndarray:
    """Features of films, uint8 (N, S, S) to float32 (N, D): the penultimate layer of a judge, by default `judge_of`."""
    network, weights = judge or judge_of(study)
    return extract_features(films, network=network, weights=weights, seed=study.seed)


def film_extractor(study: "Study") -> Callable[[np.ndarray], np.ndarray]:
    """`film_features` as a function of the films, for callers that come again and again: the network is built once."""
    network, weights = judge_of(study)
    return feature_extractor(study.gan.resolution, network=network, weights=weights, seed=study.seed)


def describe_features(study: "Study", judge: tuple[str, str] | None = None) -> str:
    """Network, weights, layer and size of the films of a judge, in words for a reader."""
    network, weights = judge or judge_of(study)
    side = f"{study.gan.resolution} px brought to {NETWORKS[network].side}"
    return f"{network}, {describe_weights(network, weights)}, penultimate layer, {side}"


def side_distance(real: np.ndarray, other: np.ndarray) -> float:
    """How differently left and right differ in two sets of films, in grey levels, from what `left_from_right` gives of
    them, (N, 16, 16) and (M, 16, 16).

    Root mean square difference of the two mean films, each less its mirror image. Features hardly change where a film
    is mirrored, so that no measure by them sees a heart on the wrong side.
    """
    return float(np.sqrt(np.square(real.mean(0) - other.mean(0)).mean()))


def left_from_right(films: np.ndarray) -> np.ndarray:
    """Half the difference of films uint8 (N, S, S) from their mirror images, in grey levels: float64 (N, 16, 16)."""
    small = functional.adaptive_avg_pool2d(torch.from_numpy(np.array(films)).double(), PIXEL_SIDE)
    return ((small - small.flip(2)) / 2).numpy()


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Fréchet distance between normal distributions fitted to features (N, D) and (M, D); 0 where they are equal.

    |m_a − m_b|² + tr(C_a + C_b − 2 (C_a C_b)^½), with unbiased covariances (Heusel et al. 2017, equation 6). Biased
    upwards, the more so the fewer the films: covariances of few films can't be told from those of another draw. Only
    distances between equal numbers of films can be compared, and the one between two halves of the same films is the
    least that can be expected. Raises `InputError` if a set has fewer than 2 rows or a value is not finite.
    """
    a, b = checked(features_a, features_b, "Fréchet distance", 2)
    roots, traces = [], torch.zeros(())
    for features in (a, b):
        centred = (features - features.mean(0)) / (len(features) - 1) ** 0.5
        traces = traces + centred.square().sum()
        # C = RᵀR; the factor is no larger than the films or the features, whichever are fewer.
        roots.append(torch.linalg.qr(centred, mode="r").R)
    # No root of a matrix: eigenvalues of R_aᵀR_a R_bᵀR_b are the squares of the singular values of R_a R_bᵀ.
    overlap = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    return max(0.0, float((a.mean(0) - b.mean(0)).square().sum() + traces - 2 * overlap))


def neighbour_measures(real: np.ndarray, synthetic: np.ndarray, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """What part of the synthetic films look real, and what part of the real ones are reached: four numbers.

    Around every film of a set lies a ball that just reaches its `neighbours`-th nearest film of the same set. From
    features (N, D) and (M, D):

    - `precision`: share of synthetic films inside at least one ball of a real film (Kynkäänniemi et al. 2019);
    - `recall`: share of real films inside at least one ball of a synthetic film (same source);
    - `density`: balls of real films around a synthetic film, on average, in units of `neighbours`; about 1 where both
      sets come from one distribution, and less misled by a single outlying real film (Naeem et al. 2020);
    - `coverage`: share of real films with a synthetic film inside their ball (same source).

    All but the density lie in [0, 1]. Balls grow as films get fewer, so only equal numbers compare. Raises `InputError`
    if a set has no more than `neighbours` rows or a value is not finite.
    """
    if neighbours < 1:
        raise ValueError(f"found neighbours = {neighbours}, expected 1 or more")
    a, b = checked(real, synthetic, "precision and recall", neighbours + 1, "neighbours + 1")
    # Lengths are taken from the common middle: far from it, differences of large squares lose the small distances.
    middle = torch.cat([a, b]).mean(0)
    a, b = a - middle, b - middle
    # Rounding may put a copy a hair outside a ball of no radius.
    slack = 1e-12 * float(torch.cat([a, b]).square().sum(1).max())
    # The nearest of all is the film itself.
    real_radii, synthetic_radii = (
        _squared_distances(features, features).kthvalue(neighbours + 1, dim=1).values + slack for features in (a, b)
    )
    squared = _squared_distances(b, a)
    in_real_ball = squared <= real_radii
    return {
        "precision": float(in_real_ball.any(1).double().mean()),
        "recall": float((squared <= synthetic_radii[:, None]).any(0).double().mean()),
        "density": float(in_real_ball.sum(1).double().mean()) / neighbours,
        "coverage": float(in_real_ball.any(0).double().mean()),
    }


def _squared_distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Squared distances (N, M), never below 0."""
    squared = rows.square().sum(1, keepdim=True) + others.square().sum(1) - 2 * rows @ others.T
    return squared.clamp_(min=0)
