"""What a private study's book may be made of, and the texts and pictures in it.

The rule is turned round: instead of a list of what is bad, a file is one of these, or it is refused.

- A file of the theme, byte for byte as it is installed here.
- A text (`TEXTS`) in UTF-8: all of it is searched. What a text encodes has to be a PNG or JPEG; a page needs no other
  long stretch of characters without words, of numbers, of signs, or of colours, and any of these could be a film.
- A notebook whose outputs are texts and pictures of these kinds (`OUTPUTS`).
- A PNG or JPEG that holds pixels and notes, and nothing before, between or behind them (`guard_pictures`).
"""

import base64
import binascii
import hashlib
import importlib.util
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from cxrlib.errors import InputError
from cxrlib.publishing.guard_pictures import LARGEST_BYTES, PICTURES, picture_of

THEMES = (
    "sphinx", "sphinx_book_theme", "pydata_sphinx_theme", "myst_nb", "sphinx_design", "sphinx_copybutton",
    "sphinx_togglebutton", "jupyter_book",
)  # fmt: skip
TEXTS = {".html", ".md", ".txt", ".css", ".js", ".json", ".csv", ".svg", ".bib", ".buildinfo"}
OUTPUTS = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml"}
GLUED = "application/papermill.record/"
# Of a page in the demo's book the longest stretch has 71 characters and 12 numbers; all of it 22 colours outside the
# theme, 1,200 signs in long stretches, and the same words between numbers 464 times.
LONGEST_WORD, MOST_OPAQUE, MOST_NUMBERS, MOST_COLOURS = 160, 1200, 240, 240
MOST_ALIKE, MOST_SIGNS, MOST_ODD = 2000, 1600, 200
# A film of 64 pixels a side is 4,096 numbers, also where each of its rows begins with a word.
LONG_ROW, MOST_IN_ROWS = 12, 4000
# Sphinx's index of words begins with the numbers among them; even there, no film of 64 pixels a side has room.
MOST_NUMBERS_OF_INDEX = 2000
ENCODED = re.compile(
    r"(?<=base64,)[A-Za-z0-9+/=\s]+|(?<![A-Za-z0-9+/])[A-Za-z0-9+/_-]{60,}(?:\s+[A-Za-z0-9+/]{30,})*(?:\s*[A-Za-z0-9+/]+)?={0,2}"
)
OPAQUE = re.compile(r"[A-Za-z0-9+/=]{12,}")
NUMBERS = re.compile(r"(?:0x|\\x)[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[-+]?\d+)?|\b[0-9a-fA-F]{2}\b")
COLOURS = re.compile(
    r"#[0-9a-fA-F]{3,8}\b|\b(?:rgb|hsl|hwb|lab|lch|gr[ae]y)a?\(|[\u2580-\u25ff\u2800-\u28ff\ue000-\uf8ff\U0001f000-\U0001faff]"
)
SIGNS = re.compile(r"[^\w\s]{8,}|(?:[^\w\s] ?){24,}")
# Letters of any script, in a row or one by one with blanks between them.
LETTERS = re.compile(r"[^\W_]{36,}|(?:[^\W\d_]{1,2}[\s,;.|/]+){24,}")
WORD = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{8,160}={0,2}(?![A-Za-z0-9+/_-])")
SHORTEST_READ = 6


@dataclass(frozen=True)
class Piece:
    """A text, or the views of a picture, each uint8 (H, W), and where it was found."""

    where: str
    text: str = ""
    picture: tuple[np.ndarray, ...] = ()


def pieces_of(path: Path, where: str, tables: Collection[str] = ()) -> Iterator[Piece]:
    """Every text and picture in a file, the name `where` among them. Raises `InputError` for what is no part of a
    book, and for what can't be read to its last byte. `tables` are SHA-256 of tables that stages of the study wrote:
    these may hold thousands of numbers, as curves do."""
    yield Piece(f"the name of {where}", where)
    if path.stat().st_size > LARGEST_BYTES:
        raise InputError(f"{where}: {path.stat().st_size:,} bytes, too large to be looked into; leave it out")
    data = path.read_bytes()
    if is_of_theme(data):
        return
    kind = path.suffix.lower() or path.name
    if kind in PICTURES:
        yield from _picture(data, where, PICTURES[kind])
    elif kind == ".ipynb":
        yield from _notebook(_decoded(data, where), where)
    elif path.name == "objects.inv":
        yield from _text(_inventory(data, where), where)
    elif kind in TEXTS:
        text = _decoded(data, where)
        written = kind == ".csv" and hashlib.sha256(data).hexdigest() in tables
        pieces = [Piece(where, text)] if written else _text(text, where)
        if where == "searchindex.js":
            pieces = (replace(one, text=_without_pages(one.text)) if one.where == where else one for one in pieces)
        yield from pieces
    else:
        raise InputError(f"{where}: no kind of file that the guard can look into; leave it out")


