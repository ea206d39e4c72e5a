"""The mean of a share over films: its interval is over patients."""

import numpy as np
import pytest
from scipy import stats

from cxrlib.evaluation.uncertainty import mean_over_films


def test_with_one_film_each_it_is_scipy_s_bootstrap_of_the_mean():
    values = np.random.default_rng(0).beta(4, 6, 80)
    found = mean_over_films(values, np.arange(80), seed=1, resamples=20_000)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_copies_of_a_film_under_the_same_patient_make_nothing_more_certain():
    values, patients = np.random.default_rng(0).beta(4, 6, 40), np.arange(40)
    once, thrice = (mean_over_films(np.repeat(values, n), np.repeat(patients, n), seed=1) for n in (1, 3))
    assert (once.low, once.high) == pytest.approx((thrice.low, thrice.high))
    as_if_independent = mean_over_films(np.repeat(values, 3), np.arange(120), seed=1)
    assert as_if_independent.high - as_if_independent.low < 0.7 * (once.high - once.low)


def test_one_patient_has_an_estimate_without_an_interval_and_no_film_has_none():
    found = mean_over_films(np.array([0.2, 0.4]), np.array(["a", "a"]), seed=0)
    assert found.estimate == pytest.approx(0.3)
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(mean_over_films(np.array([]), np.array([]), seed=0).estimate)
