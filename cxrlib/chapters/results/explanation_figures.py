"""Figures of what a classifier looked at: films with maps of attention, and how much of it lies where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.chapters.sheets import FilmRow, head_row
from cxrlib.chapters.style import INK, MUTED, WIDTH_INCHES, arm_look, arms_of, drawing, interval_mark, named_lines, note

REGION_NAMES = {"lungs": "inside the lungs", "opacities": "inside the opacities"}


@dataclass(frozen=True)
class LookedAt(FilmRow):
    """Films with what the classifier looked at, `maps` float (n, S, S) from 0 to 1; captions say each film's answer."""

    maps: np.ndarray | None = None


def attention_gallery(rows: Sequence[LookedAt], films_per_row: int = 6) -> Figure:
    """Per heading a line of films, and below each film the same with its map of attention.

    Attention glows; the white line surrounds what reached half of the film's highest value.
    """
    heights = [0.55 if row.films is None or not len(row.films) else 2 * WIDTH_INCHES / films_per_row for row in rows]
    with drawing(len(rows), 1, sum(heights) + 0.5 * len(rows), height_ratios=heights) as (figure, axes):
        for row, ax in zip(rows, axes[:, 0], strict=True):
            if head_row(row, ax):
                _draw_line(ax, row, films_per_row)
    return figure


def _draw_line(ax: Axes, row: LookedAt, films_per_row: int) -> None:
    size, gap = 1.0, 0.04
    for index, (film, seen) in enumerate(zip(row.films[:films_per_row], row.maps[:films_per_row], strict=True)):
        left = index * (size + gap)
        _film(ax, film, (left, left + size, 1 + gap, 2 + gap))
        _attention(ax, film, seen, (left, left + size, 0, 1))
        ax.text(left + size / 2, -gap, row.captions[index], ha="center", va="top", fontsize=8)
    ax.set(xlim=(0, films_per_row * (size + gap) - gap), ylim=(-0.2, 2 + gap), aspect="equal")


def _film(ax: Axes, film: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    ax.imshow(film, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="bicubic", aspect="auto")


def _attention(ax: Axes, film: np.ndarray, seen: np.ndarray, extent: tuple[float, float, float, float]) -> None:
    """The film, darkened, under its map of attention."""
    _film(ax, (film * 0.75).astype(np.uint8), extent)
    ax.imshow(seen, cmap="inferno", vmin=0, vmax=1, alpha=0.6 * np.clip(seen, 0, 1), extent=extent,
              interpolation="bilinear", aspect="auto")  # fmt: skip
    if np.ptp(seen) > 0 and seen.max() > 0.5 > seen.min():
        left, right, bottom, top = extent
        count = len(seen)
        x = left + (np.arange(count) + 0.5) / count * (right - left)
        y = top - (np.arange(count) + 0.5) / count * (top - bottom)
        lines = ax.contour(x, y, seen, [0.5], colors="white", linewidths=1.3)
        lines.set_path_effects([patheffects.withStroke(linewidth=2.6, foreground="black")])


def real_and_synthetic(
    cells: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray, str]], origins: Mapping[str, str]
) -> Figure:
    """The paper's Figure 2: a line per film (a real one, a synthetic one), plain, then with what each arm saw in it.

    `cells` holds (name of the film, arm) → film uint8 (S, S), map float (S, S) from 0 to 1, and the answer in words;
    `origins` says under each film where it is from.
    """
    films = list(dict.fromkeys(film for film, _ in cells))
    arms = list(dict.fromkeys(arm for _, arm in cells))
    side = min(WIDTH_INCHES / (len(arms) + 1), 2.6)
    with drawing(len(films), len(arms) + 1, len(films) * (side + 0.45) + 0.3) as (figure, axes):
        extent = (0, 1, 0, 1)
        for line, name in enumerate(films):
            pixels = cells[name, arms[0]][0]
            _film(axes[line, 0], pixels, extent)
            axes[line, 0].set_title(name)
            axes[line, 0].set_xlabel(origins[name], fontsize=8, color=MUTED, style="italic")
            for column, arm in enumerate(arms, start=1):
                film, seen, answer = cells[name, arm]
                _attention(axes[line, column], film, seen, extent)
                axes[line, column].set_title(arm if line == 0 else "")
                axes[line, column].set_xlabel(answer, color=INK)
        for ax in axes.ravel():
            ax.set(xticks=(), yticks=(), xlim=(0, 1), ylim=(0, 1), aspect="equal")
            ax.spines[["left", "bottom"]].set_visible(False)
    return figure


def attention_shares(table: pd.DataFrame, origin: str) -> Figure:
    """Share of attention inside a region, in %, with intervals: a panel per region and label; a bar marks chance.

    `table` has arm, label, region, estimate, low, high, chance and suppressed.
    """
    shown = table[~table["suppressed"].astype(bool)] if len(table) else table
    parts = list(dict.fromkeys(zip(shown["region"], shown["label"], strict=True)))
    arms = arms_of(shown)
    if not parts:
        return note("no film of the hospital has outlines of its lungs: what share lies inside is not known", origin)
    with drawing(1, len(parts), 1.25 + 0.36 * len(arms), origin, sharey=True) as (figure, axes):
        for ax, (region, label) in zip(axes[0], parts, strict=True):
            for index, arm in enumerate(arms):
                colour, _, marker = arm_look(arm, index)
                rows = shown[(shown["arm"] == arm) & (shown["region"] == region) & (shown["label"] == label)]
                for *values, chance in rows[["estimate", "low", "high", "chance"]].to_numpy() * 100:
                    interval_mark(ax, *values, index, colour, marker)
                    ax.plot([chance] * 2, [index - 0.36, index + 0.36], color=MUTED, linewidth=1.6)
            title = f"{label} films,\n{REGION_NAMES.get(region, region)}"
            named_lines(ax, arms, title=title, xlabel="share of attention (%)")
    return figure
