"""The reading in JupyterLab: whole readings by mouse and by keyboard, through reloads and killed kernels."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from reading_browser import (
    NOTEBOOK,
    SCREEN,
    Reader,
    chromium,
    jupyterlab,
    require_chromium,
    run_notebook,
    study_to_read,
    write_notebook,
)

from cxrlib.reading.events import current_answers, read_events
from cxrlib.reading.protocol import prepare_protocol

CELLS = f"[...{NOTEBOOK}.content.model.cells].map(cell => cell.type + cell.sharedModel.source)"
# What these do to a notebook in command mode: cells above and below, to text, deleted, cut, undone, interrupted.
DANGEROUS = ["a", "b", "m", "d", "d", "x", "z", "i", "i", "0", "0", "y", "r", "Shift+M", "Shift+Enter", "Control+Enter"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory, write_study_in):
    """One server, one study and one browser for all tests of this module."""
    require_chromium()
    folder = tmp_path_factory.mktemp("lab")
    study = study_to_read(write_study_in, folder)
    with jupyterlab(folder) as server, chromium() as browser:
        yield SimpleNamespace(folder=folder, study=study, server=server, browser=browser)


@pytest.fixture
def opened(lab, request):
    """A reader's own notebook in JupyterLab, at the first task, and what the page was told through its sockets."""
    name = request.node.name.removeprefix("test_").replace("_", "")[:24]
    write_notebook(lab.folder, lab.study, name, name)
    page = lab.browser.new_page(viewport=SCREEN)
    wrong, told = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: told.append(frame)))
    page.goto(lab.server.notebook(name))
    run_notebook(page)
    reader = Reader(page)
    reader.wait_for_task()
    yield SimpleNamespace(page=page, reader=reader, name=name, told=told)
    page.close()
    for kernel in lab.server.api("kernels"):
        lab.server.api(f"kernels/{kernel['id']}", "DELETE")
    assert wrong == []


def answers_of(lab, name: str) -> list[dict]:
    events = read_events(prepare_protocol(lab.study).folder)
    return current_answers([event for event in events if event["reader"] == name])


def test_whole_reading_by_mouse(lab, opened):
    protocol, reader = prepare_protocol(lab.study), opened.reader
    assert reader.position == (1, 2)
    while reader.phase != "finished":
        reader.answer_task({"diagnosis": "positive", "origin": "perhaps real", "synthetic_side": "right"})
    assert "Thank you" in reader.root.inner_text()
    answers = answers_of(lab, opened.name)
    assert [answer["task_id"] for answer in answers] == [task.task_id for task in protocol.tasks(opened.name)]
    given = {name: value for answer in answers for name, value in answer["answers"].items()}
    assert (given["diagnosis"], given["origin"], given["synthetic_side"]) == ("positive", "perhaps real", "right")
    assert all(0 < answer["seconds"] < 60 and len(answer["view"]) == len(answer["films"]) for answer in answers)

    told = b"".join(frame.encode() if isinstance(frame, str) else frame for frame in opened.told)
    assert len(told) > 20 * lab.study.gan.resolution**2, "the films did not come through the sockets that were watched"
    private = {*protocol.worklist["image_id"], *protocol.worklist["film_id"], protocol.sha256, "flagged", "repeat_of"}
    assert [secret for secret in private if secret.encode() in told] == []
    assert told.count(b'"feedback": "This film is') == 2
    page = opened.page.content()
    assert [secret for secret in private if secret in page] == []


def test_whole_reading_by_keyboard_alone(lab, opened):
    page, reader = opened.page, opened.reader
    cells = page.evaluate(CELLS)
    reader.key(*DANGEROUS)
    page.locator(".cxr-reading .position").click()
    reader.key(*DANGEROUS)
    assert page.evaluate(CELLS) == cells
    assert reader.position == (1, 2)
    while reader.phase != "finished":
        reader.answer_task(keyboard=True)
    reader.key(*DANGEROUS)
    assert page.evaluate(CELLS) == cells
    assert len(answers_of(lab, opened.name)) == 20


def test_reload_and_killed_kernel(lab, opened):
    page, reader = opened.page, opened.reader
    for _ in range(3):
        reader.answer_task()
    task, half = reader.task, {"diagnosis": "positive", "confidence": "4"}
    for question, choice in half.items():
        reader.choose(question, choice)

    page.reload()
    run_notebook(page)
    reader.wait_for_task()
    assert (reader.task, reader.position, reader.chosen()) == (task, (2, 18), half)

    os.kill(int((lab.folder / "kernel.pid").read_text()), signal.SIGKILL)
    said = page.locator(".cxr-reading .connection:visible")
    said.wait_for(timeout=30_000)
    assert "Your answer is still here" in said.inner_text()
    assert reader.chosen() == half
    page.locator(".jp-Dialog button").last.click()
    page.evaluate(f"{NOTEBOOK}.content.widgets[1].outputArea.model.clear()")
    run_notebook(page)
    reader.wait_for_task()
    assert (reader.task, reader.position, reader.chosen()) == (task, (2, 18), half)
    assert reader.answer_task(half) == "reading"
    assert [answer["task_id"] for answer in answers_of(lab, opened.name)][-1] == task


def test_window_and_place_in_jupyterlab(opened):
    page, reader = opened.page, opened.reader
    before = reader.pixels()
    box = page.locator("canvas.film").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 120, y, steps=4)
    page.mouse.up()
    narrow = reader.pixels()
    assert narrow.std() > 1.1 * before.std()
    page.mouse.wheel(0, -400)
    assert not np.array_equal(reader.pixels(), narrow)
    page.mouse.dblclick(x, y)
    np.testing.assert_array_equal(reader.pixels(), before)
    room = page.evaluate("(() => { const form = document.querySelector('.cxr-reading .form');"
                         " return form.clientHeight - form.scrollHeight; })()")  # fmt: skip
    assert room >= 0, "the questions of a single film have to be scrolled on a screen of 1280 by 720"
    assert page.locator(".cxr-reading .frame").bounding_box()["height"] <= 600
