"""Figures of the results at a threshold: seeds, differences, doses, subgroups, and the paper beside."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.chapters.style import (
    BLACK,
    INK,
    MUTED,
    VERMILION,
    arm_look,
    arms_of,
    chosen_rows,
    drawing,
    interval_mark,
    named_lines,
    unit_of,
)
from cxrlib.evaluation.metrics import METRIC_NAMES


def seed_dots(
    table: pd.DataFrame, role: str, metrics: Sequence[str], origin: str, table2: pd.DataFrame | None = None
) -> Figure:
    """Every training run as a dot, per arm and metric (in %), and below the dots a bar at the mean over seeds.

    `table` has role, arm, seed and a column per metric, as fractions; `table2` adds the interval of the mean, over
    patients and training runs.
    """
    chosen = chosen_rows(table, role)
    arms = arms_of(chosen)
    with drawing(1, len(metrics), 0.95 + 0.4 * len(arms), origin, sharey=True) as (figure, axes):
        for ax, metric in zip(axes[0], metrics, strict=True):
            for index, arm in enumerate(arms):
                colour, _, marker = arm_look(arm, index)
                values = chosen[chosen["arm"] == arm][metric].to_numpy() * 100
                heights = index + np.linspace(-0.3, 0.02, len(values)) if len(values) > 1 else [index - 0.14]
                ax.plot(values, heights, marker=marker, linestyle="none", color=colour, alpha=0.8, markersize=4.5,
                        markeredgecolor="white", markeredgewidth=0.4)  # fmt: skip
                ax.plot([np.mean(values)] * 2, [index + 0.13, index + 0.43], color=colour, linewidth=2.4)
                if table2 is not None:
                    rows = chosen_rows(table2, role)
                    for low, high in rows.loc[rows["arm"] == arm, [f"{metric}_low", f"{metric}_high"]].to_numpy() * 100:
                        ax.plot([low, high], [index + 0.28] * 2, color=colour, linewidth=1.3, marker="|", markersize=5)
            named_lines(ax, arms, title=METRIC_NAMES[metric], xlabel="%")
    return figure


def differences(
    table: pd.DataFrame, role: str, metrics: Sequence[str], origin: str, operating_point: str = "fixed"
) -> Figure:
    """Each arm's difference to the baseline, of shares in points of a hundred, with intervals: a panel per metric.

    `table` has role, arm, metric, difference, low, high as fractions and, where there are several, operating_point.
    """
    chosen = chosen_rows(table, role, operating_point)
    arms = [arm for arm in arms_of(chosen) if arm != "baseline"]
    with drawing(1, len(metrics), 1.0 + 0.42 * max(len(arms), 1), origin, sharey=True) as (figure, axes):
        for ax, metric in zip(axes[0], metrics, strict=True):
            scale, unit = unit_of(metric)
            ax.axvline(0, color=MUTED, linewidth=1)
            for index, arm in enumerate(arms):
                colour, _, marker = arm_look(arm, index + 1)
                found = chosen[(chosen["arm"] == arm) & (chosen["metric"] == metric)]
                for values in found[["difference", "low", "high"]].to_numpy() * scale:
                    interval_mark(ax, *values, index, colour, marker)
            named_lines(ax, arms, title=METRIC_NAMES[metric], xlabel="points" if unit else "")
    return figure


def dose_curve(table: pd.DataFrame, dots: pd.DataFrame, role: str, metrics: Sequence[str], origin: str) -> Figure:
    """A metric over the share of synthetic films added: every run, the mean, and its interval, a panel per metric.

    `table` has role, dose_percent, metric, estimate, low, high; `dots` role, dose_percent, seed, metric, estimate
    (or `value`), as fractions.
    """
    with drawing(1, len(metrics), 2.9, origin, sharex=True) as (figure, axes):
        value = "estimate" if "estimate" in dots else "value"
        for ax, metric in zip(axes[0], metrics, strict=True):
            mean = table[(table["role"] == role) & (table["metric"] == metric)].sort_values("dose_percent")
            runs = dots[(dots["role"] == role) & (dots["metric"] == metric)]
            scale, unit = unit_of(metric)
            bounds = scale * np.abs(mean[["low", "high"]].to_numpy().T - mean["estimate"].to_numpy())
            middle, dots_at = scale * mean["estimate"], runs["dose_percent"] + 2.5
            ax.errorbar(mean["dose_percent"], middle, bounds, color=VERMILION, marker="D", markersize=6, capsize=3,
                        elinewidth=2, markeredgecolor="white")  # fmt: skip
            ax.plot(dots_at, scale * runs[value], linestyle="none", marker="o", color=BLACK, alpha=0.6, markersize=3.5,
                    markeredgewidth=0)  # fmt: skip
            ax.set(
                title=METRIC_NAMES[metric], xlabel="synthetic films added (%)", xticks=sorted(set(mean["dose_percent"]))
            )
            ax.set_xlim(-6, 108)
            ax.set_ylabel(unit)
    return figure


def subgroups(table: pd.DataFrame, role: str, metric: str, arms: Sequence[str], origin: str) -> Figure:
    """One metric in parts of the films, a line per level with its interval for each of `arms`, and counts beside it.

    `table` has role, arm, subgroup, level, metric, films, patients, positives, estimate, low, high, suppressed: a
    suppressed level is of too few patients, and says so instead.
    """
    chosen = table[(table["role"] == role) & (table["metric"] == metric) & table["arm"].isin(list(arms))]
    levels = list(dict.fromkeys(zip(chosen["subgroup"], chosen["level"].astype(str), strict=True)))
    groups = list(dict.fromkeys(group for group, _ in levels))
    heights = {level: index + 0.8 * groups.index(level[0]) for index, level in enumerate(levels)}
    last = max(heights.values(), default=0)
    with drawing(1, 2, 1.25 + 0.27 * (last + 1), origin, width_ratios=(3, 1.15), sharey=True) as (figure, axes):
        ax, beside = axes[0]
        for level, y in heights.items():
            rows = chosen[(chosen["subgroup"] == level[0]) & (chosen["level"].astype(str) == level[1])]
            _subgroup_line(ax, beside, rows, arms, y)
        for index, arm in enumerate(arms):
            colour, _, marker = arm_look(arm, index)
            ax.plot([], [], color=colour, marker=marker, linewidth=2.2, label=arm)
        names = [f"{group}: {level}" for group, level in heights]
        named_lines(ax, names, list(heights.values()), xlabel=f"{METRIC_NAMES[metric]} (%)", xlim=(-3, 103))
        ax.set_ylim(last + 0.7, -1.1)
        beside.set_axis_off()
        for x, text in ((0.1, "films"), (0.45, "patients"), (0.85, "positive")):
            beside.text(x, -0.85, text, ha="center", fontsize=8, color=MUTED, transform=beside.get_yaxis_transform())
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=len(arms))
    return figure


def _subgroup_line(ax: Axes, beside: Axes, rows: pd.DataFrame, arms: Sequence[str], y: float) -> None:
    where = beside.get_yaxis_transform()
    if rows["suppressed"].astype(bool).any():
        beside.text(0.1, y, "too few patients to show", va="center", fontsize=8, color=MUTED, transform=where)
        return
    for index, arm in enumerate(arms):
        colour, _, marker = arm_look(arm, index)
        offset = 0.26 * (index - (len(arms) - 1) / 2)
        for values in rows[rows["arm"] == arm][["estimate", "low", "high"]].to_numpy() * 100:
            if np.isfinite(values[0]):
                interval_mark(ax, *values, y + offset, colour, marker)
    for x, column in ((0.1, "films"), (0.45, "patients"), (0.85, "positives")):
        count = rows[column].iloc[0]
        text = "–" if pd.isna(count) else f"{count:,.0f}"
        beside.text(x, y, text, ha="center", va="center", fontsize=8.5, color=INK, transform=where)


def paper_beside(
    ours: pd.DataFrame, paper: pd.DataFrame, metrics: Sequence[str], origin: str, arms: Sequence[str] | None = None
) -> Figure:
    """The paper's Table 2 on its hospital above this study's on its own: estimates with intervals, in %.

    `ours` is the hospital's part of table2 with a column and bounds per metric, `paper` the paper's table with dataset
    "test". Only the pattern compares: the films are different ones.
    """
    theirs = paper[paper["dataset"] == "test"]
    own = chosen_rows(ours, "hospital")
    rows: list[tuple[str, Any, tuple[str, Any, str]]] = [
        (f"{row['model']} (the paper)", row, arm_look("synthetic" if "Synth" in row["model"] else "baseline"))
        for _, row in theirs.iterrows()
    ]
    rows += [(arm, own[own["arm"] == arm].iloc[0], arm_look(arm)) for arm in arms_of(own, arms)]
    heights = [index + (0.5 if index >= len(theirs) else 0) for index in range(len(rows))]
    with drawing(1, len(metrics), 1.1 + 0.38 * (len(rows) + 0.5), origin, sharey=True) as (figure, axes):
        for ax, metric in zip(axes[0], metrics, strict=True):
            for (_, row, (colour, _, marker)), y in zip(rows, heights, strict=True):
                interval_mark(ax, *(100 * row[f"{metric}{end}"] for end in ("", "_low", "_high")), y, colour, marker)
            ax.axhline(len(theirs) - 0.25, color=MUTED, linewidth=0.8, linestyle=":")
            named_lines(ax, [name for name, *_ in rows], heights, title=METRIC_NAMES[metric], xlabel="%")
    return figure


def draw_confusion(ax: Axes, cells: np.ndarray, name: str) -> None:
    """[[true positive, false negative], [false positive, true negative]] as counts on its axes.

    The shade follows the share within the row, so that classes of different size can be compared.
    """
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
