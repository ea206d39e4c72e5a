"""What a file holds, however it is wrapped: texts and pictures, also inside archives, notebooks, and other pictures."""

import base64
import binascii
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from cxrlib.errors import InputError

LARGEST_BYTES = 256 * 2**20
DEEPEST = 6
MOST_FRAMES = 64
PICTURE_STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"\0\0\1\0")
ENCODED = re.compile(r"(?<=base64,)[A-Za-z0-9+/=\s]+|[A-Za-z0-9+/]{60,}(?:\s*[A-Za-z0-9+/]+)*={0,2}")
TEXT_SHARE = 0.9


@dataclass(frozen=True)
class Piece:
    """A text or a grey picture (uint8 (H, W)) and where it was found; `binary` texts are bytes read as if text."""

    where: str
    text: str = ""
    picture: np.ndarray | None = None
    binary: bool = False


def pieces_of(path: Path, where: str) -> Iterator[Piece]:
    """Every text and picture in a file, the name `where` among them. Raises `InputError` if it can't be looked into."""
    yield Piece(f"the name of {where}", where)
    if path.stat().st_size > LARGEST_BYTES:
        raise InputError(f"{path}: {path.stat().st_size:,} bytes, too large to be looked into; leave it out")
    yield from _look_into(path.read_bytes(), where, 0)


def _look_into(data: bytes, where: str, depth: int) -> Iterator[Piece]:
    if depth > DEEPEST:
        raise InputError(f"{where}: wrapped more than {DEEPEST} times, can't be looked into; leave it out")
    if data[:2] == b"\x1f\x8b":
        yield from _look_into(_unpacked(data, where), f"{where}, unpacked", depth + 1)
    elif data[:4] == b"PK\x03\x04":
        yield from _archive(data, where, depth)
    elif data[:6] == b"\x93NUMPY":
        yield from _array(data, where)
    elif data.startswith(PICTURE_STARTS):
        yield from _picture(data, where, depth)
    elif _is_text(data):
        yield from _text(_decoded(data), where, depth)
    else:
        yield Piece(where, _bytes_as_text(data), binary=True)


def _unpacked(data: bytes, where: str) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(LARGEST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{where}: can't be unpacked ({error}); leave it out") from None
    if len(unpacked) > LARGEST_BYTES:
        raise InputError(f"{where}: unpacks to more than {LARGEST_BYTES:,} bytes; leave it out")
    return unpacked


def _archive(data: bytes, where: str, depth: int) -> Iterator[Piece]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_BYTES:
                raise InputError(f"{where}: unpacks to more than {LARGEST_BYTES:,} bytes; leave it out")
            yield Piece(f"{where}, comment", archive.comment.decode("utf-8", "replace"))
            for entry in archive.infolist():
                yield Piece(f"{where}, a name in it", entry.filename)
                if not entry.is_dir():
                    yield from _look_into(archive.read(entry), f"{where}, a file in it", depth + 1)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error) as error:
        raise InputError(f"{where}: can't be unpacked ({error}); leave it out") from None


def _array(data: bytes, where: str) -> Iterator[Piece]:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{where}: can't be read ({error}); leave it out") from None
    if array.dtype.kind in "US":
        yield Piece(where, "\n".join(map(str, array.ravel())))
    if array.dtype.kind in "uif" and array.ndim in (2, 3) and min(array.shape[-2:]) > 1:
        for picture in array.reshape(-1, *array.shape[-2:]):
            low, high = float(picture.min()), float(picture.max())
            grey = picture if picture.dtype == np.uint8 else 255 * (picture - low) / max(high - low, 1e-9)
            yield Piece(where, picture=np.asarray(grey, dtype=np.uint8))


def _picture(data: bytes, where: str, depth: int) -> Iterator[Piece]:
    yield Piece(where, _bytes_as_text(data), binary=True)
    try:
        with Image.open(io.BytesIO(data)) as image:
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                if number == MOST_FRAMES:
                    raise InputError(f"{where}: more than {MOST_FRAMES} frames; leave it out")
                yield Piece(where, picture=_grey(frame))
            if hasattr(image, "text"):
                image.load()
            yield from _notes(image, where, depth)
    except UnidentifiedImageError:
        return
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: a picture that can't be looked into ({error}); leave it out") from None


def _notes(image: Image.Image, where: str, depth: int) -> Iterator[Piece]:
    """What a picture says besides its pixels: text chunks, comments, EXIF, XMP."""
    notes = {**image.info, **getattr(image, "text", {})}
    for name, note in notes.items():
        yield Piece(f"{where}, its notes", str(name))
        data = note if isinstance(note, bytes) else str(note).encode("utf-8", "replace")
        yield from _look_into(data, f"{where}, its notes", depth + 1)
    for value in image.getexif().values():
        yield Piece(f"{where}, its EXIF", value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _grey(frame: Image.Image) -> np.ndarray:
    """On white, as a page shows it."""
    if frame.mode in ("I;16", "I", "F"):
        values = np.asarray(frame, dtype=float)
        return (255 * (values - values.min()) / max(float(np.ptp(values)), 1e-9)).astype(np.uint8)
    colour = frame.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("L"))


def _is_text(data: bytes) -> bool:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    start = data[:4096]
    printable = sum(byte >= 32 or byte in (9, 10, 12, 13, 27) for byte in start)
    return b"\0" not in start and printable >= TEXT_SHARE * len(start)


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def _bytes_as_text(data: bytes) -> str:
    """Bytes as text, also where each character takes two."""
    return data.replace(b"\0", b"").decode("utf-8", "replace")


def _text(text: str, where: str, depth: int) -> Iterator[Piece]:
    yield Piece(where, text)
    # Notebooks may keep a picture as one string with line breaks, or as a list of strings.
    plain = re.sub(r'(?:\\n)?"\s*,\s*"', "", text).replace("\\n", "\n").replace("\\/", "/")
    for form in dict.fromkeys((plain, unescape(unquote(plain)))):
        for encoded in ENCODED.findall(form):
            data = _from_base64(encoded)
            if data and (
                data.startswith((*PICTURE_STARTS, b"\x1f\x8b", b"PK\x03\x04", b"\x93NUMPY")) or _is_text(data)
            ):
                yield from _look_into(data, f"{where}, encoded in it", depth + 1)


def _from_base64(encoded: str) -> bytes:
    kept = re.sub(r"[\s=]", "", encoded)
    try:
        return base64.b64decode(kept + "=" * (-len(kept) % 4))
    except (binascii.Error, ValueError):
        return b""