def _without_pages(index: str) -> str:
    """A search index without the numbers by which it calls the book's pages, 0, 1, … as many as there are: in lists
    that look like those of a hospital's small numbers. Any other number stays, and so does what is no such index."""
    start, end = "Search.setIndex(", ")"
    try:
        read = json.loads(index.strip().removeprefix(start).removesuffix(end))
        pages = range(len(read["docnames"]))
    except (ValueError, KeyError, TypeError):
        return index

    def rest(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rest(part) for key, part in value.items()}
        if isinstance(value, list):
            return [rest(part) for part in value if type(part) is not int or part not in pages]
        return None if type(value) is int and value in pages else value

    return json.dumps(rest(read), ensure_ascii=False)


def is_of_theme(data: bytes) -> bool:
    """Whether a file is one that the installed theme and its extensions may copy into a book."""
    return hashlib.sha256(data).digest() in _theme_files()


@cache
def _theme_files() -> frozenset[bytes]:
    """Hashes of what the installed theme and its extensions may copy into a book."""
    found = (importlib.util.find_spec(name) for name in THEMES)
    folders = [Path(spec.origin).parent for spec in found if spec and spec.origin]
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file() and path.suffix != ".py")
    return frozenset(hashlib.sha256(path.read_bytes()).digest() for path in files)


