"""`cxr readings`: what readers have said so far, in a terminal, and every answer as CSV."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.table import Table

from cxrlib.chapters.reading import shown as reading_shown
from cxrlib.chapters.reading.exports import export
from cxrlib.chapters.reading.sentences import reading_sentences
from cxrlib.chapters.reading.tables import StudyReadings, make_reading_tables
from cxrlib.reading.agreement import PROGRAMS
from cxrlib.reading.pace import PACE, standings
from cxrlib.study import Study


def report_readings(study: Study, csv: Path | None = None) -> Generator[RenderableType, None, dict[str, Any]]:
    """The parts of the summary, and in the end the rows of every table.

    With `csv`, also write every answer and the tables there, as `export` does.

    The tables of the study's results are brought up to date. Raises `InputError` if the films to read were not made.
    """
    found = make_reading_tables(study)
    yield f"{study.name}: the reading `{study.review.protocol}`, {len(found.protocol.task_list)} tasks a reader\n"
    if not len(found.answers):
        yield "no readings yet"
        yield f"To begin, type `cxr review {study.name}` (or `make review STUDY={study.name}`) and open the address."
    for readers, answers in found.groups.items():
        tables = {name: table[table["readers"] == readers] for name, table in found.tables.items()}
        sentences = reading_sentences(tables, readers, len(answers))
        yield f"{readers}\n" + "\n".join(f"  {sentence}" for sentence in sentences.values())
        yield ""
        shown = reading_shown.readers_accuracy(tables["reading_accuracy"], readers)
        yield terminal_table(shown, f"Real or synthetic? ({readers}; 95 % intervals)")
        yield _progress(found, readers)
    for reader, session, seconds in found.jumps:
        way = "forward" if seconds > 0 else "back"
        yield f"{reader}: in the sitting {session} the clock was set {way} by {abs(seconds):,.0f} seconds"
    if csv is not None:
        for written in export(found, csv):
            yield f"written: {written}"
    return {name: json.loads(table.to_json(orient="records")) for name, table in found.tables.items()}


def terminal_table(table: pd.DataFrame, title: str) -> Table:
    """A DataFrame with its index for a terminal."""
    shown = Table(title=title, title_justify="left")
    shown.add_column(str(table.index.name or ""))
    for name in table.columns:
        shown.add_column(str(name), justify="right")
    for row in table.itertuples():
        shown.add_row(*(str(value) for value in row))
    return shown


def _progress(found: StudyReadings, readers: str) -> str:
    """How far each reader is, by name: this is said in the terminal only, never in the book."""
    tasks = found.protocol.task_list
    total = int((tasks["practice"] == "no").sum())
    chosen = found.answers[found.answers["simulated"].astype(bool) == (readers == PROGRAMS)]
    done = chosen.groupby("reader").size()
    standing = standings(chosen, found.protocol)
    hurried = set(standing[standing["why"] == PACE]["reader"])
    pace = {name: ", too fast to have looked" if name in hurried else "" for name in done.index}
    return "\n".join(f"  {name}: {count} of {total} answers{pace[name]}" for name, count in done.items()) + "\n"
