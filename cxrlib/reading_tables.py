"""The chapters' tables as people read them: words and units in the header, sensible digits, intervals beside estimates.

Each function takes records or tables as the stages wrote them and returns a DataFrame for display.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.data.settings import LABELS, ROLES
from cxrlib.figures import METRIC_NAMES
from cxrlib.narration import with_interval
from cxrlib.settings import Settings
from cxrlib.study import Study

ARM_QUESTIONS = {
    "baseline": ("public films", "How well do public films alone prepare for the hospital?"),
    "synthetic": (
        "public films and synthetic ones, of generators that learned from all hospital films",
        "Do synthetic films help? (The paper's way: the generators have seen the films of the test.)",
    ),
    "synthetic-crossfit": (
        "public films and synthetic ones, of generators that never saw the fold under test",
        "Is the gain real, or did the test leak into the training?",
    ),
    "oversampled": (
        "public films, the rarer label drawn more often until the proportions are those of the synthetic arm",
        "Is the gain only that of a better balance between the labels?",
    ),
}
COMPARISONS = {
    "hospital-halves": "hospital, one half against the other",
    "synthetic-hospital": "synthetic against hospital",
    "public-hospital": "public against hospital",
}


def load(study: Study) -> dict[str, pd.DataFrame]:
    """Every table of the study's results, by name, as the stages wrote it."""
    return {path.stem: pd.read_csv(path) for path in sorted(study.results.table("any").parent.glob("*.csv"))}


