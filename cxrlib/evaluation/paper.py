"""The paper's own figures (Schaudt et al. 2021), its Table 2 derived from the confusion counts behind it."""

import numpy as np
import pandas as pd

from cxrlib.evaluation.metrics import COUNTS, THRESHOLD_METRICS, metrics_from_counts
from cxrlib.evaluation.resampled import SHARES
from cxrlib.evaluation.significance import mcnemar_counts
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
BASELINE, SYNTHETIC = "COVIDx", "COVIDx+Synth"
# Which of the counts are right answers, and which films a question is about.
QUESTIONS = (
    ("recall_positive", ("tp",), ("tp", "fn")),
    ("recall_negative", ("tn",), ("tn", "fp")),
    ("accuracy", ("tp", "tn"), COUNTS),
)
SIGNIFICANCE = 0.05


def paper_table1() -> pd.DataFrame:
    """Images of each data set by label."""
    return pd.DataFrame(PAPER_IMAGES, columns=["dataset", "role", "positive_images", "negative_images"])


def paper_table2() -> pd.DataFrame:
    """The metrics of a threshold per model with Wilson intervals, and the counts.

    Wilson's interval is for films as independent draws, which is all that counts allow: nobody outside can resample
    the paper's patients. F1, balanced accuracy and Matthews' coefficient are no proportions of films and have none
    (empty).
    """
    rows = []
    for dataset, model, *counts in PAPER_COUNTS:
        values = dict(zip(THRESHOLD_METRICS, metrics_from_counts(np.array(counts)).tolist(), strict=True))
        row: dict[str, object] = {"dataset": dataset, "model": model}
        for metric in THRESHOLD_METRICS:
            row[metric] = values[metric]
            row[f"{metric}_low"], row[f"{metric}_high"] = _interval(metric, values[metric], counts)
        rows.append(row | dict(zip(COUNTS, counts, strict=True)))
    return pd.DataFrame(rows)


def paper_conclusions() -> pd.DataFrame:
    """What can be said of the paper's two models from its counts alone: one row per data set and question.

    `right` and `right_reference` of `films` are the answers of the model with synthetic films and of the baseline, with
    Wilson intervals of each share. Both models answered for the same films, but the paper does not say film by film, so
    a paired test is not known, only its limits: `p_lowest` and `p_highest` are the exact McNemar p of the most and the
    least favourable paired table with these margins. `verdict` is `different` if even the highest is below 0.05,
    `not different` if even the lowest is not, and `undecided` between.
    """
    rows: list[dict[str, object]] = []
    table = paper_table2().set_index(["dataset", "model"])
    for dataset in ("validation", "test"):
        base, synthetic = table.loc[(dataset, BASELINE)], table.loc[(dataset, SYNTHETIC)]
        for metric, correct, concerned in QUESTIONS:
            films = int(sum(base[name] for name in concerned))
            right, right_base = (int(sum(model[name] for name in correct)) for model in (synthetic, base))
            row: dict[str, object] = {"dataset": dataset, "metric": metric, "films": films}
            for suffix, number in (("", right), ("_reference", right_base)):
                found = wilson_interval(number, films)
                row |= {f"right{suffix}": number, f"share{suffix}": found.estimate}
                row |= {f"share{suffix}_low": found.low, f"share{suffix}_high": found.high}
            lowest, highest = mcnemar_limits(right, right_base, films)
            rows.append(row | {"p_lowest": lowest, "p_highest": highest, "verdict": _verdict(lowest, highest)})
    return pd.DataFrame(rows)


def mcnemar_limits(right: int, right_reference: int, films: int) -> tuple[float, float]:
    """Lowest and highest exact McNemar p over all paired tables in which so many of the films are answered correctly.

    With b films right only in the first and c only in the second, b − c is known; the films on which both are right
    may be as many as the margins allow.
    """
    both = np.arange(max(0, right + right_reference - films), min(right, right_reference) + 1)
    p_values = [mcnemar_counts(right - int(shared), right_reference - int(shared))[1] for shared in both]
    return min(p_values), max(p_values)


def _verdict(lowest: float, highest: float) -> str:
    if highest < SIGNIFICANCE:
        return "different"
    return "not different" if lowest >= SIGNIFICANCE else "undecided"


def _interval(metric: str, share: float, counts: list[int]) -> tuple[float, float]:
    """Wilson's bounds of a proportion of films; not numbers for what is none."""
    cells = (SHARES | {"accuracy": range(len(COUNTS))}).get(metric)
    if cells is None:
        return float("nan"), float("nan")
    films = sum(counts[cell] for cell in cells)
    interval = wilson_interval(round(share * films), films)
    return interval.low, interval.high
