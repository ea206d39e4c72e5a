"""The look at doubtful films in a browser: one after the other, used or left out by a key; every decision is kept.

The page is served on this machine only, at an address that holds a secret, and loads nothing from elsewhere.
"""

import hmac
import importlib.resources
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from cxrlib.intake.judgement import NOT_SAID_VIEW
from cxrlib.intake.outcome import EACH_LEFT_OUT
from cxrlib.intake.sheets import private_pictures
from cxrlib.intake.work import Work, notes_of

LOOPBACK = "127.0.0.1"
SECONDS_BETWEEN_LOOKS, SECONDS_PER_REQUEST = 0.2, 2
MOST_BYTES = 1000
PAGE = "look_over.html"


@dataclass(frozen=True)
class Doubtful:
    """A film to look at: why, where its picture lies, and whether it is used as things stand."""

    image_id: str
    why: str
    picture: Path
    used: bool


def doubtful_films(work: Work) -> list[Doubtful]:
    """Films that are used and noted, those that the header can't tell, and a sample of those that it leaves out."""
    noted = [
        Doubtful(row["image_id"], notes_of(row), work.picture(row["image_id"]), True)
        for row in work.journal.used()
        if notes_of(row) not in ("", NOT_SAID_VIEW)
    ]
    others = [*work.journal.unclear(), *work.journal.left_out(EACH_LEFT_OUT)]
    known = {film.image_id for film in noted}
    private = [Doubtful(*found, False) for found in private_pictures(work, others) if found[0] not in known]
    # What a person decided before was doubtful once, and may be decided anew.
    decided = [
        Doubtful(row["image_id"], "used by your decision", work.picture(row["image_id"]), True)
        for row in work.journal.used()
        if row["image_id"] in work.journal.decided() and row["image_id"] not in known
    ]
    return [*noted, *private, *decided]


def look_over(work: Work, say: Callable[[str], None]) -> None:
    """Serve the page until a person is done, or presses Ctrl-C; decisions are in the journal as soon as they are made.

    `say` is given the address.
    """
    films = doubtful_films(work)
    if not films:
        say("No film is in doubt: there is nothing to look at")
        return
    with _Desk(films, work) as desk:
        say(f"{len(films):,} films to look at: open http://{LOOPBACK}:{desk.server_port}/{desk.token}/")
        try:
            while not desk.done:
                desk.handle_request()
        except KeyboardInterrupt:
            say("Stopped; what was decided is kept")


class _Desk(HTTPServer):
    """One request at a time: the journal belongs to this thread."""

    def __init__(self, films: list[Doubtful], work: Work) -> None:
        super().__init__((LOOPBACK, 0), _Request)
        self.timeout = SECONDS_BETWEEN_LOOKS
        self.films, self.journal, self.token, self.done = films, work.journal, secrets.token_urlsafe(24), False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle is no matter."""


class _Request(BaseHTTPRequestHandler):
    server: _Desk
    timeout = SECONDS_PER_REQUEST

    def log_message(self, *_: Any) -> None:
        """Nothing of what is looked at is written anywhere."""

    def do_GET(self) -> None:
        """The page, what it lists, or a film."""
        what = self._asked()
        if what == "":
            nonce = secrets.token_urlsafe(16)
            page = (importlib.resources.files("cxrlib.intake") / PAGE).read_text(encoding="utf-8")
            self._answer(page.replace("NONCE", nonce).encode(), "text/html; charset=utf-8", nonce)
        elif what == "films":
            decided = self.server.journal.decided()
            films = [
                {"name": film.image_id, "why": film.why, "used": film.used, "decided": decided.get(film.image_id)}
                for film in self.server.films
            ]
            self._answer(json.dumps(films).encode(), "application/json")
        elif what is not None and what.isdecimal() and int(what) < len(self.server.films):
            self._answer(self.server.films[int(what)].picture.read_bytes(), "image/png")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        """A decision, {film, used: true, false or null}; or that the person is done."""
        what, length = self._asked(), self.headers.get("Content-Length", "")
        if what not in ("decide", "done") or not length.isdecimal() or int(length) > MOST_BYTES:
            self.send_error(404)
            return
        if what == "done":
            self.server.done = True
        else:
            try:
                said = json.loads(self.rfile.read(int(length)))
                number, used = said["film"], said["used"]
                film = self.server.films[number] if type(number) is int and number >= 0 else None
            except (ValueError, KeyError, TypeError, IndexError):
                film = None
            if film is None or used not in (True, False, None):
                self.send_error(400)
                return
            self.server.journal.decide({film.image_id: used})
        self._answer(b"{}", "application/json")

    def _asked(self) -> str | None:
        """The address behind the secret; None without it, or by another name of this machine than was given out."""
        port = self.server.server_port
        _, _, rest = self.path.partition("/")
        token, _, what = rest.partition("/")
        own_name = self.headers.get("Host") in (f"{LOOPBACK}:{port}", f"localhost:{port}")
        return what if own_name and hmac.compare_digest(token.encode(), self.server.token.encode()) else None

    def _answer(self, content: bytes, kind: str, nonce: str = "") -> None:
        self.send_response(200)
        own = f"'nonce-{nonce}'" if nonce else "'none'"
        policy = f"default-src 'none'; img-src 'self' data:; connect-src 'self'; script-src {own}; style-src {own}"
        for name, value in {
            "Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": policy,
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
