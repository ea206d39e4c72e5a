"""Table 1: the films of each role."""

from typing import Any

import pandas as pd

from cxrlib.artifacts import read_json
from cxrlib.classifier.arms import SYNTHETIC_ARMS
from cxrlib.data.images import load_manifest
from cxrlib.data.settings import LABELS, ROLES, CovidxSource, PhantomSource, Role
from cxrlib.study import Study


def table1(study: Study) -> pd.DataFrame:
    """Images and patients of each role by label, the paper's Table 1."""
    rows = []
    for role in ROLES:
        manifest = load_manifest(study, role)
        record = read_json(study.results.data_record(role))
        row: dict[str, Any] = {"dataset": _dataset_name(study, role), "role": role}
        for label in ("positive", "negative"):
            row[f"{label}_images"] = int((manifest["label"] == label).sum())
        for label in ("positive", "negative"):
            row[f"{label}_patients"] = int(manifest.loc[manifest["label"] == label, "patient_id"].nunique())
        row["patients"] = int(manifest["patient_id"].nunique())
        row["unreadable_files"] = len(record["unreadable"])
        row["simulated"] = study.data.source(role).reader == "phantom"
        rows.append(row)
        if role == "training" and set(SYNTHETIC_ARMS) & set(study.classifier.arms):
            made = study.synthesis.images_per_label
            more = {f"{label}_images": row[f"{label}_images"] + made for label in LABELS}
            rows.append(row | {"dataset": f"{row['dataset']} + synthetic", "role": "training + synthetic"} | more)
    return pd.DataFrame(rows)


def _dataset_name(study: Study, role: Role) -> str:
    source = study.data.source(role)
    if isinstance(source, PhantomSource):
        return f"chest phantom, {source.scanner} scanner"
    if isinstance(source, CovidxSource):
        return f"COVIDx V8B ({source.split} split)"
    return source.folder.name
