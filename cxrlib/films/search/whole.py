"""Whole films that may be one film: found by a hash of their shades, confirmed by `alignment`.

*The hash.* Each film becomes the lowest frequencies of the cosine transform of the equalised film, as in
perceptual hashes, but kept as numbers, centred and scaled over all films. On 519 x 7,400 distinct real films the
numbers let 3 pairs in 10,000 pass to the second step; the 64 bits of such a hash let nearly 1 in 100 pass if
they are to lose no more copies. Every queried film is hashed in 90 `VARIANTS` (mirrored or not, cropped or widened by
up to 10 %, shifted) and their inverses, so that copies of it are met.

The thresholds were chosen on a sixth of the films of the COVID-19 Image Data Collection (every sixth row) and copies of
them; `tests/films/test_films_duplicates.py` measures precision and recall on other rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from PIL import Image
from scipy.fft import dctn

from cxrlib.films.images import in_parallel
from cxrlib.films.search.alignment import aligned_correlation, compared_side, detail, equalise, thumbnails

SIEVE_SIDE = 32
FREQUENCIES = 12
SIEVE_CORRELATION = 0.7
MOST_CANDIDATES = 50
COPY_CORRELATION = 0.75

SCALES = (0.9, 0.95, 1.0, 1.05, 1.11)
SHIFTS = (-0.025, 0.0, 0.025)
QUERIES_AT_A_TIME = 16
# What decides which films are called copies: part of every audit's settings. Raise the version when the method changes.
COPY_SETTINGS = {"version": 3, "sieve_correlation": SIEVE_CORRELATION, "copy_correlation": COPY_CORRELATION}
PAIRS_AT_A_TIME = 16


@dataclass(frozen=True)
class Variant:
    """What part of a queried film is compared: its side and the shift of its middle, as shares of the film's side."""

    mirrored: bool
    scale: float
    shift_x: float
    shift_y: float

    def map(self, side: int) -> np.ndarray:
        """float32 (2, 3): where in the film a place of the variant lies, both of `side` pixels."""
        rest = (1 - self.scale) * (side - 1) / 2
        move = [rest + self.shift_x * side, rest + self.shift_y * side]
        return np.column_stack([self.scale * np.eye(2), move]).astype(np.float32)


VARIANTS = tuple(
    Variant(mirrored, scale, x, y) for mirrored, scale, x, y in product((False, True), SCALES, SHIFTS, SHIFTS)
)


@dataclass(frozen=True)
class Copy:
    """Rows of two films that are copies of each other, and the correlation of their detail, at most 1."""

    query: int
    target: int
    correlation: float


def find_near_duplicates(
    targets: Sequence[np.ndarray],
    queries: np.ndarray,
    allowed: Callable[[int, int], np.ndarray] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[Copy]]:
    """Copies of the queried films, uint8 (Q, S, S), among each set of films, uint8 (N, S, S): a list for each set.

    `allowed(set, query)` gives the rows (bool, N) of a set that a queried film may be a copy of; by default all.
    `progress(done, total)` counts queried films. The result depends on the films given together, since hashes are
    scaled over all of them.
    """
    found = Sieve([*targets, queries]).search(queries, allowed, progress)
    return [confirm(films, queries, pairs) for films, pairs in zip(targets, found, strict=True)]


class Scaling:
    """Makes hashes of spectra: centred and scaled over the films given, of unit length."""

    def __init__(self, spectra: np.ndarray) -> None:
        spread = spectra.std(axis=0)
        self._mean, self._spread = spectra.mean(axis=0), spread + 0.1 * spread.mean() + 1e-6

    def __call__(self, spectra: np.ndarray) -> np.ndarray:
        # A single odd frequency (a marker, a grid) must not outweigh the others.
        scaled = np.clip((spectra - self._mean) / self._spread, -4, 4)
        return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-6)


