"""The reading in a window of its own: whole readings, by mouse and by keys, through reloads, kills and closed tabs."""

import os
import re
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from reading_browser import CONTRASTS, SCREEN, Reader, chromium, free_port, require_chromium, study_to_read, wait_until
from served_reading import serving

from cxrlib.reading.events import current_answers, read_events
from cxrlib.reading.protocol import prepare_protocol

# The colour at the edge of the window: of the first element there that has one.
PAINTED = """document.elementsFromPoint(4, 4).map((element) => getComputedStyle(element).backgroundColor)
    .find((colour) => colour !== "rgba(0, 0, 0, 0)")"""


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    require_chromium()
    return study_to_read(write_study_in, tmp_path_factory.mktemp("window"))


@pytest.fixture(scope="module")
def server(study):
    with serving(study.file, cwd=study.root.parent) as running:
        yield running


@pytest.fixture(scope="module")
def browser(study):
    with chromium() as running:
        yield running


@pytest.fixture
def opened(server, browser):
    """A page in a browser of its own; at its end nothing may have been wrong with it."""
    context = browser.new_context(viewport=SCREEN)
    page = context.new_page()
    wrong, asked = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.address)
    yield SimpleNamespace(page=page, reader=Reader(page))
    context.close()
    assert wrong == []
    here = (server.root, server.root.replace("http", "ws"), "data:", "blob:")
    assert [url for url in asked if not url.startswith(here)] == []


def begin(page, name: str, *, keyboard: bool = False) -> None:
    """Through the first screen, as somebody who has not read before."""
    page.locator("#cxr-reader").wait_for()
    wait_until(page, "document.activeElement.id === 'cxr-reader'")
    page.keyboard.type(name)
    button = page.get_by_role("button", name=f"Begin as {name}")
    if keyboard:
        page.keyboard.press("Enter")
        button.wait_for()
        page.keyboard.press("Enter")
    else:
        page.get_by_role("button", name="Begin", exact=True).click()
        button.click()
    page.get_by_text(f"Reading as {name}", exact=True).wait_for()


def answers_of(study, name: str) -> list[dict]:
    events = read_events(prepare_protocol(study).folder)
    return current_answers([event for event in events if event["reader"] == name])


@pytest.mark.parametrize("keyboard", [False, True], ids=["mouse", "keyboard"])
def test_a_whole_reading(study, opened, keyboard):
    name = "with_keys" if keyboard else "with_mouse"
    assert "token" not in opened.page.url
    begin(opened.page, name, keyboard=keyboard)
    reader = opened.reader
    reader.turn_pages("reading", keyboard=keyboard)
    assert reader.position == (1, 2)
    if keyboard:
        wait_until(opened.page, "document.activeElement.closest('.cxr-reading')")
    while reader.phase != "finished":
        reader.answer_task(keyboard=keyboard)
    planned = [task.task_id for task in prepare_protocol(study).tasks(name)]
    assert [answer["task_id"] for answer in answers_of(study, name)] == planned
    assert "Thank you" in reader.root.inner_text()


def test_a_reload_asks_nobody_and_goes_on_at_the_same_task(opened):
    begin(opened.page, "reloading")
    for _ in range(3):
        opened.reader.answer_task()
    task = opened.reader.task
    opened.page.reload()
    opened.page.get_by_text("Reading as reloading").wait_for()
    assert opened.reader.wait_for_task() == task
    assert opened.reader.position == (2, 18)


def test_the_next_person_at_the_desk_is_asked_for_a_name_and_a_known_one_is_not_asked_twice(opened):
    begin(opened.page, "leaving")
    opened.reader.answer_task()
    opened.page.get_by_role("button", name="Someone else?").click()
    wait_until(opened.page, "document.activeElement.id === 'cxr-reader'")
    opened.page.keyboard.type("leaving")
    opened.page.keyboard.press("Enter")
    opened.reader.wait_for_task()
    assert opened.reader.position == (2, 2)


def test_a_server_that_ends_is_said_and_the_same_page_goes_on_with_the_next(study, browser):
    port = free_port()
    page = browser.new_context(viewport=SCREEN).new_page()
    with serving(study.file, "--port", str(port), cwd=study.root.parent) as server:
        address = server.address
        page.goto(address)
        begin(page, "interrupted")
        reader = Reader(page)
        for _ in range(2):
            reader.answer_task()
        task = reader.task
        reader.choose("diagnosis", "positive")
        os.kill(server.process.pid, signal.SIGINT)
        server.process.wait(20)
        page.get_by_text("The reading's server can't be reached.").wait_for()
        assert "Your answer is still here" in page.locator(".connection").inner_text()
    with serving(study.file, cwd=study.root.parent) as server:
        assert server.address == address
        page.locator(".connection").wait_for(state="hidden")
        assert reader.wait_for_task() == task
        assert reader.chosen() == {"diagnosis": "positive"}
        reader.answer_task()
        page.reload()
        page.get_by_text("Reading as interrupted").wait_for()
        reader.wait_for_task()
        page.context.close()
    assert len(answers_of(study, "interrupted")) == 3


def test_the_address_does_not_say_who_reads_and_not_every_name_will_do(server, opened):
    opened.page.goto(f"{server.root}?reader=bob&name=bob")
    opened.page.locator("#cxr-reader").wait_for()
    assert opened.page.url == server.root
    assert opened.page.locator("#cxr-reader").input_value() == ""
    opened.page.locator("#cxr-reader").fill("simulated7")
    opened.page.keyboard.press("Enter")
    opened.page.get_by_text("those of programs").wait_for()
    assert opened.page.locator(".cxr-reading").count() == 0


