"""What chapters show: films that may be shown, always the same draw, and the logs of training."""

from typing import Any

import numpy as np

from cxrlib.chapters.sheets import FilmRow
from cxrlib.chapters.stand_ins import NOT_SHOWN, STAND_IN, stand_ins
from cxrlib.chapters.words import origin, role_word, synthetic_origin
from cxrlib.films.images import load_image_set, load_synthetic
from cxrlib.publishing.guard import near_copies
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study


def film_row(study: Study, role: str, label: str, count: int = 8) -> FilmRow:
    """Some films of one role and label, drawn at random but always the same; simulated ones if not publishable."""
    title = f"{role_word(role)} · {label}"
    if not study.publishable(role):
        return FilmRow(f"{title}: {NOT_SHOWN}", stand_ins(study, role, label, count), STAND_IN)
    films = load_image_set(study, role, study.gan.resolution)
    rows = np.flatnonzero(films.manifest["label"].to_numpy() == label)
    chosen = draw_rows(rows, count, study.seed, "shown", role, label)
    return FilmRow(title, np.array(films.images[chosen]), origin(study, role))


def synthetic_row(study: Study, label: str, fold: str = "all", count: int = 8) -> FilmRow:
    """A draw from a generator's films, always the same; without those flagged as too near to a training film, and
    without what the guard would take for a private film."""
    films = load_synthetic(study, label, fold, study.gan.resolution)
    chosen = draw_rows(np.arange(len(films)), count, study.seed, "shown", "synthetic", label, fold)
    return row_of_synthetic(study, f"synthetic · {label}", np.array(films.images[chosen]))


def row_of_synthetic(study: Study, title: str, films: np.ndarray) -> FilmRow:
    """Synthetic films may be shown though the hospital's may not, except those that are as good as one of them."""
    copies = near_copies(study, films)
    if copies.any():
        title = f"{title} ({copies.sum()} left out, too near to a film that may not be shown)"
    return FilmRow(title, films[~copies], synthetic_origin(study))


def draw_rows(rows: np.ndarray, count: int, *purpose: Any) -> np.ndarray:
    """Some of the rows, drawn at random, but always the same for the same purpose."""
    chosen = np.random.default_rng(seed_for(*purpose)).choice(rows, min(count, len(rows)), replace=False)
    return np.sort(chosen)
