"""From what readers of a labelling said to `labels.csv`: their agreement, what is left to decide, and the labels.

Only readers who have labelled every film count, and it takes two. A film has the label that all of them gave. Else it
has the one that everybody gave who decided on it in the adjudication. Films that can't be told stay out of the table.
"""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.artifacts import Reading
from cxrlib.errors import InputError
from cxrlib.evaluation.agreement import NOT_ANSWERED, agreement_of_readers, agreement_of_two
from cxrlib.evaluation.uncertainty import Interval
from cxrlib.files import read_json, sha256_of, write_json, write_table
from cxrlib.films.settings import LABELS
from cxrlib.reading.events import current_answers, read_events
from cxrlib.reading.labelling import ADJUDICATION, FOLDER, listed_films, load_labelling, prepare_adjudication
from cxrlib.reading.protocol import Protocol, load_frozen
from cxrlib.reading.questions import LABELLING

CHOICES = LABELLING[0].choices
FEWEST_READERS = 2
LABELS_FILE = "labels.csv"
ALIKE, ADJUDICATED = "readers alike", "adjudication"
AGREEMENT_COLUMNS = ("between", "readers", "coefficient", "films", "estimate", "low", "high")


@dataclass(frozen=True)
class Given:
    """What was said of the films of a protocol: `labels` has one row per film's file and one column per reader, empty
    where not answered; `again` the same of films shown a second time."""

    labels: pd.DataFrame
    again: pd.DataFrame

    @classmethod
    def to(cls, protocol: Protocol) -> "Given":
        tasks = protocol.task_list.set_index("task_id")
        rows = []
        for event in current_answers(read_events(protocol.folder)):
            label = event["answers"].get("label")
            if event["task_id"] in tasks.index and label in CHOICES:
                task = tasks.loc[event["task_id"]]
                rows.append((event["reader"], protocol.truth[task["left_film"]]["image_id"], task["repeat_of"], label))
        table = pd.DataFrame(rows, columns=["reader", "file", "repeat_of", "label"])
        first = protocol.task_list[protocol.task_list["repeat_of"] == ""]
        files = [protocol.truth[film]["image_id"] for film in first["left_film"]]
        parts = (table[table["repeat_of"] == ""], table[table["repeat_of"] != ""])
        return cls(*(part.pivot(index="file", columns="reader", values="label").reindex(files).fillna("")
                     for part in parts))  # fmt: skip

    @property
    def finished(self) -> pd.DataFrame:
        """The columns of readers who have answered to every film."""
        return self.labels.loc[:, (self.labels != "").all()]

    @property
    def alike(self) -> pd.Series:
        """The label that all finished readers gave, by file; empty where they differ, or nobody has finished."""
        done = self.finished
        if not done.shape[1]:
            return pd.Series("", index=self.labels.index)
        first = done.iloc[:, 0]
        return first.where(done.eq(first, axis=0).all(axis=1), "")


@dataclass(frozen=True)
class Labelling:
    """How a labelling stands."""

    root: Path
    given: Given
    decided: Given | None

    @cached_property
    def enough(self) -> bool:
        return self.given.finished.shape[1] >= FEWEST_READERS

    @cached_property
    def in_question(self) -> list[str]:
        """Films that finished readers labelled differently, or none of them could label."""
        alike = self.given.alike
        return sorted(alike.index[~alike.isin(LABELS)])

    @cached_property
    def table(self) -> pd.DataFrame:
        """By file: label (negative, positive, can't be told; empty while it is open), and settled_by."""
        alike = self.given.alike if self.enough else pd.Series("", index=self.given.labels.index)
        alike = alike.where(alike.isin(LABELS), "")
        decided = pd.Series("", index=alike.index)
        if self.decided is not None:
            decided = self.decided.alike.reindex(alike.index).fillna("")
        label = alike.where(alike != "", decided)
        by = np.where(alike != "", ALIKE, np.where(decided != "", ADJUDICATED, ""))
        return pd.DataFrame({"label": label, "settled_by": by}, index=alike.index)

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """Of finished readers with each other, and of each with himself or herself; `AGREEMENT_COLUMNS`."""
        done, rows = self.given.finished, []
        codes = {name: done[name].map(CHOICES.index).to_numpy(int) for name in done}
        if len(codes) == FEWEST_READERS:
            rows += _rows("readers", codes, len(done), agreement_of_two(*codes.values(), len(CHOICES), seed=0))
        elif self.enough:
            ratings = np.stack(list(codes.values()), axis=1)
            rows += _rows("readers", codes, len(done), agreement_of_readers(ratings, len(CHOICES), seed=0))
        for name in codes:
            again = self.given.again.get(name, pd.Series("", index=done.index))
            second = again.map({choice: place for place, choice in enumerate(CHOICES)}).fillna(NOT_ANSWERED)
            films = int((second >= 0).sum())
            found = agreement_of_two(codes[name], second.to_numpy(int), len(CHOICES), seed=0)
            rows += _rows("first and second answer", [name], films, found)
        return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))


