"""What the chapters need to tell their story: films that may be shown, figures kept, numbers glued, progress said."""

from cxrlib.narration.data import borders, copied_films, example_rows, film_map, grey_levels, outlined_films
from cxrlib.narration.exhibits import (
    augmented_row,
    classifier_logs,
    contact_sheet_rows,
    film_row,
    generator_logs,
    nearest_pairs,
    real_and_synthetic_rows,
    sample_row,
    synthetic_row,
)
from cxrlib.narration.explained import failure_rows, figure_two
from cxrlib.narration.film_facts import data_records, film_sentences
from cxrlib.narration.findings import results_facts, training_facts
from cxrlib.narration.generators import believed, compared_with, fidelity, nearness, variety
from cxrlib.narration.readings import tell_readings
from cxrlib.narration.words import (
    film_counts,
    glue_all,
    origin,
    origin_sentence,
    percent,
    progress,
    publishable,
    show,
    synthetic_origin,
    with_interval,
)

__all__ = [
    "augmented_row",
    "believed",
    "borders",
    "classifier_logs",
    "compared_with",
    "contact_sheet_rows",
    "copied_films",
    "data_records",
    "example_rows",
    "failure_rows",
    "fidelity",
    "figure_two",
    "film_counts",
    "film_map",
    "film_row",
    "film_sentences",
    "generator_logs",
    "glue_all",
    "grey_levels",
    "nearest_pairs",
    "nearness",
    "origin",
    "origin_sentence",
    "outlined_films",
    "percent",
    "progress",
    "publishable",
    "real_and_synthetic_rows",
    "results_facts",
    "sample_row",
    "show",
    "synthetic_origin",
    "synthetic_row",
    "tell_readings",
    "training_facts",
    "variety",
    "with_interval",
]
