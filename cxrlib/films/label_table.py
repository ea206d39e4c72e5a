"""A table of labels as people keep it: CSV in the dialects of their spreadsheets, or a workbook.

Every cell comes out as text; nothing is guessed about its meaning here.
"""

import contextlib
import csv
import datetime
import io
import re
import statistics
import warnings
import zipfile
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.films.containment import MAXIMUM_TABLE_BYTES, decode_text, read_table_bytes
from cxrlib.films.table_words import tidy

SEPARATORS = (",", ";", "\t", "|")
MAXIMUM_ROWS = 1_000_000
MAXIMUM_COLUMNS = 500
MAXIMUM_CELLS = 20_000_000
# How many lines are looked at to tell separator and header.
LINES_LOOKED_AT = 25
FOOTER = re.compile(
    r"(sum|summe|mean|average|mittelwert|durchschnitt|total|totale|gesamt|insgesamt|anzahl|count|somme|suma|razem|"
    r"итого|合计|合計|n\s*=|stand|erstellt|exported|printed|source|quelle)\b",
    re.IGNORECASE,
)
# The first cell of a row that has one in every column, and is a footer all the same.
SUM = re.compile(FOOTER.pattern.replace(r"\b", r"\s*[:=]?"), re.IGNORECASE)
# In the XML of a sheet.
HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\b(?=[^>]*\bhidden="(?:1|true)")[^>]*\br="(\d+)"')
MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+\d+:[A-Z]+\d+)"')
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
# What spreadsheets write in countries where Windows has another code page than 1252.
CODE_PAGES = ("cp1251", "cp1250", "cp1254", "cp1253", "gb18030", "cp932", "cp949", "cp1255", "cp1256")

Rows = list[list[str]]


def read_label_table(root: Path, file: str, wanted: Callable[[list[str]], bool] | None = None) -> pd.DataFrame:
    """The table `file` in the folder `root`, every cell as stripped text, empty where absent.

    The index counts rows as a spreadsheet shows them: the first is row 1. Left out are titles above the header, wholly
    empty rows, and sums and notes below the table. A name that ends in .xlsx, .xls or .ods is read as a workbook: its
    first sheet whose header is `wanted`, else its first with text; formulas as last computed, numbers with the zeros
    that they are shown with. Any other is read as CSV: separated by commas, semicolons, tabs or bars, in UTF-8, UTF-16
    or Windows-1252. Columns of the same name get their number behind it. Raises `InputError` for a file that is
    missing, outside the folder, too large or damaged, and for rows longer than the header.
    """
    where = str(root / file)
    content = read_table_bytes(root, file)
    suffix = Path(file).suffix.lower()
    sheets: Iterator[Rows]
    if suffix not in WORKBOOKS:
        sheets = (_csv_rows(text, where) for text in _texts(content, where, wanted is not None))
    else:
        sheets = _excel_sheets(content, where) if suffix in (".xlsx", ".xlsm") else _other_sheets(content, where)
    tables: list[pd.DataFrame] = []
    for rows in sheets:
        if any(any(row) for row in rows):
            table = _table(rows, where, wanted)
            if wanted is None or wanted(list(table.columns)):
                return table
            tables.append(table)
    if not tables:
        raise InputError(f"{where}: holds no text; expected a header and one row per image")
    return tables[0]


def _table(rows: Rows, where: str, wanted: Callable[[list[str]], bool] | None) -> pd.DataFrame:
    rows = [[tidy(cell) for cell in row] for row in rows]
    header_at = _header_row(rows)
    if header_at is None:
        raise InputError(f"{where}: holds no text; expected a header and one row per image")
    if wanted and not wanted(_header(rows[header_at], where)):
        # Below another row of a header, or of fewer names than columns, as where an index has none.
        first = enumerate(rows[:LINES_LOOKED_AT])
        header_at = next((number for number, row in first if any(row) and wanted(_header(row, where))), header_at)
    header = _header(rows[header_at], f"{where}: row {header_at + 1}")
    filled, numbers = [], []
    for number, row in enumerate(rows[header_at + 1 :], start=header_at + 2):
        if any(row[len(header) :]):
            raise InputError(f"{where}: row {number}: {len(row)} cells, but the header has {len(header)}; {row[:3]} …")
        if any(row):
            numbers.append(number)
            filled.append((row + [""] * len(header))[: len(header)])
    while filled and _is_footer(filled[-1], len(filled) > 1 and numbers[-1] > numbers[-2] + 1):
        del filled[-1], numbers[-1]
    return pd.DataFrame(filled, columns=header, index=numbers, dtype=str)


