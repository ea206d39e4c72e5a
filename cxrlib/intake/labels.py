"""The hospital's own table of labels, matched to films by whichever id the hospital has."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.films.label_table import read_label_table
from cxrlib.films.settings import LABELS
from cxrlib.intake.pseudonyms import Pseudonyms

# How a column may be called, without capitals, spaces and signs.
KEY_NAMES = {
    "patientid": "patient_id",
    "accessionnumber": "accession_number",
    "accession": "accession_number",
    "studyuid": "study_uid",
    "studyinstanceuid": "study_uid",
    "imageuid": "image_uid",
    "sopinstanceuid": "image_uid",
    "file": "file",
}
KEYS = tuple(dict.fromkeys(KEY_NAMES.values()))
ROWS_NAMED = 10

Wanted = tuple[tuple[str, str], ...]


@dataclass
class FilmLabels:
    """Labels by what a film must match: every id that the row gives, as pseudonyms."""

    file: Path
    rows: dict[Wanted, tuple[int, str]]
    kinds: set[tuple[str, ...]]
    matched: set[int] = field(default_factory=set)

    def label_of(self, keys: dict[str, str]) -> str:
        """The label of a film, empty if no row matches; raises `InputError` if rows disagree."""
        found = []
        for kinds in self.kinds:
            wanted = tuple((kind, keys.get(kind, "")) for kind in kinds)
            if wanted in self.rows:
                found.append(self.rows[wanted])
        self.matched.update(row for row, _ in found)
        labels = {label for _, label in found}
        if len(labels) > 1:
            listed = " and ".join(f"{row} ({label})" for row, label in sorted(found))
            raise InputError(
                f"{self.file}: rows {listed} match the same film; expected one label for each film: "
                "give the accession number or the image's uid where a patient has films of both labels"
            )
        return labels.pop() if labels else ""

    def unmatched_rows(self) -> list[int]:
        """Rows, numbered as in the table, that no film matched."""
        return sorted({row for row, _ in self.rows.values()} - self.matched)


def read_film_labels(file: Path, pseudonyms: Pseudonyms) -> FilmLabels:
    """Read a CSV or Excel table of ids and labels (see `read_label_table` for the dialects).

    It has a column `label` (negative or positive) and at least one of `patient_id`, `accession_number`, `study_uid`,
    `image_uid` and `file` (relative to the source); a film must match every id that a row gives. Ids are kept as
    pseudonyms only. Raises `InputError` for a table without them, an unknown label, a row without an id, and two rows
    of the same ids with different labels.
    """
    table = read_label_table(file.parent, file.name)
    columns = [_column(name) for name in table.columns]
    keys = [name for name in columns if name in KEYS]
    twice = sorted({name for name in (*keys, "label") if columns.count(name) > 1})
    if "label" not in columns or not keys or twice:
        raise InputError(
            f"{file}: found the columns {', '.join(table.columns)}"
            + (f", of which {', '.join(twice)} comes twice" if twice else "")
            + f"; expected one `label` and at least one of: {', '.join(KEYS)}"
        )
    rows: dict[Wanted, tuple[int, str]] = {}
    for number, *cells in table.itertuples(name=None):
        wanted, label = _row(file, number, dict(zip(columns, cells, strict=True)), pseudonyms)
        first = rows.setdefault(wanted, (number, label))
        if first[1] != label:
            raise InputError(
                f"{file}: rows {first[0]} ({first[1]}) and {number} ({label}) have the same ids; expected one label: "
                "add a column that tells their films apart, e.g. accession_number"
            )
    if not rows:
        raise InputError(f"{file}: no row under the header; expected one for each patient, study or image")
    return FilmLabels(file, rows, {tuple(kind for kind, _ in wanted) for wanted in rows})


def _row(file: Path, number: int, values: dict[str, str], pseudonyms: Pseudonyms) -> tuple[Wanted, str]:
    label = values.get("label", "").lower()
    if label not in LABELS:
        raise InputError(
            f"{file}: row {number}: label: found `{values.get('label', '')}`, expected {' or '.join(LABELS)}"
        )
    wanted = tuple((kind, pseudonyms.of(kind, _posix(kind, values[kind]))) for kind in KEYS if values.get(kind))
    if not wanted:
        raise InputError(f"{file}: row {number}: every id is empty; expected at least one")
    return wanted, label


def _posix(kind: str, text: str) -> str:
    return text.replace("\\", "/").removeprefix("./") if kind == "file" else text


def _column(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return KEY_NAMES.get(plain, plain)