def films(study: Study, records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per role from the data records: films by label, patients, and files that could not be read."""
    rows = []
    for role in ROLES:
        record, source = records[role], study.data.source(role)
        counts = [record["by_label"].get(label, 0) for label in reversed(LABELS)]
        kind = "simulated" if source.reader == "phantom" else "real"
        rows.append((role, kind, *counts, record["patients"], len(record["unreadable"])))
    columns = ["role", "films are", "positive films", "negative films", "patients", "unreadable files"]
    return pd.DataFrame(rows, columns=columns).set_index("role")


def unreadable(records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Files that could not be read, with the reason, from the data records by role."""
    rows = [(role, entry["file"], entry["reason"]) for role in records for entry in records[role]["unreadable"]]
    return pd.DataFrame(rows, columns=["role", "file", "reason"])


def folds(manifest: pd.DataFrame) -> pd.DataFrame:
    """The hospital's folds: patients and films of each label."""
    grouped = manifest.groupby("fold")
    table = pd.DataFrame({"patients": grouped["patient_id"].nunique()})
    for label in reversed(LABELS):
        table[f"{label} films"] = grouped["label"].agg(lambda labels, label=label: (labels == label).sum())
    return table


def settings(stage: Settings) -> pd.DataFrame:
    """The settings of a stage, one per row."""
    rows = [
        (name.replace("_", " "), ", ".join(value) if isinstance(value, list | tuple) else str(value))
        for name, value in stage.model_dump().items()
    ]
    return pd.DataFrame(rows, columns=["setting", "value"]).set_index("setting")


def quality(table: pd.DataFrame) -> pd.DataFrame:
    """Kernel distances with intervals, one row per label and comparison."""
    shown = table.assign(
        comparison=table["comparison"].map(COMPARISONS).fillna(table["comparison"]),
        distance=[f"{row.kid:.3g} ({row.kid_low:.3g} to {row.kid_high:.3g})" for row in table.itertuples()],
    )
    names = {"images_each": "films on each side", "distance": "kernel distance (95 % interval)"}
    shown = shown.rename(columns=names)[["label", "fold", "comparison", names["distance"], names["images_each"]]]
    return shown.set_index(["label", "comparison"])


def arms(names: Sequence[str]) -> pd.DataFrame:
    """What each arm trains on, and which question it answers."""
    rows = [(name, *ARM_QUESTIONS.get(name, ("", ""))) for name in names]
    return pd.DataFrame(rows, columns=["arm", "trains on", "answers"]).set_index("arm")


def composition(records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Films per epoch of each arm, from one classifier record per arm."""
    rows = {}
    for arm, record in records.items():
        counts = []
        for label in LABELS:
            synthetic = record["synthetic_images"].get(label, 0)
            counts += [record["training_images"].get(label, 0) - synthetic, synthetic]
        rows[arm] = counts
    columns = [f"{kind} {label}" for label in LABELS for kind in ("public", "synthetic")]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("arm")


def timing(records: Mapping[tuple[str, int, str], Mapping[str, Any]]) -> pd.DataFrame:
    """Runs, optimiser steps and minutes per arm, from the records of all classifiers by (arm, seed, fold)."""
    rows = [(arm, record["steps"], record["seconds"] / 60) for (arm, _, _), record in records.items()]
    grouped = pd.DataFrame(rows, columns=["arm", "steps", "minutes"]).groupby("arm", sort=False)
    table = pd.DataFrame({
        "classifiers": grouped.size(),
        "steps per classifier": grouped["steps"].mean().round().astype(int),
        "minutes per classifier": grouped["minutes"].mean().round(2),
        "minutes in all": grouped["minutes"].sum().round(1),
    })  # fmt: skip
    return table


def table_one(table: pd.DataFrame) -> pd.DataFrame:
    """Table 1 in the paper's layout: data set, role, films of each label; then what the paper leaves out."""
    names = {
        "dataset": "data set", "positive_images": "positive films", "negative_images": "negative films",
        "patients": "patients", "unreadable_files": "unreadable",
    }  # fmt: skip
    shown = table.rename(columns=names)
    columns = [name for name in ("data set", "role", *list(names.values())[1:]) if name in shown]
    shown = shown[columns].set_index(columns[0])
    numbers = shown.select_dtypes("number").columns
    return shown.assign(**{name: [_count(value) for value in shown[name]] for name in numbers})


def _count(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.0f}"


def table_two(table: pd.DataFrame, role: str, paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """Table 2 in the paper's layout, in per cent with 95 % intervals: a row per arm and class.

    `table` is table2.csv; `paper` (paper_table2.csv, its dataset "test" standing beside the hospital) adds the paper's
    own rows, named as such.
    """
    parts = [(row, row.arm) for row in table[table["role"] == role].itertuples()]
    if paper is not None:
        dataset = "validation" if role == "validation" else "test"
        parts += [(row, f"{row.model} (the paper)") for row in paper[paper["dataset"] == dataset].itertuples()]
    rows = [_class_row(row, model, label) for row, model in parts for label in reversed(LABELS)]
    columns = ["model", "class", "accuracy (%)", "F1 (%)", "precision (%)", "recall (%)"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def _class_row(row: Any, model: str, label: str) -> tuple[str, ...]:
    names = ["accuracy", *(f"{metric}_{label}" for metric in ("f1", "precision", "recall"))]
    cells = [with_interval(*(getattr(row, f"{name}{end}", np.nan) for end in ("", "_low", "_high"))) for name in names]
    if label == LABELS[0]:
        cells[0] = ""
    return model, label, *cells


def differences(table: pd.DataFrame, role: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Each arm's difference to the baseline in points of a hundred, with its 95 % interval; a column per metric."""
    chosen = table[(table["role"] == role) & table["metric"].isin(metrics) & (table["arm"] != "baseline")]
    cells = [
        f"{100 * row.difference:+.1f} ({100 * row.low:+.0f} to {100 * row.high:+.0f})".replace(" ", "\u00a0")
        for row in chosen.itertuples()
    ]
    wide = chosen.assign(cell=cells).pivot(index="arm", columns="metric", values="cell")
    arms_in_order = list(dict.fromkeys(chosen["arm"]))
    named = wide.loc[arms_in_order, list(metrics)].rename(columns=lambda name: f"{METRIC_NAMES[name]} (points)")
    return named.rename_axis(columns=None)


def confusion_counts(table: pd.DataFrame, role: str) -> dict[str, np.ndarray]:
    """Per arm the mean over seeds of [[true positive, false negative], [false positive, true negative]]."""
    cells = ["true_positive", "false_negative", "false_positive", "true_negative"]
    means = table[table["role"] == role].groupby("arm", sort=False)[cells].mean()
    return {str(arm): row.to_numpy().reshape(2, 2) for arm, row in means.iterrows()}