def _header_row(rows: Rows) -> int | None:
    """The first row that is about as full as those below it: above it stand titles, which fill a cell or two."""
    filled = [(number, sum(map(bool, row))) for number, row in enumerate(rows[: 2 * LINES_LOOKED_AT]) if any(row)]
    for place, (number, cells) in enumerate(filled):
        below = [count for _, count in filled[place + 1 :]]
        if cells >= min(2, max(count for _, count in filled)) and (
            not below or 3 * cells > 2 * statistics.median(below)
        ):
            return number
    return filled[0][0] if filled else None


def _is_footer(row: list[str], apart: bool) -> bool:
    """A last row of sums or notes: it begins as those do, or stands alone below an empty row."""
    cells = [cell for cell in row if cell]
    if len(cells) == len(row):
        return bool(SUM.fullmatch(cells[0]))
    return bool(FOOTER.match(cells[0])) or (apart and len(cells) == 1)


def _header(cells: list[str], where: str) -> list[str]:
    while cells and not cells[-1]:
        cells = cells[:-1]
    if len(cells) > MAXIMUM_COLUMNS:
        raise InputError(f"{where}: {len(cells):,} columns; at most {MAXIMUM_COLUMNS}")
    # A column that can't be told from another, or has no name, can't be asked for, but need not be refused.
    return [
        f"{name} (column {number})".strip() if cells.count(name) > 1 or not name else name
        for number, name in enumerate(cells, start=1)
    ]


def refuse_twice(columns: list[str], name: str, where: str) -> None:
    """Raise `InputError` if a column that is needed is there several times."""
    twice = [column for column in columns if re.fullmatch(re.escape(name) + r" \(column \d+\)", column)]
    if twice:
        raise InputError(f"{where}: column `{name}` is there {len(twice)} times; give each a name of its own")


def _texts(content: bytes, where: str, every: bool) -> Iterator[str]:
    """The text of a CSV file; of one that is not Unicode, with `every`, also as it reads in other code pages."""
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise InputError(f"{where}: an Excel workbook by its content; let its name end in .xlsx, .xls or .ods")
    unknown: InputError | None = None
    try:
        yield decode_text(content, where)
    except InputError as error:
        unknown = error
    for page in CODE_PAGES if every and not _is_unicode(content) else ():
        with contextlib.suppress(UnicodeDecodeError):
            yield content.decode(page)
    if unknown:
        raise unknown


def _is_unicode(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return True


def _csv_rows(text: str, where: str) -> Rows:
    said = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    rows: Rows = []
    try:
        separator = said[1] if said else _separator(text)
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            rows.append([] if said and not rows else row)
            if len(rows) > MAXIMUM_ROWS:
                raise InputError(f"{where}: more than {MAXIMUM_ROWS:,} rows; a row per image is expected")
    except csv.Error as error:
        raise InputError(f"{where}: row {len(rows) + 1}: not valid CSV: {error}; check the quotation marks") from None
    return rows


def _separator(text: str) -> str:
    """The mark that cuts most of the first lines into the same number of cells, and into most cells."""
    # Lines too long for a table are left to the reading of the table, which names their row.
    lines = [line for line in text.splitlines() if line.strip() and len(line) <= csv.field_size_limit()]
    lines = lines[:LINES_LOOKED_AT]

    def fit(mark: str) -> tuple[int, int]:
        counts = [len(next(csv.reader([line], delimiter=mark), [])) for line in lines]
        common = max(set(counts) - {1}, key=lambda number: (counts.count(number), number), default=1)
        return (counts.count(common), common) if common > 1 else (0, 1)

    return max(SEPARATORS, key=fit)


def _excel_sheets(content: bytes, where: str) -> Iterator[Rows]:
    _check_unpacked_size(content, where)
    cells = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for place, sheet in enumerate(_workbook(content, values=True).worksheets):
                text = _sheet_xml(content, sheet)
                written = _workbook(content, values=False).worksheets[place] if b"<f" in text else None
                rows: Rows = []
                for row, formulas in zip(_cells(sheet), _cells(written) if written else repeat(None), strict=False):
                    rows.append([_shown(*pair) for pair in zip(row, formulas or repeat(None), strict=False)])
                    cells += len(row)
                    if len(rows) > MAXIMUM_ROWS or cells > MAXIMUM_CELLS:
                        break
                _check_size(len(rows), cells, where)
                if sheet.sheet_state != "visible":
                    continue
                _fill_merged(rows, text)
                _refuse_hidden(rows, text, where)
                yield rows
    except InputError:
        raise
    except Exception as error:
        # Only openpyxl works here, and damaged workbooks make it fail in every way that Python knows.
        raise _unreadable(error, where) from None


def _workbook(content: bytes, *, values: bool) -> Any:
    import openpyxl

    return openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=values, keep_links=False)


