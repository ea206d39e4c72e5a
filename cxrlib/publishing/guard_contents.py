"""What a private study's book may be made of, and the texts and pictures in it.

The rule is turned round: instead of a list of what is bad, a file is one of these, or it is refused.

- A file of the theme, byte for byte as it is installed here.
- A text (`TEXTS`) in UTF-8: all of it is searched. What a text encodes has to be a PNG or JPEG; a page needs no other
  long stretch of characters without words, of numbers, of signs, or of colours, and any of these could be a film.
- A notebook whose outputs are texts and pictures of these kinds (`OUTPUTS`).
- A PNG or JPEG that holds pixels and notes, and nothing before, between or behind them.
"""

import base64
import binascii
import hashlib
import importlib.util
import io
import json
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from cxrlib.errors import InputError

LARGEST_BYTES = 256 * 2**20
MOST_FRAMES = 64
THEMES = (
    "sphinx", "sphinx_book_theme", "pydata_sphinx_theme", "myst_nb", "sphinx_design", "sphinx_copybutton",
    "sphinx_togglebutton", "jupyter_book",
)  # fmt: skip
TEXTS = {".html", ".md", ".txt", ".css", ".js", ".json", ".csv", ".svg", ".bib", ".buildinfo"}
PICTURES = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff"}
OUTPUTS = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg", "image/svg+xml"}
GLUED = "application/papermill.record/"
# Of a page in the demo's book the longest stretch has 71 characters and 12 numbers; all of it 22 colours outside the
# theme, 1,200 signs in long stretches, and the same words between numbers 464 times.
LONGEST_WORD, MOST_OPAQUE, MOST_NUMBERS, MOST_COLOURS = 160, 1200, 240, 240
MOST_ALIKE, MOST_SIGNS, MOST_ODD = 2000, 1600, 200
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
LETTERS = re.compile(r"[A-Za-z0-9]{36,}")
CHUNKS = {"PLTE", "tRNS", "IDAT", "pHYs", "tEXt", "zTXt", "iTXt", "gAMA", "cHRM", "sRGB", "bKGD", "tIME", "eXIf",
          "acTL", "fcTL", "fdAT"}  # fmt: skip
# Of a JPEG: where its pixels begin, and the parts for notes of programs, as profiles of colours are.
SCAN, APPLICATIONS, MOST_NOTE_BYTES = 0xDA, (0xE0, 0xEF), 1000
COLOURFUL, COLOURED_SHARE = 40, 0.02


@dataclass(frozen=True)
class Piece:
    """A text, or the views of a picture, each uint8 (H, W), and where it was found."""

    where: str
    text: str = ""
    picture: tuple[np.ndarray, ...] = ()


def pieces_of(path: Path, where: str) -> Iterator[Piece]:
    """Every text and picture in a file, the name `where` among them. Raises `InputError` for what is no part of a
    book, and for what can't be read to its last byte."""
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
        yield from _text(_decoded(data, where), where)
    else:
        raise InputError(f"{where}: no kind of file that the guard can look into; leave it out")


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
    _check_rest(rest, where)
    yield Piece(where, text)


def _check_rest(text: str, where: str) -> None:
    """Raise `InputError` for more data in a text than a page has use for."""
    opaque = sum(len(word) for word in OPAQUE.findall(text) if _is_opaque(word))
    if opaque > MOST_OPAQUE:
        raise InputError(f"{where}: {opaque:,} characters that are no words, more than a page needs; leave them out")
    most = MOST_NUMBERS_OF_INDEX if where == "searchindex.js" else MOST_NUMBERS
    if max(_numbers_in_a_row(text), _numbers_in_a_row(re.sub(r"<[^<>]*>", " ", text))) > most:
        raise InputError(f"{where}: more than {most} numbers in a row; leave them out")
    untagged, tags = re.sub(r"<[^<>]*>", " ", text), " ".join(re.findall(r"<[^<>]*>", text))
    # The study's own tables of curves are thousands of such rows; they stay where they are.
    if not where.endswith(".csv") and max(_alike_gaps(untagged), _alike_gaps(tags)) > MOST_ALIKE:
        raise InputError(f"{where}: more than {MOST_ALIKE} numbers with the same words between them; leave them out")
    letters = sum(len(word) for word in LETTERS.findall(text) if not re.fullmatch("[0-9a-f]+", word))
    signs = sum(map(len, SIGNS.findall(re.sub(r"\s+", " ", text))))
    odd = sum(unicodedata.category(sign) in ("Cc", "Cn", "Cs", "Co") for sign in text if sign not in "\t\n\r\f\v")
    if letters > MOST_OPAQUE or signs > MOST_SIGNS or odd > MOST_ODD:
        raise InputError(f"{where}: {max(letters, signs, odd):,} signs or letters that are no words; leave them out")
    colours = len(COLOURS.findall(text))
    if colours > MOST_COLOURS:
        raise InputError(f"{where}: {colours:,} colours or blocks, as many as a picture has; leave them out")


