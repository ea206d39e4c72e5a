"""What people's tables call their columns, and what they write in them, in the languages of hospitals."""

import csv
import datetime
import importlib.resources
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from cxrlib.errors import InputError

UNCERTAIN = "uncertain"
# Rows of (column or cell, its meaning, words without spaces; of columns also without signs).
TABLE_FILE = "table_words.csv"
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f")) | dict.fromkeys(
    map(ord, "\u00a0\u202f\u2007\u2009\u3000"), " "
)


# How spreadsheets are told that a number is a text: ="0123" and '0123.
AS_TEXT = re.compile(r"""="([^"]*)"|'(\w+)'?""")
# What stands before the result: COVID+, SARS-CoV-2 positive.
DISEASE = re.compile(r"(covid(-?19)?|sars-?cov-?2|(rt-?)?pcr):?(?=.)")
DASHES = dict.fromkeys(map(ord, "‐‑–—−"), "-")
# The day before the first of a spreadsheet's calendar, which has a 29 February 1900.
SPREADSHEET_EPOCH = datetime.date(1899, 12, 30)


def tidy(text: str) -> str:
    """A cell without spaces around it, all other spaces plain ones, and without characters that nobody sees."""
    bare = text.translate(INVISIBLE).strip()
    kept = AS_TEXT.fullmatch(bare)
    return next(filter(None, kept.groups()), "").strip() if kept else bare


@cache
def _meanings(kind: str) -> dict[str, str]:
    with (importlib.resources.files("cxrlib.films") / TABLE_FILE).open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == kind]
    return {_bare(word): row["meaning"] for row in rows for word in row["words"].split()}


def _bare(text: str) -> str:
    return "".join(mark for mark in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(mark))


def column_of(name: str) -> str:
    """What a column holds, e.g. `patient_id`; its name without case and signs where that is unknown."""
    plain = re.sub(r"[^\w]|_", "", _bare(name))
    return _meanings("column").get(plain, plain)


def meaning_of(word: str) -> str:
    """`positive`, `negative`, `uncertain`, or empty for a word of another meaning; an empty cell is uncertain."""
    if not word:
        return UNCERTAIN
    bare = re.sub(r"^([01])[.,]0+$", r"\1", "".join(_bare(word).split()).translate(DASHES))
    known = _meanings("cell")
    return next(filter(None, map(known.get, (bare, bare.rstrip(".:;!"), DISEASE.sub("", bare, count=1)))), "")


def dates(cells: Iterable[tuple[int, str]], where: str) -> dict[int, str]:
    """Days as YYYYMMDD of (row, cell) as people and spreadsheets write them; empty cells stay empty.

    Whether 03/04/2020 is in March or April is decided by the whole column. Raises `InputError` where it can't be, and
    for a cell that is no day.
    """
    found: dict[int, str] = {}
    slashed: dict[int, tuple[int, int, int]] = {}
    for row, cell in cells:
        text = re.sub(r"[T ]\d{1,2}:\d{2}.*$", "", cell)
        if not text:
            found[row] = ""
        elif match := re.fullmatch(r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})\.?|(\d{4})(\d\d)(\d\d)", text):
            year, month, day = filter(None, match.groups())
            found[row] = f"{year}{int(month):02d}{int(day):02d}"
        elif match := re.fullmatch(r"([2-7]\d{4})([.,]\d+)?", text):
            found[row] = f"{SPREADSHEET_EPOCH + datetime.timedelta(days=int(match[1])):%Y%m%d}"
        elif match := re.fullmatch(r"(\d{1,2})([-./])\s?(\d{1,2})[-./]\s?(\d{4}|\d{2})", text):
            year = int(match[4]) + (2000 if len(match[4]) == 2 else 0)
            if match[2] == ".":
                found[row] = f"{year}{int(match[3]):02d}{int(match[1]):02d}"
            else:
                slashed[row] = int(match[1]), int(match[3]), year
        else:
            raise InputError(f"{where}: row {row}: date: found `{cell}`, expected a day such as 2020-04-15")
    day_first = any(first > 12 for first, *_ in slashed.values())
    month_first = any(second > 12 for _, second, _ in slashed.values())
    undecided = next((row for row, (first, second, _) in slashed.items() if first != second), 0)
    if (day_first and month_first) or (undecided and not (day_first or month_first)):
        raise InputError(
            f"{where}: row {undecided}: date: days such as {slashed[undecided][0]}/{slashed[undecided][1]} may be one "
            "of two months; expected days such as 2020-04-15"
        )
    for row, (first, second, year) in slashed.items():
        month, day = (second, first) if day_first else (first, second)
        found[row] = f"{year}{month:02d}{day:02d}"
    wrong = next((row for row, day in found.items() if day and not _is_day(day)), None)
    if wrong is not None:
        raise InputError(f"{where}: row {wrong}: date: found {found[wrong]}, which no calendar has")
    return found


def _is_day(day: str) -> bool:
    return 1900 <= int(day[:4]) < 2100 and 1 <= int(day[4:6]) <= 12 and 1 <= int(day[6:]) <= 31
