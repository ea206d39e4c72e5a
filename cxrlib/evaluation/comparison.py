"""Arms beside each other: Table 2 with intervals, differences on the same films, the shift, doses.

`resampled` maps a role to its arms' figures on the same resampled patients (`cxrlib.evaluation.resampled`). Estimates
are means over seeds. Every number has one interval, `low` to `high`: 95 %, over patients and training runs, or over
patients alone where there is a single run. `from_runs` is the share of its squared width that the runs add, 0 to 1.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.evaluation.metrics import METRICS, RANGES, confusion_counts
from cxrlib.evaluation.ranking import curve_points
from cxrlib.evaluation.resampled import AT_PRECISION, QUANTITIES, SHARE_COLUMNS, Intervals, Resampled, quantity
from cxrlib.evaluation.scores import OPERATING_POINTS, Scores

Resamples = dict[str, dict[str, Resampled]]
AllScores = dict[str, dict[str, Scores]]
COMPARED = (*METRICS, AT_PRECISION)
LOWEST, HIGHEST = (np.array([RANGES.get(metric, (0.0, 1.0))[end] for _, metric in QUANTITIES]) for end in (0, 1))


def table2_seeds(scores: AllScores, resampled: Resamples) -> pd.DataFrame:
    """One row per role, arm, seed and operating point: every metric and the confusion counts."""
    rows = []
    for role, arms in scores.items():
        for arm, found in arms.items():
            for number, seed in enumerate(found.seeds):
                measured = resampled[role][arm].found[number]
                for point in OPERATING_POINTS:
                    row = {"role": role, "arm": arm, "seed": seed, "operating_point": point}
                    row |= {metric: measured[quantity(metric, point)] for metric in METRICS}
                    rows.append(row | confusion_counts(found.labels, found.predicted(point)[number]))
    return pd.DataFrame(rows)


def table2(resampled: Resamples) -> pd.DataFrame:
    """One row per role, arm and operating point: for each metric its mean over seeds and its interval."""
    rows = []
    for role, arms in resampled.items():
        for arm, found in arms.items():
            levels = level_intervals(found)
            for point in OPERATING_POINTS:
                row: dict[str, object] = {
                    "role": role, "arm": arm, "operating_point": point, "seeds": len(found.seeds),
                    "runs": found.number_of_runs,
                }  # fmt: skip
                for metric in METRICS:
                    column = quantity(metric, point)
                    ends = levels.estimates[column], levels.low[column], levels.high[column]
                    row |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), ends, strict=True))
                rows.append(row)
    return pd.DataFrame(rows)


def contrasts(resampled: Resamples, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Differences `arm` minus `reference` on the same films, one row per role, pair, operating point and metric.

    Both arms see the same patients in each resample, and runs of the same seed are compared with each other. Pairs with
    an arm that did not answer for a role's films are left out there. `p_value`, that the difference is 0, is below 0.05
    just where the interval leaves 0 out; a single run has none. Besides `METRICS` there is `recall_at_precision`, see
    `at_equal_precision`.
    """
    rows = []
    for role, arms in resampled.items():
        for arm, reference in pairs:
            if arm in arms and reference in arms:
                keys = {"role": role, "arm": arm, "reference": reference}
                apart = arms[arm].minus(arms[reference], same_patients=True)
                rows += _difference_rows(keys, apart, OPERATING_POINTS)
    return pd.DataFrame(rows, columns=["role", "arm", "reference", *DIFFERENCE])


def shift(resampled: Resamples) -> pd.DataFrame:
    """Per arm, hospital minus validation at threshold 0.5, run by run; each role's patients are resampled apart."""
    rows = []
    for arm, validation in resampled["validation"].items():
        hospital = resampled["hospital"].get(arm)
        if hospital is not None:
            apart = hospital.minus(validation, same_patients=False)
            rows += _difference_rows({"arm": arm}, apart, ("fixed",))
    return pd.DataFrame(rows, columns=["arm", *DIFFERENCE])


