"""How near two sets of films are, by features; and which real film each synthetic one is nearest to, by pixels."""

import numpy as np
import torch
import torch.nn.functional as functional

from cxrlib.errors import InputError

THUMBNAIL_SIDE = 32
CHUNK_FILMS = 1024


def kernel_distance(
    features_a: np.ndarray, features_b: np.ndarray, *, subsets: int, subset_size: int, seed: int
) -> tuple[float, float, float]:
    """Kernel inception distance between features (N, D) and (M, D): the estimate, and its 95 % interval over subsets.

    The squared maximum mean discrepancy with the kernel (xᵀy/D + 1)³, unbiased, averaged over `subsets` random subsets
    of `subset_size` rows of each (Bińkowski et al. 2018); the interval goes from the 2.5th to the 97.5th percentile of
    the subsets. Near 0, and as often below as above, where both come from one distribution. Equal seeds give equal
    results. Raises `InputError` if a set has fewer than `subset_size` rows or a value is not finite.
    """
    from torchmetrics.image.kid import poly_mmd

    for name, features in (("first", features_a), ("second", features_b)):
        if features.ndim != 2 or len(features) < subset_size or subset_size < 2:
            raise InputError(
                f"kernel distance: the {name} set has features of shape {features.shape}; "
                f"expected at least subset_size = {subset_size} (2 or more) rows of features"
            )
        if not np.isfinite(features).all():
            raise InputError(f"kernel distance: features of the {name} set are not all finite")
    # Sums of cubes lose the small differences in float32.
    a, b = (torch.from_numpy(np.asarray(features, np.float64)) for features in (features_a, features_b))
    random = np.random.default_rng(seed)
    distances = np.empty(subsets)
    for index in range(subsets):
        rows_a = torch.from_numpy(random.choice(len(a), subset_size, replace=False))
        rows_b = torch.from_numpy(random.choice(len(b), subset_size, replace=False))
        distances[index] = float(poly_mmd(a[rows_a], b[rows_b]))
    low, high = np.percentile(distances, (2.5, 97.5))
    return float(distances.mean()), float(low), float(high)


def nearest_images(synthetic: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of the uint8 films (N, S, S): index of the nearest of the real films (M, T, T), and its distance.

    The distance is the root mean square difference in grey levels (0 to 255) after both are averaged down to 32×32.
    Returns int64 (N,) and float64 (N,); of equally near films the first. Raises `InputError` if there is no real film.
    """
    if len(real) == 0:
        raise InputError("nearest films: there is no real film to compare with")
    real_thumbnails = _thumbnails(real)
    real_norms = real_thumbnails.square().sum(1)
    indices, distances = np.empty(len(synthetic), np.int64), np.empty(len(synthetic), np.float64)
    for start in range(0, len(synthetic), CHUNK_FILMS):
        thumbnails = _thumbnails(synthetic[start : start + CHUNK_FILMS])
        index = (real_norms - 2 * thumbnails @ real_thumbnails.T).argmin(1)
        difference = thumbnails - real_thumbnails[index]
        stop = start + len(thumbnails)
        indices[start:stop] = index.numpy()
        distances[start:stop] = difference.square().mean(1).sqrt().numpy()
    return indices, distances


def _thumbnails(films: np.ndarray) -> torch.Tensor:
    """uint8 (N, S, S) to float64 (N, 1024), averaged over areas, in chunks of bounded memory."""
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    parts = [
        functional.adaptive_avg_pool2d(torch.from_numpy(np.array(films[start : start + CHUNK_FILMS])).double(), side)
        for start in range(0, len(films), CHUNK_FILMS)
    ]
    return torch.cat(parts).flatten(1)
