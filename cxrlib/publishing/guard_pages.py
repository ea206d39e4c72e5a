"""What holds for every book, whether films are private or not: nothing of this machine, nothing from other hosts, no
widget state, and every picture there."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

TEXT_FILES = {".html", ".js", ".css", ".json", ".txt", ".ipynb", ".md", ".svg", ".xml"}
NOT_SHOWN = {"remove-cell", "remove-output", "remove_cell", "remove_output"}
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")


def notebook_problems(html: Path) -> Iterator[str]:
    """Widget state, and pictures that a chapter made but its page does not show."""
    for notebook in sorted((html / "_sources").rglob("*.ipynb")):
        if "widgets" in json.loads(notebook.read_text(encoding="utf-8"))["metadata"]:
            yield f"{notebook.name}: holds widget state, and with it the images shown"
        made = sum(1 for cell in code_cells(notebook) for _ in pictures_shown(cell))
        page = html / notebook.relative_to(html / "_sources").with_suffix(".html")
        shown = len(_resources(page, {"img": "src"})) if page.exists() else 0
        if shown < made:
            yield f"{notebook.name}: its cells made {made} pictures, the page shows {shown}"


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook file."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def pictures_shown(cell: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Kind and data of each picture that a cell shows; glued pictures are shown elsewhere, or not at all."""
    if NOT_SHOWN & set(cell["metadata"].get("tags", [])):
        return
    for output in cell["outputs"]:
        if output["output_type"] not in ("display_data", "execute_result") or "scrapbook" in output["metadata"]:
            continue
        yield from ((kind, output["data"][kind]) for kind in PICTURES if kind in output["data"])


def folder_names(html: Path, folders: tuple[Path, ...]) -> Iterator[str]:
    """Names of folders of this machine in texts."""
    named = {str(folder) for folder in folders if len(folder.parts) > 1}
    pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])[^\s\"'<>]*" for folder in sorted(named)))
    for path in sorted(html.rglob("*")):
        if path.suffix in TEXT_FILES and path.is_file():
            found = pattern.search(path.read_text(encoding="utf-8", errors="replace")) if named else None
            if found:
                yield f"{path.relative_to(html)}: names a folder of this machine: {found[0][:120]}"


def foreign_loads(html: Path) -> Iterator[str]:
    """What pages and style sheets fetch from elsewhere."""
    loaded = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
    for page in sorted(html.rglob("*.html")):
        for address in _resources(page, loaded):
            if re.match(r"(https?:)?//", address):
                yield f"{page.relative_to(html)}: loads {address} from another host"
    for sheet in sorted(html.rglob("*.css")):
        for address in re.findall(r"(?:@import\s+|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)", sheet.read_text("utf-8")):
            yield f"{sheet.relative_to(html)}: loads {address} from another host"


def _resources(page: Path, attributes: dict[str, str]) -> list[str]:
    """Addresses of what a page loads by itself, in order."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = dict(attrs)
            if values.get("rel") in ("canonical", "author", "license", "next", "prev", "search", "index"):
                return
            address = values.get(attributes.get(tag, ""))
            if address:
                found.append(address)

    Reader().feed(page.read_text(encoding="utf-8"))
    return found
