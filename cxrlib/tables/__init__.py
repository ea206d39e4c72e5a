"""Every table of a study, made from manifests, records and predictions."""

from cxrlib.tables.films import make_film_tables, table1
from cxrlib.tables.quality import measure_quality
from cxrlib.tables.results import gather_predictions, make_tables, statements_path

__all__ = [
    "gather_predictions",
    "make_film_tables",
    "make_tables",
    "measure_quality",
    "statements_path",
    "table1",
]
