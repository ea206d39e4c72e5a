"""The kernel distance: its definition, its interval, and differences on the same films."""

import numpy as np
import pytest

from cxrlib.errors import InputError
from cxrlib.generators.kernel_distance import kernel_distance


def by_definition(a, b, of_a, of_b):
    """The squared maximum mean discrepancy pair by pair, without pairs of one group."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    def within(rows, groups):
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if groups[i] != groups[j]]
        return np.mean([kernel(rows[i], rows[j]) for i, j in pairs])

    return within(a, of_a) + within(b, of_b) - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_it_equals_its_definition_with_and_without_each_group():
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, (14, 6)), random.normal(0.5, 1, (11, 6))
    of_a, of_b = np.array(list("aabbbcddddefgh")), random.integers(0, 4, 11)
    found = kernel_distance(a, b, of_a, of_b)
    assert found.estimate == pytest.approx(by_definition(a, b, of_a, of_b), rel=1e-10)
    for place, group in enumerate(sorted(set(of_a))):
        keep = of_a != group
        assert found.without_first[place] == pytest.approx(by_definition(a[keep], b, of_a[keep], of_b), rel=1e-9)
    for place, group in enumerate(sorted(set(of_b))):
        keep = of_b != group
        assert found.without_second[place] == pytest.approx(by_definition(a, b[keep], of_a, of_b[keep]), rel=1e-9)


def people(random, count, shift):
    """Features of so many patients with one to three films each, and whose they are."""
    films = random.integers(1, 4, count)
    centres = np.abs(random.normal(0.4 + shift, 0.3, (count, 24)))
    return np.repeat(centres, films, 0) + random.normal(0, 0.1, (films.sum(), 24)), np.repeat(np.arange(count), films)


def test_its_interval_covers_the_truth_about_as_often_as_it_says():
    """Patients drawn from a known crowd, whose distance is a matter of counting; `benchmarks/judge.py` draws more."""
    random = np.random.default_rng(1)
    crowds = [people(random, 150, shift) for shift in (0, 0.15)]
    (a, _), (b, _) = crowds
    kernel = lambda x, y: ((x @ y.T / 24 + 1) ** 3).mean()  # noqa: E731
    truth = kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)
    hits = 0
    for _ in range(150):
        drawn = []
        for (films, who), count in zip(crowds, (60, 30), strict=True):
            rows = [np.flatnonzero(who == person) for person in random.integers(0, 150, count)]
            drawn.append((films[np.concatenate(rows)], np.repeat(np.arange(count), [len(row) for row in rows])))
        (first, of_first), (second, of_second) = drawn
        low, high = kernel_distance(first, second, of_first, of_second).bounds()
        hits += low <= truth <= high
    assert 0.91 <= hits / 150 <= 0.99


def test_a_difference_on_common_seeds_and_patients_is_far_surer_than_two_intervals():
    random = np.random.default_rng(2)
    seeds, patients = random.normal(0, 1, (60, 8)), random.normal(0.2, 1, (25, 8))
    better, worse = kernel_distance(seeds, patients), kernel_distance(seeds + 0.15, patients + 0.0)
    assert better.bounds()[1] > worse.bounds()[0]
    difference = worse - kernel_distance(seeds + 0.02, patients)
    low, high = difference.bounds()
    assert high - low < 0.5 * (worse.bounds()[1] - worse.bounds()[0])
    assert (worse - worse).bounds() == (0, 0)


def test_it_refuses_too_few_patients_or_broken_features():
    films = np.zeros((10, 4))
    with pytest.raises(InputError, match="second set is of 2 patients; expected at least 3"):
        kernel_distance(films, films, None, np.arange(10) % 2)
    with pytest.raises(InputError, match="not all finite"):
        kernel_distance(films, np.full((10, 4), np.nan))
    with pytest.raises(ValueError, match="3 groups for the 10 films of the first"):
        kernel_distance(films, films, np.arange(3))
