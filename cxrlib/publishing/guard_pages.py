"""What holds for every book, whether films are private or not: nothing of this machine, nothing from other hosts, no
widget state, and every picture there.

Which tags and attributes fetch something is a long list that browsers add to, so the rule is turned round: an address
of another host may stand where a reader clicks on it or reads it, and nowhere else.
"""

import json
import re
from collections.abc import Collection, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from cxrlib.errors import InputError
from cxrlib.publishing.guard_contents import is_of_theme

TEXT_FILES = {".html", ".js", ".css", ".json", ".txt", ".ipynb", ".md", ".svg", ".xml"}
LOADING = {".html", ".svg", ".css", ".js", ".xml"}
NOT_SHOWN = {"remove-cell", "remove-output", "remove_cell", "remove_output"}
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
# An address of another host as browsers read it: `https:e.org` is one too, and `\\\\e.org`.
SCHEME = r"\b(?:https?|wss?|ftp|stuns?|turns?):(?=[\s/\\]*[\w\[])"
FOREIGN = re.compile(rf"(?:{SCHEME}|(?:^|(?<=[\s,;(\"'=]))//+(?=[^\s/]))[^\s\"'<>),;]*", re.I)
# In programs two strokes begin a comment, unless a host follows.
FOREIGN_IN_PROGRAM = re.compile(rf"(?:{SCHEME}|(?<![:\w/])//(?=[\w.@:-]+[./]|\[))[^\s\"'<>),;`]*", re.I)
NAMESPACE = re.compile(r"https?://www\.w3\.org/(?:2000/svg|1999/xlink|1999/xhtml|1998/Math/MathML|XML/1998/namespace)")
# A scheme alone, or signs by their numbers, from which an address could be put together.
IN_PARTS = re.compile(
    r"[\"'`](?:(?:https?|wss?):/*|:?//)[\"'`]|\bfromCharCode\b|\bfromCodePoint\b|\beval\s*\(|\bnew Function\b"
)
HTTP_IN_BASE64 = re.compile(r"\baHR0c[\w+/]*")
PROGRAM = re.compile(r"^\s*(?:javascript:(?!\s*(?:void\(0\))?;?\s*$)|data:text/|data:application/)", re.I)
# What a reader clicks on or reads, by tag ("" for all tags), and what only names something.
HARMLESS = {"": {"alt", "title", "cite", "content", "aria-label", "rdf:resource", "rdf:about"}, "a": {"href"}}
# The one program of another host that a study file can ask for.
COMMENTS = "https://giscus.app/client.js"
NO_LOADS = {"canonical", "author", "license"}


def notebook_problems(html: Path) -> Iterator[str]:
    """Widget state, and pictures that a chapter made but its page does not show."""
    for notebook in sorted((html / "_sources").rglob("*.ipynb")):
        if "widgets" in _notebook(notebook)["metadata"]:
            yield f"{notebook.name}: holds widget state, and with it the images shown"
        made = sum(1 for cell in code_cells(notebook) for _ in pictures_shown(cell))
        page = html / notebook.relative_to(html / "_sources").with_suffix(".html")
        shown = sum(tag == "img" and name == "src" for tag, name, _ in _read(page).values) if page.exists() else 0
        if shown < made:
            yield f"{notebook.name}: its cells made {made} pictures, the page shows {shown}"


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook file; raises `InputError` for a damaged one."""
    return [cell for cell in _notebook(notebook)["cells"] if cell["cell_type"] == "code"]


def _notebook(file: Path) -> dict[str, Any]:
    try:
        notebook = json.loads(file.read_bytes())
        whole = isinstance(notebook["metadata"], dict) and all(map(_is_whole_cell, notebook["cells"]))
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise InputError(f"{file}: damaged, no notebook; run the chapter and build the book again")
    return notebook


def _is_whole_cell(cell: dict[str, Any]) -> bool:
    """Whether a cell has the parts that are read here; raises for some that are no cell at all."""
    tags, outputs = cell["metadata"].get("tags", []), cell["outputs"] if cell["cell_type"] == "code" else []
    kinds = [{*output.get("data", {}), *output.get("metadata", {})} for output in outputs if output["output_type"]]
    return isinstance(tags, list) and isinstance(outputs, list) and len(kinds) == len(outputs)


def pictures_shown(cell: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Kind and data of each picture that a cell shows; glued pictures are shown elsewhere, or not at all."""
    if NOT_SHOWN & set(cell["metadata"].get("tags", [])):
        return
    for output in cell["outputs"]:
        if output["output_type"] not in ("display_data", "execute_result") or "scrapbook" in output.get("metadata", {}):
            continue
        yield from ((kind, output["data"][kind]) for kind in PICTURES if kind in output.get("data", {}))


