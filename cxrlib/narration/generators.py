"""Sentences and numbers of Chapter 2 that follow from the generators' tables and records."""

import pandas as pd

from cxrlib.data.settings import LABELS

HALF = 0.5
KEYS = ["label", "comparison", "measure"]


def believed(quality: pd.DataFrame) -> pd.DataFrame:
    """The measures to believe, one row per label, comparison and measure: those on films that no generator was trained
    on, where there are any; averaged over folds, ends of intervals too."""
    unseen = quality[quality["hospital_films"] != "trained-on"]
    rows = quality if unseen.empty else unseen
    found = rows.groupby(KEYS, sort=False).agg(
        estimate=("estimate", "mean"), low=("low", "mean"), high=("high", "mean"),
        images_each=("images_each", "min"), hospital_films=("hospital_films", "first"),
    )  # fmt: skip
    return found.reset_index()


def compared_with(quality: pd.DataFrame) -> str:
    """What the hospital films of the believed rows are to the generators."""
    kinds = set(quality["hospital_films"])
    if kinds == {"trained-on"}:
        return "films that they were trained on"
    held_out = "films held out from their training, by which their snapshots were chosen"
    unused = "films of patients whom they never saw"
    return f"{held_out}, and {unused}" if len(kinds) > 1 else held_out if kinds == {"held-out"} else unused


def nearness(quality: pd.DataFrame) -> str:
    """Whether synthetic films are nearer to the hospital's than public ones; "clearly" only where intervals part.

    `quality` has a row per label, comparison and measure (and fold, if it has that column), with estimate, low, high.
    """
    keys = [name for name in ("label", "fold") if name in quality]
    rows = quality[quality["measure"] == "kid"].set_index([*keys, "comparison"])[["estimate", "low", "high"]]
    synthetic, public = (rows.xs(name, level="comparison") for name in ("synthetic-hospital", "public-hospital"))
    if (synthetic["high"] < public["low"]).all():
        return "clearly nearer to the hospital's films than the public ones are, for every label and fold"
    if (synthetic["estimate"] < public["estimate"]).all():
        return "nearer to the hospital's films than the public ones are, but with intervals that overlap"
    return "not nearer to the hospital's films than the public ones are for every label and fold"


def variety(quality: pd.DataFrame) -> str:
    """What recall says, label by label: does the generator reach the variety of the hospital's films?"""
    return _said_of_labels(
        quality,
        "recall",
        as_real="{who} are as varied as one half of the hospital's own films beside the other",
        most="{who} are less varied than the hospital's, though most of its films have their like among them",
        few="{who} lack most of the hospital's variety: too few kinds of film are drawn",
    )


def fidelity(quality: pd.DataFrame) -> str:
    """What precision says, label by label: do synthetic films lie among the real ones?"""
    return _said_of_labels(
        quality,
        "precision",
        as_real="{who} lie among the hospital's films as often as the hospital's own do",
        most="most of {who} lie among the hospital's films, but fewer than of the hospital's own",
        few="most of {who} lie outside what the hospital's films look like",
    )


def _said_of_labels(quality: pd.DataFrame, measure: str, *, as_real: str, most: str, few: str) -> str:
    """One clause per label by its share and that of the hospital's halves; labels with the same clause share it."""
    clauses: dict[str, list[str]] = {}
    for label in LABELS:
        synthetic, halves = (_row(quality, label, name, measure) for name in ("synthetic-hospital", "hospital-halves"))
        if pd.isna(synthetic["estimate"]):
            clause = "{who} are too few to say"
        elif synthetic["estimate"] < HALF:
            clause = few
        else:
            clause = as_real if synthetic["high"] >= halves["estimate"] else most
        clauses.setdefault(clause, []).append(label)
    both = "the films of both labels"
    return "; ".join(
        clause.format(who=both if len(labels) == len(LABELS) else f"the {labels[0]} films")
        for clause, labels in clauses.items()
    )


def _row(quality: pd.DataFrame, label: str, comparison: str, measure: str) -> pd.Series:
    return quality.set_index(KEYS).loc[(label, comparison, measure)]
