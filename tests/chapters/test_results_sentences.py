"""Sentences of Chapters 4 and 5: other numbers, other words."""

import made_results as made
import pandas as pd
import pytest

from cxrlib.chapters.classifiers.notebook import accuracy_sentence, composition_sentence, training_facts
from cxrlib.chapters.results.sentences import results_facts
from cxrlib.study import load_study

RECORD = {"arm": "synthetic-crossfit", "cells": 7}


@pytest.fixture
def study(tiny_study_file):
    return load_study(tiny_study_file)


def tables(**changes):
    found = {
        "table2_seeds": made.table2_seeds(), "attention": made.attention(), "subgroups": made.subgroups(),
    }  # fmt: skip
    return found | changes


def test_counts_are_those_of_the_first_run_at_one_half(study):
    seeds = made.table2_seeds()
    other = seeds["operating_point"] == "validation"
    seeds.loc[other, ["tp", "fn", "fp", "tn"]] = [1, 1, 1, 1]
    facts = results_facts(study, tables(table2_seeds=seeds), RECORD)
    assert (facts["missed"], facts["alarms"], facts["hospital_films"]) == (17, 12, 200)
    assert facts["cells"] == 7


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.34, 0.44, "more than chance"), (0.30, 0.40, "not clearly more or less"), (0.10, 0.32, "less than chance")],
)
def test_attention_is_called_more_than_chance_only_where_its_interval_says_so(study, low, high, said):
    table = made.attention().assign(low=low, high=high, chance=0.33)
    assert said in results_facts(study, tables(attention=table), RECORD)["attention"]


def test_without_outlines_nothing_is_said_of_shares(study):
    for table in (made.attention().iloc[:0], made.attention().assign(suppressed=True)):
        assert "is not known" in results_facts(study, tables(attention=table), RECORD)["attention"]


def test_the_spread_names_the_lowest_and_the_highest_run(study):
    seeds = made.table2_seeds()
    runs = (seeds["role"] == "hospital") & (seeds["arm"] == "baseline") & (seeds["operating_point"] == "fixed")
    seeds.loc[runs, "recall_positive"] = [0.41, 0.77, 0.5]
    assert "41.0 % to 77.0 % with baseline" in results_facts(study, tables(table2_seeds=seeds), RECORD)["spread"]


@pytest.mark.parametrize(("after", "said"), [(0.1, "better"), (0.3, "worse"), (0.2, "the same")])
def test_the_temperature_is_called_good_only_where_it_helps(study, after, said):
    seeds = made.table2_seeds().assign(brier=0.2, brier_calibrated=after)
    assert f"baseline {said} (" in results_facts(study, tables(table2_seeds=seeds), RECORD)["calibration"]


def test_suppressed_parts_are_counted(study):
    said = results_facts(study, tables(), RECORD)["subgroups"]
    assert said.startswith(
        "The films are divided into 13 parts by view, sex, age, source and finding; 2 of them too small"
    )


def records(steps=(10, 22), openings=(1, 1)):
    facts = {"temperature": 1.4, "threshold_validation": 0.3, "weights": "random weights", "seconds": 90.0}
    keys = [("baseline", 0, "all"), ("synthetic", 0, "all")]
    made_up = {
        key: {**facts, "steps": n, "hospital_openings": m} for key, n, m in zip(keys, steps, openings, strict=True)
    }
    return made_up | {("source-rule", 0, "all"): {**facts, "temperature": 1.0, "steps": 0, "hospital_openings": 0}}


def test_a_rule_without_a_network_is_no_classifier_and_openings_are_counted(study):
    facts = training_facts(study, records())
    assert facts["classifiers"] == 2
    assert facts["minutes"] == "4.5"
    assert facts["openings"] == "exactly once for each of them"
    assert "2.20 times" in facts["steps"]
    assert training_facts(study, records(openings=(1, 2)))["openings"] == "3 times in all"
    assert training_facts(study, records(steps=(10, 10)))["steps"] == "No arm took more steps than the baseline"
    assert facts["temperatures"] == "1.00 to 1.40", "as the table beside it: of every arm"


def test_what_the_figures_of_training_find_follows_their_numbers():
    films = pd.DataFrame(
        {"public negative": [90, 90], "public positive": [10, 30], "synthetic positive": [0, 80]},
        index=["baseline", "synthetic"],
    )
    assert composition_sentence(films) == (
        "An epoch has from 100 (baseline, 10 % positive) to 200 (synthetic, 55 % positive) films."
    )
    logs = {"baseline": pd.DataFrame({"validation_accuracy": [0.5, 0.9]}),
            "synthetic": pd.DataFrame({"validation_accuracy": [0.9, 0.8]})}  # fmt: skip
    assert accuracy_sentence(logs).endswith("lies between 80.0 % (synthetic) and 90.0 % (baseline).")
