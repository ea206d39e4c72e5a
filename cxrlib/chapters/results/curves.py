"""Figures over all thresholds: ROC, precision and recall, calibration, decisions, and one threshold's place on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.chapters.style import BLACK, MUTED, VERMILION, arm_look, arms_of, drawing, legend_below
from cxrlib.evaluation.metrics import METRIC_NAMES

ARMS_PER_LINE = 3
CURVES = (
    ("roc", "1 − recall, negative", "recall, positive", "roc_auc"),
    ("precision_recall", "recall, positive", "precision, positive", "average_precision"),
)


def curves(
    table: pd.DataFrame, role: str, origin: str, seeds: pd.DataFrame | None = None, arms: Sequence[str] | None = None
) -> Figure:
    """ROC above precision–recall, a column per arm, each against the baseline.

    Lines are means over models (of seeds and folds), bands reach from the lowest to the highest. `table` has role, arm,
    seed, fold, curve
    ("roc" or "precision_recall"), x, y in [0, 1]; `seeds` (roc_auc, average_precision per arm and seed) adds the mean
    areas. `arms` chooses some of the table's.
    """
    chosen = table[table["role"] == role]
    others = [arm for arm in arms_of(chosen, arms) if arm != "baseline"] or ["baseline"]
    columns = min(len(others), ARMS_PER_LINE)
    lines = -(-len(others) // columns)
    side = 7.4 / max(columns, 2)
    with drawing(2 * lines, columns, 2 * lines * (min(side, 2.45) + 0.42), origin, sharex=True, sharey=True) as (
        figure,
        axes,
    ):
        for index, arm in enumerate(others):
            line, column = divmod(index, columns)
            for kind, ax in zip(CURVES, axes[2 * line : 2 * line + 2, column], strict=True):
                _against_baseline(ax, chosen[chosen["curve"] == kind[0]], arm, kind, seeds, role)
            axes[2 * line, column].set_title(arm)
        for ax in axes.ravel():
            if not ax.has_data():
                ax.set_axis_off()
    return figure


def _against_baseline(
    ax: Axes, points: pd.DataFrame, arm: str, kind: tuple[str, ...], seeds: pd.DataFrame | None, role: str
) -> None:
    curve, x_name, y_name, area = kind
    names = list(dict.fromkeys(("baseline", arm)))
    for name in names:
        part = points[points["arm"] == name]
        if len(part):
            _curve_band(ax, part, arm_look(name))
    if curve == "roc":
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    if seeds is not None:
        text = "\n".join(f"{name}  {_mean_area(seeds, role, name, area)}" for name in names)
        ax.text(0.97 if curve == "roc" else 0.03, 0.03, f"{METRIC_NAMES[area]}\n{text}", transform=ax.transAxes,
                ha="right" if curve == "roc" else "left", va="bottom", fontsize=8, linespacing=1.3,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5})  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    ax.tick_params(labelbottom=True)
    ax.set_xlabel(x_name)
    if ax.get_subplotspec().is_first_col():
        ax.set_ylabel(y_name)


def _mean_area(seeds: pd.DataFrame, role: str, arm: str, area: str) -> str:
    values = seeds[(seeds["role"] == role) & (seeds["arm"] == arm)][area]
    return f"{values.mean():.3f}" if len(values) else "–"


def _curve_band(ax: Axes, part: pd.DataFrame, look: tuple[str, Any, str]) -> None:
    grid = np.linspace(0, 1, 201)
    stepped = (part["curve"] == "precision_recall").all()
    values = np.array([_heights(curve, grid, stepped) for _, curve in part.groupby(["seed", "fold"])])
    colour, line, _ = look
    ax.fill_between(grid, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.16, linewidth=0)
    ax.plot(grid, values.mean(axis=0), color=colour, linestyle=line)


def _heights(curve: pd.DataFrame, grid: np.ndarray, stepped: bool) -> np.ndarray:
    """A curve's heights on a grid; `stepped`, the precision of the highest threshold that reaches each recall.

    Between two thresholds precision does not run straight (Davis and Goadrich 2006); the area under the steps is the
    average precision.
    """
    if not stepped:
        ordered = curve.sort_values(["x", "y"], kind="stable")
        return np.interp(grid, ordered["x"], ordered["y"])
    ordered = curve.sort_values(["x", "y"], ascending=[True, False], kind="stable")
    at = np.searchsorted(ordered["x"].to_numpy(), grid - 1e-12)
    return ordered["y"].to_numpy()[np.minimum(at, len(ordered) - 1)]


def reliability(table: pd.DataFrame, role: str, origin: str, arms: Sequence[str] | None = None) -> Figure:
    """How often the answer is right when it says how sure it is: a panel per arm, raw and temperature-scaled.

    `table` has role, arm, bin, p_mean, positive_share, low, high, films, calibrated. Upright lines are the scaled
    ones' intervals.
    """
    chosen = table[(table["role"] == role) & (table["films"] > 0)]
    names = arms_of(chosen, arms)
    columns = min(max(len(names), 1), ARMS_PER_LINE)
    lines = -(-max(len(names), 1) // columns)
    with drawing(lines, columns, 0.45 + lines * 2.75, origin, sharex=True, sharey=True) as (figure, axes):
        kinds = ((False, "as it comes", MUTED, (0, (4, 2)), "s"), (True, "temperature-scaled", BLACK, "-", "o"))
        for ax, arm in zip(axes.ravel(), names, strict=False):
            ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
            for calibrated, name, colour, line, marker in kinds:
                part = chosen[(chosen["arm"] == arm) & (chosen["calibrated"].astype(bool) == calibrated)]
                part = part.sort_values("bin")
                for row in part[part["calibrated"].astype(bool)].itertuples():
                    ax.plot([row.p_mean] * 2, [row.low, row.high], color=colour, linewidth=0.9, alpha=0.6)
                places = part["p_mean"], part["positive_share"]
                ax.plot(*places, color=colour, linestyle=line, linewidth=1.2, marker=marker, markersize=3.5, label=name)
                ax.scatter(*places, s=40, marker=marker, edgecolor=colour, linewidth=1.1,
                           facecolor="white" if not calibrated else colour, zorder=3)  # fmt: skip
            ax.set(title=arm, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            ax.tick_params(labelbottom=True)
        for ax in axes.ravel()[len(names) :]:
            ax.set_axis_off()
        for ax in axes[:, 0]:
            ax.set_ylabel("share of positive films")
        for ax in axes.ravel()[max(len(names) - columns, 0) : len(names)]:
            ax.set_xlabel("probability given")
        legend_below(figure, axes[0, 0])
    return figure


def decision_curve(table: pd.DataFrame, role: str, origin: str, arms: Sequence[str] | None = None) -> Figure:
    """Net benefit over the threshold probability, intervals as bands: a panel per arm, beside the baseline, calling all
    films positive and calling none.

    `table` has role, arm (also "treat-all" and "treat-none"), threshold in [0, 1], net_benefit, low and high (Vickers
    and Elkin 2006).
    """
    chosen = table[table["role"] == role]
    rules = {"treat-all": ("call every film positive", ":"), "treat-none": ("call none positive", "-")}
    others = [arm for arm in arms_of(chosen, arms) if arm not in (*rules, "baseline")]
    base = [arm for arm in arms_of(chosen, arms) if arm == "baseline"]
    columns = min(max(len(others), 1), ARMS_PER_LINE)
    lines = -(-max(len(others), 1) // columns)
    highest = max(0.05, chosen.loc[~chosen["arm"].isin(rules), "net_benefit"].max())
    with drawing(lines, columns, 0.6 + 2.1 * lines, origin, sharex=True, sharey=True) as (figure, axes):
        for ax, arm in zip(axes.ravel(), others or [""], strict=False):
            for rule, (name, line) in rules.items():
                rows = chosen[chosen["arm"] == rule]
                ax.plot(
                    rows["threshold"] * 100, rows["net_benefit"], color=MUTED, linestyle=line, linewidth=1.2, label=name
                )
            for name in (*base, *([arm] if arm else [])):
                rows = chosen[chosen["arm"] == name]
                colour, line, _ = arm_look(name)
                percents = rows["threshold"] * 100
                ax.fill_between(percents, rows["low"], rows["high"], color=colour, alpha=0.14, linewidth=0)
                label = name if name in base else "_the arm of its panel"
                ax.plot(percents, rows["net_benefit"], color=colour, linestyle=line, label=label)
            ax.set(title=arm, xlim=(0, 100), ylim=(-0.25 * highest, 1.1 * highest), xticks=(0, 50, 100))
            ax.tick_params(labelbottom=True)
        for ax in axes.ravel()[max(len(others), 1) :]:
            ax.set_axis_off()
        for ax in axes[:, 0]:
            ax.set_ylabel("net benefit")
        for ax in axes.ravel()[max(len(others) - columns, 0) : max(len(others), 1)]:
            ax.set_xlabel("threshold (%)")
        legend_below(figure, axes[0, 0])
    return figure


def operating_point(
    models: Sequence[Mapping[str, tuple[np.ndarray, np.ndarray]]], counts: np.ndarray, threshold: float, origin: str
) -> Figure:
    """One threshold: its confusion counts, and its place on the ROC and precision–recall curves of each model.

    `models` hold x and y of "roc" and "precision_recall", a model for each fold, whose films are ranked among
    themselves; `counts` is [[true positive, false negative], [false positive, true negative]] at `threshold`, (models,
    2, 2).
    """
    from cxrlib.chapters.results.figures import draw_confusion

    recall, alarms, precision = _shares(counts.sum(axis=0))
    titles = (
        f"finds {100 * recall:.0f} %, {100 * alarms:.0f} % false alarms",
        f"{100 * precision:.0f} % of alarms are right",
    )
    with drawing(1, 3, 3.1, origin) as (figure, axes):
        draw_confusion(axes[0, 0], counts.sum(axis=0), f"threshold {threshold:.2f}")
        axes[0, 0].set_ylabel("truth")
        for ax, kind, title in zip(axes[0, 1:], CURVES, titles, strict=True):
            curve, x_name, y_name, _ = kind
            for points, of_model in zip(models, counts, strict=True):
                recall, alarms, precision = _shares(of_model)
                place = (alarms, recall) if curve == "roc" else (recall, precision)
                ax.plot(*points[curve], color=BLACK, drawstyle="steps-post" if curve == "roc" else "default")
                ax.plot(*place, marker="D", color=VERMILION, markersize=9, markeredgecolor="white", linestyle="none")
            ax.set(xlabel=x_name, ylabel=y_name, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
            ax.set(title=title, xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    return figure


def _shares(counts: np.ndarray) -> tuple[float, float, float]:
    """Recall, rate of false alarms and precision; of no alarm, 1."""
    (tp, fn), (fp, tn) = np.asarray(counts, dtype=float)
    return tp / max(tp + fn, 1), fp / max(fp + tn, 1), tp / (tp + fp) if tp + fp else 1.0
