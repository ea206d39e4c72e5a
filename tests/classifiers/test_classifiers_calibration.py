"""What validation decides: temperature and threshold, against scipy's and scikit-learn's own ways there."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.metrics import log_loss, roc_curve

from cxrlib.classifiers.calibration import (
    ALL_ALIKE,
    ALL_SURE,
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    NO_TEMPERATURE,
    calibrated,
    decided_by_validation,
    fit_temperature,
    remarks,
    youden_threshold,
)
from cxrlib.errors import InputError


def overconfident(seed, temperature, films=4000):
    """Labels drawn from the true probabilities, and answers whose log-odds are `temperature` times too large."""
    random = np.random.default_rng(seed)
    truth = random.normal(0, 1.5, films)
    return expit(truth * temperature), (random.random(films) < expit(truth)).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_is_that_of_the_smallest_log_loss(temperature):
    p_positive, labels = overconfident(1, temperature)
    expected = minimize_scalar(
        lambda log_t: log_loss(labels, calibrated(p_positive, np.exp(log_t))), bounds=(-3, 3), options={"xatol": 1e-8}
    )
    found = fit_temperature(p_positive, labels)
    assert found == pytest.approx(np.exp(expected.x), rel=1e-5)
    assert found == pytest.approx(temperature, rel=0.12)


def test_temperature_has_its_closed_form_where_all_answers_are_equally_sure():
    """Right three times of four whenever it says 0.9: the best temperature makes 0.9 into 0.75."""
    p_positive = np.array([0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1])
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1])
    assert fit_temperature(p_positive, labels) == pytest.approx(np.log(9) / np.log(3), rel=1e-8)
    np.testing.assert_allclose(calibrated(p_positive[:1], np.log(9) / np.log(3)), 0.75, rtol=1e-8)


def test_temperature_stays_finite_at_the_extremes():
    sure = np.array([0.0, 0.2, 0.7, 1.0])
    assert fit_temperature(sure, np.array([0, 0, 1, 1])) == LOWEST_TEMPERATURE
    assert fit_temperature(sure, np.array([1, 1, 0, 0])) == HIGHEST_TEMPERATURE
    assert fit_temperature(np.full(4, 0.5), np.array([0, 1, 0, 1])) == 1.0
    assert np.isfinite(calibrated(sure, 0.05)).all()


def test_a_temperature_at_its_limit_is_not_applied_and_said():
    sure, labels = np.array([0.0, 0.2, 0.7, 1.0]), np.array([0, 0, 1, 1])
    assert decided_by_validation(sure, labels)["temperature"] == 1.0
    assert remarks(sure, labels) == [NO_TEMPERATURE]
    assert remarks(np.array([0.2, 0.7, 0.3, 0.8]), np.array([0, 1, 1, 1])) == []


@pytest.mark.parametrize(
    ("p_positive", "said"),
    [(np.ones(100), ALL_ALIKE), (np.full(100, 0.3), ALL_ALIKE), (np.repeat([0.0, 1.0], 50), ALL_SURE)],
)
def test_probabilities_that_no_longer_tell_films_apart_are_remarked(p_positive, said):
    assert said in remarks(p_positive, np.tile([0, 1], 50))


def test_calibration_keeps_the_order_of_the_films():
    p_positive, _ = overconfident(2, 2.0, films=200)
    np.testing.assert_array_equal(np.argsort(calibrated(p_positive, 3.3)), np.argsort(p_positive))


@pytest.mark.parametrize("seed", range(5))
def test_threshold_has_the_largest_youden_index_of_the_roc_curve(seed):
    p_positive, labels = overconfident(seed, 2.0, films=300)
    p_positive = p_positive.round(2) * 0.6
    false_positive_rate, sensitivity, _ = roc_curve(labels, p_positive)
    chosen = youden_threshold(p_positive, labels)
    answers = p_positive >= chosen
    found = answers[labels == 1].mean() - answers[labels == 0].mean()
    assert found == pytest.approx((sensitivity - false_positive_rate).max(), abs=1e-12)


@pytest.mark.parametrize(
    ("p_positive", "labels", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 0.5),
        ([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], 0.25),
        ([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1], 0.75),
        # 0.15 and 0.35 are equally good; 0.35 is nearer to 0.5.
        ([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], 0.35),
        ([0.4, 0.4], [0, 1], 0.5),
    ],
)
def test_of_equal_thresholds_the_nearest_to_one_half_is_taken(p_positive, labels, expected):
    assert youden_threshold(np.array(p_positive), np.array(labels)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decide", [fit_temperature, youden_threshold])
def test_validation_that_can_decide_nothing_is_refused(decide):
    with pytest.raises(InputError, match="found 2 films, none of them positive"):
        decide(np.array([0.1, 0.2]), np.array([0, 0]))
    with pytest.raises(InputError, match="none of them negative"):
        decide(np.array([0.1, 0.2]), np.array([1, 1]))
    with pytest.raises(InputError, match="1 of 2 probabilities that are not from 0 to 1"):
        decide(np.array([0.1, np.nan]), np.array([0, 1]))
