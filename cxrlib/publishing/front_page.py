"""The book's first page: what the study counted, its arms in words, its chapters, and pictures from them."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxrlib.artifacts import CHAPTERS
from cxrlib.classifiers.arms import arm_of
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.publishing.about import ROLE_WORDS
from cxrlib.publishing.guard_pages import code_cells, pictures_shown
from cxrlib.study import Study

# By name: films of every role, and how far the arms come.
COVERS = ("fig-films", "fig-ladder")
ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/svg+xml": ".svg"}


def front_sentences(study: Study, folder: Path) -> dict[str, str]:
    """What `index.md` names in double braces; `folder` holds the chapters, and is given the pictures."""
    return {
        "title": study.title,
        "films_note": _films_note(study),
        "counts": _counts(study),
        "arms": "\n\n".join(f"`{arm}`\n: {arm_of(arm).films}. {arm_of(arm).answers}" for arm in study.classifier_arms),
        "chapters": "\n\n".join(_question(folder / "chapters" / f"{name}.ipynb") for name in CHAPTERS),
        "cover": "\n\n".join(_covers(study, folder)),
    }


def _films_note(study: Study) -> str:
    if study.simulated:
        kind, heading = "warning", "The films in this book are simulated"
    else:
        kind, heading = "note", "The films in this book"
    summary = study.summary or f"What was studied is described in `studies/{study.name}.yaml`."
    return f":::{{admonition}} {heading}\n:class: {kind} films-note\n{summary}\n:::"


def _counts(study: Study) -> str:
    """Films and patients of each role, how many networks were trained, and when the book was made."""
    networks = [arm for arm in study.classifier_arms if arm_of(arm).network]
    models = sum(len(study.classifier_seeds(arm)) * len(study.classifier_folds(arm)) for arm in networks)
    told = [f"{models:,} trained classifiers", f"{len(study.classifier_arms)} arms"]
    if study.results.audit_record.exists():
        used = read_json(study.results.audit_record)["used"]
        roles = [
            f"{ROLE_WORDS[role]} {found['images_used']:,} of {found['patients']:,} patients"
            for role, found in used.items()
        ]
        films = sum(found["images_used"] for found in used.values())
        told = [f"{films:,} films ({', '.join(roles)})", *told]
    return f"**In this book:** {'; '.join(told)}. Made on {datetime.now(UTC):%d %B %Y}."


def _question(chapter: Path) -> str:
    """A chapter's link, and the question below its title."""
    first = "".join(read_json(chapter)["cells"][0]["source"])
    return f"[](chapters/{chapter.name})\n: {' '.join(first.split(chr(10) * 2)[1].split())}"


def _covers(study: Study, folder: Path) -> Iterator[str]:
    """The pictures of the first page: those of `COVERS`, else the last chapter's first."""
    notebooks = [code_cells(folder / "chapters" / f"{name}.ipynb") for name in reversed(CHAPTERS)]
    cells = [cell for notebook in notebooks for cell in notebook if any(pictures_shown(cell))]
    if not cells:
        raise InputError(
            f"{study.results.root / 'chapters'}: no chapter has a picture; was it run with the plotting "
            "backend of a notebook? Run the chapters again with --force"
        )
    named = {_figure(cell, "figure").get("name"): cell for cell in cells}
    for number, cell in enumerate([named[name] for name in COVERS if name in named] or cells[:1]):
        kind, data = next(pictures_shown(cell))
        name = f"cover{number or ''}{ENDINGS[kind]}"
        raw = "".join(data)
        (folder / name).write_bytes(raw.encode() if kind == "image/svg+xml" else base64.b64decode(raw))
        caption = " ".join(_figure(cell, "figure").get("caption", "").split())
        alt = " ".join(_figure(cell, "image").get("alt", "A figure of the results").split())
        yield f"::::{{div}} cover\n```{{image}} {name}\n:alt: {alt}\n```\n\n{caption}\n::::"


def _figure(cell: dict[str, Any], part: str) -> dict[str, str]:
    return cell["metadata"].get("mystnb", {}).get(part, {})
