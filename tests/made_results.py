"""Tables of results as the stages write them, made up: for tests of figures, of display tables and of the slider."""

import numpy as np
import pandas as pd

from cxrlib.evaluation.metrics import METRICS

MAIN_ARMS = (
    "baseline", "synthetic", "synthetic-crossfit", "oversampled", "class-weighted", "synthetic-only",
)  # fmt: skip
DOSE_ARMS = ("synthetic-dose10", "synthetic-dose25", "synthetic-dose50")
ARMS = (*MAIN_ARMS, *DOSE_ARMS)


def _value(arm: str, metric: str, seed: int = 0) -> float:
    base = 0.62 + 0.03 * (ARMS.index(arm) % 6 if arm in ARMS else 1) + 0.02 * (METRICS.index(metric) % 5)
    return base + 0.012 * seed


def table2(arms=ARMS, roles=("validation", "hospital")):
    rows = []
    for role in roles:
        for arm in arms:
            for point in ("fixed", "validation"):
                row = {"role": role, "arm": arm, "operating_point": point, "seeds": 3}
                for metric in METRICS:
                    value = _value(arm, metric, 1)
                    row |= {metric: value, f"{metric}_low": value - 0.06, f"{metric}_high": value + 0.05}
                rows.append(row)
    return pd.DataFrame(rows)


def table2_seeds(arms=ARMS, roles=("validation", "hospital")):
    rows = []
    for role in roles:
        for arm in arms:
            for point in ("fixed", "validation"):
                for seed in range(3):
                    row = {"role": role, "arm": arm, "operating_point": point, "seed": seed}
                    row |= {metric: _value(arm, metric, seed) for metric in METRICS}
                    rows.append(row | {"tp": 60 + seed, "fn": 17 - seed, "fp": 12, "tn": 111})
    return pd.DataFrame(rows)


def differences(arms=ARMS):
    rows = []
    for index, arm in enumerate(arms[1:]):
        for point in ("fixed", "validation"):
            for metric in (*METRICS, "recall_at_precision"):
                middle = 0.02 * index - 0.03
                rows.append(("hospital", arm, point, metric, middle, middle - 0.05, middle + 0.05))
    columns = ["role", "arm", "operating_point", "metric", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def curves(arms=MAIN_ARMS, roles=("hospital",)):
    grid = np.linspace(0, 1, 40)
    parts = []
    for role in roles:
        for index, arm in enumerate(arms):
            for seed in range(3):
                power = 0.35 + 0.05 * index + 0.04 * seed
                for curve, y in (("roc", grid**power), ("precision_recall", 1 - grid ** (1 / power) * 0.7)):
                    keys = {"role": role, "arm": arm, "seed": seed, "fold": "all", "curve": curve}
                    parts.append(pd.DataFrame(keys | {"x": grid, "y": y}))
    return pd.concat(parts, ignore_index=True)


def calibration(arms=MAIN_ARMS):
    rows = []
    for arm in arms:
        for calibrated in (False, True):
            for number in range(10):
                p = (number + 0.5) / 10
                share = p if calibrated else 0.5 + (p - 0.5) * 0.5
                films = 5 + 4 * abs(number - 5)
                ends = max(share - 0.1, 0), min(share + 0.1, 1)
                rows.append(("hospital", arm, calibrated, number, p, share, *ends, films))
    columns = ["role", "arm", "calibrated", "bin", "p_mean", "positive_share", "low", "high", "films"]
    return pd.DataFrame(rows, columns=columns)


def decision(arms=MAIN_ARMS):
    rows = []
    for index, arm in enumerate(("treat-all", "treat-none", *arms)):
        for threshold in np.linspace(0.01, 0.99, 60):
            benefit, spread = 0.34 - 0.01 * index - 0.3 * threshold**2, 0.05
            if arm.startswith("treat"):
                benefit, spread = (0.38 - 0.62 * threshold / (1 - threshold)) * (arm == "treat-all"), np.nan
            rows.append(("hospital", arm, threshold, benefit, benefit - spread, benefit + spread))
    return pd.DataFrame(rows, columns=["role", "arm", "threshold", "net_benefit", "low", "high"])


def dose():
    rows = [("hospital", percent, metric, 0.6 + percent / 500, 0.53 + percent / 500, 0.66 + percent / 500)
            for percent in (0, 10, 25, 50, 100) for metric in METRICS]  # fmt: skip
    return pd.DataFrame(rows, columns=["role", "dose_percent", "metric", "estimate", "low", "high"])


def dose_seeds():
    rows = [("hospital", percent, seed, metric, 0.58 + percent / 500 + 0.02 * seed)
            for percent in (0, 10, 25, 50, 100) for seed in range(3) for metric in METRICS]  # fmt: skip
    return pd.DataFrame(rows, columns=["role", "dose_percent", "seed", "metric", "value"])


def subgroups(arms=MAIN_ARMS):
    levels = [("view", "AP", 60), ("view", "PA", 120), ("view", "not known", 20), ("sex", "F", 90), ("sex", "M", 110),
              ("age", "under 40", 40), ("age", "40 to 59", 80), ("age", "60 and over", 78), ("age", "not known", 2),
              ("source", "hospital scanner", 200), ("finding", "No Finding", 100),
              ("finding", "Pneumonia/Viral/COVID-19", 98), ("finding", "Pneumonia/Bacterial", 3)]  # fmt: skip
    rows = []
    for index, arm in enumerate(arms):
        for subgroup, level, films in levels:
            for metric in ("recall_positive", "recall_negative", "roc_auc"):
                few = films < 5
                values = (None,) * 6 if few else (films, films - 3, films // 2, 0.7 + 0.03 * index, 0.6, 0.85)
                rows.append(("hospital", arm, subgroup, level, metric, *values, few))
    columns = [
        "role", "arm", "subgroup", "level", "metric", "films", "patients", "positives", "estimate", "low", "high",
        "suppressed",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def attention(arms=MAIN_ARMS):
    rows = []
    for index, arm in enumerate(arms):
        for label, region in (("negative", "lungs"), ("positive", "lungs"), ("positive", "opacities")):
            value = 0.35 + 0.03 * index if region == "lungs" else 0.1
            chance = 0.33 if region == "lungs" else 0.09
            interval = (value, value - 0.02, value + 0.02)
            rows.append(("hospital", arm, label, region, 77, 72, *interval, chance, 0.21, 2, False))
    columns = [
        "role", "arm", "label", "region", "films", "patients", "estimate", "low", "high", "chance", "untrained",
        "empty_maps", "suppressed",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def significance(arms=ARMS):
    rows = [("hospital", arm, "baseline", seed, test, 4.0, 0.01 * (index + 1), min(1.0, 0.08 * (index + 1)))
            for index, arm in enumerate(arms[1:]) for test in ("mcnemar", "delong") for seed in range(3)]  # fmt: skip
    return pd.DataFrame(rows, columns=["role", "arm", "reference", "seed", "test", "statistic", "p_value", "p_holm"])
