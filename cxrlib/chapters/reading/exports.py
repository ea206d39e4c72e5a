"""What readers said, for other programs: one tidy table with its codebook, and files as iMRMC and RJafroc read them.

Both programs take the question of real or synthetic on single films: the truth is 1 for real films, the score is the
step from 1 (surely synthetic) to 6 (surely real), and only readers who count are there, so that their areas are the
book's. iMRMC: https://github.com/DIDSR/iMRMC; RJafroc's workbook: `DfReadDataFile` of its manual.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib.chapters.reading.rows import Group
from cxrlib.chapters.reading.tables import StudyReadings
from cxrlib.files import atomic_path, write_table, write_text
from cxrlib.reading.agreement import told_of_readers
from cxrlib.reading.events import current_answers, read_events
from cxrlib.reading.pace import standings
from cxrlib.reading.questions import ABOUT

ANSWERS_FILE, CODEBOOK_FILE = "reading_answers.csv", "codebook.csv"
MODALITY = "single-film"
# Halves of surrogate pairs, and control characters but for tabs and line ends.
NO_TEXT = re.compile(r"[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Of `reading_answers.csv`: every column, its values, and what it means.
CODEBOOK = {
    "reader": ("name", "as the reader gave it"),
    "simulated": ("True, False", "whether a program answered"),
    "block": ("A, B, C, D", "single films; which of two is synthetic; the same patient; which of two generators"),
    "task": ("id", "the task"),
    "repeat": ("True, False", "whether the film is shown for the second time"),
    "repeat_of": ("id", "the task in which the same film was shown before"),
    "hours_since_first": ("hours", "between the two showings of a film, at the second"),
    "kind": ("text", "of pairs, what they are"),
    "label": ("negative, positive", "label of the film, or of the pair"),
    "seconds": ("seconds", "for which the film could be seen; at most 1800"),
    "time": ("UTC", "when it was answered"),
    "session": ("id", "the sitting"),
    "film": ("id", "of the single film, in this reading only"),
    "origin": ("real, synthetic", "what the film is"),
    "diagnosis": ("negative, positive", "the reader's"),
    "confidence": ("1-5", "in the diagnosis, or in the choice of a side"),
    "step": ("1-6", "from surely synthetic to surely real"),
    "read_origin": ("real, synthetic", "which half of the steps that is"),
    "realism": ("1-5", "the reader's"),
    "usable": ("yes, no", "to train a classifier"),
    "artefacts": ("JSON", "a list of marks: tag, and x and y as fractions of width and height, or null"),
    "comment": ("text", "the reader's"),
    "right_answer": ("left, right; yes, no", "of a pair, where there is one"),
    "answer": ("left, right; yes, no, unsure; text", "of a pair; in block D the generator whose film was chosen"),
    "speciality": ("text", "the reader's, as told before the first film"),
    "years": ("0-1, 2-5, 6-10, 11 or more", "for which the reader has read films"),
    "films_a_week": ("0-9, 10-49, 50-199, 200 or more", "chest films the reader reads"),
    "luminance": ("text", "fields of the test pattern in which the reader saw an inner square on this screen"),
    "calibrated": ("yes, no, not known", "whether that screen is calibrated (DICOM GSDF)"),
    "room": ("dim, like an office, daylight", "how bright the room was"),
    "screen": ("pixels", "width and height of the screen"),
    "pixel_ratio": ("number", "pixels of the screen for one of the page"),
    "window_centre": ("grey", "of the window with which the (left) film was seen last"),
    "window_width": ("greys", "of that window"),
    "zoom": ("number", "1 just fits"),
    "inverted": ("True, False", "whether black and white were exchanged"),
    "protocol_sha256": ("hash", "of the frozen protocol"),
}  # fmt: skip


def export(found: StudyReadings, folder: Path) -> Iterator[str]:
    """Write `reading_answers.csv` with `codebook.csv`, files for iMRMC and RJafroc, and the tables; gives the paths.

    The answers are the readers' own, under their names: keep the folder private. What no file can hold is replaced, and
    where that was is said after the path.
    """
    table, cleaned = cleaned_table(answers_table(found))
    write_table(folder / ANSWERS_FILE, table, private=True)
    yield str(folder / ANSWERS_FILE)
    for place in cleaned:
        yield f"{folder / ANSWERS_FILE}: replaced by � what is no text: {place}"
    book = pd.DataFrame([(name, *said) for name, said in CODEBOOK.items()], columns=["column", "values", "meaning"])
    write_table(folder / CODEBOOK_FILE, book)
    yield str(folder / CODEBOOK_FILE)
    for readers, answers in found.groups.items():
        group = Group(readers, answers, found.seed, standings(answers, found.protocol))
        scores = group.counted(group.single)
        if scores["origin"].nunique() == 2:
            yield from _for_other_programs(scores, folder, readers.replace(" ", "_"))
    for name, table in found.tables.items():
        write_table(folder / f"{name}.csv", table)
        yield str(folder / f"{name}.csv")


def _for_other_programs(scores: pd.DataFrame, folder: Path, name: str) -> Iterator[str]:
    rows = imrmc_rows(scores)
    write_table(folder / f"imrmc_{name}.csv", rows)
    yield str(folder / f"imrmc_{name}.csv")
    write_text(folder / f"{name}.imrmc", imrmc_text(rows))
    yield str(folder / f"{name}.imrmc")
    sheets = rjafroc_sheets(scores)
    with (
        atomic_path(folder / f"rjafroc_{name}.xlsx") as temporary,
        pd.ExcelWriter(temporary, engine="openpyxl") as book,
    ):
        for sheet, part in sheets.items():
            part.to_excel(book, sheet_name=sheet, index=False)
    yield str(folder / f"rjafroc_{name}.xlsx")


def imrmc_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """readerID, caseID, modalityID, score as R's `iMRMC::doIMRMC` takes them: rows of the truth, then of readers."""
    cases = scores.drop_duplicates("case_id").sort_values("case_id")
    truth = {"readerID": "truth", "caseID": cases["case_id"], "modalityID": "truth"}
    given = {"readerID": scores["reader"], "caseID": scores["case_id"], "modalityID": MODALITY}
    return pd.concat(
        [
            pd.DataFrame(truth | {"score": (cases["origin"] == "real").astype(int)}),
            pd.DataFrame(given | {"score": scores["step"].astype(int)}),
        ],
        ignore_index=True,
    )


