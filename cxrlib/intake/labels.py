"""The hospital's own table of labels, matched to films by whichever id the hospital has."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.films.label_table import read_label_table, refuse_twice
from cxrlib.films.listing import ends_alike, path_parts
from cxrlib.films.settings import LABELS
from cxrlib.films.table_words import UNCERTAIN, column_of, dates, meaning_of
from cxrlib.intake.pseudonyms import Pseudonyms

KEYS = ("patient_id", "accession_number", "study_uid", "image_uid", "file", "study_date")
# A day alone tells no films apart.
ENOUGH = KEYS[:-1]
# Ids of which spreadsheets eat leading zeros, and the kind of pseudonym that is made of them without.
BARE = {"patient_id": "bare_patient", "accession_number": "bare_accession"}
ROWS_NAMED = 10
# One that was never computed, and what spreadsheets show where one can't be.
FORMULA = re.compile(r"=.*|#(N/?[AV]|[A-ZÄÖÜ/0]+[!?])")
MARKS = ("x", "✓", "✔", "☒")
SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)

Wanted = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """A row of the table: what a film must match (pseudonyms), its label, and the patient whom the row names."""

    number: int
    label: str
    patient: str


@dataclass
class FilmLabels:
    """Labels by what a film must match: every id that a row gives, as pseudonyms.

    `columns` are those used, {name in the table: what it holds}, `unused` all others. `files` are the names in
    the column `file`, each with its row and pseudonym; `bare` are rows by the pseudonym of an id without leading zeros.
    """

    file: Path
    rows: dict[Wanted, Row]
    columns: dict[str, str]
    unused: list[str]
    files: dict[str, tuple[int, str]]
    bare: dict[str, list[int]]
    matched: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)
    bare_matches: set[int] = field(default_factory=set)
    films_of_row: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index()

    def _index(self) -> None:
        """Rows by what films must match; those that name a patient also without, for films that name none."""
        self._rows = dict(self.rows)
        for wanted, row in self.rows.items():
            others = tuple(key for key in wanted if key[0] != "patient_id")
            if row.patient and {kind for kind, _ in others} & set(ENOUGH):
                self._rows.setdefault((("patient_id", ""), *others), row)
        self._kinds = {tuple(kind for kind, _ in wanted) for wanted in self._rows}

    def find_files(self, paths: Iterable[tuple[str, str]]) -> None:
        """Let rows that name a file by its end, or by a path of another machine, stand for the one file that fits.

        `paths` are (path in the source, its pseudonym). Raises `InputError` where several files fit.
        """
        ends_of: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for name in self.files:
            parts = path_parts(name)
            ends_of.setdefault(parts[-1] if parts else "", []).append((name, parts))
        fits: dict[str, list[tuple[bool, str]]] = {}
        for path, pseudonym in paths if ends_of else ():
            parts = path_parts(path)
            for name, ends in ends_of.get(parts[-1], ()):
                if ends_alike(parts, ends):
                    fits.setdefault(name, []).append((parts == ends, pseudonym))
        stands_for = {}
        for name, found in fits.items():
            number, own = self.files[name]
            best = [pseudonym for whole, pseudonym in found if whole] or [pseudonym for _, pseudonym in found]
            if len(best) > 1:
                raise InputError(
                    f"{self.file}: row {number}: file: `{name}` is the name of {len(best)} files in the source; "
                    "expected one: give its folders too, or another id"
                )
            stands_for["file", own] = "file", best[0]
        self.rows = {tuple(stands_for.get(key, key) for key in wanted): row for wanted, row in self.rows.items()}
        self._index()

    def label_of(self, keys: Mapping[str, str], usable: bool = True) -> tuple[str, str]:
        """(label, patient) of a film, both empty if no row matches; raises `InputError` if rows disagree.

        The label may be uncertain. The patient is the header's, else the row's. A film that is not `usable` gets
        neither, but its row is known to have a film.
        """
        found = [
            row for kinds in self._kinds if (row := self._rows.get(tuple((kind, keys.get(kind, "")) for kind in kinds)))
        ]
        self.seen.update(row.number for row in found)
        if not found:
            for kind in BARE.values():
                self.bare_matches.update(self.bare.get(keys.get(kind, ""), ()))
        if not found or not usable:
            return "", ""
        labels = {row.label for row in found}
        if len(labels) > 1:
            listed = " and ".join(f"{number} ({label})" for number, label in sorted((r.number, r.label) for r in found))
            raise InputError(
                f"{self.file}: rows {listed} match the same film; expected one label for each film: give the accession "
                "number, the study's date or the image's uid where a patient has films of both labels"
            )
        for row in found:
            self.matched.add(row.number)
            self.films_of_row[row.number] = self.films_of_row.get(row.number, 0) + 1
        return labels.pop(), keys.get("patient_id") or next((row.patient for row in found if row.patient), "")

    def lines(self) -> Iterator[str]:
        """What a person should know of how the table was read."""
        meant = ", ".join(f"{name} = {kind}" for name, kind in self.columns.items())
        yield f"{self.file.name}: read {meant}" + (f"; not used: {', '.join(self.unused)}" if self.unused else "")
        unclear = [row.number for row in self.rows.values() if row.label == UNCERTAIN]
        if unclear:
            yield f"{_rows(unclear)} say neither positive nor negative, and are not used"
        several = sum(self.films_of_row.get(row.number, 0) > 1 for wanted, row in self.rows.items() if len(wanted) == 1)
        if several and {kind for wanted in self.rows for kind, _ in wanted} == {"patient_id"}:
            yield (
                f"{several:,} patients have several films under one label; if not all of them were made in the same "
                "illness, add accession_number or study_date"
            )
        skipped = sorted(self.seen - self.matched)
        if skipped:
            yield f"{_rows(skipped)} match only files that were skipped for other reasons"
        unmatched = self.unmatched_rows()
        if unmatched:
            bare = len(self.bare_matches & set(unmatched))
            yield f"{_rows(unmatched)} match no film" + (
                f"; {bare:,} of them would, but for leading zeros: format the column as text and write the table again"
                if bare
                else ""
            )

    def unmatched_rows(self) -> list[int]:
        """Rows, numbered as in the table, that no file of the source matches."""
        return sorted({row.number for row in self.rows.values()} - self.seen)


def _rows(numbers: list[int]) -> str:
    named = ", ".join(map(str, numbers[:ROWS_NAMED])) + (
        f" and {len(numbers) - ROWS_NAMED:,} more" if len(numbers) > ROWS_NAMED else ""
    )
    return f"{len(numbers):,} {'row' if len(numbers) == 1 else 'rows'} of the labels ({named})"


def read_film_labels(
    file: Path, pseudonyms: Pseudonyms, columns: Mapping[str, str] | None = None, words: Mapping[str, str] | None = None
) -> FilmLabels:
    """Read a table of ids and labels (see `read_label_table` for the dialects).

    It has a column for the label and at least one of `patient_id`, `accession_number`, `study_uid`, `image_uid` and
    `file`, besides which it may have `study_date`; a film must match every id that a row gives. Columns are known by
    the usual names of many languages, or by `columns`, {what it holds: name in the table}. So are the labels' words, or
    by `words`, {word: label}; uncertain and empty labels are kept as uncertain. Ids are kept as pseudonyms only. Raises
    `InputError` for a table without them, an unknown label, a row without an id, an id that a spreadsheet has
    shortened, and two rows of the same ids with different labels.
    """
    given = {name: kind for kind, name in (columns or {}).items()}
    table = read_label_table(file.parent, file.name, lambda names: has_labels(held_by(names, given)))
    names, holds = list(table.columns), held_by(list(table.columns), given)
    _check_columns(file, names, holds, given)
    used = {name: kind for name, kind in zip(names, holds, strict=True) if kind in (*KEYS, "label", *LABELS)}
    unused = [name for name in names if name not in used]
    table = _cleaned(file, table[list(used)].rename(columns=used))
    meanings = {word.casefold(): label for word, label in (words or {}).items()}
    wrong = next((label for label in meanings.values() if label not in (*LABELS, UNCERTAIN)), None)
    if wrong:
        raise InputError(f"--word: found the meaning `{wrong}`, expected {', '.join(LABELS)} or {UNCERTAIN}")
    rows: dict[Wanted, Row] = {}
    files: dict[str, tuple[int, str]] = {}
    bare: dict[str, list[int]] = {}
    for number, *cells in table.itertuples(name=None):
        values = dict(zip(table.columns, cells, strict=True))
        ids, row = _row(file, number, values, meanings, pseudonyms)
        first = rows.setdefault(ids, row)
        if first.label != row.label:
            raise InputError(
                f"{file}: rows {first.number} ({first.label}) and {number} ({row.label}) have the same ids; expected "
                "one label: add a column that tells their films apart, e.g. accession_number or study_date"
            )
        if values.get("file"):
            files[values["file"]] = number, pseudonyms.of("file", values["file"])
        for kind, name in BARE.items():
            if values.get(kind):
                bare.setdefault(pseudonyms.of(name, without_zeros(values[kind])), []).append(number)
    if not rows:
        raise InputError(f"{file}: no row under the header; expected one for each patient, study or image")
    return FilmLabels(file, rows, used, unused, files, bare)


def _cleaned(file: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The columns used, with one label, days as YYYYMMDD, and ids as before a program took them for numbers."""
    if "label" not in table:
        table["label"] = _of_two_columns(file, table)
    for kind in set(BARE) & set(table):
        if table[kind].str.fullmatch(r"(\d+[.,]0)?").all():
            table[kind] = table[kind].str[:-2]
    if "study_date" in table:
        table["study_date"] = pd.Series(dates(table["study_date"].items(), str(file)), dtype=str)
    return table


