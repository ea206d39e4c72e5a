"""Looking for films in pictures: at any place and size, turned, squeezed, cropped, mirrored, inverted, written over.

All chests look alike, so alikeness is no evidence; the fine structure of one film is. Every film is described by the
surroundings of its most distinct points (SIFT: Lowe, IJCV 2004; square roots as in Arandjelović and Zisserman, CVPR
2012; contrast evened out before). So is a picture, as it is, mirrored, inverted, and both. Each of its points is
matched with the most alike ones of all films. Where matches of one film agree on one place, turn and stretch (an affine
map by RANSAC: Fischler and Bolles 1981), the film is shown there if these are many, as for a part of it, or if all of
it correlates in fine detail with what is there (`alignment`).

Real films of different people agreed by chance in up to ten points and correlated by up to 0.49; the same film agreed
in thirty and more. How often films are missed, and how often others are taken for them, `benchmarks/guard_recall.py`
measures for every kind of change.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import cv2
import numpy as np

from cxrlib.films.images import in_parallel
from cxrlib.films.search.alignment import aligned_correlation, compared_side, detail, thumbnails

# Films are also described in coarse blocks, as they look at the few pixels of a small study's generators.
FILM_SIDE, COARSE_SIDE = 192, 32
POINTS_PER_FILM, POINTS_PER_PICTURE = 160, 4000
CONTRAST, EDGES = 0.01, 20
EVENED_CLIP, EVENED_TILES = 3.0, (8, 8)
DIMENSIONS = 64
SMALLEST_SIDE, LARGEST_PICTURE_PIXELS = 24, 4_000_000
# Found on real films other than those of the benchmark's table.
LEAST_LIKENESS, FEWEST_MATCHES = 0.8, 5
REPROJECTION_PX, ROUNDS = 4.0, 500
# How much less alike than the most alike point a match may be, and how many have to agree then. The second way is for
# sets that hold a film twice, or several of one patient, among which the first would divide the matches.
WAYS = ((0.0, 9), (0.01, 14))
# For fewer points to be enough: how far the whole film has to correlate; more where films of a sample do by chance, as
# simulated ones; and how far it may be turned against the map of the points.
LEAST_CORRELATION, MOST_CORRELATION, CORRELATION_MARGIN, MOST_TURNED = 0.6, 0.75, 0.05, 0.15
# Films that are compared with all others of the set, and how many more points than by chance there have to be.
SAMPLE_FILMS, MARGIN, MOST_AGREEING = 32, 2, 20
MOST_MIDDLES_APART, MOST_SIZES_APART = 0.35, 1.7
LEAST_SCALE, MOST_SQUEEZE = 0.15, 2.5
DESCRIPTIONS_AT_ONCE = 64


@dataclass(frozen=True)
class Match:
    """A film in a picture: which, where its middle is (x, y in pixels), and how many of its points agree."""

    film: int
    x: float
    y: float
    agreeing: int


@dataclass(frozen=True)
class Place:
    """Where a film may be: the map float64 (2, 3) of its places at `FILM_SIDE` to the picture's; points that agree."""

    film: int
    map: np.ndarray
    agreeing: int


