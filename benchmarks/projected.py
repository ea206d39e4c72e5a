"""A discriminator that looks through trained eyes, as Projected GAN has it (Sauer et al. 2021, sections 3.1 to 3.3),
and the steps of a training with it. An experiment of `generator_kinds.py`.

Films go through EfficientNet-Lite1 with ImageNet weights. Its maps of four scales are mixed at random across channels
(1×1 convolutions) and across scales (from coarse to fine), and a small discriminator judges each scale. Only these
learn; the network and the mixing are frozen. What is not as there: films of 64 pixels stay as they
are, the maps have fewer channels, and are normalised per film, so that a film's logits depend on no other.
"""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrizations import spectral_norm

from cxrlib.features import bring_to, build_network
from cxrlib.generators.settings import GanSettings
from cxrlib.generators.stepping import Networks, Stepper, new_networks
from cxrlib.networks import NETWORKS, TEACHER
from cxrlib.reproducibility import random_generator

LEAST_SIDE = 64
# The network's parts end where its maps have a quarter, an eighth, … of a film's side.
PARTS = ((0, 3), (3, 4), (4, 6), (6, 8))
MAPS = (24, 40, 112, 320)
MIXED_MAPS = (32, 64, 128, 256)
HIDDEN_MAPS = 64
LAST_SIDE = 4
SLOPE = 0.2


class FrozenMaps(nn.Module):
    """Films (N, 1, R, R) in [-1, 1] to the maps of four scales, finest first; nothing of it learns or is saved."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        stages = build_network(TEACHER, "imagenet", 1).eval().features
        self.parts = nn.ModuleList(stages[first:end] for first, end in PARTS)
        for module in list(self.parts.modules()):
            if isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
                module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
        freeze(self, saved=False)

    def forward(self, films: Tensor) -> list[Tensor]:
        entry = NETWORKS[TEACHER]
        maps = ((bring_to(films, self.side) + 1) / 2 - entry.mean) / entry.std
        found = []
        for part in self.parts:
            maps = part(maps.contiguous(memory_format=torch.channels_last))
            found.append(maps)
        return found


class Mixing(nn.Module):
    """Maps of four scales, mixed by random weights: across channels, then from each scale into the next finer."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = nn.ModuleList(nn.Conv2d(*maps, 1) for maps in zip(MAPS, MIXED_MAPS, strict=True))
        coarser = (*MIXED_MAPS[1:], MIXED_MAPS[-1])
        self.scales = nn.ModuleList(nn.Conv2d(*maps, 1) for maps in zip(coarser, MIXED_MAPS, strict=True))
        for layer in (*self.channels, *self.scales):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        freeze(self, saved=True)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        mixed: list[Tensor] = []
        for level in range(len(maps) - 1, -1, -1):
            own = self.channels[level](maps[level])
            if mixed:
                own = own + bring_to_side(self.scales[level](mixed[0]), own.shape[-1])
            mixed.insert(0, own)
        return mixed


class ScaleDiscriminator(nn.Module):
    """Maps (N, C, S, S) of one scale to a logit at each of 4 × 4 places, (N, 16)."""

    def __init__(self, maps: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while side > LAST_SIDE:
            layers += [spectral_norm(nn.Conv2d(maps, HIDDEN_MAPS, 4, stride=2, padding=1)),
                       nn.GroupNorm(8, HIDDEN_MAPS), nn.LeakyReLU(SLOPE)]  # fmt: skip
            maps, side = HIDDEN_MAPS, side // 2
        layers += [spectral_norm(nn.Conv2d(maps, HIDDEN_MAPS, 3, padding=1)), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(HIDDEN_MAPS, 1, 1)))

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps).flatten(1)


class ProjectedDiscriminator(nn.Module):
    """Films (N, 1, R, R) in [-1, 1] to logits (N, 64), 16 of each scale; positive means taken for real."""

    def __init__(self, resolution: int) -> None:
        super().__init__()
        side = max(LEAST_SIDE, resolution)
        self.maps, self.mixing = FrozenMaps(side), Mixing()
        sides = (side // 4 // 2**level for level in range(len(MAPS)))
        self.scales = nn.ModuleList(ScaleDiscriminator(*scale) for scale in zip(MIXED_MAPS, sides, strict=True))

    def forward(self, films: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        with torch.autocast(films.device.type, dtype, enabled=dtype != torch.float32):
            maps = self.mixing(self.maps(films))
            logits = [scale(part) for scale, part in zip(self.scales, maps, strict=True)]
        return torch.cat(logits, dim=1).float()


def bring_to_side(maps: Tensor, side: int) -> Tensor:
    return functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)


def freeze(network: nn.Module, *, saved: bool) -> None:
    """Make a network's parameters buffers, which no optimiser finds, and which belong to its state only if `saved`."""
    for module in network.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, value.detach(), persistent=saved)
        if not saved:
            module._non_persistent_buffers_set.update(module._buffers)


def projected_networks(films: Tensor, settings: GanSettings, seed: tuple[Any, ...]) -> Networks:
    """What `new_networks` gives, with this discriminator in place of the usual one."""
    networks = Networks(**new_networks(films, settings, seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_generator("cpu", *seed, "projected").initial_seed())
        networks.discriminator = ProjectedDiscriminator(settings.resolution).to(films.device)
    networks.discriminator_optimiser = torch.optim.Adam(
        networks.discriminator.parameters(), settings.discriminator_learning_rate, betas=(0.0, 0.99), eps=1e-8
    )
    return networks


class ProjectedStepper(Stepper):
    """The usual steps with hinge losses (Lim and Ye 2017), without gradient penalty and path lengths."""

    def _discriminator_phase(self, real: Tensor, generated: Tensor, random: torch.Generator, with_r1: bool) -> None:
        real_logits, generated_logits = (self.judge(self._augment(films, random)) for films in (real, generated))
        loss = functional.relu(1 - real_logits).mean() + functional.relu(1 + generated_logits).mean()
        loss.backward()
        self._add("loss_discriminator", loss)
        self.networks.discriminator_optimiser.step()
        self.networks.discriminator_optimiser.zero_grad()

    def _generator_phase(self, generated: Tensor, random: torch.Generator, with_lengths: bool, step: int) -> None:
        self.networks.discriminator.requires_grad_(False)
        loss = -self.judge(self._augment(generated, random)).mean()
        loss.backward()
        self.networks.discriminator.requires_grad_(True)
        self._add("loss_generator", loss)
        self.networks.generator_optimiser.step()
        self.networks.generator_optimiser.zero_grad()