def imrmc_text(rows: pd.DataFrame) -> str:
    """The same as the text file of iMRMC's own window: counts, then lines of reader, case, modality, score.

    Readers and cases are under numbers, in the order of their names: RJafroc, which takes this file too, wants whole
    numbers. Reader −1 is the truth.
    """
    truth = rows["readerID"] == "truth"
    positive = int(rows[truth]["score"].sum())
    readers, cases = _numbers(rows[~truth]["readerID"]), _numbers(rows["caseID"])
    head = [
        "real or synthetic",
        f"N0: {int(truth.sum()) - positive}",
        f"N1: {positive}",
        f"NR: {len(readers)}",
        "NM: 1",
    ]
    lines = [f"-1,{cases[row.caseID]},0,{row.score}" for row in rows[truth].itertuples()]
    lines += [
        f"{readers[row.readerID]},{cases[row.caseID]},{row.modalityID},{row.score}" for row in rows[~truth].itertuples()
    ]
    return "\n".join([*head, "BEGIN DATA:", *lines]) + "\n"


def _numbers(names: pd.Series) -> dict[str, int]:
    """From 1, in the order of names."""
    return {name: number for number, name in enumerate(sorted(names.unique()), start=1)}


def rjafroc_sheets(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Sheets Truth, FP and TP of a crossed ROC study, as `RJafroc::DfReadDataFile` takes them: cases and readers under
    numbers, a real film as a case with a lesion. Films that not every reader has answered are left out."""
    readers = {name: str(number) for name, number in _numbers(scores["reader"]).items()}
    complete = scores.groupby("case_id")["reader"].nunique() == len(readers)
    chosen = scores[scores["case_id"].map(complete)].sort_values(["case_id", "reader"])
    # RJafroc wants cases without a lesion first.
    cases = chosen.drop_duplicates("case_id").sort_values(["origin", "case_id"], ascending=[False, True])
    number = {case: place for place, case in enumerate(cases["case_id"], start=1)}
    real = (cases["origin"] == "real").astype(int)
    paradigm = ["ROC", "FCTRL", *[""] * len(cases)][: len(cases)]
    truth = {"CaseID": cases["case_id"].map(number), "LesionID": real, "Weight": real, "ReaderID": ", ".join(
        readers.values()), "ModalityID": "1", "Paradigm": paradigm}  # fmt: skip
    rated = pd.DataFrame(
        {
            "ReaderID": chosen["reader"].map(readers), "ModalityID": "1", "CaseID": chosen["case_id"].map(number),
            "score": chosen["step"].astype(int), "origin": chosen["origin"],
        }
    )  # fmt: skip
    false, true = (rated[rated["origin"] == origin].drop(columns="origin") for origin in ("synthetic", "real"))
    true.insert(3, "LesionID", 1)
    return {
        "Truth": pd.DataFrame(truth),
        "FP": false.rename(columns={"score": "FP_Rating"}),
        "TP": true.rename(columns={"score": "TP_Rating"}),
    }


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
    """One row per answer, every column a plain value, as `CODEBOOK` says; `artefacts` are JSON."""
    table = found.answers.drop(columns="case_id").rename(columns={"task_id": "task", "film_id": "film"})
    repeat_of = found.protocol.task_list.set_index("task_id")["repeat_of"]
    table["repeat_of"] = table["task"].map(repeat_of)
    table["artefacts"] = [json.dumps(tags, ensure_ascii=False) if isinstance(tags, list) else "" for tags in
                          table["artefacts"]]  # fmt: skip
    for name in ("confidence", "step", "realism"):
        table[name] = table[name].astype("Int64")
    table["hours_since_first"] = _hours_since_first(table)
    events = read_events(found.protocol.folder)
    told = told_of_readers(events)
    shown = {(event["reader"], event["task_id"]): event for event in current_answers(events)}
    keys = list(zip(table["reader"], table["task"], strict=True))
    for question in ABOUT["display"]:
        table[question.name] = [told.get(reader, {}).get(question.name, "") for reader, _ in keys]
    seen = pd.DataFrame([_seen(shown[key]) for key in keys], index=table.index, columns=list(SEEN))
    table = pd.concat([table, seen], axis=1)
    table["protocol_sha256"] = found.protocol.sha256
    return table[list(CODEBOOK)]


def _hours_since_first(table: pd.DataFrame) -> list[float]:
    moment = dict(zip(zip(table["reader"], table["task"], strict=True), pd.to_datetime(table["time"]), strict=True))
    hours = []
    for row in table.itertuples():
        first, again = moment.get((row.reader, row.repeat_of)), moment[row.reader, row.task]
        hours.append(round((again - first).total_seconds() / 3600, 3) if first is not None else float("nan"))
    return hours


SEEN = ("screen", "pixel_ratio", "window_centre", "window_width", "zoom", "inverted")


def _seen(event: dict[str, Any]) -> tuple[Any, ...]:
    """How a film was shown when it was answered; a log may hold anything here, and what is no number is left out."""
    screen = event.get("screen") if isinstance(event.get("screen"), dict) else {}
    views = event.get("view") if isinstance(event.get("view"), list) else []
    view = views[0] if views and isinstance(views[0], dict) else {}
    size = [_number(screen.get(name)) for name in ("width", "height")]
    numbers = [_number(view.get(name)) for name in ("window_centre", "window_width", "zoom")]
    sides = "" if any(pd.isna(side) for side in size) else f"{size[0]:.0f} x {size[1]:.0f}"
    return (sides, _number(screen.get("pixel_ratio")), *numbers, str(view.get("inverted") is True) if view else "")


def _number(value: Any) -> float:
    usual = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if usual else float("nan")
