"""The page that `cxr check` leaves behind: the verdict on each role, with some of its films and every pair of copies.

It lies among the private files of the study, whatever may be published of it.
"""

import base64
import io
from collections.abc import Callable, Generator, Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from rich.console import RenderableType

from cxrlib.check import Verdict, check_study
from cxrlib.files import read_json, write_text
from cxrlib.films.images import ImageSet, load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.study import Study

SHOWN_PER_LABEL, SHOWN_PAIRS, SHOWN_DOUBTFUL = 12, 50, 100
SIDE_PX = 160
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    f"img{{width:{SIDE_PX}px;height:{SIDE_PX}px;image-rendering:auto;background:#000}}"
    "figure{display:inline-block;margin:.3rem}figcaption{font-size:.75rem;max-width:20rem;overflow-wrap:anywhere}"
    ".ready{border-left:.4rem solid #1b7f4b;padding-left:.6rem}.but{border-left:.4rem solid #c77700;padding-left:.6rem}"
)


def check_with_page(
    study: Study, *, force: bool = False, progress: Callable[[str], Any] | None = None
) -> Generator[RenderableType, None, list[Verdict]]:
    """As `check_study`, which ends with the page."""
    verdicts = yield from check_study(study, force=force, progress=progress)
    yield f"The films as pictures (private): {write_page(study, verdicts).as_uri()}"
    return verdicts


def write_page(study: Study, verdicts: list[Verdict]) -> Path:
    """Write the page of a study that was prepared and audited; it opens without a network. Returns its path."""
    size = max(study.image_sizes)
    films = {role: load_image_set(study, role, size, audited=False) for role in study.roles}
    page = study.results.root / "data" / "check.html"
    body = "".join([*_roles(study, verdicts, films), *_pairs(study, films)])
    title = f"{escape(study.name)}: the check of its films"
    write_text(
        page,
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>This page is private: it shows films that may not be published.</p>{body}</html>\n",
        private=True,
    )
    return page


def _roles(study: Study, verdicts: list[Verdict], films: dict[str, ImageSet]) -> Iterator[str]:
    audit = read_json(study.results.audit_record)
    for verdict in verdicts:
        used, role = audit["used"][verdict.role], verdict.role
        yield f'<h2>{role}</h2><p class="{"but" if verdict.but else "ready"}">{escape(verdict.line.strip())}</p>'
        yield f"<p>{used['images_used']:,} films of {used['patients']:,} patients are used.</p>"
        for label in LABELS:
            rows = np.flatnonzero(films[role].manifest["label"].to_numpy() == label)
            # Spread over the whole set, so that films of every source have a chance.
            chosen = rows[np.unique(np.linspace(0, len(rows) - 1, SHOWN_PER_LABEL).astype(int))] if len(rows) else []
            yield f"<h3>{used['by_label'][label]:,} {label}</h3>"
            yield _figures(films[role], chosen)
        for note, names in verdict.doubtful.items():
            rows = np.flatnonzero(films[role].manifest["image_id"].isin(names))
            yield f"<h3>{len(names):,} {escape(note)}</h3>" + _figures(films[role], rows[:SHOWN_DOUBTFUL])
            yield f"<p>And {len(rows) - SHOWN_DOUBTFUL:,} more.</p>" if len(rows) > SHOWN_DOUBTFUL else ""


def _pairs(study: Study, films: dict[str, ImageSet]) -> Iterator[str]:
    pairs = pd.read_csv(study.results.duplicates, dtype=str, keep_default_na=False)
    if pairs.empty:
        yield "<h2>Copies</h2><p>No film has a copy in another role, or under another patient's id in its own.</p>"
        return
    yield f"<h2>Copies</h2><p>{len(pairs):,} pairs; all are listed in {escape(str(study.results.duplicates))}.</p>"
    for pair in pairs.head(SHOWN_PAIRS).to_dict("records"):
        yield f"<p>{pair['role_a']} and {pair['role_b']}: {pair['kind']}, left out: {pair['dropped'] or 'nothing'}</p>"
        for side in ("a", "b"):
            manifest = films[pair[f"role_{side}"]].manifest
            rows = np.flatnonzero(manifest["image_id"].to_numpy() == pair[f"image_id_{side}"])
            yield _figures(films[pair[f"role_{side}"]], rows)


def _figures(films: ImageSet, rows: Iterable[int]) -> str:
    return "".join(_figure(films, row) for row in rows)


def _figure(films: ImageSet, row: int) -> str:
    name = escape(str(films.manifest["image_id"].iloc[row]))
    content = io.BytesIO()
    Image.fromarray(films.images[row]).save(content, format="PNG")
    picture = base64.b64encode(content.getvalue()).decode()
    image = f'<img alt="film {name}" src="data:image/png;base64,{picture}">'
    return f"<figure>{image}<figcaption>{name}</figcaption></figure>"
