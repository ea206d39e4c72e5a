"""The reading in JupyterLab: whole readings by mouse and by keyboard, through reloads and killed kernels."""

from types import SimpleNamespace

import pytest
from reading_browser import (
    SCREEN,
    Reader,
    chromium,
    jupyterlab,
    require_chromium,
    study_to_read,
    write_notebook,
)

from cxrlib.review.events import current_answers, read_events
from cxrlib.review.protocol import prepare_protocol

CELLS = "jupyterapp.shell.currentWidget.content.model.cells.length"
SOURCES = "[...jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.type + cell.sharedModel.source)"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, write_study_in):
    """One server, one study and one browser for all tests of this module."""
    require_chromium()
    folder = tmp_path_factory.mktemp("lab")
    study = study_to_read(write_study_in, folder)
    with jupyterlab(folder) as server, chromium() as browser:
        yield SimpleNamespace(folder=folder, study=study, server=server, browser=browser)


def run_notebook(page) -> None:
    """Run all cells of the notebook on the screen, as its menu does."""
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context?.isReady")
    page.evaluate("jupyterapp.shell.currentWidget.context.ready")
    page.wait_for_function(
        "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'", timeout=60_000
    )
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")


@pytest.fixture
def opened(lab, request):
    """A reader's own notebook in JupyterLab, at the first task."""
    name = request.node.name.split("[")[0].removeprefix("test_")[:20]
    write_notebook(lab.folder, lab.study, name, name)
    page = lab.browser.new_page(viewport=SCREEN)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(lab.server.address(f"lab/tree/{name}.ipynb"))
    run_notebook(page)
    reader = Reader(page)
    reader.wait_for_task()
    yield SimpleNamespace(page=page, reader=reader, name=name, wrong=wrong)
    page.close()
    for kernel in lab.server.api("kernels"):
        lab.server.api(f"kernels/{kernel['id']}", "DELETE")
    assert wrong == []


def answers_of(lab, reader) -> list[dict]:
    events = read_events(prepare_protocol(lab.study).folder)
    return current_answers([event for event in events if event["reader"] == reader])


def test_a_whole_reading_by_mouse(lab, opened):
    reader = opened.reader
    assert reader.position == (1, 20)
    shown = []
    while reader.phase != "finished":
        shown.append(reader.task)
        reader.answer_task()
    assert [answer["task_id"] for answer in answers_of(lab, opened.name)] == shown
    assert shown == [task.task_id for task in prepare_protocol(lab.study).tasks(opened.name)]
    assert "Thank you" in reader.root.inner_text()
