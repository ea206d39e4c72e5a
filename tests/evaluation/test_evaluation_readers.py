"""Readers against chance: published intervals, statsmodels' equivalence test, coverage in simulated readings."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import binom_tost

from cxrlib.evaluation.readers import (
    CHANCE,
    MARGIN,
    area_interval,
    areas_by_reader,
    clustered_wilson,
    equivalence_p,
    exact_interval,
    means_by_reader,
    medians_by_reader,
    over_readers,
    share_of_answers,
    step_area,
)
from cxrlib.evaluation.uncertainty import wilson_interval


@pytest.mark.parametrize(
    ("right", "total", "exact", "wilson"),
    [
        # Newcombe (1998, Statistics in Medicine 17, 857), Table I, methods 5 and 3.
        (81, 263, (0.2527, 0.3676), (0.2553, 0.3662)),
        (15, 148, (0.0578, 0.1617), (0.0624, 0.1605)),
        (0, 20, (0.0000, 0.1684), (0.0000, 0.1611)),
        (1, 29, (0.0009, 0.1776), (0.0061, 0.1718)),
    ],
)
def test_intervals_of_newcombes_table(right, total, exact, wilson):
    found = exact_interval(right, total)
    assert (found.low, found.high) == pytest.approx(exact, abs=5e-5)
    score = wilson_interval(right, total)
    assert (score.low, score.high) == pytest.approx(wilson, abs=5e-5)


def test_without_answers_nothing_is_excluded():
    found = share_of_answers(0, 0)
    assert (found.interval.low, found.interval.high, found.p_equivalence) == (0, 1, 1)
    assert np.isnan(found.p_chance)


@pytest.mark.parametrize(("right", "total"), [(20, 40), (100, 200), (150, 300), (165, 300), (180, 300), (0, 12)])
def test_equivalence_agrees_with_statsmodels_and_with_the_exact_90_per_cent_interval(right, total):
    assert equivalence_p(right, total) == pytest.approx(binom_tost(right, total, 0.4, 0.6)[0], abs=1e-12)
    inner = exact_interval(right, total, 0.90)
    assert (equivalence_p(right, total) < 0.05) == (inner.low > 0.4 and inner.high < 0.6)


def test_few_answers_differ_neither_from_chance_nor_are_they_equivalent_to_it():
    few, many = share_of_answers(20, 40), share_of_answers(200, 400)
    assert few.p_chance > 0.05
    assert few.p_equivalence > 0.05
    assert many.p_chance > 0.05
    assert many.p_equivalence < 0.05


def test_the_test_against_chance_is_the_exact_one():
    assert share_of_answers(15, 20).p_chance == pytest.approx(2 * stats.binom.sf(14, 20, 0.5))


def test_area_of_steps_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    steps, real = random.integers(0, 6, 50), np.arange(50) % 3 == 0
    counts = [np.bincount(steps[kind], minlength=6) for kind in (real, ~real)]
    assert step_area(*counts) == pytest.approx(roc_auc_score(real, steps), abs=1e-12)
    assert np.isnan(step_area(counts[0], np.zeros(6)))


def test_area_interval_has_a_width_without_any_mistake_and_covers():
    perfect = area_interval(1.0, 20, 20)
    assert perfect.high == 1
    assert 0.8 < perfect.low < 0.95
    random, truth = np.random.default_rng(4), stats.norm.cdf(1.0)
    inside = 0
    for _ in range(400):
        values = np.concatenate([random.normal(np.sqrt(2), 1, 25), random.normal(0, 1, 25)])
        found = area_interval(roc_auc_score(np.arange(50) < 25, values), 25, 25)
        inside += found.low <= truth <= found.high
    assert 0.92 <= inside / 400 <= 0.985


def crossed(random, readers, films, spread_readers, spread_films):
    """Right answers (readers, films) where readers and films differ in how easy they are."""
    ease = random.normal(0, spread_readers, readers)[:, None] + random.normal(0, spread_films, films)
    return (ease + random.normal(0, 1, (readers, films)) > 0).astype(float)


def test_intervals_over_readers_hold_for_readers_and_films_that_were_not_there():
    random, films = np.random.default_rng(5), 40
    strata = np.repeat([0, 1], films // 2)
    inside = []
    for seed in range(150):
        right = crossed(random, 5, films, 0.5, 0.7)
        found = over_readers(means_by_reader(right), strata, 5, seed=seed, resamples=300).interval
        inside.append(found.low <= 0.5 <= found.high)
    # The readers' part of the spread rests on five of them, so that a little less than 95 % is all that can be had.
    assert 0.86 <= np.mean(inside) <= 0.99


def test_readers_who_differ_widen_the_interval_beyond_that_of_pooled_answers():
    right = np.array([[1.0] * 36 + [0.0] * 4, [0.0] * 28 + [1.0] * 12, [1.0, 0.0] * 20])
    found = over_readers(means_by_reader(right), np.zeros(40), 3, seed=1)
    pooled = exact_interval(int(right.sum()), right.size)
    assert found.interval.high - found.interval.low > 1.5 * (pooled.high - pooled.low)
    assert found.interval.low < found.inner.low < found.interval.estimate < found.inner.high < found.interval.high


def test_one_reader_is_not_drawn_anew():
    right = np.array([[1.0] * 30 + [0.0] * 10])
    found = over_readers(means_by_reader(right), np.zeros(40), 1, seed=1).interval
    exact = exact_interval(30, 40)
    assert found.estimate == 0.75
    assert found.high - found.low == pytest.approx(exact.high - exact.low, rel=0.15)


def test_readers_who_saw_other_films_count_by_what_they_saw():
    right = np.array([[1.0, 1.0, np.nan, np.nan], [np.nan, np.nan, 0.0, 1.0]])
    assert means_by_reader(right)(np.ones((1, 4))).tolist() == [[1.0, 0.5]]
    assert over_readers(means_by_reader(right), np.zeros(4), 2, seed=1).interval.estimate == 0.75


def test_areas_by_reader_with_gaps_and_weights_count_films_as_often_as_they_are_drawn():
    random = np.random.default_rng(2)
    steps, real = random.integers(-1, 6, (2, 30)), np.arange(30) % 2 == 0
    weights = random.integers(0, 3, 30)
    (found,) = areas_by_reader(steps, real, 6)(weights[None].astype(float))
    for reader in (0, 1):
        rows = np.repeat(np.flatnonzero(steps[reader] >= 0), weights[steps[reader] >= 0])
        assert found[reader] == pytest.approx(roc_auc_score(real[rows], steps[reader][rows]), abs=1e-12)


def test_equivalence_over_readers_needs_the_inner_interval_inside_the_margins():
    random = np.random.default_rng(8)
    many, few = random.integers(0, 2, (4, 600)).astype(float), random.integers(0, 2, (4, 30)).astype(float)
    sure = over_readers(means_by_reader(many), np.zeros(600), 4, seed=1, resamples=500).inner
    assert CHANCE - MARGIN < sure.low < sure.high < CHANCE + MARGIN
    unsure = over_readers(means_by_reader(few), np.zeros(30), 4, seed=1, resamples=500)
    assert not CHANCE - MARGIN < unsure.inner.low < unsure.inner.high < CHANCE + MARGIN
    assert unsure.interval.low <= CHANCE <= unsure.interval.high


@pytest.mark.parametrize("films", [7, 8])
def test_medians_by_reader_are_medians(films):
    random = np.random.default_rng(films)
    values = random.integers(1, 6, (3, films)).astype(float)
    values[1, :2] = np.nan
    weights = random.integers(0, 3, films)
    (found,) = medians_by_reader(values, 5)(weights[None].astype(float))
    for reader in range(3):
        repeated = np.repeat(values[reader], weights)
        assert found[reader] == np.nanmedian(repeated)
    assert np.isnan(medians_by_reader(np.full((1, 2), np.nan), 5)(np.ones((1, 2)))).all()


@pytest.mark.parametrize(("hits", "films"), [(3, 20), (0, 20), (20, 20), (11, 35)])
def test_wilson_of_films_is_wilsons_own_with_one_answer_each_and_gains_nothing_from_copies(hits, films):
    answers = np.arange(films) < hits
    expected = wilson_interval(hits, films)
    once = clustered_wilson(answers, np.arange(films))
    # Where answers differ, n − 1 films in the place of n widen the interval a little; nothing is ever narrower.
    assert (once.low, once.high) == pytest.approx((expected.low, expected.high), abs=0.012)
    copied = clustered_wilson(np.tile(answers, 3), np.tile(np.arange(films), 3))
    assert (copied.estimate, copied.low, copied.high) == pytest.approx((hits / films, expected.low, expected.high))
    independent = clustered_wilson(np.resize([1, 0], 3 * films), np.tile(np.arange(films), 3))
    assert independent.high - independent.low < 2 * 0.98 / np.sqrt(films)


def test_nothing_marked_because_nothing_was_read():
    assert np.isnan(clustered_wilson(np.array([]), np.array([])).estimate)