def test_instructions_come_first_and_each_part_has_a_page(opened):
    begin(opened.page, "instructed")
    reader, page = opened.reader, opened.page
    assert reader.wait_for_phase("about") == "about"
    assert "about you" in page.locator(".page").inner_text()
    page.locator(".page .submit").click()
    reader.wait_until_seen()
    page.locator(".page .submit").click()
    assert "Still open: Which of these are you?" in page.locator(".page .missing").inner_text()
    reader.turn_pages("page")
    shown = page.locator(".page").inner_text()
    for words in ("Before you begin", "Practice does not count", "You can stop", "18 tasks in 3 parts", "minutes"):
        assert words in shown
    assert page.locator("canvas.film").count() == 0, "no film is shown, and no time counts, while the page is read"
    reader.turn_pages("reading")
    assert reader.position == (1, 2)


# A laptop, an upright diagnostic monitor, a large one, a tablet both ways; and the laptop at 200 %.
SCREENS = ((1280, 720), (1536, 2048), (2560, 1440), (768, 1024), (1024, 768), (640, 360))
CONTROLS = ".foot .submit, .foot [data-act=undo], .foot [data-act=pause], .form, canvas.film"


def test_the_whole_screen_is_the_room_and_nothing_is_cut_off(opened):
    """Single films and pairs, whichever way the system is set: dark from edge to edge."""
    begin(opened.page, "looking")
    page, reader = opened.page, opened.reader
    reader.wait_for_task()
    for films in (1, 2):
        while page.locator("canvas.film").count() != films:
            reader.answer_task()
        for width, height in SCREENS:
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme="light" if films == 1 else "dark")
            wait_until(page, f"document.querySelector('canvas.film').width <= {width} * devicePixelRatio")
            size = page.evaluate("(({ scrollWidth, scrollHeight }) => [scrollWidth, scrollHeight])(document.body)")
            assert size[0] == width
            # Enlarged twice, the questions stand below the film, and one scrolls to them.
            assert size[1] == height or height < 700
            boxes = [node.bounding_box() for node in page.locator(CONTROLS).all()]
            assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
            assert all(box["y"] + box["height"] <= size[1] for box in boxes)
            shown = page.locator(".films").bounding_box()
            assert shown["width"] * shown["height"] > 0.45 * width * height
            red, green, blue, *_ = map(int, re.findall(r"\d+", page.evaluate(PAINTED)))
            assert max(red, green, blue) < 40
        for width in (1280, 768):
            page.set_viewport_size({"width": width, "height": 1024})
            reader.press("keys")
            head, keys = (page.locator(part).bounding_box() for part in (".head", ".help"))
            assert keys["y"] == pytest.approx(head["y"] + head["height"], abs=1)
            reader.key("Escape")
        page.set_viewport_size(SCREEN)


def test_who_wants_it_light_says_so_once_and_the_browser_remembers(study, server, browser):
    """Dark whatever the system prefers; every text can be read in either; the tools of a film stand in one row."""
    context = browser.new_context(viewport=SCREEN, color_scheme="light")
    page = context.new_page()
    page.goto(server.address)
    for scheme in ("dark", "light", "dark"):
        page.locator(f".cxr-welcome[data-theme={scheme}]").wait_for()
        assert [text for text, contrast in page.evaluate(CONTRASTS, ".cxr-welcome") if contrast < 4.5] == []
        page.get_by_role("button", name="Light colours").click()
    page.get_by_role("button", name="Light colours").click()
    page.reload()
    begin(page, "in_daylight")
    reader = Reader(page)
    for phase in ("about", "page"):
        reader.turn_pages(phase)
        for scheme in ("dark", "light"):
            page.locator(f".cxr-reading[data-theme={scheme}]").wait_for()
            assert [text for text, contrast in page.evaluate(CONTRASTS, ".cxr-reading") if contrast < 4.5] == []
            page.locator(".page .submit").hover()
            assert [text for text, contrast in page.evaluate(CONTRASTS, ".page") if contrast < 4.5] == []
            page.get_by_role("button", name="Light colours").click()
    reader.wait_for_task()
    for scheme in ("dark", "light"):
        page.locator(f".cxr-reading[data-theme={scheme}]").wait_for()
        assert [text for text, contrast in page.evaluate(CONTRASTS, ".cxr-reading") if contrast < 4.5] == []
        switch = page.get_by_role("button", name="Light colours")
        assert switch.get_attribute("aria-pressed") == str(scheme == "light").lower()
        if scheme == "dark":
            switch.click()
    for row in (".tools button:visible", ".head > *:visible"):
        middles = [node.bounding_box() for node in page.locator(row).all()]
        assert np.ptp([box["y"] + box["height"] / 2 for box in middles]) < 3, row
    tags, before = page.locator(".tags").last, page.locator(".tags").last.bounding_box()
    tags.locator("button").first.click()
    assert tags.bounding_box() == before, "what is told beside a question moves nothing"
    tags.locator("button").first.click()
    reader.answer_task()
    assert answers_of(study, "in_daylight")[-1]["screen"]["theme"] == "light"
    another = context.new_page()
    another.goto(server.address)
    another.locator(".cxr-welcome[data-theme=light]").wait_for()
    another.goto(f"{server.root}nothing")
    assert another.locator("h1").inner_text() == "Nothing here"
    assert another.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    context.close()
