"""What a hospital's folder is, as far as a look at it tells: DICOM or pictures, and which table holds the labels."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.films.class_folders import labels_by_folder
from cxrlib.films.label_table import WORKBOOKS, read_label_table
from cxrlib.films.listing import IMAGE_SUFFIXES, files_under
from cxrlib.films.settings import LABELS
from cxrlib.films.table_words import meaning_of
from cxrlib.intake.header import BARE_STARTS
from cxrlib.intake.labels import ENOUGH, KEYS, has_labels, held_by
from cxrlib.intake.source import is_archive

TABLES = (".csv", ".tsv", ".txt", *WORKBOOKS)
LOOKED_AT = 2000
# A column of more different texts holds findings in free words, not labels.
MOST_WORDS = 20


@dataclass(frozen=True)
class Table:
    """A table of labels: `columns` {what it holds: name in the table}, and the words that nobody knows yet."""

    file: Path
    columns: dict[str, str]
    unknown: tuple[str, ...] = field(default=())


def is_dicom_source(source: Path) -> bool:
    """Whether a place holds DICOM files (or archives, which may) rather than pictures alone."""
    if not source.is_dir():
        if is_archive(source):
            return True
        raise InputError(f"{source}: no such folder or archive (ZIP, tar, gzip, bzip2, xz); expected films")
    pictures = 0
    for name in islice(files_under(source), LOOKED_AT):
        if is_archive(source / name) or (not name.lower().endswith(TABLES) and _is_dicom(source / name)):
            return True
        pictures += name.lower().endswith(IMAGE_SUFFIXES)
    if not pictures:
        raise InputError(f"{source}: neither DICOM files nor pictures among its files; expected a hospital's films")
    return False


def _is_dicom(file: Path) -> bool:
    try:
        with open(file, "rb") as opened:
            start = opened.read(132)
    except OSError:
        return False
    return start[128:132] == b"DICM" or (len(start) == 132 and start[:2] in BARE_STARTS)


def tables_of_labels(places: list[Path], columns: Mapping[str, str], words: Mapping[str, str]) -> list[Table]:
    """The tables in these folders that have a column of labels and one that names films or patients."""
    found = []
    for place in places:
        for file in sorted(path for path in _files(place) if path.suffix.lower() in TABLES):
            try:
                found.append(describe_table(file, columns, words))
            except InputError:  # another table, which is none of labels
                continue
    return found


def _files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        with os.scandir(place) as entries:
            yield from (Path(entry.path) for entry in entries if entry.is_file() and not entry.name.startswith("."))


def describe_table(file: Path, columns: Mapping[str, str], words: Mapping[str, str]) -> Table:
    """Which columns of a table hold what, and which of its labels' words are unknown; `columns` and `words` come first.

    Raises `InputError` for a table without labels or ids, and for one whose labels are free text.
    """
    given = {name: kind for kind, name in columns.items()}
    table = read_label_table(file.parent, file.name, lambda names: has_labels(held_by(names, given)))
    names, holds = list(table.columns), held_by(list(table.columns), given)
    if not has_labels(holds):
        raise InputError(
            f"{file}: found the columns {', '.join(names)}; expected one of labels and one of {', '.join(ENOUGH)}; "
            "name them with --column, e.g. --column label=Befund --column patient_id=PatID"
        )
    held = {kind: name for kind, name in zip(holds, names, strict=True) if kind in (*KEYS, "label")}
    own = {word.casefold() for word in words}
    texts = dict.fromkeys(table[held["label"]])
    unknown = tuple(text for text in texts if text.casefold() not in own and not meaning_of(text))
    if len(unknown) > MOST_WORDS:
        raise InputError(
            f"{file}: column `{held['label']}` holds {len(unknown)} different texts; expected a few words that "
            "mean positive or negative; add a column of labels and name it with --column label=NAME"
        )
    return Table(file, held, unknown)


def has_class_folders(source: Path, words: Mapping[str, str]) -> bool:
    """Whether the films lie in folders that are named by their label."""
    if not source.is_dir():
        return False
    try:
        return set(labels_by_folder(files_under(source), words, "").values()) >= set(LABELS)
    except InputError:
        return False


def quoted(path: Path | str) -> str:
    """A path as a study file holds it, whatever characters it has."""
    return json.dumps(str(path), ensure_ascii=False)


def public_data(folder: Path) -> str:
    """The lines of a study file for the public roles in a folder: a COVIDx tree, or folders `training`, `validation`.

    Raises `InputError` for a folder that is neither.
    """
    lists = sorted(folder.glob("train_COVIDx*.txt"))
    if lists:
        tree = f"reader: covidx, folder: {quoted(folder)}"
        missing = "allow_missing: true, publishable: true"
        return f"  training: {{{tree}, split: train, {missing}}}\n  validation: {{{tree}, split: test, {missing}}}\n"
    if (folder / "training").is_dir() and (folder / "validation").is_dir():
        return "".join(
            f"  {role}: {{reader: folder, folder: {quoted(folder / role)}, publishable: true}}\n"
            for role in ("training", "validation")
        )
    raise InputError(
        f"{folder}: no public films; expected the folders training and validation, each with images and labels.csv, or "
        "a COVIDx tree with its official lists"
    )
