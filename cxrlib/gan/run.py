"""The training loop of one generator on films in memory: log, checkpoints, rollback, sample sheet."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from cxrlib.artifacts import append_log, atomic_path, trim_log
from cxrlib.checkpoints import load_state, save_state
from cxrlib.errors import InputError
from cxrlib.gan.settings import FEWEST_FILMS, GanSettings
from cxrlib.gan.stepping import Networks, Stepper, new_networks
from cxrlib.reproducibility import pick_device, random_generator

logger = logging.getLogger(__name__)

LOG_ROWS = 50
MOST_ROLLBACKS = 3
SHEET_COLUMNS, SHEET_ROWS = 8, 4

Progress = Callable[[int, int, dict[str, Any]], None]


@dataclass
class State(Networks):
    """Everything that training changes; what a checkpoint holds."""

    images: int = 0
    seconds: float = 0.0
    rollbacks: int = 0
    modules: tuple[str, ...] = field(
        default=(
            "generator", "discriminator", "average", "generator_optimiser", "discriminator_optimiser", "statistics",
        ),
        repr=False,
    )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        counters = {"images": self.images, "seconds": self.seconds, "rollbacks": self.rollbacks}
        return counters | {name: getattr(self, name).state_dict() for name in self.modules}

    def fill(self, stored: dict[str, Any]) -> None:
        self.images, self.seconds, self.rollbacks = stored["images"], stored["seconds"], stored["rollbacks"]
        for name in self.modules:
            getattr(self, name).load_state_dict(stored[name])


class Run:
    """One training: the state, the steps that change it, and what is written down on the way.

    `films` is uint8 (N, R, R). `seed` names the random draws. `start` is a finished folder with a generator and a
    discriminator.
    """

    def __init__(
        self, films: np.ndarray, settings: GanSettings, folder: Path, *, total_images: int, seed: tuple[Any, ...],
        fingerprint: str, start: Path | None = None, progress: Progress | None = None,
    ) -> None:  # fmt: skip
        check_films(films, settings, folder)
        self.settings, self.folder, self.seed, self.fingerprint = settings, folder, seed, fingerprint
        self.progress = progress
        self.device = pick_device()
        device_films = torch.from_numpy(np.array(films)).to(self.device)
        self.steps = max(1, math.ceil(total_images / settings.batch_size))
        self.total_images = self.steps * settings.batch_size
        self.row_steps = max(1, round(self.steps / LOG_ROWS))
        self.checkpoint_steps = self.row_steps * max(
            1, round(settings.checkpoint_images / settings.batch_size / self.row_steps)
        )
        self.state = State(**new_networks(device_films, settings, seed, start))
        self.stepper = Stepper(self.state, device_films, settings, seed)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint" / "state.safetensors"

    @property
    def log(self) -> Path:
        return self.folder / "log.csv"

    @property
    def learning_rates(self) -> tuple[float, float]:
        """Of the generator and of the discriminator, before any rollback."""
        return self.settings.learning_rate, self.settings.discriminator_learning_rate

    def train(self) -> None:
        """Go on from the checkpoint, or from the start, to the last image; then write the results."""
        self._resume()
        began, seconds_before = time.monotonic(), self.state.seconds
        while self.state.images < self.total_images:
            self.stepper.step(self.state.images // self.settings.batch_size, self.state.rollbacks)
            self.state.images += self.settings.batch_size
            steps_done = self.state.images // self.settings.batch_size
            if steps_done % self.row_steps and steps_done < self.steps:
                continue

            self.state.seconds = seconds_before + time.monotonic() - began
            row = self._close_row()
            if not all(math.isfinite(value) for value in row.values() if value is not None):
                self._roll_back(row)
                continue
            append_log(self.log, row)
            if steps_done % self.checkpoint_steps == 0 and steps_done < self.steps:
                self._save_checkpoint()
                write_sheet(self.state.average, self.folder / "samples.png", self.seed)
            if self.progress is not None:
                self.progress(self.state.images, self.total_images, row)
        self._write_results()

    def _close_row(self) -> dict[str, Any]:
        """Means since the last row of the log; `r1` is empty where no step of the row had it."""
        means = self.stepper.means()
        columns = ("loss_generator", "loss_discriminator", "r1", "real_sign", "generated_sign")
        return {"images": self.state.images, "seconds": round(self.state.seconds, 2)} | {
            name: round(means[name], 5) if name in means else None for name in columns
        }

    def _resume(self) -> None:
        stored = None
        if self.checkpoint.exists():
            stored = load_state(self.checkpoint, self.device)
            if stored["fingerprint"] != self.fingerprint:
                logger.info("%s: of other settings or films; training starts afresh", self.checkpoint)
                stored = None
        if stored is None:
            self.log.unlink(missing_ok=True)
            self._save_checkpoint()
            return
        self.state.fill(stored)
        trim_log(self.log, lambda row: int(row["images"]) <= self.state.images)
        logger.info("%s: goes on from %d images", self.folder, self.state.images)

    def _save_checkpoint(self) -> None:
        save_state(self.checkpoint, {"fingerprint": self.fingerprint} | self.state.as_dict())

    def _roll_back(self, row: dict[str, Any]) -> None:
        """Return to the last checkpoint with other random draws and half the learning rate."""
        rollbacks, seconds = self.state.rollbacks + 1, self.state.seconds
        bad = ", ".join(name for name, value in row.items() if value is not None and not math.isfinite(value))
        if rollbacks > MOST_ROLLBACKS:
            raise InputError(
                f"{self.folder}: training diverged ({bad} not finite at {row['images']} images) although it was taken "
                f"back to its last checkpoint {MOST_ROLLBACKS} times, each time with other random draws and half the "
                f"learning rate; lower gan.learning_rate or raise gan.r1_weight. The checkpoint is intact."
            )
        self.state.fill(load_state(self.checkpoint, self.device))
        self.state.rollbacks, self.state.seconds = rollbacks, seconds
        optimisers = (self.state.generator_optimiser, self.state.discriminator_optimiser)
        for optimiser, rate in zip(optimisers, self.learning_rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate / 2**rollbacks
        self._save_checkpoint()
        trim_log(self.log, lambda line: int(line["images"]) <= self.state.images)
        logger.warning(
            "%s: %s not finite at %d images; rollback %d of %d to %d images",
            self.folder, bad, row["images"], rollbacks, MOST_ROLLBACKS, self.state.images,
        )  # fmt: skip

    def _write_results(self) -> None:
        names = {"generator": self.state.average}
        if self.seed[-1] == "public":
            names["discriminator"] = self.state.discriminator
        for name, network in names.items():
            with atomic_path(self.folder / f"{name}.safetensors") as temporary:
                save_file({key: value.cpu().contiguous() for key, value in network.state_dict().items()}, temporary)
        write_sheet(self.state.average, self.folder / "samples.png", self.seed)


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


def to_uint8(films: Tensor) -> np.ndarray:
    """Films (N, 1, R, R) in [-1, 1] to grey levels, uint8 (N, R, R)."""
    return ((films[:, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


@torch.no_grad()
def write_sheet(generator: nn.Module, path: Path, seed: tuple[Any, ...]) -> None:
    """A contact sheet of 32 films from seeds that stay the same through training."""
    device = next(generator.parameters()).device
    count = SHEET_COLUMNS * SHEET_ROWS
    latents, noise = generator.draw(count, random_generator("cpu", *seed, "sheet"))
    films = to_uint8(generator(latents.to(device), [layer.to(device) for layer in noise]))
    side = films.shape[1]
    sheet = films.reshape(SHEET_ROWS, SHEET_COLUMNS, side, side).swapaxes(1, 2).reshape(SHEET_ROWS * side, -1)
    with atomic_path(path) as temporary:
        Image.fromarray(sheet).save(temporary)
