"""One step of training: the phases that change the networks, and what a phase needs to know.

The loop around the steps, with its log, checkpoints and choices, is in `run.py`.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cxrlib.checkpoints import load_weights
from cxrlib.efficientnet_lite import FEATURES
from cxrlib.generators.diffaugment import augment, steer
from cxrlib.generators.losses import (
    discriminator_logistic,
    generator_logistic,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from cxrlib.generators.networks import REMEDY, Discriminator, Generator, make_discriminator, make_generator, mix_styles
from cxrlib.generators.priors import FITTED_FILMS
from cxrlib.generators.processes import Processes
from cxrlib.reproducibility import random_generator

if TYPE_CHECKING:
    from cxrlib.generators.matching import FeatureMatching
    from cxrlib.generators.settings import GanSettings

STEERING_INTERVAL_STEPS = 4
# To see the features costs as much as a step does; every fourth step has four times the weight.
MATCHING_INTERVAL_STEPS = 4
PATH_LENGTH_RATE = 0.01


class Statistics(nn.Module):
    """Numbers that steps keep up to date and later steps depend on; they belong in a checkpoint.

    `strength` is the share of films that each augmentation changes (1 unless it is steered), `signs` the sum and the
    number of the discriminator's signs on real films since the strength last moved, `path_length` the running mean of
    the generator's path lengths, and `features` the moving mean of its films' features, none where none are matched.
    """

    strength: Tensor
    signs: Tensor
    path_length: Tensor
    features: Tensor

    def __init__(self, settings: "GanSettings") -> None:
        super().__init__()
        self.register_buffer("strength", torch.tensor(1.0 if settings.adaptive_target is None else 0.0))
        self.register_buffer("signs", torch.zeros(2))
        self.register_buffer("path_length", torch.zeros(()))
        self.register_buffer("features", torch.zeros(FEATURES if settings.feature_matching_weight else 0))


@dataclass
class Networks:
    """Everything that a step changes, each with a `state_dict`."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    statistics: Statistics


