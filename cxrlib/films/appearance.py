"""What a film looks like in four numbers, and films as points: the traces of a shift between scanners."""

import numpy as np
import pandas as pd

# What is measured, with its unit.
MEASURES = {
    "brightness": "mean grey level (0 to 255)",
    "contrast": "standard deviation of grey levels",
    "sharpness": "spectral slope (nearer to 0 is sharper)",
    "noise": "noise (grey levels)",
}
# Spatial frequencies, as shares of the sampling rate, between which the spectrum's slope is fitted: below lies the
# chest's outline, above what the resize took away.
FREQUENCIES = (0.06, 0.45)
FILMS_AT_ONCE = 256
NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float64)


def measure_films(images: np.ndarray) -> pd.DataFrame:
    """One row per film, uint8 (N, S, S), with a column per measure of `MEASURES`.

    Sharpness is the exponent of the film's power over spatial frequency, as in natural images' 1/f law (Field 1987,
    J Opt Soc Am A 4:2379): it does not change with contrast. Noise is the standard deviation of what a second
    difference in both directions leaves (Immerkaer 1996, Comput Vis Image Underst 64:300), from its middle half, so
    that neither edges and letters nor black margins count much. Both describe films at the size that networks see,
    after the resize.
    """
    blocks = []
    for start in range(0, len(images), FILMS_AT_ONCE):
        films = np.asarray(images[start : start + FILMS_AT_ONCE], dtype=np.float64)
        values = films.mean(axis=(1, 2)), films.std(axis=(1, 2)), spectral_slope(films), noise_level(films)
        blocks.append(pd.DataFrame(dict(zip(MEASURES, values, strict=True))))
    return pd.concat(blocks, ignore_index=True)


def spectral_slope(films: np.ndarray) -> np.ndarray:
    """Slope of log power over log frequency, (N, S, S) to (N,); 0 for a film without any variation."""
    size = films.shape[1]
    # A window keeps the jump between opposite edges from posing as sharpness.
    window = np.hanning(size + 2)[1:-1]
    centred = (films - films.mean(axis=(1, 2), keepdims=True)) * window[:, None] * window
    power = np.abs(np.fft.rfft2(centred)) ** 2
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    edges = np.geomspace(*FREQUENCIES, 13)
    ring = np.digitize(frequency, edges)
    rings = [number for number in range(1, len(edges)) if (ring == number).any()]
    log_frequency = np.array([np.log(frequency[ring == number]).mean() for number in rings])
    ring_power = np.stack([power[:, ring == number].mean(axis=1) for number in rings], axis=1)
    log_power = np.log(np.maximum(ring_power, 1e-12))
    centred_frequency = log_frequency - log_frequency.mean()
    return (log_power - log_power.mean(axis=1, keepdims=True)) @ centred_frequency / (centred_frequency**2).sum()


def noise_level(films: np.ndarray) -> np.ndarray:
    """Standard deviation of the noise in grey levels, (N, S, S) to (N,)."""
    from scipy.ndimage import correlate
    from scipy.stats import norm

    left = np.sort(np.abs([correlate(film, NOISE_KERNEL)[1:-1, 1:-1].ravel() for film in films]), axis=1)
    middle = left[:, left.shape[1] // 4 : 3 * left.shape[1] // 4].mean(axis=1)
    # What the same mean is for standard normal noise, and the kernel's gain for white noise.
    expected = 4 * (norm.pdf(norm.ppf(0.625)) - norm.pdf(norm.ppf(0.875)))
    return middle / (expected * np.sqrt((NOISE_KERNEL**2).sum()))


def map_of_films(features: np.ndarray, *, seed: int) -> np.ndarray:
    """Films as points of a plane, features (N, D) to (N, 2): principal components, then t-SNE (van der Maaten 2008).

    Neighbours stay neighbours; distances between far points, and the size of clusters, mean nothing.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    components = principal_components(features)
    perplexity = min(30.0, max(2.0, (len(features) - 1) / 4))
    start = PCA(2, random_state=seed).fit_transform(components)
    start = start / max(start[:, 0].std(), 1e-9) * 1e-4
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed, n_jobs=1).fit_transform(components)


def principal_components(features: np.ndarray, count: int = 50) -> np.ndarray:
    """Standardised features projected on their first components, (N, D) to (N, at most `count`)."""
    from sklearn.decomposition import PCA

    deviation = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
    return PCA(min(count, *scaled.shape), svd_solver="full").fit_transform(scaled)


def share_of_like_neighbours(
    components: np.ndarray, groups: np.ndarray, patients: np.ndarray, count: int = 10
) -> float:
    """Among each film's nearest films of other patients, the share of its own group; every group weighs alike."""
    from sklearn.neighbors import NearestNeighbors

    groups, patients = np.asarray(groups), np.asarray(patients)
    most = int(pd.Series(patients).value_counts().iloc[0])
    wanted = min(len(groups), count + most)
    order = NearestNeighbors(n_neighbors=wanted).fit(components).kneighbors(components, return_distance=False)
    shares = np.full(len(groups), np.nan)
    for row, near in enumerate(order):
        others = [film for film in near if patients[film] != patients[row]][:count]
        if others:
            shares[row] = np.mean(groups[others] == groups[row])
    return float(pd.Series(shares).groupby(groups).mean().mean())
