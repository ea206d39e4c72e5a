"""The paper's own figures (Schaudt et al. 2021), its Table 2 derived from the confusion counts behind it."""

import pandas as pd

from cxrlib.evaluation.metrics import COUNTS, METRICS, metrics_from_counts
from cxrlib.evaluation.uncertainty import wilson_interval

# dataset, role, positive images, negative images (Table 1).
PAPER_IMAGES = (
    ("COVIDx V8B", "training", 2158, 13794),
    ("COVIDx V8B + synthetic", "training", 12158, 23794),
    ("COVIDx V8B (test split)", "validation", 200, 200),
    ("Uniklinik Ulm study", "hospital", 110, 223),
)
# dataset, model, true positive, false negative, false positive, true negative: the counts that give Table 2.
PAPER_COUNTS = (
    ("validation", "COVIDx", 184, 16, 0, 200),
    ("validation", "COVIDx+Synth", 190, 10, 8, 192),
    ("validation", "COVIDNet-CXR-2", 191, 9, 6, 194),
    ("test", "COVIDx", 84, 26, 9, 214),
    ("test", "COVIDx+Synth", 105, 5, 20, 203),
)


def paper_table1() -> pd.DataFrame:
    """Images of each data set by label."""
    return pd.DataFrame(PAPER_IMAGES, columns=["dataset", "role", "positive_images", "negative_images"])


def paper_table2() -> pd.DataFrame:
    """The seven metrics per model with Wilson intervals, and the counts.

    Wilson's interval is for films as independent draws, which is all that counts allow: nobody outside can resample
    the paper's patients. F1 is no proportion of films and has none (empty).
    """
    rows = []
    for dataset, model, *counts in PAPER_COUNTS:
        values = dict(zip(METRICS, metrics_from_counts(counts).tolist(), strict=True))
        row: dict[str, object] = {"dataset": dataset, "model": model}
        for metric in METRICS:
            row[metric] = values[metric]
            interval = _interval(metric, *counts)
            row[f"{metric}_low"], row[f"{metric}_high"] = interval
        rows.append(row | dict(zip(COUNTS, counts, strict=True)))
    return pd.DataFrame(rows)


def _interval(metric: str, tp: int, fn: int, fp: int, tn: int) -> tuple[float, float]:
    """Wilson's bounds of a proportion of films; not a number for F1."""
    proportions = {
        "accuracy": (tp + tn, tp + fn + fp + tn),
        "precision_positive": (tp, tp + fp),
        "precision_negative": (tn, tn + fn),
        "recall_positive": (tp, tp + fn),
        "recall_negative": (tn, tn + fp),
    }
    if metric not in proportions:
        return float("nan"), float("nan")
    interval = wilson_interval(*proportions[metric])
    return interval.low, interval.high
