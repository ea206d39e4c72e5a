"""Assemble the executed chapters and the pages around them, build the book, and let the guard look at it."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from cxrlib.artifacts import CHAPTERS
from cxrlib.errors import InputError
from cxrlib.files import append_log, read_json, write_text
from cxrlib.finished import makes
from cxrlib.publishing.about import about_sentences
from cxrlib.publishing.api import api_lists
from cxrlib.publishing.cards import card_sentences
from cxrlib.publishing.front_page import front_sentences
from cxrlib.publishing.guard import check_publishable, check_results
from cxrlib.publishing.guard_pages import code_cells
from cxrlib.publishing.limits import limits_text
from cxrlib.publishing.pages import as_page
from cxrlib.publishing.provenance import provenance_sentences
from cxrlib.records import write_record
from cxrlib.study import REPOSITORY, Study

logger = logging.getLogger(__name__)

# Results on real films that the repository keeps; `benchmarks/keep_results.py` makes them.
KEPT = REPOSITORY / "benchmarks" / "results" / "public-small"
LOG_LINES = 40
LARGEST_TABLE = 2**18
NOTHING_PRIVATE = "All films of this study may be published, so that none were searched for."


@makes("book")
def build_book(study: Study, *, force: bool = False) -> Path:
    """Build `_build/<study>/html` from the executed chapters and return its `index.html`.

    The new book is built aside, checked by `check_publishable`, and only then takes the old one's place. A book made
    of the same chapters and pages is returned at once, unless `force`. Raises `InputError` if a chapter is missing, if
    the build warns of anything, or if something must not be published.
    """
    source, html = study.build_folder / "source", study.build_folder / "html"
    record, log = study.build_folder / "book.json", study.build_folder / "build.log"
    started = time.monotonic()
    assemble(study, source)
    looked = study.build_folder / "log.csv"
    looked.unlink(missing_ok=True)
    check_results(study, lambda share: append_log(looked, {"share": share}))
    aside = study.build_folder / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    _run_jupyter_book(source, aside, log)
    check_publishable(aside / "_build" / "html", study)
    record.unlink(missing_ok=True)
    _swap(aside / "_build" / "html", html)
    shutil.rmtree(aside)
    outputs = [path for path in html.rglob("*") if path.is_file()]
    write_record(record, {}, {}, time.monotonic() - started, outputs=outputs)
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
    shutil.copytree(KEPT, folder / "kept")
    (folder / "chapters").mkdir()
    for name in CHAPTERS:
        code_cells(study.results.chapter(name))  # a damaged chapter is told before anything is made of it
        page = as_page(read_json(study.results.chapter(name)))
        write_text(folder / "chapters" / f"{name}.ipynb", json.dumps(page, indent=1, ensure_ascii=False))
    contents = yaml.safe_load((folder / "_toc.yml").read_text(encoding="utf-8"))
    chapters = {
        "caption": "The study",
        "numbered": True,
        "chapters": [{"file": f"chapters/{name}"} for name in CHAPTERS],
    }
    contents["parts"] = [chapters, *contents.get("parts", [])]
    write_text(folder / "_toc.yml", yaml.safe_dump(contents, sort_keys=False))
    config = yaml.safe_load(_own_or_repository(study, "_config.yml").read_text(encoding="utf-8"))
    config["title"] = study.title
    config["parse"]["myst_substitutions"] = _sentences(study, folder)
    made = read_json(study.results.provenance)
    context = config.setdefault("sphinx", {}).setdefault("config", {}).setdefault("html_context", {})
    context |= {"study": study.name, "commit": str(made.get("commit") or "")}
    asked = study.about.model_dump(include={"launch", "comments"}, exclude_none=True)
    context |= {f"cxr_{name}": settings for name, settings in asked.items()}
    if not study.private_roles:
        _lay_tables(study, folder / "csv")
    write_text(folder / "_config.yml", yaml.safe_dump(config, allow_unicode=True, sort_keys=False))


def _lay_tables(study: Study, folder: Path) -> None:
    """The tables that figures and tables of chapters round; those of thousands of points stay in the study's folder."""
    folder.mkdir()
    for table in study.results.table("any").parent.glob("*.csv"):
        if table.stat().st_size <= LARGEST_TABLE:
            shutil.copy(table, folder)


def _own_or_repository(study: Study, name: str) -> Path:
    own = study.root / name
    return own if own.exists() else REPOSITORY / name


def _sentences(study: Study, folder: Path) -> dict[str, str]:
    """What pages name in double braces: all of it comes from the study's settings and results."""
    statements = study.results.table("statements").with_suffix(".json")
    answer = read_json(statements).get("answer_page")
    if not answer:
        raise InputError(f"{statements}: no sentence `answer_page`; make the tables again with --force")
    return {
        "study_file": f"`studies/{study.name}.yaml`",
        "answer": answer,
        **front_sentences(study, folder),
        "guard_limits": limits_text() if study.private_roles else NOTHING_PRIVATE,
        **provenance_sentences(study),
        **about_sentences(study, folder),
        **api_lists(),
        **card_sentences(study),
    }


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
