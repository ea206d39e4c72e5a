"""What chapters show of the films a classifier looked at: failures, and a real beside a synthetic positive."""

from typing import Any

import numpy as np
import pandas as pd

from cxrlib.chapters.results.explanation_figures import LookedAt
from cxrlib.chapters.words import origin, synthetic_origin
from cxrlib.study import Study

FAILURES = {
    "false negative": "positive films that were called negative, the surest first",
    "false positive": "negative films that were called positive, the surest first",
}


def failure_rows(study: Study) -> list[LookedAt]:
    """The shown arm's failures with what it looked at, for `figures.attention_gallery`; a note if not publishable."""
    table, films, maps = _shown_films(study)
    rows = []
    for panel, title in FAILURES.items():
        if not study.publishable("hospital"):
            rows.append(LookedAt(title, None, None, [], origin(study, "hospital")))
            continue
        at = np.flatnonzero(table["panel"] == panel)
        captions = [f"p = {p:.2f}" for p in table["p_positive"].iloc[at]]
        rows.append(LookedAt(title, films[at], maps[at], captions, origin(study, "hospital")))
    return rows


def figure_two(study: Study) -> dict[str, Any]:
    """A real and a synthetic positive with every answer and what was looked at, for `figures.real_and_synthetic`."""
    table, films, maps = _shown_films(study)
    names = {"real": _name(table[table["panel"] == "real"]), "synthetic": "synthetic film"}
    at = np.flatnonzero(table["panel"].isin(list(names)))
    cells = {
        (names[row.panel], row.arm): (films[row.Index], maps[row.Index], f"{row.answer}, p = {row.p_positive:.2f}")
        for row in table.iloc[at].itertuples()
    }
    kind = table.loc[table["panel"] == "real", "origin"].iloc[0]
    return {"cells": cells, "origins": {names["real"]: f"{kind} film", names["synthetic"]: synthetic_origin(study)}}


def _name(rows: pd.DataFrame) -> str:
    source = rows["source"].iloc[0]
    return "simulated stand-in" if source == "stand-in" else f"{source} film"


def _shown_films(study: Study) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    folder = study.results.explanations_record.parent
    arrays = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("films", "maps"))
    return pd.read_csv(folder / "films.csv"), *arrays
