"""The reading as a page of its own: one process for all readers, which answers two addresses and nothing else.

The page carries its program and its look inside itself; everything after goes through one web socket. At both somebody
asks who comes. There is no file to fetch, no list, no code to run: a browser can send the messages of a reading only.
"""

import asyncio
import errno
import hmac
import json
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from cxrlib.artifacts import Reading
from cxrlib.errors import InputError
from cxrlib.files import read_json, write_text
from cxrlib.reading.events import person
from cxrlib.reading.session import MOST_EVENT_BYTES
from cxrlib.reading.viewer import one_module, style
from cxrlib.reading.welcome import Desk, Guest

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
USUAL_PORT = 8866
COOKIE_DAYS = 90
# A lost connection is noticed, and its memory freed, after this long.
PING_SECONDS = 30
HERE = Path(__file__).parent
NO_ENTRY = "The page opens with its whole address, as `cxr review` printed it, token included."
HEADINGS = {403: "No entry", 404: "Nothing here", 405: "Nothing here"}
HEADERS = {
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'",
}  # fmt: skip


def serve_reading(
    desk: Desk, reader: str, port: int | None, say: Callable[[str], None], *, renew: bool = False
) -> None:
    """Serve a reading until Ctrl-C; `say` is given one line with the address as soon as it can be opened.

    Under JupyterHub (its variables are in the environment) the hub's user comes in, and the hub names the port; else
    whoever has the address with its token, on this machine only. Address and token of a reading stay the same until
    `renew`. `port` None means that of last time, at first 8866, or any free one if that is taken.

    Raises `InputError` for a reader's name that can't be one, and for a port that is taken.
    """
    reader = person(reader) if reader else ""
    for name in ("tornado.general", "tornado.application"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if "JUPYTERHUB_API_TOKEN" in os.environ:
        from cxrlib.reading.hub import hub_door

        address = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
        sockets = bind_sockets(address.port, address.hostname)
        door, token, base = hub_door(), "", os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    else:
        sockets, token = _own_address(desk.reading, port, renew=renew)
        door, base = TokenDoor, "/"
    port = sockets[0].getsockname()[1]
    settings = {"desk": desk, "reader": reader, "base": base, "token": token, "port": port}
    application = reading_application(door, settings)
    said = f"http://{sockets[0].getsockname()[0]}:{port}{base}" + (f"?token={token}" if token else "")
    try:
        asyncio.run(_serve(application, sockets, lambda: say(said)))
    except KeyboardInterrupt:
        logger.info("stopped")


async def _serve(application: Application, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
    HTTPServer(application, xheaders=not application.settings["token"], max_body_size=MOST_EVENT_BYTES).add_sockets(
        sockets
    )
    ready()
    await asyncio.Event().wait()


def _own_address(reading: Reading, port: int | None, *, renew: bool) -> tuple[list[socket.socket], str]:
    """Sockets and token: those of last time, kept in a private file of the reading."""
    kept = {} if renew or not reading.door.exists() else read_json(reading.door)
    token = kept.get("token") or secrets.token_urlsafe(24)
    sockets = _bound(port, kept.get("port", USUAL_PORT))
    if token != kept.get("token") or port is not None:
        facts = {"token": token, "port": sockets[0].getsockname()[1]}
        write_text(reading.door, json.dumps(facts) + "\n", private=True)
    return sockets, token


def _bound(wanted: int | None, usual: int) -> list[socket.socket]:
    for port in (usual, 0) if wanted is None else (wanted,):
        try:
            return bind_sockets(port, LOOPBACK)
        except OSError as error:
            if port and wanted is None and error.errno == errno.EADDRINUSE:
                continue
            raise InputError(
                f"--port: {port} can't be had: {error.strerror}; leave --port out, or name another"
            ) from None
    raise AssertionError("port 0 is always free")


def reading_application(door: type, settings: dict[str, Any]) -> Application:
    """Every address that is answered. `door` is what handlers inherit to know who comes."""
    base = settings["base"]
    routes = [
        (base, type("Page", (door, Page), {})),
        (f"{base}talk", type("Talk", (door, Talk), {})),
        *getattr(door, "routes", list)(),
        (r"/.*", type("Nothing", (door, Nothing), {})),
    ]
    return Application(
        routes, log_function=_log_failures, cookie_secret=secrets.token_bytes(32), websocket_ping_interval=PING_SECONDS,
        websocket_max_message_size=MOST_EVENT_BYTES, **settings,
    )  # fmt: skip


class TokenDoor(RequestHandler):
    """Lets in who has the token: at first in the address, then as a cookie. There is no form to try others in."""

    logout = ""

    def get_current_user(self) -> str | None:
        """The reader who was named when the server was started, or `guest`; None for an outsider."""
        given = self.get_query_argument("token", "") or self.get_cookie(self.cookie, "")
        token = self.settings["token"]
        return (self.settings["reader"] or "guest") if hmac.compare_digest(given.encode(), token.encode()) else None

    @property
    def cookie(self) -> str:
        """Other ports of this machine share the browser's cookies."""
        return f"cxr-reading-{self.settings['port']}"

    @property
    def fixed_reader(self) -> str:
        return self.settings["reader"]

    def welcome_in(self) -> None:
        """The token becomes a cookie: it is better not left in the browser's history."""
        token = self.settings["token"]
        self.set_cookie(self.cookie, token, expires_days=COOKIE_DAYS, httponly=True, samesite="Strict")


def _page(name: str, parts: Mapping[str, str]) -> str:
    page = (HERE / name).read_text(encoding="utf-8")
    for part, text in parts.items():
        page = page.replace(f"{{{{{part}}}}}", text)
    return page


class Guarded(RequestHandler):
    """Answers nobody whom the door does not know; errors are said in plain words and tell nothing else."""

    def set_default_headers(self) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        if not self.current_user:
            self.refuse(403, NO_ENTRY)

    def refuse(self, status: int, text: str) -> None:
        self.set_status(status)
        nonce = secrets.token_urlsafe(16)
        policy = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'"
        self.set_header("Content-Security-Policy", policy)
        said = {"nonce": nonce, "heading": HEADINGS.get(status, "That did not work"), "text": escape(text)}
        self.finish(_page("error.html", said))

    def write_error(self, status_code: int, **_: Any) -> None:
        self.refuse(status_code, f"{status_code}: {self._reason}.")

    def check_xsrf_cookie(self) -> None:
        """Nothing here takes a form."""


class Nothing(Guarded):
    """Every address that is not named."""

    def prepare(self) -> None:
        super().prepare()
        if not self._finished:
            self.refuse(404, "There is only one page here, the reading.")


class Page(Guarded):
    """The page. What else stands in the address, the token apart, changes nothing."""

    def get(self) -> None:
        if self.request.query:
            self.welcome_in()
            self.redirect(self.settings["base"])
            return
        nonce = secrets.token_urlsafe(16)
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
            f"connect-src 'self' ws://{self.request.host} wss://{self.request.host}; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'",
        )
        self.finish(_page("page.html", {"nonce": nonce, "style": style(), "module": one_module("page.js")}))


class Talk(Guarded, WebSocketHandler):
    """The messages of one open page. A message is text; films follow one that has some, as one piece."""

    guest: Guest | None = None

    def open(self) -> None:
        self.set_nodelay(True)
        self.guest = Guest(self.settings["desk"], self.send, self.fixed_reader, self.logout)

    def on_message(self, message: str | bytes) -> None:
        try:
            content = json.loads(message)
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and self.guest is not None:
            self.guest.receive(content)

    def send(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        try:
            self.write_message(json.dumps({**content, "bytes": [len(buffer) for buffer in buffers]}))
            if buffers:
                self.write_message(b"".join(buffers), binary=True)
        except WebSocketClosedError:
            logger.info("a page was closed while it was being answered")


def _log_failures(handler: RequestHandler) -> None:
    if handler.get_status() >= 500:
        logger.error("%s %s: %d", handler.request.method, handler.request.path, handler.get_status())
