"""Tables as people read them: every figure is the one of the file it comes from, rounded, with its interval."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from cxrlib import narration, reading_tables
from cxrlib.classifier.settings import Arm, ClassifierSettings
from cxrlib.evaluation.metrics import METRICS
from cxrlib.evaluation.paper import paper_table2
from cxrlib.study import load_study


def plain(text):
    """Without what keeps a narrow table from breaking it."""
    return text.replace("\u00a0", " ").replace("\u2060", "")


def table2():
    row = {"role": "hospital", "arm": "baseline", "operating_point": "fixed", "seeds": 3}
    for index, metric in enumerate(METRICS):
        value = 0.70 + 0.01 * index
        row |= {metric: value, f"{metric}_low": value - 0.052, f"{metric}_high": value + 0.049}
    other = {**row, "operating_point": "validation", "accuracy": 0.5}
    return pd.DataFrame([row, other, {**row, "role": "validation", "accuracy": 0.9}])


def test_table_two_has_a_row_per_class_and_the_paper_s_beside_it():
    table = reading_tables.table_two(table2(), "hospital", paper_table2())
    ours = table.loc[("baseline", "positive")]
    assert plain(ours["accuracy (%)"]) == "70.0 (65–75)"
    assert plain(ours["recall (%)"]) == "75.0 (70–80)"
    assert table.loc[("baseline", "negative"), "recall (%)"].startswith("76.0")
    paper = table.loc[("COVIDx+Synth (the paper)", "positive")]
    assert plain(paper["recall (%)"]).startswith("95.5 (")
    assert paper["F1 (%)"].startswith("89.4")


def test_roles_are_kept_apart():
    table = reading_tables.table_two(table2(), "validation")
    assert table["accuracy (%)"].iloc[0].startswith("90.0")
    assert len(table) == 2


def test_oversampled_and_synthetic_films_are_counted_apart():
    record = {"training_images": {"negative": 92, "positive": 52}, "synthetic_images": {"negative": 32, "positive": 32}}
    table = reading_tables.composition({"synthetic": record})
    assert table.loc["synthetic"].tolist() == [60, 32, 20, 32]


def test_confusion_counts_are_means_over_seeds():
    counts = {"tp": [8, 10, 0], "fn": [2, 0, 10], "fp": [1, 3, 0], "tn": [9, 7, 10]}
    keys = {"role": "hospital", "arm": "baseline", "seed": [0, 1, 1]}
    table = pd.DataFrame({**keys, "operating_point": ["fixed", "fixed", "validation"], **counts})
    np.testing.assert_array_equal(reading_tables.confusion_counts(table, "hospital")["baseline"], [[9, 1], [2, 8]])


def test_differences_are_in_points_and_leave_out_the_baseline():
    table = pd.DataFrame(
        [
            ("hospital", "synthetic", "fixed", "accuracy", 0.021, -0.004, 0.05),
            ("hospital", "synthetic", "validation", "accuracy", 0.5, 0.4, 0.6),
            ("hospital", "baseline", "fixed", "accuracy", 0, 0, 0),
        ],
        columns=["role", "arm", "operating_point", "metric", "difference", "low", "high"],
    )
    shown = reading_tables.differences(table, "hospital", ["accuracy"])
    assert shown.index.tolist() == ["synthetic"]
    assert plain(shown.loc["synthetic", "accuracy (points)"]) == "+2.1 (-0 to +5)"


def test_settings_are_shown_one_per_row_lists_included():
    table = reading_tables.settings(ClassifierSettings(doses=(10, 25), steps="equal"))
    assert table.loc["doses", "value"] == "10, 25"
    assert table.loc["steps", "value"] == "equal"


def test_every_arm_has_its_question():
    arms = (*get_args(Arm), "synthetic-dose10")
    table = reading_tables.arms(arms)
    assert table.index.tolist() == list(arms)
    assert (table["answers"].str.len() > 20).all()
    assert "10 %" in table.loc["synthetic-dose10", "trains on"]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((0.9534, 0.9, 0.99), "95.3 (90–99)"), ((0.5, np.nan, np.nan), "50.0"), ((np.nan, 0, 1), "–")],
)
def test_intervals_stand_beside_estimates(numbers, text):
    assert plain(narration.with_interval(*numbers)) == text


def test_simulated_films_are_called_simulated(tiny_study_file):
    study = load_study(tiny_study_file)
    assert narration.origin(study, "hospital") == "simulated films"
    assert "no patient stands behind any of them" in narration.origin_sentence(study)
