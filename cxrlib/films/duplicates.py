"""Copies of films: found by a perceptual hash, confirmed by the correlation of fine detail after alignment.

All chests resemble each other, so a likeness is not yet a copy. The search has two steps.

1. *Sieve.* Each film becomes a hash of its coarse shades: the lowest frequencies of the cosine transform of the
   equalised film, as in `imagehash.phash`, but kept as numbers, centred and scaled over all films. On 519 x 7,400
   distinct real films the numbers let 3 pairs in 10,000 pass to the second step; the 64 bits that `imagehash` keeps let
   nearly 1 in 100 pass if they are to lose no more copies. Every queried film is hashed in 90 `VARIANTS` (mirrored or
   not, cropped or widened by up to 10 %, shifted), so that copies of it are met.
2. *Alignment.* For pairs that pass, position and scale are refined until the correlation of fine detail (equalised,
   high-passed, of locally even contrast) is greatest. Equalising takes brightness and gamma out of the matter.

The thresholds were chosen on a sixth of the films of the COVID-19 Image Data Collection (every sixth row) and copies of
them. At 128 pixels copies changed in one way had correlations from 0.75 to 1.0, distinct films of one patient at most
0.73, films of the Radiography Database at most 0.56; at 64 pixels 0.75 to 1.0, 0.84 (one pair; else 0.73) and 0.68.
`tests/films/test_films_duplicates.py` measures precision and recall on other rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from cxrlib.films.images import in_parallel

SIEVE_SIDE = 32
FREQUENCIES = 12
SIEVE_CORRELATION = 0.7
MOST_CANDIDATES = 50

# Sides at which films are aligned, and what is fine detail there: the first that the films have, else the last.
ALIGNED_SIDES = (128, 64)
HIGH_PASS_PX = {128: 3.0, 64: 2.0}
FLAT_CONTRAST = 1e-3
ITERATIONS = 10
LARGEST_STEP = 0.03
SMALLEST_OVERLAP = 0.6
COPY_CORRELATION = 0.76

SCALES = (0.9, 0.95, 1.0, 1.05, 1.11)
SHIFTS = (-0.025, 0.0, 0.025)
QUERIES_AT_A_TIME = 16
# What decides which films are called copies: part of every audit's settings. Raise the version when the method changes.
COPY_SETTINGS = {"version": 2, "sieve_correlation": SIEVE_CORRELATION, "copy_correlation": COPY_CORRELATION}
PAIRS_AT_A_TIME = 16


@dataclass(frozen=True)
class Variant:
    """What part of a queried film is compared: its side and the shift of its middle, as shares of the film's side."""

    mirrored: bool
    scale: float
    shift_x: float
    shift_y: float


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


class Sieve:
    """Hashes of several sets of films, float32 (N, `FREQUENCIES`² - 1) of unit length, and what comes close to them."""

    def __init__(self, sets: Sequence[np.ndarray]) -> None:
        """The last of the sets is the queried one: it sets the scale of the hashes with the others."""
        spectra = [spectrum(thumbnails(films, SIEVE_SIDE)) for films in sets]
        pooled = np.concatenate(spectra)
        spread = pooled.std(axis=0)
        self._mean, self._spread = pooled.mean(axis=0), spread + 0.1 * spread.mean() + 1e-6
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

    def _scaled(self, spectra: np.ndarray) -> np.ndarray:
        # A single odd frequency (a marker, a grid) must not outweigh the others.
        scaled = np.clip((spectra - self._mean) / self._spread, -4, 4)
        return scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-6)


def confirm(targets: np.ndarray, queries: np.ndarray, pairs: Sequence[tuple[int, int, int]]) -> list[Copy]:
    """Those of the pairs (query row, target row, variant) whose detail correlates after alignment."""
    parts = [pairs[start : start + PAIRS_AT_A_TIME] for start in range(0, len(pairs), PAIRS_AT_A_TIME)]
    copies = []
    for part, correlations in zip(parts, in_parallel(partial(_aligned, targets, queries), parts), strict=True):
        for (query, target, _), correlation in zip(part, correlations, strict=True):
            if correlation >= COPY_CORRELATION:
                copies.append(Copy(query, target, float(correlation)))
    return copies


