"""Figures of what readers said: accuracy beside chance, steps and their curve, realism, artefacts, time.

Every function takes the tables of one group of readers (people, or simulated ones, never both), `readers` the name of
the group for the figure's own words, and `origin` what stands in the corner.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cxrlib.chapters.reading.shown import reader_in_words
from cxrlib.chapters.style import (
    BLACK,
    BLUE,
    GRID,
    INK,
    LINE_LOOKS,
    MUTED,
    ORANGE,
    SKY,
    VERMILION,
    drawing,
    interval_mark,
)
from cxrlib.evaluation.readers import CHANCE, MARGIN
from cxrlib.reading.agreement import ALL

STEP_NAMES = ("surely\nsynthetic", "probably\nsynthetic", "perhaps\nsynthetic", "perhaps\nreal", "probably\nreal",
              "surely\nreal")  # fmt: skip
KIND_LOOKS = {"real": (SKY, ""), "synthetic": (ORANGE, "///")}
ASKED = (
    ("real or synthetic", "accuracy", "One film, right or wrong", "share of right answers"),
    ("real or synthetic", "auc", "One film, six steps", "area under the ROC curve"),
    ("which of two is synthetic", "accuracy", "Two films, one synthetic", "share of right answers"),
)
REALISM_SHADES = ("#c7522a", "#e5a66b", "#d9d9d9", "#7fb0c9", "#1f6a96")
BLOCK_NAMES = {"A": "single films", "B": "which is synthetic?", "C": "same patient?", "D": "which is better?"}


def reader_accuracy(accuracy: pd.DataFrame, readers: str, origin: str) -> Figure:
    """Three questions, a line per reader and one for all: estimate and 95 % interval beside chance and its margin.

    `accuracy` has the columns reader, question, measure, estimate, low, high, inner_low, inner_high (fractions). The
    inner interval, by which equivalence is judged, is drawn broader where there is one.
    """
    names = _readers(accuracy)
    with drawing(1, len(ASKED), 1.75 + 0.3 * len(names), origin, sharey=True) as (figure, axes):
        for ax, (question, measure, title, unit) in zip(axes[0], ASKED, strict=True):
            rows = accuracy[(accuracy["question"] == question) & (accuracy["measure"] == measure)]
            if measure == "accuracy":
                ax.axvspan(CHANCE - MARGIN, CHANCE + MARGIN, color=GRID, alpha=0.6, linewidth=0)
            ax.axvline(CHANCE, color=INK, linewidth=1, linestyle=(0, (4, 2)))
            for place, name in enumerate(names):
                for row in rows[rows["reader"] == name].itertuples():
                    look = (BLACK, "D") if name == ALL else (BLUE, "o")
                    if measure == "accuracy":
                        ax.plot([row.inner_low, row.inner_high], [place] * 2, color=look[0], linewidth=4.5,
                                solid_capstyle="butt")  # fmt: skip
                    interval_mark(ax, row.estimate, row.low, row.high, place, *look)
            ax.set_title(title)
            ax.set_xlabel(unit)
            ax.set_xlim(0, 1)
            ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
            ax.grid(axis="y", visible=False)
        counted = set(accuracy[accuracy["counted"] == "yes"]["reader"])
        labels = [reader_in_words(name, readers) + ("\nnot counted" if name not in counted else "") for name in names]
        axes[0, 0].set_yticks(range(len(names)), labels)
        axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
        handles = [
            *_marks(names),
            *axes[0, 0].plot([], [], color=INK, linewidth=1, linestyle=(0, (4, 2)), label="chance"),
            Patch(color=GRID, alpha=0.6, label="within 10 points of chance"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=4)
    return figure


def _marks(names: Sequence[str]) -> list:
    """Invisible lines for the legend."""
    one = Line2D([], [], color=BLUE, marker="o", markeredgecolor="white", markersize=7, linewidth=2.2)
    one.set_label("one reader: 95 %, broad 90 %")
    everyone = Line2D([], [], color=BLACK, marker="D", markeredgecolor="white", markersize=7, linewidth=2.2)
    everyone.set_label("all readers")
    return [one, everyone] if ALL in names else [one]


def _readers(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in dict.fromkeys(table["reader"])]


def reader_steps(steps: pd.DataFrame, readers: str, origin: str) -> Figure:
    """How often each of the six steps was chosen for real and for synthetic films, and the ROC curve of each reader.

    `steps` has the columns reader, origin, step (1–6), answers.
    """
    names = [name for name in _readers(steps) if name != ALL]
    everyone = steps[steps["reader"].isin(names)]
    with drawing(1, 2, 3.6, origin, width_ratios=[1.45, 1]) as (figure, axes):
        _step_bars(axes[0, 0], everyone)
        _step_curves(axes[0, 1], steps, names, readers)
    return figure


def _step_bars(ax: Axes, steps: pd.DataFrame) -> None:
    for side, (kind, (colour, hatch)) in zip((-0.2, 0.2), KIND_LOOKS.items(), strict=True):
        counts = steps[steps["origin"] == kind].groupby("step")["answers"].sum().reindex(range(1, 7), fill_value=0)
        share = 100 * counts / max(counts.sum(), 1)
        ax.bar(counts.index + side, share, 0.38, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.6,
               label=f"{kind} films ({counts.sum():,} answers)")  # fmt: skip
    ax.axvline(3.5, color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
    ax.set_xticks(range(1, 7), STEP_NAMES)
    ax.set_ylabel("% of the answers to such films")
    ax.set_title("What was answered")
    ax.grid(axis="x", visible=False)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.3)
    ax.legend(loc="upper left")


def _step_curves(ax: Axes, steps: pd.DataFrame, names: Sequence[str], readers: str) -> None:
    ax.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 2)), label="chance")
    shown = [*names, ALL] if len(names) > 1 else names
    for place, name in enumerate(shown):
        part = steps[steps["reader"] == name]
        colour, line, marker = LINE_LOOKS[0] if name == ALL else LINE_LOOKS[1 + place % (len(LINE_LOOKS) - 1)]
        curves = []
        for kind in ("real", "synthetic"):
            counts = part[part["origin"] == kind].groupby("step")["answers"].sum().reindex(range(1, 7), fill_value=0)
            curves.append(np.append(np.cumsum(counts.to_numpy()[::-1])[::-1], 0) / max(counts.sum(), 1))
        ax.plot(curves[1], curves[0], color=colour, linestyle=line, marker=marker, markersize=4,
                linewidth=2 if name == ALL else 1.2, label=reader_in_words(name, readers))  # fmt: skip
    ax.set_xlabel("synthetic films taken for real")
    ax.set_ylabel("real films taken for real")
    ax.set_title("From step to step")
    ax.set_aspect("equal")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.legend(loc="lower right", fontsize=7.5 if len(shown) > 4 else 8)


def reader_realism(shares: pd.DataFrame, realism: pd.DataFrame, readers: str, origin: str) -> Figure:
    """How realistic films of each label and origin looked: shares of the five answers, and the mean with its interval.

    `shares` has the columns label, origin, realism (1–5), answers; `realism` reader, label, origin, mean, mean_low,
    mean_high, of which the last reader named (all, or the only one) is drawn.
    """
    last = _readers(realism)[-1]
    kinds = [(label, kind) for label in ("negative", "positive") for kind in ("real", "synthetic")]
    with drawing(1, 2, 2.9, origin, sharey=True, width_ratios=[1.6, 1]) as (figure, axes):
        for place, (label, kind) in enumerate(kinds):
            chosen = shares[(shares["label"] == label) & (shares["origin"] == kind)]
            counts = chosen.groupby("realism")["answers"].sum().reindex(range(1, 6), fill_value=0).to_numpy(float)
            _share_bar(axes[0, 0], place, 100 * counts / max(counts.sum(), 1))
            rows = realism[(realism["reader"] == last) & (realism["label"] == label) & (realism["origin"] == kind)]
            for row in rows.itertuples():
                look = (BLUE, "o") if kind == "real" else (VERMILION, "s")
                interval_mark(axes[0, 1], row.mean, row.mean_low, row.mean_high, place, *look)
        axes[0, 0].set_yticks(range(4), [f"{label}, {kind}" for label, kind in kinds])
        axes[0, 0].set_ylim(3.5, -0.5)
        axes[0, 0].set_xlim(0, 100)
        axes[0, 0].set_xlabel("% of the answers")
        axes[0, 0].set_title("How realistic? From 1 (not at all) to 5")
        axes[0, 1].set_xlim(1, 5)
        axes[0, 1].set_xticks(range(1, 6))
        axes[0, 1].set_xlabel("mean, with its 95 % interval")
        axes[0, 1].set_title(reader_in_words(last, readers).capitalize())
        for ax in axes[0]:
            ax.grid(axis="y", visible=False)
        handles = [Patch(facecolor=shade, edgecolor=INK, linewidth=0.5, label=str(step))
                   for step, shade in enumerate(REALISM_SHADES, start=1)]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower left", ncols=5, handlelength=1.4)
    return figure


def _share_bar(ax: Axes, place: int, shares: np.ndarray) -> None:
    left = 0.0
    for step, (share, shade) in enumerate(zip(shares, REALISM_SHADES, strict=True), start=1):
        ax.barh(place, share, 0.66, left=left, color=shade, edgecolor=INK, linewidth=0.5)
        if share >= 6:
            colour = "white" if step in (1, 5) else INK
            ax.text(left + share / 2, place, str(step), ha="center", va="center", fontsize=8, color=colour)
        left += share


def artefact_map(film: np.ndarray, points: np.ndarray, artefacts: pd.DataFrame, origin: str) -> Figure:
    """Where readers marked something on synthetic films, over their mean, and what they marked, real beside synthetic.

    `film` uint8 (S, S); `points` (N, 2), x and y as fractions of width and height; `artefacts` has the columns origin,
    artefact, share, low, high (fractions).
    """
    with drawing(1, 2, 3.5, origin, width_ratios=[1, 1.25]) as (figure, axes):
        ax = axes[0, 0]
        ax.imshow(film, cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0), interpolation="bicubic")
        if len(points):
            heat = ax.imshow(_density(points), cmap="inferno", extent=(0, 1, 1, 0), interpolation="bicubic",
                             alpha=_opacity(points), vmin=0)  # fmt: skip
            bar = figure.colorbar(heat, ax=ax, location="left", shrink=0.8, pad=0.02)
            bar.set_label("marks per hundredth of the film", fontsize=8)
            ax.scatter(points[:, 0], points[:, 1], s=7, facecolor="white", edgecolor=INK, linewidth=0.4)
        ax.set_axis_off()
        ax.set_title(f"{len(points):,} marks, over the mean of the films")
        _artefact_bars(axes[0, 1], artefacts)
    return figure


CELLS, BLUR = 60, 0.045


def _density(points: np.ndarray) -> np.ndarray:
    """Marks per hundredth of the film's area, on a grid, (CELLS, CELLS): each mark is spread as a normal density."""
    centres = (np.arange(CELLS) + 0.5) / CELLS
    across, down = (np.exp(-((centres - points[:, [axis]]) ** 2) / (2 * BLUR**2)) for axis in (0, 1))
    return (down.T @ across) / (2 * np.pi * BLUR**2) / 100


