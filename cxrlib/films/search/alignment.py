"""What decides whether two films are one: how far their fine detail correlates where they agree best.

Equalising takes brightness and gamma out of the matter; without even contrast, the sharp borders of collimation and
plates, which many films share, would decide.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

# Sides at which films are compared, and what is fine detail there, in pixels. The smallest is for generated films,
# which copy softly.
SIDES, SOFT_SIDE = (128, 64), 32
HIGH_PASS_PX = {128: 3.0, 64: 2.0, SOFT_SIDE: 3.0}
FLAT_CONTRAST = 1e-3
ROUNDS, SMALLEST_GAIN = 15, 1e-4
SMALLEST_OVERLAP = 0.6
# Of films of different people the ribs fit best when they are turned (by 2 degrees and more); no copy has to be.
MOST_TURNED = 0.02
UNCHANGED = np.eye(2, 3, dtype=np.float32)


def compared_side(*films: np.ndarray) -> int:
    """The side, of `SIDES`, at which films uint8 (N, S, S) of these sizes are compared."""
    smallest = min(of_size.shape[1] for of_size in films)
    return next((side for side in SIDES if side <= smallest), SIDES[-1])


def thumbnails(films: np.ndarray | Sequence[np.ndarray], side: int) -> np.ndarray:
    """uint8 films of one size as uint8 (N, side, side)."""
    small = np.empty((len(films), side, side), np.uint8)
    for index, film in enumerate(films):
        small[index] = np.asarray(Image.fromarray(film).resize((side, side), Image.Resampling.BILINEAR))
    return small


def equalise(films: np.ndarray) -> np.ndarray:
    """uint8 (N, S, S) to float32 from -1 to 1: each grey level becomes its mid-rank among the film's pixels."""
    count, pixels = len(films), films[0].size if len(films) else 1
    flat = films.reshape(count, pixels).astype(np.int32)
    offset = 256 * np.arange(count, dtype=np.int32)[:, None]
    levels = np.bincount((flat + offset).ravel(), minlength=256 * count).reshape(count, 256)
    ranks = (2 * (levels.cumsum(axis=1) - levels / 2) / pixels - 1).astype(np.float32)
    return np.take_along_axis(ranks, flat, axis=1).reshape(films.shape)


def detail(films: np.ndarray) -> np.ndarray:
    """Fine detail of films uint8 (N, S, S), S in `HIGH_PASS_PX`: float32, equalised, high-passed, of even contrast."""
    found = np.empty(films.shape, np.float32)
    coarse_px = HIGH_PASS_PX[films.shape[1]]
    for index, film in enumerate(equalise(films)):
        fine = film - gaussian_filter(film, coarse_px)
        found[index] = fine / np.sqrt(gaussian_filter(fine * fine, 2 * coarse_px) + FLAT_CONTRAST)
    return found


def aligned_correlation(
    target: np.ndarray, query: np.ndarray, start: np.ndarray = UNCHANGED, most_turned: float = MOST_TURNED
) -> float:
    """The greatest correlation, at most 1, of two details float32 (S, S) over affine maps near `start`.

    `start`, float32 (2, 3), maps places of the target to those of the query. The enhanced correlation coefficient of
    Evangelidis and Psarakis (2008) is maximised; -1 where the two have nothing in common, hardly overlap, or only agree
    turned or sheared by more than `most_turned` (radians, as far as angles are small).
    """
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ROUNDS, SMALLEST_GAIN)
    try:
        correlation, found = cv2.findTransformECC(target, query, start.copy(), cv2.MOTION_AFFINE, stop, None, 1)
    except cv2.error:  # what it raises for films that don't correlate
        return -1.0
    how = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    overlap = cv2.warpAffine(np.ones(query.shape, np.uint8), found, target.shape[::-1], flags=how).mean()
    turned = abs(found[0, 1]) > most_turned or abs(found[1, 0]) > most_turned
    return float(correlation) if overlap >= SMALLEST_OVERLAP and not turned else -1.0