def _aligned(targets: np.ndarray, queries: np.ndarray, pairs: Sequence[tuple[int, int, int]]) -> np.ndarray:
    variants = [VARIANTS[variant % len(VARIANTS)] for *_, variant in pairs]
    fewest = min(targets.shape[1], queries.shape[1])
    side = next((side for side in ALIGNED_SIDES if side <= fewest), ALIGNED_SIDES[-1])
    queried = thumbnails([queries[query] for query, *_ in pairs], side)
    for film, variant, (*_, number) in zip(queried, variants, pairs, strict=True):
        if variant.mirrored:
            film[:] = film[:, ::-1].copy()
        if number >= len(VARIANTS):
            film[:] = 255 - film
    start = [(v.scale, v.scale, v.shift_x * side, v.shift_y * side) for v in variants]
    target = thumbnails([targets[target] for _, target, _ in pairs], side)
    return align(detail(target), detail(queried), np.array(start, np.float32))


def thumbnails(films: Sequence[np.ndarray], side: int) -> np.ndarray:
    """uint8 films of one size as uint8 (N, side, side)."""
    small = np.empty((len(films), side, side), np.uint8)
    for index, film in enumerate(films):
        small[index] = Image.fromarray(film).resize((side, side), Image.Resampling.BILINEAR)
    return small


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
        varied[index] = picture.resize((SIEVE_SIDE, SIEVE_SIDE), Image.Resampling.BILINEAR, box=box)
    return varied


def equalise(films: np.ndarray) -> np.ndarray:
    """uint8 (N, S, S) to float32 from -1 to 1: each grey level becomes its mid-rank among the film's pixels."""
    count, pixels = len(films), films[0].size if len(films) else 1
    flat = films.reshape(count, pixels).astype(np.int32)
    offset = 256 * np.arange(count, dtype=np.int32)[:, None]
    levels = np.bincount((flat + offset).ravel(), minlength=256 * count).reshape(count, 256)
    ranks = (2 * (levels.cumsum(axis=1) - levels / 2) / pixels - 1).astype(np.float32)
    return np.take_along_axis(ranks, flat, axis=1).reshape(films.shape)


def spectrum(films: np.ndarray) -> np.ndarray:
    """The lowest frequencies of equalised films, uint8 (N, 32, 32) to float32 (N, 143), of unit length; without the
    mean. The transform is the two-dimensional cosine transform of type II, as in `imagehash.phash`."""
    parts = []
    for start in range(0, len(films), 2048):
        waves = dctn(equalise(films[start : start + 2048]), axes=(1, 2))[:, :FREQUENCIES, :FREQUENCIES]
        parts.append(waves.reshape(len(waves), -1)[:, 1:])
    waves = np.concatenate(parts) if parts else np.empty((0, FREQUENCIES**2 - 1), np.float32)
    return waves / np.maximum(np.linalg.norm(waves, axis=1, keepdims=True), 1e-6)


def detail(films: np.ndarray) -> np.ndarray:
    """Fine detail of films uint8 (N, S, S), S of `ALIGNED_SIDES`, as float32: equalised, high-passed, of even contrast.

    Without the last the sharp borders of collimation and plates, which many films share, would decide.
    """
    found = np.empty(films.shape, np.float32)
    coarse_px = HIGH_PASS_PX[films.shape[1]]
    for index, film in enumerate(equalise(films)):
        fine = film - gaussian_filter(film, coarse_px)
        found[index] = fine / np.sqrt(gaussian_filter(fine * fine, 2 * coarse_px) + FLAT_CONTRAST)
    return found


