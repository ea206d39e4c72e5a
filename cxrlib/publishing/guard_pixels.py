"""Looking for films in pictures: at any place, from 48 pixels a side up, cropped, mirrored, inverted or written over.

All chests look alike, so alikeness is no evidence; the fine structure of one film is. The search has two steps:

1. A sieve. From each film nine overlapping quarters (half its side) are kept as a few cosine coefficients, coarse grey
   levels left out. The same coefficients of every window of the picture, at scales a step apart, are compared with the
   quarters of the cluster that they are nearest to. A crop that keeps three quarters of a film's side holds at
   least one quarter whole; most smaller crops do too.
2. A check. Where a quarter fits, it is laid over the picture anew at full detail, moved and scaled a little until it
   fits best, and the fine structure of the two is correlated. One quarter that fits closely is enough; else the film's
   best three have to fit better than films of this set fit each other.

What it can't find: films shown smaller than 48 pixels a side, turned by more than about five degrees, squeezed by more
than about a tenth, blurred beyond recognition, or strips and corners of less than half a film's side.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image
from scipy.fft import dct
from scipy.ndimage import gaussian_filter, uniform_filter

SMALLEST_FILM_PIXELS = 48
TILE, FILM_TILES = 12, 24
OFFSETS = (0, 6, 12)
BAND = 8
SCALE_STEP = 1.14
# Pixels a side, how far to move the window, and by how much to scale it: first roughly, then in detail.
ROUGH = (16, 2, (0.94, 1.0, 1.06))
DETAILED = (32, 4, (0.92, 0.96, 1.0, 1.04, 1.08))
ELSEWHERE = (32, 2, (1.0,))
ROUGH_CORRELATION = 0.6
SIEVE_CORRELATION = 0.82
ALONE_CORRELATION = 0.92
TOGETHER_CORRELATION = 0.83
QUARTERS_TOGETHER = 3
MARGIN = 0.02
SAMPLE_FILMS, SAMPLE_PIXELS = 10, 112
LEAST_CORRELATION = 0.72
LEAST_SPREAD = 0.42
FLAT_SHARE = 0.6
FLAT_GREY_LEVELS = 2.0
LEAST_STRUCTURE = 4.0
LEAST_BUSY_SHARE = 0.85
NOISE_GREY_LEVELS = 3.0
TILE_SIGMA = 1.8
CHECKS_PER_PICTURE = 900
WINDOWS_AT_ONCE = 60_000
CHECKS_PER_FILM = 3
LARGEST_PICTURE_PIXELS = 4_000_000


@dataclass(frozen=True)
class Match:
    """A film in a picture: which, where (left, top, side in pixels of the quarter seen), how well it fits (0 to 1), and
    how well the film's best three quarters do."""

    film: int
    left: float
    top: float
    side: float
    correlation: float
    together: float


@dataclass(frozen=True)
class _Found:
    """Windows that pass the sieve: int quarter (n,), box float (n, 3) of left, top and side, fit float (n,)."""

    quarter: np.ndarray
    box: np.ndarray
    fit: np.ndarray


