"""Every table of a study, made from manifests, records and predictions."""

from cxrlib.tables.comparisons import compare_generators
from cxrlib.tables.explanations import explain_study, shown_arm
from cxrlib.tables.films import make_film_tables, table1
from cxrlib.tables.quality import measure_quality
from cxrlib.tables.results import gather_predictions, make_tables, statements_path

__all__ = [
    "compare_generators",
    "explain_study",
    "gather_predictions",
    "make_film_tables",
    "make_tables",
    "measure_quality",
    "shown_arm",
    "statements_path",
    "table1",
]
