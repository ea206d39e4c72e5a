"""Lungs in films: a small network that outlines them, and how large and how even they are.

The network is a U-Net (Ronneberger et al. 2015) of some tens of thousands of weights, which works on films of 64×64
pixels. It is trained on films with lung masks, twice, each time on one half of the patients, so that every real film is
measured by a network that never saw its patient. Synthetic films are measured by the two networks in turn.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from cxrlib.films.images import resize_images
from cxrlib.reproducibility import random_generator

SIDE = 64
CHANNELS = (8, 16, 32)
BATCH_FILMS, STEPS, LEARNING_RATE = 16, 160, 0.01
# How much brighter or darker, and of how much more or less contrast, a film may be shown: scanners differ.
BRIGHTNESS, CONTRAST = 0.3, 0.3
FILMS_AT_A_TIME = 256
SEGMENTER_SETTINGS = {"version": 1, "side": SIDE, "channels": list(CHANNELS), "steps": STEPS}


class LungSegmenter(nn.Module):
    """Films (N, 1, 64, 64), each of mean 0 and deviation 1, to logits of lung (N, 1, 64, 64)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, *CHANNELS)
        self.down = nn.ModuleList(_block(one, two) for one, two in zip(widths, CHANNELS, strict=False))
        pairs = zip(CHANNELS[:0:-1], CHANNELS[-2::-1], strict=True)
        self.up = nn.ModuleList(_block(deep + shallow, shallow) for deep, shallow in pairs)
        self.out = nn.Conv2d(CHANNELS[0], 1, 1)

    def forward(self, films: Tensor) -> Tensor:
        # Outlines are smooth: half the pixels each way are as good, and four times as fast.
        passed, values = [], functional.avg_pool2d(films, 2)
        for level, block in enumerate(self.down):
            values = block(functional.max_pool2d(values, 2) if level else values)
            passed.append(values)
        for block, shallow in zip(self.up, passed[-2::-1], strict=True):
            values = functional.interpolate(values, scale_factor=2.0, mode="nearest")
            values = block(torch.cat((values, shallow), dim=1))
        return functional.interpolate(self.out(values), scale_factor=2.0, mode="bilinear")


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        # Group normalisation: a film's outline must not depend on the films beside it.
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.GroupNorm(4, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def train_segmenter(films: np.ndarray, masks: np.ndarray, *purpose: object) -> LungSegmenter:
    """Train on films uint8 (N, S, S) and their masks (0 or 1) of the same shape; equal purposes give equal weights.

    The loss is cross-entropy plus one minus the soft Dice coefficient; the learning rate falls to 0 along a cosine.
    """
    random = random_generator("cpu", "lungs", *purpose)
    network = _initialised(random)
    pixels = _as_pixels(films)
    wanted = torch.from_numpy(at_side(masks)).float()[:, None]
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    network.train()
    for _ in range(STEPS):
        rows = torch.randint(len(pixels), (min(BATCH_FILMS, len(pixels)),), generator=random)
        gain, offset = (torch.rand(len(rows), 1, 1, 1, generator=random) * 2 - 1 for _ in range(2))
        shown = pixels[rows] * (1 + CONTRAST * gain) + BRIGHTNESS * offset
        loss = _loss(network(shown), wanted[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def _initialised(random: torch.Generator) -> LungSegmenter:
    network = LungSegmenter()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=random)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    likely = logits.sigmoid()
    overlap = 2 * (likely * wanted).sum((1, 2, 3)) / ((likely + wanted).sum((1, 2, 3)) + 1)
    return functional.binary_cross_entropy_with_logits(logits, wanted) + (1 - overlap).mean()


def _as_pixels(films: np.ndarray) -> Tensor:
    """uint8 (N, S, S) to float32 (N, 1, 64, 64), each film of mean 0 and standard deviation 1."""
    small = films if films.shape[1] == SIDE else resize_images(films, SIDE)
    pixels = torch.from_numpy(np.array(small)).float()[:, None]
    mean, spread = pixels.mean((1, 2, 3), keepdim=True), pixels.std((1, 2, 3), keepdim=True)
    return (pixels - mean) / (spread + 1e-3)


@torch.inference_mode()
def outline_lungs(network: LungSegmenter, films: np.ndarray) -> np.ndarray:
    """Lungs in films uint8 (N, S, S): bool (N, 64, 64)."""
    found = np.zeros((len(films), SIDE, SIDE), bool)
    for start in range(0, len(films), FILMS_AT_A_TIME):
        part = films[start : start + FILMS_AT_A_TIME]
        found[start : start + len(part)] = (network(_as_pixels(part))[:, 0] > 0).numpy()
    return found


@dataclass(frozen=True)
class LungMeasures:
    """Of each film (N,): `area`, the share of the film that is lung, 0 to 1; and `left_right_ratio`, the lung area in
    the film's left part (as one looks at it) over that in its right part, not a number where a side has none."""

    area: np.ndarray
    left_right_ratio: np.ndarray


def measure_lungs(lungs: np.ndarray) -> LungMeasures:
    """Measures of masks, bool (N, S, S). The sides are parted by the column of least lung in the film's middle third,
    that nearest to the middle among equals."""
    side = lungs.shape[2]
    columns = lungs.sum(axis=1).astype(np.float64)
    middle = np.arange(side // 3, side - side // 3)
    far = np.abs(middle - (side - 1) / 2)
    parting = middle[(columns[:, middle] + far / side).argmin(axis=1)]
    to_the_left = columns.cumsum(axis=1)[np.arange(len(lungs)), parting] - columns[np.arange(len(lungs)), parting] / 2
    to_the_right = columns.sum(axis=1) - to_the_left
    both = (to_the_left > 0) & (to_the_right > 0)
    ratio = np.divide(to_the_left, to_the_right, out=np.full(len(lungs), np.nan), where=both)
    return LungMeasures(columns.sum(axis=1) / (lungs.shape[1] * side), ratio)


def at_side(masks: np.ndarray) -> np.ndarray:
    """Masks of 0 and 1, uint8 (N, S, S), as the network outlines lungs: bool (N, 64, 64)."""
    return resize_images((np.asarray(masks) > 0).astype(np.uint8) * 255, SIDE) > 127


def dice(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Dice coefficients (N,) of masks bool (N, S, S): twice the overlap over the sum of areas; 1 if both are empty."""
    overlap, areas = (found & wanted).sum((1, 2)), found.sum((1, 2)) + wanted.sum((1, 2))
    return np.divide(2 * overlap, areas, out=np.ones(len(found)), where=areas > 0)


def halves(patients: np.ndarray, *purpose: object) -> np.ndarray:
    """int (N,): 0 or 1, each patient's films in one half; the patients are parted at random, evenly."""
    names, rows = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    order = torch.randperm(len(names), generator=random_generator("cpu", "halves", *purpose)).numpy()
    return (order % 2)[rows]
