"""Figures of what generators and classifiers learned from, and how it went."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from cxrlib.figures.style import (
    LINE_LOOKS,
    MUTED,
    SKY,
    VERMILION,
    arm_look,
    interval_mark,
    legend_below,
    mark_origin,
    panels,
    style,
)

SHARES = ("precision", "recall", "coverage")


def training_curves(
    logs: Mapping[str, pd.DataFrame], x: str, quantities: Mapping[str, str], x_name: str, origin: str
) -> Figure:
    """One panel per quantity (column → name), one line per log; `x` is the column along the horizontal axis.

    The bold line is the running mean over a twelfth of the log, the faint one the log itself.
    """
    figure, axes = panels(1, len(quantities), 2.9)
    with style():
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
        mark_origin(figure, origin)
    return figure


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
    figure, axes = panels(lines, columns, 0.6 + lines * (0.55 + 0.4 * len(shown)), sharey=True)
    with style():
        for ax, measure in zip(axes.flat, drawn, strict=False):
            rows = quality[quality["measure"] == measure].set_index(["comparison", "label"])
            for place, comparison in enumerate(shown):
                for index, label in enumerate(labels):
                    estimate, low, high = rows.loc[(comparison, label), ["estimate", "low", "high"]]
                    colour, _, marker = LINE_LOOKS[1 + index]
                    y = place + 0.24 * (index - (len(labels) - 1) / 2)
                    interval_mark(ax, estimate, low, high, y, colour, marker)
                    ax.plot([], [], color=colour, marker=marker, label=label if place == 0 else None)
            ax.axvline(0, color=MUTED, linewidth=0.8)
            ax.set(title=measures[measure], yticks=range(len(shown)))
            if measure in SHARES:
                ax.set_xlim(-0.03, 1.03)
            ax.set_yticklabels([comparisons[comparison] for comparison in shown])
            ax.set_ylim(len(shown) - 0.5, -0.5)
            ax.grid(visible=False, axis="y")
        for ax in axes.flat[len(drawn) :]:
            ax.set_axis_off()
        legend_below(figure, axes[0, 0])
        mark_origin(figure, origin)
    return figure


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
