"""The nearest training film of each film, by features and by pixels, be it mirrored, cropped, shifted or brightened."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cxrlib.films.images import in_parallel
from cxrlib.films.search.alignment import SOFT_SIDE, aligned_correlation, detail, thumbnails
from cxrlib.films.search.whole import VARIANTS, Scaling, film_variants, spectrum

# Of the training films, as many as these are aligned with a film: those whose hashes are most alike to its own.
CANDIDATES = 2
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
        self._scaled = Scaling(spectrum(thumbnails(training_films, SOFT_SIDE)))
        self._hashes = self._scaled(spectrum(self._variants.reshape(-1, SOFT_SIDE, SOFT_SIDE)))

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
        small = thumbnails(films, SOFT_SIDE)
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
        return candidates[rows[:, 0], chosen], 1 - correlation[rows[:, 0], chosen]

    def _aligned(self, details: np.ndarray, candidates: np.ndarray, variants: np.ndarray) -> np.ndarray:
        """Correlations (N, candidates) of the films' details with those of variants of training films, after alignment.

        The details of a variant are made from its pixels: stretched details would be blurred.
        """

        def of_film(row: int) -> list[float]:
            varied = detail(self._variants[candidates[row], variants[row]])
            return [aligned_correlation(details[row], moved) for moved in varied]

        return np.array(list(in_parallel(of_film, range(len(details)))))
