"""What the results' figures find, in words, and the numbers that their interactive twins in the book draw.

Only aggregates: counts of answers and estimates that the chapter's tables and figures show already.
"""

from typing import Any

import numpy as np
import pandas as pd

from cxrlib.chapters.results.evidence import changed, level_text
from cxrlib.chapters.results.ladder import in_order
from cxrlib.chapters.results.questions import BASELINE, RANKING, SENSITIVITY, SPECIFICITY
from cxrlib.chapters.style import RUNG_COLOURS, arm_look, arms_of, chosen_rows
from cxrlib.chapters.words import joined, percent
from cxrlib.classifiers.arms import arm_of
from cxrlib.evaluation.metrics import METRIC_NAMES, PLAIN

PRECISION = "precision_positive"
THRESHOLDS = np.linspace(0, 1, 51)
ON_THE_LADDER = (
    "roc_auc", "balanced_accuracy", "recall_positive", "recall_negative", "accuracy", "f1_positive",
    "precision_positive", "average_precision",
)  # fmt: skip


def thresholds(predictions: pd.DataFrame, role: str) -> dict[str, Any]:
    """How many positives each arm finds and how many false alarms it raises from each threshold upwards, mean over
    runs; `predictions` as from `gather_predictions`."""
    rows = predictions[predictions["role"] == role]
    first = rows[(rows["arm"] == rows["arm"].iloc[0]) & (rows["seed"] == rows["seed"].iloc[0])]
    arms = {}
    for arm in arms_of(rows):
        of_arm = rows[rows["arm"] == arm]
        called = of_arm["p_positive"].to_numpy()[:, None] >= THRESHOLDS
        positive = (of_arm["label"] == "positive").to_numpy()
        runs = of_arm["seed"].nunique()
        arms[arm] = {
            "found": (called[positive].sum(axis=0) / runs).round(1).tolist(),
            "alarms": (called[~positive].sum(axis=0) / runs).round(1).tolist(),
            "colour": _colour(arm),
            "dashes": _dashes(arm),
        }
    positives = int((first["label"] == "positive").sum())
    return {"kind": "threshold", "positives": positives, "negatives": len(first) - positives, "arms": arms}


def ladder(table2: pd.DataFrame, role: str) -> dict[str, Any]:
    """Every arm with its place on the ladder and, for each measure, estimate and interval in per cent, or as it is."""
    rows = chosen_rows(table2, role).set_index("arm")
    metrics = [metric for metric in ON_THE_LADDER if metric in rows]
    arms = [
        {
            "arm": arm,
            "rung": arm_of(arm).rung,
            "colour": _colour(arm),
            "values": {metric: _ends(rows.loc[arm], metric) for metric in metrics},
        }
        for arm in in_order([str(arm) for arm in rows.index])
    ]
    # A list, since a notebook's file has the keys of a mapping by the alphabet.
    names = [[metric, METRIC_NAMES[metric]] for metric in metrics]
    return {"kind": "ladder", "metrics": names, "plain": [name for name in metrics if name in PLAIN], "arms": arms}


def _colour(arm: str) -> str:
    return RUNG_COLOURS[arm_of(arm).rung]


def _dashes(arm: str) -> list[float]:
    """Lengths of the strokes and gaps of an arm's line; none where it is drawn through."""
    line = arm_look(arm)[1]
    return [2 * length for length in line[1]] if isinstance(line, tuple) else []


