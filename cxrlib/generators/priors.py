"""What both networks are given about films before training: fitted to the training films once, then fixed.

Neither part is in the papers that the networks follow. They make budgets of minutes on a CPU useful.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

EIGENFILM_SIDE = 64
FITTED_FILMS = 1000


class Eigenfilms(nn.Module):
    """A coarse film that is linear in the latent: the mean film plus principal components of the training films.

    Fitted once, then fixed. With it a generator begins at probabilistic principal components, not at noise, and learns
    what those lack. `forward` takes normalised latents (N, D) and gives films (N, 1, side, side).
    """

    mean: Tensor
    components: Tensor

    def __init__(self, resolution: int, latent_dim: int) -> None:
        super().__init__()
        self.side = min(EIGENFILM_SIDE, resolution)
        self.register_buffer("mean", torch.zeros(self.side, self.side))
        self.register_buffer("components", torch.zeros(latent_dim, self.side, self.side))

    def forward(self, latents: Tensor) -> Tensor:
        return (self.mean + torch.tensordot(latents, self.components, 1)).unsqueeze(1)

    @torch.no_grad()
    def fit(self, films: Tensor) -> None:
        """Fit to uint8 films (M, R, R). Latent numbers keep their meaning as far as an earlier fit gave them one."""
        chosen = films[torch.linspace(0, len(films) - 1, min(len(films), FITTED_FILMS)).long()]
        scaled = chosen.cpu().double().unsqueeze(1) / 127.5 - 1
        coarse = functional.adaptive_avg_pool2d(scaled, self.side).flatten(1)
        centred = coarse - coarse.mean(0)
        components = principal_components(centred, len(self.components))
        earlier = self.components.cpu().double().flatten(1)
        if earlier.any():
            # Orthogonal Procrustes: the rotation of the latents that brings the new components nearest to the old.
            left, _, right = torch.linalg.svd(earlier @ components.T)
            components = left @ right @ components
        self.mean.copy_(coarse.mean(0).view_as(self.mean))
        self.components.copy_(components.view_as(self.components))


def principal_components(centred: Tensor, count: int) -> Tensor:
    """Principal components of centred rows (M, P), scaled to their standard deviations: (count, P).

    There are at most M - 1; rows beyond are 0. By the matrix of inner products (M, M), small where films are few.
    """
    kept = min(count, len(centred) - 1)
    _, vectors = torch.linalg.eigh(centred @ centred.T)
    components = torch.zeros(count, centred.shape[1], dtype=centred.dtype)
    components[:kept] = vectors.T.flip(0)[:kept] @ centred / math.sqrt(len(centred) - 1)
    return components


class DetailBands(nn.Module):
    """Films (N, 1, R, R) to (N, 1 + bands, R, R): beside each film its finest details, one octave per band.

    Grey levels of X-ray films fall off with spatial frequency, so that the finest octaves have a tenth of the spread of
    the coarse ones, and a discriminator is slow to notice that they are missing. Each band is brought to the spread of
    the whole film, with factors fitted to the training films once. `magnification` is how much larger they make the
    squared gradient of a network at the film, R1's, than the film alone would: it is divided out there.
    """

    gains: Tensor
    magnification: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("gains", torch.ones(bands))
        self.register_buffer("magnification", torch.ones(()))

    def forward(self, films: Tensor) -> Tensor:
        bands = torch.cat(self.split(films), dim=1) * self.gains[:, None, None]
        return torch.cat([films, bands], dim=1).contiguous(memory_format=torch.channels_last)

    def split(self, films: Tensor) -> list[Tensor]:
        """The bands, finest first, each (N, 1, R, R)."""
        bands, coarse, side = [], films, films.shape[-1]
        for level in range(len(self.gains)):
            coarser = resize_films(films, side >> (level + 1))
            coarser = resize_films(coarser, side)
            bands.append(coarse - coarser)
            coarse = coarser
        return bands

    @torch.no_grad()
    def fit(self, films: Tensor) -> None:
        """Fit the factors to films (N, 1, R, R) in [-1, 1]."""
        for level, band in enumerate(self.split(films)):
            self.gains[level] = films.std() / band.std().clamp_min(1e-3)
        # Of a network with independent weights: one part for each input, averaged, for gradients as smooth as those
        # of a network that halves the resolution at once.
        half = films.shape[-1] // 2
        noise = torch.randn(32, 1, half, half, generator=torch.Generator().manual_seed(0)).to(films.device)
        gradients = resize_films(noise, 2 * half)
        bands = self.split(gradients / gradients.std())
        powers = [float((gain * band).square().mean()) for gain, band in zip(self.gains, bands, strict=True)]
        self.magnification.fill_((1 + sum(powers)) / (1 + len(powers)))


def resize_films(films: Tensor, side: int) -> Tensor:
    """Films (N, 1, S, S) to (N, 1, side, side): averaged over areas, or bilinear where they grow."""
    if side < films.shape[-1]:
        return functional.avg_pool2d(films, films.shape[-1] // side)
    if side == films.shape[-1]:
        return films
    # As feature maps of one film, channels last, a CPU makes all of them grow at once, in a third of the time.
    maps = films.transpose(0, 1).contiguous(memory_format=torch.channels_last)
    maps = functional.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)
    return maps.transpose(0, 1).contiguous()
