import warnings

import numpy as np
import pytest

from cxrlib.errors import InputError
from cxrlib.gan.quality import kernel_distance, nearest_images


def unbiased_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared maximum mean discrepancy by its definition, pair by pair."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / len(x) + 1) ** 3

    within_a = np.mean([kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    within_b = np.mean([kernel(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    return within_a + within_b - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_kernel_distance_equals_its_definition():
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, (20, 6)), random.normal(0.5, 1, (20, 6))
    estimate, low, high = kernel_distance(a, b, subsets=1, subset_size=20, seed=1)
    assert estimate == pytest.approx(unbiased_distance(a, b), rel=1e-10)
    assert low == estimate == high


def test_kernel_distance_is_about_zero_between_equals_and_grows_with_a_shift():
    random = np.random.default_rng(1)
    a, b = random.normal(0, 1, (2, 400, 32)).astype(np.float32)
    estimate, low, high = kernel_distance(a, b, subsets=30, subset_size=200, seed=1)
    assert low < 0 < high
    assert abs(estimate) < 0.02
    shifted, _, _ = kernel_distance(a, b + 0.5, subsets=30, subset_size=200, seed=1)
    assert shifted > 10 * abs(estimate)


def test_kernel_distance_repeats_by_seed_and_warns_of_nothing():
    a, b = np.random.default_rng(2).normal(0, 1, (2, 50, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = kernel_distance(a, b, subsets=5, subset_size=25, seed=3)
    assert first == kernel_distance(a, b, subsets=5, subset_size=25, seed=3)
    assert first != kernel_distance(a, b, subsets=5, subset_size=25, seed=4)


def test_kernel_distance_refuses_too_few_or_broken_features():
    a = np.zeros((10, 4))
    with pytest.raises(InputError, match="subset_size = 20"):
        kernel_distance(a, a, subsets=2, subset_size=20, seed=0)
    with pytest.raises(InputError, match="not all finite"):
        kernel_distance(a, np.full((10, 4), np.nan), subsets=2, subset_size=5, seed=0)


def test_nearest_images_equal_brute_force():
    random = np.random.default_rng(3)
    synthetic, real = (random.integers(0, 256, (count, 64, 64), dtype=np.uint8) for count in (7, 30))
    index, distance = nearest_images(synthetic, real)
    small = [films.reshape(-1, 32, 2, 32, 2).mean((2, 4)) for films in (synthetic, real)]
    table = np.sqrt(((small[0][:, None] - small[1][None]) ** 2).mean((2, 3)))
    np.testing.assert_array_equal(index, table.argmin(1))
    np.testing.assert_allclose(distance, table.min(1), rtol=1e-10)


def test_nearest_image_of_a_copy_is_its_original_at_distance_zero():
    real = np.random.default_rng(4).integers(0, 256, (9, 32, 32), dtype=np.uint8)
    index, distance = nearest_images(real[[4, 2]], real)
    assert index.tolist() == [4, 2]
    assert distance.tolist() == [0, 0]
    with pytest.raises(InputError, match="no real film"):
        nearest_images(real, real[:0])
