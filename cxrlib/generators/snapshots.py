"""How good a generator is at a moment of its training, by films of seeds that stay the same; and signs of collapse."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image

from cxrlib.files import atomic_path
from cxrlib.generators.drawing import make_films
from cxrlib.generators.kernel_distance import KernelDistance, kernel_distance
from cxrlib.generators.networks import Generator
from cxrlib.generators.quality import neighbour_measures
from cxrlib.reproducibility import seed_for

SNAPSHOT_FILMS = 96
MOST_HELD_OUT = 256
FILMS_AT_A_TIME = 32
THUMBNAIL_SIDE = 32
SHEET_COLUMNS, SHEET_ROWS = 8, 4
SNAPSHOT_COLUMNS = ("images", "kid", "kid_low", "kid_high", "recall", "nearest_pair", "chosen")
UNMEASURED: dict[str, float | None] = dict.fromkeys(("kid", "kid_low", "kid_high", "recall", "nearest_pair"))
# The demo's generators are between 1.1 and 1.4 at all times; films that are copies of each other are at 0.
NEARLY_IDENTICAL = 0.2
LEAST_FALL = 0.15

Features = Callable[[np.ndarray], np.ndarray]


class Judge:
    """Measures films of a generator against the films it is trained on and against those held out from it.

    `training` and `held_out` are uint8 (N, R, R), `features` maps such films to (N, D). Films are compared by what the
    same seeds give, and with the same films, at every snapshot: differences between snapshots are the generator's.
    `patients` (N,) are those of the held-out films.
    """

    def __init__(
        self, training: np.ndarray, held_out: np.ndarray, features: Features, patients: np.ndarray | None = None
    ) -> None:
        self.training, self.held_out = spread(training, SNAPSHOT_FILMS), spread(held_out, MOST_HELD_OUT)
        self.features = features
        self.patients = None if patients is None else spread(patients, MOST_HELD_OUT)

    def measure(self, films: np.ndarray) -> tuple[dict[str, float | None], KernelDistance | None]:
        """Kernel distance to the held-out films with its interval (None where there are none), the share of training
        films that lie among the synthetic ones, and how far apart neighbouring synthetic films are, in units of the
        same among training films; and that distance itself, for differences from other snapshots."""
        features = self.features(films)
        measures: dict[str, float | None] = dict.fromkeys(("kid", "kid_low", "kid_high"))
        if (distance := self.distance(features)) is not None:
            values = (distance.estimate, *distance.bounds())
            measures = {name: round(value, 6) for name, value in zip(measures, values, strict=True)}
        measures["recall"] = round(neighbour_measures(self._training_features, features)["recall"], 4)
        real = nearest_pair(self.training)
        # Fewer films are further apart, so as many synthetic films are compared as there are real ones.
        measures["nearest_pair"] = round(nearest_pair(films[: len(self.training)]) / real, 4) if real > 0 else None
        return measures, distance

    def distance(self, features: np.ndarray) -> KernelDistance | None:
        """Kernel distance of films with these features (N, D) to the held-out films; None where there are none."""
        if not len(self.held_out):
            return None
        return kernel_distance(features, self._held_out_features, None, self.patients)

    @cached_property
    def _training_features(self) -> np.ndarray:
        return self.features(self.training)

    @cached_property
    def _held_out_features(self) -> np.ndarray:
        return self.features(self.held_out)


def spread(films: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the films, from all along the array."""
    return np.array(films[np.linspace(0, len(films) - 1, min(len(films), most)).astype(np.int64)])


def nearest_pair(films: np.ndarray) -> float:
    """Median over films, uint8 (N, S, S), of the distance to the nearest other one: root mean square difference in grey
    levels at 32×32 pixels."""
    side = min(THUMBNAIL_SIDE, films.shape[1])
    small = functional.adaptive_avg_pool2d(torch.from_numpy(np.array(films)).double(), side).flatten(1)
    distances = torch.cdist(small, small, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    return float(distances.min(1).values.quantile(0.5)) / side


def signs_of_collapse(snapshots: Sequence[Mapping[str, Any]], total_images: int) -> dict[str, str]:
    """What the last of the snapshots shows of a collapse, in words by kind; empty for a healthy generator.

    A generator from random weights begins with films that hardly differ. That is a sign only from the middle of the
    training on, or after they have differed.
    """
    *earlier, last = snapshots
    signs, at = {}, f"at {last['images']:,} images"
    pair, highest_pair = last["nearest_pair"], max((row["nearest_pair"] or 0 for row in earlier), default=0)
    if pair is not None and pair < NEARLY_IDENTICAL and (last["images"] * 2 >= total_images or highest_pair > 2 * pair):
        signs["identical"] = (
            f"nearly identical films: {at}, films of different seeds differ {100 * pair:.0f} % as much as films of "
            "different patients do"
        )
    measured = [row for row in snapshots if row["recall"] is not None]
    highest = max(measured, key=lambda row: row["recall"], default=last)
    if measured and highest["recall"] - last["recall"] > max(highest["recall"] / 2, LEAST_FALL):
        signs["recall"] = (
            f"falling recall: {at}, {100 * last['recall']:.0f} % of the training films lie among the synthetic ones, "
            f"after {100 * highest['recall']:.0f} % at {highest['images']:,} images"
        )
    return signs


def films_of_seed(generator: Generator, seed: tuple[Any, ...], count: int = SNAPSHOT_FILMS) -> np.ndarray:
    """Films of a generator from this seed, uint8 (count, R, R), always of the same latents and noise."""
    seeds = [seed_for(*seed, "sheet", index) for index in range(count)]
    return np.concatenate(list(make_films(generator, seeds, 1.0, FILMS_AT_A_TIME)))


def contact_sheet(films: np.ndarray) -> np.ndarray:
    """The first 32 of the films side by side, uint8 (4 R, 8 R)."""
    side = films.shape[1]
    chosen = films[: SHEET_ROWS * SHEET_COLUMNS].reshape(SHEET_ROWS, SHEET_COLUMNS, side, side)
    return chosen.swapaxes(1, 2).reshape(SHEET_ROWS * side, -1)


def write_sheet(path: Path, films: np.ndarray) -> None:
    """Write films, uint8 (N, S, S), as one picture."""
    with atomic_path(path) as temporary:
        Image.fromarray(contact_sheet(films)).save(temporary)
