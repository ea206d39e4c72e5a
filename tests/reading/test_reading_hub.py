"""A real JupyterHub, configured as the book's page says: two readers at once, each alone with a reading."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import served_reading
from reading_browser import SCREEN, Reader, chromium, require_chromium, study_to_read
from served_reading import REPOSITORY

from cxrlib.reading.events import read_events

PASSWORD = "for-a-test-only"
PROXY = Path(sys.prefix) / "hub" / "node_modules" / ".bin" / "configurable-http-proxy"
pytestmark = pytest.mark.usefixtures("hub_is_there")


@pytest.fixture(scope="module")
def hub_is_there():
    """Node, the proxy and Chromium; without them these tests are skipped, except in CI, where they fail."""
    require_chromium()
    missing = "no Node.js" if shutil.which("node") is None else "" if PROXY.exists() else f"no {PROXY}; run `make hub`"
    if missing and os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def configuration_of_the_page(root: Path, study: str, ports: list[int]) -> str:
    """The file that `book/several-readers.md` tells to write, with this test's folder, study, log-in and ports."""
    page = (REPOSITORY / "book" / "several-readers.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^( *)```python\n(.*?)^\1```", page, flags=re.DOTALL | re.MULTILINE)
    text = "".join(line.removeprefix(block[0]) for line in block[1].splitlines(keepends=True))
    changes = {
        '"our-hospital"': repr(study),
        '"/srv/reading/cxrlib"': repr(str(root)),
        '{"HOSPITAL_FILMS": "/data/films", "CXR_DATA": "/data/public"}': repr({"PYTHONPATH": str(REPOSITORY)}),
        'authenticator_class = "pam"': 'authenticator_class = "dummy"',
        "http://127.0.0.1:8000": f"http://127.0.0.1:{ports[0]}",
    }
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text + (
        f"c.DummyAuthenticator.password = {PASSWORD!r}\n"
        f"c.JupyterHub.hub_port = {ports[1]}\n"
        f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{ports[2]}'\n"
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    study = study_to_read(write_study_in, tmp_path_factory.mktemp("hub"))
    (study.root / ".venv").symlink_to(sys.prefix)
    return study


@pytest.fixture(scope="module")
def hub(study, tmp_path_factory):
    """The address of the running hub."""
    folder, ports = tmp_path_factory.mktemp("state"), free_ports(3)
    config, log = folder / "jupyterhub_config.py", folder / "hub.log"
    config.write_text(configuration_of_the_page(study.root, study.name, ports), encoding="utf-8")
    command = [sys.executable, "-m", "jupyterhub", "--config", str(config)]
    with open(log, "w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=served_reading.environment(), stdout=output, stderr=output, start_new_session=True
        )
    address = f"http://127.0.0.1:{ports[0]}"
    try:
        wait_until_it_answers(f"{address}/hub/login", process, log)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            print(log.read_text(encoding="utf-8")[-6000:])


def wait_until_it_answers(address: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def contexts(hub_is_there):
    """`contexts()` is a fresh browser context: cookies of its own, like another person's browser."""
    with chromium() as browser:
        yield lambda: browser.new_context(viewport=SCREEN)


def opened(page, name: str) -> Reader:
    """The reading on the page, which must be that of `name`."""
    page.get_by_text(f"Reading as {name}", exact=True).wait_for(timeout=60_000)
    reader = Reader(page)
    reader.wait_for_task()
    return reader


def log_in(page, hub: str, name: str) -> None:
    page.goto(f"{hub}/hub/login")
    page.locator("#username_input").fill(name)
    page.locator("#password_input").fill(PASSWORD)
    page.locator("#login_submit").click()


def test_two_readers_at_once_each_with_their_own_progress(hub, contexts, study):
    asked = []
    pages = {name: contexts().new_page() for name in ("anna", "bob")}
    for name, page in pages.items():
        page.on("request", lambda request: asked.append(request.url))
        log_in(page, hub, name)
    readers = {name: opened(page, name) for name, page in pages.items()}
    assert [reader.position for reader in readers.values()] == [(1, 2), (1, 2)]
    for name in ("anna", "bob", "anna", "anna"):
        readers[name].answer_task()
    positions = {"anna": (2, 18), "bob": (2, 2)}
    assert {name: reader.position for name, reader in readers.items()} == positions

    for name, page in pages.items():
        page.goto(f"{hub}/user/{name}/?reader=bob&token=anna")
        assert opened(page, name).position == positions[name]
    answers = [
        event for event in read_events(study.results.review(study.review.protocol)) if event["event"] == "answer"
    ]
    assert Counter(event["reader"] for event in answers) == {"anna": 3, "bob": 1}
    assert all(url.startswith((hub, "data:", "blob:", hub.replace("http", "ws"))) for url in asked), asked


def test_a_reader_can_not_open_another_s_server(hub, contexts):
    context = contexts()
    page = context.new_page()
    log_in(page, hub, "anna")
    opened(page, "anna")
    for path in ("/user/bob/", "/user/bob/talk", "/hub/user/bob/", "/hub/spawn/bob", "/hub/admin"):
        answer = page.goto(hub + path)
        assert answer.status in (403, 404), (path, answer.status)
        assert "Reading as" not in page.content()
    for path in ("/user/anna/api/contents", "/user/anna/lab", "/user/anna/api/terminals", "/user/anna/files/studies"):
        assert context.request.get(hub + path).status == 404, path


def test_who_has_not_logged_in_gets_a_form_and_nothing_else(hub, contexts):
    context = contexts()
    for path in (
        "/user/anna/talk",
        "/user/anna/api/kernels",
        "/hub/api/users",
    ):
        assert context.request.get(hub + path).status == 403, path
    page = context.new_page()
    page.goto(f"{hub}/user/anna/")
    assert "/hub/login" in page.url
    log_in(page, hub, "mallory")
    page.get_by_text("Invalid username or password").wait_for()
    page.goto(f"{hub}/user/anna/?token={PASSWORD}")
    assert "/hub/login" in page.url
