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
                    interval_mark(ax, kid, low, high, index, colour, marker)
            ax.axvline(0, color=MUTED, linewidth=0.8)
            ax.set(title=label, xlabel="kernel distance", yticks=range(len(comparisons)))
            ax.set_yticklabels([names[comparison] for comparison in comparisons])
            ax.set_ylim(len(comparisons) - 0.5, -0.5)
            ax.grid(visible=False, axis="y")
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
