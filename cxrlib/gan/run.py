"""The training loop of one generator on films in memory: phases, log, checkpoints, rollback, sample sheet."""

import copy
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
from cxrlib.gan.diffaugment import augment
from cxrlib.gan.losses import discriminator_logistic, generator_logistic, r1_penalty
from cxrlib.gan.networks import load_weights, make_discriminator, make_generator
from cxrlib.gan.priors import FITTED_FILMS
from cxrlib.gan.settings import FEWEST_FILMS, GanSettings
from cxrlib.reproducibility import pick_device, random_generator

logger = logging.getLogger(__name__)

LOG_ROWS = 50
MOST_ROLLBACKS = 3
EMA_RAMP = 0.1
SHEET_COLUMNS, SHEET_ROWS = 8, 4

Progress = Callable[[int, int, dict[str, Any]], None]


@dataclass
class State:
    """Everything that training changes; what a checkpoint holds."""

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    images: int = 0
    seconds: float = 0.0
    rollbacks: int = 0
    modules: tuple[str, ...] = field(
        default=("generator", "discriminator", "average", "generator_optimiser", "discriminator_optimiser"), repr=False
    )

    def as_dict(self) -> dict[str, Any]:
        counters = {"images": self.images, "seconds": self.seconds, "rollbacks": self.rollbacks}
        return counters | {name: getattr(self, name).state_dict() for name in self.modules}

    def fill(self, stored: dict[str, Any]) -> None:
        self.images, self.seconds, self.rollbacks = stored["images"], stored["seconds"], stored["rollbacks"]
        for name in self.modules:
            getattr(self, name).load_state_dict(stored[name])


