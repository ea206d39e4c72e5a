import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from safetensors.torch import save_file

from cxrlib.errors import InputError
from cxrlib.files import write_json
from cxrlib.generators.layers import Convolution, FilmOutput, doubled, smoothed
from cxrlib.generators.losses import r1_penalty
from cxrlib.generators.networks import (
    Discriminator,
    Generator,
    ResidualBlock,
    channels_at,
    load_generator,
    minibatch_deviation,
    resolutions,
)
from cxrlib.generators.priors import DetailBands, Eigenfilms, principal_components
from cxrlib.reproducibility import random_generator

ARCHITECTURE = {
    "resolution": 32, "latent_dim": 8, "mapping_layers": 2, "channel_base": 128, "channel_max": 8, "eigenfilms": True,
}  # fmt: skip


def test_minibatch_deviation_is_that_of_consecutive_groups():
    images = torch.randn(8, 3, 4, 4, generator=random_generator("cpu", "test"))
    added = minibatch_deviation(images, group_size=4)[:, 3]
    for group in (slice(0, 4), slice(4, 8)):
        expected = images[group].numpy().std(axis=0).mean()
        np.testing.assert_allclose(added[group].numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("count", [4, 6, 9])
def test_batches_judged_at_once_have_the_logits_of_each_alone(count):
    discriminator = Discriminator(32, 128, 8)
    films = torch.randn(2 * count, 1, 32, 32, generator=random_generator("cpu", "test"))
    with torch.no_grad():
        alone = torch.cat([discriminator(batch) for batch in films.chunk(2)])
        together = discriminator(films, batches=2)
    torch.testing.assert_close(together, alone)


def test_minibatch_deviation_of_identical_samples_is_nearly_zero():
    images = torch.ones(6, 2, 4, 4)
    assert minibatch_deviation(images).shape == (6, 3, 4, 4)
    assert minibatch_deviation(images)[:, 2].max() < 1e-3


def test_channels_halve_as_resolution_doubles():
    assert resolutions(64) == (4, 8, 16, 32, 64)
    assert [channels_at(size, 1024, 64) for size in resolutions(64)] == [64, 64, 64, 32, 16]


@pytest.mark.parametrize("resolution", [32, 64, 128, 256, 512])
@pytest.mark.parametrize(("eigenfilms", "modulation"), [(False, "demodulated"), (True, "demodulated"), (True, "adain")])
def test_networks_work_at_every_resolution_and_on_one_grey_channel(resolution, eigenfilms, modulation):
    generator = Generator(resolution, 8, 2, 256, 8, eigenfilms, modulation)
    films = generator(*generator.draw(4, random_generator("cpu", "test")))
    assert films.shape == (4, 1, resolution, resolution)
    assert films.dtype == torch.float32
    logits = Discriminator(resolution, 256, 8)(films)
    assert logits.shape == (4,)
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


def test_bfloat16_blocks_are_near_float32_ones():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        generator = Generator(**ARCHITECTURE | {"eigenfilms": False})
    inputs = generator.draw(4, random_generator("cpu", "test"))
    exact, rounded = generator(*inputs), generator(*inputs, dtype=torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert (exact - rounded).abs().mean() < 0.02 * exact.std()


def test_generator_with_eigenfilms_begins_at_the_mean_and_spread_of_its_films():
    random = np.random.default_rng(0)
    patterns = random.normal(0, 30, (3, 32, 32))
    films = (120 + np.tensordot(random.normal(0, 1, (300, 3)), patterns, 1)).clip(0, 255).astype(np.uint8)
    generator = Generator(**ARCHITECTURE | {"latent_dim": 32})
    generator.eigenfilms.fit(torch.from_numpy(films))
    with torch.no_grad():
        made = (generator(*generator.draw(2000, random_generator("cpu", "test")))[:, 0] + 1) * 127.5
    np.testing.assert_allclose(made.mean(0).numpy(), films.mean(0), atol=6)
    assert made.std(0).mean().item() == pytest.approx(films.std(0).mean(), rel=0.1)


def test_a_second_fit_keeps_the_meaning_of_the_latents():
    random = np.random.default_rng(1)
    patterns = random.normal(0, 12, (4, 32, 32)) * np.array([4, 3, 2, 1])[:, None, None]
    first, second = (
        torch.from_numpy((128 + np.tensordot(random.normal(0, 1, (400, 4)), patterns, 1)).clip(0, 255).astype(np.uint8))
        for _ in range(2)
    )
    eigenfilms = Eigenfilms(32, 4)
    eigenfilms.fit(first)
    before = eigenfilms.components.clone()
    eigenfilms.fit(second)
    cosines = functional.cosine_similarity(before.flatten(1), eigenfilms.components.flatten(1))
    assert cosines.min() > 0.95


def test_detail_bands_have_the_spread_of_the_films_and_add_up_to_them():
    films = torch.randn(20, 1, 32, 32, generator=random_generator("cpu", "test"))
    films = functional.avg_pool2d(films, 5, stride=1, padding=2)
    bands = DetailBands(3)
    parts = bands.split(films)
    coarsest = functional.interpolate(
        functional.avg_pool2d(films - parts[0] - parts[1] - parts[2], 1), size=(32, 32), mode="nearest"
    )
    torch.testing.assert_close(parts[0] + parts[1] + parts[2] + coarsest, films)
    assert parts[0].std() < 0.5 * films.std()
    bands.fit(films)
    np.testing.assert_allclose(bands(films).std((0, 2, 3)).detach().numpy(), films.std().item(), rtol=0.01)


def test_weights_of_another_architecture_are_refused(tmp_path):
    generator = Generator(**ARCHITECTURE)
    save_file(generator.state_dict(), tmp_path / "generator.safetensors")
    write_json(tmp_path / "config.json", {"settings": {"gan": ARCHITECTURE | {"channel_max": 4}}})
    with pytest.raises(InputError, match="or don't fit"):
        load_generator(tmp_path)
    write_json(tmp_path / "config.json", {"settings": {"gan": ARCHITECTURE}})
    loaded, _ = load_generator(tmp_path)
    torch.testing.assert_close(loaded.constant, generator.constant.detach())


def test_a_folder_without_generator_is_refused(tmp_path):
    with pytest.raises(InputError, match="no finished generator"):
        load_generator(tmp_path)


def test_principal_components_are_those_of_a_singular_value_decomposition():
    rows = np.random.default_rng(5).normal(0, 1, (12, 40)) * np.linspace(0.2, 3, 40)
    centred = rows - rows.mean(0)
    found = principal_components(torch.from_numpy(centred), 20).numpy()
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs((found[:11] * directions[:11]).sum(1)), lengths[:11] / np.sqrt(11), rtol=1e-9)
    np.testing.assert_allclose(found.T @ found, np.cov(rows.T), atol=1e-10)
    assert not found[11:].any()


def centre_of_mass(images: torch.Tensor) -> float:
    """Where the last axis's mass lies, in shares of the side."""
    side = images.shape[-1]
    places = (torch.arange(side) + 0.5) / side
    weights = images.abs().sum((0, 1, 2))
    return float((weights * places).sum() / weights.sum())


def test_both_ways_of_a_block_that_halves_lie_pixel_on_pixel():
    block = ResidualBlock(1, 1)
    with torch.no_grad():
        for layer in (block.first, block.second, block.skip):
            layer.weight.zero_()
            middle = layer.weight.shape[-1] // 2
            layer.weight[:, :, middle, middle] = 1
    dot = torch.zeros(1, 1, 16, 16)
    dot[..., 7, 7] = dot[..., 7, 8] = 1
    with torch.no_grad():
        bent, skipped = block.second(block.first(dot)), block.skip(smoothed(dot, padding=1, stride=2))
    assert bent.shape == skipped.shape == (1, 1, 8, 8)
    assert centre_of_mass(bent) == pytest.approx(0.5, abs=1e-6)
    assert centre_of_mass(skipped) == pytest.approx(0.5, abs=1e-6)
    torch.testing.assert_close(bent / bent.sum(), skipped / skipped.sum())


@pytest.mark.parametrize(("padding", "stride"), [(1, 2), (2, 1)])
def test_smoothing_is_differentiated_twice(padding, stride):
    images = torch.randn(2, 2, 6, 6, generator=random_generator("cpu", "test"), dtype=torch.float64)
    images.requires_grad_()
    assert torch.autograd.gradcheck(smoothed, (images, padding, stride))
    assert torch.autograd.gradgradcheck(smoothed, (images, padding, stride))


def test_halving_and_doubling_are_those_of_the_filter_1_3_3_1():
    images = torch.randn(2, 3, 8, 8, generator=random_generator("cpu", "test"), dtype=torch.float64)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
    kernel = torch.outer(row, row).expand(3, 1, 4, 4)
    halved = functional.conv2d(images, kernel, padding=1, stride=2, groups=3)
    torch.testing.assert_close(smoothed(images, padding=1, stride=2), halved)
    spaced = torch.zeros(2, 3, 16, 16, dtype=torch.float64)
    spaced[..., ::2, ::2] = images
    expected = functional.conv2d(functional.pad(spaced, (2, 1, 2, 1)), 4 * kernel, groups=3)
    torch.testing.assert_close(doubled(images)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])
    assert Convolution(3, 5, 3, stride=2)(images.float()).shape == (2, 5, 4, 4)


