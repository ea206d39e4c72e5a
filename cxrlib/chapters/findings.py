"""What “negative” means in training and at the hospital: said before any result."""

from collections.abc import Mapping

import pandas as pd

from cxrlib.chapters.words import joined
from cxrlib.evaluation.suppression import SMALL, WITHHELD
from cxrlib.films.findings import COVID, KINDS, NO_FINDING, OTHER, PNEUMONIA

SHOWN = {NO_FINDING: "no finding", COVID: "COVID-19", PNEUMONIA: "another pneumonia", OTHER: "another finding"}


def negatives_sentence(demographics: pd.DataFrame, named: Mapping[str, Mapping[str, int]]) -> str:
    """What the negatives of the hospital show, and which of it those of training lack; `named` are findings by role."""
    training, hospital = (_kinds_of_negatives(demographics, role) for role in ("training", "hospital"))
    if not hospital:
        return (
            "What the hospital's negative films show is not recorded, so nobody can say whether “negative” means the "
            "same there as in training."
        )
    told = joined([f"{count} show {SHOWN[kind]}" for kind, count in hospital.items()])
    names = joined([f"{name} in {count:,}" for name, count in named.get("hospital", {}).items()] or [""])
    told += f" ({names})" if names else ""
    if not training:
        return (
            f"Of the hospital's negative films {told}. What those of training show is not recorded, so nobody can say "
            "whether “negative” means the same in both."
        )
    if set(hospital) <= set(training):
        same = "As far as is recorded, “negative” means the same in training and at the hospital"
        return f"{same}: of its negatives {told}."
    lacking = " or ".join(SHOWN[kind] for kind in hospital if kind not in training)
    return (
        f"“Negative” means two things in this study. Of the hospital's negative films {told}; in training no negative "
        f"film shows {lacking}, only {joined([SHOWN[kind] for kind in training])}. A classifier meets it at the "
        "hospital for the first time and has to call it negative, so a low specificity there need not be due to how "
        "the films look."
    )


def _kinds_of_negatives(demographics: pd.DataFrame, role: str) -> dict[str, str]:
    """How many negative films show what, as far as any is known to; in words where the number is hidden."""
    rows = demographics[(demographics["variable"] == "finding") & (demographics["role"] == role)]
    counts = {str(row.level): str(row.films_negative).removesuffix(".0") for row in rows.itertuples()}
    hidden = {SMALL: "fewer than five", WITHHELD: "some"}
    return {
        kind: hidden.get(count, f"{int(count):,}" if count.isdigit() else count)
        for kind, count in counts.items()
        if kind in KINDS and count != "0"
    }