def _decoded(data: bytes, where: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{where}: no text in UTF-8, so that it can't be looked into; save it as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{where}: holds null characters, which no text has; leave it out")
    return text


def _inventory(data: bytes, where: str) -> str:
    """Sphinx's list of headings: four lines, then compressed ones."""
    *lines, packed = data.split(b"\n", 4)
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(packed, LARGEST_BYTES)
    except zlib.error:
        text = b"\0"
    if not unpacking.eof or unpacking.unused_data:
        raise InputError(f"{where}: damaged, so that it can't be looked into; build the book again")
    return _decoded(b"\n".join([*lines, text]), where)


def _notebook(text: str, where: str) -> Iterator[Piece]:
    try:
        notebook = json.loads(text)
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        kinds = [kind for output in outputs for kind in output.get("data", {})]
        strange = [kind for kind in kinds if kind not in OUTPUTS and not kind.startswith(GLUED)]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise InputError(f"{where}: damaged, no notebook; run the chapter again") from None
    if strange:
        raise InputError(f"{where}: an output of the kind `{strange[0]}`, which can't be looked into; remove it")
    for part in _strings(notebook):
        yield from _text(part, where)


def _strings(value: Any) -> Iterator[str]:
    """Every text in nested lists and mappings; lines of one text are joined."""
    if isinstance(value, dict):
        yield "\n".join(value)
        for key, item in value.items():
            # A key that names an id has its value beside it.
            yield from ([f'"{key}": "{item}"'] if isinstance(item, int | float | str) and len(str(item)) < 81 else [])
            yield from _strings(item)
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            yield "".join(value)
        elif value and all(isinstance(item, int | float) for item in value):
            yield ", ".join(map(str, value))
        else:
            for item in value:
                yield from _strings(item)
    elif isinstance(value, str):
        yield value


def _text(text: str, where: str) -> Iterator[Piece]:
    if max(text.count("%"), text.count("&#")) > MOST_OPAQUE:
        _check_rest(text, where)
    rest = unescape(unquote(text.replace("\\n", "\n").replace("\\/", "/")))
    for encoded in ENCODED.findall(rest):
        data = _from_base64(encoded)
        start = next((start for start in PICTURES.values() if data.startswith(start)), None)
        if start:
            yield from _picture(data, f"{where}, encoded in it", start)
            rest, text = rest.replace(encoded, " "), text.replace(encoded, " ")
        elif data and _readable(data):
            yield Piece(f"{where}, encoded in it", data.decode())
        elif max(map(len, encoded.split())) > LONGEST_WORD:
            raise InputError(f"{where}: {len(encoded):,} characters in a row that are no words; leave them out")
    yield Piece(where, text)
    if said := " ".join(_encoded_words(rest)):
        yield Piece(f"{where}, encoded in it", said)
    _check_rest(rest, where)


def _encoded_words(text: str) -> Iterator[str]:
    """What short words say to whoever takes them for base64 or hexadecimal numbers, where it can be read."""
    for word in set(WORD.findall(text)):
        data = [_from_base64(word)]
        data += [bytes.fromhex(word)] if re.fullmatch("(?:[0-9a-fA-F]{2})+", word) else []
        yield from (read.decode() for read in data if len(read) >= SHORTEST_READ and _readable(read))


def _check_rest(text: str, where: str) -> None:
    """Raise `InputError` for more data in a text than a page has use for."""
    opaque = sum(len(word) for word in OPAQUE.findall(text) if _is_opaque(word))
    if opaque > MOST_OPAQUE:
        raise InputError(f"{where}: {opaque:,} characters that are no words, more than a page needs; leave them out")
    most = MOST_NUMBERS_OF_INDEX if where == "searchindex.js" else MOST_NUMBERS
    rows = [_numbers_in_rows(form) for form in (text, re.sub(r"<[^<>]*>", " ", text))]
    if max(map(max, rows)) > most:
        raise InputError(f"{where}: more than {most} numbers in a row; leave them out")
    if max(sum(number for number in of_form if number >= LONG_ROW) for of_form in rows) > MOST_IN_ROWS:
        raise InputError(f"{where}: more than {MOST_IN_ROWS:,} numbers in long rows; leave them out")
    untagged, tags = re.sub(r"<[^<>]*>", " ", text), " ".join(re.findall(r"<[^<>]*>", text))
    if max(_alike_gaps(untagged), _alike_gaps(tags)) > MOST_ALIKE:
        raise InputError(f"{where}: more than {MOST_ALIKE} numbers with the same words between them; leave them out")
    letters = sum(len(word) for word in LETTERS.findall(text) if not re.fullmatch("[0-9a-f]+", word))
    signs = sum(map(len, SIGNS.findall(re.sub(r"\s+", " ", text))))
    odd = sum(unicodedata.category(sign) in ("Cc", "Cn", "Cs", "Co") for sign in text if sign not in "\t\n\r\f\v")
    if letters > MOST_OPAQUE or signs > MOST_SIGNS or odd > MOST_ODD:
        raise InputError(f"{where}: {max(letters, signs, odd):,} signs or letters that are no words; leave them out")
    colours = len(COLOURS.findall(text))
    if colours > MOST_COLOURS:
        raise InputError(f"{where}: {colours:,} colours or blocks, as many as a picture has; leave them out")


def _numbers_in_rows(text: str) -> list[int]:
    """The lengths of all runs of numbers with no word, and not much else, between them."""
    runs, end = [0], 0
    for number in NUMBERS.finditer(text):
        gap = text[end : number.start()]
        if len(gap.split()) <= 3 and not re.search(r"[^\W\d]{2}", gap):
            runs[-1] += 1
        else:
            runs.append(1)
        end = number.end()
    return runs


def _alike_gaps(text: str) -> int:
    """How often the commonest words between two numbers stand there, as in records of one point each."""
    gaps, end = Counter(), 0
    for number in NUMBERS.finditer(text):
        gap = " ".join(text[end : number.start()].split())
        gaps[gap] += len(gap) < LONGEST_WORD and bool(re.search(r"[^\W\d]", gap))
        end = number.end()
    return max(gaps.values(), default=0)


def _is_opaque(word: str) -> bool:
    return bool(re.search(r"[a-z]", word) and re.search(r"[A-Z]", word) and re.search(r"\d", word))


def _readable(data: bytes) -> bool:
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _from_base64(encoded: str) -> bytes:
    kept = re.sub(r"[\s=]", "", encoded)
    try:
        return base64.b64decode(kept + "=" * (-len(kept) % 4), "-_" if re.search("[-_]", kept) else None)
    except (binascii.Error, ValueError):
        return b""


def _picture(data: bytes, where: str, start: bytes) -> Iterator[Piece]:
    frames, notes = picture_of(data, where, start)
    yield from (Piece(where, picture=views) for views in frames)
    for name, note in notes.items():
        yield from _text(f"{name}: {note}", f"{where}, its notes")
