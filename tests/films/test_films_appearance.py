"""What is measured on films agrees with films whose sharpness and noise are known."""

import numpy as np
import pandas as pd
import pytest

from cxrlib.films import appearance


def power_law_films(exponent, count=8, size=64, seed=0):
    """Random films whose power falls as frequency to the given exponent."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(size=(count, size, size))) * frequency ** (exponent / 2)
    films = np.fft.irfft2(spectrum, s=(size, size))
    return films / films.std() * 30 + 128


@pytest.mark.parametrize("exponent", [-1.0, -2.0, -3.0])
def test_sharpness_is_the_exponent_of_the_power_spectrum(exponent):
    assert appearance.spectral_slope(power_law_films(exponent)).mean() == pytest.approx(exponent, abs=0.2)


def test_sharpness_does_not_change_with_contrast_and_falls_with_blur():
    from scipy.ndimage import gaussian_filter

    films = power_law_films(-2.0)
    np.testing.assert_allclose(appearance.spectral_slope(films / 3 + 50), appearance.spectral_slope(films), atol=1e-6)
    blurred = gaussian_filter(films, (0, 1, 1))
    assert (appearance.spectral_slope(blurred) < appearance.spectral_slope(films) - 1).all()


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_noise_is_found_on_a_film_with_slopes_an_edge_and_a_black_margin(sigma):
    y, x = np.mgrid[0:96, 0:96]
    films = np.repeat((60 + 0.6 * x + 0.3 * y + 40 * (x > 48))[None], 6, axis=0)
    films += np.random.default_rng(0).normal(0, sigma, films.shape)
    assert appearance.noise_level(films).mean() == pytest.approx(sigma, rel=0.07)
    films[:, :8] = 0
    assert appearance.noise_level(films).mean() == pytest.approx(sigma, rel=0.2)


def test_films_are_measured_one_by_one_whatever_the_block():
    films = np.random.default_rng(0).integers(0, 256, (300, 32, 32), dtype=np.uint8)
    table = appearance.measure_films(films)
    assert list(table) == list(appearance.MEASURES)
    assert len(table) == 300
    alone = appearance.measure_films(films[270:271])
    np.testing.assert_allclose(table.loc[270], alone.loc[0])
    assert table.loc[7, "brightness"] == pytest.approx(films[7].mean())
    assert table.loc[7, "contrast"] == pytest.approx(films[7].std())


def test_a_film_of_one_grey_is_measured_without_a_word():
    table = appearance.measure_films(np.full((2, 32, 32), 90, np.uint8))
    assert table.loc[0].tolist() == [90, 0, 0, 0]


def test_neighbours_of_other_patients_tell_groups_apart_or_not():
    random = np.random.default_rng(0)
    groups = np.repeat(["a", "b"], 60)
    patients = np.arange(120).astype(str)
    apart = random.normal(size=(120, 5)) + 20 * (groups == "a")[:, None]
    assert appearance.share_of_like_neighbours(apart, groups, patients) == 1
    mixed = appearance.share_of_like_neighbours(random.normal(size=(120, 5)), groups, patients)
    assert mixed == pytest.approx(0.5, abs=0.08)


def test_a_patient_s_own_films_are_no_neighbours():
    """Each patient's films coincide; nearest of *other* patients is always the other group."""
    positions = np.array([0.0, 0.0, 1.0, 1.0])[:, None]
    groups = np.array(["a", "a", "b", "b"])
    assert appearance.share_of_like_neighbours(positions, groups, np.array(["p", "p", "q", "q"]), count=2) == 0


def test_the_map_keeps_clusters_together_and_repeats_itself():
    random = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 30)
    features = random.normal(size=(90, 12)) + 15 * np.eye(12)[groups]
    points = appearance.map_of_films(features, seed=3)
    assert points.shape == (90, 2)
    np.testing.assert_array_equal(points, appearance.map_of_films(features, seed=3))
    centres = pd.DataFrame(points).groupby(groups).mean().to_numpy()
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == groups).mean() == 1
