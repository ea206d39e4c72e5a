"""The training loop of one generator on films in memory: log, snapshots, checkpoints, rollback."""

import csv
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cxrlib.checkpoints import REMEDY, load_own_state, save_state, save_tensors
from cxrlib.errors import InputError
from cxrlib.files import append_log, trim_log, write_csv
from cxrlib.generators.kernel_distance import KernelDistance
from cxrlib.generators.processes import join_processes
from cxrlib.generators.settings import FEWEST_FILMS, GanSettings
from cxrlib.generators.snapshots import (
    SNAPSHOT_COLUMNS,
    UNMEASURED,
    Judge,
    contact_sheet,
    films_of_seed,
    signs_of_collapse,
    write_sheet,
)
from cxrlib.generators.stepping import Networks, Stepper, new_networks, tensor_float_products
from cxrlib.generators.tensorboard_log import TensorBoardLog

logger = logging.getLogger(__name__)

LOG_ROWS = 50
MOST_ROLLBACKS = 3
LOG_COLUMNS = ("loss_generator", "loss_discriminator", "r1", "real_sign", "generated_sign", "strength")

Progress = Callable[[int, int, dict[str, Any]], None]


@dataclass
class State(Networks):
    """Everything that training changes; what a checkpoint holds.

    `snapshots` has a row per snapshot, `warnings` a sentence per sign of collapse, and `chosen` the weights of the
    snapshot to be kept: of the averaged generator and, if a later training is to start from them, of the discriminator.
    `best` is the least kernel distance so far, with what it is without each seed and each patient.
    """

    images: int = 0
    seconds: float = 0.0
    rollbacks: int = 0
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    warnings: dict[str, str] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)
    modules: tuple[str, ...] = field(
        default=(
            "generator", "discriminator", "average", "generator_optimiser", "discriminator_optimiser", "statistics",
        ),
        repr=False,
    )  # fmt: skip
    facts: tuple[str, ...] = field(
        default=("images", "seconds", "rollbacks", "snapshots", "warnings", "chosen", "best"), repr=False
    )

    def as_dict(self) -> dict[str, Any]:
        facts = {name: getattr(self, name) for name in self.facts}
        return facts | {name: getattr(self, name).state_dict() for name in self.modules}

    def fill(self, stored: dict[str, Any]) -> None:
        """Take over what `as_dict` gave; raises `InputError` if that was of other networks."""
        try:
            for name in self.modules:
                getattr(self, name).load_state_dict(stored[name])
            for name in self.facts:
                setattr(self, name, stored[name])
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"the checkpoint is of other networks than the study's ({reason})") from None

    def not_finite(self) -> list[str]:
        """Names of the parts with a value that is not a finite number."""
        return [name for name in self.modules if not _all_finite(getattr(self, name).state_dict())]


