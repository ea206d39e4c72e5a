"""Differentiable augmentation of films, the same for real and generated ones (Zhao et al. 2020).

Each function takes films (N, 1, H, W) in [-1, 1] and a random generator on their device, draws anew for every film and
lets gradients through. Zero is mid-grey, and fills what is moved in or cut out. Where processes share a batch,
every process draws for the whole batch and keeps its `share`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

# Karras et al. 2020 take 500,000 images, and 100,000 where a training starts from another's weights: budgets here are
# a hundredth of theirs, so the faster one serves both.
STEERING_IMAGES = 100_000


@dataclass(frozen=True)
class Share:
    """Part `index` of `parts` equal, consecutive parts of a batch."""

    index: int = 0
    parts: int = 1

    def of(self, batch: Tensor) -> Tensor:
        """This part's rows of a tensor with one row per film of the batch."""
        rows = len(batch) // self.parts
        return batch[self.index * rows : (self.index + 1) * rows]


WHOLE = Share()


def _uniform(films: Tensor, random: torch.Generator, share: Share) -> Tensor:
    """One number in [0, 1) per film, (N, 1, 1, 1)."""
    shape = (len(films) * share.parts, 1, 1, 1)
    return share.of(torch.rand(shape, generator=random, device=films.device, dtype=films.dtype))


def _positions(films: Tensor, low: int, high: int, random: torch.Generator, share: Share) -> Tensor:
    """One integer in [low, high] per film, (N, 1)."""
    shape = (len(films) * share.parts, 1)
    return share.of(torch.randint(low, high + 1, shape, generator=random, device=films.device))


def brightness(films: Tensor, random: torch.Generator, strength: float = 1.0, share: Share = WHOLE) -> Tensor:
    """Add a constant in [-strength/2, strength/2)."""
    return films + (_uniform(films, random, share) - 0.5) * strength


def contrast(films: Tensor, random: torch.Generator, strength: float = 1.0, share: Share = WHOLE) -> Tensor:
    """Scale differences from the film's mean by a factor in [1 - strength/2, 1 + strength/2)."""
    mean = films.mean((1, 2, 3), keepdim=True)
    return mean + (films - mean) * (1 + (_uniform(films, random, share) - 0.5) * strength)


def translation(films: Tensor, random: torch.Generator, strength: float = 0.125, share: Share = WHOLE) -> Tensor:
    """Shift by whole pixels, at most `strength` times the side each way."""
    _, _, height, width = films.shape
    down, right = (int(side * strength + 0.5) for side in (height, width))
    shift_rows = _positions(films, -down, down, random, share)
    shift_columns = _positions(films, -right, right, random, share)
    # A border of one zero pixel stands for everything outside; clamped indices point to it.
    rows = (torch.arange(height, device=films.device) + 1 - shift_rows).clamp(0, height + 1)
    columns = (torch.arange(width, device=films.device) + 1 - shift_columns).clamp(0, width + 1)
    indices = rows[:, :, None] * (width + 2) + columns[:, None, :]
    padded = functional.pad(films, (1, 1, 1, 1)).flatten(1)
    return padded.gather(1, indices.flatten(1)).view_as(films)


def cutout(films: Tensor, random: torch.Generator, strength: float = 0.5, share: Share = WHOLE) -> Tensor:
    """Blank a rectangle of `strength` times each side, its centre anywhere in the film.

    The centre of an even side lies between pixels, and may lie on either border.
    """
    _, _, height, width = films.shape
    cut_height, cut_width = (int(side * strength + 0.5) for side in (height, width))
    top = _positions(films, 0, height - cut_height % 2, random, share) - cut_height // 2
    left = _positions(films, 0, width - cut_width % 2, random, share) - cut_width // 2
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


def augment(
    films: Tensor, names: Sequence[str], random: torch.Generator, probability: Tensor | None = None,
    share: Share = WHOLE,
) -> Tensor:  # fmt: skip
    """Apply the named augmentations in the order given; none at all leaves the films as they are.

    With a `probability`, each of them changes a film with that probability, drawn for every film and augmentation, as
    the adaptive augmentation of Karras et al. 2020 does ("Training generative adversarial networks with limited data").
    """
    for name in names:
        changed = AUGMENTATIONS[name](films, random, share=share)
        if probability is None:
            films = changed
        else:
            films = torch.where(_uniform(films, random, share) < probability, changed, films)
    return films


def steer(probability: Tensor, mean_sign: Tensor, target: float, images: int) -> Tensor:
    """The probability of augmentation after these `images`, in [0, 1].

    It rises while the mean sign of the discriminator's logits on real films is above the `target` (a sign that it knows
    the films by heart) and falls while it is below, at a speed that takes it from 0 to 1 within `STEERING_IMAGES`.
    """
    return (probability + torch.sign(mean_sign - target) * (images / STEERING_IMAGES)).clamp(0, 1)
