"""The chapters' tables as people read them: words and units in the header, sensible digits, intervals beside estimates.

Each function takes records or tables as the stages wrote them and returns a DataFrame for display.
"""

from cxrlib.reading_tables.data import films, folds, unreadable
from cxrlib.reading_tables.results import confusion_counts, differences, load, table_one, table_two
from cxrlib.reading_tables.training import ARM_QUESTIONS, COMPARISONS, arms, composition, quality, settings, timing

__all__ = [
    "ARM_QUESTIONS",
    "COMPARISONS",
    "arms",
    "composition",
    "confusion_counts",
    "differences",
    "films",
    "folds",
    "load",
    "quality",
    "settings",
    "table_one",
    "table_two",
    "timing",
    "unreadable",
]
