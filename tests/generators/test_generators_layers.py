import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from cxrlib.generators.layers import (
    AdaptiveConvolution,
    EqualisedLinear,
    adaptive_normalisation,
    modulated_convolution,
    pixel_norm,
)
from cxrlib.generators.networks import Generator, mix_styles
from cxrlib.reproducibility import random_generator


def made(make, *arguments, **named):
    """A module with weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return make(*arguments, **named)


def test_modulated_convolution_equals_the_grouped_one():
    random = random_generator("cpu", "test")
    images = torch.randn(3, 5, 6, 6, generator=random, dtype=torch.float64)
    weight = torch.randn(7, 5, 3, 3, generator=random, dtype=torch.float64)
    scales = torch.randn(3, 5, generator=random, dtype=torch.float64)
    found, demodulation = modulated_convolution(images, weight, scales)

    weights = weight[None] * scales[:, None, :, None, None]
    weights = weights * torch.rsqrt(weights.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    expected = functional.conv2d(images.view(1, 15, 6, 6), weights.view(21, 5, 3, 3), padding=1, groups=3)
    torch.testing.assert_close(found * demodulation[:, :, None, None], expected.view(3, 7, 6, 6))


def test_adaptive_normalisation_is_instance_normalisation_with_a_style():
    random = random_generator("cpu", "test")
    images = 5 + 3 * torch.randn(3, 4, 6, 6, generator=random)
    scales, shifts = torch.randn(2, 3, 4, generator=random).unbind(0)
    expected = functional.instance_norm(images) * scales[:, :, None, None] + shifts[:, :, None, None]
    torch.testing.assert_close(adaptive_normalisation(images, scales, shifts), expected, rtol=1e-4, atol=1e-4)


def test_a_layer_with_adaptive_normalisation_has_its_style_s_mean_and_spread():
    layer = made(AdaptiveConvolution, 6, 5, 8, doubles=True)
    random = random_generator("cpu", "test")
    images, styles = torch.randn(3, 6, 8, 8, generator=random), torch.randn(3, 8, generator=random)
    noise = torch.randn(3, 1, 16, 16, generator=random)
    with torch.no_grad():
        layer.noise_strength.fill_(0.5)
        maps = layer(images, styles, noise)
        others = layer(images, styles, -noise)
    assert maps.shape == (3, 5, 16, 16)
    torch.testing.assert_close(maps.mean((2, 3)), layer.shift(styles), rtol=1e-4, atol=1e-4)
    spread = maps.std((2, 3), correction=0)
    torch.testing.assert_close(spread, layer.scale(styles).abs(), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(maps, others, atol=0.1)


def test_normalised_latents_have_unit_mean_square():
    latents = pixel_norm(5 * torch.randn(4, 64, generator=random_generator("cpu", "test")))
    np.testing.assert_allclose(latents.square().mean(1).numpy(), 1, rtol=1e-5)


def test_learning_rate_of_a_layer_changes_its_steps_but_not_its_outputs():
    inputs = torch.randn(1000, 50, generator=random_generator("cpu", "test"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        usual, slow = EqualisedLinear(50, 20), EqualisedLinear(50, 20, learning_rate=0.01)
    assert usual(inputs).std().item() == pytest.approx(1, abs=0.15)
    assert slow(inputs).std().item() == pytest.approx(1, abs=0.15)
    before = slow(inputs)
    with torch.no_grad():
        slow.weight += 1.0
    torch.testing.assert_close(slow(inputs) - before, (0.01 / 50**0.5) * inputs.sum(1, keepdim=True).expand(-1, 20))


def test_mixed_styles_change_layers_from_the_crossover_on():
    first, second = torch.zeros(3, 2), torch.ones(3, 2)
    mixed = mix_styles(first, second, torch.tensor([1, 3, 4]), 4)
    assert mixed[:, :, 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert torch.equal(mixed[:, :, 0], mixed[:, :, 1])


@pytest.mark.parametrize("modulation", ["demodulated", "adain"])
def test_a_late_crossover_changes_fine_detail_and_an_early_one_the_film(modulation):
    generator = made(Generator, 32, 8, 2, 256, 16, modulation=modulation)
    random = random_generator("cpu", "test")
    (latents, noise), (others, _) = generator.draw(4, random), generator.draw(4, random)
    layers = len(noise)
    styles, normalised = generator.styles(latents)

    def film(crossover: int) -> torch.Tensor:
        mixed = mix_styles(styles, generator.mapping(others), torch.full((4,), crossover), layers)
        return generator.synthesise(mixed, normalised, noise)

    with torch.no_grad():
        whole = generator(latents, noise)
        torch.testing.assert_close(film(layers), whole)
        coarse = [functional.avg_pool2d(film(crossover) - whole, 8).square().mean() for crossover in (1, layers - 1)]
        fine = (film(layers - 1) - whole).square().mean()
    assert fine > 0
    assert coarse[0] > 2 * coarse[1]
