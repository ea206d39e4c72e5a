"""`cxr review` in a process of its own: who is let in, what is answered, and how it ends."""

import contextlib
import http.client
import http.cookiejar
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
import uuid

import pytest
import served_reading
from reading_browser import free_port, study_to_read
from served_reading import serving

from cxrlib.errors import InputError
from cxrlib.reading.server import serve_reading
from cxrlib.reading.welcome import Desk, Guest

ADDRESSES = (
    "", "?reader=anna", "talk", "tree", "lab", "login", "logout", "api", "api/status", "api/kernels", "api/contents",
    "api/contents/results", "api/sessions", "api/terminals", "api/kernelspecs", f"api/kernels/{uuid.uuid4()}/channels",
    "files/studies/tiny.yaml", "view/reading.ipynb", "nbconvert/html/a.ipynb", "terminals/1", "metrics", "static/",
    "static/../page.html", "page.html", "error.html", "viewer.js", "results/tiny/review", "door.json", "protocol.yaml",
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


@pytest.mark.parametrize("header", [{"Authorization": "token wrong"}, {"Cookie": "cxr-reading-8866=anna"}])
def test_nor_with_a_made_up_header(server, header):
    for address in ("", "talk", "api/kernels"):
        assert asked(server.root + address, headers=header)[0] == 403


def test_who_comes_in_gets_one_page_and_no_file_and_no_list(server, cookies):
    for address in ADDRESSES[2:]:
        status, body = asked(server.root + address, jar=cookies)
        assert status in ((400,) if address == "talk" else (404,)), (address, status)
        assert b"film0" not in body
    status, body = asked(server.root, jar=cookies)
    assert status == 200
    assert server.token.encode() not in body
    assert b"tiny" not in body, "nor is the study named, since its title may tell what is expected"


@pytest.mark.parametrize("path", ["../protocol.yaml", "..%2f..%2fpage.py", "%2e%2e/%2e%2e/door.json", "//etc/passwd"])
def test_no_path_leads_to_a_file(server, cookies, path):
    status, body = asked(server.root + path, jar=cookies)
    assert status in (400, 404), (path, status)
    assert b"root:" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_started_stored_or_removed(server, cookies, method):
    for address in ("", "talk", "api/kernels", f"api/kernels/{uuid.uuid4()}", "api/contents/a.txt"):
        assert asked(server.root + address, method, jar=cookies)[0] in (403, 404, 405)


def test_the_page_may_load_nothing_and_be_framed_by_nobody(server, cookies):
    request = urllib.request.Request(server.root)
    with urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies)).open(request) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
    assert policy.startswith("default-src 'none'; script-src 'nonce-")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.findall(r"""(?:src|href)=["']https?:""", text)


def talk_to(server, cookies, origin: str) -> int:
    """Status of the attempt to open the web socket from a page of another origin."""
    host = server.root.removeprefix("http://").rstrip("/")
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Origin": origin,
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
               "Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)}  # fmt: skip
    connection = http.client.HTTPConnection(host, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/talk", headers=headers)
        return connection.getresponse().status


def test_no_other_page_may_talk_in_a_reader_s_name(server, cookies):
    assert talk_to(server, cookies, "http://127.0.0.1:1") == 403
    assert talk_to(server, cookies, "https://elsewhere.test") == 403
    assert talk_to(server, cookies, server.root.rstrip("/")) == 101
    assert talk_to(server, http.cookiejar.CookieJar(), server.root.rstrip("/")) == 403


def test_address_and_token_last_until_they_are_renewed(study, server):
    """The server of this module has taken the usual port; what it printed is what the next one would print."""
    reading = study.results.reading(study.review.protocol)
    kept = json.loads(reading.door.read_text())
    assert kept["token"] == server.token
    assert reading.door.stat().st_mode & 0o077 == 0
    with serving(study.file, cwd=study.root.parent) as second:
        assert second.token == server.token
    free = free_port()
    with serving(study.file, "--port", str(free), cwd=study.root.parent) as named:
        address = named.address
    with serving(study.file, cwd=study.root.parent) as again:
        assert again.address == address
    with serving(study.file, "--renew", cwd=study.root.parent) as renewed:
        assert renewed.token != server.token


def test_an_unfinished_study_is_said_before_a_port_is_opened(tiny_study_file):
    command = [sys.executable, "-m", "cxrlib.cli", "review", str(tiny_study_file)]
    done = subprocess.run(command, capture_output=True, text=True, env=served_reading.environment(), check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cxr: ")
    assert "make the synthetic films first" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("reader", "said"), [(" anna", "found ' anna'"), ("simulated1", "those of programs")])
def test_a_name_that_can_not_be_is_said(study, reader, said):
    with pytest.raises(InputError, match=said):
        serve_reading(Desk.of_study(study), reader, None, print)


def test_a_port_that_is_taken_is_said(server, study):
    port = server.root.rstrip("/").rpartition(":")[2]
    command = [sys.executable, "-m", "cxrlib.cli", "review", str(study.file), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, env=served_reading.environment(), check=False)
    assert done.returncode == 2
    assert f"--port: {port} can't be had" in done.stderr


def test_whose_reading_it_is_can_not_be_changed_from_the_browser(study):
    """Under a hub, or with `--reader`, the reader is fixed: a browser may send what it likes."""
    sent = []
    guest = Guest(Desk.of_study(study), lambda content, buffers: sent.append(content), fixed="anna")
    guest.receive({"kind": "name", "name": "bob", "sure": True})
    assert guest.reader == "anna"
    assert [content["kind"] for content in sent] == ["welcome", "reader"]


def test_twelve_readers_need_little_memory_and_do_not_wait_for_each_other(study):
    """Not a benchmark: what one reader adds is counted in objects of one process, not in processes."""
    desk, sent = Desk.of_study(study), []
    guests = [Guest(desk, lambda *given: sent.append(given), fixed=f"reader{number}") for number in range(12)]
    assert len({guest.reader for guest in guests}) == 12
    assert len({id(guest._conversation._films) for guest in guests}) == 1


def test_what_is_no_message_is_passed_over(study):
    guest = Guest(Desk.of_study(study), lambda *_: None)
    for content in ({}, {"kind": "answer"}, {"kind": "name"}, {"kind": "name", "name": ["a"]}, {"kind": ["name"]}):
        guest.receive(content)
    assert guest.reader == ""