def new_networks(
    films: Tensor, settings: "GanSettings", seed: tuple[Any, ...], start: Path | None = None
) -> dict[str, Any]:
    """The fields of `Networks` before the first step, on the device of the uint8 films (N, R, R).

    Weights are drawn from a generator named by `seed`, or are those of the finished folder `start`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_generator("cpu", *seed, "weights").initial_seed())
        generator, discriminator = make_generator(settings), make_discriminator(settings)
    discriminator.bands.fit(films[:FITTED_FILMS].cpu().unsqueeze(1).float() / 127.5 - 1)
    if start is not None:
        load_weights(generator, start / "generator.safetensors", REMEDY)
        load_weights(discriminator, start / "discriminator.safetensors", REMEDY)
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
    a resumed run needs no random state. `compiled` has torch compile what ordinary steps do, by default on a GPU; the
    regularisers differentiate twice, which compiled networks can't, and stay as they are.
    """

    def __init__(
        self, networks: Networks, films: Tensor, settings: "GanSettings", seed: tuple[Any, ...],
        processes: Processes | None = None, compiled: bool | None = None,
    ) -> None:  # fmt: skip
        self.networks, self.films, self.settings, self.seed = networks, films, settings, seed
        self.processes = Processes() if processes is None else processes
        self.processes.check_batch(settings.batch_size)
        self.share = self.processes.share
        self.device = films.device
        self.dtype = block_dtype(self.device)
        self.synthesise, self.judge = networks.generator.synthesise, networks.discriminator.forward
        if self.device.type == "cuda" if compiled is None else compiled:
            self.synthesise, self.judge = (torch.compile(call, dynamic=False) for call in (self.synthesise, self.judge))
        self.matching = self._feature_matching()
        self.sums: dict[str, list[Tensor]] = {}

    def step(self, step: int, rollbacks: int) -> None:
        """One optimiser step of each network. The generated films serve both phases: the generator's weights have not
        changed in between."""
        settings = self.settings
        random = random_generator(self.device, *self.seed, "step", step, rollbacks)
        real = self.share.of(self.real_films(step))
        styles, latents, noise = self._draw(settings.batch_size, random)
        generated = self.synthesise(styles, latents, noise, self.dtype)
        self._discriminator_phase(real, generated.detach(), random, with_r1=step % settings.r1_interval_steps == 0)
        with_lengths = settings.path_length_weight > 0 and step % settings.path_length_interval_steps == 0
        self._generator_phase(generated, random, with_lengths, step)
        self._average_phase((step + 1) * settings.batch_size)
        if settings.adaptive_target is not None and (step + 1) % STEERING_INTERVAL_STEPS == 0:
            self._steer(settings.adaptive_target)

    def _feature_matching(self) -> "FeatureMatching | None":
        if not self.settings.feature_matching_weight:
            return None
        # Networks with trained weights come with torchvision, which is heavy.
        from cxrlib.generators.matching import FeatureMatching

        return FeatureMatching(self.films, self.networks.statistics.features, self.processes)

    def means(self) -> dict[str, float]:
        """Means of losses and signs since this was last asked; a term that no step had is missing."""
        means = {name: float(self.processes.mean(torch.stack(values).mean())) for name, values in self.sums.items()}
        self.sums = {}
        return means

    def real_films(self, step: int) -> Tensor:
        """The step's films as float32 (batch, 1, R, R) in [-1, 1]; every film is shown once before any comes again."""
        count, batch = len(self.films), self.settings.batch_size
        places = torch.arange(step * batch, (step + 1) * batch)
        orders = [
            torch.randperm(count, generator=random_generator("cpu", *self.seed, "order", epoch))[
                places[places // count == epoch] % count
            ]
            for epoch in range(int(places[0]) // count, int(places[-1]) // count + 1)
        ]
        films = self.films[on_device(torch.cat(orders), self.device)].unsqueeze(1).float() / 127.5 - 1
        if not self.settings.horizontal_flips:
            return films
        flips = torch.rand(batch, 1, 1, 1, generator=random_generator("cpu", *self.seed, "flips", step)) < 0.5
        return torch.where(on_device(flips, self.device), films.flip(3), films)

    def _draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, list[Tensor]]:
        """This process's part of `count` films to be: styles, normalised latents and noise."""
        generator, probability = self.networks.generator, self.settings.style_mixing_probability
        latents, noise = generator.draw(count, random)
        styles, normalised = generator.styles(self.share.of(latents))
        if probability > 0:
            layers = len(noise)
            others = torch.randn(latents.shape, generator=random, device=self.device)
            crossovers = torch.randint(1, layers, (count,), generator=random, device=self.device)
            mixed = torch.rand(count, generator=random, device=self.device) < probability
            crossovers = self.share.of(torch.where(mixed, crossovers, layers))
            styles = mix_styles(styles, generator.mapping(self.share.of(others)), crossovers, layers)
        return styles, normalised, [self.share.of(layer) for layer in noise]

    def _augment(self, films: Tensor, random: torch.Generator) -> Tensor:
        probability = None if self.settings.adaptive_target is None else self.networks.statistics.strength
        return augment(films, self.settings.augmentations, random, probability, self.share)

    def _discriminator_phase(self, real: Tensor, generated: Tensor, random: torch.Generator, with_r1: bool) -> None:
        """Maximise logits of real films, minimise those of generated ones; now and then flatten them at real films."""
        discriminator, optimiser = self.networks.discriminator, self.networks.discriminator_optimiser
        real, generated = self._augment(real, random), self._augment(generated, random)
        real_logits, generated_logits = self.judge(torch.cat([real, generated]), self.dtype, batches=2).chunk(2)
        loss = discriminator_logistic(real_logits, generated_logits)
        loss.backward()
        real_sign = real_logits.detach().sign().mean()
        self._add("loss_discriminator", loss)
        self._add("real_sign", real_sign)
        self._add("generated_sign", generated_logits.sign().mean())
        if self.settings.adaptive_target is not None:
            self.networks.statistics.signs += torch.stack([self.processes.mean(real_sign), torch.ones_like(real_sign)])
        if with_r1:
            real = real.requires_grad_()
            penalty = r1_penalty(discriminator(real), real) / discriminator.bands.magnification
            (penalty * (self.settings.r1_weight / 2 * self.settings.r1_interval_steps)).backward()
            self._add("r1", penalty)
        self.processes.average_gradients(discriminator)
        optimiser.step()
        optimiser.zero_grad()

    def _generator_phase(self, generated: Tensor, random: torch.Generator, with_lengths: bool, step: int) -> None:
        """Maximise logits of generated films; now and then give them the mean features of real ones, and make films
        move equally far with every style."""
        discriminator, optimiser = self.networks.discriminator, self.networks.generator_optimiser
        discriminator.requires_grad_(False)
        loss = generator_logistic(self.judge(self._augment(generated, random), self.dtype))
        self._add("loss_generator", loss)
        if self.matching is not None and step % MATCHING_INTERVAL_STEPS == 0:
            weight = self.settings.feature_matching_weight * MATCHING_INTERVAL_STEPS
            loss = loss + weight * self.matching.loss(generated, step // MATCHING_INTERVAL_STEPS)
        loss.backward()
        discriminator.requires_grad_(True)
        if with_lengths:
            penalty = self._path_length_penalty(random)
            (penalty * (self.settings.path_length_weight * self.settings.path_length_interval_steps)).backward()
            self._add("path_length", penalty)
        self.processes.average_gradients(self.networks.generator)
        optimiser.step()
        optimiser.zero_grad()

    def _path_length_penalty(self, random: torch.Generator) -> Tensor:
        """On half a batch of films of their own, in float32; moves the running mean first."""
        generator, statistics = self.networks.generator, self.networks.statistics
        styles, latents, noise = self._draw(self.settings.batch_size // 2, random)
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, len(noise), -1)
        films = generator.synthesise(styles, latents, noise)
        shape = (len(films) * self.share.parts, *films.shape[1:])
        directions = self.share.of(torch.randn(shape, generator=random, device=self.device))
        lengths = path_lengths(films, styles, directions)
        statistics.path_length.lerp_(self.processes.mean(lengths.detach().mean()), PATH_LENGTH_RATE)
        return path_length_penalty(lengths, statistics.path_length)

    @torch.no_grad()
    def _average_phase(self, images: int) -> None:
        """Move the averaged generator towards the current one."""
        settings, networks = self.settings, self.networks
        kept = average_decay(images, settings.batch_size, settings.ema_half_life_images, settings.ema_warmup)
        get_ema_multi_avg_fn(kept)(list(networks.average.parameters()), list(networks.generator.parameters()), None)

    def _steer(self, target: float) -> None:
        """Move the strength of augmentation by the signs since it last moved."""
        statistics = self.networks.statistics
        images = STEERING_INTERVAL_STEPS * self.settings.batch_size
        strength = steer(statistics.strength, statistics.signs[0] / statistics.signs[1], target, images)
        statistics.strength.copy_(strength)
        statistics.signs.zero_()

    def _add(self, name: str, value: Tensor) -> None:
        self.sums.setdefault(name, []).append(value.detach())


def average_decay(images: int, batch_size: int, half_life_images: float, warmup: float) -> float:
    """Share of the moving average kept per step, after this many images.

    The half-life is `warmup` times the images seen, until it reaches `half_life_images`.
    """
    half_life = min(half_life_images, images * warmup)
    return 0.5 ** (batch_size / half_life)


@contextmanager
def tensor_float_products(device: torch.device) -> Iterator[None]:
    """Let a GPU round the factors of float32 products to ten bits, as its convolutions do anyway; a CPU never does."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def on_device(values: Tensor, device: torch.device) -> Tensor:
    """The values there; a GPU is not waited for."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def block_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.float32
