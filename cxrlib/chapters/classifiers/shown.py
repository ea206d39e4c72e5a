"""The tables of Chapter 4 as people read them: arms, what they learned from, what validation decided, time."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cxrlib.classifiers.arms import arm_of
from cxrlib.films.settings import LABELS


def synthetic_flow(table: pd.DataFrame) -> pd.DataFrame:
    """From synthetic films made to those that arms may learn from, one row per fold and label."""
    shown = table.rename(
        columns={
            "fold": "generators of",
            "made": "films made",
            "flagged": "flagged as copies",
            "rejected": "rejected by readers",
            "used": "films used",
        }
    )
    return shown.set_index(["generators of", "label"])


def arms(names: Sequence[str]) -> pd.DataFrame:
    """What each arm holds of the hospital, what it trains on, and which question it answers."""
    rows = [(arm.name, arm.rung, arm.films, arm.answers) for arm in map(arm_of, names)]
    return pd.DataFrame(rows, columns=["arm", "of the hospital", "trains on", "answers"]).set_index("arm")


def composition(records: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Films per epoch of each arm, from one classifier record per arm."""
    rows = {}
    for arm, record in records.items():
        counts = []
        for label in LABELS:
            added = [record.get(kind, {}).get(label, 0) for kind in ("synthetic_images", "hospital_images")]
            counts += [record["training_images"].get(label, 0) - sum(added), *added]
        rows[arm] = counts
    columns = [f"{kind} {label}" for label in LABELS for kind in ("public", "synthetic", "hospital")]
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


def decided_on_validation(records: Mapping[tuple[str, int, str], Mapping[str, Any]]) -> pd.DataFrame:
    """Per arm, the temperatures and thresholds that validation films decided, and how often the hospital was opened.

    From the records of all classifiers by (arm, seed, fold); a range where an arm has several classifiers.
    """
    rows = [
        (
            arm,
            record["temperature"],
            record["threshold_validation"],
            record["hospital_openings"],
            record.get("remarks", []),
        )
        for (arm, _, _), record in records.items()
    ]
    found = pd.DataFrame(rows, columns=["arm", "temperature", "threshold", "openings", "remarks"])
    found = found.groupby("arm", sort=False)
    return pd.DataFrame({
        "temperature": found["temperature"].agg(_range),
        "threshold of largest recall sum": found["threshold"].agg(_range),
        "classifiers": found.size(),
        "hospital opened, times": found["openings"].sum(),
        "remarks": found["remarks"].agg(_counted),
    })  # fmt: skip


def _counted(remarks: pd.Series) -> str:
    """Each remark with the number of classifiers that it is about."""
    counts = Counter(remark for several in remarks for remark in several)
    return "; ".join(f"{remark} ({count} of {len(remarks)})" for remark, count in counts.items()) or "–"


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"
