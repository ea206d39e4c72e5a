"""One step of training: the phases that change the networks, and what a phase needs to know.

The loop around the steps, with its log, checkpoints and choices, is in `run.py`.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cxrlib.gan.diffaugment import augment
from cxrlib.gan.losses import discriminator_logistic, generator_logistic, r1_penalty
from cxrlib.gan.networks import load_weights, make_discriminator, make_generator
from cxrlib.gan.priors import FITTED_FILMS
from cxrlib.gan.settings import GanSettings
from cxrlib.reproducibility import random_generator


class Statistics(nn.Module):
    """Numbers that steps keep up to date and later steps depend on; they belong in a checkpoint.

    `strength` is the share of films that each augmentation changes (1 unless it is steered), `signs` the sum and the
    number of the discriminator's signs on real films since the strength last moved, and `path_length` the running mean
    of the generator's path lengths.
    """

    def __init__(self, settings: GanSettings) -> None:
        super().__init__()
        self.register_buffer("strength", torch.tensor(1.0 if settings.adaptive_target is None else 0.0))
        self.register_buffer("signs", torch.zeros(2))
        self.register_buffer("path_length", torch.zeros(()))


@dataclass
class Networks:
    """Everything that a step changes, each with a `state_dict`."""

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    statistics: Statistics


def new_networks(
    films: Tensor, settings: GanSettings, seed: tuple[Any, ...], start: Path | None = None
) -> dict[str, Any]:
    """The fields of `Networks` before the first step, on the device of the uint8 films (N, R, R).

    Weights are drawn from a generator named by `seed`, or are those of the finished folder `start`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_generator("cpu", *seed, "weights").initial_seed())
        generator, discriminator = make_generator(settings), make_discriminator(settings)
    discriminator.bands.fit(films[:FITTED_FILMS].cpu().unsqueeze(1).float() / 127.5 - 1)
    if start is not None:
        load_weights(generator, start / "generator.safetensors")
        load_weights(discriminator, start / "discriminator.safetensors")
    if generator.eigenfilms is not None:
        generator.eigenfilms.fit(films)
    generator, discriminator = generator.to(films.device), discriminator.to(films.device)
    optimisers = [
        torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.99), eps=1e-8, fused=True)
        for network, rate in (
            (generator, settings.learning_rate),
            (discriminator, settings.discriminator_learning_rate),
        )
    ]
    return {
        "generator": generator,
        "discriminator": discriminator,
        "average": copy.deepcopy(generator).eval().requires_grad_(False),
        "generator_optimiser": optimisers[0],
        "discriminator_optimiser": optimisers[1],
        "statistics": Statistics(settings).to(films.device),
    }


class Stepper:
    """The phases of a step on these networks and uint8 films (N, R, R), all on one device.

    Every step draws from a random generator of its own, named by `seed`, the step and the number of rollbacks, so that
    a resumed run needs no random state.
    """

    def __init__(self, networks: Networks, films: Tensor, settings: GanSettings, seed: tuple[Any, ...]) -> None:
        self.networks, self.films, self.settings, self.seed = networks, films, settings, seed
        self.device = films.device
        self.dtype = block_dtype(self.device)
        self.sums: dict[str, list[Tensor]] = {}

    def step(self, step: int, rollbacks: int) -> None:
        """One optimiser step of each network. The generated films serve both phases: the generator's weights have not
        changed in between."""
        random = random_generator(self.device, *self.seed, "step", step, rollbacks)
        real = self.real_films(step)
        latents, noise = self.networks.generator.draw(self.settings.batch_size, random)
        generated = self.networks.generator(latents, noise, self.dtype)
        self._discriminator_phase(real, generated.detach(), random, with_r1=step % self.settings.r1_interval_steps == 0)
        self._generator_phase(generated, random)
        self._average_phase((step + 1) * self.settings.batch_size)

    def means(self) -> dict[str, float]:
        """Means of losses and signs since this was last asked; a term that no step had is missing."""
        means = {name: float(torch.stack(values).mean()) for name, values in self.sums.items()}
        self.sums = {}
        return means

    def real_films(self, step: int) -> Tensor:
        """The step's films as float32 (batch, 1, R, R) in [-1, 1]; every film is shown once before any comes again."""
        count, batch = len(self.films), self.settings.batch_size
        places = torch.arange(step * batch, (step + 1) * batch)
        orders = {
            epoch: torch.randperm(count, generator=random_generator("cpu", *self.seed, "order", epoch))
            for epoch in range(int(places[0]) // count, int(places[-1]) // count + 1)
        }
        indices = torch.stack([orders[place // count][place % count] for place in places.tolist()])
        return self.films[indices.to(self.device)].unsqueeze(1).float() / 127.5 - 1

    def _discriminator_phase(self, real: Tensor, generated: Tensor, random: torch.Generator, with_r1: bool) -> None:
        """Maximise logits of real films, minimise those of generated ones; now and then flatten them at real films."""
        discriminator, names = self.networks.discriminator, self.settings.augmentations
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
        self.networks.discriminator_optimiser.step()
        self.networks.discriminator_optimiser.zero_grad()

    def _generator_phase(self, generated: Tensor, random: torch.Generator) -> None:
        """Maximise logits of generated films."""
        self.networks.discriminator.requires_grad_(False)
        logits = self.networks.discriminator(augment(generated, self.settings.augmentations, random), self.dtype)
        loss = generator_logistic(logits)
        loss.backward()
        self._add("loss_generator", loss)
        self.networks.generator_optimiser.step()
        self.networks.generator_optimiser.zero_grad()
        self.networks.discriminator.requires_grad_(True)

    @torch.no_grad()
    def _average_phase(self, images: int) -> None:
        """Move the averaged generator towards the current one."""
        settings = self.settings
        kept = average_decay(images, settings.batch_size, settings.ema_half_life_images, settings.ema_warmup)
        pairs = zip(self.networks.average.parameters(), self.networks.generator.parameters(), strict=True)
        for averaged, current in pairs:
            averaged.lerp_(current, 1 - kept)

    def _add(self, name: str, value: Tensor) -> None:
        self.sums.setdefault(name, []).append(value.detach())


def average_decay(images: int, batch_size: int, half_life_images: float, warmup: float) -> float:
    """Share of the moving average kept per step, after this many images.

    The half-life is `warmup` times the images seen, until it reaches `half_life_images`.
    """
    half_life = min(half_life_images, images * warmup)
    return 0.5 ** (batch_size / half_life)


def block_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.float32
