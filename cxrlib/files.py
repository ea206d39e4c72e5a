"""How files are written: under a temporary name, renamed once whole; logs line by line; tables for people to open."""

import csv
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxrlib.errors import InputError

# Where a spreadsheet may find the beginning of a formula, unless it is all number: at the beginning of a text, behind
# what some of them part cells at, and in wide letters too.
BEGINS = r"(?:^|(?<=[;\t\n]))"
FORMULA = r"(?='* *(?:[=@＝＠\t\n]|[+＋－-](?![\d.,%\s()–-]*(?:[;\n]|$))))"
TO_QUOTE, TO_UNQUOTE = re.compile(BEGINS + FORMULA), re.compile(f"{BEGINS}'{FORMULA}")
TEMPORARY = re.compile(r"\..*-[0-9a-f]{12}(\.\w+)?")
# Names a file that gets a line for every file written, for whoever has to know what a notebook wrote.
WRITTEN = "CXR_WRITTEN"


@contextmanager
def atomic_path(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`; renamed to it when the block ends well, removed when it does not.

    `private` files can be read by the account that wrote them only. A full disk or a read-only folder becomes an
    `InputError`, and the file that was there stays as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.stem}-{secrets.token_hex(6)}{path.suffix}")
        # Who else may read the file is the account's decision, by its umask.
        os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666))
        temporary = made
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
        if WRITTEN in os.environ:
            with open(os.environ[WRITTEN], "a", encoding="utf-8") as file:
                file.write(f"{path.resolve()}\n")
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror or error}; nothing there was changed") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of processes that were killed: those that nobody has touched for an hour."""
    for path in folder.rglob(".*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file() and time.time() - path.stat().st_mtime > 3600:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a whole UTF-8 file at once, readable by its owner alone where `private`."""
    with atomic_path(path, private=private) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, at once."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises `InputError` if the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read: {error}; make it again with --force") from None


def write_csv(path: Path, table: Any, *, private: bool = False) -> None:
    """Write a pandas DataFrame without its index."""
    with atomic_path(path, private=private) as temporary:
        table.to_csv(temporary, index=False)


def write_table(path: Path, table: Any, *, private: bool = False) -> None:
    """Write a pandas DataFrame that people will open: no cell of it is a formula to a spreadsheet."""
    text = table.select_dtypes(exclude=["number", "bool"]).columns
    write_csv(path, table.assign(**{str(name): table[name].map(as_cell) for name in text}), private=private)


def as_cell(value: Any) -> Any:
    """A text without what a file of text can't hold (NUL, half a surrogate pair); what a spreadsheet would take for a
    formula has one apostrophe more before it, which `unquoted_cell` takes away."""
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    return TO_QUOTE.sub("'", text)


def unquoted_cell(value: Any) -> Any:
    """The text that `as_cell` was given."""
    return TO_UNQUOTE.sub("", value) if isinstance(value, str) else value


def append_log(path: Path, row: Mapping[str, Any], *, durable: bool = False) -> None:
    """Add one line to a CSV log, with the header before the first; `durable` waits until the disk has it.

    Raises `InputError` if it can't be written, e.g. because the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists() or path.stat().st_size == 0
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror or error}") from error


def trim_log(path: Path, keep: Callable[[dict[str, str]], bool]) -> None:
    """Drop the log's lines that a resumed run will write again (and a torn last one)."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names: Sequence[str] = reader.fieldnames or ()
        rows = [row for row in reader if None not in row.values() and None not in row and keep(row)]
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


def homes() -> tuple[Path, ...]:
    """The account's home folder; none for an account that the system doesn't know, as in some containers."""
    try:
        return (Path.home(),)
    except RuntimeError:
        return ()


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
