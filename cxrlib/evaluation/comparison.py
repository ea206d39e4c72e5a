"""Arms beside each other: Table 2 with intervals, differences on the same films, the shift, the headline.

`resampled` maps a role to its arms' figures on the same resampled patients (`cxrlib.evaluation.resampled`). Estimates
are means over seeds. `low` and `high` bound the 95 % interval over patients with the seeds given; `headline_low` and
`headline_high` that over patients and seeds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.evaluation.metrics import METRICS, RANGES, confusion_counts, probability_metrics, threshold_metrics
from cxrlib.evaluation.ranking import precision_recall_points, roc_points
from cxrlib.evaluation.resampled import AT_PRECISION, QUANTITIES, SHARES, Figures, Resampled, quantity
from cxrlib.evaluation.scores import OPERATING_POINTS, Scores
from cxrlib.evaluation.uncertainty import wilson_interval

Resamples = dict[str, dict[str, Resampled]]
AllScores = dict[str, dict[str, Scores]]
LOWEST, HIGHEST = (np.array([RANGES.get(metric, (0.0, 1.0))[end] for _, metric in QUANTITIES]) for end in (0, 1))


def table2_seeds(scores: AllScores) -> pd.DataFrame:
    """One row per role, arm, seed and operating point: every metric and the confusion counts."""
    rows = []
    for role, arms in scores.items():
        for arm, found in arms.items():
            for number, seed in enumerate(found.seeds):
                of_all = probability_metrics(found.labels, found.p_positive[number], found.p_calibrated[number])
                for point in OPERATING_POINTS:
                    predicted = found.predicted(point)[number]
                    row = {"role": role, "arm": arm, "seed": seed, "operating_point": point}
                    row |= threshold_metrics(found.labels, predicted) | of_all
                    rows.append(row | confusion_counts(found.labels, predicted))
    return pd.DataFrame(rows)


def table2(resampled: Resamples) -> pd.DataFrame:
    """One row per role, arm and operating point: for each metric its mean over seeds and interval over patients."""
    rows = []
    for role, arms in resampled.items():
        for arm, found in arms.items():
            estimates, bounds = found.figures.estimates, interval_bounds(found.figures)
            for point in OPERATING_POINTS:
                row: dict[str, object] = {
                    "role": role, "arm": arm, "operating_point": point, "seeds": len(found.found),
                }  # fmt: skip
                for metric in METRICS:
                    column = quantity(metric, point)
                    row[metric] = estimates[column]
                    row[f"{metric}_low"], row[f"{metric}_high"] = bounds[column]
                rows.append(row)
    return pd.DataFrame(rows)


def headline(resampled: Resamples) -> pd.DataFrame:
    """One row per role, arm and metric at threshold 0.5: `low` and `high` are over patients and seeds.

    `patients_low` and `patients_high` are over patients alone, so that a reader sees what the chance of training adds;
    with one seed the two are the same and that chance is unknown.
    """
    rows = []
    for role, arms in resampled.items():
        for arm, found in arms.items():
            figures = found.figures
            both, patients = interval_bounds(figures, with_seeds=True), interval_bounds(figures)
            for metric in METRICS:
                column = quantity(metric)
                row = {"role": role, "arm": arm, "metric": metric, "seeds": len(found.found)}
                row |= {"estimate": figures.estimates[column], "low": both[column, 0], "high": both[column, 1]}
                rows.append(row | {"patients_low": patients[column, 0], "patients_high": patients[column, 1]})
    return pd.DataFrame(rows)


def contrasts(resampled: Resamples, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Differences `arm` minus `reference` on the same films, one row per role, pair, operating point and metric.

    The bootstrap is paired: both arms see the same patients in each resample. Pairs with an arm that did not answer
    for a role's films are left out there.
    """
    rows = []
    for role, arms in resampled.items():
        figures = {arm: found.figures for arm, found in arms.items()}
        for arm, reference in pairs:
            if arm in arms and reference in arms:
                keys = {"role": role, "arm": arm, "reference": reference}
                apart = figures[arm].minus(figures[reference], paired=True)
                rows += _difference_rows(keys, apart, OPERATING_POINTS)
    return pd.DataFrame(rows, columns=["role", "arm", "reference", *_DIFFERENCE])


def shift(resampled: Resamples) -> pd.DataFrame:
    """Per arm, hospital minus validation at threshold 0.5; the two roles' patients are resampled apart."""
    rows = []
    for arm, validation in resampled["validation"].items():
        hospital = resampled["hospital"].get(arm)
        if hospital is not None:
            apart = hospital.figures.minus(validation.figures, paired=False)
            rows += _difference_rows({"arm": arm}, apart, ("fixed",))
    return pd.DataFrame(rows, columns=["arm", *_DIFFERENCE])


