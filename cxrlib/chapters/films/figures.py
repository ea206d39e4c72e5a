"""Figures of the data: which films there are, what gives their labels away, and how the roles differ."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from cxrlib.chapters.style import BLUE, GRID, INK, LINE_LOOKS, MUTED, VERMILION, WIDTH_INCHES, drawing, named_lines
from cxrlib.chapters.words import role_word
from cxrlib.films.settings import EVERY_ROLE

# Contours of fewer films would show where each one lies.
FEWEST_FOR_CONTOURS = 20
LABEL_LOOKS = {"negative": (BLUE, "white", "o"), "positive": (VERMILION, VERMILION, "D")}
VIEW_LOOKS = (("#3b6fa0", ""), ("#b9cfe4", "///"), ("#8a8a8a", "..."), ("#d0d0d0", "xx"), ("#7a9a7a", "\\\\"))
NOT_KNOWN_LOOK = ("#efefef", "")
BOX_INCHES, GAP_INCHES, LINE_CHARACTERS = 0.72, 0.22, 24


def intensity_histograms(films: Mapping[str, np.ndarray], origin: str) -> Figure:
    """How often each grey level occurs, one line per set of films (uint8, any shape), in a legend.

    Borders of pure black or white can tower over everything else: peaks at either end are cut off.
    """
    with drawing(1, 1, 2.9, origin) as (figure, axes):
        ax = axes[0, 0]
        for (name, pixels), (colour, line, _) in zip(films.items(), LINE_LOOKS, strict=False):
            counts = np.bincount(np.asarray(pixels).ravel(), minlength=256).reshape(64, 4).sum(axis=1)
            percent = 100 * counts / max(counts.sum(), 1)
            ax.plot(np.arange(64) * 4 + 1.5, percent, color=colour, linestyle=line, label=role_word(name))
        ax.set(xlabel="grey level (0 black, 255 white)", ylabel="share of pixels (%)", xlim=(0, 255))
        inner = max(line.get_ydata()[4:-4].max() for line in ax.get_lines())
        ax.set_ylim(0, min(1.6 * inner, 1.05 * max(line.get_ydata().max() for line in ax.get_lines())))
        ax.legend()
    return figure


def film_flow(flow: pd.DataFrame, origin: str) -> Figure:
    """From films listed to films used, a column per role, in the manner of STARD's flow diagram (Bossuyt et al. 2015).

    `flow` has role, stage (listed, missing, unreadable, prepared, duplicate, used), reason, films, positive, negative.
    """
    roles = list(dict.fromkeys(flow["role"]))
    most = 1 + max(int(flow.loc[flow["role"] == role, "stage"].isin(["missing", "unreadable"]).sum()) for role in roles)
    left_inches = max(BOX_INCHES, 0.22 + 0.17 * most)
    steps = [BOX_INCHES, left_inches, BOX_INCHES, BOX_INCHES - 0.17, BOX_INCHES]
    height = sum(steps) + GAP_INCHES * (len(steps) - 1) + 0.45
    with drawing(1, len(roles), height, origin) as (figure, axes):
        for ax, role in zip(axes[0], roles, strict=True):
            ax.set(xlim=(0, 1), ylim=(height - 0.35, 0))
            ax.set_axis_off()
            ax.set_title(role_word(role))
            _draw_flow(ax, flow[flow["role"] == role], steps)
    return figure


def _draw_flow(ax: Axes, rows: pd.DataFrame, steps: Sequence[float]) -> None:
    by_stage = rows.set_index("stage")
    tops = np.concatenate([[0], np.cumsum(np.array(steps[:-1]) + GAP_INCHES)])
    out = rows[rows["stage"].isin(["missing", "unreadable"])]
    lost = [_shortened(f"{row.films:,} {row.reason or 'missing'}") for row in out.itertuples()] or ["none"]
    dropped = by_stage.loc["duplicate", "films"]
    texts = [
        ("named by the labels", _films(by_stage.loc["listed"])),
        ("left out", lost),
        ("found and read", _films(by_stage.loc["prepared"])),
        ("copies dropped", [f"{by_stage.loc['duplicate', 'films']:,}" if dropped else "none"]),
        ("used", _films(by_stage.loc["used"])),
    ]
    aside = (1, 3)
    for index, ((heading, lines), top, inches) in enumerate(zip(texts, tops, steps, strict=True)):
        left, width = (0.3, 0.7) if index in aside else (0.0, 0.78)
        _box(ax, left, top, width, inches, heading, lines, index in aside, bold=index == len(texts) - 1)
        if index in aside:
            middle = top + inches / 2
            _arrow(ax, (0.12, middle), (left, middle))
    for start, end in ((0, 2), (2, 4)):
        _arrow(ax, (0.12, tops[start] + steps[start]), (0.12, tops[end]))


def _films(row: pd.Series) -> list[str]:
    labels = [f"{row['positive']:,} positive, {row['negative']:,} neg."] if pd.notna(row["positive"]) else []
    return [f"{row['films']:,} films", *labels]


def _shortened(text: str) -> str:
    return text if len(text) <= LINE_CHARACTERS else f"{text[: LINE_CHARACTERS - 1]}…"


def _box(
    ax: Axes, left: float, top: float, width: float, inches: float, heading: str, lines: Sequence[str], aside: bool,
    bold: bool,
) -> None:  # fmt: skip
    from matplotlib.patches import FancyBboxPatch

    face = "#f3f3f3" if aside else "#e4eef7" if bold else "white"
    edge = MUTED if aside else INK
    box = FancyBboxPatch(
        (left + 0.01, top), width - 0.02, inches, boxstyle="round,pad=0,rounding_size=0.02", facecolor=face,
        edgecolor=edge, linewidth=1.4 if bold else 0.9, linestyle="--" if aside else "-", mutation_aspect=2,
    )  # fmt: skip
    ax.add_patch(box)
    for index, line in enumerate((heading, *lines)):
        weight = "bold" if index == 0 or bold else "normal"
        height = top + inches / 2 + 0.17 * (index - len(lines) / 2)
        ax.text(left + 0.04, height, line, va="center", fontsize=8, fontweight=weight, color=INK)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 0.9,
                                                      "shrinkA": 0, "shrinkB": 0})  # fmt: skip


def shortcut_areas(table: pd.DataFrame, origin: str) -> Figure:
    """How well each shortcut ranks the films of each role: area under the ROC curve with its interval.

    `table` has role, shortcut, learned_on (training or own), roc_auc, roc_auc_low, roc_auc_high; a panel per role.
    """
    shown = table[table["shortcut"] != "majority"]
    roles = list(dict.fromkeys(shown["role"]))
    lines = [("source", "training"), ("source", "own"), ("borders", "training"), ("borders", "own")]
    names = [
        f"{shortcut}, {'learned in training' if on == 'training' else 'in the role itself'}" for shortcut, on in lines
    ]
    with drawing(1, len(roles), 2.3, origin, sharey=True) as (figure, axes):
        for ax, role in zip(axes[0], roles, strict=True):
            ax.axvline(0.5, color=MUTED, linewidth=1)
            for y, (shortcut, on) in enumerate(lines):
                colour, marker = (VERMILION, "D") if shortcut == "source" else (BLUE, "o")
                row = shown[(shown["role"] == role) & (shown["shortcut"] == shortcut) & (shown["learned_on"] == on)]
                for middle, low, high in row[["roc_auc", "roc_auc_low", "roc_auc_high"]].to_numpy(float):
                    face = colour if on == "training" else "white"
                    ax.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
                    ax.plot([middle], [y], marker=marker, color=colour, markerfacecolor=face, markersize=7)
            named_lines(ax, names, title=role_word(role), xlabel="area under ROC", xlim=(0.28, 1.04))
            ax.set_xticks([0.5, 0.75, 1.0])
    return figure


def border_map(borders: Mapping[str, Any], shown: bool, origin: str) -> Figure:
    """The border as the border rule sees it: the mean film of each label, and what brightness in each cell speaks for.

    `borders` holds grid, the side of the square of cells, and row, column, weight, negative and positive (mean grey
    levels) of each border cell; the rest is never seen, and hatched. Unless `shown`, a note stands in the cells' place.
    """
    titles = ("mean negative film", "mean positive film", "what bright cells speak for")
    with drawing(1, 3, WIDTH_INCHES / 3 + 0.35, origin) as (figure, axes):
        most = float(np.quantile(np.abs(borders["weight"]), 0.98)) or 1.0
        looks = (("negative", "gray", 0, 255), ("positive", "gray", 0, 255), ("weight", "cividis", -most, most))
        for ax, title, (name, colours, low, high) in zip(axes[0], titles, looks, strict=True):
            grid = borders["grid"]
            hatch = {"facecolor": "#f4f4f4", "hatch": "////", "edgecolor": "#c4c4c4", "zorder": 0}
            ax.add_patch(Rectangle((-0.5, -0.5), grid, grid, **hatch))
            cells = np.full((grid, grid), np.nan)
            if shown:
                cells[borders["row"], borders["column"]] = borders[name]
            else:
                ax.text(grid / 2, grid / 2, "may not be shown", ha="center", va="center", color=MUTED)
            drawn = ax.imshow(np.ma.masked_invalid(cells), cmap=colours, vmin=low, vmax=high, zorder=1)
            ax.set(title=title, xticks=[], yticks=[])
            ax.grid(visible=False)
            ax.spines[:].set_visible(False)
            bar = figure.colorbar(drawn, ax=ax, location="bottom", shrink=0.8, aspect=24, ticks=[low, high])
            bar.ax.set_xticklabels(["negative", "positive"] if name == "weight" else ["black", "white"])
            bar.outline.set_visible(False)
    return figure


def appearance(table: pd.DataFrame, names: Mapping[str, str], views: pd.DataFrame, origin: str) -> Figure:
    """The spread of each measure by role and label, and the views: small multiples.

    `table` has role, label, measure, percentile_5, _25, _50, _75, _95; `names` says what each measure is, and its unit.
    `views` has a row per role and a column per view, in films.
    """
    roles = list(dict.fromkeys(table["role"]))
    lines = [(role, label) for role in roles for label in LABEL_LOOKS]
    rows = -(-(len(names) + 1) // 2)
    with drawing(rows, 2, 0.55 + rows * (0.75 + 0.2 * len(lines)), origin, sharey=False) as (figure, axes):
        for index, (ax, (measure, name)) in enumerate(zip(axes.ravel(), names.items(), strict=False)):
            for y, (role, label) in enumerate(lines):
                row = table[(table["role"] == role) & (table["label"] == label) & (table["measure"] == measure)]
                _spread(ax, row.iloc[0], y, LABEL_LOOKS[label])
            _role_lines(ax, [f"{role_word(role)} · {label}" for role, label in lines], named=index % 2 == 0)
            ax.set_title(name)
        left = axes.ravel()[len(names) :]
        _views(left[0], views)
        for ax in left[1:]:
            ax.set_axis_off()
        if len(left) > 1:
            handles = [
                Line2D([], [], color=edge, marker=marker, markerfacecolor=face, linewidth=4, label=label)
                for label, (edge, face, marker) in LABEL_LOOKS.items()
            ]
            handles.append(Line2D([], [], color=MUTED, linewidth=1, label="thin: all but the outer tenth of films"))
            handles.append(Line2D([], [], color=MUTED, linewidth=4, label="thick: the middle half; mark: median"))
            left[1].legend(handles=handles, loc="center left")
    return figure


def _spread(ax: Axes, row: pd.Series, y: int, look: tuple[str, str, str]) -> None:
    edge, face, marker = look
    ax.plot([row["percentile_5"], row["percentile_95"]], [y, y], color=edge, linewidth=1)
    ax.plot([row["percentile_25"], row["percentile_75"]], [y, y], color=edge, linewidth=4, solid_capstyle="butt")
    ax.plot([row["percentile_50"]], [y], marker=marker, color=edge, markerfacecolor=face, markersize=6)


def _role_lines(ax: Axes, names: Sequence[str], named: bool) -> None:
    named_lines(ax, names if named else [""] * len(names))
    for y in range(2, len(names), 2):
        ax.axhline(y - 0.5, color=GRID, linewidth=0.8)


def _views(ax: Axes, views: pd.DataFrame) -> None:
    shares = 100 * views.div(views.sum(axis=1).clip(lower=1), axis=0)
    left = np.zeros(len(shares))
    for index, view in enumerate(shares.columns):
        colour, hatch = NOT_KNOWN_LOOK if view == "not known" else VIEW_LOOKS[index % len(VIEW_LOOKS)]
        ax.barh(range(len(shares)), shares[view], left=left, color=colour, hatch=hatch, edgecolor="white", label=view,
                height=0.6)  # fmt: skip
        left += shares[view].to_numpy()
    named_lines(ax, [role_word(role) for role in shares.index], title="view (% of films)", xlim=(0, 100))
    ax.set_ylim(len(shares) + 0.25, -0.5)
    ax.legend(loc="lower left", ncols=min(len(shares.columns), 4), handlelength=1.4, columnspacing=1)


def film_map(points: pd.DataFrame, private_roles: Collection[str], origin: str) -> Figure:
    """Films as points (x, y, role, label), by role and by label. Of private roles only where their films crowd."""
    with drawing(1, 2, WIDTH_INCHES / 2 + 0.75, origin, sharex=True, sharey=True) as (figure, axes):
        roles = list(dict.fromkeys(sorted(points["role"], key=EVERY_ROLE.index)))
        by_role = {role: (colour, colour, marker) for role, (colour, _, marker) in zip(roles, LINE_LOOKS, strict=False)}
        private = points["role"].isin(list(private_roles))
        spans = map_spans(points)
        for ax, column, looks in ((axes[0, 0], "role", by_role), (axes[0, 1], "label", LABEL_LOOKS)):
            shown = points[~private]
            for name, (edge, face, marker) in looks.items():
                part = shown[shown[column] == name]
                ax.plot(part["x"], part["y"], linestyle="none", marker=marker, markersize=3.6, color=edge, alpha=0.75,
                        markerfacecolor=face, markeredgewidth=0.7, label=name, rasterized=True)  # fmt: skip
            for name, part in points[private].groupby(column):
                _crowding(ax, part, looks[name][0], spans)
            ax.set(title=f"by {column}", xticks=[], yticks=[], xlim=spans[0], ylim=spans[1], xlabel=" ", ylabel="")
            ax.grid(visible=False)
            columns = 2 if private_roles else 3
            ax.legend(handles=_map_keys(column, looks, private_roles), ncols=columns, loc="upper center",
                      bbox_to_anchor=(0.5, -0.01), handlelength=1.6, columnspacing=1.2)  # fmt: skip
    return figure


def map_spans(points: pd.DataFrame) -> list[tuple[float, float]]:
    """From where to where the axes of the map reach, across and upwards."""
    low, high = points[["x", "y"]].min(), points[["x", "y"]].max()
    return [(low[axis] - 0.08 * (high - low)[axis], high[axis] + 0.08 * (high - low)[axis]) for axis in ("x", "y")]


def _map_keys(column: str, looks: Mapping[str, tuple[str, str, str]], private_roles: Collection[str]) -> list[Line2D]:
    keys = []
    for name, (edge, face, marker) in looks.items():
        if name in private_roles:
            keys.append(Line2D([], [], color=edge, linewidth=1.6, label=f"{role_word(name)} (contours)"))
        else:
            keys.append(
                Line2D([], [], color=edge, marker=marker, markerfacecolor=face, linestyle="none", label=role_word(name))
            )
    if column == "label" and private_roles:
        keys.append(
            Line2D([], [], color=MUTED, linewidth=1.6, label=f"contours: {', '.join(map(role_word, private_roles))}")
        )
    return keys


def _crowding(ax: Axes, points: pd.DataFrame, colour: str, spans: Sequence[tuple[float, float]]) -> None:
    """Contours that hold half and nine tenths of some films, which may not be shown one by one."""
    import seaborn

    if len(points) >= FEWEST_FOR_CONTOURS:
        seaborn.kdeplot(
            points,
            x="x",
            y="y",
            ax=ax,
            levels=[0.1, 0.5],
            gridsize=90,
            clip=spans,
            color=colour,
            linewidths=[0.8, 1.6],
            warn_singular=False,
        )
