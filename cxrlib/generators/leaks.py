"""Faults that real films hardly have: flat rectangles, as cutout leaves, flat borders, as translation leaves, fine
stripes and checkerboards, as networks that double the resolution leave, and chests that are mirrored.

A discriminator that sees real and generated films through the same augmentation may let a generator draw what belongs
to the augmentation (Karras et al. 2020, section 2.2, call it leaking). Cutout blanks a rectangle of half the film's
side, of which at least a quarter of the side lies inside the film; translation moves the film by up to an eighth of its
side. What is blanked is flat: of one grey that is neither black nor white, since zero is mid-grey there. Black
collimation and white plates, which real films have, are not counted.

On 1,259 real films and 834 simulated ones of 64 pixels, as they are and augmented, at most 0.2 % had such an area by
themselves; of those with a rectangle cut out 91 to 99 % were found, with grain of 2.5 grey levels or without, of those
moved 92 to 97 %.
"""

import numpy as np

from cxrlib.generators.quality import left_from_right

# A generator draws a flat area with some grain; smooth tissue varies more than this within such an area (grey levels).
FLAT_LEVELS = 3.0
# Darker and lighter areas are collimation, air outside the patient, plates and markers.
DARKEST, LIGHTEST = 16, 239
# An edge: this far beyond a flat area, this share of the pixels differs by so many grey levels. (What is blanked has
# the grey of some tissue, which can lie along a part of the edge.)
EDGE_PX, EDGE_LEVELS, EDGE_SHARE = 2, 12.0, 0.7
# Shares of the film's side.
RECTANGLE_SIDE = 7 / 32
BORDER_WIDTH = 1 / 32
FILMS_AT_A_TIME = 512
# A pattern that repeats is a peak of the spectrum: so high (grey levels), and so many times what surrounds it.
PATTERN_LEVELS, PATTERN_RISE = 1.0, 7.0
# Longer waves than so many pixels are anatomy.
LONGEST_PX = 5


def has_flat_rectangle(films: np.ndarray) -> np.ndarray:
    """Which films, uint8 (N, S, S), hold a flat area with a corner, two edges of 7/32 of the side: bool (N,).

    Smooth tissue can be as flat, but does not end along a row and a column of pixels. Of cutout's rectangle one corner
    at least lies inside the film, whatever its place.
    """
    width = round(RECTANGLE_SIDE * films.shape[1])
    found = np.zeros(len(films), bool)
    for start in range(0, len(films), FILMS_AT_A_TIME):
        part = np.asarray(films[start : start + FILMS_AT_A_TIME], np.float32)
        mean, variance = _windows(part, width)
        flat = _flat(mean, variance)
        some = np.flatnonzero(flat.any(axis=(1, 2)))
        if len(some):
            corner = _corners(part[some], mean[some].astype(np.float32), width)
            found[start + some] = (flat[some] & corner).any(axis=(1, 2))
    return found


