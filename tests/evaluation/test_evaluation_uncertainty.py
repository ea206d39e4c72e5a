"""Intervals: against scipy, and that they cover where patients have several films."""

import numpy as np
import pytest
from scipy import stats

from cxrlib.evaluation.metrics import METRICS, metrics_from_counts, threshold_metrics
from cxrlib.evaluation.uncertainty import (
    metric_intervals,
    paired_differences,
    patient_counts,
    unpaired_differences,
    wilson_interval,
)

RECALL = METRICS.index("recall_positive")
ACCURACY = METRICS.index("accuracy")


def clustered_counts(random, patients=60, films=4, seeds=2, recall=0.8):
    """Positive patients whose films are all found or all missed, in every seed alike: (seeds, patients, 4)."""
    found = random.random(patients) < recall
    counts = np.zeros((seeds, patients, 4))
    counts[:, found, 0] = films
    counts[:, ~found, 1] = films
    return counts


def test_patient_counts_sum_to_the_films_and_give_scikit_learns_metrics():
    random = np.random.default_rng(0)
    patients = random.choice([f"p{number}" for number in range(30)], 100)
    labels, predicted = random.integers(0, 2, 100), random.integers(0, 2, 100)
    counts = patient_counts(patients, labels, predicted, np.unique(patients))
    assert counts.sum() == 100
    expected = list(threshold_metrics(labels, predicted).values())
    assert metrics_from_counts(counts.sum(axis=0)) == pytest.approx(expected, abs=1e-12)


def test_interval_of_a_proportion_agrees_with_scipy():
    """One film a patient and one seed: the bootstrap of accuracy is the bootstrap of a mean."""
    random = np.random.default_rng(1)
    right = (random.random(150) < 0.8).astype(float)
    counts = np.stack([right, 1 - right, 0 * right, 0 * right], axis=1)[None]
    found = metric_intervals(counts, seed=5, resamples=4000)[ACCURACY]
    reference = stats.bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=9).confidence_interval
    assert found.estimate == pytest.approx(right.mean(), abs=1e-12)
    assert found.low == pytest.approx(reference.low, abs=0.01)
    assert found.high == pytest.approx(reference.high, abs=0.01)


def test_same_seed_same_interval():
    counts = clustered_counts(np.random.default_rng(2))
    assert metric_intervals(counts, seed=1, resamples=300) == metric_intervals(counts, seed=1, resamples=300)


def test_intervals_over_patients_cover_where_those_over_films_do_not():
    random = np.random.default_rng(3)
    covered = {"patients": 0, "films": 0}
    for trial in range(120):
        counts = clustered_counts(random)
        by_film = np.repeat(counts, 4, axis=1) / 4
        for name, table in (("patients", counts), ("films", by_film)):
            interval = metric_intervals(table, seed=trial, resamples=300)[RECALL]
            covered[name] += interval.low <= 0.8 <= interval.high
    assert covered["patients"] >= 105
    assert covered["films"] <= 90


def test_seeds_that_err_alike_do_not_narrow_the_interval():
    random = np.random.default_rng(4)
    one = clustered_counts(random, seeds=1)
    five = np.repeat(one, 5, axis=0)
    alone, together = (metric_intervals(counts, seed=1)[RECALL] for counts in (one, five))
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=1e-9)


def test_difference_of_an_arm_to_itself_is_zero():
    counts = clustered_counts(np.random.default_rng(5))
    for interval in paired_differences(counts, counts, seed=1, resamples=200):
        assert (interval.estimate, interval.low, interval.high) == (0, 0, 0)


def test_paired_difference_is_narrower_than_unpaired_where_films_are_hard_for_both():
    random = np.random.default_rng(6)
    reference = clustered_counts(random, recall=0.6)
    better = reference.copy()
    missed = np.flatnonzero(reference[0, :, 1])[:6]
    better[:, missed] = [4, 0, 0, 0]
    paired = paired_differences(better, reference, seed=1)[RECALL]
    unpaired = unpaired_differences(better, reference, seed=1)[RECALL]
    assert paired.estimate == pytest.approx(0.1)
    assert unpaired.estimate == pytest.approx(0.1)
    assert paired.low > 0 > unpaired.low


def test_arms_may_have_different_numbers_of_seeds_but_not_of_patients():
    random = np.random.default_rng(7)
    three, two = clustered_counts(random, seeds=3), clustered_counts(random, seeds=2)
    difference = paired_differences(three, two, seed=1, resamples=200)[RECALL]
    sums = [metrics_from_counts(part.sum(axis=1)).mean(axis=0)[RECALL] for part in (three, two)]
    assert difference.estimate == pytest.approx(sums[0] - sums[1])
    with pytest.raises(ValueError, match="60 and 59 patients"):
        paired_differences(three, two[:, :59], seed=1)


def test_wilson_interval_of_no_failure_has_width():
    interval = wilson_interval(20, 20)
    assert interval.high == pytest.approx(1)
    assert 0.8 < interval.low < 0.9
