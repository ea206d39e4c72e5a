"""What a browser and a sitting of a reader say to each other, whoever carries the messages: a notebook's kernel, or the
server of the reading.

The browser says that it is ready, who its reader is and how the screen looks, an answer, undo, pause, resume; it gets
tasks with their films' greys, which are known by nothing but opaque task ids. What is true of a film, which films it is
like, where it comes from, and how many are synthetic is never sent. An answer is acknowledged when
`ReadingSession.answer` has returned.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cxrlib.errors import InputError
from cxrlib.reading.pages import page_before
from cxrlib.reading.protocol import Task
from cxrlib.reading.questions import ABOUT
from cxrlib.reading.session import ReadingSession

Send = Callable[[dict[str, Any], list[bytes]], None]


class Conversation:
    """One browser's talk with a `ReadingSession`.

    `films`: uint8 or uint16 (H, W) by film id, 0 black. `send(content, buffers)` carries a message to the browser.
    """

    def __init__(self, session: ReadingSession, films: Mapping[str, np.ndarray], send: Send) -> None:
        self.session, self._films, self._send = session, films, send
        self._screen: dict[str, Any] = {}
        self._last_reply: dict[str, Any] = {}
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "ready": self._ready,
            "about": self._about,
            "answer": self._answer,
            "undo": self._undo,
            "ping": lambda _: self._send({"kind": "pong"}, []),
            "pause": lambda _: self._note(self.session.pause),
            "resume": lambda _: self._note(self.session.resume),
        }

    def receive(self, content: dict[str, Any]) -> None:
        """Deal with one message; what is no message of the reading is passed over."""
        handler = self._handlers.get(str(content.get("kind", "")))
        if handler is not None:
            handler(content)

    def _ready(self, content: dict[str, Any]) -> None:
        screen = content.get("screen")
        self._screen = dict(screen) if isinstance(screen, Mapping) else {}
        self._send_current()

    def _send_current(self, **more: Any) -> None:
        task = self.session.current
        if task is None:
            self._send({"kind": "finished", "progress": self._progress()}, [])
            return
        asked = self.session.open_about(self._screen)
        if asked:
            questions = [{"name": question.name, **question.in_plain()} for question in ABOUT[asked[0]]]
            self._send({"kind": "about", "name": asked[0], "questions": questions}, [])
            return
        self._send_task("task", task, progress=self._progress(), reading=self._reading(), **more)
        self._send_upcoming()

    def _send_upcoming(self) -> None:
        if self.session.upcoming is not None:
            self._send_task("next", self.session.upcoming)

    def _send_task(self, kind: str, task: Task, **more: Any) -> None:
        films = [self._films[film] for film in task.films]
        shown = {"task_id": task.task_id, "practice": task.practice, "page": page_before(task, self.session.tasks)}
        shown["keep_window"] = bool(self.session.protocol.record.get("keep_window"))
        shown["questions"] = [{"name": question.name, **question.in_plain()} for question in task.questions]
        content = {"kind": kind, "task": shown, "films": [_shape(film) for film in films], **more}
        self._send(content, [_bytes(film) for film in films])

    def _about(self, content: dict[str, Any]) -> None:
        try:
            self.session.tell_about(str(content.get("name")), content.get("answers"), self._screen)
        except InputError as error:
            self._refuse(error)
            return
        self._send_current()

    def _answer(self, content: dict[str, Any]) -> None:
        submission = content.get("submission")
        if submission and submission == self._last_reply.get("submission"):
            self._send(self._last_reply, [])  # sent twice, stored once
            return
        try:
            feedback = self.session.answer(
                str(content.get("task_id")),
                content.get("answers"),
                seconds=content.get("seconds"),
                view=content.get("view"),
                screen=content.get("screen"),
            )
        except InputError as error:
            self._refuse(error, submission)
            return
        self._last_reply = {
            "kind": "stored",
            "submission": submission,
            "progress": self._progress(),
            "next": self._current_id(),
            "feedback": feedback,
        }
        self._send(self._last_reply, [])
        self._send_upcoming()

    def _note(self, event: Callable[[], None]) -> None:
        try:
            event()
        except InputError as error:
            self._refuse(error)
        else:
            self._send({"kind": "pong"}, [])

    def _undo(self, content: dict[str, Any]) -> None:
        if content.get("next") != self._current_id():
            self._send_current()  # pressed twice, or elsewhere: show where the reading stands
            return
        try:
            self.session.undo_last()
        except InputError as error:
            self._refuse(error)
            return
        self._last_reply = {}
        self._send_current(undone=True)

    def _refuse(self, error: InputError, submission: str | None = None) -> None:
        self._send({"kind": "refused", "submission": submission, "text": str(error), "next": self._current_id()}, [])

    def _current_id(self) -> str | None:
        return self.session.current.task_id if self.session.current else None

    def _progress(self) -> dict[str, Any]:
        """How far the reader is: practice is counted apart, as the instructions say."""
        session, current = self.session, self.session.current
        counted = [task for task in session.tasks if task.practice == (current is not None and current.practice)]
        done = len(counted) if current is None else counted.index(current)
        numbers = {"done": done, "total": len(counted), "seconds_left": session.seconds_left}
        return {**numbers, "can_undo": session.can_undo}

    def _reading(self) -> str:
        """A name under which a browser keeps this reader's unfinished answers; nothing can be read off it."""
        text = f"{self.session.protocol.sha256} {self.session.reader}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _shape(film: np.ndarray) -> dict[str, int]:
    return {"height": film.shape[0], "width": film.shape[1], "bits": 8 * film.dtype.itemsize}


def _bytes(film: np.ndarray) -> bytes:
    """Row by row, little-endian. Raises `TypeError` for anything but 8- and 16-bit greys."""
    if film.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a film of type {film.dtype}, expected uint8 or uint16")
    return film.astype(film.dtype.newbyteorder("<")).tobytes()