class Sieve:
    """Hashes of several sets of films, float32 (N, `FREQUENCIES`² - 1) of unit length, and what comes close to them."""

    def __init__(self, sets: Sequence[np.ndarray]) -> None:
        """The last of the sets is the queried one: it sets the scale of the hashes with the others."""
        spectra = [spectrum(thumbnails(films, SIEVE_SIDE)) for films in sets]
        self._scaled = Scaling(np.concatenate(spectra))
        self._hashes = [self._scaled(of_set) for of_set in spectra[:-1]]

    def search(
        self,
        queries: np.ndarray,
        allowed: Callable[[int, int], np.ndarray] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[tuple[int, int, int]]]:
        """For each set (query row, target row, variant) of the pairs that may be copies; see `find_near_duplicates`.

        Variants from 90 on are those of `VARIANTS` inverted.
        """
        starts = range(0, len(queries), QUERIES_AT_A_TIME)
        blocks = [range(start, min(start + QUERIES_AT_A_TIME, len(queries))) for start in starts]
        found: list[list[tuple[int, int, int]]] = [[] for _ in self._hashes]
        searched = in_parallel(lambda rows: self.candidates(queries, rows, allowed), blocks)
        for block, candidates in zip(blocks, searched, strict=True):
            for number, pairs in enumerate(candidates):
                found[number] += pairs
            if progress:
                progress(block.stop, len(queries))
        return found

    def candidates(
        self, queries: np.ndarray, rows: Sequence[int], allowed: Callable[[int, int], np.ndarray] | None = None
    ) -> list[list[tuple[int, int, int]]]:
        """As `search`, for these rows of the queried films; at most `MOST_CANDIDATES` a query."""
        varied = np.concatenate([film_variants(queries[row]) for row in rows])
        spectra = spectrum(varied)
        # Equalised, a film's inverse is its negative, and so is its spectrum.
        both = [self._scaled(sign * spectra).reshape(len(rows), len(VARIANTS), -1) for sign in (1, -1)]
        hashes = np.concatenate(both, axis=1)
        found: list[list[tuple[int, int, int]]] = [[] for _ in self._hashes]
        for row, of_query in zip(rows, hashes, strict=True):
            for number, of_set in enumerate(self._hashes):
                correlation = of_query @ of_set.T
                best = correlation.max(axis=0)
                if allowed is not None:
                    best = np.where(allowed(number, row), best, -1.0)
                passed = np.flatnonzero(best >= SIEVE_CORRELATION)
                passed = passed[np.argsort(-best[passed], kind="stable")][:MOST_CANDIDATES]
                variants = correlation[:, passed].argmax(axis=0)
                found[number] += [(row, int(t), int(v)) for t, v in zip(passed, variants, strict=True)]
        return found


def confirm(targets: np.ndarray, queries: np.ndarray, pairs: Sequence[tuple[int, int, int]]) -> list[Copy]:
    """Those of the pairs (query row, target row, variant) whose detail correlates after alignment."""
    parts = [pairs[start : start + PAIRS_AT_A_TIME] for start in range(0, len(pairs), PAIRS_AT_A_TIME)]
    copies = []
    for part, correlations in zip(parts, in_parallel(partial(_aligned, targets, queries), parts), strict=True):
        for (query, target, _), correlation in zip(part, correlations, strict=True):
            if correlation >= COPY_CORRELATION:
                copies.append(Copy(query, target, correlation))
    return copies


def _aligned(targets: np.ndarray, queries: np.ndarray, pairs: Sequence[tuple[int, int, int]]) -> list[float]:
    side = compared_side(targets, queries)
    queried = thumbnails([queries[query] for query, *_ in pairs], side)
    variants = [VARIANTS[number % len(VARIANTS)] for *_, number in pairs]
    for film, variant, (*_, number) in zip(queried, variants, pairs, strict=True):
        if variant.mirrored:
            film[:] = film[:, ::-1].copy()
        if number >= len(VARIANTS):
            film[:] = 255 - film
    wanted = thumbnails([targets[target] for _, target, _ in pairs], side)
    starts = [variant.map(side) for variant in variants]
    return [aligned_correlation(*three) for three in zip(detail(wanted), detail(queried), starts, strict=True)]


def film_variants(film: np.ndarray) -> np.ndarray:
    """One film uint8 (S, S) as in all `VARIANTS`, uint8 (90, 32, 32); beyond its border the border goes on."""
    side = 2 * SIEVE_SIDE
    margin = side // 8
    small = thumbnails([film], side)[0]
    padded = [Image.fromarray(np.pad(view, margin, mode="edge")) for view in (small, small[:, ::-1])]
    varied = np.empty((len(VARIANTS), SIEVE_SIDE, SIEVE_SIDE), np.uint8)
    for index, variant in enumerate(VARIANTS):
        width = side * variant.scale
        left = margin + (side - width) / 2 + variant.shift_x * side
        top = margin + (side - width) / 2 + variant.shift_y * side
        box = (left, top, left + width, top + width)
        picture = padded[variant.mirrored]
        varied[index] = np.asarray(picture.resize((SIEVE_SIDE, SIEVE_SIDE), Image.Resampling.BILINEAR, box=box))
    return varied


def spectrum(films: np.ndarray) -> np.ndarray:
    """The lowest frequencies of equalised films, uint8 (N, 32, 32) to float32 (N, 143), of unit length; without the
    mean. The transform is the two-dimensional cosine transform of type II."""
    parts = []
    for start in range(0, len(films), 2048):
        waves = dctn(equalise(films[start : start + 2048]), axes=(1, 2))[:, :FREQUENCIES, :FREQUENCIES]
        parts.append(waves.reshape(len(waves), -1)[:, 1:])
    waves = np.concatenate(parts) if parts else np.empty((0, FREQUENCIES**2 - 1), np.float32)
    return waves / np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-6)
