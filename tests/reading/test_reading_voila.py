"""The reading in a window of its own: whole readings, by mouse and by keys, through reloads, kills and closed tabs."""

import os
import re
import signal
import time
from types import SimpleNamespace

import pytest
from reading_browser import SCREEN, Reader, chromium, require_chromium, study_to_read
from voila_browser import serving

from cxrlib.reading.events import current_answers, read_events
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.welcome import Welcome

CLOSED_TAB_SECONDS = 12
# The colour behind the line above the reading: of the first element from the top that has one.
PAINTED = """document.elementsFromPoint(200, 20).map((element) => getComputedStyle(element).backgroundColor)
    .find((colour) => colour !== "rgba(0, 0, 0, 0)")"""
IMPATIENT = f"""
import sys
from cxrlib.reading.server import serve_reading
from cxrlib.study import load_study
study = load_study(sys.argv[1])
serve_reading(study, "", None, lambda text: print(text, flush=True), closed_tab_seconds={CLOSED_TAB_SECONDS})
"""
# What a page of the reading could send if its reader wanted to run code in the kernel; resolves to kinds of replies.
RUN_CODE = """async ([address, code]) => {
    const socket = new WebSocket(address);
    const kinds = [];
    socket.onmessage = (event) => kinds.push(JSON.parse(event.data).header.msg_type);
    await new Promise((opened) => { socket.onopen = opened; });
    const send = (msg_type, content) => socket.send(JSON.stringify({
        header: { msg_id: crypto.randomUUID(), msg_type, session: "s", username: "u", version: "5.3", date: "" },
        parent_header: {}, metadata: {}, content, buffers: [], channel: "shell",
    }));
    send("execute_request", { code, silent: false, store_history: false, user_expressions: {}, allow_stdin: false });
    send("kernel_info_request", {});
    while (!kinds.includes("kernel_info_reply")) await new Promise((later) => setTimeout(later, 50));
    socket.close();
    return kinds;
}"""


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    require_chromium()
    return study_to_read(write_study_in, tmp_path_factory.mktemp("voila"))


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
    page.wait_for_function("document.activeElement.id === 'cxr-reader'")
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
    reader.wait_for_task()
    assert reader.position == (1, 20)
    if keyboard:
        opened.page.wait_for_function("document.activeElement.closest('.cxr-reading')")
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
    assert opened.reader.position == (4, 20)


def test_the_next_person_at_the_desk_is_asked_for_a_name_and_a_known_one_is_not_asked_twice(opened):
    begin(opened.page, "leaving")
    opened.reader.answer_task()
    opened.page.get_by_role("button", name="Someone else?").click()
    opened.page.wait_for_function("document.activeElement.id === 'cxr-reader'")
    opened.page.keyboard.type("leaving")
    opened.page.keyboard.press("Enter")
    opened.reader.wait_for_task()
    assert opened.reader.position == (2, 20)


def test_a_killed_kernel_is_said_and_the_reading_goes_on(study, server, opened):
    begin(opened.page, "interrupted")
    for _ in range(2):
        opened.reader.answer_task()
    task = opened.reader.task
    opened.reader.choose("diagnosis", "positive")
    for kernel in server.kernels():
        os.kill(kernel, signal.SIGKILL)
    opened.page.get_by_text("The connection to the reading has ended.").wait_for()
    opened.page.keyboard.press("Enter")
    opened.page.get_by_text("Reading as interrupted").wait_for()
    assert opened.reader.wait_for_task() == task
    assert opened.reader.chosen() == {"diagnosis": "positive"}
    opened.reader.answer_task()
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


def test_whose_reading_it_is_can_not_be_changed_from_the_browser(study):
    """Under a hub the reader is fixed: a browser may send what it likes."""
    page = Welcome(study, "anna")
    reading = page.children[1]
    page.form.set_state({"reader": "", "fixed": False})
    page._received(page.form, {"kind": "name", "name": "bob", "sure": True}, [])
    assert page.children[1] is reading
    assert reading._session.reader == "anna"


def test_a_reader_can_not_run_code(server, opened, tmp_path):
    opened.page.locator("#cxr-reader").wait_for()
    kernel = opened.page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    address = f"{server.root.replace('http', 'ws')}api/kernels/{kernel}/channels"
    kinds = opened.page.evaluate(RUN_CODE, [address, f"open({str(tmp_path / 'made')!r}, 'w')"])
    assert "execute_reply" not in kinds
    assert not (tmp_path / "made").exists()


def test_the_page_fits_a_laptop_in_light_and_dark(opened):
    begin(opened.page, "looking")
    opened.reader.wait_for_task()
    for scheme, brightest in (("light", 255), ("dark", 22)):
        opened.page.emulate_media(color_scheme=scheme)
        opened.page.locator(f".cxr-reading[data-theme={scheme}]").wait_for()
        size = opened.page.evaluate("(({ scrollWidth, scrollHeight }) => [scrollWidth, scrollHeight])(document.body)")
        assert size == [SCREEN["width"], SCREEN["height"]]
        red, green, blue, *_ = map(int, re.findall(r"\d+", opened.page.evaluate(PAINTED)))
        assert max(red, green, blue) == brightest


def test_kernels_of_closed_tabs_end_and_those_of_open_ones_stay(study, browser):
    with serving(study.file, command=("-c", IMPATIENT)) as server:
        crashing, open_one = (browser.new_context().new_page() for _ in range(2))
        # As when a browser crashes or a laptop sleeps: nothing tells the server.
        crashing.add_init_script("navigator.sendBeacon = () => false;")
        for page in (crashing, open_one):
            page.goto(server.address)
            page.locator("#cxr-reader").wait_for(timeout=60_000)
        assert len(server.kernels()) == 2
        crashing.close()
        assert len(server.kernels()) == 2
        wait_for(lambda: len(server.kernels()) == 1, 60)
        time.sleep(CLOSED_TAB_SECONDS / 2)
        assert len(server.kernels()) == 1
        assert open_one.locator("#connection").is_hidden()
        # A tab that is closed properly says so.
        open_one.goto("about:blank")
        wait_for(lambda: server.kernels() == [], CLOSED_TAB_SECONDS / 2)


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
