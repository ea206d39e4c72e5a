"""Sentences and numbers of Chapters 4 and 5 that follow from tables and records; the wording follows the numbers."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrlib.chapters.words import counted, joined, percent, percentage
from cxrlib.evaluation.subgroups import KIND
from cxrlib.study import Study


def results_facts(study: Study, tables: Mapping[str, pd.DataFrame], record: Mapping[str, Any]) -> dict[str, Any]:
    """What Chapter 5 says besides the statements; `record` is that of the explanations."""
    seeds, arm = tables["table2_seeds"], record["arm"]
    fixed = seeds[(seeds["role"] == "hospital") & (seeds["operating_point"] == "fixed")]
    first = fixed[(fixed["arm"] == arm) & (fixed["seed"] == 0)].iloc[0]
    return {
        "arms": fixed["arm"].nunique(),
        "runs": counted(study.classifier.seeds, "training run"),
        "hospital_films": int(first[["tp", "fn", "fp", "tn"]].sum()),
        "shown_arm": arm,
        "missed": int(first["fn"]),
        "alarms": int(first["fp"]),
        "cells": record["cells"],
        "spread": _spread(fixed, arm),
        "attention": _attention(tables["attention"], arm),
        "calibration": _calibration(fixed, arm),
        "subgroups": _subgroups(tables["subgroups"]),
        "findings": _findings(tables["subgroups"], arm),
    }


def _findings(table: pd.DataFrame, arm: str) -> str:
    """How often negatives of each kind are called negative."""
    rows = table[(table["subgroup"] == KIND) & (table["metric"] == "recall_negative")]
    rows = rows[(rows["role"] == "hospital") & ~rows["suppressed"].astype(bool) & rows["estimate"].notna()]
    parts = []
    for name in dict.fromkeys(("baseline", arm)):
        told = [
            f"{percentage(row.estimate, row.low, row.high)} of those with {row.level}"
            for row in rows[rows["arm"] == name].itertuples()
        ]
        parts += [f"{name} {joined(told)}"] if told else []
    if not parts:
        return (
            "By what they show, the hospital's negative films can't be divided: it is the same in all, not recorded, "
            "or of too few patients."
        )
    return f"Of the hospital's negative films, these are called negative: by {'; by '.join(parts)}."


def _spread(fixed: pd.DataFrame, arm: str) -> str:
    """How far single runs lie apart in recall of positives."""
    parts = []
    for name in dict.fromkeys(("baseline", arm)):
        values = fixed[fixed["arm"] == name]["recall_positive"]
        parts.append(f"{percent(values.min())} to {percent(values.max())} with {name}")
    return f"Recall of positives runs from {' and from '.join(parts)}, from one training to another"


def _attention(table: pd.DataFrame, arm: str) -> str:
    rows = table[(table["arm"] == arm) & (table["region"] == "lungs") & (table["label"] == "positive")]
    rows = rows[~rows["suppressed"].astype(bool)]
    if not len(rows):
        return "How much of the attention lies inside the lungs is not known: no outlines of lungs are at hand"
    row = rows.iloc[0]
    verdict = "not clearly more or less than chance would give"
    if row["low"] > row["chance"]:
        verdict = "more than chance would give"
    elif row["high"] < row["chance"]:
        verdict = "less than chance would give"
    share = f"{percent(row['estimate'])} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
    return (
        f"On positive films {arm} gives {share} of its attention to the lungs, which take {percent(row['chance'])} "
        f"of the film: {verdict}"
    )


def _calibration(fixed: pd.DataFrame, arm: str) -> str:
    """Whether the temperature of the validation films made the hospital's probabilities any better."""
    parts = []
    for name in dict.fromkeys(("baseline", arm)):
        rows = fixed[fixed["arm"] == name]
        before, after = rows["brier"].mean(), rows["brier_calibrated"].mean()
        change = "better" if after < before - 0.0005 else "worse" if after > before + 0.0005 else "the same"
        parts.append(f"{name} {change} (Brier score {before:.3f} before, {after:.3f} after)")
    return f"On the hospital's films the temperature makes the probabilities of {' and of '.join(parts)}"


def _subgroups(table: pd.DataFrame) -> str:
    chosen = table[(table["role"] == "hospital") & (table["arm"] == "baseline")]
    if not len(chosen):
        return "Nothing is recorded by which the films could be divided"
    levels = chosen.groupby(["subgroup", "level"])["suppressed"].all()
    hidden = int(levels.sum())
    note = "every part is large enough to be shown" if not hidden else f"{hidden} of them too small to be shown"
    return (
        f"The films are divided into {len(levels)} parts by {joined(list(dict.fromkeys(chosen['subgroup'])))}; {note}"
    )
