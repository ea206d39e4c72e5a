"""One reader's sitting: which task comes next, and answers that are on the disk before the screen moves on."""

import contextlib
import logging
import math
import secrets
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxrlib.artifacts import Reading
from cxrlib.errors import InputError
from cxrlib.files import sha256_of
from cxrlib.reading.durable import append_durably, locked, make_private, set_aside_torn
from cxrlib.reading.events import checked_reader, current_answers, decode_event, encode_event, reader_slug
from cxrlib.reading.protocol import Protocol, Task
from cxrlib.reading.questions import ABOUT, ORIGIN_STEPS, checked_answers

if TYPE_CHECKING:
    from cxrlib.study import Study

logger = logging.getLogger(__name__)

MOST_EVENT_BYTES = 60_000
# The pace is the median of so many answers to tasks of the same kind.
PACE_TASKS = 20
SOON = timedelta(microseconds=1)
# Nobody looks at one film for longer: a desk was left.
LONGEST_SECONDS = 1800.0
# Runs on while a computer sleeps, where the system has such a clock, and is never set.
STEADY_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# Where the disk refuses.
NOT_STORED = "The answer could not be stored ({}). It counts as not given, and may be sent again."
NOT_UNDONE = "The last answer could not be taken back ({}). It stands as it was."
NOT_NOTED = "The pause could not be noted ({}). Your answers are safe."


class AnsweredElsewhere(InputError):
    """The task has an answer already, from another window or from before a reload. That first answer counts; the
    session has moved on, and the next task can be shown."""