class FilmIndex:
    """Films, uint8 (N, S, S), prepared for being looked for in any number of pictures."""

    def __init__(self, films: np.ndarray) -> None:
        self.films = films
        self._searched: dict[bytes, list[Match]] = {}
        quarters, self._film, self._offset, self._mirrored = _quarters(films)
        self._features, kept = _features(quarters)
        self._film, self._offset, self._mirrored = (part[kept] for part in (self._film, self._offset, self._mirrored))
        self._centres, self._cluster = _clusters(self._features)
        self._members = [np.flatnonzero(self._cluster == number) for number in range(len(self._centres))]
        self._together = float(np.clip(self._own_likeness() + MARGIN, TOGETHER_CORRELATION, ALONE_CORRELATION))

    def search(self, picture: np.ndarray) -> list[Match]:
        """The films that a grey picture, uint8 (H, W), shows; at most one match a film.

        A figure is in a page, in a notebook and in a file of its own; it is searched once.
        """
        key = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
        if key not in self._searched:
            found = self._alike(picture)
            self._searched[key] = [
                match for match in found if match.correlation >= ALONE_CORRELATION or match.together >= self._together
            ]
        return self._searched[key]

    def _alike(self, picture: np.ndarray) -> list[Match]:
        """The best place of every film that anything in the picture looks like."""
        picture = _reduced(picture)
        if min(picture.shape) < TILE or not len(self._features):
            return []
        found = [self._sieve(picture, side) for side in _window_sides(picture)]
        if not found:
            return []
        names = ("quarter", "box", "fit")
        quarter, box, fit = (np.concatenate([getattr(part, name) for part in found]) for name in names)
        best: dict[int, Match] = {}
        for index in _best_per_film(self._film[quarter], fit):
            match = self._check(picture, int(quarter[index]), box[index])
            if match and (match.film not in best or match.together > best[match.film].together):
                best[match.film] = match
        return list(best.values())

    def _own_likeness(self) -> float:
        """How well these films' quarters fit other films of the same set: the 95th percentile over films.

        Films of one machine, and simulated ones above all, are more alike than others are.
        """
        number = min(SAMPLE_FILMS, len(self.films) // 2)
        sample = np.random.default_rng(0).permutation(len(self.films))[:number]
        if not number:
            return 0.0
        sheet = np.hstack([_resized_to(film, SAMPLE_PIXELS) for film in self.films[np.sort(sample)]])
        fits = [match.together for match in self._alike(sheet) if match.film not in sample]
        return float(np.percentile(fits, 95)) if fits else 0.0

    def _sieve(self, picture: np.ndarray, side: float) -> _Found:
        """Windows of a side that look like a quarter of some film."""
        level = _resized(picture, TILE / side)
        even, _ = _evened(level, TILE_SIGMA)
        quarters, boxes, fits = [], [], []
        for windows, places in _windows(level, even):
            features, kept = _features(windows)
            near = np.abs(features @ self._centres.T).argmax(1)
            for cluster in np.unique(near):
                rows, members = np.flatnonzero(near == cluster), self._members[cluster]
                if not len(members):
                    continue
                fit = np.abs(features[rows] @ self._features[members].T)
                row, member = np.nonzero(fit >= SIEVE_CORRELATION)
                quarters.append(members[member])
                boxes.append(places[kept][rows[row]] * (side / TILE))
                fits.append(fit[row, member])
        if not quarters:
            return _Found(np.empty(0, int), np.empty((0, 3)), np.empty(0))
        corners = np.concatenate(boxes)
        box = np.column_stack([corners, np.full(len(corners), side)])
        return _Found(np.concatenate(quarters), box, np.concatenate(fits))

    def _check(self, picture: np.ndarray, quarter: int, box: np.ndarray) -> Match | None:
        """How well the film fits at the place where its quarter was seen; None if it clearly doesn't."""
        film = self.films[self._film[quarter]]
        film = film[:, ::-1] if self._mirrored[quarter] else film
        top, left = self._offset[quarter]
        roughly = _best_fit(picture, film, (top, left), box, ROUGH)
        if roughly[0] < ROUGH_CORRELATION:
            return None
        first = _best_fit(picture, film, (top, left), box, DETAILED)
        if first[0] < LEAST_CORRELATION:
            return None
        fits = []
        for other_top, other_left in product(OFFSETS, OFFSETS):
            moved = np.array([other_left - left, other_top - top, 0]) * first[1][2] / TILE
            fits.append(_best_fit(picture, film, (other_top, other_left), first[1] + moved, ELSEWHERE)[0])
        together = float(np.mean(sorted(fits)[-QUARTERS_TOGETHER:]))
        return Match(int(self._film[quarter]), *first[1], correlation=first[0], together=together)


def _evened(picture: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture's fine structure at even strength, so that one hard edge does not outweigh all else; and where it has
    any."""
    fine = picture - gaussian_filter(picture, sigma, mode="nearest")
    strength = np.sqrt(gaussian_filter(fine**2, 2 * sigma, mode="nearest"))
    return fine / (strength + NOISE_GREY_LEVELS), strength > NOISE_GREY_LEVELS


def _quarters(films: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nine quarters of every film and of its mirror image, float32 (n, TILE, TILE): film, (top, left), mirrored."""
    evened = [_evened(_resized_to(film, FILM_TILES), TILE_SIGMA) for film in films]
    small, busy = (np.stack(parts) for parts in zip(*evened, strict=True))
    tiles, film, offset, mirrored = [], [], [], []
    for flip in (False, True):
        turned, filled = (small[:, :, ::-1], busy[:, :, ::-1]) if flip else (small, busy)
        for top, left in product(OFFSETS, OFFSETS):
            place = (slice(None), slice(top, top + TILE), slice(left, left + TILE))
            rich = (filled[place].mean(axis=(1, 2)) >= LEAST_BUSY_SHARE) & (_spread(turned[place]) >= LEAST_SPREAD)
            used = np.flatnonzero(rich)
            tiles.append(turned[place][used])
            film.append(used)
            offset.append(np.tile([top, left], (len(used), 1)))
            mirrored.append(np.full(len(used), flip))
    return np.concatenate(tiles), np.concatenate(film), np.concatenate(offset), np.concatenate(mirrored)


def _spread(tiles: np.ndarray) -> np.ndarray:
    """0 to 1: over how much of each tile (n, s, s) its structure spreads; low for a single edge, which is nobody's."""
    energy = tiles.reshape(len(tiles), -1) ** 2
    return energy.sum(1) ** 2 / np.maximum(tiles[0].size * (energy**2).sum(1), 1e-9)


def _cosines() -> np.ndarray:
    """float32 (TILE², d): products of two cosines, those neither too coarse nor too fine for the sieve."""
    waves = dct(np.eye(TILE), norm="ortho", axis=0)[:BAND]
    across, down = np.meshgrid(np.arange(BAND), np.arange(BAND))
    frequency = np.hypot(across, down).ravel()
    return np.kron(waves, waves)[(frequency >= 1.5) & (frequency <= BAND - 0.5)].T.astype(np.float32)


_COSINES = _cosines()


def _features(tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors float32 (m, d) of the tiles (n, TILE, TILE) that have any structure, and which these are."""
    vectors = tiles.reshape(len(tiles), -1) @ _COSINES
    length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    kept = np.flatnonzero(length > LEAST_STRUCTURE)
    return vectors[kept] / length[kept, None], kept


def _clusters(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (k, d) of directions, and the nearest one of each feature; a direction and its opposite are one."""
    count = max(1, min(256, len(features) // 16))
    random = np.random.default_rng(0)
    centres = features[random.permutation(len(features))[:count]]
    sample = features[random.permutation(len(features))[: 40 * count]]
    for _ in range(6):
        fit = sample @ centres.T
        near = np.abs(fit).argmax(1)
        sign = np.sign(fit[np.arange(len(sample)), near])
        total = np.zeros_like(centres)
        np.add.at(total, near, sample * sign[:, None])
        length = np.linalg.norm(total, axis=1, keepdims=True)
        centres = np.where(length > 0, total / np.maximum(length, 1e-9), centres)
    return centres, np.abs(features @ centres.T).argmax(1)


def _reduced(picture: np.ndarray) -> np.ndarray:
    """A picture of more pixels than the search needs, made smaller."""
    factor = (LARGEST_PICTURE_PIXELS / picture.size) ** 0.5
    return picture.astype(np.float32) if factor >= 1 else _resized(picture, factor)


def _window_sides(picture: np.ndarray) -> Iterator[float]:
    side = SMALLEST_FILM_PIXELS / 2
    while side <= min(picture.shape):
        yield side
        side *= SCALE_STEP


def _windows(level: np.ndarray, even: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows (n, TILE, TILE) of a picture that are not mostly flat, in groups, with their (left, top)."""
    down, across = np.gradient(level)
    flat = uniform_filter((np.hypot(down, across) < FLAT_GREY_LEVELS).astype(np.float32), TILE)
    middle = slice(TILE // 2, None), slice(TILE // 2, None)
    rows, columns = (length - TILE + 1 for length in level.shape)
    busy = np.argwhere(flat[middle][:rows, :columns] <= FLAT_SHARE)
    view = np.lib.stride_tricks.sliding_window_view(even, (TILE, TILE))
    for start in range(0, len(busy), WINDOWS_AT_ONCE):
        top, left = busy[start : start + WINDOWS_AT_ONCE].T
        yield view[top, left], np.column_stack([left, top]).astype(float)


def _best_per_film(film: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Rows to check: the best fit of every film, then the second best of every film, and so on."""
    order = np.argsort(-fit, kind="stable")
    by_film = order[np.argsort(film[order], kind="stable")]
    _, first, counts = np.unique(film[by_film], return_index=True, return_counts=True)
    rank = np.arange(len(by_film)) - np.repeat(first, counts)
    rows, rank = by_film[rank < CHECKS_PER_FILM], rank[rank < CHECKS_PER_FILM]
    return rows[np.lexsort((-fit[rows], rank))][:CHECKS_PER_PICTURE]


def _best_fit(
    picture: np.ndarray, film: np.ndarray, offset: tuple[int, int], box: np.ndarray, how: tuple
) -> tuple[float, np.ndarray]:
    """How well the quarter of a film at `offset` fits the picture near a box (left, top, side), 0 to 1, and where."""
    tile_pixels, reach, scales = how
    left, top, side = box
    unit, sigma = len(film) / FILM_TILES, tile_pixels * TILE_SIGMA / TILE * 0.6
    tile = _box_resized(film, offset[1] * unit, offset[0] * unit, TILE * unit, tile_pixels)
    # No finer than both are: what a small picture lacks is taken from the film as well.
    blur = max(0.0, 0.5 * (tile_pixels / side - 1))
    wanted = _unit(_evened(gaussian_filter(tile, blur) if blur else tile, sigma)[0][None])[0]
    best = (0.0, box)
    pixels = tile_pixels + 2 * reach
    for scale in scales:
        step = side * scale / tile_pixels
        x, y = left + side / 2 - pixels * step / 2, top + side / 2 - pixels * step / 2
        area = _box_resized(picture, x, y, pixels * step, pixels)
        even, _ = _evened(gaussian_filter(area, blur) if blur else area, sigma)
        windows = np.lib.stride_tricks.sliding_window_view(even, tile.shape)
        fits = np.abs(_unit(windows.reshape(-1, tile_pixels, tile_pixels)) @ wanted)
        row, column = divmod(int(fits.argmax()), windows.shape[1])
        if fits.max() > best[0]:
            best = (float(fits.max()), np.array([x + column * step, y + row * step, side * scale]))
    return best


def _unit(tiles: np.ndarray) -> np.ndarray:
    """Tiles (n, s, s) as rows (n, s²) of mean 0 and length 1."""
    rows = tiles.reshape(len(tiles), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _resized_to(picture: np.ndarray, side: int) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(picture, dtype=np.float32))
    return np.asarray(
        image.resize(
            (side, side), Image.Resampling.BOX if min(picture.shape) >= 2 * side else Image.Resampling.BILINEAR
        )
    )


def _resized(picture: np.ndarray, factor: float) -> np.ndarray:
    height, width = (max(1, round(length * factor)) for length in picture.shape)
    image = Image.fromarray(np.ascontiguousarray(picture, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _box_resized(picture: np.ndarray, left: float, top: float, side: float, pixels: int) -> np.ndarray:
    """A square of a picture as float32 (pixels, pixels); what lies outside repeats the border."""
    first_row, first_column = int(np.floor(top)), int(np.floor(left))
    last_row, last_column = int(np.ceil(top + side)) + 1, int(np.ceil(left + side)) + 1
    rows = np.clip(np.arange(first_row, last_row), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(first_column, last_column), 0, picture.shape[1] - 1)
    part = Image.fromarray(np.ascontiguousarray(picture[np.ix_(rows, columns)], dtype=np.float32))
    box = (left - first_column, top - first_row, left - first_column + side, top - first_row + side)
    return np.asarray(part.resize((pixels, pixels), Image.Resampling.BILINEAR, box=box))
