"""What chapters say: where films come from, numbers glued, figures kept, progress."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure
from PIL import Image as PillowImage
from PIL import ImageChops

from cxrlib.chapters import style
from cxrlib.files import atomic_path
from cxrlib.films.settings import LABELS
from cxrlib.progress import Report, paced
from cxrlib.study import Study

# CLAIM advises against "validation", which many read as a test; in files and settings the role keeps that name.
ROLE_WORDS = {"validation": "tuning"}


def role_word(role: str) -> str:
    """What a role of data is called in words."""
    return ROLE_WORDS.get(role, role)


def origin(study: Study, *roles: str) -> str:
    """Say "simulated films", "real films" or both, for the roles given (by default all)."""
    kinds = ["simulated" if study.data.simulated(role) else "real" for role in roles or study.roles]
    return f"{' and '.join(dict.fromkeys(kinds))} films"


def synthetic_origin(study: Study) -> str:
    """What stands beside synthetic films: they are a generator's, and it learned from real or simulated ones."""
    return f"synthetic, after {origin(study, 'hospital')}"


def origin_sentence(study: Study) -> str:
    """For the reader, in one plain sentence: are there patients behind the films?"""
    if not study.simulated:
        return "The films of this study are real radiographs of patients."
    simulated = [role for role in study.roles if study.data.simulated(role)]
    if len(simulated) == len(study.roles):
        return "Every film of this study is simulated: no patient stands behind any of them."
    named = joined([role_word(role) for role in simulated])
    return f"The {named} films are simulated; the others are real radiographs of patients."


def film_counts(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What there is to say in prose about the films of each role, from the data records by role."""
    facts: dict[str, Any] = {}
    for role, record in records.items():
        films, by_label = record["images_used"], record["by_label"]
        facts |= {f"{role}_films": films, f"{role}_patients": record["patients"]}
        facts |= {f"{role}_{label}": by_label.get(label, 0) for label in LABELS}
        facts[f"{role}_positive_share"] = percent(by_label.get("positive", 0) / films)
    return facts


def show(study: Study, name: str, figure: Figure | bytes, **notes: Any) -> Image:
    """Keep a figure, or a picture that is a PNG already, as `results/<study>/figures/<name>.png`, and hand it to the
    notebook. `notes` go with it to the book: its `finding`, and numbers for its `interactive` twin."""
    if isinstance(figure, bytes):
        data, width = figure, None
    else:
        buffer = io.BytesIO()
        with style.style():
            figure.savefig(buffer, format="png", metadata={"Software": None})
        films = any(ax.images for ax in figure.axes)
        data, width = _without_excess(buffer, films), round(style.WIDTH_INCHES * 96)
    with atomic_path(study.results.figure(name)) as temporary:
        temporary.write_bytes(data)
    return Image(data=data, format="png", width=width, metadata=notes)


def _without_excess(drawn: io.BytesIO, films: bool) -> bytes:
    """A PNG with grey alone where nothing has a colour, and of lines and marks with a palette: a third of the bytes."""
    with PillowImage.open(drawn) as picture:
        plain = picture.convert("RGB")
    red, green, blue = plain.split()
    if not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox()):
        plain = red
    elif not films:
        plain = plain.quantize(256, dither=PillowImage.Dither.NONE)
    buffer = io.BytesIO()
    plain.save(buffer, "png")
    return buffer.getvalue()


def progress(what: str) -> Report:
    """A callback `(done, total, facts)` that keeps one line of the notebook up to date: how far, how long still.

    The line appears only once there is work to report, changes at most every second, and never becomes two.
    """
    line: Any = None

    def say(text: str) -> None:
        nonlocal line
        shown = HTML(f"{what}: {text}")
        if line is None:
            line = display(shown, display_id=True)
        else:
            line.update(shown)

    report = paced(say, pause_seconds=1)
    return lambda done, total, facts=None: report(done, total)


def as_said(value: Any) -> str:
    """A fact in prose: counts by thousands, texts as they are."""
    is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return f"{value:,}" if is_count else str(value)


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as `95.3 %`; `unknown` for NaN."""
    return "unknown" if pd.isna(fraction) else f"{100 * fraction:.{digits}f} %"


def with_interval(estimate: float, low: float, high: float) -> str:
    """Fractions as `95.3 (92–97)`, in per cent without the sign; a dash for NaN, no interval where it is NaN.

    A no-break space and a word joiner keep a narrow table from breaking it.
    """
    if pd.isna(estimate):
        return "–"
    inside = "" if pd.isna(low) else f"\u00a0({100 * low:.0f}–\u2060{100 * high:.0f})"
    return f"{100 * estimate:.1f}{inside}"


def percentage(value: float, low: float, high: float) -> str:
    """`0.7636, …` as `76.4 % [68.1, 83.5]`; without an interval, the value alone."""
    if np.isnan([low, high]).any():
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def counted(number: int, what: str) -> str:
    """`1 film`, `2,000 films`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def joined(parts: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
