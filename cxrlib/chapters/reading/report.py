"""`cxr readings`: what readers have said so far, in a terminal, and every answer as CSV."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from rich.console import RenderableType
from rich.table import Table

from cxrlib.artifacts import write_csv
from cxrlib.chapters.reading import shown as reading_shown
from cxrlib.chapters.reading.sentences import reading_sentences
from cxrlib.chapters.reading.tables import StudyReadings, make_reading_tables
from cxrlib.reading.agreement import PROGRAMS
from cxrlib.reading.pace import PACE, standings
from cxrlib.study import Study

SAID = ("who", "origin", "sides", "realism", "label", "agreement", "again", "artefacts", "copies", "time")
ANSWERS_FILE = "reading_answers.csv"
# Halves of surrogate pairs, and control characters but for tabs and line ends.
NO_TEXT = re.compile(r"[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
COLUMNS = (
    "reader", "simulated", "block", "task", "repeat", "repeat_of", "kind", "label", "seconds", "time", "session",
    "film", "origin", "diagnosis", "confidence", "step", "read_origin", "realism", "usable", "artefacts", "comment",
    "right_answer", "answer", "protocol_sha256",
)  # fmt: skip


def report_readings(study: Study, csv: Path | None = None) -> Iterator[RenderableType]:
    """The parts of the summary; with `csv`, also write the tables and `reading_answers.csv` there.

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
        yield f"{readers}\n" + "\n".join(f"  {sentences[name]}" for name in SAID)
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


def export(found: StudyReadings, folder: Path) -> Iterator[str]:
    """Write `reading_answers.csv`, one row per answer, and the tables; gives the paths. Described in `book/tables.md`.

    The answers are the readers' own, under their names: keep the folder private. What no file can hold is replaced, and
    where that was is said after the path.
    """
    table, cleaned = cleaned_table(answers_table(found))
    write_csv(folder / ANSWERS_FILE, table, private=True)
    yield str(folder / ANSWERS_FILE)
    for place in cleaned:
        yield f"{folder / ANSWERS_FILE}: replaced by � what is no text: {place}"
    for name, table in found.tables.items():
        write_csv(folder / f"{name}.csv", table)
        yield str(folder / f"{name}.csv")


def cleaned_table(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """A table whose every text can be written and read back, and where something was replaced, e.g. "comment of
    task0044 by anna". Half a surrogate pair has no UTF-8, and control characters end files or lines in some programs.
    """
    table, places = table.copy(), []
    for column in table.select_dtypes(exclude="number").columns:
        for row, value in table[column].items():
            if isinstance(value, str) and (clean := NO_TEXT.sub("�", value)) != value:
                table.loc[row, column] = clean
                places.append(f"{column} of {table.loc[row, 'task']} by {table.loc[row, 'reader']}")
    return table, places


def answers_table(found: StudyReadings) -> pd.DataFrame:
    """One row per answer, every column a plain value; `artefacts` are JSON."""
    table = found.answers.drop(columns="case_id").rename(columns={"task_id": "task", "film_id": "film"})
    repeat_of = found.protocol.task_list.set_index("task_id")["repeat_of"]
    table["repeat_of"] = table["task"].map(repeat_of)
    table["artefacts"] = [json.dumps(tags, ensure_ascii=False) if isinstance(tags, list) else "" for tags in
                          table["artefacts"]]  # fmt: skip
    for name in ("confidence", "step", "realism"):
        table[name] = table[name].astype("Int64")
    table["protocol_sha256"] = found.protocol.sha256
    return table[list(COLUMNS)]
