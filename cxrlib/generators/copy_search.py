"""The nearest training film of each film, by features and by pixels, be it mirrored, cropped, shifted or brightened."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from cxrlib.films.duplicates import VARIANTS, align, equalise, film_variants, spectrum, thumbnails

# Of the training films, as many as these are aligned with a film: those whose hashes are most alike to its own.
CANDIDATES = 2
# Coarser than the detail by which the audit knows copies: what a generator copies is soft and noisy. On 422 real films
# at 64 pixels, the most alike of other patients correlated by 0.88 (97.5th percentile), copies made again as JPEG of
# quality 30, cropped by 5 %, mirrored, brightened, blurred or made noisy by 0.90 and more.
DETAIL_SIDE, HIGH_PASS_PX, FLAT_CONTRAST = 32, 3.0, 1e-2
ITERATIONS = 6
PAIRS_AT_A_TIME = 64
FILMS_AT_A_TIME = 256

Features = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Distances:
    """Of each film (N,): the nearest training film, as int64 rows of these, and how near it is, as float64.

    `feature_distance` is Euclidean; `pixel_distance` is one minus a correlation, from 0 (a copy) to 2.
    """

    nearest_feature_index: np.ndarray
    feature_distance: np.ndarray
    nearest_pixel_index: np.ndarray
    pixel_distance: np.ndarray

    def __len__(self) -> int:
        return len(self.feature_distance)

    def select(self, rows: np.ndarray | slice) -> "Distances":
        return Distances(*(getattr(self, name)[rows] for name in Distances.__dataclass_fields__))


class CopySearch:
    """The training films, uint8 (M, S, S), ready to be compared with: features, and every variant with its hash."""

    def __init__(self, training_films: np.ndarray, features: Features) -> None:
        training_films = np.asarray(training_films)
        self._extract = features
        both = np.concatenate((training_films, training_films[:, :, ::-1]))
        self._features = features(both).astype(np.float64)
        self._variants = np.stack([film_variants(film) for film in training_films])
        spectra = spectrum(thumbnails(training_films, DETAIL_SIDE))
        spread = spectra.std(axis=0)
        self._mean, self._spread = spectra.mean(axis=0), spread + 0.1 * spread.mean() + 1e-6
        self._hashes = self._scaled(spectrum(self._variants.reshape(-1, DETAIL_SIDE, DETAIL_SIDE)))

    @property
    def training_films(self) -> int:
        return len(self._features) // 2

    def distances(self, films: np.ndarray, allowed: np.ndarray | None = None) -> Distances:
        """How near films uint8 (N, S, S) come to the training films; `allowed` bool (N, M) says to which (all).

        Every film needs one that it may be compared with.
        """
        features = self._extract(films).astype(np.float64)
        parts = []
        for start in range(0, len(films), FILMS_AT_A_TIME):
            rows = slice(start, start + FILMS_AT_A_TIME)
            permitted = None if allowed is None else allowed[rows]
            parts.append((*self._by_features(features[rows], permitted), *self._by_pixels(films[rows], permitted)))
        return Distances(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _by_features(self, features: np.ndarray, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        table = (self._features**2).sum(1) - 2 * features @ self._features.T
        if allowed is not None:
            table[~np.tile(allowed, 2)] = np.inf
        nearest = table.argmin(1)
        distance = np.linalg.norm(features - self._features[nearest], axis=1)
        return nearest % self.training_films, distance

    def _by_pixels(self, films: np.ndarray, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        small = thumbnails(films, DETAIL_SIDE)
        likeness = (self._scaled(spectrum(small)) @ self._hashes.T).reshape(len(films), -1, len(VARIANTS))
        best = likeness.max(axis=2)
        if allowed is not None:
            best[~allowed] = -np.inf
        candidates = np.argsort(-best, axis=1, kind="stable")[:, :CANDIDATES]
        rows = np.arange(len(films))[:, None]
        variants = likeness[rows, candidates].argmax(axis=2)
        correlation = self._aligned(detail(small), candidates, variants)
        correlation[np.isneginf(best[rows, candidates])] = -np.inf
        chosen = correlation.argmax(axis=1)
        return candidates[rows[:, 0], chosen], 1 - correlation[rows[:, 0], chosen].astype(np.float64)

    def _aligned(self, details: np.ndarray, candidates: np.ndarray, variants: np.ndarray) -> np.ndarray:
        """Correlations (N, candidates) of the films' details with those of variants of training films, after alignment.

        The details of a variant are made from its pixels: stretched details would be blurred.
        """
        fixed = np.repeat(np.arange(len(candidates)), candidates.shape[1])
        moved, described = candidates.ravel(), variants.ravel()
        correlation = np.empty(len(fixed), np.float32)
        for begin in range(0, len(fixed), PAIRS_AT_A_TIME):
            part = slice(begin, begin + PAIRS_AT_A_TIME)
            varied = detail(self._variants[moved[part], described[part]])
            start = np.tile(np.array([1, 1, 0, 0], np.float32), (len(varied), 1))
            correlation[part] = align(details[fixed[part]], varied, start, ITERATIONS)
        return correlation.reshape(candidates.shape)

    def _scaled(self, spectra: np.ndarray) -> np.ndarray:
        # As in the audit's sieve: a single odd frequency must not outweigh the others.
        scaled = np.clip((spectra - self._mean) / self._spread, -4, 4)
        return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-6)


def detail(films: np.ndarray) -> np.ndarray:
    """uint8 (N, 32, 32) to float32: equalised, which takes brightness out, high-passed, of locally even contrast."""
    found = np.empty(films.shape, np.float32)
    for index, film in enumerate(equalise(films)):
        fine = film - gaussian_filter(film, HIGH_PASS_PX)
        found[index] = fine / (np.sqrt(gaussian_filter(fine * fine, 2 * HIGH_PASS_PX)) + FLAT_CONTRAST)
    return found