def at_equal_precision(resampled: Resamples, reference: str = "baseline") -> pd.DataFrame:
    """Recall of each arm where its precision is no lower than the reference arm's at threshold 0.5.

    Each seed's threshold is the one of highest recall that reaches the precision, chosen on the films it is judged on:
    a description of the curve, the same for every arm, and no promise for other films. `difference` is to the reference
    arm under the same rule; 0 recall means that no threshold reaches the precision.
    """
    column, precision = quantity(AT_PRECISION), quantity("precision_positive")
    rows = []
    for role, arms in resampled.items():
        if reference not in arms:
            continue
        base = arms[reference].figures
        for arm, found in arms.items():
            figures = found.figures
            apart = figures.minus(base, paired=True)
            row = {"role": role, "arm": arm, "precision": base.estimates[precision]}
            row |= {"recall": figures.estimates[column], "difference": apart.estimates[column]}
            for name, with_seeds in (("", False), ("headline_", True)):
                low, high = interval_bounds(figures, with_seeds=with_seeds)[column]
                row |= {f"{name}low": low, f"{name}high": high}
                low, high = apart.bounds(_DIFFERENCE_LIMITS, with_seeds=with_seeds)[column]
                row |= {f"difference_{name}low": low, f"difference_{name}high": high}
            rows.append(row)
    return pd.DataFrame(rows)


def dose(headlines: pd.DataFrame, percents: dict[str, int]) -> pd.DataFrame:
    """The headline's rows of the arms that make up the dose curve, `percents` giving each arm's dose."""
    table = headlines[headlines["arm"].isin(percents)]
    table = table.assign(dose_percent=table["arm"].map(percents))
    columns = ["role", "dose_percent", "metric", "estimate", "low", "high"]
    return table.sort_values(["role", "metric", "dose_percent"], kind="stable")[columns].reset_index(drop=True)


def dose_seeds(by_seed: pd.DataFrame, percents: dict[str, int]) -> pd.DataFrame:
    """Each run of the dose curve at threshold 0.5, one row per role, dose, seed and metric."""
    table = by_seed[by_seed["arm"].isin(percents) & (by_seed["operating_point"] == "fixed")]
    table = table.assign(dose_percent=table["arm"].map(percents))
    long = table.melt(["role", "dose_percent", "seed"], list(METRICS), "metric", "value")
    return long.sort_values(["role", "metric", "dose_percent", "seed"], kind="stable", ignore_index=True)


def curves(scores: AllScores) -> pd.DataFrame:
    """Points of each seed: `roc` (x false positive rate, y recall), `precision_recall` (x recall, y precision)."""
    parts = []
    for role, arms in scores.items():
        for arm, found in arms.items():
            for seed, p_positive in zip(found.seeds, found.p_positive, strict=True):
                for curve, points in (("roc", roc_points), ("precision_recall", precision_recall_points)):
                    x, y = points(found.labels, p_positive)
                    parts.append(pd.DataFrame({"role": role, "arm": arm, "seed": seed, "curve": curve, "x": x, "y": y}))
    return pd.concat(parts, ignore_index=True)


def interval_bounds(figures: Figures, *, with_seeds: bool = False) -> np.ndarray:
    """95 % intervals of one arm's figures, (quantities, 2).

    Where all films are answered rightly, or none, no resample can differ, and a share has Wilson's interval for as many
    independent answers as there are patients.
    """
    bounds = figures.bounds((LOWEST, HIGHEST), with_seeds=with_seeds)
    for column, (_, metric) in enumerate(QUANTITIES):
        estimate, number = figures.estimates[column], int(figures.patients[column])
        if metric in ("accuracy", *SHARES) and estimate in (0, 1) and number and np.ptp(bounds[column]) == 0:
            interval = wilson_interval(number * int(estimate), number)
            bounds[column] = interval.low, interval.high
    return bounds


_DIFFERENCE = ["operating_point", "metric", "difference", "low", "high", "headline_low", "headline_high"]
_DIFFERENCE_LIMITS = (LOWEST - HIGHEST, HIGHEST - LOWEST)


def _difference_rows(keys: dict[str, str], apart: Figures, points: Sequence[str]) -> list[dict[str, object]]:
    patients, both = (apart.bounds(_DIFFERENCE_LIMITS, with_seeds=way) for way in (False, True))
    rows = []
    for point in points:
        for metric in METRICS:
            column = quantity(metric, point)
            values = (apart.estimates[column], *patients[column], *both[column])
            rows.append(keys | dict(zip(_DIFFERENCE, (point, metric, *values), strict=True)))
    return rows
