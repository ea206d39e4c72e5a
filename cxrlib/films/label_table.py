"""A table of labels as people keep it: CSV in the dialects of their spreadsheets, or an Excel workbook.

Every cell comes out as text; nothing is guessed about its meaning here.
"""

import csv
import datetime
import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.films.containment import MAXIMUM_TABLE_BYTES, decode_text, read_table_bytes

SEPARATORS = (",", ";", "\t")
MAXIMUM_ROWS = 1_000_000
MAXIMUM_COLUMNS = 500
MAXIMUM_CELLS = 20_000_000


def read_label_table(root: Path, file: str) -> pd.DataFrame:
    """The table `file` in the folder `root`, every cell as stripped text, empty where absent.

    The index counts rows as a spreadsheet shows them: the header is row 1. Wholly empty rows are left out. A name
    that ends in .xlsx is read as an Excel workbook (its first sheet, formulas as last computed), any other as CSV:
    separated by commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252. Raises `InputError` for a file that is
    missing, outside the folder, too large or damaged, for a header with repeated names, and for rows longer than it.
    """
    where = str(root / file)
    content = read_table_bytes(root, file)
    if file.lower().endswith(".xls"):
        raise InputError(f"{where}: an old Excel workbook; save it as .xlsx or as CSV (UTF-8)")
    rows = _excel_rows(content, where) if file.lower().endswith(".xlsx") else _csv_rows(content, where)
    rows = [[cell.strip() for cell in row] for row in rows]
    header_at = next((number for number, row in enumerate(rows) if any(row)), None)
    if header_at is None:
        raise InputError(f"{where}: holds no text; expected a header and one row per image")
    header = _header(rows[header_at], f"{where}: row {header_at + 1}")
    filled, numbers = [], []
    for number, row in enumerate(rows[header_at + 1 :], start=header_at + 2):
        if any(row[len(header) :]):
            raise InputError(f"{where}: row {number}: {len(row)} cells, but the header has {len(header)}; {row[:3]} …")
        if any(row):
            numbers.append(number)
            filled.append((row + [""] * len(header))[: len(header)])
    return pd.DataFrame(filled, columns=header, index=numbers, dtype=str)


def _header(cells: list[str], where: str) -> list[str]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    if len(cells) > MAXIMUM_COLUMNS:
        raise InputError(f"{where}: {len(cells):,} columns; at most {MAXIMUM_COLUMNS}")
    twice = next((name for name in cells if name and cells.count(name) > 1), None)
    if twice:
        raise InputError(f"{where}: column `{twice}` is there {cells.count(twice)} times; give each a name of its own")
    # A column without a name can't be asked for, but need not be refused: spreadsheets leave such gaps.
    return [name or f"(column {number})" for number, name in enumerate(cells, start=1)]


def _csv_rows(content: bytes, where: str) -> list[list[str]]:
    if content.startswith(b"PK\x03\x04"):
        raise InputError(f"{where}: an Excel workbook by its content; let its name end in .xlsx")
    text = decode_text(content, where)
    first = next((line for line in text.splitlines() if line.strip()), "")
    rows: list[list[str]] = []
    try:
        separator = max(SEPARATORS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            rows.append(row)
            if len(rows) > MAXIMUM_ROWS:
                raise InputError(f"{where}: more than {MAXIMUM_ROWS:,} rows; a row per image is expected")
    except csv.Error as error:
        raise InputError(f"{where}: row {len(rows) + 1}: not valid CSV: {error}; check the quotation marks") from None
    return rows


def _excel_rows(content: bytes, where: str) -> list[list[str]]:
    import openpyxl

    _check_unpacked_size(content, where)
    rows: list[list[str]] = []
    cells = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
            sheet = book.worksheets[0]
            # What a workbook says of its own size may be wrong, and empty cells would be made up to fill it.
            sheet.reset_dimensions()
            for row in sheet.iter_rows(values_only=True, max_row=MAXIMUM_ROWS + 1):
                rows.append([_cell_text(cell) for cell in row])
                cells += len(row)
                if len(rows) > MAXIMUM_ROWS or cells > MAXIMUM_CELLS:
                    break
    except Exception as error:
        # Only openpyxl works here, and damaged workbooks make it fail in every way that Python knows.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{where}: not a readable Excel workbook: {reason}; save it as CSV (UTF-8)") from None
    if len(rows) > MAXIMUM_ROWS or cells > MAXIMUM_CELLS:
        limit = f"{MAXIMUM_ROWS:,} rows or {MAXIMUM_CELLS:,} cells"
        raise InputError(f"{where}: more than {limit}; a row per image is expected")
    return rows


def _check_unpacked_size(content: bytes, where: str) -> None:
    """An .xlsx file is a ZIP archive: a few kilobytes can unpack to gigabytes, so what it declares is added up first.

    Python unpacks no more of a part than the archive declares for it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{where}: not a readable Excel workbook: {error}; save it as CSV (UTF-8)") from None
    if unpacked > MAXIMUM_TABLE_BYTES:
        raise InputError(f"{where}: too large: unpacks to {unpacked:,} bytes; at most {MAXIMUM_TABLE_BYTES:,}")


def _cell_text(value: Any) -> str:
    """A whole number without its decimals (patient 12345, not 12345.0), a day without its midnight."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value)
