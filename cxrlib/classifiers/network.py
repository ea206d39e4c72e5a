"""From uint8 films to two outputs: the network, what of it learns, augmentation and normalisation."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.features import build_network, last_layer

Phase = Literal["frozen", "all"]


@dataclass(frozen=True)
class PixelStatistics:
    """Mean and standard deviation of pixel values in [0, 1]."""

    mean: float
    std: float


def pixel_statistics(images: np.ndarray) -> PixelStatistics:
    """Exact statistics of uint8 images of any shape, from their histogram, in double precision."""
    counts = np.sum([np.bincount(np.asarray(image).ravel(), minlength=256) for image in images], axis=0)
    values = np.arange(256) / 255
    mean = float((counts * values).sum() / counts.sum())
    variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
    return PixelStatistics(mean, max(math.sqrt(variance), 1 / 255))


def build_classifier(settings: ClassifierSettings, seed: int, device: torch.device) -> nn.Module:
    """The study's network with a new linear layer of two outputs: negative, positive."""
    network = build_network(settings.network, settings.weights, outputs=2, seed=seed)
    return network.to(device).to(memory_format=torch.channels_last)


def start_phase(network: nn.Module, phase: Phase, pretrained: bool) -> list[nn.Parameter]:
    """Set what learns in this phase and return those parameters.

    In phase `frozen` only the last layer learns. The batch normalisation of a trained network is frozen too: it
    normalises with the statistics that came with its weights. A random network has no such statistics, so there it
    goes on normalising by the batch, and only its parameters stay as they are.
    """
    network.train()
    for parameter in network.parameters():
        parameter.requires_grad_(phase == "all")
    if phase == "frozen":
        layer = last_layer(network)[1].requires_grad_(True)
        if pretrained:
            network.eval()
            layer.train()
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Inside, the network is in evaluation mode; afterwards each layer is in the mode it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def normalise(images: Tensor, statistics: PixelStatistics) -> Tensor:
    """Pixel values in [0, 1], float (N, 1, S, S), to mean 0 and standard deviation 1 over the training films."""
    return ((images - statistics.mean) / statistics.std).contiguous(memory_format=torch.channels_last)


def as_pixels(images: Tensor) -> Tensor:
    """uint8 (N, S, S) to float (N, 1, S, S) in [0, 1]."""
    return images[:, None].float() / 255


def augment(pixels: Tensor, angles_degrees: Tensor, flipped: Tensor) -> Tensor:
    """Rotate each film by its own angle, mirror it left to right where `flipped`; float (N, 1, S, S).

    One bilinear resampling for the whole batch; what comes into view from outside a film is black.
    """
    radians = torch.deg2rad(angles_degrees)
    cosine, sine = torch.cos(radians), torch.sin(radians)
    mirror = torch.where(flipped, -1.0, 1.0)
    zero = torch.zeros_like(cosine)
    rows = torch.stack((cosine * mirror, -sine, zero, sine * mirror, cosine, zero), dim=1)
    grid = F.affine_grid(rows.view(-1, 2, 3), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def augment_strongly(originals: Tensor, images: Tensor, seed: int) -> None:
    """Write each film, changed by RandAugment (Cubuk et al. 2020; torchvision's default strength), to `images`.

    uint8 (N, S, S) both, on one device. Two changes are drawn for each film by itself, of geometry (turned, sheared,
    shifted) or of grey levels (lightness, contrast, sharpness, equalisation and the like).
    """
    change = v2.RandAugment(interpolation=v2.InterpolationMode.BILINEAR, fill=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for original, image in zip(originals, images, strict=True):
            image.copy_(change(original[None])[0])


def working_precision(network: nn.Module, device: torch.device) -> torch.dtype:
    """bfloat16 for the network's arithmetic where the hardware has it and it is faster, else float32.

    On a CPU with AVX512-BF16, dense convolutions take about 0.6 of their time in float32, depthwise ones more than
    twice. Parameters, optimiser and losses are float32 in either case.
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)()
    if device.type != "cpu" or not capabilities.get("avx512_bf16"):
        return torch.float32
    depthwise = any(
        isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1 for layer in network.modules()
    )
    return torch.float32 if depthwise else torch.bfloat16
