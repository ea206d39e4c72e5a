"""One reader's sitting: which film comes next, and answers that are on the disk before the screen moves on.

Answers are events, one JSON object a line, only ever appended. Each sitting writes a file of its own, so that no two
processes share one; where a reader stands is worked out anew from all of that reader's files.
"""

import json
import logging
import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxrlib.errors import InputError
from cxrlib.review.protocol import QUESTIONS

logger = logging.getLogger(__name__)

READER_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def read_events(folder: Path) -> list[dict[str, Any]]:
    """All events of a reading (`folder` holds `events/`), oldest first. A torn line is left out and logged."""
    events = []
    for path in sorted((folder / "events").glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            if not line.strip():
                continue
            try:
                event = json.loads(line)
                event["time"], event["reader"], event["film_id"]
            except (ValueError, KeyError, TypeError):
                logger.warning("%s: line %d is torn and was left out", path, number)
                continue
            events.append(event)
    return sorted(events, key=lambda event: event["time"])


class ReadingSession:
    """A sitting of one reader.

    `film_ids` is the reader's order (`Protocol.order`); films answered in earlier sittings are passed over.
    """

    def __init__(self, folder: Path, reader: str, film_ids: Sequence[str], protocol_sha256: str) -> None:
        """Raises `InputError` for a reader's name that can't be part of a file name."""
        if not READER_NAME.fullmatch(reader):
            raise InputError(
                f"reader: found `{reader}`, expected a short name of small letters, digits and underscores, e.g. `anna`"
            )
        self.folder, self.reader, self.protocol_sha256 = folder, reader, protocol_sha256
        self.film_ids = list(film_ids)
        moment = datetime.now(UTC)
        self.session = f"{moment:%Y%m%dT%H%M%S}{secrets.token_hex(3)}"
        answered = {event["film_id"] for event in read_events(folder) if event["reader"] == reader}
        self._answered = answered & set(self.film_ids)

    @property
    def path(self) -> Path:
        return self.folder / "events" / f"{self.reader}-{self.session}.jsonl"

    @property
    def done(self) -> int:
        return len(self._answered)

    @property
    def total(self) -> int:
        return len(self.film_ids)

    @property
    def current(self) -> str | None:
        """The first film without an answer; None when all are answered."""
        return next((film for film in self.film_ids if film not in self._answered), None)

    def answer(self, *, diagnosis: str, origin: str, realism: str, seconds: float) -> None:
        """Record the answer to the current film; returns only when it is on the disk.

        Raises `InputError` for an answer that is no choice of the protocol, when nothing is left to answer, and when
        the disk refuses (the answer then counts as not given and may be sent again).
        """
        film = self.current
        if film is None:
            raise InputError(f"{self.reader}: every film of this reading has an answer")
        answers = {"diagnosis": diagnosis, "origin": origin, "realism": realism}
        for question, choice in answers.items():
            if choice not in QUESTIONS[question]:
                raise InputError(f"{question}: found {choice!r}, expected one of: {', '.join(QUESTIONS[question])}")
        event = {
            "event": "answer",
            "event_id": secrets.token_hex(8),
            "time": datetime.now(UTC).isoformat(),
            "reader": self.reader,
            "session": self.session,
            "protocol_sha256": self.protocol_sha256,
            "film_id": film,
            **answers,
            "seconds": round(seconds, 2),
        }
        append_durably(self.path, json.dumps(event, ensure_ascii=False) + "\n")
        self._answered.add(film)


def append_durably(path: Path, line: str) -> None:
    """Append a line and wait until the disk has it. What could only be written in part is taken back.

    Raises `InputError` if it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                written = file.write(line.encode("utf-8"))
                if written != len(line.encode("utf-8")):
                    raise OSError("the disk is full")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise InputError(
            f"{path}: the answer can't be stored: {error.strerror or error}; make room or allow writing and send again"
        ) from error
