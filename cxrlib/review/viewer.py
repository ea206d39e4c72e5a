"""The reading in a notebook: one film at a time, three questions, and a button that stores the answer."""

import io
import time
from collections.abc import Mapping

import ipywidgets
import numpy as np
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.review.protocol import QUESTIONS, film_pixels, prepare_protocol
from cxrlib.review.session import ReadingSession
from cxrlib.study import Study

FILM_PIXELS = 432
PANEL_PIXELS = 412
QUESTION_TEXTS = {
    "diagnosis": "COVID-19 on this film?",
    "origin": "Is the film real?",
    "realism": "How realistic (5 is best)?",
}


def film_png(film: np.ndarray) -> bytes:
    """A film, uint8 (S, S), as a PNG of the screen's size; the same way for every film, and without metadata."""
    enlarged = Image.fromarray(film).resize((FILM_PIXELS, FILM_PIXELS), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    enlarged.save(buffer, format="PNG")
    return buffer.getvalue()


def open_reading(study: Study, reader: str) -> "ReadingViewer":
    """The study's reading for one reader, at the first film without an answer. Display its `box`."""
    protocol = prepare_protocol(study)
    session = ReadingSession(protocol.folder, reader, protocol.order(reader), protocol.sha256)
    return ReadingViewer(session, film_pixels(study, protocol.worklist))


class ReadingViewer:
    """Widgets around a `ReadingSession`. Nothing but the pixels of the current film reaches the browser."""

    def __init__(self, session: ReadingSession, films: Mapping[str, np.ndarray]) -> None:
        self.session, self._films = session, films
        self._shown_at = 0.0
        self.film = ipywidgets.Image(format="png", width=FILM_PIXELS, height=FILM_PIXELS)
        self.film.layout.object_fit = "contain"
        self.questions = {name: self._question(name, choices) for name, choices in QUESTIONS.items()}
        self.submit = ipywidgets.Button(description="Store and go on", button_style="primary", disabled=True)
        self.submit.on_click(self._store)
        self.progress = ipywidgets.IntProgress(min=0, max=session.total, layout=ipywidgets.Layout(width="180px"))
        self.position = ipywidgets.Label()
        self.message = ipywidgets.HTML()
        rows = [
            ipywidgets.VBox([ipywidgets.Label(QUESTION_TEXTS[name]), question])
            for name, question in self.questions.items()
        ]
        notice = ipywidgets.HTML("<b>For research only, not for diagnosis.</b>")
        panel = ipywidgets.VBox(
            [notice, *rows, self.submit, ipywidgets.HBox([self.progress, self.position]), self.message],
            layout=ipywidgets.Layout(width=f"{PANEL_PIXELS}px"),
        )
        self.box = ipywidgets.HBox([self.film, panel], layout=ipywidgets.Layout(flex_flow="row wrap"))
        self._show_current()

    def _question(self, name: str, choices: tuple[str, ...]) -> ipywidgets.ToggleButtons:
        style = {"button_width": "auto"}
        buttons = ipywidgets.ToggleButtons(options=choices, value=None, style=style, tooltips=list(choices))
        buttons.observe(lambda _: self._allow_submit(), names="value")
        return buttons

    def _allow_submit(self) -> None:
        open_questions = [name for name, question in self.questions.items() if question.value is None]
        self.submit.disabled = bool(open_questions) or self.session.current is None

    def _show_current(self) -> None:
        film_id = self.session.current
        self.progress.value = self.session.done
        self.position.value = f"{self.session.done} of {self.session.total} answered"
        for question in self.questions.values():
            question.value = None
            question.disabled = film_id is None
        if film_id is None:
            self.film.layout.display = "none"
            self.message.value = "Every film has an answer. Thank you."
        else:
            self.film.value = film_png(self._films[film_id])
            self.message.value = ""
        self._shown_at = time.monotonic()
        self._allow_submit()

    def _store(self, _: ipywidgets.Button) -> None:
        answers = {name: question.value for name, question in self.questions.items()}
        try:
            self.session.answer(**answers, seconds=time.monotonic() - self._shown_at)
        except InputError as error:
            self.message.value = f"<b>Not stored.</b> {error}"
            return
        self._show_current()