def _windows(films: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance, (N, S - width + 1, S - width + 1), of every window of the films, by its upper left pixel."""
    sums = []
    for values in (films, films**2):
        summed = np.pad(values.astype(np.float64), ((0, 0), (1, 0), (1, 0))).cumsum(axis=1).cumsum(axis=2)
        upper, lower = summed[:, :-width], summed[:, width:]
        box = lower[:, :, width:] - lower[:, :, :-width] - upper[:, :, width:] + upper[:, :, :-width]
        sums.append(box / width**2)
    return sums[0], sums[1] - sums[0] ** 2


def _corners(films: np.ndarray, mean: np.ndarray, width: int) -> np.ndarray:
    """Where the pixels `EDGE_PX` beyond a window differ from its mean, along a side and along one next to it."""
    padded = np.pad(films, ((0, 0), (EDGE_PX, EDGE_PX), (EDGE_PX, EDGE_PX)), constant_values=np.nan)
    along_rows, along_columns = (_edges(padded, mean, width), _edges(padded.swapaxes(1, 2), mean.swapaxes(1, 2), width))
    return along_rows & along_columns.swapaxes(1, 2)


def _edges(padded: np.ndarray, mean: np.ndarray, width: int) -> np.ndarray:
    """Whether the row above a window, or the row below it, differs from its mean in most of its pixels."""
    windows = mean.shape[1]
    found = np.zeros(mean.shape, bool)
    for first in (0, width + 2 * EDGE_PX - 1):
        rows = padded[:, first : first + windows]
        different = np.zeros(mean.shape, np.int16)
        for column in range(width):
            beside = rows[:, :, EDGE_PX + column : EDGE_PX + column + windows]
            # Beyond the film there is nothing, which differs from nothing.
            different += np.abs(beside - mean) >= EDGE_LEVELS
        found |= different >= EDGE_SHARE * width
    return found


def has_flat_border(films: np.ndarray) -> np.ndarray:
    """Which films, uint8 (N, S, S), have a flat strip of 1/32 of their side, or more, along a whole side: bool (N,)."""
    width = max(2, round(BORDER_WIDTH * films.shape[1]))
    found = np.zeros(len(films), bool)
    for turn in range(4):
        for start in range(0, len(films), FILMS_AT_A_TIME):
            part = np.rot90(films[start : start + FILMS_AT_A_TIME], turn, axes=(1, 2))
            strip = part[:, :width].reshape(len(part), -1).astype(np.float64)
            found[start : start + len(part)] |= _flat(strip.mean(1), strip.var(1))
    return found


def _flat(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return (variance <= FLAT_LEVELS**2) & (mean >= DARKEST) & (mean <= LIGHTEST)


def has_stripes(films: np.ndarray) -> np.ndarray:
    """Which films, uint8 (N, S, S), have fine straight stripes, at most 5 pixels apart, all over: bool (N,)."""
    amplitudes = _amplitudes(films)
    side = amplitudes.shape[1]
    waves = np.arange(side // LONGEST_PX, side // 2 + 1)
    found = np.zeros(len(films), bool)
    for along in (amplitudes[:, 0], amplitudes[:, :, 0]):
        found |= _peak(along[:, waves], np.stack([along[:, waves + step] for step in (-3, -2, 2 - side, 3 - side)]))
    return found


def has_checkerboard(films: np.ndarray) -> np.ndarray:
    """Which films, uint8 (N, S, S), have a checkerboard of squares of 1 or 2 pixels all over: bool (N,)."""
    amplitudes = _amplitudes(films)
    found = np.zeros(len(films), bool)
    for square in (1, 2):
        wave = films.shape[1] // (2 * square)
        around = [amplitudes[:, wave + down, wave + right] for down in (-2, 0, 2) for right in (-2, 0, 2)
                  if (down, right) != (0, 0)]  # fmt: skip
        found |= _peak(amplitudes[:, wave, wave][:, None], np.stack(around)[:, :, None])
    return found


def _amplitudes(films: np.ndarray) -> np.ndarray:
    """Amplitude of every wave of films (N, S, S), in grey levels; tapered, since the two ends of a film differ."""
    side = films.shape[1]
    taper = np.hanning(side + 2)[1:-1]
    taper = taper / taper.mean()
    centred = films.astype(np.float32) - films.mean((1, 2), keepdims=True)
    return np.abs(np.fft.fft2(centred * taper[:, None] * taper)) / side**2


def _peak(waves: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Whether any wave (N, W) stands out from those around it (K, N, W): bool (N,)."""
    return ((waves >= PATTERN_LEVELS) & (waves >= PATTERN_RISE * np.median(around, axis=0))).any(1)


def is_mirrored(films: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Which films, uint8 (N, S, S), are more like the mirror image of the mean real film (M, S, S) than like it: bool
    (N,). Judged by what differs between left and right; of real films themselves the heart's place is not that sure."""
    mean = left_from_right(real).mean(0)
    return (left_from_right(films) * mean).sum((1, 2)) < 0


LEAKS = {
    "flat rectangle": has_flat_rectangle,
    "flat border": has_flat_border,
    "stripes": has_stripes,
    "checkerboard": has_checkerboard,
}
MIRRORED = "mirrored"
