"""Powers against sums over every possible count with scipy's own test, and against statsmodels."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm
from small_reading import small_protocol
from statsmodels.stats.proportion import binom_tost, power_binom_tost

from cxrlib.evaluation.reader_studies import reader_study
from cxrlib.evaluation.readers import means_by_reader
from cxrlib.reading.sample_size import (
    DIFFER,
    chance_power,
    counted_answers,
    equivalence_power,
    planned_study,
    sample_size_table,
    told_from_chance,
)

# A correlation of what readers see that makes their right answers correlate by 0.2.
LIKENESS_OF_LOOKS = 0.31


@pytest.mark.parametrize("answers", [1, 5, 6, 20, 100, 101])
@pytest.mark.parametrize("accuracy", [0.5, 0.6, 0.83, 1.0])
def test_power_against_chance_is_that_of_scipy_s_test_summed_over_all_counts(answers, accuracy):
    rejected = [k for k in range(answers + 1) if binomtest(k, answers, 0.5).pvalue <= 0.05]
    assert chance_power(answers, accuracy) == pytest.approx(binom.pmf(rejected, answers, accuracy).sum(), abs=1e-12)


@pytest.mark.parametrize("answers", [30, 68, 100, 300])
@pytest.mark.parametrize("accuracy", [0.5, 0.55, 0.6])
def test_power_of_equivalence_is_that_of_two_one_sided_tests(answers, accuracy):
    shown = [k for k in range(answers + 1) if binom_tost(k, answers, 0.4, 0.6)[0] <= 0.05]
    assert equivalence_power(answers, accuracy) == pytest.approx(binom.pmf(shown, answers, accuracy).sum(), abs=1e-12)


@pytest.mark.parametrize("answers", [100, 263, 300])
def test_power_of_equivalence_agrees_with_statsmodels(answers):
    expected = power_binom_tost(0.4, 0.6, answers, p_alt=0.5, alpha=0.05)
    assert equivalence_power(answers) == pytest.approx(float(np.squeeze(expected)), abs=1e-9)


def test_neither_test_errs_more_often_than_allowed():
    for answers in (7, 40, 133, 300):
        assert chance_power(answers, 0.5) <= 0.05
        assert max(equivalence_power(answers, 0.4), equivalence_power(answers, 0.6)) <= 0.05


def test_few_answers_show_nothing_and_many_show_all():
    assert chance_power(5, 1.0) == 0
    assert math.isnan(told_from_chance(5))
    assert equivalence_power(20) == 0
    assert equivalence_power(2000) > 0.999


def test_the_accuracy_told_from_chance_has_the_power_asked_for():
    assert chance_power(100, told_from_chance(100)) == pytest.approx(0.8, abs=1e-4)
    assert told_from_chance(300) < told_from_chance(100) < told_from_chance(20)


def test_readers_who_err_alike_count_less():
    assert counted_answers(100, 3, likeness=0) == 300
    assert counted_answers(100, 3, likeness=1) == 100
    assert counted_answers(100, 3, likeness=0.2) == 214
    assert counted_answers(7, 1) == 7


def test_the_table_counts_what_the_protocol_shows_once_and_is_analysed(tmp_path):
    protocol = small_protocol(tmp_path, films=40)
    table = sample_size_table(protocol, 3)
    assert table[["block", "readers", "films or pairs", "answers", "counted as"]].to_numpy().tolist() == [
        ["single films", 1, 40, 40, 40],
        ["single films", 3, 40, 120, 120],
        ["single films", 3, 40, 120, 85],
        ["single films", 3, 40, 120, 66],
        ["pairs", 1, 3, 3, 3],
        ["pairs", 3, 3, 9, 9],
        ["pairs", 3, 3, 9, 6],
        ["pairs", 3, 3, 9, 6],
    ]
    assert table.loc[0, "power if 70% are right"] == pytest.approx(chance_power(40, 0.7))
    assert len(sample_size_table(protocol, 1)) == 2


@pytest.mark.parametrize(("films", "readers", "least"), [(40, 3, 0.71), (10, 5, 0.76), (40, 2, 0.92), (120, 5, 0.61)])
def test_the_accuracy_that_unlike_readers_tell_is_found_however_large_the_power_beyond(tmp_path, films, readers, least):
    row = sample_size_table(small_protocol(tmp_path, films=films), readers).query("block == 'single films'").iloc[-1]
    told = row["told from chance with power 80%"]
    assert told == pytest.approx(least, abs=0.01)
    assert planned_study(films, readers, told).power(0.5, readers=readers) == pytest.approx(0.8, abs=1e-4)
    assert not np.isnan(
        [planned_study(films, readers, share).power(0.5, readers=readers) for share in (0.95, 0.999)]
    ).any()


def test_readers_who_differ_tell_less_and_the_planned_power_is_that_of_the_analysis():
    """Readings drawn as the plan assumes are told from guessing about as often as it says."""
    random, films, readers, accuracy = np.random.default_rng(8), 100, 4, 0.65
    planned = planned_study(films, readers, accuracy)
    told = 0
    for _ in range(400):
        skill = random.normal(0, DIFFER, readers)
        film = random.normal(size=films)
        looks = LIKENESS_OF_LOOKS**0.5 * film + (1 - LIKENESS_OF_LOOKS) ** 0.5 * random.normal(size=(readers, films))
        right = looks < norm.ppf(np.clip(accuracy + skill, 0.01, 0.99))[:, None]
        found = reader_study(means_by_reader(right.astype(float)), np.zeros(films)).interval()
        told += found.low > 0.5 or found.high < 0.5
    assert told / 400 == pytest.approx(planned.power(0.5, readers=readers), abs=0.08)
    assert planned.standard_error > (accuracy * (1 - accuracy) / counted_answers(films, readers)) ** 0.5
