"""An executed chapter as the book prints it: what its cells said is prose, references are numbered, code is folded."""

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

CITED = re.compile(r"\[\([^)]*\)\]\(#cite:([\w,]+)\)")
REFERRED = re.compile(r"\[[^]]*\]\(#((?:fig|tbl)-[\w-]+)\)")
# The method stays open, to be read with the text around it.
METHOD, FOLDED, UNSEEN = "method", "hide-input", {"hide-input", "hide-cell", "remove-input", "remove-cell"}


def as_page(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with its prose as Markdown and all code but the method folded; nothing else of it changes.

    In a live notebook a reference is a link, `[(Efron 1993)](#cite:efron1993)` or `[Figure *plane*](#fig-plane)`, since
    JupyterLab knows no roles; a book has a list of references and numbers its figures and tables.
    """
    cells = [printed for cell in notebook["cells"] for printed in (_as_printed(cell), *_twins(cell))]
    return {**notebook, "cells": [_without_notes(cell) for cell in cells]}


def _twins(cell: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Below a picture, the numbers from which the page draws it anew, to be moved by hand; paper has the picture."""
    for notes in map(_notes, cell.get("outputs", [])):
        if "interactive" in notes:
            numbers = json.dumps(notes["interactive"]).replace("<", "\\u003c")
            kind = notes["interactive"]["kind"]
            html = (
                f'<div class="interactive" data-kind="{kind}"><script type="application/json">{numbers}</script></div>'
            )
            yield {"cell_type": "markdown", "metadata": {}, "source": f"```{{raw}} html\n{html}\n```"}


def _notes(output: dict[str, Any]) -> dict[str, Any]:
    return output.get("metadata", {}).get("image/png", {})


def _without_notes(cell: dict[str, Any]) -> dict[str, Any]:
    """The cell with a figure's finding before its caption, and nothing beside pictures that the book can't read."""
    for notes in map(_notes, cell.get("outputs", [])):
        notes.pop("interactive", None)
        finding, figure = notes.pop("finding", ""), cell["metadata"].get("mystnb", {}).get("figure", {})
        if finding and figure:
            figure["caption"] = f"**{finding}** {figure['caption']}"
    return cell


def _as_printed(cell: dict[str, Any]) -> dict[str, Any]:
    said = _said(cell)
    if cell["cell_type"] == "markdown" or said:
        kept = {"id": cell["id"]} if "id" in cell else {}
        text = said or "".join(cell["source"])
        return {"cell_type": "markdown", **kept, "metadata": cell["metadata"], "source": _with_roles(text)}
    tags = cell["metadata"].get("tags", [])
    if cell["cell_type"] != "code" or {METHOD, *UNSEEN} & set(tags):
        return cell
    return {**cell, "metadata": {**cell["metadata"], "tags": [*tags, FOLDED]}}


def _said(cell: dict[str, Any]) -> str:
    """The Markdown that a cell without visible code wrote; empty for any other cell."""
    if cell["cell_type"] != "code" or "remove-input" not in cell["metadata"].get("tags", []):
        return ""
    return "\n\n".join(map(_told, cell["outputs"]))


def _told(output: dict[str, Any]) -> str:
    """What an output says, each fact whose numbers are traced in an element that says where they come from."""
    pieces = output.get("metadata", {}).get("text/markdown", {}).get("pieces")
    if pieces is None:
        return "".join(output.get("data", {}).get("text/markdown", ""))
    said = ""
    for piece in pieces:
        text, trace = piece["text"], piece.get("trace")
        if trace and "\n" not in text and not said.endswith("`"):
            text = f'<span class="fact" data-trace="{escape(json.dumps(trace, ensure_ascii=False))}">{text}</span>'
        said += text
    return said


def _with_roles(text: str) -> str:
    return REFERRED.sub(r"{numref}`\1`", CITED.sub(r"{cite}`\1`", text))
