"""The first screen of a reading in a window of its own: who reads, and then the reading.

Where the reader is known (`--reader`, or the user of a JupyterHub) the reading opens at once. What the address of the
page says about a reader is never looked at.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

from cxrlib.errors import InputError
from cxrlib.reading.events import person, read_events
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.viewer import open_reading
from cxrlib.study import Study, load_study

STUDY, FOLDER, READER = "CXR_READING_STUDY", "CXR_READING_FOLDER", "CXR_READING_READER"


def fixed_reader(environment: Mapping[str, str]) -> str:
    """Who reads, if that is settled before the page opens: the hub's user, else `--reader`, else empty."""
    return environment.get("JUPYTERHUB_USER", "") or environment.get(READER, "")


def welcome() -> ipywidgets.Widget:
    """What the page shows: the reading, or a form that asks for the reader's name. Reads the environment.

    Relative folders in a study file count from the folder in which the server was started.
    """
    os.chdir(os.environ[FOLDER])
    hub = os.environ.get("JUPYTERHUB_BASE_URL", "") if os.environ.get("JUPYTERHUB_USER") else ""
    return Welcome(load_study(Path(os.environ[STUDY])), fixed_reader(os.environ), hub and f"{hub}hub/logout")


class NameForm(anywidget.AnyWidget):
    """One line for a name. The browser's tab remembers it, so that a reload asks nobody."""

    _esm = Path(__file__).with_name("welcome.js")
    title = traitlets.Unicode().tag(sync=True)
    reader = traitlets.Unicode().tag(sync=True)
    fixed = traitlets.Bool().tag(sync=True)
    logout = traitlets.Unicode().tag(sync=True)
    trouble = traitlets.Unicode().tag(sync=True)


class Welcome(ipywidgets.VBox):
    """The form and, below it, the reading of whoever gave his or her name there."""

    def __init__(self, study: Study, reader: str = "", logout: str = "") -> None:
        """`reader` is empty where the page has to ask; `logout` is the address that ends a log-in, if there is one."""
        self._study = study
        # Kept here as well, since a browser can change what it shares with the kernel.
        self._reader, self._fixed = "", bool(reader)
        self.form = NameForm(title=study.title, reader=reader, fixed=bool(reader), logout=logout)
        super().__init__([self.form])
        self.form.on_msg(self._received)
        if reader:
            try:
                self._open(person(reader))
            except InputError as error:
                self.form.trouble = f"The reading can't be opened. {error}"

    def _received(self, _: Any, message: Mapping[str, Any], __: Any) -> None:
        if message.get("kind") != "name" or self._reader or self._fixed:
            return
        try:
            name = person(str(message.get("name", "")))
            if message.get("sure") or self._has_answers(name):
                self._open(name)
            else:
                self.form.send({"kind": "new", "name": name})
        except InputError as error:
            self.form.send({"kind": "refused", "text": str(error)})

    def _has_answers(self, name: str) -> bool:
        events = read_events(prepare_protocol(self._study).folder)
        return any(event["event"] == "answer" and event["reader"] == name for event in events)

    def _open(self, name: str) -> None:
        reading = open_reading(self._study, name)
        self._reader = self.form.reader = name
        self.children = (self.form, reading)
