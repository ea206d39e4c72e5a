"""Tables for display that more than one chapter needs."""

from itertools import product

import pandas as pd

from cxrlib.films.images import load_synthetic, rejected_ids
from cxrlib.films.settings import LABELS
from cxrlib.settings import Settings
from cxrlib.study import Study


def settings(stage: Settings) -> pd.DataFrame:
    """The settings of a stage, one per row, in words."""
    words = {"True": "yes", "False": "no", "None": "none", "": "none"}
    told = {
        name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in stage.model_dump().items()
    }
    rows = [(name.replace("_", " "), words.get(value, value)) for name, value in told.items()]
    return pd.DataFrame(rows, columns=["setting", "value"]).set_index("setting")


def synthetic_flow(study: Study) -> pd.DataFrame:
    """The flow goes on: from synthetic films made to those that classifiers may learn from.

    One row per label and fold: fold, label, made, flagged (too near to a training film), rejected (by readers, of the
    rest), used. Sets that are not made yet have no row.
    """
    rows = []
    for fold, label in product(study.generated_folds, reversed(LABELS)):
        if study.results.synthetic_record(label, fold).exists():
            films = load_synthetic(study, label, fold, study.gan.resolution, flagged=True).manifest
            kept = films[~films["flagged"]]
            rejected = int(kept["image_id"].isin(rejected_ids(study, label, fold)).sum())
            rows.append((fold, label, len(films), len(films) - len(kept), rejected, len(kept) - rejected))
    return pd.DataFrame(rows, columns=["fold", "label", "made", "flagged", "rejected", "used"])
