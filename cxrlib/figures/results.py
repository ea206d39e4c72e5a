"""Figures of the results: arms, seeds, curves, confusion."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.figures.style import (
    INK,
    LINE_LOOKS,
    METRIC_NAMES,
    MUTED,
    WIDTH_INCHES,
    interval_mark,
    mark_origin,
    panels,
    style,
)


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
                    interval_mark(ax, *values, index, colour, marker)
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
