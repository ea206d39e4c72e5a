"""Every table of a study, made from manifests, records and predictions."""

from cxrlib.chapters.films.tables import make_film_tables, table1
from cxrlib.chapters.generators.comparisons import compare_generators
from cxrlib.chapters.generators.quality import measure_quality
from cxrlib.chapters.results.explanations import explain_study, shown_arm
from cxrlib.chapters.results.tables import gather_predictions, make_tables, statements_path

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