def _of_two_columns(file: Path, table: pd.DataFrame) -> pd.Series:
    """Labels of a table with a column for each, of which one is marked, e.g. by x or 1."""
    said = table[list(LABELS)].map(lambda cell: "positive" if cell.casefold() in MARKS else meaning_of(cell))
    unknown = said.index[(said == "").any(axis=1)]
    if len(unknown):
        found = ", ".join(table.loc[unknown[0], list(LABELS)])
        raise InputError(f"{file}: row {unknown[0]}: found `{found}`, expected x in one of the columns, or yes and no")
    marked = said == "positive"
    twice = marked.index[marked.all(axis=1)]
    if len(twice):
        raise InputError(
            f"{file}: row {twice[0]}: marked as {' and '.join(LABELS)}; expected one mark: take the other out"
        )
    return marked.idxmax(axis=1).where(marked.any(axis=1), "")


def held_by(names: list[str], given: Mapping[str, str]) -> list[str]:
    """What each column holds: as `given`, {name: what it holds}, else by the usual names of many languages. Where none
    holds the label, there may be one column for each."""
    holds = [given.get(name) or ("" if column_of(name) in given.values() else column_of(name)) for name in names]
    if "label" not in holds:
        holds = [
            meaning_of(name) if meaning_of(name) in LABELS else kind for name, kind in zip(names, holds, strict=True)
        ]
    return holds


