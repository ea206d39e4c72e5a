"""What Chapter 1 shows and says, by name."""

from typing import Any

import pandas as pd

from cxrlib.chapters import sheets
from cxrlib.chapters.chapter import Chapter, Drawn
from cxrlib.chapters.films import exhibits, figures, shown
from cxrlib.chapters.films.sentences import data_records, film_sentences
from cxrlib.chapters.words import film_counts, origin
from cxrlib.files import read_json
from cxrlib.films.appearance import MEASURES
from cxrlib.films.images import load_manifest
from cxrlib.study import Study


def open_chapter(study: Study) -> Chapter:
    """Chapter 1 of a study."""
    return Chapter(study, FIGURES, TABLES, [facts])


def _copies(study: Study) -> Drawn | None:
    rows = exhibits.copied_films(study)
    return sheets.film_sheet(rows) if rows else None


def _appearance(study: Study) -> Drawn:
    tables = shown.load_films(study)
    views = shown.views(tables["demographics"])
    return figures.appearance(tables["shift_films"], MEASURES, views, origin(study))


FIGURES = {
    "flow": lambda study: figures.film_flow(shown.load_films(study)["flow"], origin(study)),
    "copies": _copies,
    "films": lambda study: sheets.film_sheet(exhibits.example_rows(study)),
    "outlines": lambda study: sheets.annotated_films(**exhibits.outlined_films(study)),
    "shortcuts": lambda study: figures.shortcut_areas(shown.load_films(study)["shortcut"], origin(study)),
    "borders": lambda study: figures.border_map(
        read_json(study.results.border_weights), study.publishable("training"), origin(study, "training")
    ),
    "grey_levels": lambda study: figures.intensity_histograms(exhibits.grey_levels(study), origin(study)),
    "appearance": _appearance,
    "map": lambda study: figures.film_map(pd.read_csv(study.results.film_map), study.private_roles, origin(study)),
}
TABLES = {
    "films": lambda study: shown.films(shown.load_films(study)["table1"]),
    "paper_films": lambda study: shown.paper_films(),
    "unreadable": lambda study: shown.unreadable(study, data_records(study)),
    "copies": lambda study: shown.copies(read_json(study.results.audit_record)),
    "patients": lambda study: shown.patients(shown.load_films(study)["demographics"]),
    "shortcuts": lambda study: shown.shortcuts(shown.load_films(study)["shortcut"]),
    "folds": lambda study: shown.folds(study, load_manifest(study, "hospital")),
}


def facts(study: Study) -> dict[str, Any]:
    """What the chapter says."""
    grey = exhibits.grey_levels(study)
    return {
        "resolution": study.gan.resolution,
        "classifier_size": study.classifier.image_size,
        "folds": study.data.folds,
        **film_counts(data_records(study)),
        **film_sentences(study, shown.load_films(study), read_json(study.results.films_record)),
        **{f"{role}_grey": f"{pixels.mean():.0f}" for role, pixels in grey.items()},
    }
