"""The terms of the two networks' losses, one function each; every one returns a scalar tensor to be minimised."""

import torch
import torch.nn.functional as functional
from torch import Tensor


def generator_logistic(generated_logits: Tensor) -> Tensor:
    """Non-saturating loss of the generator, mean of -log σ(D(G(z))) (Goodfellow et al. 2014)."""
    return functional.softplus(-generated_logits).mean()


def discriminator_logistic(real_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """Mean of -log σ(D(x)) plus mean of -log(1 - σ(D(G(z)))) (Goodfellow et al. 2014)."""
    return functional.softplus(-real_logits).mean() + functional.softplus(generated_logits).mean()


def r1_penalty(real_logits: Tensor, real_films: Tensor) -> Tensor:
    """Mean squared norm of the logits' gradient at the real films (Mescheder et al. 2018, equation 9, without γ/2).

    `real_films` must require gradients and `real_logits` depend on them.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_films, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_lengths(films: Tensor, styles: Tensor, directions: Tensor) -> Tensor:
    """How far films (N, 1, H, W) move with their styles (N, L, D): (N,), the lengths of Jᵀy.

    `directions` y are images of standard normal noise. `films` must depend on `styles`. Squares are averaged over the
    L layers and lengths scaled by the root of the number of pixels, so that they mean the same at every size. Source:
    Karras et al. 2020, section 3.2.
    """
    pixels = films.shape[-2] * films.shape[-1]
    (gradient,) = torch.autograd.grad((films * directions).sum() / pixels**0.5, styles, create_graph=True)
    # The root of zero has no gradient, and films that don't depend on their style yet have a length of zero.
    return (gradient.square().sum(2).mean(1) + 1e-12).sqrt()


def path_length_penalty(lengths: Tensor, running_mean: Tensor) -> Tensor:
    """Mean squared difference of path lengths (N,) from their running mean, which is held fixed (equation 4, without
    the weight)."""
    return (lengths - running_mean.detach()).square().mean()
