"""The book's figures: arrays and tables in, matplotlib figures out. Each says where its films come from."""

from cxrlib.figures.data import intensity_histograms
from cxrlib.figures.films import FilmRow, annotated_films, film_pairs, film_sheet
from cxrlib.figures.results import confusion_matrices, curves, differences, seed_dots
from cxrlib.figures.style import METRIC_NAMES, WIDTH_INCHES, panels, style
from cxrlib.figures.training import composition, quality_intervals, training_curves

__all__ = [
    "METRIC_NAMES",
    "WIDTH_INCHES",
    "FilmRow",
    "annotated_films",
    "composition",
    "confusion_matrices",
    "curves",
    "differences",
    "film_pairs",
    "film_sheet",
    "intensity_histograms",
    "panels",
    "quality_intervals",
    "seed_dots",
    "style",
    "training_curves",
]
