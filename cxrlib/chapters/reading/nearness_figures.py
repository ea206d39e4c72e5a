"""Figures of the synthetic films as films: how near they come to real ones, and their lungs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.chapters.style import BLUE, MUTED, VERMILION, drawing, legend_below

BINS = 26
# Beyond these shares of all values a panel ends, so that one odd film does not squeeze the others together.
SHOWN_SHARES = (0.001, 0.999)


@dataclass(frozen=True)
class NearnessPanel:
    """One panel: distances of synthetic films (N,) and of real films (M,) to training films, and the threshold."""

    title: str
    synthetic: np.ndarray
    real: np.ndarray
    threshold: float


def nearness_to_training(rows: Sequence[Sequence[NearnessPanel]], axis_names: Sequence[str], origin: str) -> Figure:
    """How near synthetic films come to training films, beside real films of other patients: a row of panels per label.

    `axis_names` name the distance of each column. Left of the dashed line a film is flagged.
    """
    with drawing(len(rows), len(axis_names), 0.5 + 2.1 * len(rows), origin, sharex="col") as (figure, axes):
        for line, row in zip(axes, rows, strict=True):
            for ax, panel, name in zip(line, row, axis_names, strict=True):
                groups = {"synthetic films": panel.synthetic, "real films of other patients": panel.real}
                _beside_each_other(ax, groups)
                ax.axvline(panel.threshold, color=MUTED, linestyle=(0, (4, 2)), linewidth=1.4, label="flagged below")
                ax.set_title(panel.title)
                ax.set_xlim(left=0)
                if ax.get_subplotspec().is_last_row():
                    ax.set_xlabel(name)
            line[0].set_ylabel("share of films")
        legend_below(figure, axes[0, 0])
    return figure


def lungs_beside_real(measures: pd.DataFrame, names: Mapping[str, str], origin: str) -> Figure:
    """Distributions of lung measures, synthetic beside real: a row of panels per label, a column per measure.

    `measures` has the columns origin ("synthetic" or "real"), label and those that `names` (column → name) lists.
    """
    labels = list(dict.fromkeys(measures["label"]))
    with drawing(len(labels), len(names), 0.5 + 2.1 * len(labels), origin, sharex="col") as (figure, axes):
        for line, label in zip(axes, labels, strict=True):
            of_label = measures[measures["label"] == label]
            for ax, (column, name) in zip(line, names.items(), strict=True):
                groups = {
                    f"{kind} films": of_label.loc[of_label["origin"] == kind, column].to_numpy(float)
                    for kind in ("synthetic", "real")
                }
                _beside_each_other(ax, groups)
                ax.set_title(label)
                if ax.get_subplotspec().is_last_row():
                    ax.set_xlabel(name)
            line[0].set_ylabel("share of films")
        legend_below(figure, axes[0, 0])
    return figure


def _beside_each_other(ax: Axes, groups: Mapping[str, np.ndarray]) -> None:
    """Histograms of the same bins: the first filled, the second as a line, so that grey print tells them apart."""
    known = {name: values[np.isfinite(values)] for name, values in groups.items()}
    both = np.concatenate(list(known.values()))
    if len(both) == 0:
        return
    low, high = np.quantile(both, SHOWN_SHARES)
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    looks = ({"color": VERMILION, "alpha": 0.45, "fill": True}, {"color": BLUE, "linewidth": 1.6})
    for (name, values), look in zip(known.items(), looks, strict=True):
        shares = np.histogram(np.clip(values, low, high), edges)[0] / max(len(values), 1)
        ax.stairs(shares, edges, label=name, **look)
    ax.set_ylim(bottom=0)
