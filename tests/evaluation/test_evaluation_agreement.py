"""Agreement against the published examples of Fleiss, Gwet, Feinstein & Cicchetti, and against statsmodels."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as reference_fleiss

from cxrlib.evaluation.agreement import (
    agreement_of_readers,
    agreement_of_two,
    rating_counts,
)

# Fleiss (1971, Psychological Bulletin 76, 378), Table 1: thirty patients, each diagnosed by six of many psychiatrists,
# as depression, personality disorder, schizophrenia, neurosis or other.
DIAGNOSES = [
    "00060", "03003", "01401", "00006", "03030", "20400", "00402", "20310", "20040", "00006", "10050", "11040",
    "03300", "10050", "02031", "00501", "30012", "51000", "02040", "10203", "00006", "01050", "02013", "20040",
    "10041", "05010", "40002", "02040", "10500", "00006",
]  # fmt: skip


def pairs(both_yes, only_first, only_second, both_no):
    """Ratings (films, 2) of a two-by-two table."""
    cells = [([1, 1], both_yes), ([1, 0], only_first), ([0, 1], only_second), ([0, 0], both_no)]
    return np.concatenate([np.tile(cell, (count, 1)) for cell, count in cells])


def of_all(ratings, categories):
    return {name: found.estimate for name, found in agreement_of_readers(ratings, categories, seed=1).items()}


def of_two(first, second, categories, **options):
    found = agreement_of_two(first, second, categories, seed=1, **options)
    return {name: interval.estimate for name, interval in found.items()}


def test_fleiss_own_table_gives_the_kappa_of_his_paper():
    counts = np.array([[int(digit) for digit in row] for row in DIAGNOSES])
    assert set(counts.sum(axis=1)) == {6}
    found = of_all(np.array([np.repeat(np.arange(len(row)), row) for row in counts]), counts.shape[1])["Fleiss' κ"]
    assert found == pytest.approx(0.430, abs=0.0005)
    assert found == pytest.approx(reference_fleiss(counts), abs=1e-12)


@pytest.mark.parametrize(
    ("table", "kappa", "ac1"),
    [
        # Feinstein & Cicchetti (1990, J Clin Epidemiol 43, 543): the same agreement, another prevalence, another κ;
        # with Gwet's AC1 of both (2002, "Kappa statistic is not satisfactory").
        ((40, 9, 6, 45), 0.70, 0.70),
        ((80, 10, 5, 5), 0.32, 0.81),
        # Nine of ten agree and κ is below 0: both readers call nearly every film the same.
        ((90, 5, 5, 0), -0.05, 0.89),
    ],
)
def test_kappa_falls_with_prevalence_and_ac1_does_not(table, kappa, ac1):
    ratings = pairs(*table)
    assert of_two(ratings[:, 0], ratings[:, 1], 2)["Cohen's κ"] == pytest.approx(kappa, abs=0.005)
    assert of_all(ratings, 2)["Gwet's AC1"] == pytest.approx(ac1, abs=0.005)


def test_ac1_of_several_readers_agrees_with_its_formula_written_out():
    # Twelve films, four readers, five categories, some without an answer: Gwet (2014), Handbook, 4th ed., ch. 2, where
    # chance is the mean over categories of π(1 − π) and π a mean over films of the share of their readers.
    random = np.random.default_rng(3)
    ratings = random.integers(-1, 5, (40, 4))
    kept = [[rating for rating in row if rating >= 0] for row in ratings]
    kept = [row for row in kept if len(row) >= 2]
    agree = np.mean([np.mean([a == b for i, a in enumerate(row) for j, b in enumerate(row) if i != j]) for row in kept])
    prevalence = [np.mean([row.count(category) / len(row) for row in kept]) for category in range(5)]
    chance = sum(p * (1 - p) for p in prevalence) / 4
    assert of_all(ratings, 5)["Gwet's AC1"] == pytest.approx((agree - chance) / (1 - chance), abs=1e-12)


@pytest.mark.parametrize("weights", ["none", "quadratic"])
def test_cohen_agrees_with_scikit_learn_where_both_answered(weights):
    random = np.random.default_rng(1)
    first = random.integers(0, 5, 60)
    second = np.clip(first + random.integers(-1, 2, 60), 0, 4)
    expected = cohen_kappa_score(first, second, weights=None if weights == "none" else weights)
    with_gaps = np.append(first, [-1, 3]), np.append(second, [2, -1])
    found = of_two(*with_gaps, 5, weights=weights)
    assert found["Cohen's κ" + (", weighted" if weights != "none" else "")] == pytest.approx(expected, abs=1e-12)


def test_answers_of_one_kind_only_have_no_kappa():
    same = np.zeros(10, int)
    assert np.isnan(of_two(same, same, 2)["Cohen's κ"])
    found = of_all(np.stack([same, same], axis=1), 2)
    assert np.isnan(found["Fleiss' κ"])
    assert found["Gwet's AC1"] == 1


def test_a_rating_that_is_no_category_is_refused():
    with pytest.raises(ValueError, match="expected 0 to 1"):
        rating_counts(np.array([[0, 2]]), 2)


def test_intervals_hold_the_estimate_and_have_about_the_width_of_the_standard_error():
    ratings = pairs(40, 9, 6, 45)
    found = agreement_of_readers(ratings, 2, seed=1)
    assert list(found) == ["agreement", "Fleiss' κ", "Gwet's AC1"]
    agreement = found["agreement"]
    assert agreement.estimate == pytest.approx(0.85)
    expected = 2 * 1.96 * np.sqrt(0.85 * 0.15 / 100)
    assert agreement.high - agreement.low == pytest.approx(expected, rel=0.15)
    for interval in agreement_of_two(ratings[:, 0], ratings[:, 1], 2, seed=1).values():
        assert interval.low < interval.estimate < interval.high


def test_nobody_and_nothing_shared():
    assert agreement_of_readers(np.array([[0, -1], [-1, 1]]), 2, seed=1) == {}
    assert agreement_of_two(np.array([-1, 0]), np.array([1, -1]), 2, seed=1) == {}


def test_answers_of_several_readers_to_the_same_films_narrow_nothing_by_themselves():
    ratings = pairs(20, 5, 3, 22)
    once = agreement_of_two(*ratings.T, 2, seed=1)["Cohen's κ"]
    films = np.tile(np.arange(50), 3)
    copied = agreement_of_two(*np.tile(ratings, (3, 1)).T, 2, seed=1, films=films)
    assert copied["Cohen's κ"].high - copied["Cohen's κ"].low == pytest.approx(once.high - once.low, rel=0.1)
    assert copied["agreement"].low < 42 / 50 < copied["agreement"].high


def test_a_handful_of_films_has_no_interval_but_for_the_plain_share():
    found = agreement_of_two(np.array([0, 1, 0, 1]), np.array([0, 1, 1, 1]), 2, seed=1)
    assert np.isnan([found["Cohen's κ"].low, found["Gwet's AC1"].high]).all()
    # Clopper & Pearson (1934) for three of four.
    assert (found["agreement"].low, found["agreement"].high) == pytest.approx((0.1941, 0.9937), abs=5e-5)
