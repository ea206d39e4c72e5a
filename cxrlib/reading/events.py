"""The log of a reading: one JSON object a line, one file per reader and session, only ever appended to.

Every event has the keys `event` ("answer", "undo", "about", "open", "pause", "resume"), `event_id`, `time` (UTC, ISO
8601), `reader`, `session`, `protocol_sha256` and, since it is kept, `steady_seconds`, of a clock that is never set. An
answer has `task_id, block, practice, films, answers, seconds, view, screen` besides, an undo `task_id` and `undoes`
(the event id of the answer taken back); "about" tells of the reader or the screen, with `name, answers, screen`.
Nothing is ever changed.
"""

import json
import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cxrlib.artifacts import Reading
from cxrlib.errors import InputError
from cxrlib.files import sha256_of

logger = logging.getLogger(__name__)

LONGEST_READER_BYTES = 64
SIMULATED = "simulated"
HEADER = ("event", "event_id", "time", "reader", "session", "protocol_sha256")
KEYS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "answer": {
        "task_id": str, "block": str, "practice": bool, "films": list, "answers": dict, "seconds": (int, float),
    },
    "undo": {"task_id": str, "undoes": str},
    "about": {"name": str, "answers": dict},
    "open": {},
    "pause": {},
    "resume": {},
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """A line of the log that was left out, and why."""

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file.name}, line {self.line}: {self.reason}"


def checked_reader(reader: str) -> str:
    """A reader's name in its one spelling (Unicode's composed form); raises `InputError` if it can't be one.

    Names of hub users such as `anna.k@hospital` are welcome.
    """
    name = unicodedata.normalize("NFC", reader) if isinstance(reader, str) else ""
    if not name or name != name.strip() or not name.isprintable() or len(_bytes(name)) > LONGEST_READER_BYTES:
        raise InputError(
            f"reader: found {str(reader)[:LONGEST_READER_BYTES]!r}, expected a short name without spaces around it, "
            "e.g. `anna`"
        )
    return name


def person(name: str) -> str:
    """The name of a reader who is a person; raises `InputError` if it can't be one."""
    checked = checked_reader(name)
    if is_simulated(checked):
        raise InputError(
            f"reader: found `{name}`, but names that begin with `{SIMULATED}` are those of programs; choose another"
        )
    return checked


def reader_slug(reader: str) -> str:
    """The reader's part of file names. Different readers have different ones, also where case makes no difference.

    Small letters, digits and `_` stand for themselves, every other byte of the name is `=` and two digits.
    """
    safe = re.compile(rb"[a-z0-9_]")
    parts = (bytes([byte]) for byte in _bytes(checked_reader(reader)))
    return "".join(part.decode() if safe.fullmatch(part) else f"={part.hex()}" for part in parts)


def is_simulated(reader: str) -> bool:
    """Whether a program answers under this name."""
    return reader.startswith(SIMULATED)


def encode_event(event: dict[str, Any]) -> bytes:
    """The line of an event; raises `ValueError` for numbers that JSON does not know."""
    text = json.dumps(event, ensure_ascii=False, allow_nan=False)
    # Half of a surrogate pair, which a browser may send, has no UTF-8 but an escape in JSON.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def decode_event(line: bytes, path: Path, protocol_sha256: str | None) -> dict[str, Any] | str:
    """The event of a line, or, as text, why it is none. Without a hash, events of every protocol count."""
    try:
        event = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return "not JSON: torn or damaged"
    if not isinstance(event, dict) or not all(isinstance(event.get(key), str) for key in HEADER):
        return "not an event: its header is incomplete"
    wanted = KEYS.get(event["event"])
    if wanted is None:
        return "not an event of a reading"
    for key, kind in wanted.items():
        value = event.get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            return f"not an event: `{key}` is missing or of another type"
    try:
        if datetime.fromisoformat(event["time"]).tzinfo is None:
            return "not an event: its time has no zone"
        owner = Reading(path.parent.parent).event_file(reader_slug(event["reader"]), event["session"])
    except ValueError:
        return "not an event: its time or reader can't be read"
    if owner != path:
        return "of another reader or session than the file"
    if protocol_sha256 is not None and event["protocol_sha256"] != protocol_sha256:
        return "given to another protocol"
    return event


def read_log(folder: Path) -> tuple[list[dict[str, Any]], list[Problem]]:
    """All events of a reading, oldest first, and the lines that were left out. `folder` is the reading's.

    Events of another protocol than the one frozen there are left out. Reads only: a line that is torn, or being
    written just now, stays where it is.
    """
    reading = Reading(folder)
    digest = sha256_of(reading.protocol) if reading.protocol.exists() else None
    events: dict[str, dict[str, Any]] = {}
    problems = []
    for path in reading.event_files():
        for number, line in enumerate(_read_lines(path, problems), start=1):
            if not line.strip():
                continue
            event = decode_event(line, path, digest) if line.endswith(b"\n") else "torn: the line has no end"
            if isinstance(event, str):
                problems.append(Problem(path, number, event))
            elif event["event_id"] in events:
                problems.append(Problem(path, number, "an event that is there already"))
            else:
                events[event["event_id"]] = event
    return sorted(events.values(), key=_moment), problems


def read_events(folder: Path) -> list[dict[str, Any]]:
    """All events of a reading, oldest first, as `read_log`; what was left out is logged."""
    events, problems = read_log(folder)
    for problem in problems:
        logger.warning("%s: left out", problem)
    return events


def current_answers(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers that stand, oldest first, practice included: the first to each task of each reader that was not
    taken back. `events` are in order, as from `read_events`."""
    standing: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events:
        key = (event["reader"], event.get("task_id", ""))
        if event["event"] == "answer":
            standing.setdefault(key, event)
        elif event["event"] == "undo" and standing.get(key, {}).get("event_id") == event["undoes"]:
            del standing[key]
    return sorted(standing.values(), key=_moment)


def people_have_answered(folder: Path) -> bool:
    """Whether a person has answered anything. A line that can't be read counts, since it may have been an answer."""
    for path in _files_of(folder, simulated=False):
        for line in _read_lines(path, []):
            event = decode_event(line, path, None) if line.strip() else {"event": ""}
            if isinstance(event, str) or event["event"] == "answer":
                return True
    return False


def remove_simulated(folder: Path) -> None:
    """Remove the answers that a program made up, since it can make them up again."""
    for path in _files_of(folder, simulated=True):
        path.unlink()


def _files_of(folder: Path, *, simulated: bool) -> list[Path]:
    return [path for path in Reading(folder).event_files() if path.name.startswith(SIMULATED) == simulated]


def _read_lines(path: Path, problems: list[Problem]) -> Sequence[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True) if path.is_file() else ()
    except OSError as error:
        problems.append(Problem(path, 0, f"can't be read: {error.strerror}"))
        return ()


def _moment(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["time"])


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
