"""The reading in a notebook: one task at a time, its questions, and a button that stores the answer."""

import io
import time
from collections.abc import Mapping

import ipywidgets
import numpy as np
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.review.protocol import prepare_protocol
from cxrlib.review.questions import Question
from cxrlib.review.session import AnsweredElsewhere, ReadingSession
from cxrlib.study import Study

FILM_PIXELS = 432
PANEL_PIXELS = 412


def film_png(film: np.ndarray) -> bytes:
    """A film, uint8 (S, S), as a PNG of the screen's size; the same way for every film, and without metadata."""
    enlarged = Image.fromarray(film).resize((FILM_PIXELS, FILM_PIXELS), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    enlarged.save(buffer, format="PNG")
    return buffer.getvalue()


def open_reading(study: Study, reader: str) -> "ReadingViewer":
    """The study's reading for one reader, at the first task without an answer. Display its `box`."""
    protocol = prepare_protocol(study)
    return ReadingViewer(ReadingSession(study, protocol, reader), protocol.film_pixels(study))


class ReadingViewer:
    """Widgets around a `ReadingSession`. Nothing but the pixels of the current task reaches the browser."""

    def __init__(self, session: ReadingSession, films: Mapping[str, np.ndarray]) -> None:
        self.session, self._films = session, films
        self._shown_at = 0.0
        self.films = ipywidgets.HBox()
        self.questions: dict[str, ipywidgets.ToggleButtons] = {}
        self.submit = ipywidgets.Button(description="Store and go on", button_style="primary", disabled=True)
        self.submit.on_click(self._store)
        self.progress = ipywidgets.IntProgress(min=0, max=session.total, layout=ipywidgets.Layout(width="180px"))
        self.position = ipywidgets.Label()
        self.message = ipywidgets.HTML()
        self._rows = ipywidgets.VBox()
        notice = ipywidgets.HTML("<b>For research only, not for diagnosis.</b>")
        panel = ipywidgets.VBox(
            [notice, self._rows, self.submit, ipywidgets.HBox([self.progress, self.position]), self.message],
            layout=ipywidgets.Layout(width=f"{PANEL_PIXELS}px"),
        )
        self.box = ipywidgets.HBox([self.films, panel], layout=ipywidgets.Layout(flex_flow="row wrap"))
        self._show_current()

    def _question(self, question: Question) -> ipywidgets.ToggleButtons:
        style = {"button_width": "auto"}
        buttons = ipywidgets.ToggleButtons(
            options=question.choices, value=None, style=style, tooltips=list(question.choices)
        )
        buttons.observe(lambda _: self._allow_submit(), names="value")
        return buttons

    def _allow_submit(self) -> None:
        open_questions = [name for name, question in self.questions.items() if question.value is None]
        self.submit.disabled = bool(open_questions) or self.session.current is None

    def _show_current(self) -> None:
        task = self.session.current
        self.progress.value = self.session.done
        self.position.value = f"{self.session.done} of {self.session.total} answered"
        asked = [question for question in task.questions if question.kind == "choice"] if task else []
        self.questions = {question.name: self._question(question) for question in asked}
        self._rows.children = [
            ipywidgets.VBox([ipywidgets.Label(question.text), self.questions[question.name]]) for question in asked
        ]
        pixels = [film_png(self._films[film]) for film in task.films] if task else []
        self.films.children = [
            ipywidgets.Image(value=png, format="png", width=FILM_PIXELS, height=FILM_PIXELS) for png in pixels
        ]
        if task is None:
            self.message.value = "Every film has an answer. Thank you."
        self._shown_at = time.monotonic()
        self._allow_submit()

    def _store(self, _: ipywidgets.Button) -> None:
        answers = {name: question.value for name, question in self.questions.items()}
        task = self.session.current
        try:
            feedback = self.session.answer(task.task_id, answers, seconds=time.monotonic() - self._shown_at)
        except AnsweredElsewhere as error:
            feedback = str(error)
        except InputError as error:
            self.message.value = f"<b>Not stored.</b> {error}"
            return
        self.message.value = feedback or ""
        self._show_current()