def _opacity(points: np.ndarray) -> np.ndarray:
    """The film shines through where little is marked."""
    density = _density(points)
    return 0.75 * np.clip(density / max(density.max(), 1e-12) * 2, 0, 1)


def _artefact_bars(ax: Axes, artefacts: pd.DataFrame) -> None:
    names = [str(name) for name in dict.fromkeys(artefacts["artefact"])]
    for shift, (kind, colour, marker) in ((-0.16, ("synthetic", VERMILION, "s")), (0.16, ("real", BLUE, "o"))):
        for row in artefacts[artefacts["origin"] == kind].itertuples():
            if not np.isnan(row.share):
                place = names.index(row.artefact) + shift
                interval_mark(ax, 100 * row.share, 100 * row.low, 100 * row.high, place, colour, marker)
        ax.plot([], [], color=colour, marker=marker, markeredgecolor="white", linewidth=2.2, label=f"{kind} films")
    ax.set_yticks(range(len(names)), ["anything" if name == "any" else name for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("% of the answers, with Wilson's 95 % interval")
    ax.set_title("What was marked")
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right")


def reading_time(seconds: pd.DataFrame, readers: str, origin: str) -> Figure:
    """Seconds per task of each reader, block by block, on a logarithmic axis: every answer, and the median.

    `seconds` has the columns reader, block (A, B, C), seconds.
    """
    names = _readers(seconds)
    blocks = [block for block in BLOCK_NAMES if (seconds["block"] == block).any()]
    with drawing(1, len(blocks), 1.35 + 0.3 * len(names), origin, sharey=True, sharex=True) as (figure, axes):
        shortest, longest = seconds["seconds"][seconds["seconds"] > 0].quantile([0, 1])
        for ax, block in zip(axes[0], blocks, strict=True):
            for place, name in enumerate(names):
                found = seconds[(seconds["block"] == block) & (seconds["reader"] == name)]["seconds"].to_numpy(float)
                found = found[found > 0]
                if len(found):
                    jitter = 0.22 * (((np.arange(len(found)) * 0.618) % 1) * 2 - 1)
                    ax.plot(found, place + jitter, ".", color=SKY, markersize=3.5)
                    middle = np.median(found)
                    ax.plot([middle, middle], [place - 0.34, place + 0.34], color=BLACK, linewidth=2)
                    ax.annotate(f"{middle:.0f} s", (middle, place - 0.34), xytext=(3, 1), textcoords="offset points",
                                fontsize=7.5)  # fmt: skip
            ax.set_xscale("log")
            ax.set_xticks([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
            ax.set_xlim(shortest / 1.3, longest * 1.3)
            ax.set_title(BLOCK_NAMES[block])
            ax.set_xlabel("seconds")
            ax.grid(axis="y", visible=False)
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            ax.minorticks_off()
        axes[0, 0].set_yticks(range(len(names)), [reader_in_words(name, readers) for name in names])
        axes[0, 0].set_ylim(len(names) - 0.5, -0.6)
    return figure
