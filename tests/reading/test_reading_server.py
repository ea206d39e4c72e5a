"""`cxr review` in a process of its own: who is let in, what is answered, and how it ends."""

import http.cookiejar
import subprocess
import sys
import urllib.error
import urllib.request
import uuid

import pytest
import voila_browser
from reading_browser import study_to_read
from voila_browser import serving

from cxrlib.errors import InputError
from cxrlib.reading.server import serve_reading
from cxrlib.reading.welcome import fixed_reader

SCRIPTS = (
    "voila/static/voila.js", "voila/labextensions/anywidget/package.json", "voila/templates/reading/static/voila.js",
)  # fmt: skip
ADDRESSES = (
    "", "?reader=anna", "tree", "lab", "login", "logout", "api", "api/status", "api/kernels", "api/contents",
    "api/contents/results", "api/sessions", "api/terminals", "api/kernelspecs", f"api/kernels/{uuid.uuid4()}",
    f"alive/{uuid.uuid4()}", "files/studies/tiny.yaml", "view/reading.ipynb", "nbconvert/html/reading.ipynb",
    "terminals/1", "metrics", "voila", "voila/tree", "voila/render/reading.ipynb", "voila/files/reading.ipynb",
    "voila/api/contents", "voila/api/themes/a.css", *SCRIPTS, "results/tiny/review", "reading.ipynb",
)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    return study_to_read(write_study_in, tmp_path_factory.mktemp("reading"))


@pytest.fixture(scope="module")
def server(study):
    with serving(study.file, cwd=study.root.parent) as running:
        yield running


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def asked(address: str, method: str = "GET", headers: dict | None = None, jar=None) -> tuple[int, bytes]:
    """Status and body of a request, redirects not followed."""
    handlers = [NoRedirect, urllib.request.HTTPCookieProcessor(jar if jar is not None else http.cookiejar.CookieJar())]
    request = urllib.request.Request(address, method=method, headers=headers or {})
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture(scope="module")
def cookies(server):
    """Of somebody who has opened the whole address."""
    jar = http.cookiejar.CookieJar()
    assert asked(server.address, jar=jar)[0] == 302
    return jar


def test_it_listens_on_loopback_and_prints_one_address_with_its_token(server):
    assert server.root.startswith("http://127.0.0.1:")
    assert len(server.token) >= 32
    assert [line for line in server.said().splitlines() if "http" in line] == [server.address]


def test_before_the_first_answer_it_says_what_the_reading_can_show(server):
    heading, films, pairs, address = server.said().splitlines()
    assert address == server.address
    assert heading == "Before the first answer, what this reading can show:"
    assert films.strip().startswith("8 single films, 3 readers: an accuracy of ")
    assert pairs.strip().startswith("4 pairs, 3 readers: ")
    assert pairs.endswith("within ±10 points of it with a power of 0 %.")


@pytest.mark.parametrize("token", ["", "?token=", "?token=wrong"])
def test_an_outsider_gets_nothing(server, token):
    for address in ADDRESSES:
        joined = address if not token else address.partition("?")[0] + token
        status, body = asked(server.root + joined)
        assert status == 403, (joined, status)
        for word in (b"film", b"tiny", b"kernel", server.token.encode()):
            assert word not in body.replace(b"Reading of chest films", b""), (joined, word)


@pytest.mark.parametrize("header", [{"Authorization": "token wrong"}, {"Cookie": "username-127-0-0-1=anna"}])
def test_nor_with_a_made_up_header(server, header):
    for address in ("", "voila/static/voila.js", "api/kernels"):
        assert asked(server.root + address, headers=header)[0] == 403


def test_who_comes_in_gets_the_page_and_its_scripts_but_no_file_and_no_list(server, cookies):
    for address in ADDRESSES[2:]:
        status, _ = asked(server.root + address, jar=cookies)
        expected = (200,) if address in SCRIPTS else (404, 405, 410)
        assert status in expected, (address, status)


@pytest.mark.parametrize(
    "below", ["voila/static/", "voila/labextensions/", "voila/templates/reading/static/", "voila/api/themes/"]
)
def test_no_path_leads_out_of_the_folders_of_scripts(server, cookies, below):
    for path in ("../reading.ipynb", "..%2f..%2freading.ipynb", "%2e%2e/%2e%2e/voila/reading.ipynb", "/etc/passwd"):
        status, body = asked(server.root + below + path, jar=cookies)
        assert status in (400, 403, 404), (path, status)
        assert b"root:" not in body
        assert b"welcome" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_started_stored_or_removed(server, cookies, method):
    for address in ("", "api/kernels", f"api/kernels/{uuid.uuid4()}", "api/contents/a.txt", "voila/static/voila.js"):
        assert asked(server.root + address, method, jar=cookies)[0] in (403, 404, 405)


def test_an_unfinished_study_is_said_before_a_port_is_opened(tiny_study_file):
    command = [sys.executable, "-m", "cxrlib.cli", "review", str(tiny_study_file)]
    done = subprocess.run(command, capture_output=True, text=True, env=voila_browser.environment(), check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cxr: ")
    assert "make the synthetic films first" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("reader", "said"), [(" anna", "found ' anna'"), ("simulated1", "those of programs")])
def test_a_name_that_can_not_be_is_said(study, reader, said):
    with pytest.raises(InputError, match=said):
        serve_reading(study, reader, None, print)


def test_a_port_that_is_taken_is_said(server, study):
    port = server.root.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "cxrlib.cli", "review", str(study.file), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, env=voila_browser.environment(), check=False)
    assert done.returncode == 2
    assert f"--port: {port} can't be had" in done.stderr


def test_the_reader_is_the_hub_s_user_or_the_one_named_when_the_server_was_started():
    query = {"QUERY_STRING": "reader=bob", "HTTP_READER": "bob"}
    assert fixed_reader(query) == ""
    assert fixed_reader({**query, "CXR_READING_READER": "anna"}) == "anna"
    assert fixed_reader({**query, "CXR_READING_READER": "anna", "JUPYTERHUB_USER": "carla"}) == "carla"
