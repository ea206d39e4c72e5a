"""Reader of a folder with images and a table of labels, CSV or Excel."""

import difflib
import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.films.class_folders import labels_by_folder
from cxrlib.films.label_table import read_label_table, refuse_twice
from cxrlib.films.listing import (
    IMAGE_SUFFIXES,
    Listing,
    by_unique_suffix,
    files_under,
    is_folder,
    make_listing,
    unlisted_images,
)
from cxrlib.films.manifest import MANIFEST_COLUMNS
from cxrlib.films.settings import LABELS, FolderSource
from cxrlib.films.table_words import UNCERTAIN, column_of, meaning_of

REQUIRED_COLUMNS = ("file", "patient_id", "label")
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M", "w": "F", "weiblich": "F", "männlich": "M"}


def read_folder(source: FolderSource) -> Listing:
    """List the images of a folder; no pixel is decoded.

    The table has the columns that `source.columns` names (by default file, patient_id, label and, where known, source,
    finding, view, sex, age, lung_mask); others are ignored. Its words for the labels are those of `source.labels`, or
    negative and positive in the usual words and numbers; rows that say neither are left out and counted. Without a
    table, images lie in folders named by their label, and each is a patient of its own. A file may be
    named by the end of its path, or by the path it had elsewhere. Without a `source` column, the source is the
    `location`, else the folder's name. Raises `InputError` for a missing folder, table or column, an unknown label, a
    missing patient, an age that is none, and a file that is listed twice.
    """
    root = Path(source.folder)
    if not is_folder(root):
        raise InputError(f"{root}: no such folder; expected images and a table {source.labels_file}")
    if (
        not os.path.lexists(root / source.labels_file)
        and source.labels_file == FolderSource.model_fields["labels_file"].default
    ):
        return _read_class_folders(source, root)
    asked = {name for fact, name in source.columns.model_dump().items() if fact in REQUIRED_COLUMNS}
    table = read_label_table(root, source.labels_file, wanted=asked.issubset)
    where = str(root / source.labels_file)
    table = _named_as_in_a_manifest(table, source, where)
    _check_filled(table, where)
    # Ids typed on different machines may spell one accent in two ways; they are one patient's.
    table["patient_id"] = table["patient_id"].str.normalize("NFC")
    table["label"] = _labels(table["label"], source, where)
    table["file"] = _found_files(table["file"].map(_tidied), root)
    _check_once(table, where)
    table, left_out = _without_unclear(table)
    if "age" in table:
        table["age"] = _years(table["age"], source.columns.age, where)
    rows = table.reindex(columns=list(MANIFEST_COLUMNS), fill_value="").assign(fold="", image_id=table["file"])
    rows["source"] = _sources(table, root)
    rows["sex"] = rows["sex"].str.lower().map(SEXES).fillna("")
    rows["lung_mask"] = rows["lung_mask"].map(_tidied)
    named = {*rows["file"], *rows["lung_mask"]}
    unlisted = unlisted_images(root, {*named, *(row["file"] for row in left_out)})
    listing = make_listing(rows, root, root / source.labels_file, unlisted)
    return replace(listing, unreadable=[*listing.unreadable, *left_out])


def _read_class_folders(source: FolderSource, root: Path) -> Listing:
    images = [file for file in files_under(root) if file.lower().endswith(IMAGE_SUFFIXES)]
    labels = labels_by_folder(images, source.labels, f"{root / source.labels_file}: no such file, and")
    table = pd.DataFrame({"file": list(labels), "label": list(labels.values())}, dtype=str)
    rows, left_out = _without_unclear(table)
    rows = rows.assign(image_id=rows["file"], patient_id=rows["file"], source=root.resolve().name, fold="")
    listing = make_listing(rows, root, root, [file for file in images if file not in labels])
    return replace(listing, unreadable=[*listing.unreadable, *left_out])


