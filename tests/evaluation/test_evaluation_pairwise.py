"""Strengths from judgements of pairs: closed forms, logistic regression, and whether intervals hold the truth."""

import numpy as np
import pytest
from simulated_reader_studies import pairs_covered
from sklearn.linear_model import LogisticRegression

from cxrlib.evaluation.pairwise import compare_with_first, preferred_to_first, strengths


def test_two_have_the_share_of_wins():
    wins = np.array([[0, 14], [6, 0]])
    assert preferred_to_first(wins)[1] == pytest.approx(6.5 / 21)
    assert preferred_to_first(wins)[0] == 0.5


def test_strengths_are_those_of_logistic_regression():
    wins = np.array([[0, 12, 5, 9], [8, 0, 11, 4], [15, 9, 0, 13], [6, 3, 7, 0]]).astype(float)
    rows, outcomes, weights = [], [], []
    for i in range(4):
        for j in range(i + 1, 4):
            row = np.zeros(4)
            row[i], row[j] = 1, -1
            rows += [row, row]
            outcomes += [1, 0]
            weights += [wins[i, j] + 0.5, wins[j, i] + 0.5]
    fitted = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(rows, outcomes, weights)
    logs = fitted.coef_[0] - fitted.coef_[0].mean()
    assert np.log(strengths(wins)) == pytest.approx(logs, abs=1e-4)


def test_one_that_always_wins_has_a_strength_and_order_does_not_matter():
    wins = np.array([[0, 0, 0], [10, 0, 10], [10, 0, 0]])
    chances = preferred_to_first(wins)
    assert 0.9 < chances[2] < chances[1] < 1
    swapped = preferred_to_first(wins[np.ix_([0, 2, 1], [0, 2, 1])])
    assert swapped == pytest.approx(chances[[0, 2, 1]])


def judged(random, logs, readers, each):
    """Judgements of so many readers of so many pairs of each two; readers differ a little, and pairs by themselves."""
    number = len(logs)
    kinds = [(i, j) for i in range(number) for j in range(i + 1, number)]
    pairs = np.repeat(kinds, each, axis=0)
    apart = (np.asarray(logs)[pairs] * [1, -1]).sum(axis=1)
    wins_first = random.random((readers, len(pairs))) < 1 / (1 + np.exp(-apart))
    return np.where(wins_first, pairs[:, 0], pairs[:, 1]), pairs


@pytest.mark.parametrize(("readers", "differ"), [(3, 0.0), (3, 0.4)])
def test_intervals_hold_the_truth(readers, differ):
    """Intervals of readers and films drawn anew held it in 99 % and more, so wide were they."""
    assert 0.93 <= pairs_covered(readers, 60, 2, differ, 0.7, 400) <= 0.985


def test_the_interval_of_one_reader_holds_the_truth_for_other_films():
    assert 0.93 <= pairs_covered(1, 60, 3, 0.0, 0.7, 300) <= 0.985


def test_readers_who_differ_say_less_than_readers_alike():
    pairs = np.tile([0, 1], (40, 1))
    alike = np.array([[1, 0]] * 3).repeat(20, axis=1)
    unlike = np.stack([np.ones(40), np.zeros(40), alike[0]]).astype(int)
    (one,), (other,) = compare_with_first(alike, pairs, 2), compare_with_first(unlike, pairs, 2)
    assert one.estimate == other.estimate == 0.5
    assert other.high - other.low > 2 * (one.high - one.low)


@pytest.mark.parametrize("readers", [1, 3])
def test_where_all_agree_an_interval_has_a_width(readers):
    (found,) = compare_with_first(np.ones((readers, 30), int), np.tile([0, 1], (30, 1)), 2)
    assert 0.5 < found.low < 0.95 < found.estimate < found.high < 1


def test_of_what_was_not_compared_with_the_first_nothing_is_said():
    pairs = np.array([[0, 1]] * 10 + [[2, 3]] * 10)
    near, *far = compare_with_first(np.array([[0, 1] * 5 + [2, 3] * 5] * 2), pairs, 4)
    assert 0 < near.low < near.high < 1
    assert [(np.isnan(interval.estimate), interval.low, interval.high) for interval in far] == [(True, 0, 1)] * 2


def test_what_was_not_answered_is_left_out():
    pairs = np.tile([0, 1], (30, 1))
    preferred = np.random.default_rng(1).integers(0, 2, (2, 30))
    some = preferred.copy()
    some[1, 10:] = -1
    (all_of,), (few,) = compare_with_first(preferred, pairs, 2), compare_with_first(some, pairs, 2)
    assert few.high - few.low > 0
    assert all_of.estimate == pytest.approx(((preferred == 1).sum() + 0.5) / (preferred.size + 1))
    assert few.estimate == pytest.approx(((some == 1).sum() + 0.5) / ((some >= 0).sum() + 1))
