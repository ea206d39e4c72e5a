"""What Chapter 1 shows and says, by name."""

from typing import Any

import pandas as pd

from cxrlib.chapters import sheets
from cxrlib.chapters.chapter import Chapter, Drawn, found
from cxrlib.chapters.films import exhibits, figures, sentences, shown
from cxrlib.chapters.traces import Source
from cxrlib.chapters.words import film_counts, origin
from cxrlib.files import read_json
from cxrlib.films.appearance import MEASURES
from cxrlib.films.images import load_manifest
from cxrlib.study import Study


def open_chapter(study: Study) -> Chapter:
    """Chapter 1 of a study."""
    return Chapter(study, FIGURES, TABLES, [facts], {**found(FOUND), "map_films": exhibits.map_by_hand}, SOURCES)


def _copies(study: Study) -> Drawn | None:
    rows = exhibits.copied_films(study)
    return sheets.film_sheet(rows) if rows else None


def _appearance(study: Study) -> Drawn:
    tables = shown.load_films(study)
    views = shown.views(tables["demographics"])
    return figures.appearance(tables["shift_films"], MEASURES, views, origin(study))


def _mean_greys(study: Study) -> dict[str, float]:
    return {role: float(pixels.mean()) for role, pixels in exhibits.grey_levels(study).items()}


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
    "map_films": exhibits.map_of_pictures,
}
TABLES = {
    "films": lambda study: shown.films(shown.load_films(study)["table1"]),
    "paper_films": lambda study: shown.paper_films(),
    "unreadable": lambda study: shown.unreadable(study, sentences.data_records(study)),
    "copies": lambda study: shown.copies(read_json(study.results.audit_record)),
    "patients": lambda study: shown.patients(shown.load_films(study)["demographics"]),
    "shortcuts": lambda study: shown.shortcuts(shown.load_films(study)["shortcut"]),
    "folds": lambda study: shown.folds(study, load_manifest(study, "hospital")),
}
FOUND = {
    "flow": lambda study: sentences.missing_sentence(shown.load_films(study)["table1"]),
    "shortcuts": lambda study: sentences.shortcut_verdict(shown.load_films(study)["shortcut"]),
    "borders": lambda study: sentences.borders_sentence(shown.load_films(study)["shortcut"], "training"),
    "grey_levels": lambda study: sentences.grey_sentence(_mean_greys(study)),
    "appearance": lambda study: sentences.shift_sentence(shown.load_films(study)["shift_films"], "hospital"),
    "map": lambda study: sentences.neighbours_sentence(read_json(study.results.films_record)["neighbours"]),
}
ROLE = "(training|validation|hospital|external)"
FROM_SOURCE = ("accuracy", "films", "known_source", "roc_auc")
SOURCES = {
    f"{ROLE}_(?:films|patients|positive|negative|positive_share)": [Source("tables/table1.csv", {"role": r"\1"})],
    "missing|both": [Source("tables/table1.csv")],
    "negatives": [Source("tables/demographics.csv", {"variable": "finding"})],
    "covidx": [Source("tables/covidx_labels.csv")],
    f"source_{ROLE}": [Source("tables/shortcut.csv", {"role": r"\1"}, FROM_SOURCE)],
    f"borders_{ROLE}": [Source("tables/shortcut.csv", {"role": r"\1", "shortcut": "borders"}, ("roc_auc",))],
    f"shift_{ROLE}": [Source("tables/shift_films.csv", {"role": r"\1", "label": "both"})],
    "border_region|map_.*": [Source("tables/films.json")],
    f"{ROLE}_grey": [Source(r"data/\1/manifest.csv")],
    "resolution|classifier_size|folds": [Source("study.yaml")],
}


def facts(study: Study) -> dict[str, Any]:
    """What the chapter says."""
    return {
        "resolution": study.gan.resolution,
        "classifier_size": study.classifier.image_size,
        "folds": study.data.folds,
        **film_counts(sentences.data_records(study)),
        **sentences.film_sentences(study, shown.load_films(study), read_json(study.results.films_record)),
        **{f"{role}_grey": f"{mean:.0f}" for role, mean in _mean_greys(study).items()},
    }
