"""Tables of chapters as exhibits: a number, a caption, headers that a screen reader follows, and a CSV file.

A cell whose metadata say `table` shows a DataFrame. The file holds what the table shows and nothing else, so that it
gives away no more than the page does.
"""

import re
from html import escape
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pandas as pd
from bs4 import BeautifulSoup
from bs4.element import Tag
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.osutil import relative_uri

from cxrlib.files import write_table

FOLDER = "csv"
# What keeps a narrow table from breaking a number means nothing in a file.
PLAIN = str.maketrans({"\u00a0": " ", "\u2060": None})
# A number stays in one line up to this length; a column of words starts at the left.
SHORT = 20
# On paper a table of no more rows than this is never broken.
WHOLE = 16
FIGURE = re.compile(r"[+−<]?\s?\d[\d,]*(\.\d+)?( %)?( \(.+\))?|\d[\d,.]* to \d[\d,.]*")
UNIT = re.compile(r"(?<=\d) (?=%)")


class TableExhibit(nodes.General, nodes.Element):
    """A table from a cell: its caption, its HTML and where its numbers come from."""


class CellsToExhibits(SphinxTransform):
    """Put an exhibit in the place of every table that a cell with a caption shows."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        for cell in list(self.document.findall(nodes.container)):
            said = cell.get("cell_metadata", {}).get("table") if cell.get("nb_element") == "cell_code" else None
            for bundle in list(cell.findall(_is_bundle)) if said else []:
                self._replace(bundle, said)

    def _replace(self, bundle: nodes.Element, said: dict[str, Any]) -> None:
        shown = [raw.astext() for raw in bundle.findall(nodes.raw) if "<table" in raw.astext()]
        if not shown:
            return
        exhibit = TableExhibit("", **said, html=shown[0])
        exhibit["names"] = [nodes.fully_normalize_name(said["name"])]
        self.document.note_explicit_target(exhibit, exhibit)
        bundle.replace_self(exhibit)


class UnitsWithNumbers(SphinxTransform):
    """Keep a number and its per cent in one line, wherever a page says one."""

    default_priority = 900

    def apply(self, **_: Any) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if not isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.raw | nodes.math):
                told = UNIT.sub("\u00a0", text)
                if told != text:
                    text.parent.replace(text, nodes.Text(told))


class CaptionsOfPages(SphinxTransform):
    """Give a table that a page has in Markdown the name of its section as a caption, and every header words."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        for table in self.document.findall(nodes.table):
            _numbers_to_the_right(table)
            for head in table.findall(nodes.thead):
                for cell in [cell for cell in head.findall(nodes.entry) if not cell.astext().strip()]:
                    cell[:] = [nodes.paragraph("", "", nodes.inline("row", "row", classes=["unseen"]))]
            section = _section_of(table)
            if section is None or isinstance(table[0], nodes.title):
                continue
            heading = section.next_node(nodes.title).astext()
            text = f"The columns of {heading}." if self.env.docname == "tables" else f"{heading.rstrip('?.')}."
            table.insert(0, nodes.title(text, text))
            if not table["ids"]:
                self.document.set_id(table)


def _numbers_to_the_right(table: nodes.table) -> None:
    """Align the columns of numbers, but the first, at the right, as the tables of chapters are."""
    rows = [list(row.findall(nodes.entry)) for row in table.findall(nodes.row)]
    heads = sum(len(list(head.findall(nodes.row))) for head in table.findall(nodes.thead))
    for column in range(1, min(map(len, rows), default=0)):
        told = [text for row in rows[heads:] if (text := row[column].astext().strip()) not in ("", "–")]
        if told and sum(bool(FIGURE.fullmatch(text)) for text in told) > len(told) / 2:
            for row in rows:
                row[column]["classes"].append("text-right")


def _section_of(node: nodes.Node) -> nodes.section | None:
    while node is not None and not isinstance(node, nodes.section):
        node = node.parent
    return node


def letter_pages(app: Sphinx, env: BuildEnvironment) -> None:
    """Tables and figures of pages around the numbered chapters are A.1, B.1 and so on, page by page."""
    around = [page for page in env.toctree_includes.get(app.config.root_doc, []) if not env.toc_secnumbers.get(page)]
    for letter, page in zip(ascii_uppercase, around, strict=False):
        for numbers in env.toc_fignumbers.get(page, {}).values():
            for place, name in enumerate(sorted(numbers, key=numbers.get), start=1):
                numbers[name] = (letter, place)


