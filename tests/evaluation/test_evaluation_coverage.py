"""The 95 % intervals cover the truth 93 to 97 times in a hundred; those of a bootstrap over films do not.

Simulated classifiers whose performance is known in closed form answer for patients with one to four films each. What a
film gets is its label's mean, ±1.1, plus a deviation of its patient (standard deviation 1) and its own (0.5).
"""

import numpy as np
import pytest
from scipy import integrate, stats

from cxrlib.evaluation.resampled import answer_intervals, quantity, resample_all
from cxrlib.evaluation.scores import Scores
from cxrlib.evaluation.uncertainty import bootstrap_bounds

RESAMPLES = 250
# Trials, and the shares of 95 % intervals that may cover: 95 ± 2, and what chance adds to that where trials are few.
SIMULATIONS = [(200, 0.91, 0.985), pytest.param(1000, 0.93, 0.97, marks=pytest.mark.long)]
MEAN, BETWEEN, WITHIN, STEEPNESS = 1.1, 1.0, 0.5, 1.2
SPREAD = np.hypot(BETWEEN, WITHIN)
HIT = stats.norm.cdf(MEAN / SPREAD)


def truth():
    """Of a film's latent value z, normal in both labels: shares and area in closed form; the posterior log-odds are
    2·1.1 z / (1² + 0.5²), so the slope on logit(p) = 1.2 z is their ratio; the Brier score is one integral."""

    def squared_error(z):
        return stats.norm.pdf(z, MEAN, SPREAD) / (1 + np.exp(STEEPNESS * z)) ** 2

    return {
        "accuracy": HIT,
        "precision_positive": HIT,
        "recall_positive": HIT,
        "recall_negative": HIT,
        "mcc": 2 * HIT - 1,
        "roc_auc": stats.norm.cdf(np.sqrt(2) * MEAN / SPREAD),
        "brier": integrate.quad(squared_error, -10, 12)[0],
        "calibration_slope": 2 * MEAN / SPREAD**2 / STEEPNESS,
    }


def simulated(random, patients=150):
    """Scores of one run of one arm."""
    films = random.integers(1, 5, patients)
    who = np.repeat(np.arange(patients), films)
    labels = random.integers(0, 2, patients)[who]
    z = MEAN * (2 * labels - 1) + random.normal(0, BETWEEN, patients)[who]
    z = (z + random.normal(0, WITHIN, len(who)))[None]
    p = 1 / (1 + np.exp(-STEEPNESS * z))
    names = np.arange(len(who)).astype(str), labels, np.arange(patients).astype(str), who
    return Scores("hospital", "baseline", (0,), (0,), *names, np.full(len(who), "all"), p, p, np.full_like(p, 0.5))


@pytest.mark.parametrize(("trials", "least", "most"), SIMULATIONS)
def test_intervals_over_patients_cover_the_truth(trials, least, most):
    random = np.random.default_rng(20)
    expected = truth()
    covered = dict.fromkeys(expected, 0)
    for trial in range(trials):
        found = resample_all({"baseline": simulated(random)}, seed=trial, resamples=RESAMPLES)["baseline"]
        bounds = found.over_patients()
        for name, value in expected.items():
            low, high = bounds[quantity(name)]
            covered[name] += low <= value <= high
    shares = {name: number / trials for name, number in covered.items()}
    assert all(least <= share <= most for share in shares.values()), shares


@pytest.mark.parametrize(("trials", "least", "most"), SIMULATIONS)
def test_intervals_over_films_do_not(trials, least, most):
    random = np.random.default_rng(21)
    covered = {"patients": 0, "films": 0}
    for trial in range(trials):
        scores = simulated(random)
        predicted = scores.predicted("fixed")[0]
        for name, units in (("patients", scores.patients), ("films", np.arange(len(predicted)))):
            found = answer_intervals(scores.labels, predicted, units, seed=trial, resamples=RESAMPLES)
            covered[name] += found["recall_positive"].low <= HIT <= found["recall_positive"].high
    assert least <= covered["patients"] / trials <= most
    assert covered["films"] / trials < 0.85


@pytest.mark.parametrize("size", [12, 60])
def test_the_bounds_are_those_of_scipys_bca_but_for_students_t(size):
    """A mean of a skewed sample; with so many patients that t is normal, the bounds are scipy's."""
    sample = np.random.default_rng(5).exponential(size=size)
    random = np.random.default_rng(6)
    drawn = sample[random.integers(0, size, (20_000, size))].mean(axis=1)
    left_out = (sample.sum() - sample) / (size - 1) - sample.mean()
    arguments = np.array([sample.mean()]), drawn[:, None], left_out[:, None]
    found = bootstrap_bounds(*arguments, np.array([np.inf]))[0]
    expected = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="BCa", rng=7).confidence_interval
    assert found == pytest.approx([expected.low, expected.high], abs=0.03)
    wider = bootstrap_bounds(*arguments, np.array([size]))[0]
    assert wider[0] < found[0] < found[1] < wider[1]
