"""A reading in a real browser, in JupyterLab or another server: a small study, the server, and a reader's hands.

with jupyterlab(folder) as lab, chromium() as browser:
    page = browser.new_page(viewport=SCREEN)
    page.goto(lab.notebook("reading"))
    reader = Reader(page)
    reader.wait_for_task()
    reader.answer_task()
"""

import base64
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import check_book
import nbformat
import numpy as np
import pytest
from drawn_reading import write_synthetic

from cxrlib.films.audit import prepare_study
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.reading.protocol import reading_fold
from cxrlib.reading.viewer import ReadingWidget, one_module
from cxrlib.study import REPOSITORY, Study, load_study

SCREEN = {"width": 1280, "height": 720}
SECONDS_TO_START = 90
# Twenty tasks: 2 for practice, 8 films and 1 of them again, 4 pairs to choose from, 5 pairs to compare.
READING = {
    "films_per_label_and_origin": 2, "repeat_percent": 12, "practice_films": 2, "pairs_per_label": 2, "copy_pairs": 3,
}  # fmt: skip
ROOT = ".cxr-reading"
NOTEBOOK = "jupyterapp.shell.currentWidget"
SOFTWARE_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
BARE_ADDRESS = "http://reading.test/"
BARE_HTML = (
    '<!doctype html><html lang="en"><title>Reading</title><link rel="icon" href="data:,">'
    "<style>body { margin: 8px } {css}</style><div id='place'></div></html>"
)
BARE_START = """async source => {
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    const { default: widget } = await import(url);
    const heard = {};
    const bytes = text => new DataView(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);
    const deliver = replies => replies.forEach(
        ([content, buffers]) => heard['msg:custom']?.forEach(listen => listen(content, buffers.map(bytes))));
    const model = {
        on: (name, listen) => (heard[name] ??= []).push(listen),
        off: (name, listen) => { heard[name] = (heard[name] ?? []).filter(other => other !== listen); },
        send: content => { window.toKernel(content).then(deliver); },
    };
    window.tellOfKernel = () => heard.comm_live_update.forEach(listen => listen());
    window.closeWidget = widget.render({ model, el: document.getElementById('place') });
}"""
# [text, contrast to its ground] of every text that can be seen within a selector.
CONTRASTS = """within => {
    const number = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
    const ground = node => {
        for (; node; node = node.parentElement) {
            const colour = number(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.5) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const node of document.querySelectorAll(`${within} *`)) {
        const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
        if (!own || !node.checkVisibility()) continue;
        const [a, b] = [light(number(getComputedStyle(node).color)), light(ground(node))];
        found.push([node.textContent.slice(0, 30), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
    }
    return found;
}"""


def require_chromium() -> None:
    """Without Chromium the tests of a module are skipped, except in CI, where they fail."""
    if check_book.browser_path() is None:
        reason = f"no Chromium: looked for {', '.join(check_book.BROWSERS)} and in CHROMIUM"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)


@contextlib.contextmanager
def chromium(*, webgl: bool = False) -> Iterator[object]:
    """A headless Chromium, Playwright's `Browser`; with `webgl` its processor does what a graphics card would."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        usual = [argument for argument in check_book.ARGUMENTS if not (webgl and argument == "--disable-gpu")]
        browser = playwright.chromium.launch(
            executable_path=check_book.browser_path(), args=[*usual, *(SOFTWARE_WEBGL if webgl else ())]
        )
        try:
            yield browser
        finally:
            browser.close()


def study_to_read(write_study_in, folder: Path, **review: object) -> Study:
    """A tiny study in `folder` with films to read and nothing trained: its synthetic films are dimmed ones."""
    study = load_study(write_study_in(folder, review={**READING, **review}))
    prepare_study(study)
    films = load_image_set(study, "hospital", study.gan.resolution)
    for label in LABELS:
        images = (films.images[films.manifest["label"] == label] * 0.8).astype(np.uint8)
        write_synthetic(study, label, reading_fold(study), count=len(images), flagged=2, images=images)
    return study


def write_notebook(folder: Path, study: Study, reader: str, name: str = "reading") -> Path:
    """A notebook with the reading in its second cell, and some more, which no key of the reading may touch."""
    cells = [
        "import os\nfrom pathlib import Path\nPath('kernel.pid').write_text(str(os.getpid()));",
        "from cxrlib.reading.viewer import open_reading\nfrom cxrlib.study import load_study\n"
        f"open_reading(load_study({str(study.file)!r}), {reader!r})",
        "after = 1",
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    code = [nbformat.v4.new_code_cell(cell) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernel})
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@dataclass
class Server:
    """A server of this machine: `address("path")` is its page, with the token."""

    origin: str
    token: str
    process: subprocess.Popen

    def address(self, path: str) -> str:
        return f"{self.origin}/{path}?token={self.token}"

    def notebook(self, name: str) -> str:
        """JupyterLab's page of one notebook, in a workspace of its own: no other notebook is opened beside it."""
        return self.address(f"lab/workspaces/{name}/tree/{name}.ipynb")

    def api(self, path: str, method: str = "GET") -> object:
        request = urllib.request.Request(f"{self.origin}/api/{path}", method=method)
        request.add_header("Authorization", f"token {self.token}")
        with urllib.request.urlopen(request, timeout=20) as reply:
            text = reply.read()
        return json.loads(text) if text else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def jupyter_environment(folder: Path) -> dict[str, str]:
    """The environment of a server that reads and writes no settings but those in `folder`."""
    places = {f"JUPYTER_{name}_DIR": str(folder / f"jupyter-{name.lower()}") for name in ("CONFIG", "DATA", "RUNTIME")}
    places["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "lab-settings")
    places["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "lab-workspaces")
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **places, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(folder / "ipython")}


@contextlib.contextmanager
def served(folder: Path, command: list[str], *, token: str, port: int, ready: str = "api") -> Iterator[Server]:
    """Run a server while the block runs; it is ready when `ready` answers. What it says is in `folder/server.log`."""
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=jupyter_environment(folder), stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    server = Server(f"http://127.0.0.1:{port}", token, process)
    try:
        _wait_until_ready(server, ready, folder / "server.log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(server: Server, path: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            urllib.request.urlopen(f"{server.origin}/{path}", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it answers, if only to ask for the token
        except OSError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}") from None
            time.sleep(0.2)


@contextlib.contextmanager
def jupyterlab(folder: Path) -> Iterator[Server]:
    """JupyterLab with `folder` as its root, on the loopback address, with a token of its own and without news."""
    settings = folder / "lab-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet), encoding="utf-8")
    token, port = secrets.token_hex(16), free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
    ]  # fmt: skip
    with served(folder, command, token=token, port=port) as server:
        yield server