def test_outputs_of_bfloat16_blocks_are_multiplied_in_float32():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        output = FilmOutput(16, 8, start=1.0, styled=True)
    random = random_generator("cpu", "test")
    images = torch.randn(2, 16, 8, 8, generator=random).bfloat16()
    styles = torch.randn(2, 8, generator=random)
    weights = output.style(styles) * output.weight * output.gain
    expected = (images.float() * weights[:, :, None, None]).sum(1, keepdim=True)
    torch.testing.assert_close(output(images, styles), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("smoothness", [1, 5])
def test_r1_acts_as_if_the_discriminator_saw_the_plain_film_alone(smoothness):
    """Without its gains a network has a quarter of the input's power: twice the logits, four times the penalty."""
    films = torch.randn(24, 1, 64, 64, generator=random_generator("cpu", "test"))
    films = functional.avg_pool2d(films, smoothness, stride=1, padding=smoothness // 2)
    with_bands, plain = [], []
    for seed in range(12):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            discriminator = Discriminator(64, 512, 32)
        discriminator.bands.fit(films)
        for found in (with_bands, plain):
            shown = films[:8].clone().requires_grad_()
            found.append(float(r1_penalty(discriminator(shown), shown).detach()))
            discriminator.bands.gains.zero_()
    acts = np.median(np.array(with_bands) / (4 * np.array(plain))) / float(discriminator.bands.magnification)
    assert 0.4 < acts < 2.5
