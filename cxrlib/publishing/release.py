"""What leaves with a book, for the person who answers for it: a list, a sheet with every picture, and a record."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from PIL import Image, ImageDraw

from cxrlib.artifacts import atomic_path, sha256_of, write_json
from cxrlib.errors import InputError
from cxrlib.films.settings import EVERY_ROLE
from cxrlib.publishing.limits import limits_lines
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY, Study

PICTURES = (".png", ".jpg", ".jpeg", ".svg")
SHOWN_EVERY_ROLE = (*EVERY_ROLE, "synthetic", "simulated", "real")
THUMBNAIL, COLUMNS, LINE, LETTERS = 220, 6, 14, 34
LONGEST_NAME = 200


@dataclass(frozen=True)
class Picture:
    """A picture of the book's own pages: file, page that shows it, and what the page says it is."""

    file: Path
    page: str
    said: str

    @property
    def roles(self) -> str:
        """The kinds of films that the description names, or `no films`."""
        words = set(re.findall(r"\w+", self.said.lower()))
        return ", ".join(role for role in SHOWN_EVERY_ROLE if role in words) or "no films named"


class _Links(HTMLParser):
    """What a page refers to: (tag, address, description)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.tables = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tables += tag == "table"
        address = values.get("src") or (values.get("href") if tag in ("a", "link") else "")
        if address:
            self.found.append((tag, address, values.get("alt", "")))


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


def write_sheet(pictures: list[Picture], path: Path) -> None:
    """A picture of all pictures, small, each with its page and number."""
    rows = max(1, -(-len(pictures) // COLUMNS))
    step = THUMBNAIL + 3 * LINE
    sheet = Image.new("RGB", (COLUMNS * THUMBNAIL, rows * step), "white")
    drawing = ImageDraw.Draw(sheet)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, COLUMNS)
        left, top = column * THUMBNAIL, row * step
        if picture.file.suffix != ".svg":
            with Image.open(picture.file) as image:
                small = image.convert("RGB")
            small.thumbnail((THUMBNAIL - 8, THUMBNAIL - 8))
            sheet.paste(small, (left + 4, top + 4))
        drawing.text((left + 4, top + THUMBNAIL), f"{number + 1}  {picture.page}"[:LETTERS], fill="black")
        drawing.text(
            (left + 4, top + THUMBNAIL + LINE), picture.roles.encode("ascii", "replace")[:LETTERS], fill="black"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        sheet.save(temporary, "PNG")


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
