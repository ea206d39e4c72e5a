"""Simulated films in the place of those that may not be shown; they always say what they are."""

from typing import Any

import numpy as np

from cxrlib.films.phantom import Film, phantom_film, phantom_manifest
from cxrlib.films.settings import EXTERNAL, LABELS, PhantomSource
from cxrlib.study import Study

NOT_SHOWN = "may not be shown, simulated films in their place"
STAND_IN = "simulated stand-ins"


def stand_ins(study: Study, role: str, label: str, count: int, size: int | None = None) -> np.ndarray:
    """Simulated films of a label, uint8 (count, size, size), of nobody: their patients belong to no study."""
    return np.stack([film.image for film in _films(study, role, label, count, size or study.gan.resolution)])


def outlined_stand_ins(study: Study, size: int) -> dict[str, Any]:
    """A simulated negative and positive film with their outlines: what `figures.annotated_films` draws."""
    films = [_films(study, "hospital", label, 1, size)[0] for label in LABELS]
    return {
        "films": np.stack([film.image for film in films]),
        "lungs": np.stack([film.lungs for film in films]) > 0,
        "opacities": np.stack([film.opacities for film in films]) > 0,
        "titles": [f"{label} (simulated)" for label in LABELS],
        "origin": f"{STAND_IN}: no film with outlines may be shown",
    }


def _films(study: Study, role: str, label: str, count: int, size: int) -> list[Film]:
    scanner = "hospital" if role in ("hospital", EXTERNAL) else "public"
    source = PhantomSource(reader="phantom", scanner=scanner, negative_patients=count, positive_patients=count)
    # Not the role's own name: a simulated role's patients are drawn by it, and these would be the very same films.
    rows = phantom_manifest(source, f"stand-in-{role}", study.seed)
    rows = rows[rows["label"] == label].head(count).to_dict("records")
    return [phantom_film(source, study.seed, row, size) for row in rows]
