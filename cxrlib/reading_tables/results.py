"""Tables of chapter 5: Table 1, Table 2, differences between arms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.data.settings import LABELS
from cxrlib.figures import METRIC_NAMES
from cxrlib.narration import with_interval
from cxrlib.study import Study


def load(study: Study) -> dict[str, pd.DataFrame]:
    """Every table of the study's results, by name, as the stages wrote it."""
    return {path.stem: pd.read_csv(path) for path in sorted(study.results.table("any").parent.glob("*.csv"))}


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
    chosen = table[(table["role"] == role) & (table["operating_point"] == "fixed")]
    parts = [(row, row.arm) for row in chosen.itertuples()]
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
    chosen = table[(table["role"] == role) & (table["operating_point"] == "fixed") & (table["arm"] != "baseline")]
    chosen = chosen[chosen["metric"].isin(metrics)]
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
    cells = ["tp", "fn", "fp", "tn"]
    chosen = table[(table["role"] == role) & (table["operating_point"] == "fixed")]
    means = chosen.groupby("arm", sort=False)[cells].mean()
    return {str(arm): row.to_numpy().reshape(2, 2) for arm, row in means.iterrows()}
