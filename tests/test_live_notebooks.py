"""The five notebooks in JupyterLab, as a person opens them: they run whole, say their numbers, and their widgets move.

The study begins with nothing but its file: each notebook makes what it needs and was not made before.
"""

import json
import re
from types import SimpleNamespace

import pytest
import toys
from reading_browser import NOTEBOOK, Reader, chromium, jupyterlab, require_chromium, wait_for_kernel, wait_until

from cxrlib.artifacts import CHAPTERS
from cxrlib.chapters.chapter import FACT
from cxrlib.chapters.run import WIDGET_VIEW
from cxrlib.reading.events import read_events
from cxrlib.reading.simulation import simulate_readings
from cxrlib.study import REPOSITORY, load_study

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

# As after "Run All Cells": the promise is kept when the last cell has run.
RUN = """async () => {
    await jupyterapp.commands.execute('notebook:run-all-cells');
    return jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells;
}"""
SHOW = f"number => {{ {NOTEBOOK}.content.activeCellIndex = number; return {NOTEBOOK}.content.scrollToItem(number); }}"
PARAMETERS = 'study = "demo"', 'reader = ""'
READER = "anna"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, write_study_in):
    """JupyterLab on a study of which nothing is made, and a browser."""
    require_chromium()
    root = tmp_path_factory.mktemp("live")
    study = load_study(write_study_in(root, review={"simulated_readers": 2}))
    for name in CHAPTERS:
        text = (REPOSITORY / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
        for old, new in zip(PARAMETERS, (f'study = "{study.name}"', f'reader = "{READER}"'), strict=True):
            text = text.replace(json.dumps(old)[:-1], json.dumps(new)[:-1])
        (root / f"{name}.ipynb").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", toys.ENVIRONMENT["PYTHONPATH"])
        with jupyterlab(root) as server, chromium() as browser:
            yield SimpleNamespace(study=study, server=server, browser=browser)


@pytest.fixture
def run(lab):
    """`run(name)`: a chapter, run whole, its cells as JupyterLab holds them then, and its page."""
    page = lab.browser.new_page(viewport={"width": 1280, "height": 900})
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))

    def opened(name):
        page.goto(lab.server.notebook(name))
        wait_for_kernel(page)
        return SimpleNamespace(page=page, cells=page.evaluate(RUN))

    yield opened
    page.close()
    for kernel in lab.server.api("kernels"):
        lab.server.api(f"kernels/{kernel['id']}", "DELETE")
    assert wrong == []


def said_by(cell):
    """The Markdown of a cell that has run."""
    data = [output.get("data", {}) for output in cell["outputs"]]
    return "\n".join("".join(kinds["text/markdown"]) for kinds in data if "text/markdown" in kinds)


def has_widget(cells):
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    return any(WIDGET_VIEW in output.get("data", {}) for output in outputs)


def shown(page, cells, found):
    """The cell for which `found` holds, scrolled to, on the screen."""
    number = next(number for number, cell in enumerate(cells) if found("".join(cell["source"])))
    page.evaluate(SHOW, number)
    return page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{number}"]')


def read_a_film(lab, page, cells):
    shown(page, cells, lambda source: "open_reading(study" in source)
    reader = Reader(page)
    before = reader.wait_for_task()
    reader.answer_task()
    assert reader.task != before
    events = read_events(lab.study.results.review(lab.study.review.protocol))
    assert [event["task_id"] for event in events if event["reader"] == READER and event["event"] == "answer"] == [
        before
    ]


def move_the_threshold(lab, page, cells):
    cell = shown(page, cells, lambda source: "threshold_explorer(study" in source)
    cell.locator(".widget-html", has_text="From 0.50 upwards").wait_for()
    before = cell.locator("img.widget-image").get_attribute("src")
    cell.locator(".noUi-handle").press("ArrowRight")
    cell.locator(".widget-html", has_text="From 0.51 upwards").wait_for()
    wait_until(page, "before => document.querySelector('img.widget-image').src !== before", before)


MOVED = {"03_synthesis_review": read_a_film, "05_results": move_the_threshold}


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_says_its_findings_and_its_widget_moves(lab, run, name):
    if name == "03_synthesis_review":
        simulate_readings(lab.study)
    live = run(name)
    code = [cell for cell in live.cells if cell["cell_type"] == "code"]
    failed = [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert [(error["ename"], error["evalue"]) for error in failed] == []
    assert all(cell["execution_count"] for cell in code)

    sentences = [said_by(cell) for cell in code if "".join(cell["source"]).startswith("chapter.say(")]
    assert not [text for text in sentences if FACT.search(text) or "{glue" in text or "{numref" in text]
    number = next(number for number, cell in enumerate(live.cells) if "## What we found" in "".join(cell["source"]))
    first, *others = [cell for cell in live.cells[number:] if cell["cell_type"] == "code"]
    assert len(re.findall(r"\d", "".join(map(said_by, [first, *others])))) > 3
    on_screen = shown(live.page, live.cells, lambda source: source == "".join(first["source"]))
    assert re.search(r"\d", on_screen.locator(".jp-RenderedMarkdown").first.inner_text())

    assert has_widget(live.cells) == (name in MOVED)
    if name in MOVED:
        MOVED[name](lab, live.page, live.cells)
