"""A look at the picture: whether a film resembles an upright chest. What is found is noted for a person, never decided.

A film is reduced to 16 × 16 greys and laid on the average of public chest films (`average_chest.md` says whose), turned
and inverted in every way; lateral films fit none of them well. The heart lies left, so what differs between the halves
tells a mirrored film.
How often each is found, and how often wrongly, is measured by `benchmarks/look_at_films.py`.
"""

import csv
import importlib.resources
from functools import cache

import numpy as np
from PIL import Image

SIDE = 16
TABLE_FILE = "average_chest.csv"
TURNED, INVERTED = "looks turned", "looks inverted"
MIRRORED = "looks mirrored (the heart lies right)"
SEVERAL = "looks like several films in one"
UNLIKE = "looks unlike a frontal chest film"
EMPTY = "looks nearly empty"
# Correlations with the average film: how much better another way must fit, and how little is no chest.
BETTER, LEAST = 0.1, 0.3
HALVES_FIT, MIRRORED_BELOW = 0.35, -0.35
EMPTY_SHARE, EMPTY_GREYS = 0.85, 8
# Of good films in the sets that were measured; a set of which more is noted holds films of another kind.
NOTED_IN_VAIN, TOO_MANY = "5 to 10 %", 0.15


def look(film: Image.Image) -> list[str]:
    """What a person should look at, of a grey film as it will be used; mostly nothing."""
    greys = np.asarray(film)
    if _share_of_one_grey(greys) > EMPTY_SHARE:
        return [EMPTY]
    small = reduced(film)
    best, way = best_way(small)
    upright = max(_fit(small, turned) for turned in _ways()[0, 0])
    if fits_in_halves(film) > max(HALVES_FIT, upright + BETTER, best):
        return [SEVERAL]
    if best > upright + BETTER:
        return [INVERTED if way[0] else TURNED] if best > LEAST else [UNLIKE]
    if upright < LEAST:
        return [UNLIKE]
    return [MIRRORED] if heart_side(small) < MIRRORED_BELOW else []


def average() -> np.ndarray:
    """(16, 16): public chest films' average, mean 0 and variance 1."""
    return _table()["average"]


def reduced(film: Image.Image) -> np.ndarray:
    """(16, 16) greys with mean 0 and variance 1."""
    small = np.asarray(film.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), float)
    return (small - small.mean()) / (small.std() + 1e-6)


def best_way(small: np.ndarray) -> tuple[float, tuple[int, int]]:
    """The best correlation with the average film, and (inverted, quarter turns) by which it is reached."""
    return max((_fit(small, turned), way) for way, both in _ways().items() for turned in both)


def fits_in_halves(film: Image.Image) -> float:
    """The lesser correlation of the two halves with an upright film, beside or above each other."""
    width, height = film.size
    beside = (film.crop((0, 0, width // 2, height)), film.crop((width // 2, 0, width, height)))
    above = (film.crop((0, 0, width, height // 2)), film.crop((0, height // 2, width, height)))
    upright = _ways()[0, 0][0]
    return max(min(_fit(reduced(half), upright) for half in halves) for halves in (beside, above))


def heart_side(small: np.ndarray) -> float:
    """Near 1 where the heart lies on the film's right, as it should, near -1 where it lies on the other side."""
    return float(((small - small[:, ::-1])[:, : SIDE // 2] * _table()["side"]).sum())


def _share_of_one_grey(greys: np.ndarray) -> float:
    counts = np.bincount(greys.ravel(), minlength=256)
    return float(np.convolve(counts, np.ones(EMPTY_GREYS), "valid").max() / greys.size)


def _fit(small: np.ndarray, other: np.ndarray) -> float:
    return float((small * other).mean())


@cache
def _ways() -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """{(inverted, quarter turns): the average film in that way, and its mirror image}."""
    turned = {turns: np.rot90(average(), turns) for turns in range(4)}
    return {
        (inverted, turns): ((1 - 2 * inverted) * film, (1 - 2 * inverted) * film[:, ::-1])
        for inverted in (0, 1)
        for turns, film in turned.items()
    }


@cache
def _table() -> dict[str, np.ndarray]:
    """`average` (16, 16): public chest films' average. `side` (16, 8): weights of what the left half has more."""
    text = (importlib.resources.files("cxrlib.films") / TABLE_FILE).read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    return {name: np.array([row[1:] for row in rows if row[0] == name], float) for name in ("average", "side")}
