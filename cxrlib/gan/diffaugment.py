"""Differentiable augmentation of films, the same for real and generated ones (Zhao et al. 2020).

Each function takes films (N, 1, H, W) in [-1, 1] and a random generator on their device, draws anew for every film, and
lets gradients through. Zero is mid-grey, and fills what is moved in or cut out.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor


def _uniform(films: Tensor, random: torch.Generator) -> Tensor:
    """One number in [0, 1) per film, (N, 1, 1, 1)."""
    return torch.rand(len(films), 1, 1, 1, generator=random, device=films.device, dtype=films.dtype)


def _positions(films: Tensor, low: int, high: int, random: torch.Generator) -> Tensor:
    """One integer in [low, high] per film, (N, 1)."""
    return torch.randint(low, high + 1, (len(films), 1), generator=random, device=films.device)


def brightness(films: Tensor, random: torch.Generator, strength: float = 1.0) -> Tensor:
    """Add a constant in [-strength/2, strength/2)."""
    return films + (_uniform(films, random) - 0.5) * strength


def contrast(films: Tensor, random: torch.Generator, strength: float = 1.0) -> Tensor:
    """Scale differences from the film's mean by a factor in [1 - strength/2, 1 + strength/2)."""
    mean = films.mean((1, 2, 3), keepdim=True)
    return mean + (films - mean) * (1 + (_uniform(films, random) - 0.5) * strength)


def translation(films: Tensor, random: torch.Generator, strength: float = 0.125) -> Tensor:
    """Shift by whole pixels, at most `strength` times the side each way."""
    _, _, height, width = films.shape
    down, right = (int(side * strength + 0.5) for side in (height, width))
    shift_rows, shift_columns = _positions(films, -down, down, random), _positions(films, -right, right, random)
    # A border of one zero pixel stands for everything outside; clamped indices point to it.
    rows = (torch.arange(height, device=films.device) + 1 - shift_rows).clamp(0, height + 1)
    columns = (torch.arange(width, device=films.device) + 1 - shift_columns).clamp(0, width + 1)
    indices = rows[:, :, None] * (width + 2) + columns[:, None, :]
    padded = functional.pad(films, (1, 1, 1, 1)).flatten(1)
    return padded.gather(1, indices.flatten(1)).view_as(films)


def cutout(films: Tensor, random: torch.Generator, strength: float = 0.5) -> Tensor:
    """Blank a rectangle of `strength` times each side, its centre anywhere in the film."""
    _, _, height, width = films.shape
    cut_height, cut_width = (int(side * strength + 0.5) for side in (height, width))
    top = _positions(films, 0, height - (cut_height + 1) % 2, random) - cut_height // 2
    left = _positions(films, 0, width - (cut_width + 1) % 2, random) - cut_width // 2
    rows = torch.arange(height, device=films.device)
    columns = torch.arange(width, device=films.device)
    in_rows = (rows >= top) & (rows < top + cut_height)
    in_columns = (columns >= left) & (columns < left + cut_width)
    return films * ~(in_rows[:, None, :, None] & in_columns[:, None, None, :])


AUGMENTATIONS: dict[str, Callable[..., Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "translation": translation,
    "cutout": cutout,
}


def augment(films: Tensor, names: Sequence[str], random: torch.Generator) -> Tensor:
    """Apply the named augmentations in the order given; none at all leaves the films as they are."""
    for name in names:
        films = AUGMENTATIONS[name](films, random)
    return films