def wait_until(page, expression, arg=None, milliseconds=30_000) -> None:
    """Wait until JavaScript is true; asked from outside, as a page that forbids `eval` can't ask itself."""
    until = time.monotonic() + milliseconds / 1000
    while not page.evaluate(expression, arg):
        assert time.monotonic() < until, f"not true within {milliseconds / 1000:.0f} s: {expression}"
        page.wait_for_timeout(20)


def wait_for_kernel(page) -> None:
    """Wait until the notebook on the screen can be run."""
    wait_until(page, f"window.jupyterapp?.shell.currentWidget?.context?.isReady && {NOTEBOOK}.content.widgets.length")
    idle = f"{NOTEBOOK}.sessionContext.session?.kernel?.status === 'idle'"
    wait_until(page, idle, milliseconds=120_000)


def run_notebook(page) -> None:
    """Run all cells of the notebook on the screen, as its menu does."""
    wait_for_kernel(page)
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")


class BarePage:
    """A page with nothing but a reading, whose kernel is this process: quick, and it may be made to fail.

    `silent`: the kernel gets messages and says nothing. `sent`: what the browser said, oldest first.
    """

    def __init__(self, context: object, widget: ReadingWidget) -> None:
        self.page, self.widget, self.silent = context.new_page(), widget, False
        self.sent: list[dict] = []
        self.wrong: list[str] = []
        self._replies: list = []
        widget.send = lambda content, buffers=(): self._replies.append(
            (content, [base64.b64encode(buffer).decode() for buffer in buffers or []])
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.expose_function("toKernel", self._receive)
        body = BARE_HTML.replace("{css}", ReadingWidget._css)
        self.page.route(BARE_ADDRESS, lambda route: route.fulfill(body=body, content_type="text/html; charset=utf-8"))

    def open(self) -> "Reader":
        """Load the page, or load it again; returns a reader in front of it."""
        self.page.goto(BARE_ADDRESS)
        self.page.evaluate(BARE_START, one_module())
        return Reader(self.page, seconds=20)

    def _receive(self, content: dict) -> list:
        self.sent.append(content)
        self._replies = []
        if not self.silent:
            self.widget._receive(None, content, [])
        return self._replies

    def lose_kernel(self) -> None:
        """As JupyterLab tells a widget whose kernel has died."""
        self.silent = True
        self.page.evaluate("tellOfKernel()")


class Reader:
    """A reader's eyes and hands, wherever a reading is shown: in JupyterLab, in its own window, on a bare page."""

    def __init__(self, page: object, seconds: float = 120) -> None:
        self.page, self.milliseconds = page, 1000 * seconds
        self.root = page.locator(ROOT)

    # --- what is on the screen

    @property
    def task(self) -> str:
        """The task on the screen; empty before the first and after the last."""
        return self.root.get_attribute("data-task") or ""

    @property
    def phase(self) -> str:
        """waiting, reading, sending, feedback, paused or finished"""
        return self.root.get_attribute("data-phase") or ""

    def wait_for_phase(self, *phases: str) -> str:
        selector = ", ".join(f'{ROOT}[data-phase="{phase}"]' for phase in phases)
        self.page.wait_for_selector(selector, timeout=self.milliseconds)
        return self.phase

    def wait_for_task(self) -> str:
        """Wait until there is something to answer, past the pages before it; returns the task."""
        self.turn_pages("reading")
        return self.task

    def turn_pages(self, *phases: str, keyboard: bool = False) -> str:
        """Through pages and the questions about reader and screen until one of the phases; returns it."""
        while (phase := self.wait_for_phase("page", "about", *phases)) not in phases:
            # Not the line that says what is open: it goes before the page does.
            text = (
                f"(() => {{ const page = document.querySelector('{ROOT} .page')?.cloneNode(true);"
                " page?.querySelectorAll('.missing').forEach(it => it.remove()); return page?.textContent ?? ''; })()"
            )
            shown = self.page.evaluate(text)
            self.wait_until_seen()
            if phase == "about":
                questions = self.root.locator(".page .question").count()
                if keyboard:
                    self.key(*["1"] * questions)
                for place in range(0 if keyboard else questions):
                    self.root.locator(".page .question").nth(place).locator("[role=radio]").first.click()
            self.key("Enter") if keyboard else self.root.locator(".page .submit").click()
            wait_until(
                self.page, f"shown => document.querySelector('{ROOT}').dataset.phase !== {phase!r}"
                f" || {text} !== shown", shown, self.milliseconds,
            )  # fmt: skip
        return phase

    def wait_until_seen(self) -> None:
        """What has just come up takes no Enter and no click yet, lest a double one skip it."""
        self.page.wait_for_selector(f"{ROOT}:not([data-fresh])", timeout=self.milliseconds)

    @property
    def position(self) -> tuple[int, int]:
        """(number of the task on the screen, from 1; how many there are)"""
        number, total = self.root.locator(".position").inner_text().split(" of ")
        return int(number), int(total)

    @property
    def message(self) -> str:
        """What the reading says about the answer, e.g. why it was refused, or feedback; empty if nothing."""
        said = self.root.locator(".message")
        return said.inner_text() if said.is_visible() else ""

    def questions(self) -> list[str]:
        """Names of the questions that choose one answer, in order."""
        nodes = self.root.locator(".question:has([role=radiogroup])")
        return nodes.evaluate_all("nodes => nodes.map(node => node.dataset.question)")

    def chosen(self) -> dict[str, str]:
        """Answers on the screen: questions that choose one answer, by name; open ones are left out."""
        script = "nodes => nodes.map(node => [node.closest('.question').dataset.question, node.dataset.choice])"
        return dict(self.root.locator('[role=radio][aria-checked="true"]').evaluate_all(script))

    def pixels(self, film: int = 0) -> np.ndarray:
        """uint8 (H, W): greys of the canvas as they are drawn."""
        greys = (
            self.root.locator("canvas.film")
            .nth(film)
            .evaluate(
                """canvas => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
                const { width, height } = canvas;
                const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
                let greys = '';
                for (let i = 0; i < data.length; i += 4) greys += String.fromCharCode(data[i]);
                done([height, width, btoa(greys)]);
            })))"""
            )
        )
        height, width, text = greys
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width)

    # --- by mouse

    def choose(self, question: str, choice: str) -> None:
        self.root.locator(f'[data-question="{question}"] [data-choice="{choice}"]').click()

    def press(self, act: str) -> None:
        """A button by its command: invert, fit, actual, reset, link, enlarge, keys, undo, pause."""
        self.root.locator(f'[data-act="{act}"]').click()

    def submit(self) -> None:
        self.root.locator(".foot .submit").click()

    # --- by keyboard

    def key(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    # --- whole tasks

    def answer_task(self, answers: Mapping[str, str] | None = None, *, keyboard: bool = False) -> str:
        """Answer the task on the screen and wait for what comes next; returns the phase: reading or finished.

        Questions that `answers` leaves out get their first choice. The focus must be in the reading for the keyboard.
        Feedback to practice is read and left behind.
        """
        before = self.wait_for_task()
        for question in self.questions():
            node = self.root.locator(f'[data-question="{question}"]')
            choices = node.locator("[role=radio]").evaluate_all("nodes => nodes.map(node => node.dataset.choice)")
            choice = (answers or {}).get(question, choices[0])
            if keyboard:
                self.key(str(choices.index(choice) + 1))
            else:
                self.choose(question, choice)
        self.key("Enter") if keyboard else self.submit()
        return self.leave(before, keyboard=keyboard)

    def leave(self, before: str, *, keyboard: bool = False) -> str:
        """Wait until the task `before` is gone, past its feedback if there is any."""
        self.page.wait_for_selector(
            f'{ROOT}[data-phase="feedback"], {ROOT}[data-phase="finished"], {ROOT}[data-phase="page"], '
            f'{ROOT}[data-phase="reading"]:not([data-task="{before}"])',
            timeout=self.milliseconds,
        )
        if self.phase == "feedback":
            self.wait_until_seen()
            self.key("Enter") if keyboard else self.submit()
            self.page.wait_for_selector(f'{ROOT}:not([data-task="{before}"])', timeout=self.milliseconds)
        return self.turn_pages("reading", "finished", keyboard=keyboard)