def _cells(sheet: Any) -> Iterator[Any]:
    """Row by row. What a workbook says of its own size may be wrong, and empty cells would be made up to fill it."""
    sheet.reset_dimensions()
    return sheet.iter_rows(max_row=MAXIMUM_ROWS + 1)


def _sheet_xml(content: bytes, sheet: Any) -> bytes:
    """A sheet as it is written: reading a workbook row by row tells neither hidden rows nor merged cells."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(sheet._worksheet_path)


def _shown(cell: Any, formula: Any) -> str:
    """A cell's text; a formula that no spreadsheet has computed stands as it is."""
    never = formula is not None and cell.value is None and formula.value is not None and cell.data_type != "s"
    return str(formula.value) if never else _cell_text(cell.value, cell.number_format)


def _fill_merged(rows: Rows, text: bytes) -> None:
    """What is written once over several rows counts for each of them."""
    from openpyxl.utils.cell import range_boundaries

    for merged in MERGED.findall(text):
        column, first, _, last = range_boundaries(merged.decode())
        for row in rows[first : min(last, len(rows))]:
            row.extend([""] * (column - len(row)))
            row[column - 1] = rows[first - 1][column - 1] if column <= len(rows[first - 1]) else ""


def _refuse_hidden(rows: Rows, text: bytes, where: str) -> None:
    """Whether rows that a filter hides belong to the table is not for a program to say."""
    numbers = [int(number) for number in HIDDEN_ROW.findall(text)]
    hidden = [number for number in numbers if number <= len(rows) and any(rows[number - 1])]
    if hidden:
        raise InputError(
            f"{where}: row {hidden[0]}: hidden, as are {len(hidden) - 1} more; expected rows that can be seen: show "
            "those that belong to the table, delete the others, and save it again"
        )


def _other_sheets(content: bytes, where: str) -> Iterator[Rows]:
    """Sheets of an .xls or .ods workbook."""
    import python_calamine

    if content.startswith(b"PK"):
        _check_unpacked_size(content, where)
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = [book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in book.sheet_names]
    except Exception as error:  # the reader is another language's, and raises what that makes of damage
        raise _unreadable(error, where) from None
    for sheet in sheets:
        _check_size(len(sheet), sum(map(len, sheet)), where)
        yield [[_cell_text(cell if cell != "" else None, None) for cell in row] for row in sheet]


def _unreadable(error: Exception, where: str) -> InputError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"{where}: not a readable Excel workbook: {reason}; save it as CSV (UTF-8)")


def _check_size(rows: int, cells: int, where: str) -> None:
    if rows > MAXIMUM_ROWS or cells > MAXIMUM_CELLS:
        limit = f"{MAXIMUM_ROWS:,} rows or {MAXIMUM_CELLS:,} cells"
        raise InputError(f"{where}: more than {limit}; a row per image is expected")


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


def _cell_text(value: Any, shown_as: str | None) -> str:
    """A whole number without its decimals (patient 12345, not 12345.0), but with its zeros; a day without midnight."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and shown_as and re.fullmatch(r"0{2,}", shown_as):
        return str(value).zfill(len(shown_as))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return str(value)
