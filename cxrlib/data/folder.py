"""Reader of a folder with images and a table `labels.csv`."""

from pathlib import Path

import pandas as pd

from cxrlib.data.listing import Listing, make_listing
from cxrlib.data.manifest import MANIFEST_COLUMNS, read_text_table
from cxrlib.data.settings import LABELS, FolderSource
from cxrlib.errors import InputError

REQUIRED_COLUMNS = ("file", "patient_id", "label")
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M", "w": "F"}


def read_folder(source: FolderSource) -> Listing:
    """List the images of a folder; no pixel is decoded.

    The table has the columns file, patient_id, label and, where known, source, view, sex, age, lung_mask; others are
    ignored. Without a `source` column, the source is the `location`, else the folder's name. Raises `InputError` for a
    missing folder, table or column, an unknown label, a missing patient, and a file that is listed twice.
    """
    root = Path(source.folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected images and a table {source.labels_file}")
    labels_file = root / source.labels_file
    table = read_text_table(labels_file)
    missing = [column for column in REQUIRED_COLUMNS if column not in table]
    if missing:
        raise InputError(
            f"{labels_file}: no column {', '.join(missing)}; found {', '.join(table.columns)}; "
            f"expected at least {', '.join(REQUIRED_COLUMNS)}"
        )
    text = [column for column in table if column != "age"]
    table[text] = table[text].apply(lambda column: column.str.strip())
    _check_rows(table, labels_file)
    rows = table.reindex(columns=list(MANIFEST_COLUMNS), fill_value="").assign(fold="", image_id=table["file"])
    rows["source"] = _sources(table, root)
    rows["sex"] = rows["sex"].str.lower().map(SEXES).fillna("")
    return make_listing(rows, root, labels_file)


def _check_rows(table: pd.DataFrame, labels_file: Path) -> None:
    unknown = table.index[~table["label"].isin(LABELS)]
    if len(unknown):
        raise InputError(
            f"{labels_file}: row {unknown[0] + 2}: label: found `{table['label'][unknown[0]]}`, expected "
            f"{' or '.join(LABELS)} ({len(unknown)} such rows)"
        )
    for column in ("file", "patient_id"):
        empty = table.index[table[column] == ""]
        if len(empty):
            raise InputError(f"{labels_file}: row {empty[0] + 2}: {column} is empty ({len(empty)} such rows)")
    twice = table.index[table["file"].duplicated()]
    if len(twice):
        raise InputError(
            f"{labels_file}: row {twice[0] + 2}: `{table['file'][twice[0]]}` is listed twice "
            f"({len(twice)} such rows); list each image once"
        )


def _sources(table: pd.DataFrame, root: Path) -> pd.Series:
    if "source" in table:
        return table["source"]
    location = table.get("location", pd.Series("", index=table.index))
    return location.where(location != "", root.resolve().name)
