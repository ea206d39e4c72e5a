import numpy as np
import torch

from cxrlib.gan.losses import discriminator_logistic, generator_logistic, r1_penalty
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
