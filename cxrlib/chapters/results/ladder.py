"""The arms as a ladder, from nothing of the hospital to its films themselves, and as arrows from the baseline."""

import pandas as pd
from matplotlib.figure import Figure

from cxrlib.chapters.results.questions import BALANCED, BASELINE, RANKING, SENSITIVITY, SPECIFICITY
from cxrlib.chapters.style import (
    MUTED,
    arm_look,
    chosen_rows,
    drawing,
    interval_mark,
    legend_below,
    named_lines,
    unit_of,
)
from cxrlib.classifiers.arms import ARMS, RUNGS, arm_of
from cxrlib.evaluation.metrics import METRIC_NAMES

STEPS = (RANKING, BALANCED)
CHANCE = 0.5


def in_order(arms: list[str]) -> list[str]:
    """Arms by rung, and within a rung as the registry has them; what follows from an arm stands after it."""
    names = list(ARMS)

    def place(arm: str) -> tuple[int, int]:
        known = next((number for number, name in enumerate(names) if arm == name), len(names))
        return RUNGS.index(arm_of(arm).rung), known

    return sorted(arms, key=place)


def ladder(table2: pd.DataFrame, origin: str, role: str = "hospital") -> Figure:
    """A line per arm with its intervals over patients and training runs: how it ranks, and how it answers.

    `table2` is table2.csv, `role` whose films they judge. The dotted line is chance, the thin one the baseline.
    """
    rows = chosen_rows(table2, role).set_index("arm")
    arms = in_order([str(arm) for arm in rows.index])
    rungs = [arm_of(arm).rung for arm in arms]
    present = list(dict.fromkeys(rungs))
    placed = enumerate(zip(arms, rungs, strict=True))
    heights = {arm: number + 0.75 * (present.index(rung) + 1) for number, (arm, rung) in placed}
    last = max(heights.values())
    with drawing(1, len(STEPS), 0.9 + 0.27 * (last + 1), origin, sharey=True) as (figure, axes):
        for ax, metric in zip(axes[0], STEPS, strict=True):
            scale, unit = unit_of(metric)
            ax.axvline(scale * CHANCE, color=MUTED, linewidth=0.8, linestyle=":")
            ax.axvline(scale * rows.loc[BASELINE, metric], color=MUTED, linewidth=0.7)
            for arm, y in heights.items():
                colour, _, marker = arm_look(arm)
                ends = (scale * rows.loc[arm, f"{metric}{end}"] for end in ("", "_low", "_high"))
                interval_mark(ax, *ends, y, colour, marker)
            named_lines(ax, arms, list(heights.values()), title=METRIC_NAMES[metric], xlabel=unit)
            ax.set_ylim(last + 0.6, -0.35)
        for rung in present:
            first = arms[rungs.index(rung)]
            axes[0, 0].text(0.01, heights[first] - 0.72, rung, fontsize=8, color=MUTED, style="italic", va="center",
                            transform=axes[0, 0].get_yaxis_transform())  # fmt: skip
    return figure


def plane(table2: pd.DataFrame, origin: str) -> Figure:
    """Sensitivity over specificity at one half, in %, with an arrow from the baseline to each arm.

    Along the dotted line balanced accuracy stays the baseline's: there one kind of error is only traded for the other.
    """
    rows = 100 * chosen_rows(table2, "hospital").set_index("arm")[[SPECIFICITY, SENSITIVITY]]
    x, y = rows.loc[BASELINE]
    with drawing(1, 1, 5.2, origin) as (figure, axes):
        ax = axes[0, 0]
        ax.axline((x, y), slope=-1, color=MUTED, linewidth=0.9, linestyle=":", label="as balanced as the baseline")
        for arm in in_order([str(arm) for arm in rows.index]):
            colour, _, marker = arm_look(arm)
            end = rows.loc[arm].to_numpy()
            if arm != BASELINE:
                arrow = {
                    "arrowstyle": "-|>",
                    "color": colour,
                    "linewidth": 1.2,
                    "shrinkA": 4,
                    "shrinkB": 5,
                    "alpha": 0.8,
                }
                ax.annotate("", end, (x, y), arrowprops=arrow)
            ax.plot(
                *end, color=colour, marker=marker, markersize=7, markeredgecolor="white", linestyle="none", label=arm
            )
        ax.set(xlabel="specificity: negatives called negative (%)", ylabel="sensitivity: positives found (%)")
        ax.set(xlim=(-2, 102), ylim=(-2, 102))
        legend_below(figure, ax, columns=3)
    return figure