class FilmIndex:
    """Films, uint8 (N, S, S), prepared for being looked for in any number of pictures."""

    def __init__(self, films: np.ndarray) -> None:
        self._searched: dict[bytes, list[Match]] = {}
        self._films = films
        sift = cv2.SIFT_create(POINTS_PER_FILM, contrastThreshold=CONTRAST, edgeThreshold=EDGES)
        whole = [_resized(film, FILM_SIDE, FILM_SIDE) for film in films]
        blocks = np.ones((FILM_SIDE // COARSE_SIDE,) * 2, np.uint8)
        coarse = [np.kron(_resized(film, COARSE_SIDE, COARSE_SIDE), blocks) for film in films]
        described = [_described(sift, film) for film in (*whole, *coarse)]
        self._points = np.concatenate([points for points, _ in described])
        self._film = np.repeat(np.tile(np.arange(len(films)), 2), [len(points) for points, _ in described])
        descriptions = np.concatenate([found for _, found in described])
        self._axes = _principal_axes(descriptions)
        self._descriptions = _unit(descriptions @ self._axes)
        self._fewest, self._least_correlation = self._by_chance(films)

    def _by_chance(self, films: np.ndarray) -> tuple[np.ndarray, float]:
        """More points than each film shares with others of a sample, int (ways, N), and a greater correlation.

        Simulated films share more than real ones, and some films have points that many resemble.
        """
        drawn = np.random.default_rng(0).permutation(len(films))[:SAMPLE_FILMS]
        sift = cv2.SIFT_create(POINTS_PER_FILM, contrastThreshold=CONTRAST, edgeThreshold=EDGES)
        most, correlations = np.zeros((len(WAYS), len(films)), int), [0.0]
        for row in drawn:
            film = _resized(films[row], FILM_SIDE, FILM_SIDE)
            for way, place in self._places(*_described(sift, film), without=row):
                most[way, place.film] = max(most[way, place.film], place.agreeing)
                correlations.append(self._correlation(film, place))
        fewest = np.array([[number] for _, number in WAYS])
        least = np.clip(max(correlations) + CORRELATION_MARGIN, LEAST_CORRELATION, MOST_CORRELATION)
        return np.clip(most + MARGIN, fewest, MOST_AGREEING), float(least)

    def search(self, picture: np.ndarray) -> list[Match]:
        """The films that a grey picture, uint8 (H, W), shows; at most one match a film.

        A figure is in a page, in a notebook and in a file of its own; it is searched once.
        """
        key = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
        if key not in self._searched:
            best: dict[int, Match] = {}
            for match in self._matches(picture):
                if match.film not in best or match.agreeing > best[match.film].agreeing:
                    best[match.film] = match
            self._searched[key] = list(best.values())
        return self._searched[key]

    def _matches(self, picture: np.ndarray) -> Iterator[Match]:
        if min(picture.shape) < SMALLEST_SIDE or not np.ptp(picture) or not len(self._points):
            return
        shrunk = min(1.0, (LARGEST_PICTURE_PIXELS / picture.size) ** 0.5)
        enlarged = max(shrunk, min(4.0, FILM_SIDE / min(picture.shape)))
        scale = enlarged if shrunk == 1 else shrunk
        picture = _resized(picture, *(round(scale * length) for length in picture.shape[::-1]))
        views = list(product((False, True), repeat=2))
        for (mirrored, _), places in zip(views, in_parallel(partial(self._seen, picture), views), strict=True):
            for place in places:
                x, y = place.map @ (FILM_SIDE / 2, FILM_SIDE / 2, 1)
                x = picture.shape[1] - x if mirrored else x
                yield Match(place.film, x / scale, y / scale, place.agreeing)

    def _seen(self, picture: np.ndarray, view: tuple[bool, bool]) -> list[Place]:
        """Where a picture, seen mirrored or not and inverted or not, shows a film."""
        mirrored, inverted = view
        seen = np.ascontiguousarray(picture[:, ::-1] if mirrored else picture)
        seen = 255 - seen if inverted else seen
        sift = cv2.SIFT_create(POINTS_PER_PICTURE, contrastThreshold=CONTRAST, edgeThreshold=EDGES)
        return [
            place
            for way, place in self._places(*_described(sift, seen))
            if place.agreeing >= self._fewest[way, place.film]
            or (way and self._correlation(seen, place) >= self._least_correlation)
        ]

    def _correlation(self, picture: np.ndarray, place: Place) -> float:
        """How far all of the film correlates in fine detail with the part of the picture where it may be."""
        side = compared_side(self._films)
        film = thumbnails([self._films[place.film]], side)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        part = cv2.warpAffine(picture, place.map, (FILM_SIDE, FILM_SIDE), flags=how, borderMode=cv2.BORDER_REPLICATE)
        shown = detail(_resized(part, side, side)[None])[0]
        return aligned_correlation(detail(film)[0], shown, most_turned=MOST_TURNED)

    def _places(
        self, points: np.ndarray, descriptions: np.ndarray, *, without: int | None = None
    ) -> Iterator[tuple[int, Place]]:
        """Where some points of a film are as one map would put them, and the number of the way they were found."""
        rows, nearest, behind = self._nearest(_unit(descriptions @ self._axes), without)
        for way, (most_behind, _) in enumerate(WAYS):
            of_way = behind <= most_behind
            films, counts = np.unique(self._film[nearest[of_way]], return_counts=True)
            for film in films[counts >= FEWEST_MATCHES]:
                kept = of_way & (self._film[nearest] == film)
                place = _placed(int(film), self._points[nearest[kept]], points[rows[kept]])
                if place:
                    yield way, place

    def _nearest(self, descriptions: np.ndarray, without: int | None) -> tuple[np.ndarray, ...]:
        """Pairs that are most alike, or nearly so: row of the descriptions, row of the films' points, and by how much
        less alike than the most alike one."""
        found = []
        for start in range(0, len(descriptions), DESCRIPTIONS_AT_ONCE):
            likeness = descriptions[start : start + DESCRIPTIONS_AT_ONCE] @ self._descriptions.T
            if without is not None:
                likeness[:, self._film == without] = -1
            # Few points of a page are like one of any film: only their rows are looked through.
            most = likeness.max(axis=1)
            rows = np.flatnonzero(most >= LEAST_LIKENESS)
            likeness, most = likeness[rows], most[rows, None]
            near = likeness >= np.maximum(most - WAYS[-1][0], LEAST_LIKENESS)
            row, point = np.divmod(np.flatnonzero(near), near.shape[1])
            found.append((start + rows[row], point, most[row, 0] - likeness[row, point]))
        return tuple(np.concatenate(part) for part in zip(*found, strict=True)) if found else (np.empty(0, int),) * 3


def _placed(film: int, at: np.ndarray, to: np.ndarray) -> Place | None:
    """The film where most of the matches, points float32 (n, 4) of the film and of the picture, agree that it is."""
    together = _largest_group(at, to)
    at, to = at[together, :2], to[together, :2]
    if len(at) < FEWEST_MATCHES:
        return None
    found, agree = cv2.estimateAffine2D(at, to, ransacReprojThreshold=REPROJECTION_PX, maxIters=ROUNDS)
    if found is None or not _is_plausible(found):
        return None
    # One point of a film that many of a picture resemble (a letter, a corner) counts once, and so do theirs.
    kept = agree.ravel() > 0
    agreeing = min(len(np.unique(part[kept].round(), axis=0)) for part in (at, to))
    return Place(film, found, agreeing) if agreeing >= FEWEST_MATCHES else None


def _described(sift: cv2.SIFT, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places float32 (n, 4), x, y, size and angle in degrees, and descriptions float32 (n, 128) of the distinct points
    of a grey picture."""
    evened = cv2.createCLAHE(EVENED_CLIP, EVENED_TILES).apply(picture)
    points, found = sift.detectAndCompute(evened, None)
    if found is None:
        return np.empty((0, 4), np.float32), np.empty((0, 128), np.float32)
    roots = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6))
    return np.array([(*point.pt, point.size, point.angle) for point in points], np.float32), roots.astype(np.float32)


def _largest_group(at: np.ndarray, to: np.ndarray) -> np.ndarray:
    """bool (n,): the largest group of matches, points float32 (n, 4) of a film and of a picture, that see the film's
    middle at one place and in one size (Lowe 2004, section 7.3); a page may show alike films in many places."""
    size = to[:, 2] / at[:, 2]
    angle = np.deg2rad(to[:, 3] - at[:, 3])
    x, y = (FILM_SIDE / 2 - at[:, :2]).T
    turned = np.column_stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y])
    middle = to[:, :2] + size[:, None] * turned
    apart = np.linalg.norm(middle[:, None] - middle[None], axis=2) / (size[:, None] * FILM_SIDE)
    alike = np.abs(np.log(size[:, None] / size[None])) < np.log(MOST_SIZES_APART)
    near = (apart < MOST_MIDDLES_APART) & alike
    return near[near.sum(axis=1).argmax()]


def _principal_axes(descriptions: np.ndarray) -> np.ndarray:
    """float32 (128, d): the axes along which the descriptions differ most; likeness loses little by the others."""
    _, axes = np.linalg.eigh(descriptions.T.astype(np.float64) @ descriptions)
    return axes[:, -DIMENSIONS:].astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _is_plausible(found: np.ndarray) -> bool:
    """Whether an affine map (2, 3) shows a film without turning it over, vanishingly small, or as a strip."""
    largest, least = np.linalg.svd(found[:, :2], compute_uv=False)
    return np.linalg.det(found[:, :2]) > 0 and least >= LEAST_SCALE and largest <= MOST_SQUEEZE * least


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    smaller = width < picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture), (max(1, width), max(1, height)), interpolation=how)