def _rows(between: str, readers: object, films: int, found: dict[str, Interval]) -> Iterator[tuple]:
    for name, interval in found.items():
        yield between, ", ".join(readers), name, films, interval.estimate, interval.low, interval.high


def stand_of(root: Path) -> Labelling:
    """How the labelling beside the films stands; raises `InputError` if there is none."""
    adjudication = Reading(root / FOLDER / ADJUDICATION)
    decided = None
    if adjudication.protocol.exists():
        decided = Given.to(
            load_frozen(adjudication, f"cxr label {root} --adjudicate", f"move {adjudication.root} away")
        )
    return Labelling(root, Given.to(load_labelling(root)), decided)


def adjudication(root: Path) -> Protocol:
    """The reading of the films in question; raises `InputError` before two readers are through, and if none is left."""
    found = stand_of(root)
    if not found.enough:
        raise InputError(
            f"{root}: {found.given.finished.shape[1]} of at least {FEWEST_READERS} readers have labelled every film; "
            f"films are decided on after that. `cxr settle {root}` says how far everybody is"
        )
    if not found.in_question:
        raise InputError(f"{root}: the readers labelled every film alike; type `cxr settle {root}` for the labels")
    return prepare_adjudication(root, found.in_question)


def settle(root: Path, table: str) -> Generator[str, None, dict[str, Any]]:
    """Say how a labelling stands, and once no film is open write `labels.csv` beside the films.

    Gives lines to print, and in the end what they say: films, how many each of the readers labelled, agreement, how
    many films are open, and the table if it was written.

    The table has all columns of `table`, and `label` and `settled_by`, and only films with a label. What each reader
    said, and how far they agree, is written into the private folder of the labelling. Raises `InputError` if there is a
    `labels.csv` that this labelling has not written.
    """
    found, listed = stand_of(root), listed_films(root, table)
    labels, folder = found.given.labels, root / FOLDER
    readers = {name: int((labels[name] != "").sum()) for name in labels}
    yield from (f"{name}: {done} of {len(labels)} films" for name, done in readers.items())
    stand: dict[str, Any] = {"films": len(labels), "readers": readers, "agreement": [], "open": len(labels)}
    if not found.enough:
        yield f"It takes {FEWEST_READERS} readers who have labelled every film: `cxr label {root}`"
        return stand
    stand["agreement"] = json.loads(found.agreement.to_json(orient="records"))
    for row in found.agreement.dropna(subset="estimate").itertuples():
        bounds = "" if np.isnan(row.low) else f" (95 % interval {row.low:.2f} to {row.high:.2f})"
        yield f"{row.between}, {row.readers}: {row.coefficient} {row.estimate:.2f}{bounds}, {row.films} films"
    write_table(folder / "agreement.csv", found.agreement, private=True)
    if found.decided is not None:
        yield f"decided by: {', '.join(found.decided.finished) or 'nobody yet'}"
    settled = found.table
    write_table(folder / "readers.csv", labels.add_prefix("reader ").join(settled).reset_index(), private=True)
    left = stand["open"] = int((settled["label"] == "").sum())
    if left:
        yield (
            f"{len(found.in_question)} films were labelled differently or by nobody; {left} of them are open: "
            f"`cxr label {root} --adjudicate`"
        )
        return stand
    wanted = listed.merge(settled.reset_index(), on="file")
    path = _write_labels(root, wanted[wanted["label"].isin(LABELS)])
    counts = ", ".join(f"{int((settled['label'] == label).sum())} {label}" for label in CHOICES)
    by = ", ".join(f"{int((settled['settled_by'] == how).sum())} by {how}" for how in (ALIKE, ADJUDICATED))
    yield f"{counts} (left out); settled {by}"
    yield f"written: {path}"
    return stand | {"written": path}


def _write_labels(root: Path, labels: pd.DataFrame) -> Path:
    path, record = root / LABELS_FILE, root / FOLDER / "labels.json"
    if path.exists() and (not record.exists() or read_json(record)["sha256"] != sha256_of(path)):
        raise InputError(f"{path}: there is a table already that this labelling has not written; move it away")
    write_table(path, labels)
    write_json(record, {"sha256": sha256_of(path), "films": len(labels)})
    return path
