"""Assemble the executed chapters and the pages around them, build the book, and guard what is published."""

import base64
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

from cxrlib.artifacts import CHAPTERS, fingerprint, read_json, sha256_of, write_json, write_text
from cxrlib.errors import InputError
from cxrlib.provenance import provenance_sentences
from cxrlib.study import REPOSITORY, Study

logger = logging.getLogger(__name__)

NOT_SHOWN = {"remove-cell", "remove-output", "remove_cell", "remove_output"}
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
COVER = "fig-differences"
TEXT_FILES = {".html", ".js", ".css", ".json", ".txt", ".ipynb", ".md", ".svg", ".xml"}
LOG_LINES = 40


def build_book(study: Study, *, force: bool = False) -> Path:
    """Build `_build/<study>/html` from the executed chapters and return its `index.html`.

    The new book is built aside, checked by `check_publishable`, and only then takes the old one's place. A book made
    from the same pages is returned at once, unless `force`. Raises `InputError` if a chapter is missing, if the build
    warns of anything, or if something must not be published.
    """
    source, html = study.build_folder / "source", study.build_folder / "html"
    record, log = study.build_folder / "book.json", study.build_folder / "build.log"
    started = time.monotonic()
    assemble(study, source)
    wanted = _fingerprint(source)
    if not force and (html / "index.html").exists() and record.exists() and read_json(record)["made_from"] == wanted:
        os.utime(html / "index.html")
        return html / "index.html"
    aside = study.build_folder / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    _run_jupyter_book(source, aside, log)
    check_publishable(aside / "_build" / "html", private=(study.root, REPOSITORY))
    record.unlink(missing_ok=True)
    _swap(aside / "_build" / "html", html)
    shutil.rmtree(aside)
    write_json(record, {"made_from": wanted, "seconds": round(time.monotonic() - started, 3)})
    return html / "index.html"


def assemble(study: Study, folder: Path) -> None:
    """Write everything that the book is built from: pages, executed chapters, cover picture, `_config.yml`."""
    missing = [name for name in CHAPTERS if not study.results.chapter(name).exists()]
    if missing:
        raise InputError(
            f"{study.results.chapter(missing[0]).parent}: chapters not executed yet: {', '.join(missing)}; "
            f"run `make report STUDY={study.name}`"
        )
    shutil.rmtree(folder, ignore_errors=True)
    pages = _own_or_repository(study, "book")
    shutil.copytree(pages, folder, ignore=shutil.ignore_patterns("__pycache__", "_build", ".*"))
    (folder / "chapters").mkdir()
    for name in CHAPTERS:
        shutil.copy(study.results.chapter(name), folder / "chapters")
    config = yaml.safe_load(_own_or_repository(study, "_config.yml").read_text(encoding="utf-8"))
    config["title"] = study.title
    config["parse"]["myst_substitutions"] = _sentences(study, folder)
    write_text(folder / "_config.yml", yaml.safe_dump(config, allow_unicode=True, sort_keys=False))


def _own_or_repository(study: Study, name: str) -> Path:
    own = study.root / name
    return own if own.exists() else REPOSITORY / name


def _sentences(study: Study, folder: Path) -> dict[str, str]:
    """What pages name in double braces: all of it comes from the study's settings and results."""
    statements = study.results.table("statements").with_suffix(".json")
    answer = read_json(statements).get("answer")
    if not answer:
        raise InputError(f"{statements}: no sentence `answer`; make the tables again with --force")
    return {
        "title": study.title,
        "study_file": f"`studies/{study.name}.yaml`",
        "films_note": _films_note(study),
        "answer": answer,
        "cover": _cover(study, folder),
        **provenance_sentences(study),
    }


def _films_note(study: Study) -> str:
    if study.simulated:
        kind, heading = "warning", "The films in this book are simulated"
    else:
        kind, heading = "note", "The films in this book"
    summary = study.summary or f"What was studied is described in `studies/{study.name}.yaml`."
    return f":::{{admonition}} {heading}\n:class: {kind} films-note\n{summary}\n:::"