def align(targets: np.ndarray, queries: np.ndarray, start: np.ndarray, iterations: int = ITERATIONS) -> np.ndarray:
    """Greatest correlation of each target with its query, float32 (N, S, S) each, over scale and shift of both axes.

    `start` (N, 4): scale x, scale y, shift x, shift y (pixels, from the middle). Gauss-Newton steps on the difference
    of the normalised films, which maximise their correlation (Evangelidis and Psarakis 2008). Returns float32 (N,).
    """
    place, best = start.copy(), np.full(len(targets), -1.0, np.float32)
    slopes = [queries, *np.gradient(queries, axis=(2, 1))]
    for iteration in range(iterations + 1):
        moved, inside = _moved(slopes, place)
        film, along_x, along_y = moved
        weight = inside.sum(axis=(1, 2))
        fixed, _ = _normalised(targets, inside, weight)
        film, size = _normalised(film, inside, weight)
        correlation = (fixed * film).sum(axis=(1, 2))
        correlation[weight < SMALLEST_OVERLAP * targets[0].size] = -1.0
        best = np.maximum(best, correlation)
        if iteration == iterations:
            break
        place = place + _step(fixed, film, (along_x, along_y), inside, weight, size)
    return best


def _moved(films: Sequence[np.ndarray], place: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Films moved by linear interpolation, one axis after the other, and where they have pixels (0 or 1)."""
    side = films[0].shape[1]
    steps = np.arange(side, dtype=np.float32)
    weights, inside = [], []
    for axis in (0, 1):
        where = place[:, axis, None] * (steps - (side - 1) / 2) + place[:, axis + 2, None] + (side - 1) / 2
        weights.append(np.maximum(0, 1 - np.abs(where[:, :, None] - steps)))
        inside.append(((where >= 0) & (where <= side - 1)).astype(np.float32))
    columns, rows = weights[0].transpose(0, 2, 1), weights[1]
    return [rows @ film @ columns for film in films], inside[1][:, :, None] * inside[0][:, None, :]


def _normalised(films: np.ndarray, inside: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean 0 and length 1 over the pixels inside; and the lengths."""
    mean = (films * inside).sum(axis=(1, 2)) / np.maximum(weight, 1)
    centred = (films - mean[:, None, None]) * inside
    size = np.maximum(np.sqrt((centred * centred).sum(axis=(1, 2))), 1e-6)
    return centred / size[:, None, None], size


def _step(
    fixed: np.ndarray,
    film: np.ndarray,
    slopes: tuple[np.ndarray, np.ndarray],
    inside: np.ndarray,
    weight: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    """The Gauss-Newton step (N, 4) towards the target, at most 3 % of the film's side."""
    count, side = len(film), film.shape[1]
    centred = np.arange(side, dtype=np.float32) - (side - 1) / 2
    along_x, along_y = slopes
    change = np.stack([along_x * centred, along_y * centred[:, None], along_x, along_y], axis=1)
    change = (change * (inside / size[:, None, None])[:, None]).reshape(count, 4, -1)
    flat, mask = film.reshape(count, -1, 1), inside.reshape(count, 1, -1)
    change -= change.sum(axis=2, keepdims=True) / np.maximum(weight, 1)[:, None, None] * mask
    change -= (change @ flat) * flat.transpose(0, 2, 1)
    normal = change @ change.transpose(0, 2, 1)
    damping = 1e-4 * np.trace(normal, axis1=1, axis2=2)[:, None, None] + 1e-12
    error = (fixed - film).reshape(count, -1, 1)
    step = np.linalg.solve(normal + damping * np.eye(4, dtype=np.float32), change @ error)[:, :, 0]
    limit = np.array([LARGEST_STEP, LARGEST_STEP, LARGEST_STEP * side, LARGEST_STEP * side], np.float32)
    return np.clip(step, -limit, limit).astype(np.float32)
