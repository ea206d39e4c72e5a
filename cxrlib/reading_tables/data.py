"""Tables of chapter 1: films, folds, unreadable files."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrlib.data.settings import LABELS, ROLES
from cxrlib.evaluation.suppression import suppress_small_cells
from cxrlib.study import Study


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


def unreadable(study: Study, records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Files that could not be read, with the reason, from the data records by role.

    A role that may not be published gives the number of files per reason instead of their names.
    """
    rows = []
    for role, record in records.items():
        if study.publishable(role):
            rows += [(role, entry["file"], entry["reason"]) for entry in record["unreadable"]]
        else:
            reasons = Counter(_without_name(entry) for entry in record["unreadable"])
            rows += [(role, f"{count} not named", reason) for reason, count in sorted(reasons.items())]
    return pd.DataFrame(rows, columns=["role", "file", "reason"])


def _without_name(entry: Mapping[str, str]) -> str:
    """The kind of reason: what follows the colon may quote the file."""
    return entry["reason"].split(":")[0]


def folds(study: Study, manifest: pd.DataFrame) -> pd.DataFrame:
    """The hospital's folds: patients and films of each label; small numbers are hidden if it may not be published."""
    grouped = manifest.groupby("fold")
    table = pd.DataFrame({"patients": grouped["patient_id"].nunique()})
    for label in reversed(LABELS):
        table[f"{label} films"] = grouped["label"].agg(lambda labels, label=label: (labels == label).sum())
    if study.publishable("hospital"):
        return table
    films = [f"{label} films" for label in reversed(LABELS)]
    by_label = manifest.groupby(["fold", "label"])["patient_id"].nunique().unstack(fill_value=0)
    patients = by_label.rename(columns=lambda label: f"{label} films").reindex(columns=films, fill_value=0)
    shown = suppress_small_cells(table, films, patients=patients)
    return suppress_small_cells(shown, ["patients"])