def _cover(study: Study, folder: Path) -> str:
    """The picture of the first page: how the arms differ, else the last chapter's first picture."""
    notebooks = [_cells(folder / "chapters" / f"{name}.ipynb") for name in reversed(CHAPTERS)]
    cells = [cell for notebook in notebooks for cell in notebook if any(_pictures(cell))]
    if not cells:
        raise InputError(
            f"{study.results.chapter(CHAPTERS[-1]).parent}: no chapter has a picture; was it run with the plotting "
            "backend of a notebook? Run the chapters again with --force"
        )
    cell = next((cell for cell in cells if _figure(cell, "figure").get("name") == COVER), cells[0])
    kind, data = next(_pictures(cell))
    name = "cover" + {"image/png": ".png", "image/jpeg": ".jpg", "image/svg+xml": ".svg"}[kind]
    raw = "".join(data)
    (folder / name).write_bytes(raw.encode() if kind == "image/svg+xml" else base64.b64decode(raw))
    caption = " ".join(_figure(cell, "figure").get("caption", "").split())
    alt = " ".join(_figure(cell, "image").get("alt", "A figure of the results").split())
    return f"::::{{div}} cover\n```{{image}} {name}\n:alt: {alt}\n```\n\n{caption}\n::::"


def _figure(cell: dict[str, Any], part: str) -> dict[str, str]:
    return cell["metadata"].get("mystnb", {}).get(part, {})


def _cells(notebook: Path) -> list[dict[str, Any]]:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def _pictures(cell: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Kind and data of each picture that a cell shows; glued pictures are shown elsewhere, or not at all."""
    if NOT_SHOWN & set(cell["metadata"].get("tags", [])):
        return
    for output in cell["outputs"]:
        if output["output_type"] not in ("display_data", "execute_result") or "scrapbook" in output["metadata"]:
            continue
        yield from ((kind, output["data"][kind]) for kind in PICTURES if kind in output["data"])


def _fingerprint(source: Path) -> str:
    files = sorted(path for path in source.rglob("*") if path.is_file())
    return fingerprint({"python": sys.version}, {str(path.relative_to(source)): sha256_of(path) for path in files})


def _run_jupyter_book(source: Path, output: Path, log: Path) -> None:
    command = [
        sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(source),
        "--path-output", str(output), "--config", str(source / "_config.yml"), "--toc", str(source / "_toc.yml"),
        "-W", "-n", "--keep-going", "--all",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONUTF8": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", env=environment,
        check=False,
    )  # fmt: skip
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    write_text(log, text)
    warnings = [line for line in text.splitlines() if re.search(r"\b(WARNING|ERROR|CRITICAL):", line)]
    if done.returncode or warnings:
        tail = "\n  ".join(warnings or text.splitlines()[-LOG_LINES:])
        raise InputError(f"{log}: the book was not built:\n  {tail}")


def _swap(new: Path, current: Path) -> None:
    """Put `new` in the place of `current`; a reader finds the old book or the new one, never half of one."""
    old = current.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    if current.exists():
        current.replace(old)
    new.replace(current)
    shutil.rmtree(old, ignore_errors=True)


def check_publishable(html: Path, *, private: tuple[Path, ...] = ()) -> None:
    """Refuse a built book that gives away or lacks something; raises `InputError` that lists every problem.

    Problems are: notebooks with widget state, an absolute path in the home folder or one of the `private` folders,
    anything that a page loads from another host, and chapters that show fewer pictures than their cells made.
    """
    problems = [*_private_paths(html, (Path.home(), *private)), *_foreign_loads(html)]
    for notebook in sorted((html / "_sources").rglob("*.ipynb")):
        if "widgets" in json.loads(notebook.read_text(encoding="utf-8"))["metadata"]:
            problems.append(f"{notebook.name}: holds widget state, and with it the images shown")
        made = sum(1 for cell in _cells(notebook) for _ in _pictures(cell))
        page = html / notebook.relative_to(html / "_sources").with_suffix(".html")
        shown = len(_resources(page, {"img": "src"})) if page.exists() else 0
        if shown < made:
            problems.append(f"{notebook.name}: its cells made {made} pictures, the page shows {shown}")
    if problems:
        raise InputError(f"{html}: not published:\n  " + "\n  ".join(problems))


def _private_paths(html: Path, folders: tuple[Path, ...]) -> Iterator[str]:
    named = {str(folder) for folder in folders if len(folder.parts) > 1}
    pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(folder)}(?![\w.-])[^\s\"'<>]*" for folder in sorted(named)))
    for path in sorted(html.rglob("*")):
        if path.suffix in TEXT_FILES and path.is_file():
            found = pattern.search(path.read_text(encoding="utf-8", errors="replace")) if named else None
            if found:
                yield f"{path.relative_to(html)}: names a folder of this machine: {found[0][:120]}"


def _foreign_loads(html: Path) -> Iterator[str]:
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
