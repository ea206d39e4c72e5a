"""Tables of chapter 5: Table 1, Table 2, differences between arms."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.chapters.results.evidence import signed
from cxrlib.chapters.words import with_interval
from cxrlib.evaluation.metrics import METRIC_NAMES, PLAIN
from cxrlib.films.settings import LABELS

# A slope like this means that all answers are nearly the same; its digits would only mislead.
BEYOND = 100


def _count(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.0f}"


def table_two(
    table: pd.DataFrame, role: str, paper: pd.DataFrame | None = None, operating_point: str = "fixed"
) -> pd.DataFrame:
    """Table 2 in the paper's layout, in per cent with 95 % intervals over patients and training runs, a row per arm and
    class (the paper's own: over films, from its counts).

    `table` is table2.csv; `paper` (paper_table2.csv, its dataset "test" standing beside the hospital) adds the paper's
    own rows, named as such. `operating_point` is "fixed" (positive from one half upwards) or "validation".
    """
    parts = [(row, row.arm) for row in _chosen(table, role, operating_point).itertuples()]
    if paper is not None:
        dataset = "validation" if role == "validation" else "test"
        parts += [(row, f"{row.model} (the paper)") for row in paper[paper["dataset"] == dataset].itertuples()]
    rows = [_class_row(row, model, label) for row, model in parts for label in reversed(LABELS)]
    columns = ["model", "class", "accuracy (%)", "F1 (%)", "precision (%)", "recall (%)"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def _chosen(table: pd.DataFrame, role: str, operating_point: str = "fixed") -> pd.DataFrame:
    return table[(table["role"] == role) & (table["operating_point"] == operating_point)]


def _class_row(row: Any, model: str, label: str) -> tuple[str, ...]:
    names = ["accuracy", *(f"{metric}_{label}" for metric in ("f1", "precision", "recall"))]
    cells = [with_interval(*(getattr(row, f"{name}{end}", np.nan) for end in ("", "_low", "_high"))) for name in names]
    if label == LABELS[0]:
        cells[0] = ""
    return model, label, *cells


RANKING = {"roc_auc": 2, "average_precision": 2, "balanced_accuracy": 2, "mcc": 2, "precision_at_tenth": 2}
PROBABILITIES = {"brier": 3, "brier_calibrated": 3, "calibration_slope": 1, "calibration_in_the_large": 2}


def ranking(table: pd.DataFrame, role: str) -> pd.DataFrame:
    """What Table 2 leaves out, a row per arm of table2.csv: at threshold one half, and over all thresholds."""
    return _plain_numbers(table, role, RANKING)


def probabilities(table: pd.DataFrame, role: str) -> pd.DataFrame:
    """How far the probabilities mean what they say, a row per arm of table2.csv."""
    return _plain_numbers(table, role, PROBABILITIES)


def _plain_numbers(table: pd.DataFrame, role: str, metrics: Mapping[str, int]) -> pd.DataFrame:
    """Measures that are no shares of films, with 95 % intervals; `metrics` gives the digits of each."""
    rows = {
        row["arm"]: [
            _plain(*(row[f"{metric}{end}"] for end in ("", "_low", "_high")), digits)
            for metric, digits in metrics.items()
        ]
        for _, row in _chosen(table, role).iterrows()
    }
    columns = [METRIC_NAMES[metric] for metric in metrics]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("arm")


def _plain(estimate: float, low: float, high: float, digits: int) -> str:
    """A number with its interval, without unit; a dash where there is none."""
    if pd.isna(estimate):
        return "–"
    if abs(estimate) >= BEYOND:
        return f"beyond {BEYOND}"
    between = "–\u2060" if low >= 0 else "\u00a0to\u00a0"
    inside = "" if pd.isna(low) else f"\u00a0({low:.{digits}f}{between}{high:.{digits}f})"
    return f"{estimate:.{digits}f}{inside}".replace("-", "−")


def _difference(metric: str, difference: float, low: float, high: float) -> str:
    """In points of a hundred; of a measure that is no share of films as it is."""
    if pd.isna(difference):
        return "–"
    plain = metric in PLAIN
    text = signed(difference, 2, 1) if plain else signed(difference)
    if not pd.isna(low):
        text += f" ({' to '.join(signed(end, 2, 1) if plain else signed(end, 0) for end in (low, high))})"
    return text.replace(" ", "\u00a0")


def differences(table: pd.DataFrame, role: str, metrics: Sequence[str], operating_point: str = "fixed") -> pd.DataFrame:
    """Each arm's difference to the baseline, of shares in points of a hundred, with its 95 % interval; a column per
    metric."""
    chosen = _chosen(table, role, operating_point)
    chosen = chosen[(chosen["arm"] != "baseline") & chosen["metric"].isin(metrics)]
    cells = [_difference(row.metric, row.difference, row.low, row.high) for row in chosen.itertuples()]
    wide = chosen.assign(cell=cells).pivot(index="arm", columns="metric", values="cell")
    arms_in_order = list(dict.fromkeys(chosen["arm"]))
    units = {metric: "" if metric in PLAIN else " (points)" for metric in metrics}
    named = wide.loc[arms_in_order, list(metrics)].rename(columns=lambda name: METRIC_NAMES[name] + units[name])
    return named.rename_axis(columns=None)


def significance(table: pd.DataFrame, role: str) -> pd.DataFrame:
    """p of each arm against the baseline after Holm's correction, seed by seed, a column per test (tests.csv)."""
    names = {"mcnemar": "answers (McNemar)", "delong": "area under ROC (DeLong)"}
    chosen = table[table["role"] == role].sort_values("seed", kind="stable")
    columns = {}
    for test, name in names.items():
        parts = chosen[chosen["test"] == test].groupby("arm", sort=False)["p_holm"]
        columns[f"{name}: corrected p, by seed"] = parts.agg(lambda values: ", ".join(p_value(p) for p in values))
    shown = pd.DataFrame(columns).reindex(dict.fromkeys(table.loc[table["role"] == role, "arm"]))
    return shown.fillna("–").rename_axis("arm against the baseline")


def p_value(p: float) -> str:
    """A p to as many digits as are of use; `–` for NaN."""
    if pd.isna(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def equal_precision(table: pd.DataFrame, differences: pd.DataFrame, role: str) -> pd.DataFrame:
    """Recall of each arm where it is as precise as the baseline (at_equal_precision.csv), and the difference to it."""
    apart = _chosen(differences[differences["metric"] == "recall_at_precision"], role).set_index("arm")
    rows = [
        (
            row.arm,
            with_interval(row.recall, row.low, row.high),
            _difference("recall_at_precision", *apart.loc[row.arm, ["difference", "low", "high"]])
            if row.arm in apart.index
            else "",
        )
        for row in table[table["role"] == role].itertuples()
    ]
    return pd.DataFrame(rows, columns=["arm", "recall, positive (%)", "difference (points)"]).set_index("arm")


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Every question of the study with its interval, its p after correction, and the verdict (verdicts.csv)."""
    rows = [
        (
            row.family,
            f"{row.arm} − {row.reference}",
            METRIC_NAMES[row.metric] + (" (own threshold)" if row.operating_point == "validation" else ""),
            _difference(row.metric, row.difference, row.low, row.high),
            p_value(row.p_adjusted),
            row.verdict,
        )
        for row in table.sort_values("family", kind="stable").itertuples()
    ]
    columns = [
        "family",
        "arms",
        "measure",
        "difference (points, or area)",
        "corrected p",
        "verdict",
    ]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def pooled_levels(subgroups: pd.DataFrame, most: int = 3) -> pd.DataFrame:
    """Subgroups with one row for all hidden levels where a subgroup has more than `most` of them (subgroups.csv)."""
    keys = ["role", "arm", "subgroup", "metric"]
    hidden = subgroups["suppressed"].astype(bool)
    count = hidden.groupby([subgroups[key] for key in keys]).transform("sum")
    many = hidden & (count > most)
    level = subgroups["level"].astype(str).where(~many, "other (" + count.astype(str) + ")")
    pooled = subgroups.assign(level=level)
    return pooled[~(many & pooled.duplicated([*keys, "level"]))].reset_index(drop=True)


def paper_conclusions(table: pd.DataFrame) -> pd.DataFrame:
    """The paper's two models film by film, as far as its counts tell (paper_conclusions.csv)."""
    rows = [
        (
            "hospital (Ulm)" if row.dataset == "test" else row.dataset,
            METRIC_NAMES[row.metric],
            f"{row.right_reference} of {row.films}: " + with_interval(
                row.share_reference, row.share_reference_low, row.share_reference_high
            ),
            f"{row.right} of {row.films}: " + with_interval(row.share, row.share_low, row.share_high),
            f"{p_value(row.p_lowest)} to {p_value(row.p_highest)}",
            row.verdict,
        )
        for row in table.itertuples()
    ]  # fmt: skip
    columns = ["films", "measure", "COVIDx (%)", "COVIDx+Synth (%)", "McNemar p, best to worst case", "verdict"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def subgroups(table: pd.DataFrame, role: str, metric: str, arms: Sequence[str]) -> pd.DataFrame:
    """One metric in parts of the films with the counts behind it, a column per arm (subgroups.csv)."""
    chosen = table[(table["role"] == role) & (table["metric"] == metric)]
    rows: dict[tuple[str, str], list[str]] = {}
    for arm in arms:
        for row in chosen[chosen["arm"] == arm].itertuples():
            start = ["<5"] * 2 if row.suppressed else [_count(row.films), _count(row.patients)]
            cell = "–" if row.suppressed else with_interval(row.estimate, row.low, row.high)
            rows.setdefault((row.subgroup, str(row.level)), start).append(cell)
    columns = ["films", "patients", *(f"{METRIC_NAMES[metric]} (%), {arm}" for arm in arms)]
    found = pd.DataFrame(list(rows.values()), columns=columns)
    found.index = pd.MultiIndex.from_tuples(list(rows), names=["part", "level"])
    return found


def attention(table: pd.DataFrame) -> pd.DataFrame:
    """Share of attention inside lungs (and opacities) by arm and label, in per cent, beside the share of area and that
    of a network before its training."""
    rows = [
        (
            row.arm,
            row.label,
            "<5" if row.suppressed else _count(row.films),
            row.region,
            "–" if row.suppressed else with_interval(row.estimate, row.low, row.high),
            *(
                "–" if row.suppressed or pd.isna(value) else f"{100 * value:.1f}"
                for value in (row.chance, row.untrained)
            ),
            "–" if row.suppressed else _count(row.empty_maps),
        )
        for row in table.itertuples()
    ]
    columns = [
        "arm", "label", "films", "region", "share of attention (%)", "share of area (%)", "before training (%)",
        "empty maps",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns).set_index(columns[:2])


def attention_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Share of attention inside each region in per cent, a column per run and kind of answer; the number of films in
    brackets."""
    shown = table.assign(
        run=[f"run {seed + 1}, {answer}" for seed, answer in zip(table["seed"], table["answer"], strict=True)],
        value=[
            "<5"
            if row.suppressed
            else f"{'–' if pd.isna(row.estimate) else format(100 * row.estimate, '.0f')} ({_count(row.films)})"
            for row in table.itertuples()
        ],
    )
    index = ["arm", "label", "region"]
    order = pd.MultiIndex.from_frame(shown[index].drop_duplicates())
    return shown.pivot(index=index, columns="run", values="value").reindex(order).fillna("–").rename_axis(columns=None)
