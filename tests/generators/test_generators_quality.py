from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cxrlib.errors import InputError
from cxrlib.generators.quality import (
    frechet_distance,
    judge_of,
    left_from_right,
    neighbour_measures,
    side_distance,
)


def with_moments(count, mean, covariance, random):
    """Rows whose sample mean and sample covariance are exactly those asked for."""
    rows = random.normal(size=(count, len(mean)))
    rows = rows - rows.mean(0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False)).T)
    return rows @ np.linalg.cholesky(covariance).T + mean


@pytest.mark.parametrize("counts", [(40, 60), (7, 9)], ids=["more films than features", "fewer"])
def test_frechet_distance_equals_the_formula_with_a_matrix_root(counts):
    random = np.random.default_rng(5)
    a, b = (random.normal(shift, 1 + shift, (count, 12)) for count, shift in zip(counts, (0, 0.4), strict=True))
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The root of a singular product is taken between symmetric roots, which always exist.
    values, vectors = np.linalg.eigh(of_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ of_b @ root).clip(0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a) + np.trace(of_b) - 2 * overlap
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    if min(counts) > 12:
        overlap = np.trace(scipy.linalg.sqrtm(of_a @ of_b)).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a) + np.trace(of_b) - 2 * overlap
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_normal_distributions_is_that_of_the_closed_form():
    random = np.random.default_rng(6)
    spreads_a, spreads_b = np.array([1.0, 2.0, 0.5]), np.array([2.0, 1.0, 0.5])
    mean_a, mean_b = np.zeros(3), np.array([3.0, 4.0, 0.0])
    a = with_moments(50, mean_a, np.diag(spreads_a**2), random)
    b = with_moments(80, mean_b, np.diag(spreads_b**2), random)
    # Of axis-parallel normal distributions: |difference of means|² + |difference of spreads|² = 25 + 2.
    assert frechet_distance(a, b) == pytest.approx(27, rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_one_distribution_falls_with_the_number_of_films():
    random = np.random.default_rng(7)
    few, many = (frechet_distance(*random.normal(0, 1, (2, count, 32))) for count in (40, 640))
    assert few > 5 * many > 0


def measured_by_definition(real, synthetic, neighbours):
    """Pair by pair, as the papers write it."""

    def distance(x, y):
        return np.sqrt(((x - y) ** 2).sum())

    def radius(index, films):
        others = sorted(distance(films[index], film) for place, film in enumerate(films) if place != index)
        return others[neighbours - 1]

    real_radii = [radius(index, real) for index in range(len(real))]
    synthetic_radii = [radius(index, synthetic) for index in range(len(synthetic))]
    inside = [[distance(x, y) <= r for x, r in zip(real, real_radii, strict=True)] for y in synthetic]
    reached = [any(distance(x, y) <= r for y, r in zip(synthetic, synthetic_radii, strict=True)) for x in real]
    return {
        "precision": np.mean([any(row) for row in inside]),
        "recall": np.mean(reached),
        "density": np.sum(inside) / (neighbours * len(synthetic)),
        "coverage": np.mean(np.any(inside, axis=0)),
    }


@pytest.mark.parametrize("neighbours", [1, 3, 5])
@pytest.mark.parametrize(("shift", "spread"), [(0.0, 1.0), (0.8, 0.4), (0.0, 2.0)])
def test_neighbour_measures_equal_their_definition(neighbours, shift, spread):
    random = np.random.default_rng(8)
    real, synthetic = random.normal(0, 1, (31, 4)), random.normal(shift, spread, (23, 4))
    expected = measured_by_definition(real, synthetic, neighbours)
    # A million added to every feature is what a careless difference of squares would not survive.
    for moved in (0.0, 1e6):
        assert neighbour_measures(real + moved, synthetic + moved, neighbours) == pytest.approx(expected)


def test_neighbour_measures_tell_narrow_films_from_strange_ones():
    random = np.random.default_rng(9)
    real, again = random.normal(0, 1, (2, 300, 8))
    same = neighbour_measures(real, again)
    assert min(same["precision"], same["recall"], same["coverage"]) > 0.9
    assert same["density"] == pytest.approx(1, abs=0.1)
    narrow = neighbour_measures(real, 0.3 * again)
    assert narrow["precision"] > 0.99
    assert narrow["recall"] < 0.2
    wide = neighbour_measures(real, 3 * again)
    assert wide["precision"] < 0.2
    assert wide["recall"] > 0.9
    far = neighbour_measures(real, again + 50)
    assert far == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (9, 3), elements=st.floats(-100, 100, width=32)))
def test_films_measured_against_themselves_are_all_found(films):
    found = neighbour_measures(films, films, 3)
    assert found["precision"] == found["recall"] == found["coverage"] == 1
    # Every film is in its own ball and in those of which it is a neighbour: at least 4 balls of 3 on average.
    assert found["density"] >= 4 / 3 - 1e-9


def test_one_outlying_real_film_misleads_precision_but_not_density():
    random = np.random.default_rng(10)
    real, strange = random.normal(0, 1, (100, 4)), random.normal(0, 1, (100, 4)) + np.array([15.0, 0, 0, 0])
    outlier = np.concatenate([real, [[30.0, 0, 0, 0]]])
    assert neighbour_measures(real, strange)["precision"] == 0
    misled = neighbour_measures(outlier, strange)
    assert misled["precision"] > 0.9
    assert misled["density"] < 0.25


def test_measures_refuse_too_few_or_unequal_features():
    films = np.zeros((5, 4))
    with pytest.raises(InputError, match=r"neighbours \+ 1 = 6"):
        neighbour_measures(films, np.zeros((9, 4)))
    with pytest.raises(InputError, match="not all finite"):
        neighbour_measures(np.zeros((9, 4)), np.full((9, 4), np.inf))
    with pytest.raises(InputError, match="at least 2"):
        frechet_distance(films[:1], films)
    with pytest.raises(InputError, match="4 features in the first set, 3 in the second"):
        frechet_distance(films, np.zeros((5, 3)))
    with pytest.raises(ValueError, match="neighbours = 0"):
        neighbour_measures(films, films, 0)


def test_a_mirrored_set_is_seen_by_the_distance_of_sides_and_by_nothing_symmetric():
    random = np.random.default_rng(12)
    films = random.integers(90, 110, (30, 32, 32)).astype(np.uint8)
    films[:, 8:24, 20:28] += 60
    first, second, mirrored = (left_from_right(part) for part in (films[:15], films[15:], films[15:, :, ::-1]))
    assert first.shape == (15, 16, 16)
    assert side_distance(first, second) < 3
    assert side_distance(first, mirrored) > 15
    assert side_distance(first, mirrored) == pytest.approx(side_distance(mirrored, first))


@pytest.mark.parametrize(
    ("network", "weights", "judge"),
    [
        ("resnet18", "none", ("efficientnet_lite0", "imagenet")),
        ("resnet50", "imagenet", ("resnet50", "imagenet")),
        # Generators learn from what it sees.
        ("efficientnet_lite1", "imagenet", ("efficientnet_lite0", "imagenet")),
    ],
)
def test_the_judge_has_trained_eyes_and_taught_no_generator(network, weights, judge):
    study = SimpleNamespace(classifier=SimpleNamespace(network=network, weights=weights))
    assert judge_of(study) == judge
