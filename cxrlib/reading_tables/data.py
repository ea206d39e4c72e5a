"""Tables of chapter 1: films, folds, unreadable files."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrlib.data.settings import LABELS, ROLES
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
