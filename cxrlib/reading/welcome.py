"""Who comes to a reading in a window of its own: first a name, then the reading.

Where the reader is known (`--reader`, or the user of a JupyterHub) the reading opens at once. What the address of the
page says about a reader is never looked at.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cxrlib.artifacts import Reading
from cxrlib.errors import InputError
from cxrlib.files import sha256_of
from cxrlib.reading.conversation import Conversation, Send
from cxrlib.reading.events import person, read_events
from cxrlib.reading.protocol import Protocol, prepare_protocol
from cxrlib.reading.session import ReadingSession
from cxrlib.study import Study

# Greys of a film, (H, W), by film id.
Films = Mapping[str, np.ndarray]


class Desk:
    """The films and protocol of a reading, loaded once for all; looked at again when the protocol has changed."""

    def __init__(self, load: Callable[[], tuple[Protocol, Films]]) -> None:
        """Raises `InputError` if there are no films to read."""
        self._load = load
        self._protocol, self._films = load()

    @classmethod
    def of_study(cls, study: Study) -> "Desk":
        """That of a study's own reading."""

        def load() -> tuple[Protocol, Films]:
            protocol = prepare_protocol(study)
            return protocol, protocol.film_pixels(study)

        return cls(load)

    @property
    def reading(self) -> Reading:
        """The files of what is read here."""
        return Reading(self._protocol.folder)

    def current(self) -> tuple[Protocol, Films]:
        """The protocol that is frozen now, and its films."""
        frozen = self.reading.protocol
        if not frozen.exists() or sha256_of(frozen) != self._protocol.sha256:
            self._protocol, self._films = self._load()
        return self._protocol, self._films


class Guest:
    """One open page: asks who reads, unless that is `fixed`, and hands everything else to the reader's conversation."""

    def __init__(self, desk: Desk, send: Send, fixed: str = "", logout: str = "") -> None:
        """`logout` is the address that ends a log-in, if there is one."""
        self._desk, self._send, self._fixed = desk, send, fixed
        self._conversation: Conversation | None = None
        self._send({"kind": "welcome", "fixed": bool(fixed), "logout": logout}, [])
        if fixed:
            try:
                self._open(person(fixed))
            except InputError as error:
                self._send({"kind": "trouble", "text": f"The reading can't be opened. {error}"}, [])

    @property
    def reader(self) -> str:
        """Who reads; empty as long as nobody does."""
        return self._conversation.session.reader if self._conversation else ""

    def receive(self, content: dict[str, Any]) -> None:
        """Deal with one message of the browser."""
        if self._conversation is not None:
            try:
                self._conversation.receive(content)
            except InputError as error:  # of a film that can't be opened any more
                self._send({"kind": "trouble", "text": str(error)}, [])
        elif content.get("kind") == "name" and not self._fixed:
            self._named(content)

    def _named(self, content: Mapping[str, Any]) -> None:
        try:
            name = person(str(content.get("name", "")))
            if content.get("sure") or self._is_known(name):
                self._open(name)
            else:
                self._send({"kind": "new", "name": name}, [])
        except InputError as error:
            self._send({"kind": "unwelcome", "text": str(error)}, [])

    def _is_known(self, name: str) -> bool:
        events = read_events(self._desk.current()[0].folder)
        return any(event["event"] == "answer" and event["reader"] == name for event in events)

    def _open(self, name: str) -> None:
        protocol, films = self._desk.current()
        self._conversation = Conversation(ReadingSession(protocol.folder, protocol, name), films, self._send)
        self._send({"kind": "reader", "reader": name}, [])