def _numbers_in_a_row(text: str) -> int:
    """The longest run of numbers with no word, and not much else, between them."""
    longest = run = end = 0
    for number in NUMBERS.finditer(text):
        gap = text[end : number.start()]
        run = run + 1 if len(gap.split()) <= 3 and not re.search(r"[^\W\d]{2}", gap) else 1
        longest, end = max(longest, run), number.end()
    return longest


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
        return base64.b64decode(kept + "=" * (-len(kept) % 4))
    except (binascii.Error, ValueError):
        return b""


def _picture(data: bytes, where: str, start: bytes) -> Iterator[Piece]:
    try:
        if not data.startswith(start):
            raise ValueError("it does not begin as its name says")
        whole = _is_whole_png(data) if start == PICTURES[".png"] else _is_whole_jpeg(data)
        if not whole:
            raise ValueError("it holds more than one picture's pixels and notes")
        with Image.open(io.BytesIO(data)) as image:
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                if number == MOST_FRAMES:
                    raise ValueError(f"it has more than {MOST_FRAMES} frames")
                yield Piece(where, picture=tuple(views_of(frame)))
            image.load()
            notes = {**image.info, **getattr(image, "text", {}), **image.getexif()}
    except (OSError, ValueError, SyntaxError, IndexError, zlib.error, UnidentifiedImageError,
            Image.DecompressionBombError) as error:  # fmt: skip
        raise InputError(f"{where}: a picture that can't be looked into ({error}); leave it out") from None
    for name, note in notes.items():
        said = note.decode("utf-8", "replace") if isinstance(note, bytes) else str(note)
        yield from _text(f"{name}: {said}", f"{where}, its notes")


def _is_whole_png(data: bytes) -> bool:
    """Whether there are only known parts, nothing behind the end, and no more bytes than the pixels take."""
    place, streams, ended = 8, [b""], False
    depth, kind, interlaced = 0, None, 0
    while place < len(data) and not ended:
        size, name = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8].decode("latin-1")
        body = data[place + 8 : place + 8 + size]
        if name == "IHDR":
            depth, kind, interlaced = body[8], body[9], body[12]
        elif name == "IDAT":
            streams[-1] += body
        elif name == "fdAT":
            streams[-1] += body[4:]
        elif name == "fcTL" and streams[-1]:
            streams.append(b"")
        ended = name == "IEND" and not size
        if not ended and name != "IHDR" and name not in CHUNKS:
            return False
        place += 12 + size
    if not ended or place != len(data) or depth > 8 or interlaced:
        return False
    return all(_is_one_stream(stream) for stream in streams) and kind in (0, 2, 3, 4, 6)


def _is_one_stream(data: bytes) -> bool:
    unpacking = zlib.decompressobj()
    unpacking.decompress(data, LARGEST_BYTES)
    return unpacking.eof and not unpacking.unused_data


def _is_whole_jpeg(data: bytes) -> bool:
    """Whether there is one picture, with few notes, without a thumbnail, and nothing behind its end."""
    place = 2
    while data[place : place + 1] == b"\xff" and data[place + 1] != SCAN:
        size = int.from_bytes(data[place + 2 : place + 4])
        if APPLICATIONS[0] <= data[place + 1] <= APPLICATIONS[1] and size > MOST_NOTE_BYTES:
            return False
        place += 2 + size
    return data.endswith(b"\xff\xd9") and data.count(b"\xff\xd8\xff") == 1 and data.count(b"\xff\xd9") == 1


def views_of(frame: Image.Image) -> Iterator[np.ndarray]:
    """The grey pictures that a frame can be taken for: on white, as a page shows it, and what colour or alpha hides."""
    colour = np.asarray(frame.convert("RGBA"))
    if frame.mode == "P":
        yield np.asarray(frame)
    alpha, channels = colour[..., 3], colour[..., :3].astype(int)
    on_white = Image.alpha_composite(Image.new("RGBA", frame.size, "white"), Image.fromarray(colour))
    yield np.asarray(on_white.convert("L"))
    if alpha.min() < 255:
        yield alpha
        yield np.asarray(Image.fromarray(colour[..., :3]).convert("L"))
    if (np.ptp(channels, axis=2) > COLOURFUL).mean() > COLOURED_SHARE:
        yield from (colour[..., number] for number in range(3))
