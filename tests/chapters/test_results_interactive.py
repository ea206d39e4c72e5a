"""What pages draw anew below their figures, and what captions find: both follow the tables."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from cxrlib.chapters.results import interactive
from cxrlib.publishing.pages import as_page

RANDOM = np.random.default_rng(5)


def predictions():
    parts = []
    for arm, seed in (("baseline", 0), ("baseline", 1), ("synthetic", 0)):
        label = np.repeat(["positive", "negative"], (12, 20))
        parts.append(pd.DataFrame({"arm": arm, "seed": seed, "role": "hospital", "label": label,
                                   "p_positive": RANDOM.uniform(size=32), "fold": "all"}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_counts_at_every_threshold_are_those_of_scikit_learn():
    table = predictions()
    data = interactive.thresholds(table, "hospital")
    assert (data["positives"], data["negatives"], list(data["arms"])) == (12, 20, ["baseline", "synthetic"])
    rows = table[table["arm"] == "synthetic"]
    for place, threshold in enumerate(interactive.THRESHOLDS):
        called = np.where(rows["p_positive"] >= threshold, "positive", "negative")
        (found, _), (alarms, _) = confusion_matrix(rows["label"], called, labels=["positive", "negative"])
        assert (data["arms"]["synthetic"]["found"][place], data["arms"]["synthetic"]["alarms"][place]) == (
            found,
            alarms,
        )
    assert data["arms"]["baseline"]["found"][0] == 12


def table2(areas):
    rows = []
    for arm, area in areas.items():
        row = {"role": "hospital", "arm": arm, "operating_point": "fixed"}
        for metric in interactive.ON_THE_LADDER:
            row |= {metric: area, f"{metric}_low": area - 0.05, f"{metric}_high": area + 0.05}
        rows.append(row)
    return pd.DataFrame(rows)


def test_the_ladder_orders_arms_and_keeps_what_is_unknown_unknown():
    table = table2({"real-crossfit": 0.8, "baseline": 0.7})
    table.loc[0, "roc_auc_low"] = np.nan
    ladder = interactive.ladder(table, "hospital")
    assert [arm["arm"] for arm in ladder["arms"]] == ["baseline", "real-crossfit"]
    assert ladder["arms"][0]["values"]["roc_auc"] == [0.7, 0.65, 0.75]
    assert ladder["arms"][0]["values"]["balanced_accuracy"] == [70.0, 65.0, 75.0]
    assert ladder["metrics"][0] == ["roc_auc", "area under ROC"]
    assert ladder["plain"] == ["roc_auc", "average_precision"]
    assert ladder["arms"][1]["values"]["roc_auc"][1] is None


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("gain", "synthetic (area under ROC +0.10) differs from"), ("no clear difference", "No arm")],
)
def test_captions_name_clear_differences_and_no_others(verdict, said):
    row = {"reference": "baseline", "arm": "synthetic", "metric": "roc_auc", "difference": 0.1, "verdict": verdict}
    assert said in interactive.clear_arms(pd.DataFrame([row]))


def test_captions_follow_the_data():
    table = table2({"baseline": 0.7, "synthetic": 0.8})
    assert interactive.areas(table, "hospital").endswith("from 0.70 (baseline) to 0.80 (synthetic); baseline 0.70.")
    assert "synthetic, which finds most, finds 80 %" in interactive.moved(table, "hospital")
    assert "baseline, which" not in interactive.moved(table2({"baseline": 0.9, "synthetic": 0.8}), "hospital")


def test_a_page_has_the_numbers_below_their_picture_and_the_finding_before_its_caption():
    notes = {"finding": "More is better.", "interactive": {"kind": "ladder", "arms": ["</script>"]}, "width": 5}
    output = {"output_type": "execute_result", "data": {"image/png": "x"}, "metadata": {"image/png": notes}}
    figure = {"mystnb": {"figure": {"caption": "A ladder.", "name": "fig-ladder"}}, "tags": ["hide-input"]}
    cell = {"cell_type": "code", "metadata": figure, "source": "chapter.figure('ladder')", "outputs": [output]}
    picture, twin = as_page({"cells": [cell], "metadata": {}})["cells"]
    assert picture["metadata"]["mystnb"]["figure"]["caption"] == "**More is better.** A ladder."
    assert picture["outputs"][0]["metadata"]["image/png"] == {"width": 5}
    assert 'data-kind="ladder"' in twin["source"]
    assert twin["source"].count("</script>") == 1


def test_arms_of_one_colour_are_told_apart_by_their_lines():
    table = pd.concat([predictions().assign(arm=arm) for arm in ("baseline", "synthetic", "synthetic-crossfit")])
    arms = interactive.thresholds(table, "hospital")["arms"]
    assert arms["synthetic"]["colour"] == arms["synthetic-crossfit"]["colour"]
    assert arms["baseline"]["dashes"] == []
    assert len({str(arm["dashes"]) for arm in arms.values()}) == 3


def test_what_figures_find_follows_their_tables():
    paper = pd.DataFrame({"dataset": ["test", "test"], "model": ["COVIDx", "COVIDx+Synth"],
                          "recall_positive": [0.764, 0.955], "precision_positive": [0.903, 0.84]})  # fmt: skip
    for metric in ("recall_positive", "precision_positive"):
        paper[f"{metric}_low"], paper[f"{metric}_high"] = paper[metric] - 0.1, paper[metric] + 0.04
    said = interactive.beside_the_paper(table2({"baseline": 0.4, "synthetic": 0.71}), paper)
    assert "In the paper sensitivity went from 76.4 % [66.4, 80.4] to 95.5 % [85.5, 99.5] and precision from" in said
    assert re.search(r"here, with the arm synthetic, sensitivity went from 40.0 % \[.+\] to 71.0 % \[.+\] and", said)
    assert "here" not in interactive.beside_the_paper(table2({"baseline": 0.4}), paper)
    decision = pd.DataFrame({"role": "hospital", "arm": ["baseline", "a", "treat-all"], "threshold": 0.5,
                             "net_benefit": [0.02, -0.1, 0.3], "low": -0.2, "high": 0.1})  # fmt: skip
    told = interactive.beneficial(decision, "hospital", ["baseline", "a"])
    assert told == "At a threshold of one half the largest net benefit is that of baseline (0.02 [−0.20, 0.10])."
    assert interactive.beneficial(decision, "hospital", []).startswith("No arm's")
    parts = pd.DataFrame(
        {
            "role": "hospital",
            "arm": "baseline",
            "subgroup": "age",
            "level": ["old", "young", "few"],
            "metric": "recall_positive",
            "estimate": [0.4, 0.6, 0.9],
            "low": 0.3,
            "high": 0.95,
            "suppressed": [False, False, True],
        }
    )
    assert interactive.across_parts(parts, ["baseline"]) == (
        "Sensitivity lies between 40.0 % [30.0, 95.0] (age old) and 60.0 % [30.0, 95.0] (age young) with baseline."
    )
    assert interactive.across_parts(parts[2:], ["baseline"]) == "No part of the films is large enough to be shown."
