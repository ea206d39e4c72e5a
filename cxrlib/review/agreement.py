"""What the readings say: how often readers were right, with exact intervals."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from cxrlib.review.events import current_answers
from cxrlib.review.questions import ORIGIN_STEPS, ORIGINS

QUESTIONS_WITH_TRUTH = (("real or synthetic", "origin", "read_origin"), ("label", "label", "read_label"))
REALISM_NAME = "mean realism (1–5)"


def readings(events: Sequence[dict[str, Any]], worklist: pd.DataFrame) -> pd.DataFrame:
    """One row per reader and single film: the truth (label, origin) beside the answers that stand, practice left out.

    Columns: reader, film_id, label, origin, read_label, read_origin ("real" or "synthetic"), origin_step (1 surely
    synthetic … 6 surely real), realism, seconds. Events about films that are not on the list are left out.
    """
    columns = ["reader", "film_id", "read_label", "read_origin", "origin_step", "realism", "seconds"]
    rows = []
    for event in current_answers(events):
        if event["block"] != "A" or event["practice"]:
            continue
        answers = event["answers"]
        step = ORIGIN_STEPS.index(answers["origin"]) + 1
        read_origin = "synthetic" if step <= len(ORIGIN_STEPS) // 2 else "real"
        rows.append((event["reader"], event["films"][0], answers["diagnosis"], read_origin, step,
                     int(answers["realism"]), float(event["seconds"])))  # fmt: skip
    return pd.DataFrame(rows, columns=columns).merge(
        worklist[["film_id", "label", "origin"]], on="film_id", how="inner"
    )


def exact_interval(right: int, total: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a proportion, as fractions; (0, 1) without observations."""
    if total == 0:
        return 0.0, 1.0
    interval = binomtest(right, total).proportion_ci(method="exact")
    return float(interval.low), float(interval.high)


def accuracy_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Per reader, and over all if there are several: share of right answers on origin and label, with intervals.

    `answers` as from `readings`. Columns: reader, question ("real or synthetic", "label"), films, right, accuracy, low,
    high (fractions).
    """
    groups = [(reader, part) for reader, part in answers.groupby("reader")]
    if len(groups) > 1:
        groups.append(("all readers", answers))
    rows = []
    for reader, part in groups:
        for question, truth, answer in QUESTIONS_WITH_TRUTH:
            right, total = int((part[truth] == part[answer]).sum()), len(part)
            rows.append((reader, question, total, right, right / total, *exact_interval(right, total)))
    return pd.DataFrame(rows, columns=["reader", "question", "films", "right", "accuracy", "low", "high"])


def confusion(answers: pd.DataFrame) -> pd.DataFrame:
    """How many films of each origin were taken for real and for synthetic; a row per truth, none without answers."""
    table = pd.crosstab(answers["origin"], answers["read_origin"])
    table = table.reindex(index=list(ORIGINS), columns=list(ORIGINS), fill_value=0)
    table.columns = [f"read as {name}" for name in ORIGINS]
    table[REALISM_NAME] = answers.groupby("origin")["realism"].mean().round(2)
    return table.rename_axis("truth").reset_index().head(len(table) if len(answers) else 0)


def in_words(answers: pd.DataFrame) -> str:
    """The readings in a sentence or two; `answers` as from `readings`."""
    if not len(answers):
        return "There are no readings yet."
    table = accuracy_table(answers)
    readers = answers["reader"].nunique()
    who = "One reader has" if readers == 1 else f"{readers} readers have"
    whole = table[table["reader"] == ("all readers" if readers > 1 else answers["reader"].iloc[0])]
    parts = {
        row.question: f"{100 * row.accuracy:.0f} % (95 % interval {100 * row.low:.0f} to {100 * row.high:.0f} %)"
        for row in whole.itertuples()
    }
    return (
        f"{who} given {len(answers)} answers: right about real or synthetic in {parts['real or synthetic']} of them, "
        f"and in agreement with the label in {parts['label']}."
    )
