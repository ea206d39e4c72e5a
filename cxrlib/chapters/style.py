"""The book's figures: arrays and tables in, matplotlib figures out. Figures made of films are in `sheets.py`.

One look throughout: the colours of Okabe and Ito, which colour-blind readers tell apart, always doubled by a marker, a
line style or a hatch, so that a grey print can be read too. Every figure says in its corner or in a row's heading where
its films come from: real, synthetic or simulated.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from cxrlib.classifiers.arms import ARMS, RUNGS, arm_of
from cxrlib.evaluation.metrics import PLAIN

WIDTH_INCHES = 8.0
DOTS_PER_INCH = 160

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#222222", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
# Lungs are outlined in red, as in the paper; the line, not the colour, tells them from opacities.
RED = "#E0352B"
INK, MUTED, GRID = "#222222", "#6b6b6b", "#dddddd"
LINE_LOOKS = (
    (BLACK, "-", "o"), (BLUE, (0, (5, 1.5)), "s"), (VERMILION, (0, (5, 1.5, 1, 1.5)), "D"), (GREEN, (0, (1, 1)), "^"),
    (PURPLE, (0, (3, 1, 1, 1, 1, 1)), "v"), (ORANGE, (0, (8, 2)), "P"), (SKY, "-", "X"),
)  # fmt: skip
# An arm looks the same in every figure: its colour is that of its rung of the ladder, its line and mark are its own.
RUNG_COLOURS = dict(zip(RUNGS, (BLACK, GREEN, PURPLE, VERMILION, BLUE), strict=True))
# Of a star or half a disc a white edge leaves too little to tell it by.
MARKERS = (*"osD^vPXp<>", *(Path.wedge(start, start + 270) for start in (45, 135, 225, 315)), *"H8h")
# So does a label.
LABEL_LOOKS: Mapping[str, tuple[str, Any, str]] = {"negative": LINE_LOOKS[1], "positive": LINE_LOOKS[2]}

STYLE: Mapping[str, Any] = {
    "figure.dpi": DOTS_PER_INCH,
    "savefig.dpi": DOTS_PER_INCH,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=[look[0] for look in LINE_LOOKS]),
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.6,
}


@contextmanager
def style() -> Iterator[None]:
    """Inside, matplotlib draws in the book's one look; afterwards as before."""
    with mpl.rc_context(dict(STYLE)):
        yield


@contextmanager
def drawing(
    rows: int, columns: int, height_inches: float, origin: str = "", **options: Any
) -> Iterator[tuple[Figure, np.ndarray]]:
    """An empty figure of the book's width and look with its axes, an object array (rows, columns), to be drawn on
    inside; where the films behind it come from is printed in its corner. It belongs to no window."""
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        # A panel's title stands clear of the numbers below the panel above.
        figure.get_layout_engine().set(h_pad=0.09)
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)
        if origin:
            mark_origin(figure, origin)


def mark_origin(figure: Figure, origin: str) -> None:
    """Print in the lower right corner where the films behind the figure come from."""
    figure.supxlabel(origin, x=0.995, ha="right", fontsize=7.5, color=MUTED, style="italic")


def arm_look(arm: str, index: int = 0) -> tuple[str, Any, Any]:
    """Colour, line and marker of an arm or a label; one that is not known looks by its place in the list."""
    if arm in LABEL_LOOKS:
        return LABEL_LOOKS[arm]
    try:
        colour = RUNG_COLOURS[arm_of(arm).rung]
    except KeyError:
        return LINE_LOOKS[index % len(LINE_LOOKS)]
    if arm not in ARMS:
        return colour, (0, (1, 2)), "d"
    place = list(ARMS).index(arm)
    dashes = (1 + 2 * (place % 4), 1.5, *(1, 1) * (place // 4))
    return colour, (0, dashes) if place else "-", MARKERS[place % len(MARKERS)]


def note(text: str, origin: str) -> Figure:
    """In the place of a figure that has nothing to show: why."""
    with drawing(1, 1, 0.9, origin) as (figure, axes):
        axes[0, 0].set_axis_off()
        axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes[0, 0].transAxes)
    return figure


def chosen_rows(table: pd.DataFrame, role: str, operating_point: str = "fixed") -> pd.DataFrame:
    """The rows of a role and, in a table that has several, of one operating point."""
    found = table[table["role"] == role]
    return found[found["operating_point"] == operating_point] if "operating_point" in found else found


def arms_of(table: pd.DataFrame, arms: Sequence[str] | None = None) -> list[str]:
    """The arms of a table in its order, or those of `arms` that it has."""
    there = [str(arm) for arm in dict.fromkeys(table["arm"])]
    return there if arms is None else [arm for arm in arms if arm in there]


def named_lines(ax: Axes, names: Sequence[str], heights: Sequence[float] = (), **labels: Any) -> None:
    """Name the horizontal lines of a panel from the top down: at 0, 1, …, or at these heights."""
    at = heights or range(len(names))
    ax.set(yticks=at, yticklabels=names, **labels)
    if names:
        ax.set_ylim(at[-1] + 0.5, at[0] - 0.5)
    ax.grid(visible=False, axis="y")


def unit_of(metric: str) -> tuple[int, str]:
    """By what a measure is multiplied where it is drawn, and in which unit: per cent, or as it is."""
    return (1, "") if metric in PLAIN else (100, "%")


def legend_below(figure: Figure, ax: Axes, columns: int = 4) -> None:
    """Put the legend of these axes under the figure."""
    handles, texts = ax.get_legend_handles_labels()
    if handles:
        figure.legend(handles, texts, loc="outside lower left", ncols=min(columns, len(handles)))


def interval_mark(ax: Axes, middle: float, low: float, high: float, y: float, colour: str, marker: str) -> None:
    """A horizontal interval with a mark at its estimate."""
    ax.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
    ax.plot([middle], [y], marker=marker, color=colour, markersize=7, markeredgecolor="white", linestyle="none")


def training_curves(
    logs: Mapping[str, pd.DataFrame], x: str, quantities: Mapping[str, str], x_name: str, origin: str
) -> Figure:
    """One panel per quantity (column → name), one line per log; `x` is the column along the horizontal axis.

    The bold line is the running mean over a twelfth of the log, the faint one the log itself.
    """
    with drawing(1, len(quantities), 2.9, origin) as (figure, axes):
        for ax, (column, name) in zip(axes[0], quantities.items(), strict=True):
            for index, (log_name, log) in enumerate(logs.items()):
                colour, line, _ = arm_look(log_name, index)
                if column in log:
                    known = log[[x, column]].dropna()
                    smooth = known[column].rolling(max(1, len(known) // 12), center=True, min_periods=1).mean()
                    ax.plot(known[x], known[column], color=colour, linewidth=0.6, alpha=0.35)
                    ax.plot(known[x], smooth, color=colour, linestyle=line, label=log_name)
            ax.set(xlabel=x_name, title=name)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        legend_below(figure, axes[0, 0])
    return figure
