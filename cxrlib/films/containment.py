"""Opening files that a table names, only if they are regular files inside their data folder.

A table of labels is written elsewhere, by people or programs that this one need not trust: a name in it may lead out of
the folder, or to a pipe that never ends.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from cxrlib.errors import InputError

# A table of a million films takes about 100 MB; a pair of 89-megapixel films of 16 bits takes less than 400 MB.
MAXIMUM_TABLE_BYTES = 100_000_000
MAXIMUM_FILM_BYTES = 400_000_000

# Without it, opening a named pipe waits for a writer that may never come. Windows has neither flag nor such pipes.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Refused(Exception):
    """A file that is not opened, with the reason. What comes before a colon is the kind of reason."""


def open_inside(root: Path, file: str) -> BinaryIO:
    """Open `file`, a name relative to `root`, for reading; raises `Refused`.

    Links are followed as long as they stay inside `root`. The file is checked before it is opened, because opening a
    device may do something, and again afterwards, because it may have been exchanged meanwhile.
    """
    path = _resolved(root, file)
    try:
        _check(path.stat())
        opened = os.fdopen(os.open(path, _FLAGS), "rb")
    except FileNotFoundError:
        raise Refused("missing") from None
    except OSError as error:
        raise Refused(f"can't be opened: {error.strerror or error}") from None
    try:
        _check(os.fstat(opened.fileno()))
    except Refused:
        opened.close()
        raise
    return opened


def refusal(root: Path, file: str) -> str:
    """Why a file named in a table is not opened; empty if it may be. Nothing is opened."""
    try:
        _check(_resolved(root, file).stat())
    except Refused as refused:
        return str(refused)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"can't be opened: {error.strerror or error}"
    return ""


def _resolved(root: Path, file: str) -> Path:
    """Where a name leads, all links followed; raises `Refused` if that is outside `root`."""
    path = Path(file)
    if not file or "\0" in file:
        raise Refused("no file name")
    if path.is_absolute() or ".." in path.parts:
        raise Refused("refused: leads out of the data folder")
    try:
        whole = (root / path).resolve()
        inside = whole.is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        # Links in a circle are a RuntimeError until Python 3.12, an OSError from 3.13.
        raise Refused(f"can't be opened: {error}") from None
    if not inside:
        raise Refused("refused: a link that leads out of the data folder")
    return whole


def _check(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Refused("not a file")
    if found.st_size == 0:
        raise Refused("empty file (0 bytes)")
    if found.st_size > MAXIMUM_FILM_BYTES:
        raise Refused(f"too large: {found.st_size:,} bytes; at most {MAXIMUM_FILM_BYTES:,}")


def read_table_bytes(root: Path, file: str) -> bytes:
    """The bytes of a table of labels inside `root`; raises `InputError` if it is missing, no file, or too large."""
    try:
        with open_inside(root, file) as opened:
            size = os.fstat(opened.fileno()).st_size
            if size > MAXIMUM_TABLE_BYTES:
                raise Refused(f"too large: {size:,} bytes; at most {MAXIMUM_TABLE_BYTES:,}")
            return opened.read(MAXIMUM_TABLE_BYTES + 1)
    except Refused as refused:
        reason = "no such file" if str(refused) == "missing" else str(refused)
        raise InputError(f"{root / file}: {reason}; expected a table with one row per image") from None
    except OSError as error:
        raise InputError(f"{root / file}: can't be read: {error.strerror or error}") from None


def decode_text(content: bytes, where: str) -> str:
    """Text of a table: UTF-8 or UTF-16 by its mark, plain UTF-8, else Windows-1252, which older Excel writes.

    Raises `InputError` for bytes that are none of them, and for NUL characters.
    """
    encodings = ("utf-16",) if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            raise InputError(f"{where}: holds NUL characters, so it is no text table; save it as CSV (UTF-8)")
        return text
    raise InputError(f"{where}: not text in UTF-8, UTF-16 or Windows-1252; save it as CSV (UTF-8)")
