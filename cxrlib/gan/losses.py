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
