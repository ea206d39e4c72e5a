"""The reading in a notebook or an app: a widget that shows one task after the other and stores what readers answer.

Between kernel and browser go messages only, no synchronised values: tasks with their films' greys, which are known by
nothing but opaque task ids, and answers. What is true of a film, which films it is like, where it comes from, and how
many are synthetic never leaves the kernel. An answer is acknowledged when `ReadingSession.answer` has returned.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np

from cxrlib.errors import InputError
from cxrlib.reading.events import person
from cxrlib.reading.protocol import Task, prepare_protocol
from cxrlib.reading.session import ReadingSession
from cxrlib.study import Study

HERE = Path(__file__).parent
# Each may import from those before it.
MODULES = (
    "viewer_elements.js", "viewer_film.js", "viewer_kernel.js", "viewer_keyboard.js", "viewer_questions.js",
    "viewer_screen.js", "viewer_stopwatch.js", "viewer_tools.js", "viewer.js",
)  # fmt: skip
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z_]+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|class|function) (\w+))", re.MULTILINE)


def one_module() -> str:
    """The ES modules beside this file as one, which is what a widget is given: no server, no builder, no network.

    Each but the last becomes a function that is called once and returns what it exports.
    """
    parts = []
    for name in MODULES:
        text = IMPORT.sub(r"const \1 = \2;", (HERE / name).read_text(encoding="utf-8"))
        if name != MODULES[-1]:
            exported = ", ".join(EXPORT.findall(text))
            text = f"const {Path(name).stem} = (() => {{\n{EXPORT.sub('', text)}\nreturn {{ {exported} }};\n}})();\n"
        parts.append(text)
    return "\n".join(parts)


def open_reading(study: Study, reader: str) -> "ReadingWidget":
    """The study's reading for one reader, at the first task without an answer; to be displayed.

    Raises `InputError` for a reader's name that can't be used, and where the study has no films to read yet.
    """
    protocol = prepare_protocol(study)
    return ReadingWidget(ReadingSession(study, protocol, person(reader)), protocol.film_pixels(study))


class ReadingWidget(anywidget.AnyWidget):
    """Shows the tasks of a `ReadingSession`.

    `films`: uint8 or uint16 (H, W) by film id, 0 black. Nothing of the session is a synchronised value, so nothing of
    it is in a saved notebook either.
    """

    _esm = one_module()
    _css = (HERE / "viewer.css").read_text(encoding="utf-8")

    def __init__(self, session: ReadingSession, films: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._session, self._films = session, films
        self._last_reply: dict[str, Any] = {}
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "ready": lambda _: self._send_current(),
            "answer": self._answer,
            "undo": self._undo,
            "ping": lambda _: self.send({"kind": "pong"}),
            "pause": lambda _: self._note(self._session.pause),
            "resume": lambda _: self._note(self._session.resume),
        }
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: dict[str, Any], __: list[Any]) -> None:
        handler = self._handlers.get(content.get("kind", ""))
        if handler is not None:
            handler(content)

    def _send_current(self, **more: Any) -> None:
        task = self._session.current
        if task is None:
            self.send({"kind": "finished", "progress": self._progress()})
            return
        self._send_task("task", task, progress=self._progress(), reading=self._reading(), **more)
        self._send_upcoming()

    def _send_upcoming(self) -> None:
        if self._session.upcoming is not None:
            self._send_task("next", self._session.upcoming)

    def _send_task(self, kind: str, task: Task, **more: Any) -> None:
        films = [self._films[film] for film in task.films]
        content = {"kind": kind, "task": _task_for_screen(task), "films": [_shape(film) for film in films], **more}
        self.send(content, buffers=[_bytes(film) for film in films])

    def _answer(self, content: dict[str, Any]) -> None:
        submission = content.get("submission")
        if submission and submission == self._last_reply.get("submission"):
            self.send(self._last_reply)  # sent twice, stored once
            return
        try:
            feedback = self._session.answer(
                content["task_id"],
                content["answers"],
                seconds=content["seconds"],
                view=content["view"],
                screen=content["screen"],
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
        self.send(self._last_reply)
        self._send_upcoming()

    def _note(self, event: Callable[[], None]) -> None:
        try:
            event()
        except InputError as error:
            self._refuse(error)
        else:
            self.send({"kind": "pong"})

    def _undo(self, content: dict[str, Any]) -> None:
        if content.get("next") != self._current_id():
            self._send_current()  # pressed twice, or elsewhere: show where the reading stands
            return
        try:
            self._session.undo_last()
        except InputError as error:
            self._refuse(error)
            return
        self._last_reply = {}
        self._send_current(undone=True)

    def _refuse(self, error: InputError, submission: str | None = None) -> None:
        self.send({"kind": "refused", "submission": submission, "text": str(error), "next": self._current_id()})

    def _current_id(self) -> str | None:
        return self._session.current.task_id if self._session.current else None

    def _progress(self) -> dict[str, Any]:
        session = self._session
        numbers = {"done": session.done, "total": session.total, "seconds_left": session.seconds_left}
        return {**numbers, "can_undo": session.can_undo}

    def _reading(self) -> str:
        """A name under which a browser keeps this reader's unfinished answers; nothing can be read off it."""
        text = f"{self._session.protocol.sha256} {self._session.reader}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _task_for_screen(task: Task) -> dict[str, Any]:
    questions = [
        {
            "name": question.name,
            "text": question.text,
            "kind": question.kind,
            "choices": list(question.choices),
            "required": question.required,
            "points": question.points,
        }
        for question in task.questions
    ]
    return {"task_id": task.task_id, "practice": task.practice, "questions": questions}


def _shape(film: np.ndarray) -> dict[str, int]:
    return {"height": film.shape[0], "width": film.shape[1], "bits": 8 * film.dtype.itemsize}


def _bytes(film: np.ndarray) -> bytes:
    """Row by row, little-endian. Raises `TypeError` for anything but 8- and 16-bit greys."""
    if film.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a film of type {film.dtype}, expected uint8 or uint16")
    return film.astype(film.dtype.newbyteorder("<")).tobytes()