def _ends(row: pd.Series, metric: str) -> list[float | None]:
    values = (row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    scale, digits = (1, 3) if metric in PLAIN else (100, 1)
    return [None if pd.isna(value) else round(scale * float(value), digits) for value in values]


def clear_arms(verdicts: pd.DataFrame) -> str:
    """Which arms differ clearly from the baseline by any measure, after correction."""
    rows = verdicts[verdicts["reference"] == BASELINE]
    clear = rows[rows["verdict"].isin(["gain", "loss"])]
    if clear.empty:
        return f"No arm differs clearly from the {BASELINE} by any measure, after correction for so many questions."
    told = [
        f"{row.arm} ({METRIC_NAMES[row.metric]} {changed(row.metric, row.difference)})" for row in clear.itertuples()
    ]
    differ = "differs" if len(told) == 1 else "differ"
    return f"After correction for so many questions, {joined(told)} {differ} from the {BASELINE}; no other arm clearly."


def moved(table2: pd.DataFrame, role: str) -> str:
    """How the arm that finds most positives stands to the baseline at one half."""
    rows = chosen_rows(table2, role).set_index("arm")
    most = str(rows[SENSITIVITY].idxmax())
    base, best = (
        f"{percent(rows.loc[arm, SENSITIVITY], 0)} of the positives and calls "
        f"{percent(rows.loc[arm, SPECIFICITY], 0)} of the negatives negative"
        for arm in (BASELINE, most)
    )
    beside = "no arm finds more" if most == BASELINE else f"{most}, which finds most, finds {best}"
    return f"At one half the {BASELINE} finds {base}; {beside}."


def areas(table2: pd.DataFrame, role: str) -> str:
    """From which area under the ROC curve to which the arms reach."""
    rows = chosen_rows(table2, role).set_index("arm")[RANKING].dropna().sort_values()
    return (
        f"Area under the ROC curve, mean over runs: from {rows.iloc[0]:.2f} ({rows.index[0]}) to {rows.iloc[-1]:.2f} "
        f"({rows.index[-1]}); {BASELINE} {rows[BASELINE]:.2f}."
    )


def beside_the_paper(table2: pd.DataFrame, paper: pd.DataFrame) -> str:
    """The paper's two rows and those of the arms that do as it did, with intervals: what they hold, and no verdict."""
    theirs = paper[paper["dataset"] == "test"].set_index("model")
    ours = chosen_rows(table2, "hospital").set_index("arm")
    told = [f"In the paper {_from_to(theirs, *theirs.index[:2])}"]
    if {BASELINE, "synthetic"} <= set(ours.index):
        told.append(f"here, with the arm synthetic, {_from_to(ours, BASELINE, 'synthetic')}")
    return f"{'; '.join(told)}."


def _from_to(rows: pd.DataFrame, before: str, after: str) -> str:
    names = {SENSITIVITY: "sensitivity went", PRECISION: "precision"}

    def said(arm: str, metric: str) -> str:
        return level_text(metric, *rows.loc[arm, [metric, f"{metric}_low", f"{metric}_high"]])

    return joined([f"{name} from {said(before, metric)} to {said(after, metric)}" for metric, name in names.items()])


def beneficial(decision: pd.DataFrame, role: str, arms: list[str]) -> str:
    """Who has the largest net benefit at one half, beside the baseline, each with its interval."""
    rows = decision[(decision["role"] == role) & np.isclose(decision["threshold"], 0.5)].set_index("arm")
    rows = rows.loc[[arm for arm in arms if arm in rows.index]]
    if rows.empty:
        return "No arm's probabilities clearly rise with the truth."
    most = str(rows["net_benefit"].idxmax())
    beside = [] if most == BASELINE or BASELINE not in rows.index else [BASELINE]
    told = [f"{arm} ({level_text(RANKING, *rows.loc[arm, ['net_benefit', 'low', 'high']])})" for arm in (most, *beside)]
    return f"At a threshold of one half the largest net benefit is that of {' beside '.join(told)}."


def across_parts(subgroups: pd.DataFrame, arms: list[str]) -> str:
    """Between which values sensitivity lies in parts of the hospital's films that are large enough to be shown."""
    rows = subgroups[(subgroups["role"] == "hospital") & (subgroups["metric"] == SENSITIVITY)]
    rows = rows[~rows["suppressed"].astype(bool) & rows["estimate"].notna()].sort_values("estimate", kind="stable")
    told = []
    for arm in dict.fromkeys(arms):
        of_arm = rows[rows["arm"] == arm]
        if len(of_arm) > 1:
            ends = [
                f"{level_text(SENSITIVITY, row.estimate, row.low, row.high)} ({row.subgroup} {row.level})"
                for row in of_arm.iloc[[0, -1]].itertuples()
            ]
            told.append(f"between {ends[0]} and {ends[1]} with {arm}")
    return f"Sensitivity lies {joined(told)}." if told else "No part of the films is large enough to be shown."