def _is_bundle(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


def plain_table(html: str) -> Tag:
    """The table with one line of headers that name something, and a scope for each."""
    table = BeautifulSoup(html, "html.parser").table
    table.attrs = {"class": ["dataframe"]}
    lines = table.thead.find_all("tr")
    names = [cell.get_text(strip=True) for cell in lines[-1].find_all("th")]
    body = table.tbody.find("tr")
    named = len(body.find_all("th")) if body else len([name for name in names if name])
    if len(lines) > 1 and any(names[:named]) and not any(names[named:]):
        for cell, name in zip(lines[-2].find_all("th"), names[:named], strict=False):
            cell.string = name
            cell["class"] = "index"
        lines[-1].decompose()
    for cell in table.find_all("th"):
        cell.attrs = {name: value for name, value in cell.attrs.items() if name in ("rowspan", "colspan", "class")}
        cell["scope"] = "row" if cell.find_parent("tbody") else "colgroup" if cell.get("colspan") else "col"
        if not cell.get_text(strip=True):
            cell.name = "td"
            del cell["scope"]
    for line in table.find_all("tr"):
        line.attrs = {}
    _typeset(table)
    return table


def _typeset(table: Tag) -> None:
    """Words at the left, whole numbers by thousands, and no line that breaks inside a short number."""
    lines = [line.find_all("td") for line in table.tbody.find_all("tr")]
    heads = table.thead.find_all("tr")[-1].find_all(["th", "td"])
    # Headers that span several rows stand at the left, so columns are counted from the right.
    for place in range(1, max(map(len, lines), default=0) + 1):
        cells = [line[-place] for line in lines if len(line) >= place]
        told = [text for cell in cells if (text := cell.get_text(strip=True)) not in ("", "–")]
        words = sum(text[0].isalpha() for text in told) * 2 > len(told)
        for cell in [*cells, heads[-place]] if words else ():
            cell["class"] = "words"
        for cell in cells if not words else ():
            if len(cell.get_text(strip=True)) <= SHORT:
                cell["class"] = "short"


def rows_of(table: Tag) -> pd.DataFrame:
    """What a table shows, a cell that spans several lines repeated in each."""
    header = [cell.get_text(" ", strip=True) for cell in table.thead.find_all("tr")[-1].find_all(["th", "td"])]
    rows: list[list[str]] = []
    spanning: dict[int, tuple[str, int]] = {}
    for line in table.tbody.find_all("tr"):
        cells = iter(line.find_all(["th", "td"]))
        row: list[str] = []
        while len(row) < len(header):
            text, left = spanning.get(len(row), ("", 0))
            if not left:
                cell = next(cells)
                text, left = cell.get_text(" ", strip=True).translate(PLAIN), int(cell.get("rowspan", 1))
            spanning[len(row)] = text, left - 1
            row.append(text)
        rows.append(row)
    return pd.DataFrame(rows, columns=header)


def _typed(html: str) -> str:
    """HTML with typographic apostrophes, counts by thousands, and a number and its unit in one line."""
    html = re.sub(r"(?<=\w)'", "’", html)
    html = re.sub(r"(?<=>)\d{4,}(?: \(\d+\))?(?=</td>)", lambda found: _by_thousands(found[0]), html)
    return UNIT.sub("\u00a0", html)


def _by_thousands(text: str) -> str:
    return re.sub(r"\d+", lambda number: f"{int(number[0]):,}", text)


def visit_exhibit(translator: Any, node: TableExhibit) -> None:
    table = plain_table(node["html"])
    rows = rows_of(table)
    caption = _typed(escape(node["caption"], quote=False))
    whole = " whole" if len(rows) <= WHOLE else ""
    name, page = node["ids"][0], translator.builder.current_docname
    write_table(Path(translator.builder.outdir) / FOLDER / f"{name}.csv", rows)
    links = [(f"{FOLDER}/{name}.csv", "CSV")]
    all_of_it = Path(translator.builder.srcdir) / FOLDER / f"{node.get('source', '')}.csv"
    if all_of_it.is_file():
        target = Path(translator.builder.outdir) / FOLDER / all_of_it.name
        target.write_bytes(all_of_it.read_bytes())
        links.append((f"{FOLDER}/{all_of_it.name}", f"all of {all_of_it.stem}.csv"))
    here = translator.builder.get_target_uri(page)
    said = " · ".join(f'<a download href="{relative_uri(here, address)}">{text}</a>' for address, text in links)
    where = "; ".join(f"{key} = {value}" for key, value in node.get("where", {}).items())
    translator.body.append(
        f'<div class="exhibit{whole}" id="{name}" data-source="{node.get("source", "")}" data-where="{escape(where)}">'
        f'<div class="exhibit-scroll" tabindex="0" role="region" aria-label="{escape(node["caption"])}">'
        '<table class="dataframe"><caption><span class="caption-text">'
    )
    translator.add_fignumber(node)
    nothing = "" if len(rows) else " <em>There is none.</em>"
    translator.body.append(f"{caption}{nothing} <span class='exhibit-links'>{said}</span></span></caption>")
    translator.body.append(_typed(table.decode_contents()) if len(rows) else "")
    translator.body.append("</table></div></div>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_enumerable_node(TableExhibit, "table", lambda node: node["caption"], html=(visit_exhibit, None))
    app.add_transform(CellsToExhibits)
    app.add_transform(CaptionsOfPages)
    app.add_transform(UnitsWithNumbers)
    app.connect("env-check-consistency", letter_pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