class Run:
    """One training: the state, the steps that change it, and what is written down on the way.

    `films` is uint8 (N, R, R). `seed` names the random draws. `start` is a finished folder with a generator and a
    discriminator. `fingerprint` is what decides the result, as values of JSON: a checkpoint with another is refused.
    Without a `judge` snapshots are taken but not measured, and the last one is kept. So is the last without signs of
    collapse where later trainings start from this one (`is_start`): then what counts is what both networks have learned
    together, and a start's own films are never shown.
    """

    def __init__(
        self, films: np.ndarray, settings: GanSettings, folder: Path, *, total_images: int, seed: tuple[Any, ...],
        fingerprint: Any, start: Path | None = None, judge: Judge | None = None, is_start: bool = False,
        progress: Progress | None = None,
    ) -> None:  # fmt: skip
        check_films(films, settings, folder)
        self.settings, self.folder, self.seed, self.fingerprint = settings, folder, seed, fingerprint
        self.judge, self.progress = judge, progress
        self.is_start = is_start
        self.results = ("generator", "discriminator") if is_start else ("generator",)
        self.processes = join_processes()
        self.device = self.processes.device
        device_films = torch.from_numpy(np.array(films)).to(self.device)
        self.steps = max(1, math.ceil(total_images / settings.batch_size))
        self.total_images = self.steps * settings.batch_size
        self.row_steps = max(1, round(self.steps / LOG_ROWS))
        self.checkpoint_steps = self.row_steps * max(
            1, round(settings.checkpoint_images / settings.batch_size / self.row_steps)
        )
        self.state = State(**new_networks(device_films, settings, seed, start))
        self.stepper = Stepper(self.state, device_films, settings, seed, self.processes)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint" / "state.safetensors"

    @property
    def log(self) -> Path:
        return self.folder / "log.csv"

    @property
    def files(self) -> list[Path]:
        """What a finished run leaves, without what can be spared."""
        names = (*(f"{name}.safetensors" for name in self.results), "log.csv", "snapshots.csv", "samples.png")
        return [self.folder / name for name in names]

    @property
    def learning_rates(self) -> tuple[float, float]:
        """Of the generator and of the discriminator, before any rollback."""
        return self.settings.learning_rate, self.settings.discriminator_learning_rate

    @property
    def selected_by(self) -> str:
        """How the snapshot that is kept was chosen."""
        return "last" if self.is_start or self.state.chosen["kid"] is None else "held-out KID"

    @property
    def within_noise(self) -> bool:
        """Whether the snapshot that is kept has not the least distance, but one that can't be told from it."""
        return bool(self.state.best) and self.state.chosen["images"] != self.state.best["images"]

    def train(self) -> None:
        """Go on from the checkpoint, or from the start, to the last image; then write the results.

        Of several processes all take the steps, and the first alone writes.
        """
        if not self.processes.first:
            self.processes.wait()
            self._load_checkpoint()
            self._train(None)
            return
        self._resume()
        self.processes.wait()
        events = TensorBoardLog(self.folder / "tensorboard", self._logged_rows())
        try:
            self._train(events)
        finally:
            events.close()
        self._write_results()

    def _train(self, events: TensorBoardLog | None) -> None:
        began, seconds_before = time.monotonic(), self.state.seconds
        before = (self.state.images, self.state.seconds)
        while self.state.images < self.total_images:
            with tensor_float_products(self.device):
                self.stepper.step(self.state.images // self.settings.batch_size, self.state.rollbacks)
            self.state.images += self.settings.batch_size
            steps_done = self.state.images // self.settings.batch_size
            if steps_done % self.row_steps and steps_done < self.steps:
                continue

            self.state.seconds = seconds_before + time.monotonic() - began
            row = self._close_row()
            bad = [name for name, value in row.items() if value is not None and not math.isfinite(value)]
            if bad or (bad := [f"weights of the {name}" for name in self.state.not_finite()]):
                self._roll_back(", ".join(bad))
                if events is not None:
                    events.rewrite(self._logged_rows())
                before = (self.state.images, self.state.seconds)
                continue
            if events is None:
                continue
            at_checkpoint = steps_done % self.checkpoint_steps == 0
            if at_checkpoint or steps_done == self.steps:
                snapshot = self._take_snapshot(events)
                row["kid"] = snapshot["kid"]
                events.add_row(snapshot | {"kid": None})
            append_log(self.log, row)
            if at_checkpoint and steps_done < self.steps:
                self._save_checkpoint()
            row |= self._speed(row, before)
            before = (row["images"], row["seconds"])
            events.add_row(row)
            if self.progress is not None:
                self.progress(self.state.images, self.total_images, row)

    def _close_row(self) -> dict[str, Any]:
        """Means since the last row of the log; a term that no step of the row had is empty, and so is `kid` where no
        snapshot was taken."""
        means = self.stepper.means() | {"strength": float(self.state.statistics.strength)}
        row = {"images": self.state.images, "seconds": round(self.state.seconds, 2)}
        return row | {name: round(means[name], 5) if name in means else None for name in LOG_COLUMNS} | {"kid": None}

    def _speed(self, row: dict[str, Any], before: tuple[int, float]) -> dict[str, float]:
        """Seconds per 1,000 images since the row before, and seconds left at that pace."""
        per_image = (row["seconds"] - before[1]) / (row["images"] - before[0])
        left = per_image * (self.total_images - row["images"])
        return {"seconds_per_kimg": round(1000 * per_image, 2), "seconds_left": round(left)}

    def _take_snapshot(self, events: TensorBoardLog) -> dict[str, Any]:
        """Measure the averaged generator, keep it if it is the one to keep, and look for signs of collapse."""
        state, images = self.state, self.state.images
        films = films_of_seed(state.average, self.seed)
        measures, distance = self.judge.measure(films) if self.judge else (UNMEASURED, None)
        snapshot = {"images": images} | measures
        state.snapshots = [*state.snapshots, snapshot]
        signs = signs_of_collapse(state.snapshots, self.total_images)
        if self._is_to_be_kept(images, distance, collapsed=bool(signs)):
            state.chosen = {"images": images, "kid": snapshot["kid"], "generator": _copy(state.average.state_dict())}
            if self.is_start:
                state.chosen["discriminator"] = _copy(state.discriminator.state_dict())
        for kind, words in signs.items():
            if kind not in state.warnings:
                logger.warning("%s: %s", self.folder, words)
            state.warnings = {kind: words} | state.warnings
        write_sheet(self.folder / f"samples-{images}.png", films)
        if state.chosen["images"] == images:
            write_sheet(self.folder / "samples.png", films)
        self._write_snapshots()
        events.add_sheet(images, contact_sheet(films))
        return snapshot

    def _is_to_be_kept(self, images: int, distance: KernelDistance | None, *, collapsed: bool) -> bool:
        """Whether the newest snapshot is to be kept rather than the one that is: if its distance can't be told from the
        least so far, measured on films of the same seeds and beside the same films. Of equals the last has learned
        longest."""
        if self.is_start:
            return not (self.state.chosen and collapsed)
        if distance is None:
            return True
        best = self.state.best
        if best and distance.estimate >= best["kid"]:
            least = KernelDistance(best["kid"], best["without_seed"].numpy(), best["without_patient"].numpy())
            return (distance - least).bounds()[0] <= 0
        self.state.best = {
            "images": images, "kid": distance.estimate, "without_seed": torch.from_numpy(distance.without_first),
            "without_patient": torch.from_numpy(distance.without_second),
        }  # fmt: skip
        return True

    def _write_snapshots(self) -> None:
        rows = [row | {"chosen": row["images"] == self.state.chosen["images"]} for row in self.state.snapshots]
        write_csv(self.folder / "snapshots.csv", pd.DataFrame(rows, columns=list(SNAPSHOT_COLUMNS)))

    def _resume(self) -> None:
        if not self.checkpoint.exists():
            for path in (self.log, self.folder / "snapshots.csv", *self.folder.glob("samples*.png")):
                path.unlink(missing_ok=True)
            self._save_checkpoint()
            return
        self._load_checkpoint()
        trim_log(self.log, lambda row: int(row["images"]) <= self.state.images)
        logger.info("%s: goes on from %d images", self.folder, self.state.images)

    def _load_checkpoint(self) -> None:
        stored = load_own_state(self.checkpoint, self.fingerprint, self.device)
        try:
            self.state.fill(stored)
        except InputError as error:
            raise InputError(f"{self.checkpoint}: {error}. {REMEDY}") from None

    def _save_checkpoint(self) -> None:
        save_state(self.checkpoint, {"fingerprint": self.fingerprint} | self.state.as_dict())

    def _roll_back(self, bad: str) -> None:
        """Return to the last checkpoint with other random draws and half the learning rate."""
        rollbacks, seconds, images = self.state.rollbacks + 1, self.state.seconds, self.state.images
        if rollbacks > MOST_ROLLBACKS:
            raise InputError(
                f"{self.folder}: training diverged ({bad} not finite at {images} images) although it was taken "
                f"back to its last checkpoint {MOST_ROLLBACKS} times, each time with other random draws and half the "
                f"learning rate; lower gan.learning_rate or raise gan.r1_weight. The checkpoint is intact."
            )
        if not self.processes.first:
            self.processes.wait()
            self._load_checkpoint()
            return
        self._load_checkpoint()
        self.state.rollbacks, self.state.seconds = rollbacks, seconds
        optimisers = (self.state.generator_optimiser, self.state.discriminator_optimiser)
        for optimiser, rate in zip(optimisers, self.learning_rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate / 2**rollbacks
        self._save_checkpoint()
        self.processes.wait()
        trim_log(self.log, lambda line: int(line["images"]) <= self.state.images)
        logger.warning(
            "%s: %s not finite at %d images; rollback %d of %d to %d images",
            self.folder, bad, images, rollbacks, MOST_ROLLBACKS, self.state.images,
        )  # fmt: skip

    def _logged_rows(self) -> list[dict[str, Any]]:
        """What the logs hold, in the order of the images shown; the rows of snapshots without what both have."""
        rows = []
        if self.log.exists():
            with open(self.log, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
        snapshots = [row | {"kid": None} for row in self.state.snapshots]
        return sorted([*rows, *snapshots], key=lambda row: int(row["images"]))

    def _write_results(self) -> None:
        """The chosen snapshot's weights and sheet."""
        self.state.average.load_state_dict(self.state.chosen["generator"])
        for name in self.results:
            save_tensors(self.folder / f"{name}.safetensors", self.state.chosen[name])
        write_sheet(self.folder / "samples.png", films_of_seed(self.state.average, self.seed))
        self._write_snapshots()


def check_films(films: np.ndarray, settings: GanSettings, where: Path) -> None:
    """Raises `InputError` unless there are enough films, of the right shape, that differ."""
    side = settings.resolution
    if films.dtype != np.uint8 or films.shape[1:] != (side, side):
        raise InputError(f"{where}: films are {films.dtype} {films.shape}; a generator needs uint8 (N, {side}, {side})")
    if len(films) < FEWEST_FILMS:
        raise InputError(
            f"{where}: {len(films)} films to train on; a generator needs at least {FEWEST_FILMS}. "
            "Add films of this label, or lower data.folds so that each fold leaves more"
        )
    if films.min() == films.max():
        raise InputError(f"{where}: every pixel of all {len(films)} films is {films.min()}; check how they were read")


def _copy(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def _all_finite(state: Any) -> bool:
    """Whether every tensor in nested dictionaries and lists is finite."""
    if isinstance(state, Tensor):
        return bool(state.isfinite().all())
    if isinstance(state, dict | list | tuple):
        return all(map(_all_finite, state.values() if isinstance(state, dict) else state))
    return True