def at_equal_precision(resampled: Resamples, reference: str = "baseline") -> pd.DataFrame:
    """Recall of each arm where its precision is no lower than the reference arm's at threshold 0.5.

    Each model's threshold is the one of highest recall that reaches the precision, chosen on the films it is judged on:
    a description of the curve, the same for every arm, and no promise for other films. The difference to the reference
    arm under the same rule is that of `contrasts`; 0 recall means that no threshold reaches the precision.
    """
    column, precision = quantity(AT_PRECISION), quantity("precision_positive")
    rows = []
    for role, arms in resampled.items():
        if reference in arms:
            asked = arms[reference].estimates[precision]
            for arm, found in arms.items():
                level = level_intervals(found)
                row = {"role": role, "arm": arm, "precision": asked, "recall": level.estimates[column]}
                rows.append(row | {"low": level.low[column], "high": level.high[column]})
    return pd.DataFrame(rows)


def dose(table: pd.DataFrame, percents: dict[str, int]) -> pd.DataFrame:
    """Table 2 of the arms that make up the dose curve at threshold 0.5, one row per role, dose and metric; `percents`
    gives each arm's dose."""
    chosen = table[table["arm"].isin(percents) & (table["operating_point"] == "fixed")]
    rows = [
        (row["role"], percents[row["arm"]], metric, *(row[f"{metric}{end}"] for end in ("", "_low", "_high")))
        for _, row in chosen.iterrows()
        for metric in METRICS
    ]
    found = pd.DataFrame(rows, columns=["role", "dose_percent", "metric", "estimate", "low", "high"])
    return found.sort_values(["role", "metric", "dose_percent"], kind="stable", ignore_index=True)


def dose_seeds(by_seed: pd.DataFrame, percents: dict[str, int]) -> pd.DataFrame:
    """Each run of the dose curve at threshold 0.5, one row per role, dose, seed and metric."""
    table = by_seed[by_seed["arm"].isin(percents) & (by_seed["operating_point"] == "fixed")]
    table = table.assign(dose_percent=table["arm"].map(percents))
    long = table.melt(["role", "dose_percent", "seed"], list(METRICS), "metric", "value")
    return long.sort_values(["role", "metric", "dose_percent", "seed"], kind="stable", ignore_index=True)


def curves(scores: AllScores) -> pd.DataFrame:
    """Points of each seed's models, each among the films that it ranks: `roc` (x false positive rate, y recall),
    `precision_recall` (x recall, y precision)."""
    parts = []
    for role, arms in scores.items():
        for arm, found in arms.items():
            for fold, seed in itertools.product(np.unique(found.folds), range(len(found.seeds))):
                rows = found.folds == fold
                labels, p_positive = found.labels[rows], found.p_positive[seed, rows]
                keys = {"role": role, "arm": arm, "seed": found.seeds[seed], "fold": fold}
                points = curve_points(labels, p_positive) if len(np.unique(labels)) == 2 else {}
                parts += [pd.DataFrame({**keys, "curve": curve, "x": x, "y": y}) for curve, (x, y) in points.items()]
    return pd.concat(parts, ignore_index=True)


def level_intervals(found: Resampled) -> Intervals:
    """95 % intervals of one arm's figures."""
    return found.intervals((LOWEST, HIGHEST), SHARE_COLUMNS)


DIFFERENCE = ["operating_point", "metric", "difference", "low", "high", "p_value", "from_runs", "runs"]
_DIFFERENCE_LIMITS = (LOWEST - HIGHEST, HIGHEST - LOWEST)


def _difference_rows(keys: dict[str, str], apart: Resampled, points: Sequence[str]) -> list[dict[str, object]]:
    found = apart.intervals(_DIFFERENCE_LIMITS)
    numbers = found.estimates, found.low, found.high, found.p_values, found.from_runs
    rows = []
    for point in points:
        for metric in COMPARED:
            column = quantity(metric, point)
            values = point, metric, *(of_all[column] for of_all in numbers), apart.number_of_runs
            rows.append(keys | dict(zip(DIFFERENCE, values, strict=True)))
    return rows
