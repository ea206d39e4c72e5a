"""The reading of real films alone, so that films get the labels that a study file takes.

Two or more readers label every film, each for themselves; films that they see differently are looked at once more, by
somebody else or by the readers together (the adjudication). A labelling lies beside its films, in the folder
`labelling`. Its films are under ids of its own, and everything else, from the page to the log of events, is that of any
reading.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.artifacts import Reading
from cxrlib.errors import InputError
from cxrlib.films.containment import Refused, open_inside
from cxrlib.films.decoding import UnreadableImage, decode_whole
from cxrlib.films.label_table import read_label_table
from cxrlib.films.listing import is_folder
from cxrlib.reading.events import people_have_answered
from cxrlib.reading.protocol import Drawn, Protocol, freeze, load_frozen
from cxrlib.reading.questions import LABELLING
from cxrlib.reading.worklist import Draft
from cxrlib.records import fingerprint
from cxrlib.reproducibility import seed_for

FORMAT = 1
FOLDER, ADJUDICATION, TABLE = "labelling", "adjudication", "films.csv"
# In this proportion films come twice, for the agreement of readers with themselves.
AGAIN_PERCENT = 10
LONGEST_SIDE_PX = 1536

Progress = Callable[[int, int], Any]


class RealFilms(Mapping[str, np.ndarray]):
    """Greys of a labelling's films by film id, uint8 (H, W), read from the disk when they are to be shown."""

    def __init__(self, root: Path, protocol: Protocol) -> None:
        self._root, self._protocol = root, protocol

    def __getitem__(self, film_id: str) -> np.ndarray:
        try:
            return _greys(self._root, self._protocol.truth[film_id]["image_id"])
        except (Refused, UnreadableImage):
            raise InputError(
                "A film can't be opened that was there when the labelling began. Your answers are stored; tell whoever "
                "set it up, and load the page again."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._protocol.truth)

    def __len__(self) -> int:
        return len(self._protocol.truth)


def listed_films(root: Path, table: str) -> pd.DataFrame:
    """The films to label: text columns `file` and `patient_id`, and whatever else the table has.

    A column `label` is left out, so that nobody is led by it. Raises `InputError` for a folder, table or column that is
    missing, empty cells, and a file that is listed twice.
    """
    if not is_folder(root):
        raise InputError(f"{root}: no such folder; expected films and a table {table} of them")
    where = root / table
    if not where.exists():
        raise InputError(
            f"{where}: no such table; expected one row per film, with the columns `file` and `patient_id`; "
            f"`cxr import-dicom EXPORT --unlabelled --out {root}` makes it of an export"
        )
    found = read_label_table(root, table)
    for column in ("file", "patient_id"):
        if column not in found:
            raise InputError(
                f"{where}: no column `{column}`; found {', '.join(found.columns)}; expected `file` and `patient_id`, "
                "since films of one patient must stay together"
            )
        empty = found.index[found[column] == ""]
        if len(empty):
            raise InputError(f"{where}: row {empty[0]}: {column} is empty ({len(empty)} such rows)")
    twice = found.index[found["file"].duplicated()]
    if len(twice):
        raise InputError(f"{where}: row {twice[0]}: `{found['file'][twice[0]]}` is listed twice; list each film once")
    return found.drop(columns=["label", "settled_by"], errors="ignore")


def prepare_labelling(root: Path, table: str = TABLE, progress: Progress | None = None) -> Protocol:
    """Freeze which films are labelled, or load that if it is done. `progress(films, total)` is called as films are
    opened for the first time; those that can't be are left out, with the reason, in `protocol.yaml`.

    Raises `InputError` as `listed_films`, if no film can be opened, and if films have changed after somebody has
    answered.
    """
    films, reading = listed_films(root, table), Reading(root / FOLDER)
    asked = {question.name: question.choices for question in LABELLING}
    settings = {"format": FORMAT, "questions": asked, "again": AGAIN_PERCENT}
    wanted = fingerprint(settings, [(file, _size(root, file)) for file in films["file"]])

    def draw() -> Drawn:
        left_out = _unreadable(root, list(films["file"]), progress)
        chosen = [file for file in films["file"] if file not in left_out]
        if not chosen:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in list(left_out.items())[:3])
            raise InputError(
                f"{root / table}: none of its {len(films)} films can be opened ({reasons}); expected pictures, which "
                "`cxr import-dicom --unlabelled` makes of DICOM files"
            )
        return _drawn("L", chosen, wanted, AGAIN_PERCENT, {"left_out": left_out})

    freeze(reading, wanted, draw, _anew(reading))
    return load_labelling(root)


def load_labelling(root: Path) -> Protocol:
    """The labelling that is frozen beside the films; raises `InputError` if there is none."""
    reading = Reading(root / FOLDER)
    return load_frozen(reading, f"cxr label {root}", _anew(reading))


def prepare_adjudication(root: Path, files: list[str]) -> Protocol:
    """Freeze which films are looked at once more: `files`, or, once somebody has begun, those that were frozen then."""
    reading = Reading(root / FOLDER / ADJUDICATION)
    if not people_have_answered(reading.root):
        wanted = fingerprint({"format": FORMAT}, {"files": files, "labelling": load_labelling(root).sha256})
        freeze(reading, wanted, lambda: _drawn("J", files, wanted, 0, {}), _anew(reading))
    return load_frozen(reading, f"cxr label {root} --adjudicate", _anew(reading))


def _anew(reading: Reading) -> str:
    return f"put films and table back as they were, or move {reading.root} away to begin a new labelling"


def _drawn(block: str, files: list[str], wanted: str, again_percent: int, facts: dict[str, Any]) -> Drawn:
    random, draft = np.random.default_rng(seed_for(0, "labelling", block, wanted)), Draft()
    films = [{"label": "", "origin": "real", "fold": "", "image_id": file, "flagged": ""} for file in files]
    for film in films:
        draft.add(block, "film", [film])
    again = round(len(films) * again_percent / 100)
    for number in random.permutation(len(films))[:again].tolist():
        draft.add(block, "film", [dict(films[number])], repeat_of=number)
    content = {
        "format": FORMAT,
        "seed": 0,
        "films": len(films),
        "shown_twice": again,
        "shown": f"whole, at most {LONGEST_SIDE_PX} pixels a side, 8 bits",
        "questions": {question.name: question.in_plain() for question in LABELLING},
        **facts,
    }
    return (*draft.tables(random), content)


def _unreadable(root: Path, files: list[str], progress: Progress | None) -> dict[str, str]:
    """Why films can't be shown, by file."""
    reasons = {}
    for number, file in enumerate(files, start=1):
        try:
            _greys(root, file)
        except (Refused, UnreadableImage) as error:
            reasons[file] = str(error)
        if progress is not None:
            progress(number, len(files))
    return reasons


def _size(root: Path, file: str) -> int:
    """In bytes; −1 where there is no such file."""
    try:
        return (root / file).stat().st_size
    except (OSError, ValueError):
        return -1


def _greys(root: Path, file: str) -> np.ndarray:
    with open_inside(root, file) as source:
        return decode_whole(source, LONGEST_SIDE_PX)
