"""Arms beside each other: Table 2 with intervals, differences on the same films, curves.

All functions take one tidy table of predictions with the columns `arm, seed, image_id, patient_id, role, label,
p_positive`; an arm with several folds has the rows of all its folds, one after the other.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.errors import InputError
from cxrlib.evaluation.metrics import (
    METRICS,
    check_both_labels,
    confusion_counts,
    precision_recall_points,
    predicted_labels,
    ranking_metrics,
    roc_points,
    threshold_metrics,
)
from cxrlib.evaluation.uncertainty import (
    Interval,
    metric_intervals,
    paired_differences,
    patient_counts,
    unpaired_differences,
)

ROLES = ("validation", "hospital")


def metrics_by_seed(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per role, arm and seed: the seven metrics, ROC-AUC, average precision, confusion counts."""
    rows = []
    for (role, arm, seed), group in _groups(predictions, ["role", "arm", "seed"]):
        labels, predicted = _labels(group), predicted_labels(group["p_positive"].to_numpy())
        check_both_labels(labels, f"predictions of {arm}, seed {seed}, {role}")
        row = {"role": role, "arm": arm, "seed": seed, **threshold_metrics(labels, predicted)}
        rows.append(row | ranking_metrics(labels, group["p_positive"]) | confusion_counts(labels, predicted))
    return pd.DataFrame(rows)


def metrics_by_arm(predictions: pd.DataFrame, *, bootstrap_seed: int) -> pd.DataFrame:
    """Table 2: per role and arm the mean over seeds of each metric, its 95 % interval over patients, its sd over seeds.

    With one seed the standard deviation over seeds is not a number.
    """
    by_seed = metrics_by_seed(predictions)
    rows = []
    for (role, arm), seeds in _groups(by_seed, ["role", "arm"]):
        counts = _counts(predictions, role, arm)
        row: dict[str, object] = {"role": role, "arm": arm, "seeds": len(seeds)}
        for metric, interval in zip(METRICS, metric_intervals(counts, seed=bootstrap_seed), strict=True):
            row[metric] = float(seeds[metric].mean())
            row[f"{metric}_low"], row[f"{metric}_high"] = interval.low, interval.high
            row[f"{metric}_sd"] = float(seeds[metric].std(ddof=1))
        rows.append(row)
    return pd.DataFrame(rows)


def contrasts(predictions: pd.DataFrame, pairs: Sequence[tuple[str, str]], *, bootstrap_seed: int) -> pd.DataFrame:
    """Differences `arm` minus `reference` on the same films with 95 % intervals over patients, for each role and pair.

    Pairs with an arm that has no predictions are left out.
    """
    columns = ["role", "arm", "reference", "metric", "difference", "low", "high"]
    there = set(predictions["arm"])
    rows = []
    for role in ROLES:
        for arm, reference in pairs:
            if not {arm, reference} <= there:
                continue
            _check_same_films(predictions, role, arm, reference)
            first, second = _counts(predictions, role, arm), _counts(predictions, role, reference)
            found = paired_differences(first, second, seed=bootstrap_seed)
            rows += _rows({"role": role, "arm": arm, "reference": reference}, found)
    return pd.DataFrame(rows, columns=columns)


def shift(predictions: pd.DataFrame, *, bootstrap_seed: int) -> pd.DataFrame:
    """Per arm, hospital minus validation with 95 % intervals; the two roles' patients are resampled apart."""
    rows = []
    for arm in predictions["arm"].unique():
        hospital, validation = (_counts(predictions, role, arm) for role in ("hospital", "validation"))
        rows += _rows({"arm": arm}, unpaired_differences(hospital, validation, seed=bootstrap_seed))
    return pd.DataFrame(rows, columns=["arm", "metric", "difference", "low", "high"])


def curves(predictions: pd.DataFrame) -> pd.DataFrame:
    """Points of each seed: `roc` (x false positive rate, y recall), `precision_recall` (x recall, y precision)."""
    parts = []
    for (role, arm, seed), group in _groups(predictions, ["role", "arm", "seed"]):
        for curve, points in (("roc", roc_points), ("precision_recall", precision_recall_points)):
            x, y = points(_labels(group), group["p_positive"].to_numpy())
            parts.append(pd.DataFrame({"role": role, "arm": arm, "seed": seed, "curve": curve, "x": x, "y": y}))
    return pd.concat(parts, ignore_index=True)


def _groups(table: pd.DataFrame, keys: list[str]):
    """Groups in the order in which they first appear, roles first in the order of `ROLES`."""
    for role in ROLES:
        rows = table[table["role"] == role]
        yield from rows.groupby(keys, sort=False)


def _labels(group: pd.DataFrame) -> np.ndarray:
    return (group["label"] == "positive").to_numpy(np.int64)


def _counts(predictions: pd.DataFrame, role: str, arm: str) -> np.ndarray:
    """Per-patient confusion counts (seeds, patients, 4), patients in sorted order."""
    rows = predictions[(predictions["role"] == role) & (predictions["arm"] == arm)]
    order = np.unique(rows["patient_id"].to_numpy(str))
    groups = [group for _, group in rows.groupby("seed", sort=True)]
    return np.stack(
        [
            patient_counts(
                group["patient_id"].to_numpy(str), _labels(group), predicted_labels(group["p_positive"]), order
            )
            for group in groups
        ]
    )


def _check_same_films(predictions: pd.DataFrame, role: str, arm: str, reference: str) -> None:
    rows = predictions[predictions["role"] == role]
    first, second = (set(rows.loc[rows["arm"] == name, "image_id"]) for name in (arm, reference))
    if first != second:
        raise InputError(
            f"{role} predictions of `{arm}` and `{reference}` are of different films: {len(first - second)} only in "
            f"the first, {len(second - first)} only in the second; train both on the same prepared data (--force)"
        )


def _rows(keys: dict[str, str], intervals: list[Interval]) -> list[dict[str, object]]:
    return [
        keys | {"metric": metric, "difference": found.estimate, "low": found.low, "high": found.high}
        for metric, found in zip(METRICS, intervals, strict=True)
    ]
