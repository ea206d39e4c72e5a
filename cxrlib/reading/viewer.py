"""The reading in a notebook: a widget around a `Conversation`, and the program that every browser is given."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np

from cxrlib.reading.conversation import Conversation
from cxrlib.reading.events import person
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.session import ReadingSession
from cxrlib.study import Study

HERE = Path(__file__).parent
# Each may import from those before it.
MODULES = (
    "viewer_elements.js", "viewer_hands.js", "viewer_film.js",
    "viewer_kernel.js", "viewer_keyboard.js", "viewer_questions.js",
    "viewer_pages.js", "viewer_screen.js", "viewer_stopwatch.js", "viewer_tools.js", "viewer.js",
)  # fmt: skip
STYLES = ("viewer.css", "viewer_pages.css")
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z_]+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|class|function) (\w+))", re.MULTILINE)


def one_module(last: str = "widget.js") -> str:
    """The ES modules beside this file as one, which is what a browser is given: no builder, no further address.

    `last` is the module that begins: that of a notebook's widget, or of a page of its own.

    Each but the last becomes a function that is called once and returns what it exports.
    """
    parts = []
    for name in (*MODULES, last):
        text = IMPORT.sub(r"const \1 = \2;", (HERE / name).read_text(encoding="utf-8"))
        if name != last:
            exported = ", ".join(EXPORT.findall(text))
            text = f"const {Path(name).stem} = (() => {{\n{EXPORT.sub('', text)}\nreturn {{ {exported} }};\n}})();\n"
        parts.append(text)
    return "\n".join(parts)


def style() -> str:
    """The look of the reading, as one sheet."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in STYLES)


def open_reading(study: Study, reader: str) -> "ReadingWidget":
    """The study's reading for one reader, at the first task without an answer; to be displayed.

    Raises `InputError` for a reader's name that can't be used, and where the study has no films to read yet.
    """
    protocol = prepare_protocol(study)
    return ReadingWidget(ReadingSession(study, protocol, person(reader)), protocol.film_pixels(study))


class ReadingWidget(anywidget.AnyWidget):
    """Shows the tasks of a `ReadingSession`; `films` are as for `Conversation`.

    Nothing of the session is a synchronised value, so nothing of it is in a saved notebook either.
    """

    _esm = one_module()
    _css = style()

    def __init__(self, session: ReadingSession, films: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._conversation = Conversation(session, films, lambda content, buffers: self.send(content, buffers=buffers))
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: dict[str, Any], __: list[Any]) -> None:
        self._conversation.receive(content)