class ReadingSession:
    """A sitting of one reader. Texts of its errors are fit for the screen: they name neither files nor truth.

    `place` is the study, or the folder of the reading. Tasks answered in earlier sittings are passed over.
    Several sittings of one reader may be open at once: of two answers to one task the first counts.
    """

    def __init__(self, place: "Study | Path", protocol: Protocol, reader: str) -> None:
        """Raises `InputError` for a reader's name that can't be one."""
        self.reader = checked_reader(reader)
        self.protocol = protocol
        self._reading = Reading(place) if isinstance(place, Path) else place.results.reading(place.review.protocol)
        self._slug = reader_slug(self.reader)
        self.tasks = protocol.tasks(self.reader)
        self._task_of = {task.task_id: task for task in self.tasks}
        self._began = datetime.now(UTC)
        self.session = f"{self._began:%Y%m%dT%H%M%S}{secrets.token_hex(4)}"
        self._files: dict[Path, int] = {}
        self._events: list[dict[str, Any]] = []
        self._answers: dict[str, dict[str, Any]] = {}
        self._known: set[str] = set()
        self._counted = 0
        self._opened = False
        try:
            with self._alone():
                pass
        except InputError:
            # A disk that can't be written to is said when there is something to write.
            self._look_only()

    @property
    def path(self) -> Path:
        """The file of this sitting; there from the first event on."""
        return self._reading.event_file(self._slug, self.session)

    @property
    def folder(self) -> Path:
        """That of the reading."""
        return self._reading.root

    @property
    def done(self) -> int:
        """Tasks with an answer, practice included."""
        return len(self._answers)

    @property
    def total(self) -> int:
        """Tasks of the whole reading, practice included."""
        return len(self.tasks)

    @property
    def finished(self) -> bool:
        return self.current is None

    @property
    def current(self) -> Task | None:
        """The first task without an answer; None when all are answered."""
        return next(self._open_tasks(), None)

    @property
    def upcoming(self) -> Task | None:
        """The task after the current one, so that its films can be sent ahead."""
        waiting = self._open_tasks()
        next(waiting, None)
        return next(waiting, None)

    @property
    def seconds_left(self) -> float | None:
        """What the reader will need at the pace of their own last answers, by block; None before the first answer."""
        paces: dict[str, list[float]] = {}
        for answer in self._answers.values():
            paces.setdefault(answer["block"], []).append(answer["seconds"])
        usual = [seconds for pace in paces.values() for seconds in pace][-PACE_TASKS:]
        if not usual:
            return None
        of_block = {block: statistics.median(pace[-PACE_TASKS:]) for block, pace in paces.items()}
        return sum(of_block.get(task.block, statistics.median(usual)) for task in self._open_tasks())

    @property
    def can_undo(self) -> bool:
        """Whether the last answer may be taken back; see `undo_last`."""
        return self._why_not_undo() is None

    def answer(
        self,
        task_id: str,
        answers: Mapping[str, Any],
        *,
        seconds: float,
        view: Sequence[Mapping[str, Any]] = (),
        screen: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Record the answers to the current task; returns only when they are on the disk.

        `answers` are by question; `view` is one mapping per film (window_centre, window_width, zoom). Returns the
        feedback to a practice film, else None.

        Raises `AnsweredElsewhere` if the task has an answer, and `InputError` for an answer that is no choice of the
        protocol, a task whose turn it is not, a protocol that was changed, and when the disk refuses. A refused answer
        counts as not given and may be sent again.
        """
        task = self._task_of.get(task_id)
        if task is None:
            raise InputError("This film is not part of the reading; load the page again.")
        checked = checked_answers(task.questions, answers)
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < math.inf:
            raise InputError(f"seconds: found {seconds!r}, expected the time spent on the film")
        facts = {
            "task_id": task_id, "block": task.block, "practice": task.practice, "films": list(task.films),
            "answers": checked, "seconds": round(min(float(seconds), LONGEST_SECONDS), 2),
            "view": _mappings(view), "screen": dict(screen) if isinstance(screen, Mapping) else {},
        }  # fmt: skip
        with self._alone():
            if task_id in self._answers:
                raise AnsweredElsewhere(
                    "This film has your answer already, from another window or from before the page was loaded again. "
                    "That first answer counts; this one was not stored."
                )
            if self.current is not task:
                raise InputError("It is another film's turn, since you went on in another window; load the page again.")
            self._append("answer", facts)
        return self._feedback(task, checked) if task.practice else None

    def open_about(self, screen: Mapping[str, Any]) -> list[str]:
        """What this reader is still to be asked before the films, of `ABOUT`: once about experience, and about the
        display on each screen (width, height, pixel ratio)."""
        told = {(event["name"], _screen_name(event.get("screen"), event["name"]))
                for event in self._events if event["event"] == "about"}  # fmt: skip
        return [name for name in ABOUT if (name, _screen_name(screen, name)) not in told]

    def tell_about(self, name: str, answers: Any, screen: Mapping[str, Any]) -> None:
        """Record the answers to one of `ABOUT`; raises `InputError` as `answer` does."""
        if name not in ABOUT:
            raise InputError("These questions are not part of the reading; load the page again.")
        checked = checked_answers(ABOUT[name], answers)
        with self._alone():
            self._append("about", {"name": name, "answers": checked, "screen": dict(screen)})

    def undo_last(self) -> Task:
        """Take back the last answer, as a new event; returns its task, which is now the current one again.

        One answer can be taken back, not several in a row, and none of an earlier block. Practice can't be taken back,
        since its answer has been shown. Raises `InputError`.
        """
        with self._alone(NOT_UNDONE):
            reason = self._why_not_undo()
            if reason is not None:
                raise InputError(reason)
            last = self._last_move()
            self._append("undo", {"task_id": last["task_id"], "undoes": last["event_id"]})
        return self._task_of[last["task_id"]]

    def pause(self) -> None:
        """Note that the reader takes a break; raises `InputError` if it can't be written."""
        with self._alone(NOT_NOTED):
            self._append("pause", {})

    def resume(self) -> None:
        """Note that the reader is back; raises `InputError` if it can't be written."""
        with self._alone(NOT_NOTED):
            self._append("resume", {})

    def _open_tasks(self) -> Iterator[Task]:
        return (task for task in self.tasks if task.task_id not in self._answers)

    def _last_move(self) -> dict[str, Any] | None:
        return next((event for event in reversed(self._events) if event["event"] in ("answer", "undo")), None)

    def _why_not_undo(self) -> str | None:
        last = self._last_move()
        if last is None:
            return "There is no answer to take back yet."
        if last["event"] == "undo":
            return "Only the last answer can be taken back."
        if last["practice"]:
            return "A practice answer can't be taken back, since the film's truth has been shown."
        if self.current is not None and self.current.block != last["block"]:
            return "The last answer belongs to a part that is finished, and can't be taken back."
        return None

    def _feedback(self, task: Task, answers: Mapping[str, Any]) -> str:
        truth = self.protocol.truth[task.films[0]]
        read = "synthetic" if ORIGIN_STEPS.index(answers["origin"]) < len(ORIGIN_STEPS) // 2 else "real"
        made = "It was made to look" if truth["origin"] == "synthetic" else "Its label is"
        return (
            f"This film is {truth['origin']}: you were {'right' if read == truth['origin'] else 'wrong'} "
            f"({answers['origin']}). {made} {truth['label']}; you said {answers['diagnosis']}."
        )

    @contextlib.contextmanager
    def _alone(self, refusal: str = NOT_STORED) -> Iterator[None]:
        """No other sitting of this reader writes inside, and what others wrote before is known; `refusal` is said where
        the disk refuses."""
        try:
            make_private(self._reading.events)
            with locked(self._reading.event_lock(self._slug)):
                self._catch_up(alone=True)
                yield
        except OSError as error:
            logger.error("%s: can't be written: %s", self.path, error)
            said = refusal.format(error.strerror or error)
            raise InputError(f"{said} Make room on the disk, or have writing allowed.") from error

    def _look_only(self) -> None:
        try:
            self._catch_up(alone=False)
        except OSError as error:
            logger.error("%s: can't be read: %s", self._reading.events, error)
            raise InputError(f"Your earlier answers can't be read ({error.strerror or error}).") from error

    def _catch_up(self, *, alone: bool) -> None:
        """Read what was added to this reader's files; alone, set unfinished lines aside."""
        for path in self._reading.event_files(self._slug):
            known = self._files.get(path, 0)
            if path.stat().st_size <= known:
                continue
            with open(path, "rb") as file:
                file.seek(known)
                added = file.read()
            whole = added.rfind(b"\n") + 1
            for line in added[:whole].split(b"\n")[:-1]:
                event = decode_event(line, path, self.protocol.sha256)
                if isinstance(event, str):
                    logger.warning("%s: a line was left out: %s", path, event)
                elif event["event_id"] not in self._known:
                    self._known.add(event["event_id"])
                    self._events.append(event)
            self._files[path] = known + whole
            if alone and whole < len(added):
                torn = set_aside_torn(path, known + whole)
                logger.warning("%s: %d bytes of a line that was never finished were set aside", path, len(torn))
        if len(self._events) == self._counted:
            return
        self._events.sort(key=lambda event: datetime.fromisoformat(event["time"]))
        self._opened = self.path in self._files
        answers = current_answers(self._events)
        self._counted = len(self._events)
        self._answers = {event["task_id"]: event for event in answers if event["task_id"] in self._task_of}

    def _append(self, kind: str, facts: Mapping[str, Any]) -> None:
        frozen = self._reading.protocol
        if frozen.exists() and sha256_of(frozen) != self.protocol.sha256:
            raise InputError("The reading has been drawn anew since this page was opened; load the page again.")
        opening = [] if self._opened else [("open", {"opened": self._began.isoformat()})]
        # Times of one reader's events rise strictly, whatever the clock does, so that their order is known.
        moment = datetime.now(UTC)
        if self._events:
            moment = max(moment, datetime.fromisoformat(self._events[-1]["time"]) + SOON)
        events = [
            self._event(name, moment + place * SOON, more)
            for place, (name, more) in enumerate([*opening, (kind, facts)])
        ]
        try:
            data = b"".join(map(encode_event, events))
        except (TypeError, ValueError):
            raise InputError("view, screen: found a value that is no number or text; load the page again") from None
        if len(data) > MOST_EVENT_BYTES:
            raise InputError(f"answer: found {len(data):,} bytes, expected at most {MOST_EVENT_BYTES:,}")
        append_durably(self.path, data)
        self._catch_up(alone=True)

    def _event(self, kind: str, moment: datetime, facts: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "event": kind, "event_id": secrets.token_hex(8), "time": moment.isoformat(timespec="microseconds"),
            "reader": self.reader, "session": self.session, "protocol_sha256": self.protocol.sha256,
            "steady_seconds": round(time.clock_gettime(STEADY_CLOCK), 3), **facts,
        }  # fmt: skip


def _screen_name(screen: Any, about: str) -> tuple[str, ...]:
    """By what a screen is told from others; nothing where it makes no difference."""
    if about != "display" or not isinstance(screen, Mapping):
        return ()
    return tuple(str(screen.get(key)) for key in ("width", "height", "pixel_ratio"))


def _mappings(view: Any) -> list[dict[str, Any]]:
    return [dict(film) for film in view if isinstance(film, Mapping)] if isinstance(view, list | tuple) else []
