"""The chapters' tables as people read them: words and units in the header, sensible digits, intervals beside estimates.

Each function takes records or tables as the stages wrote them and returns a DataFrame for display.
"""

from cxrlib.reading_tables.data import (
    copies,
    films,
    folds,
    load_films,
    paper_films,
    patients,
    shortcuts,
    unreadable,
    views,
)
from cxrlib.reading_tables.results import (
    attention,
    confusion_counts,
    differences,
    equal_precision,
    load,
    p_value,
    paper_conclusions,
    pooled_levels,
    probabilities,
    ranking,
    significance,
    subgroups,
    table_two,
)
from cxrlib.reading_tables.training import (
    ARM_QUESTIONS,
    COMPARISONS,
    arms,
    composition,
    decided_on_validation,
    quality,
    settings,
    timing,
)

__all__ = [
    "ARM_QUESTIONS",
    "COMPARISONS",
    "arms",
    "attention",
    "composition",
    "confusion_counts",
    "copies",
    "decided_on_validation",
    "differences",
    "equal_precision",
    "films",
    "folds",
    "load",
    "load_films",
    "p_value",
    "paper_conclusions",
    "paper_films",
    "patients",
    "pooled_levels",
    "probabilities",
    "quality",
    "ranking",
    "settings",
    "shortcuts",
    "significance",
    "subgroups",
    "table_two",
    "timing",
    "unreadable",
    "views",
]
