import numpy as np
import torch

from cxrlib.generators.losses import (
    discriminator_logistic,
    generator_logistic,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from cxrlib.reproducibility import random_generator

REAL = np.array([1.5, -0.3, 4.0, 60.0])
GENERATED = np.array([-2.0, 0.7, 0.0, -60.0])


def log_sigmoid(values: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, -values)


def test_discriminator_loss_is_binary_cross_entropy():
    found = discriminator_logistic(torch.from_numpy(REAL), torch.from_numpy(GENERATED)).item()
    expected = -log_sigmoid(REAL).mean() - log_sigmoid(-GENERATED).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_generator_loss_does_not_saturate():
    found = generator_logistic(torch.from_numpy(GENERATED)).item()
    np.testing.assert_allclose(found, -log_sigmoid(GENERATED).mean(), rtol=1e-8)
    logits = torch.tensor([-60.0], requires_grad=True)
    generator_logistic(logits).backward()
    assert logits.grad.item() == -1.0


def test_r1_of_a_quadratic_discriminator_has_a_closed_form():
    random = random_generator("cpu", "test")
    films = torch.randn(5, 1, 4, 4, generator=random, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(16, generator=random, dtype=torch.float64, requires_grad=True)
    logits = (films.flatten(1).square() * weights).sum(1)
    penalty = r1_penalty(logits, films)
    expected = (4 * films.flatten(1).square() * weights.square()).sum(1).mean()
    torch.testing.assert_close(penalty, expected)
    penalty.backward()
    torch.testing.assert_close(weights.grad, (8 * films.detach().flatten(1).square() * weights).mean(0))


def small(*shape: int) -> torch.Tensor:
    random = random_generator("cpu", "test", shape)
    return torch.randn(*shape, generator=random, dtype=torch.float64).requires_grad_()


def test_path_lengths_of_a_linear_generator_have_a_closed_form():
    styles, matrices, directions = small(3, 2, 5), small(2, 5, 16), small(3, 1, 4, 4).detach()
    films = torch.einsum("nld,ldp->np", styles, matrices).view(3, 1, 4, 4)
    found = path_lengths(films, styles, directions)
    products = torch.einsum("ldp,np->nld", matrices, directions.flatten(1)) / 4
    torch.testing.assert_close(found, products.square().sum(2).mean(1).sqrt())
    penalty = path_length_penalty(found, torch.tensor(0.3, dtype=torch.float64))
    torch.testing.assert_close(penalty, (found - 0.3).square().mean())


def test_the_running_mean_of_path_lengths_is_held_fixed():
    lengths, mean = small(4), torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    path_length_penalty(lengths, mean).backward()
    torch.testing.assert_close(lengths.grad, (lengths.detach() - 1) / 2)
    assert mean.grad is None


def test_gradients_through_gradients_are_right():
    films, styles, directions = small(2, 1, 3, 3), small(2, 2, 3), small(2, 1, 3, 3).detach()

    def flatness(weights: torch.Tensor) -> torch.Tensor:
        return r1_penalty((films.flatten(1) @ weights).tanh().sum(1), films)

    def smoothness(weights: torch.Tensor) -> torch.Tensor:
        made = torch.einsum("nld,ldp->np", styles, weights).tanh().view(2, 1, 3, 3)
        return path_length_penalty(path_lengths(made, styles, directions), torch.tensor(0.5))

    assert torch.autograd.gradcheck(flatness, small(9, 4))
    assert torch.autograd.gradcheck(smoothness, small(2, 3, 9))


def test_films_that_do_not_depend_on_their_style_yet_leave_gradients_finite():
    styles, weights = small(2, 2, 3), torch.zeros(2, 3, 9, dtype=torch.float64, requires_grad=True)
    films = torch.einsum("nld,ldp->np", styles, weights).view(2, 1, 3, 3)
    lengths = path_lengths(films, styles, torch.ones(2, 1, 3, 3, dtype=torch.float64))
    path_length_penalty(lengths, torch.tensor(0.5)).backward()
    assert weights.grad.isfinite().all()
