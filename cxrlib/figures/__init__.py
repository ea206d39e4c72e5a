"""The book's figures: arrays and tables in, matplotlib figures out. Each says where its films come from."""

from cxrlib.chapters.films.figures import (
    appearance,
    border_map,
    film_flow,
    film_map,
    intensity_histograms,
    shortcut_areas,
)
from cxrlib.chapters.generators.figures import (
    composition,
    quality_intervals,
    snapshot_curves,
    training_curves,
    variant_curves,
)
from cxrlib.chapters.reading.figures import artefact_map, reader_accuracy, reader_realism, reader_steps, reading_time
from cxrlib.chapters.reading.nearness_figures import NearnessPanel, lungs_beside_real, nearness_to_training
from cxrlib.chapters.results.curves import curves, decision_curve, operating_point, reliability
from cxrlib.chapters.results.explanation_figures import (
    LookedAt,
    attention_gallery,
    attention_shares,
    real_and_synthetic,
)
from cxrlib.chapters.results.figures import (
    confusion_matrices,
    differences,
    dose_curve,
    paper_beside,
    seed_dots,
    subgroups,
)
from cxrlib.chapters.sheets import FilmRow, animated_films, annotated_films, film_sheet
from cxrlib.chapters.style import METRIC_NAMES, WIDTH_INCHES, note, panels, style

__all__ = [
    "METRIC_NAMES",
    "WIDTH_INCHES",
    "FilmRow",
    "LookedAt",
    "NearnessPanel",
    "animated_films",
    "annotated_films",
    "appearance",
    "artefact_map",
    "attention_gallery",
    "attention_shares",
    "border_map",
    "composition",
    "confusion_matrices",
    "curves",
    "decision_curve",
    "differences",
    "dose_curve",
    "film_flow",
    "film_map",
    "film_sheet",
    "intensity_histograms",
    "lungs_beside_real",
    "nearness_to_training",
    "note",
    "operating_point",
    "panels",
    "paper_beside",
    "quality_intervals",
    "reader_accuracy",
    "reader_realism",
    "reader_steps",
    "reading_time",
    "real_and_synthetic",
    "reliability",
    "seed_dots",
    "shortcut_areas",
    "snapshot_curves",
    "style",
    "subgroups",
    "training_curves",
    "variant_curves",
]
