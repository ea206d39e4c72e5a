"""Style-based generator and residual discriminator for films of one grey channel.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN": mapping network, constant 4×4 start,
modulated and demodulated convolutions, noise per layer, skip outputs; residual discriminator with minibatch standard
deviation. With modulation `adain` layers are normalised as in the original StyleGAN (Karras et al. 2019). What is not
as there: the resolution is doubled after a layer's convolution, not before, and smoothed by [1, 3, 3, 1], not
[1, 2, 1]; at 4×4 there is one normalised layer, not two; the constant begins random, not at ones, and weights of
convolutions a factor of √2 smaller, which the normalisation takes out but for biases and noise; films are sums of
outputs at all resolutions, not of the last alone; all layers are trained from the first image on, none is faded in;
and the discriminator is the residual one of the successor. Stock PyTorch operations only.

Weights are float32. The blocks compute in the `dtype` asked for; styles, sums of skip outputs and logits stay float32.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from cxrlib.checkpoints import load_weights
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.generators.layers import (
    CONVOLUTIONS,
    GAIN,
    SLOPE,
    Convolution,
    EqualisedLinear,
    FilmOutput,
    MappingNetwork,
    pixel_norm,
    smoothed,
)
from cxrlib.generators.priors import DetailBands, Eigenfilms, resize_films

if TYPE_CHECKING:
    from cxrlib.generators.settings import GanSettings

DETAIL_BANDS = 3
REMEDY = "make the generator afresh with --force, or set the gan settings it was made with"
ARCHITECTURE = ("resolution", "latent_dim", "mapping_layers", "channel_base", "channel_max", "eigenfilms", "modulation")


def resolutions(resolution: int) -> tuple[int, ...]:
    """4, 8, …, `resolution`."""
    return tuple(2**power for power in range(2, resolution.bit_length()))


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Number of feature maps at a resolution: halved as it doubles, at most `channel_max`."""
    return max(1, min(channel_base // resolution, channel_max))


class Generator(nn.Module):
    """Latents and noise to films (N, 1, R, R), float32, about [-1, 1] (black to white).

    With `eigenfilms`, a coarse film (see `Eigenfilms`) is added to the skip outputs and shown to every layer. It is
    made of the normalised latents themselves, past the mapping network and the styles.
    """

    def __init__(
        self, resolution: int, latent_dim: int, mapping_layers: int, channel_base: int, channel_max: int,
        eigenfilms: bool = False, modulation: str = "demodulated",
    ) -> None:  # fmt: skip
        super().__init__()
        self.resolution, self.latent_dim = resolution, latent_dim
        self.eigenfilms = Eigenfilms(resolution, latent_dim) if eigenfilms else None
        self.hints = nn.ParameterList()
        self.mapping = MappingNetwork(latent_dim, mapping_layers)
        self.convolutions, self.outputs = nn.ModuleList(), nn.ModuleList()
        layer, styled = CONVOLUTIONS[modulation], modulation == "demodulated"
        inputs = channels_at(4, channel_base, channel_max)
        self.constant = nn.Parameter(torch.randn(inputs, 4, 4))
        for size in resolutions(resolution):
            channels = channels_at(size, channel_base, channel_max)
            if size > 4:
                self.convolutions.append(layer(inputs, channels, latent_dim, doubles=True))
            self.convolutions.append(layer(channels, channels, latent_dim, doubles=False))
            self.outputs.append(FilmOutput(channels, latent_dim, start=0.0 if eigenfilms else 1.0, styled=styled))
            if eigenfilms:
                self.hints.append(nn.Parameter(torch.randn(channels)))
            inputs = channels
        self.noise_sizes = tuple(size for size in resolutions(resolution) for _ in range(1 if size == 4 else 2))

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, list[Tensor]]:
        """Latents (count, D) and one noise image (count, 1, s, s) per layer, on the random generator's device."""
        latents = torch.randn(count, self.latent_dim, generator=random, device=random.device)
        pixels = [size * size for size in self.noise_sizes]
        noise = torch.randn(count, sum(pixels), generator=random, device=random.device).split(pixels, dim=1)
        shaped = [part.view(count, 1, size, size) for part, size in zip(noise, self.noise_sizes, strict=True)]
        return latents, shaped

    def styles(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Styles (N, D) and normalised latents (N, D), the two things that `synthesise` makes a film of."""
        return self.mapping(latents), pixel_norm(latents)

    def synthesise(
        self, styles: Tensor, latents: Tensor, noise: list[Tensor], dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Films from styles (N, D), or (N, L, D) for the L layers, normalised latents (N, D), and a noise image per
        layer. An output has the style of the layer before it."""
        images = self.constant.to(dtype).expand(len(styles), -1, -1, -1)
        images = images.contiguous(memory_format=torch.channels_last)
        coarse = None if self.eigenfilms is None else self.eigenfilms(latents)
        films: Tensor | None = None
        of_layers = [styles] * len(noise) if styles.ndim == 2 else styles.unbind(1)
        layers = iter(zip(self.convolutions, of_layers, noise, strict=True))
        for level, output in enumerate(self.outputs):
            if level > 0:
                convolution, style, layer_noise = next(layers)
                images = convolution(images, style, layer_noise)
            if coarse is not None:
                images = add_hint(images, coarse, self.hints[level])
            convolution, style, layer_noise = next(layers)
            images = convolution(images, style, layer_noise)
            film = output(images, style)
            films = film if films is None else resize_films(films, film.shape[-1]) + film
        assert films is not None
        return films if coarse is None else films + resize_films(coarse, self.resolution)

    def forward(self, latents: Tensor, noise: list[Tensor], dtype: torch.dtype = torch.float32) -> Tensor:
        return self.synthesise(*self.styles(latents), noise, dtype)


def add_hint(images: Tensor, coarse: Tensor, weights: Tensor) -> Tensor:
    """Add the coarse film (N, 1, S, S), resized and weighted per channel, to feature maps (N, C, H, W)."""
    hint = resize_films(coarse, images.shape[-1]).to(images.dtype)
    return torch.addcmul(images, hint, weights.to(images.dtype)[:, None, None])


def mix_styles(styles: Tensor, others: Tensor, crossovers: Tensor, layers: int) -> Tensor:
    """Styles (N, layers, D): those of `styles` (N, D), and from layer `crossovers` (N,) on those of `others` (N, D).

    Style mixing of Karras et al. 2019, section 3.1. What is coarse in a film then follows the first latent, and so does
    the coarse film of a generator with eigenfilms, which is made of that latent.
    """
    first = torch.arange(layers, device=styles.device) < crossovers[:, None]
    return torch.where(first[:, :, None], styles[:, None], others[:, None])


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, the second halving the resolution, beside a 1×1 convolution of the halved input; their sum
    has unit variance. Both ways smooth before they halve, and lie pixel on pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = Convolution(inputs, inputs, 3)
        half = math.sqrt(0.5)
        self.second = Convolution(inputs, outputs, 3, stride=2, scale=half)
        self.skip = Convolution(inputs, outputs, 1, activate=False, scale=half)

    def forward(self, images: Tensor) -> Tensor:
        skipped = self.skip(smoothed(images, padding=1, stride=2))
        return self.second(self.first(images)) + skipped


def minibatch_deviation(images: Tensor, group_size: int = 4, batches: int = 1) -> Tensor:
    """Add one feature map: the standard deviation over groups of samples, averaged over features and pixels.

    `images` (N, C, H, W) to (N, C + 1, H, W). Groups are of `group_size` consecutive samples, or of the largest smaller
    number that divides a batch, of which `images` are several one after another. Source: Karras et al. 2018, section 3.
    """
    count, _, height, width = images.shape
    group = next(size for size in range(group_size, 0, -1) if count // batches % size == 0)
    grouped = images.reshape(count // group, group, -1)
    variance = (grouped - grouped.mean(1, keepdim=True)).square().mean(1)
    deviation = (variance + 1e-8).sqrt().mean(1)
    maps = deviation.repeat_interleave(group)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([images, maps], dim=1)


class Discriminator(nn.Module):
    """Films (N, 1, R, R) in [-1, 1] to logits (N,), float32; positive means taken for real."""

    def __init__(self, resolution: int, channel_base: int, channel_max: int) -> None:
        super().__init__()
        sizes = resolutions(resolution)
        channels = [channels_at(size, channel_base, channel_max) for size in sizes]
        self.bands = DetailBands(DETAIL_BANDS)
        self.input = Convolution(1 + DETAIL_BANDS, channels[-1], 1)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels[level], channels[level - 1]) for level in range(len(sizes) - 1, 0, -1)
        )
        self.last = Convolution(channels[0] + 1, channels[0], 3)
        self.hidden = EqualisedLinear(channels[0] * 16, channels[0])
        self.logit = EqualisedLinear(channels[0], 1)

    def forward(self, films: Tensor, dtype: torch.dtype = torch.float32, batches: int = 1) -> Tensor:
        """Of several `batches` of equal size at once, each film's logit is as of its batch alone."""
        images = self.input(self.bands(films).to(dtype))
        for block in self.blocks:
            images = block(images)
        images = self.last(minibatch_deviation(images.float(), batches=batches))
        hidden = functional.leaky_relu(self.hidden(images.flatten(1)), SLOPE) * GAIN
        return self.logit(hidden).squeeze(1)


def make_generator(settings: "GanSettings | Mapping[str, Any]") -> Generator:
    """A generator of the architecture that the settings name, with random weights from torch's default generator."""
    values = settings if isinstance(settings, Mapping) else {name: getattr(settings, name) for name in ARCHITECTURE}
    return Generator(**{name: values[name] for name in ARCHITECTURE if name in values})


def make_discriminator(settings: "GanSettings") -> Discriminator:
    """A discriminator of these settings, with random weights from torch's default generator."""
    return Discriminator(settings.resolution, settings.channel_base, settings.channel_max)


def load_generator(folder: Path) -> tuple[Generator, dict[str, Any]]:
    """The finished generator of a folder `gan/<label>/<fold>` (averaged weights, on the CPU), and its record."""
    record = folder / "config.json"
    if not record.exists():
        raise InputError(f"{folder}: no finished generator there; train it first (chapter 2)")
    config = read_json(record)
    generator = make_generator(config["settings"]["gan"])
    load_weights(generator, folder / "generator.safetensors", REMEDY)
    return generator.eval().requires_grad_(False), config