class Run:
    """One training: the films on the device, the state, and the three phases that change it.

    `films` is uint8 (N, R, R). `seed` names the random draws; every step draws from generators of its own, so that a
    resumed run needs no random state. `start` is a finished folder with a generator and a discriminator.
    """

    def __init__(
        self, films: np.ndarray, settings: GanSettings, folder: Path, *, total_images: int, seed: tuple[Any, ...],
        fingerprint: str, start: Path | None = None, progress: Progress | None = None,
    ) -> None:  # fmt: skip
        check_films(films, settings, folder)
        self.settings, self.folder, self.seed, self.fingerprint = settings, folder, seed, fingerprint
        self.progress = progress
        self.device = pick_device()
        self.dtype = block_dtype(self.device)
        self.films = torch.from_numpy(np.array(films)).to(self.device)
        self.steps = max(1, math.ceil(total_images / settings.batch_size))
        self.total_images = self.steps * settings.batch_size
        self.row_steps = max(1, round(self.steps / LOG_ROWS))
        self.checkpoint_steps = self.row_steps * max(
            1, round(settings.checkpoint_images / settings.batch_size / self.row_steps)
        )
        self.state = self._new_state(start)
        self.sums: dict[str, list[Tensor]] = {}

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

    def _new_state(self, start: Path | None) -> State:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_generator("cpu", *self.seed, "weights").initial_seed())
            generator, discriminator = make_generator(self.settings), make_discriminator(self.settings)
        discriminator.bands.fit(self.films[:FITTED_FILMS].cpu().unsqueeze(1).float() / 127.5 - 1)
        if start is not None:
            load_weights(generator, start / "generator.safetensors")
            load_weights(discriminator, start / "discriminator.safetensors")
        if generator.eigenfilms is not None:
            generator.eigenfilms.fit(self.films)
        generator, discriminator = generator.to(self.device), discriminator.to(self.device)
        average = copy.deepcopy(generator).eval().requires_grad_(False)
        optimisers = [
            torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.99), eps=1e-8, fused=True)
            for network, rate in zip((generator, discriminator), self.learning_rates, strict=True)
        ]
        return State(generator, discriminator, average, *optimisers)

    def train(self) -> None:
        """Go on from the checkpoint, or from the start, to the last image; then write the results."""
        self._resume()
        began, seconds_before = time.monotonic(), self.state.seconds
        while self.state.images < self.total_images:
            self._step(self.state.images // self.settings.batch_size)
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

    def _step(self, step: int) -> None:
        """One optimiser step of each network. The generated films serve both phases: the generator's weights have not
        changed in between."""
        random = random_generator(self.device, *self.seed, "step", step, self.state.rollbacks)
        real = self._real_films(step)
        latents, noise = self.state.generator.draw(self.settings.batch_size, random)
        generated = self.state.generator(latents, noise, self.dtype)
        self._discriminator_phase(real, generated.detach(), random, with_r1=step % self.settings.r1_interval_steps == 0)
        self._generator_phase(generated, random)
        self._average_phase()

    def _discriminator_phase(self, real: Tensor, generated: Tensor, random: torch.Generator, with_r1: bool) -> None:
        """Maximise logits of real films, minimise those of generated ones; now and then flatten them at real films."""
        discriminator, names = self.state.discriminator, self.settings.augmentations
        real, generated = augment(real, names, random), augment(generated, names, random)
        real_logits, generated_logits = discriminator(real, self.dtype), discriminator(generated, self.dtype)
        loss = discriminator_logistic(real_logits, generated_logits)
        loss.backward()
        self._add("loss_discriminator", loss)
        self._add("real_sign", real_logits.sign().mean())
        self._add("generated_sign", generated_logits.sign().mean())
        if with_r1:
            real = real.requires_grad_()
            penalty = r1_penalty(discriminator(real), real)
            (penalty * (self.settings.r1_weight / 2 * self.settings.r1_interval_steps)).backward()
            self._add("r1", penalty)
        self.state.discriminator_optimiser.step()
        self.state.discriminator_optimiser.zero_grad()

    def _generator_phase(self, generated: Tensor, random: torch.Generator) -> None:
        """Maximise logits of generated films."""
        self.state.discriminator.requires_grad_(False)
        logits = self.state.discriminator(augment(generated, self.settings.augmentations, random), self.dtype)
        loss = generator_logistic(logits)
        loss.backward()
        self._add("loss_generator", loss)
        self.state.generator_optimiser.step()
        self.state.generator_optimiser.zero_grad()
        self.state.discriminator.requires_grad_(True)

    @torch.no_grad()
    def _average_phase(self) -> None:
        """Move the averaged generator towards the current one."""
        images = self.state.images + self.settings.batch_size
        weight = 1 - average_decay(images, self.settings.batch_size, self.settings.ema_half_life_images)
        for averaged, current in zip(self.state.average.parameters(), self.state.generator.parameters(), strict=True):
            averaged.lerp_(current, weight)

    def _real_films(self, step: int) -> Tensor:
        """The step's films as float32 (batch, 1, R, R) in [-1, 1]; every film is shown once before any comes again."""
        count, batch = len(self.films), self.settings.batch_size
        places = torch.arange(step * batch, (step + 1) * batch)
        orders = {
            epoch: torch.randperm(count, generator=random_generator("cpu", *self.seed, "order", epoch))
            for epoch in range(int(places[0]) // count, int(places[-1]) // count + 1)
        }
        indices = torch.stack([orders[place // count][place % count] for place in places.tolist()])
        return self.films[indices.to(self.device)].unsqueeze(1).float() / 127.5 - 1

    def _add(self, name: str, value: Tensor) -> None:
        self.sums.setdefault(name, []).append(value.detach())

    def _close_row(self) -> dict[str, Any]:
        """Means since the last row of the log; `r1` is empty where no step of the row had it."""
        means = {name: float(torch.stack(values).mean()) for name, values in self.sums.items()}
        self.sums = {}
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


def average_decay(images: int, batch_size: int, half_life_images: float) -> float:
    """Share of the moving average kept per step: its half-life grows to `half_life_images` with the images seen."""
    half_life = min(half_life_images, images * EMA_RAMP)
    return 0.5 ** (batch_size / half_life)


def block_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.float32


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