def _without_unclear(table: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """The rows with a label, and the other ones' files with the reason."""
    unclear = table["label"] == UNCERTAIN
    left_out = [{"file": file, "reason": "uncertain or no label"} for file in table.loc[unclear, "file"]]
    return table[~unclear].copy(), left_out


def _named_as_in_a_manifest(table: pd.DataFrame, source: FolderSource, where: str) -> pd.DataFrame:
    """The columns that matter, under the manifest's names; raises `InputError` for one that is asked for but absent.

    A column is asked for if every table needs it, or if the study file gives it a name of its own.
    """
    names = source.columns.model_dump()
    asked = [fact for fact, name in names.items() if fact in REQUIRED_COLUMNS or name != fact]
    problems = []
    for fact in asked:
        refuse_twice(list(table.columns), names[fact], where)
        if names[fact] not in table:
            near = difflib.get_close_matches(names[fact], list(table.columns), n=1, cutoff=0.5)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            problems.append(f"no column `{names[fact]}` ({fact}){hint}")
    if problems:
        guessed = {fact: name for name in table.columns if (fact := column_of(name)) in asked and name != fact}
        example = ", ".join(f"{fact}: {name}" for fact, name in guessed.items()) or "patient_id: PatID, label: Befund"
        raise InputError(
            f"{where}: {'; '.join(problems)}; found {', '.join(table.columns)}; write the table's own names in the "
            f"study file, e.g. `columns: {{{example}}}`"
        )
    present = {fact: table[name] for fact, name in names.items() if name in table}
    if "location" in table and "source" not in present:
        present["location"] = table["location"]
    return pd.DataFrame(present)


def _check_filled(table: pd.DataFrame, where: str) -> None:
    for column in REQUIRED_COLUMNS[:2]:
        empty = table.index[table[column] == ""]
        if len(empty):
            raise InputError(f"{where}: row {empty[0]}: {column} is empty ({len(empty)} such rows)")


def _labels(words: pd.Series, source: FolderSource, where: str) -> pd.Series:
    """The table's words as negative, positive or uncertain: the study file's meaning first, then the usual one."""
    known = {label: label for label in LABELS} | {word.casefold(): label for word, label in source.labels.items()}
    labels = words.map(lambda word: known.get(word.casefold()) or meaning_of(word))
    unknown = words[labels == ""]
    if len(unknown):
        found = unknown.iloc[0]
        near = difflib.get_close_matches(found.casefold(), list(known), n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"map it in the study file: `labels: {{{found}: positive}}`"
        others = sorted(set(unknown))
        listed = ", ".join(f"`{word}`" for word in others[:5]) + (", …" if len(others) > 5 else "")
        raise InputError(
            f"{where}: row {unknown.index[0]}: label: found `{found}`, expected {' or '.join(known)}; {hint} "
            f"({len(unknown)} such rows: {listed})"
        )
    return labels


def _tidied(file: str) -> str:
    """One spelling per file, so that `./a.png` and `a.png` are seen to be the same; others are left for `refusal`."""
    return str(PurePosixPath(file)) if file else ""


def _found_files(names: pd.Series, root: Path) -> pd.Series:
    """Names as they are below the folder; one that is not is looked for by its end, as far as only one file has it."""
    absent = [name for name in names if ".." not in PurePosixPath(name).parts and not _is_file(root / name)]
    if not absent:
        return names
    return names.replace(by_unique_suffix(absent, list(files_under(root))))


def _check_once(table: pd.DataFrame, where: str) -> None:
    twice = table.index[table["file"].duplicated()]
    if len(twice):
        raise InputError(
            f"{where}: row {twice[0]}: `{table['file'][twice[0]]}` is listed twice ({len(twice)} such rows); "
            "list each image once"
        )


def _years(ages: pd.Series, column: str, where: str) -> pd.Series:
    """Ages as numbers; a comma may stand for the decimal point. Empty becomes NaN."""
    numbers = pd.to_numeric(ages.str.replace(",", ".", regex=False).replace("", None), errors="coerce").astype(float)
    wrong = ages.index[(numbers.isna() & (ages != "")) | (numbers < 0) | (numbers > 120)]
    if len(wrong):
        name = "age" if column == "age" else f"age (column `{column}`)"
        raise InputError(
            f"{where}: row {wrong[0]}: {name}: found `{ages[wrong[0]]}`, expected years from 0 to 120 "
            f"({len(wrong)} such rows)"
        )
    return numbers


def _sources(table: pd.DataFrame, root: Path) -> pd.Series:
    if "source" in table:
        return table["source"]
    location = table.get("location", pd.Series("", index=table.index))
    return location.where(location != "", root.resolve().name)


def _is_file(path: Path) -> bool:
    """Whether a path leads to a file; a name too long for the file system leads nowhere."""
    try:
        return path.is_file()
    except OSError:
        return False
