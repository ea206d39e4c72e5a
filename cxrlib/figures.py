"""The book's figures: arrays and tables in, matplotlib figures out. (Figures made of films: `film_sheets.py`.)

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
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

WIDTH_INCHES = 8.0
DOTS_PER_INCH = 160

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#222222", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
INK, MUTED, GRID = "#222222", "#6b6b6b", "#dddddd"
LINE_LOOKS = (
    (BLACK, "-", "o"), (BLUE, (0, (5, 1.5)), "s"), (VERMILION, (0, (5, 1.5, 1, 1.5)), "D"), (GREEN, (0, (1, 1)), "^"),
    (PURPLE, (0, (3, 1, 1, 1, 1, 1)), "v"), (ORANGE, (0, (8, 2)), "P"), (SKY, "-", "X"),
)  # fmt: skip

METRIC_NAMES = {
    "accuracy": "accuracy",
    "f1_positive": "F1, positive",
    "f1_negative": "F1, negative",
    "precision_positive": "precision, positive",
    "precision_negative": "precision, negative",
    "recall_positive": "recall, positive",
    "recall_negative": "recall, negative",
    "roc_auc": "area under ROC",
    "average_precision": "average precision",
}

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


def panels(rows: int, columns: int, height_inches: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """An empty figure of the book's width with `rows` × `columns` axes; the axes come as an object array (rows,
    columns). It belongs to no window, so nothing shows it but the caller."""
    with style():
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes


def mark_origin(figure: Figure, origin: str) -> None:
    """Print in the lower right corner where the films behind the figure come from."""
    figure.supxlabel(origin, x=0.995, ha="right", fontsize=7.5, color=MUTED, style="italic")


def training_curves(
    logs: Mapping[str, pd.DataFrame], x: str, quantities: Mapping[str, str], x_name: str, origin: str
) -> Figure:
    """One panel per quantity (column → name), one line per log; `x` is the column along the horizontal axis.

    The bold line is the running mean over a twelfth of the log, the faint one the log itself.
    """
    figure, axes = panels(1, len(quantities), 2.9)
    with style():
        for ax, (column, name) in zip(axes[0], quantities.items(), strict=True):
            for (log_name, log), (colour, line, _) in zip(logs.items(), _looks(len(logs)), strict=False):
                if column in log:
                    known = log[[x, column]].dropna()
                    smooth = known[column].rolling(max(1, len(known) // 12), center=True, min_periods=1).mean()
                    ax.plot(known[x], known[column], color=colour, linewidth=0.6, alpha=0.35)
                    ax.plot(known[x], smooth, color=colour, linestyle=line, label=log_name)
            ax.set(xlabel=x_name, title=name)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        _legend_below(figure, axes[0, 0])
        mark_origin(figure, origin)
    return figure


def _looks(count: int) -> list[tuple[str, Any, str]]:
    return [LINE_LOOKS[index % len(LINE_LOOKS)] for index in range(count)]


def _legend_below(figure: Figure, ax: Axes, columns: int = 4) -> None:
    handles, texts = ax.get_legend_handles_labels()
    if handles:
        figure.legend(handles, texts, loc="outside lower left", ncols=min(columns, len(handles)))


def quality_intervals(quality: pd.DataFrame, names: Mapping[str, str], origin: str) -> Figure:
    """Kernel distances with intervals: a panel per label, a line per comparison (`names` says what each compares).

    `quality` has the columns label, comparison, kid, kid_low, kid_high.
    """
    labels = list(dict.fromkeys(quality["label"]))
    comparisons = [key for key in names if key in set(quality["comparison"])]
    figure, axes = panels(1, len(labels), 0.9 + 0.42 * len(comparisons), sharex=True, sharey=True)
    with style():
        for ax, label in zip(axes[0], labels, strict=True):
            for index, comparison in enumerate(comparisons):
                colour, _, marker = LINE_LOOKS[index]
                found = quality[(quality["label"] == label) & (quality["comparison"] == comparison)]
                for kid, low, high in found[["kid", "kid_low", "kid_high"]].to_numpy():
                    _interval(ax, kid, low, high, index, colour, marker)
            ax.axvline(0, color=MUTED, linewidth=0.8)
            ax.set(title=label, xlabel="kernel distance", yticks=range(len(comparisons)))
            ax.set_yticklabels([names[comparison] for comparison in comparisons])
            ax.set_ylim(len(comparisons) - 0.5, -0.5)
            ax.grid(visible=False, axis="y")
        mark_origin(figure, origin)
    return figure


def _interval(ax: Axes, middle: float, low: float, high: float, y: float, colour: str, marker: str) -> None:
    ax.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
    ax.plot([middle], [y], marker=marker, color=colour, markersize=7, markeredgecolor="white", linestyle="none")


def composition(counts: pd.DataFrame, origin: str) -> Figure:
    """What each arm trains on: a bar per row of `counts` (index: arm), a stretch per column (count of films)."""
    figure, axes = panels(1, 1, 1.3 + 0.36 * len(counts))
    ax, left = axes[0, 0], np.zeros(len(counts))
    hatches = ("", "////", "", "////")
    colours = (SKY, SKY, VERMILION, VERMILION)
    with style():
        for column, colour, hatch in zip(counts.columns, colours, hatches, strict=False):
            values = counts[column].to_numpy(dtype=float)
            ax.barh(range(len(counts)), values, left=left, color=colour, hatch=hatch, edgecolor="white", height=0.66)
            left += values
        handles = [
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name)
            for name, colour, hatch in zip(counts.columns, colours, hatches, strict=False)
        ]
        for index, total in enumerate(left):
            ax.text(total, index, f" {total:,.0f}", va="center", fontsize=8.5)
        ax.set(xlabel="films per epoch", yticks=range(len(counts)), xlim=(0, left.max() * 1.12))
        ax.set_yticklabels(list(counts.index))
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        figure.legend(handles=handles, loc="outside lower left", ncols=4)
        mark_origin(figure, origin)
    return figure


def curves(table: pd.DataFrame, role: str, origin: str, seeds: pd.DataFrame | None = None) -> Figure:
    """ROC and precision–recall of one role: per arm the mean over seeds, and a band from the lowest to the highest.

    `table` has role, arm, seed, curve ("roc" or "precision_recall"), x, y in [0, 1]; `seeds` (roc_auc,
    average_precision per arm and seed) adds the mean areas to the legends.
    """
    figure, axes = panels(1, 2, 4.3)
    kinds = (
        ("roc", "1 − recall, negative", "recall, positive", "roc_auc", "lower right"),
        ("precision_recall", "recall, positive", "precision, positive", "average_precision", "lower left"),
    )
    with style():
        for ax, (kind, x_name, y_name, area, corner) in zip(axes[0], kinds, strict=True):
            chosen = table[(table["role"] == role) & (table["curve"] == kind)]
            for index, (arm, part) in enumerate(chosen.groupby("arm", sort=False)):
                name = f"{arm} ({_mean_area(seeds, role, arm, area)})" if seeds is not None else str(arm)
                _curve_band(ax, part, LINE_LOOKS[index % len(LINE_LOOKS)], name)
            ax.set(xlabel=x_name, ylabel=y_name, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
            ax.legend(loc=corner, title=f"{METRIC_NAMES[area]}, mean" if seeds is not None else None, fontsize=8)
        axes[0, 0].plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
        axes[0, 0].set_title("ROC")
        axes[0, 1].set_title("Precision and recall")
        mark_origin(figure, origin)
    return figure


def _mean_area(seeds: pd.DataFrame, role: str, arm: Any, area: str) -> str:
    return f"{seeds[(seeds['role'] == role) & (seeds['arm'] == arm)][area].mean():.3f}"


def _curve_band(ax: Axes, part: pd.DataFrame, look: tuple[str, Any, str], name: str) -> None:
    grid = np.linspace(0, 1, 201)
    lines = []
    for _, curve in part.groupby("seed"):
        ordered = curve.sort_values(["x", "y"], kind="stable")
        lines.append(np.interp(grid, ordered["x"], ordered["y"]))
    values = np.array(lines)
    colour, line, _ = look
    ax.fill_between(grid, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.14, linewidth=0)
    ax.plot(grid, values.mean(axis=0), color=colour, linestyle=line, label=name)


def differences(table: pd.DataFrame, role: str, metrics: Sequence[str], origin: str) -> Figure:
    """Each arm's difference to the baseline, in points of a hundred, with intervals: a panel per metric.

    `table` has role, arm, metric, difference, low, high as fractions.
    """
    chosen = table[table["role"] == role]
    arms = [arm for arm in dict.fromkeys(chosen["arm"]) if arm != "baseline"]
    figure, axes = panels(1, len(metrics), 1.0 + 0.45 * max(len(arms), 1), sharey=True)
    with style():
        for ax, metric in zip(axes[0], metrics, strict=True):
            ax.axvline(0, color=MUTED, linewidth=1)
            for index, arm in enumerate(arms):
                colour, _, marker = LINE_LOOKS[(index + 1) % len(LINE_LOOKS)]
                found = chosen[(chosen["arm"] == arm) & (chosen["metric"] == metric)]
                for values in found[["difference", "low", "high"]].to_numpy() * 100:
                    _interval(ax, *values, index, colour, marker)
            ax.set(title=METRIC_NAMES[metric], xlabel="points", yticks=range(len(arms)), yticklabels=arms)
            ax.set_ylim(len(arms) - 0.5, -0.5)
            ax.grid(visible=False, axis="y")
        mark_origin(figure, origin)
    return figure


def seed_dots(table: pd.DataFrame, role: str, metrics: Sequence[str], origin: str) -> Figure:
    """Every training run as a dot, per arm and metric (in %), with a bar at the mean over seeds.

    `table` has role, arm, seed and a column per metric, as fractions.
    """
    chosen = table[table["role"] == role]
    arms = list(dict.fromkeys(chosen["arm"]))
    figure, axes = panels(1, len(metrics), 0.95 + 0.4 * len(arms), sharey=True)
    with style():
        for ax, metric in zip(axes[0], metrics, strict=True):
            for index, arm in enumerate(arms):
                colour, _, marker = LINE_LOOKS[index % len(LINE_LOOKS)]
                values = chosen[chosen["arm"] == arm][metric].to_numpy() * 100
                heights = index + np.linspace(-0.14, 0.14, len(values)) if len(values) > 1 else [index]
                ax.plot(values, heights, marker=marker, linestyle="none", color=colour, alpha=0.75, markersize=5,
                        markeredgecolor="white", markeredgewidth=0.5)  # fmt: skip
                ax.plot([np.mean(values)] * 2, [index - 0.3, index + 0.3], color=colour, linewidth=2.2)
            ax.set(title=METRIC_NAMES[metric], xlabel="%", yticks=range(len(arms)), yticklabels=arms)
            ax.set_ylim(len(arms) - 0.5, -0.5)
            ax.grid(visible=False, axis="y")
        mark_origin(figure, origin)
    return figure


def confusion_matrices(counts: Mapping[str, np.ndarray], origin: str) -> Figure:
    """One 2 × 2 table per name: [[true positive, false negative], [false positive, true negative]], as counts.

    The shade follows the share within the row, so that classes of different size can be compared.
    """
    figure, axes = panels(1, len(counts), WIDTH_INCHES / max(len(counts), 3) + 0.65)
    with style():
        for ax, (name, cells) in zip(axes[0], counts.items(), strict=True):
            cells = np.asarray(cells, dtype=float)
            shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
            ax.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)
            for (row, column), value in np.ndenumerate(cells):
                dark = shares[row, column] > 0.7
                text = f"{value:,.0f}\n{100 * shares[row, column]:.0f} %"
                ax.text(column, row, text, ha="center", va="center", color="white" if dark else INK)
            ax.set(title=name, xticks=(0, 1), yticks=(0, 1), xlabel="answer")
            ax.set_xticklabels(["positive", "negative"])
            ax.set_yticklabels(["positive", "negative"], rotation=90, va="center")
            ax.grid(visible=False)
            ax.tick_params(length=0)
        axes[0, 0].set_ylabel("truth")
        mark_origin(figure, origin)
    return figure
