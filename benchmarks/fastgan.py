"""Two parts of FastGAN on the project's own networks: skip-layer excitation in the generator, and a discriminator that
must also rebuild real films from its own maps (Liu et al. 2021, sections 3.1 and 3.2). Experiments of
`generator_kinds.py`.

What is not as there: gates lie three octaves above the maps they are made of, since films are small; the discriminator
rebuilds whole films at half their resolution from its maps of 8×8, and is told by absolute differences, not by a
network that knows photographs.
"""

import copy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from cxrlib.generators.layers import Convolution, doubled
from cxrlib.generators.losses import discriminator_logistic, r1_penalty
from cxrlib.generators.networks import Discriminator, Generator, channels_at
from cxrlib.generators.priors import resize_films
from cxrlib.generators.settings import GanSettings
from cxrlib.generators.stepping import Networks, Stepper, new_networks
from cxrlib.reproducibility import random_generator

OCTAVES = 3
CODE_SIDE = 8
DECODER_MAPS = 32


class Gate(nn.Module):
    """Small maps (N, C, s, s) to a factor in 0..1 for each of K larger maps, (N, K, 1, 1)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(inputs, outputs, 4),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 1),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps)


class ExcitedGenerator(Generator):
    """The usual generator, whose larger maps are scaled channel by channel by what its smaller maps say."""

    def __init__(self, settings: GanSettings) -> None:
        super().__init__(
            settings.resolution, settings.latent_dim, settings.mapping_layers, settings.channel_base,
            settings.channel_max, settings.eigenfilms, settings.modulation,
        )  # fmt: skip
        sides = [4 * 2**level for level in range(len(self.outputs))]
        maps = [channels_at(side, settings.channel_base, settings.channel_max) for side in sides]
        self.gates = nn.ModuleList(Gate(maps[level - OCTAVES], maps[level]) for level in range(OCTAVES, len(maps)))

        self.finished: dict[int, Tensor] = {}
        for level in range(len(maps)):
            self.convolutions[2 * level].register_forward_hook(partial(self._excited, level))

    def _excited(self, level: int, module: nn.Module, inputs: Any, maps: Tensor) -> Tensor:
        """The last maps of a level, scaled where there are maps so many octaves below."""
        if level >= OCTAVES:
            maps = maps * self.gates[level - OCTAVES](self.finished[level - OCTAVES])
        self.finished[level] = maps
        return maps


class RebuildingDiscriminator(Discriminator):
    """The usual discriminator, with a decoder from its maps of 8×8 to films of half the resolution."""

    def __init__(self, settings: GanSettings) -> None:
        super().__init__(settings.resolution, settings.channel_base, settings.channel_max)
        self.side = settings.resolution // 2
        maps = channels_at(CODE_SIDE, settings.channel_base, settings.channel_max)
        self.decoder = nn.ModuleList()
        for _ in range((self.side // CODE_SIDE).bit_length() - 1):
            self.decoder.append(Convolution(maps, DECODER_MAPS, 3))
            maps = DECODER_MAPS
        self.film = Convolution(maps, 1, 1, activate=False)
        self.code: Tensor | None = None
        place = settings.resolution.bit_length() - CODE_SIDE.bit_length() - 1
        self.blocks[place].register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.code = output

    def rebuilt(self) -> Tensor:
        """The films (N, 1, R / 2, R / 2) of the last call, as its maps tell them."""
        maps, self.code = self.code, None
        assert maps is not None
        for layer in self.decoder:
            maps = doubled(layer(maps))
        return self.film(maps)


class RebuildingStepper(Stepper):
    """The usual steps, in which the discriminator also rebuilds the real films."""

    def _discriminator_phase(self, real: Tensor, generated: Tensor, random: torch.Generator, with_r1: bool) -> None:
        discriminator, optimiser = self.networks.discriminator, self.networks.discriminator_optimiser
        real, generated = self._augment(real, random), self._augment(generated, random)
        real_logits = discriminator(real)
        lost = functional.l1_loss(discriminator.rebuilt(), resize_films(real, discriminator.side))
        (discriminator_logistic(real_logits, discriminator(generated)) + lost).backward()
        self._add("rebuilding", lost)
        if with_r1:
            real = real.requires_grad_()
            penalty = r1_penalty(discriminator(real), real) / discriminator.bands.magnification
            (penalty * (self.settings.r1_weight / 2 * self.settings.r1_interval_steps)).backward()
        optimiser.step()
        optimiser.zero_grad()


def fastgan_networks(
    films: Tensor, settings: GanSettings, seed: tuple[Any, ...], *, excited: bool, rebuilding: bool
) -> Networks:
    """What `new_networks` gives, with the parts asked for; weights that both have are the same."""
    networks = Networks(**new_networks(films, settings, seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_generator("cpu", *seed, "fastgan").initial_seed())
        if excited:
            generator = ExcitedGenerator(settings)
            generator.load_state_dict(networks.generator.state_dict(), strict=False)
            networks.generator, networks.average = generator, copy.deepcopy(generator).eval().requires_grad_(False)
            networks.generator_optimiser = adam(generator, settings.learning_rate)
        if rebuilding:
            discriminator = RebuildingDiscriminator(settings)
            discriminator.load_state_dict(networks.discriminator.state_dict(), strict=False)
            networks.discriminator = discriminator
            networks.discriminator_optimiser = adam(discriminator, settings.discriminator_learning_rate)
    return networks


def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), rate, betas=(0.0, 0.99), eps=1e-8, fused=True)