def folder_names(html: Path, folders: tuple[Path, ...]) -> Iterator[str]:
    """Names of folders of this machine in texts."""
    named = {str(folder) for folder in folders if len(folder.parts) > 1}
    pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])[^\s\"'<>]*" for folder in sorted(named)))
    for path in sorted(html.rglob("*")):
        if path.suffix in TEXT_FILES and path.is_file():
            found = pattern.search(path.read_text(encoding="utf-8", errors="replace")) if named else None
            if found:
                yield f"{path.relative_to(html)}: names a folder of this machine: {found[0][:120]}"


def foreign_loads(html: Path, asked: Collection[str] = ()) -> Iterator[str]:
    """What pages, drawings, style sheets and programs fetch from elsewhere, but for what the study file has
    `asked` for; the theme's own files fetch nothing."""
    for file in sorted(path for path in html.rglob("*") if path.suffix in LOADING and path.is_file()):
        data = file.read_bytes()
        text = data.decode("utf-8", "replace")
        programs = file.suffix in (".css", ".js")
        if programs and is_of_theme(data):
            continue
        found = dict.fromkeys(_in_program(text) if programs else _in_page(text))
        for address in (address for address in found if address not in asked):
            yield f"{file.relative_to(html)}: loads {address} from another host"


def _in_page(text: str) -> Iterator[str]:
    read = _Page()
    read.feed(text)
    read.close()
    for tag, name, value in read.values:
        harmless = name in HARMLESS[""] | HARMLESS.get(tag, set()) or name.startswith("xmlns")
        # A page that sends its reader on says so in the content of a `meta`; so do policies that report elsewhere.
        if (tag, name) == ("meta", "content"):
            harmless = not re.search(r"url\s*=|report-", value, re.I)
        if PROGRAM.match(value):
            yield value[:40]
        elif name == "style" or name.startswith("on"):
            yield from _in_program(unquote(value))
        elif not harmless:
            yield from FOREIGN.findall(re.sub(r"[\t\r\n]", "", value).replace("\\", "/"))
    yield from _in_program(" ".join(read.programs))
    yield from re.findall(r"<!ENTITY[^>]*>", text)
    # Browsers end a comment where Python's parser does not.
    for comment in read.comments:
        yield from _in_page(comment)


def _in_program(text: str) -> list[str]:
    """Addresses in a script or a style sheet, whose parts may be escaped or put together."""
    plain = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    plain = re.sub(r"\\(?:u\{?|x)?0{0,4}([0-9a-fA-F]{2})\}?\s?", lambda code: chr(int(code[1], 16)), plain)
    plain = re.sub(r"[\"'`]\s*\+\s*[\"'`]", "", plain).replace("\\/", "/")
    return [
        *FOREIGN_IN_PROGRAM.findall(NAMESPACE.sub("", plain)),
        *IN_PARTS.findall(plain),
        *HTTP_IN_BASE64.findall(plain),
    ]


class _Page(HTMLParser):
    """Attributes (tag, name, value) in order, and what stands in `<script>` and `<style>`."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[tuple[str, str, str]] = []
        self.programs: list[str] = []
        self.comments: list[str] = []
        self._tag = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if dict(attrs).get("rel") not in NO_LOADS:
            self.values += [(tag, name, value) for name, value in attrs if value]

    def handle_comment(self, data: str) -> None:
        self.comments += [data] if "<" in data else []

    def unknown_decl(self, data: str) -> None:
        self.handle_comment(data)

    def handle_pi(self, data: str) -> None:
        self.values.append(("?", "href", data))

    def handle_endtag(self, tag: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag in ("script", "style"):
            self.programs.append(data)


def _read(page: Path) -> _Page:
    reader = _Page()
    reader.feed(page.read_text(encoding="utf-8", errors="replace"))
    return reader
