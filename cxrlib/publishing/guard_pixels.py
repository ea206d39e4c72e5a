"""Looking for films in pictures: at any place and size, turned, squeezed, cropped, mirrored, inverted, written over.

All chests look alike, so alikeness is no evidence; the fine structure of one film is. Every film is described by the
surroundings of its most distinct points (SIFT: Lowe, IJCV 2004; square roots as in Arandjelović and Zisserman, CVPR
2012; contrast evened out before). So is a picture, as it is, mirrored, inverted, and both. Each of its points is
matched with the most alike one of all films; where enough matches of one film agree on one place, turn and stretch
(an affine map by RANSAC: Fischler and Bolles 1981), the film is shown there.

Real films of different people agreed by chance in up to six points, the same film in some thirty. How often films are
missed, and how often others are taken for them, `benchmarks/guard_recall.py` measures for every kind of change.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

FILM_SIDE = 192
POINTS_PER_FILM, POINTS_PER_PICTURE = 160, 4000
CONTRAST, EDGES = 0.01, 20
EVENED_CLIP, EVENED_TILES = 3.0, (8, 8)
DIMENSIONS = 64
SMALLEST_SIDE, LARGEST_PICTURE_PIXELS = 24, 4_000_000
# Found on real films other than those of the benchmark's table.
LEAST_LIKENESS, FEWEST_MATCHES, FEWEST_AGREEING = 0.8, 8, 9
REPROJECTION_PX, ROUNDS = 4.0, 500
# Of so many films of the set, what the most alike other film of the 90th percentile has, and some more, is chance.
SAMPLE_FILMS, SAMPLE_PERCENTILE, MARGIN, MOST_AGREEING = 24, 90, 3, 16
LEAST_SCALE, MOST_SQUEEZE = 0.15, 2.5
DESCRIPTIONS_AT_ONCE = 40_000


@dataclass(frozen=True)
class Match:
    """A film in a picture: which, where its middle is (x, y in pixels), and how many of its points agree."""

    film: int
    x: float
    y: float
    agreeing: int


class FilmIndex:
    """Films, uint8 (N, S, S), prepared for being looked for in any number of pictures."""

    def __init__(self, films: np.ndarray) -> None:
        self._searched: dict[bytes, list[Match]] = {}
        sift = cv2.SIFT_create(POINTS_PER_FILM, contrastThreshold=CONTRAST, edgeThreshold=EDGES)
        described = [_described(sift, _resized(film, FILM_SIDE, FILM_SIDE)) for film in films]
        self._points = np.concatenate([points for points, _ in described])
        self._film = np.repeat(np.arange(len(films)), [len(points) for points, _ in described])
        descriptions = np.concatenate([found for _, found in described])
        self._axes = _principal_axes(descriptions)
        self._descriptions = _unit(descriptions @ self._axes)
        self._fewest = 0
        self._fewest = self._by_chance(films)

    def _by_chance(self, films: np.ndarray) -> int:
        """More points than agree between different films of this set: simulated ones are more alike than others are."""
        drawn = np.random.default_rng(0).permutation(len(films))[:SAMPLE_FILMS]
        sift = cv2.SIFT_create(POINTS_PER_FILM, contrastThreshold=CONTRAST, edgeThreshold=EDGES)
        most = []
        for row in drawn:
            described = _described(sift, _resized(films[row], FILM_SIDE, FILM_SIDE))
            most.append(max((match.agreeing for match in self._matches_of(*described, without=row)), default=0))
        usual = np.percentile(most, SAMPLE_PERCENTILE) if most else 0
        return int(np.clip(usual + MARGIN, FEWEST_AGREEING, MOST_AGREEING))

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
        sift = cv2.SIFT_create(POINTS_PER_PICTURE, contrastThreshold=CONTRAST, edgeThreshold=EDGES)
        for mirrored in (False, True):
            for inverted in (False, True):
                seen = np.ascontiguousarray(picture[:, ::-1] if mirrored else picture)
                for match in self._matches_of(*_described(sift, 255 - seen if inverted else seen)):
                    x = picture.shape[1] - match.x if mirrored else match.x
                    yield Match(match.film, x / scale, match.y / scale, match.agreeing)

    def _matches_of(
        self, points: np.ndarray, descriptions: np.ndarray, *, without: int | None = None
    ) -> Iterator[Match]:
        """Films of which enough points are where one map would put them."""
        likeness, nearest = self._nearest(_unit(descriptions @ self._axes), without)
        alike = likeness >= LEAST_LIKENESS
        points, nearest = points[alike], nearest[alike]
        films, counts = np.unique(self._film[nearest], return_counts=True)
        for film in films[counts >= FEWEST_MATCHES]:
            rows = self._film[nearest] == film
            at, to = self._points[nearest[rows]], points[rows]
            found, agree = cv2.estimateAffine2D(at, to, ransacReprojThreshold=REPROJECTION_PX, maxIters=ROUNDS)
            if found is None or not _is_plausible(found):
                continue
            # One point of a film that many of a picture resemble (a letter, a corner) counts once, and so do theirs.
            kept = agree.ravel() > 0
            agreeing = min(len(np.unique(part[kept].round(), axis=0)) for part in (at, to))
            if agreeing >= self._fewest:
                x, y = found @ (FILM_SIDE / 2, FILM_SIDE / 2, 1)
                yield Match(int(film), float(x), float(y), agreeing)

    def _nearest(self, descriptions: np.ndarray, without: int | None) -> tuple[np.ndarray, np.ndarray]:
        """For each description the highest likeness (0 to 1) of any film's point, and which point's it is."""
        best = np.full(len(descriptions), -1, np.float32)
        which = np.zeros(len(descriptions), int)
        for start in range(0, len(self._descriptions), DESCRIPTIONS_AT_ONCE):
            part = slice(start, start + DESCRIPTIONS_AT_ONCE)
            likeness = descriptions @ self._descriptions[part].T
            likeness[:, self._film[part] == without] = -1
            highest = likeness.argmax(axis=1)
            value = likeness[np.arange(len(highest)), highest]
            better = value > best
            best[better], which[better] = value[better], start + highest[better]
        return best, which


def _described(sift: cv2.SIFT, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places float32 (n, 2) and descriptions float32 (n, 128) of the distinct points of a grey picture."""
    evened = cv2.createCLAHE(EVENED_CLIP, EVENED_TILES).apply(picture)
    points, found = sift.detectAndCompute(evened, None)
    if found is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.float32)
    roots = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6))
    return np.array([point.pt for point in points], np.float32), roots.astype(np.float32)


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
