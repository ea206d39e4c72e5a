"""Films drawn by a generator: each from its own seed, many at a time; truncated; and on the way from one to another.

Arrays and networks only; what a study asks for is in `synthesis`.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from cxrlib.errors import InputError
from cxrlib.generators.networks import Generator
from cxrlib.generators.stepping import block_dtype, on_device
from cxrlib.reproducibility import pick_device, random_generator

logger = logging.getLogger(__name__)

MEAN_STYLE_LATENTS = 4096
# More films at a time fill a GPU no better; on a CPU they only fall out of its caches.
LARGEST_BATCH = {"cuda": 256, "cpu": 16}
# A CPU does not say when it runs out of memory; its system ends the program instead.
CPU_BYTES = 2**31
# Feature maps of the last layer that are in memory at once: inputs, outputs, and what is between them.
LIVE_MAPS = 8

Drawn = tuple[Tensor, list[Tensor]]


def draw_films(
    generator: Generator,
    seeds: Sequence[int],
    truncation: float,
    films: np.ndarray,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Draw the film of every seed into `films`, uint8 (N, R, R), as many at a time as memory allows; return how many.

    That number is part of how a film is made: the arithmetic of a batch may depend on its size. Where memory runs out,
    the batch is halved and all films are drawn anew, so that they share one size. `progress(films)` is called after
    each batch. Raises `InputError` if there is no memory for a single film.
    """
    batch_size = first_batch_size(generator)
    while True:
        done = 0
        try:
            for batch in make_films(generator, seeds, truncation, batch_size):
                films[done : done + len(batch)] = batch
                done += len(batch)
                if progress is not None:
                    progress(done)
            return batch_size
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if batch_size == 1:
                raise InputError(
                    f"synthetic films of {generator.resolution} pixels: no memory to draw a single one ({error}); "
                    "close other programs on this machine, or use one with more memory"
                ) from None
        batch_size //= 2
        logger.info("out of memory after %d films; all are drawn anew, %d at a time", done, batch_size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def first_batch_size(generator: Generator) -> int:
    """Films at a time to begin with: on a GPU the most that are of use, on a CPU what `CPU_BYTES` hold."""
    device = pick_device()
    most = LARGEST_BATCH[device.type]
    if device.type == "cuda":
        return most
    return min(most, 2 ** int(math.log2(max(CPU_BYTES / film_bytes(generator), 1))))


def film_bytes(generator: Generator) -> int:
    """About how much memory one film takes while it is drawn, in float32."""
    channels = generator.outputs[-1].get_parameter("weight").shape[0]
    return LIVE_MAPS * 4 * channels * generator.resolution**2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is what torch or Python raise where there is no memory; torch has no class for it on a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def make_films(
    generator: Generator, seeds: Sequence[int], truncation: float, batch_size: int, dtype: torch.dtype | None = None
) -> Iterator[np.ndarray]:
    """Films of these seeds in batches, uint8 (n, R, R); the last batch is filled up, then cut.

    Blocks compute in `dtype`, by default the one for this hardware.

    Latent and noise of a film come from its own seed, so that it does not depend on its neighbours. Truncation moves
    its style towards the mean style (Karras et al. 2019, equation 1 of appendix B). While one batch is handed over, a
    GPU already works at the next.
    """
    device = pick_device()
    generator = generator.to(device)
    with torch.inference_mode(), _repeatable_convolutions():
        centre = mean_style(generator) if truncation < 1 else None
        finished: Tensor | None = None
        for start in range(0, len(seeds), batch_size):
            wanted = list(seeds[start : start + batch_size])
            latents, noise = _drawn(generator, wanted + wanted[-1:] * (batch_size - len(wanted)), device)
            films = _films(generator, latents, noise, truncation, centre, dtype)[: len(wanted)]
            if finished is not None:
                yield finished.cpu().numpy()
            finished = films
        if finished is not None:
            yield finished.cpu().numpy()


def truncation_sweep(generator: Generator, seeds: Sequence[int], truncations: Sequence[float]) -> np.ndarray:
    """The same films under each truncation: uint8 (T, N, R, R)."""
    return np.stack([next(make_films(generator, seeds, truncation, len(seeds))) for truncation in truncations])


def interpolation(generator: Generator, seeds: Sequence[int], steps: int) -> np.ndarray:
    """Films on a round trip through the latents of these seeds, `steps` from one to the next: uint8 (N·steps, R, R).

    The way between two latents is a great circle, since latents are normalised: the straight line between them leads
    through places that no film is ever drawn from. The noise stays that of the first film, so that
    only what the latent decides changes. The last film leads back to the first.
    """
    device = pick_device()
    generator = generator.to(device)
    with torch.inference_mode(), _repeatable_convolutions():
        latents, noise = _drawn(generator, seeds, device)
        shares = torch.arange(steps, device=device)[:, None] / steps
        legs = [_great_circle(a, b, shares) for a, b in zip(latents, latents.roll(-1, 0), strict=True)]
        films = []
        for leg in legs:
            held = [layer[:1].expand(steps, -1, -1, -1) for layer in noise]
            films.append(_films(generator, leg, held, 1.0, None).cpu().numpy())
    return np.concatenate(films)


def mean_style(generator: Generator) -> Tensor:
    """Mean style (1, D) over latents that are always the same."""
    random = random_generator("cpu", "mean style")
    latents = torch.randn(MEAN_STYLE_LATENTS, generator.latent_dim, generator=random)
    return generator.mapping(latents.to(generator.constant.device)).mean(0, keepdim=True)


def _drawn(generator: Generator, seeds: Sequence[int], device: torch.device) -> Drawn:
    """Latents and noise of each seed, drawn on the CPU: a GPU would draw others, and a film could be made again on its
    like alone."""
    drawn = [generator.draw(1, random_generator("cpu", "film", seed)) for seed in seeds]
    latents = torch.cat([latent for latent, _ in drawn])
    noise = [torch.cat(layer) for layer in zip(*(noise for _, noise in drawn), strict=True)]
    return on_device(latents, device), [on_device(layer, device) for layer in noise]


def _films(
    generator: Generator, latents: Tensor, noise: list[Tensor], truncation: float, centre: Tensor | None,
    dtype: torch.dtype | None = None,
) -> Tensor:  # fmt: skip
    """Grey levels, uint8 (N, R, R), on the generator's device."""
    styles, latents = generator.styles(latents)
    if centre is not None:
        styles, latents = centre + truncation * (styles - centre), truncation * latents
    films = generator.synthesise(styles, latents, noise, dtype or block_dtype(latents.device))
    return ((films[:, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _great_circle(start: Tensor, end: Tensor, shares: Tensor) -> Tensor:
    """Points (n, D) at `shares` (n, 1) of the way from one latent (D,) to another, lengths going evenly along."""
    lengths = torch.stack([start.norm(), end.norm()])
    a, b = start / lengths[0], end / lengths[1]
    angle = torch.arccos((a @ b).clamp(-1, 1))
    if angle.sin().abs() < 1e-6:
        return torch.lerp(start, end, shares)
    direction = (((1 - shares) * angle).sin() * a + (shares * angle).sin() * b) / angle.sin()
    return direction * torch.lerp(lengths[0], lengths[1], shares)


@contextmanager
def _repeatable_convolutions() -> Iterator[None]:
    """Keep a GPU from choosing its algorithms by timing them."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield
