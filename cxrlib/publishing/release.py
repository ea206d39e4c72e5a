"""What leaves with a book, for the person who answers for it: a list, a sheet with every picture, and a record."""

import base64
import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from PIL import Image

from cxrlib.errors import InputError
from cxrlib.files import sha256_of, write_json, write_text
from cxrlib.films.settings import EVERY_ROLE
from cxrlib.publishing.limits import limits_lines
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY, Study

PICTURES = (".png", ".jpg", ".jpeg", ".svg")
SHOWN = (*EVERY_ROLE, "synthetic")
WIDEST = 900
SHEET = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
figure {{ margin: 0 0 3rem; border-top: 1px solid #999; padding-top: .5rem }} img {{ max-width: 100% }}
</style></head><body><h1>{title}</h1><p>{said}</p>
{figures}
</body></html>
"""
LONGEST_NAME = 200


@dataclass(frozen=True)
class Picture:
    """A picture of the book's own pages: file, page that shows it, and what the page says it is, caption and all."""

    file: Path
    page: str
    said: str

    @property
    def roles(self) -> str:
        """The kinds of films that the description names."""
        words = set(re.findall(r"\w+", self.said.lower()))
        return ", ".join(role for role in SHOWN if role in words) or "no role named"


class _Links(HTMLParser):
    """What a page refers to: (tag, address, description); a figure's caption belongs to its picture."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.tables = 0
        self._captioned = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tables += tag == "table"
        address = values.get("src") or (values.get("href") if tag in ("a", "link") else "")
        if address:
            self.found.append((tag, address, values.get("alt", "")))
        self._captioned |= tag == "figcaption"

    def handle_endtag(self, tag: str) -> None:
        self._captioned &= tag != "figcaption"

    def handle_data(self, data: str) -> None:
        place = next((n for n in reversed(range(len(self.found))) if self.found[n][0] == "img"), None)
        if self._captioned and place is not None:
            tag, address, said = self.found[place]
            self.found[place] = tag, address, " ".join(f"{said} {data.removesuffix('#')}".split())


def check_whole(html: Path) -> None:
    """Raise `InputError` for a book with an empty or cut page, or one that refers to a file which isn't there."""
    pages = _pages(html)
    if not (html / "index.html").is_file():
        raise InputError(f"{html}: no book, since there is no index.html; build it again")
    for page in pages:
        text = page.read_text(encoding="utf-8", errors="replace")
        cut = "<html" in text and "</html>" not in text
        if cut or "<" not in text:
            raise InputError(f"{page}: {'cut off' if cut else 'empty'}; build the book again")
        for _, address, _ in _links(page).found:
            target = _local(page, address)
            if target is not None and html in target.parents and not target.exists():
                raise InputError(f"{page}: refers to {address}, which is not there; build the book again")


def pictures_of(html: Path) -> list[Picture]:
    """The pictures that the pages show, each once, in the order of the pages."""
    found: dict[Path, Picture] = {}
    for page in _pages(html):
        for tag, address, said in _links(page).found:
            file = _local(page, address)
            if tag == "img" and file is not None and file.suffix in PICTURES and file.is_file():
                found.setdefault(file, Picture(file, str(page.relative_to(html)), said))
    return list(found.values())


def release_lines(study: Study, html: Path, pictures: list[Picture], sheet: Path) -> list[str]:
    """What leaves, and what the guard can't promise; for the screen."""
    pages = _pages(html)
    files = [path for path in html.rglob("*") if path.is_file()]
    tables = sum(_links(page).tables for page in pages)
    roles = Counter(picture.roles for picture in pictures)
    private = ", ".join(study.private_roles) or "none"
    lines = [
        f"{study.name}: {len(pages)} pages, {tables} tables, {len(pictures)} pictures and their sources leave, "
        f"{len(files)} files of {sum(path.stat().st_size for path in files):,} bytes; private roles: {private}",
        *(f"  {number} pictures: {kind}" for kind, number in roles.most_common()),
        f"Every picture is in {sheet}: look at it before you sign.",
    ]
    return [*lines, *(limits_lines() if study.private_roles else [])]


def write_sheet(study: Study, pictures: list[Picture], path: Path) -> None:
    """A page with every picture, its number, the page that shows it and what is said of it; it needs no other file."""
    figures = []
    for number, picture in enumerate(pictures, start=1):
        told = "<br>".join(map(escape, (f"{number} · {picture.page} · {picture.roles}", picture.said)))
        figures.append(f'<figure><figcaption>{told}</figcaption><img src="{_embedded(picture.file)}" alt=""></figure>')
    said = f"{len(pictures)} pictures leave with this book. Look at each: does it show a film that may not be shown?"
    write_text(
        path, SHEET.format(title=escape(f"What leaves with {study.name}"), said=said, figures="\n".join(figures))
    )


def _embedded(file: Path) -> str:
    """A picture as an address that holds it, at most `WIDEST` pixels wide."""
    if file.suffix == ".svg":
        return f"data:image/svg+xml;base64,{base64.b64encode(file.read_bytes()).decode()}"
    with Image.open(file) as image, io.BytesIO() as small:
        shown = image.convert("RGB")
        shown.thumbnail((WIDEST, image.height))
        shown.save(small, "JPEG", quality=85)
        return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def checked_name(responsible: str) -> str:
    """The name of whoever answers for a book; raises `InputError` for none."""
    name = " ".join(responsible.split())
    if not any(sign.isalpha() for sign in name) or len(name) > LONGEST_NAME or not name.isprintable():
        raise InputError(
            f"found {name[:40]!r}, expected the name of the person who answers for what is published: "
            "--responsible 'First Last'"
        )
    return name


def write_release(study: Study, html: Path, responsible: str, to: Path, pictures: list[Picture]) -> Path:
    """Write `results/<study>/releases/<time>.json`: who signed what, with a hash of every file; returns its path."""
    now = datetime.now(UTC)
    hashes = {str(path.relative_to(html)): sha256_of(path) for path in sorted(html.rglob("*")) if path.is_file()}
    record: dict[str, Any] = {
        "study": study.name,
        "responsible": responsible,
        "signed": now.isoformat(timespec="seconds"),
        "to": str(to),
        "private_roles": list(study.private_roles),
        "pictures": [{"file": str(p.file.relative_to(html)), "page": p.page, "films": p.roles} for p in pictures],
        "limits": limits_lines(),
        "commit": provenance(REPOSITORY)["commit"],
        "files_sha256": hashes,
        "book_sha256": hashlib.sha256(
            "".join(f"{name}\0{value}\n" for name, value in hashes.items()).encode()
        ).hexdigest(),
    }
    path = study.results.releases / f"{now:%Y%m%dT%H%M%S%f}.json"
    write_json(path, record)
    return path


def _pages(html: Path) -> list[Path]:
    """The book's pages; what lies under `_static` are the theme's templates."""
    return sorted(page for page in html.rglob("*.html") if "_static" not in page.relative_to(html).parts)


def _links(page: Path) -> _Links:
    reader = _Links()
    reader.feed(page.read_text(encoding="utf-8", errors="replace"))
    return reader


def _local(page: Path, address: str) -> Path | None:
    """The file that an address of a page means; None for one elsewhere or in the page itself."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return None
    return (page.parent / unquote(parts.path)).resolve()
