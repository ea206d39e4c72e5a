"""What Chapter 3 shows and says, by name."""

from typing import Any

import pandas as pd

from cxrlib.chapters import sheets
from cxrlib.chapters.chapter import Chapter, Drawn, found
from cxrlib.chapters.reading import nearness, nearness_figures, nearness_shown, shown
from cxrlib.chapters.reading.story import ReadingStory
from cxrlib.chapters.reading.tables import load_readings
from cxrlib.chapters.traces import Source
from cxrlib.chapters.words import synthetic_origin
from cxrlib.files import read_json
from cxrlib.films.settings import LABELS
from cxrlib.reading.agreement import PROGRAMS
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.sample_size import sample_size_table
from cxrlib.study import Study

# Over the whole breadth of a table.
MADE_UP = "SIMULATED READERS: a program made these answers up"
NEARNESS_AXES = ("distance by pixels (0 is a copy)", "distance by features")


def open_chapter(study: Study) -> Chapter:
    """Chapter 3 of a study."""
    return Chapter(study, FIGURES, TABLES, FACTS, found(FOUND), SOURCES)


def _story(study: Study) -> ReadingStory:
    found = load_readings(study)
    return ReadingStory(study, found.groups, found.tables)


def _table(study: Study, name: str) -> pd.DataFrame:
    return pd.read_csv(study.results.table(name))


def _nearness(study: Study) -> Drawn:
    panels = nearness.nearness_panels(study)
    return nearness_figures.nearness_to_training(panels, NEARNESS_AXES, synthetic_origin(study))


def _sample_sizes(study: Study) -> pd.DataFrame:
    return shown.sample_sizes(sample_size_table(prepare_protocol(study), study.review.planned_readers))


def _of_readers(show: Any, name: str) -> Any:
    """A table of what readers said: `show` makes it from the rows of the table `name`."""

    def table(study: Study) -> pd.DataFrame:
        story = _story(study)
        table = show(story.tables[name], story.readers)
        if story.readers == PROGRAMS:
            table.columns = pd.MultiIndex.from_product([[MADE_UP], table.columns])
        return table

    return table


FIGURES = {
    "sheet_negative": lambda study: sheets.film_sheet(nearness.contact_sheet_rows(study, "negative")),
    "sheet_positive": lambda study: sheets.film_sheet(nearness.contact_sheet_rows(study, "positive")),
    "nearness": _nearness,
    "nearest": lambda study: sheets.film_sheet(nearness.nearest_rows(study, "positive"), films_per_row=6),
    "lungs": nearness.lung_figure,
    "reader_accuracy": lambda study: _story(study).figure("accuracy"),
    "reader_steps": lambda study: _story(study).figure("steps"),
    "reader_realism": lambda study: _story(study).figure("realism"),
    "reader_artefacts": lambda study: _story(study).figure("artefacts"),
    "reading_time": lambda study: _story(study).figure("time"),
}
TABLES = {
    "copies": lambda study: nearness_shown.copies_among_synthetic(_table(study, "memorisation")),
    "leaks": lambda study: nearness_shown.leaks(_table(study, "leaks")),
    "lungs": lambda study: nearness_shown.lungs(_table(study, "anatomy")),
    "tasks": lambda study: shown.tasks_to_read(prepare_protocol(study).task_list),
    "sample_sizes": _sample_sizes,
    "readers_accuracy": _of_readers(shown.readers_accuracy, "reading_accuracy"),
    "readers_realism": _of_readers(shown.readers_realism, "reading_realism"),
    "readers_agreement": _of_readers(shown.readers_agreement, "reading_agreement"),
    "readers_pairs": _of_readers(shown.readers_pairs, "reading_pairs"),
}
FOUND = {
    "nearness": lambda study: _generated_facts(study)["flags"],
    "lungs": lambda study: _generated_facts(study)["lungs"],
    "reader_accuracy": lambda study: _story(study).facts()["origin_told"],
    "reader_steps": lambda study: _story(study).facts()["steps"],
    "reader_realism": lambda study: _story(study).facts()["realism"],
    "reader_artefacts": lambda study: _story(study).facts()["artefacts"],
    "reading_time": lambda study: _story(study).facts()["time"],
}
SOURCES = {
    "flags|control|flagged|made": [Source("tables/memorisation.csv")],
    "leaks": [Source("tables/leaks.csv")],
    "lungs": [Source("tables/anatomy.csv")],
    "origin_told|steps|sides|label": [Source("tables/reading_accuracy.csv")],
    "(realism|agreement|artefacts|time|experience|generators)": [Source(r"tables/reading_\1.csv")],
    "again": [Source("tables/reading_agreement.csv")],
    "copies": [Source("tables/reading_pairs.csv")],
    "who": [Source("tables/reading_time.csv")],
    "films|tasks": [Source("review/*/protocol.yaml")],
    "synthetic": [Source("synthetic/*/*/manifest.csv")],
}


def _generated_facts(study: Study) -> dict[str, Any]:
    return nearness.generated_facts(**{name: _table(study, name) for name in ("memorisation", "leaks", "anatomy")})


def _protocol_facts(study: Study) -> dict[str, Any]:
    protocol = prepare_protocol(study)
    synthetic = [
        read_json(study.results.synthetic_record(label, fold))["images"]
        for fold in study.generated_folds
        for label in LABELS
    ]
    return {"films": len(protocol.worklist), "tasks": len(protocol.task_list), "synthetic": sum(synthetic)}


FACTS = (_generated_facts, _protocol_facts, lambda study: _story(study).facts())
