"""Figures of what generators and classifiers learned from, and how it went."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cxrlib.chapters.style import (
    INK,
    LINE_LOOKS,
    MUTED,
    arm_look,
    drawing,
    interval_mark,
    legend_below,
    named_lines,
    note,
)

SHARES = ("precision", "recall", "coverage")
RING: Mapping[str, Any] = {
    "marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.4,
    "linestyle": "none",
}  # fmt: skip


def snapshot_curves(snapshots: Mapping[str, pd.DataFrame], origin: str) -> Figure:
    """How a generator changed from snapshot to snapshot, a line per name: kernel distance to films held out from its
    training, with its interval, and recall of the films it is trained on. The snapshot that was kept is ringed.

    Each table has the columns images, kid, kid_low, kid_high, recall, chosen; kid is empty where no film was held out.
    """
    with drawing(1, 2, 3.1, origin) as (figure, axes):
        for index, (name, table) in enumerate(snapshots.items()):
            look = arm_look(name, index)
            _distance_line(axes[0, 0], table, name, look)
            axes[0, 1].plot(table["images"], table["recall"], color=look[0], linestyle=look[1], marker=look[2])
            kept = table[table["chosen"]]
            _ring(axes[0, 1], kept["images"], kept["recall"])
        axes[0, 0].axhline(0, color=MUTED, linewidth=0.8)
        if all(table["kid"].isna().all() for table in snapshots.values()):
            text = "no film was held out,\nso that no distance was measured"
            axes[0, 0].text(0.5, 0.5, text, ha="center", va="center", color=MUTED, transform=axes[0, 0].transAxes)
        axes[0, 0].set(title="kernel distance to held-out films", xlabel="films shown")
        axes[0, 1].set(title="recall of the training films", xlabel="films shown", ylim=(-0.03, 1.03))
        for ax in axes[0]:
            ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        _legend_with_ring(figure, list(snapshots))
    return figure


def variant_curves(comparisons: pd.DataFrame, pairs: Mapping[str, Mapping[str, str]], origin: str) -> Figure:
    """The usual generator against one trained otherwise, a panel per pair (title → variant → what it is called).

    `comparisons` has the columns variant, images, kid, kid_low, kid_high, chosen; pairs that it lacks are left out.
    """
    there = set(comparisons["variant"])
    shown = {title: names for title, names in pairs.items() if set(names) <= there}
    if not shown or comparisons["kid"].isna().all():
        return note("this study has no generators trained another way to compare with", origin)
    with drawing(1, len(shown), 3.3, origin, sharey=True) as (figure, axes):
        for ax, (title, names) in zip(axes[0], shown.items(), strict=True):
            for index, (variant, name) in enumerate(names.items()):
                rows = comparisons[comparisons["variant"] == variant]
                _distance_line(ax, rows, name, LINE_LOOKS[index if index == 0 else 2])
            ax.axhline(0, color=MUTED, linewidth=0.8)
            ax.set(title=title, xlabel="films shown")
            ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        axes[0, 0].set_ylabel("kernel distance to held-out films")
    return figure


def _distance_line(ax: Axes, table: pd.DataFrame, name: str, look: tuple[str, Any, str]) -> None:
    """Kernel distances over films shown, a band for their intervals, a ring around the one that was kept."""
    colour, line, marker = look
    ax.fill_between(table["images"], table["kid_low"], table["kid_high"], color=colour, alpha=0.13, linewidth=0)
    ax.plot(table["images"], table["kid"], color=colour, linestyle=line, marker=marker, label=name)
    kept = table[table["chosen"]]
    _ring(ax, kept["images"], kept["kid"])


def _ring(ax: Axes, x: pd.Series, y: pd.Series) -> None:
    ax.plot(x, y, **RING)


def _legend_with_ring(figure: Figure, names: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=colour, linestyle=line, marker=marker, label=name)
        for name, (colour, line, marker) in ((name, arm_look(name, index)) for index, name in enumerate(names))
    ]
    figure.legend(handles=[*handles, Line2D([], [], label="kept", **RING)], loc="outside lower left", ncols=4)


def quality_intervals(
    quality: pd.DataFrame, comparisons: Mapping[str, str], measures: Mapping[str, str], origin: str
) -> Figure:
    """A panel per measure, a line per comparison, a mark with its interval per label.

    `quality` has the columns label, comparison, measure, estimate, low, high; `comparisons` and `measures` say what
    each is called, in the order in which they are drawn.
    """
    labels = list(dict.fromkeys(quality["label"]))
    shown = [key for key in comparisons if key in set(quality["comparison"])]
    drawn = [key for key in measures if key in set(quality["measure"])]
    columns = min(len(drawn), 2)
    lines = -(-len(drawn) // columns)
    with drawing(lines, columns, 0.6 + lines * (0.55 + 0.4 * len(shown)), origin, sharey=True) as (figure, axes):
        for ax, measure in zip(axes.flat, drawn, strict=False):
            rows = quality[quality["measure"] == measure].set_index(["comparison", "label"])
            for place, comparison in enumerate(shown):
                for index, label in enumerate(labels):
                    estimate, low, high = rows.loc[(comparison, label), ["estimate", "low", "high"]]
                    colour, _, marker = arm_look(label, index)
                    y = place + 0.24 * (index - (len(labels) - 1) / 2)
                    interval_mark(ax, estimate, low, high, y, colour, marker)
                    ax.plot([], [], color=colour, marker=marker, label=label if place == 0 else None)
            ax.axvline(0, color=MUTED, linewidth=0.8)
            named_lines(ax, [comparisons[comparison] for comparison in shown], title=measures[measure])
            if measure in SHARES:
                ax.set_xlim(-0.03, 1.03)
        for ax in axes.flat[len(drawn) :]:
            ax.set_axis_off()
        legend_below(figure, axes[0, 0])
    return figure