def has_labels(holds: list[str]) -> bool:
    """Whether columns hold labels and an id to find films by."""
    return ("label" in holds or set(LABELS) <= set(holds)) and not set(ENOUGH).isdisjoint(holds)


def _check_columns(file: Path, names: list[str], holds: list[str], given: Mapping[str, str]) -> None:
    absent = [name for name in given if name not in names]
    for name in {re.sub(r" \(column \d+\)$", "", name) for name in names}:
        if (given.get(name) or column_of(name)) in (*KEYS, "label"):
            refuse_twice(names, name, str(file))
    twice = sorted({kind for kind in holds if kind in (*KEYS, "label", *LABELS) and holds.count(kind) > 1})
    if absent or twice or not has_labels(holds):
        said = f", of which {', '.join(twice)} comes twice" if twice else ""
        said += f", not {', '.join(absent)}" if absent else ""
        raise InputError(
            f"{file}: found the columns {', '.join(names)}{said}; expected one `label` and at least one of: "
            f"{', '.join(ENOUGH)}; name the table's own with --column, e.g. --column label=Befund"
        )


def _row(
    file: Path, number: int, values: dict[str, str], words: Mapping[str, str], pseudonyms: Pseudonyms
) -> tuple[Wanted, Row]:
    broken = next((kind for kind, cell in values.items() if FORMULA.fullmatch(cell)), "")
    if broken:
        raise InputError(
            f"{file}: row {number}: {broken}: found `{values[broken]}`, a formula without a value; open the table in a "
            "spreadsheet, see to it that every cell shows its value, and save it again"
        )
    text = values["label"]
    label = words.get(text.casefold()) or meaning_of(text)
    if not label:
        raise InputError(
            f"{file}: row {number}: label: found `{text}`, expected {' or '.join(LABELS)}; say what it means with "
            f"--word, e.g. --word {shlex.quote(f'{text}=negative')}"
        )
    for kind in KEYS:
        if SHORTENED.fullmatch(values.get(kind, "")):
            raise InputError(
                f"{file}: row {number}: {kind}: found `{values[kind]}`, a number that a spreadsheet has shortened; "
                "format the column as text, fill in the whole ids and write the table again"
            )
    ids = tuple((kind, pseudonyms.of(kind, values[kind])) for kind in KEYS if values.get(kind))
    if {kind for kind, _ in ids}.isdisjoint(ENOUGH):
        raise InputError(
            f"{file}: row {number}: every id is empty; expected at least one: fill it in, or take the row out"
        )
    return ids, Row(number, label, dict(ids).get("patient_id", ""))


def without_zeros(text: str) -> str:
    """An id as a spreadsheet leaves it that takes it for a number."""
    return text.lstrip("0") if text.isdigit() else text
