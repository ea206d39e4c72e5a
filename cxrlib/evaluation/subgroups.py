"""The same figures for parts of the films: by view, sex, age, source and finding."""

import zlib

import numpy as np
import pandas as pd

from cxrlib.evaluation import ranking
from cxrlib.evaluation.resampled import Resampled, draws
from cxrlib.evaluation.scores import Scores
from cxrlib.evaluation.suppression import JOINED, is_small, pooled_levels, standard_views, suppress_small_cells
from cxrlib.evaluation.uncertainty import RESAMPLES, divided

KIND = "kind of finding"
SUBGROUPS = ("view", "sex", "age", "source", "finding", KIND)
FREE_TEXT = ("source", "finding")
METRICS = ("recall_positive", "recall_negative", "roc_auc")
AGE_BANDS = ((0, "under 40"), (40, "40 to 59"), (60, "60 to 79"), (80, "80 and over"))
UNKNOWN = "not known"
COLUMNS = [
    "role", "arm", "subgroup", "level", "metric", "films", "patients", "positives", "estimate", "low", "high",
    "suppressed",
]  # fmt: skip


def levels(facts: pd.DataFrame, *, private: bool = False) -> pd.DataFrame:
    """The level of each film in each subgroup, as text; `facts` has `image_id`, and whichever of `SUBGROUPS` are known.

    Ages become bands; what is empty is `not known`. A subgroup with a single level tells nothing and is left out. Of
    `private` films rare levels are joined (`suppression.pooled_levels`; `facts` has `patient_id` and `label` too), and
    what people typed, sources and findings, is numbered instead of printed, and views of other words are `other`;
    findings are left out where their kinds are known.
    """
    table = pd.DataFrame(index=facts["image_id"].astype(str))
    for name in SUBGROUPS:
        # Two cuts of the same thing, each without small parts, may have small ones between them.
        if name not in facts or (private and name == "finding" and KIND in facts):
            continue
        values = age_bands(facts["age"]) if name == "age" else facts[name].fillna("").astype(str).str.strip()
        table[name] = (_told(name, values, facts) if private else values.replace("", UNKNOWN)).to_numpy()
    return table[[name for name in table if table[name].nunique() > 1]]


def told_sources(facts: pd.DataFrame) -> pd.Series:
    """The source of each film of private patients; sources that `levels` joins are one here too."""
    told = _told("source", facts["source"].fillna("").astype(str).str.strip(), facts)
    return facts["source"].where(~told.str.contains(JOINED, regex=False), told)


def _told(name: str, values: pd.Series, facts: pd.DataFrame) -> pd.Series:
    """The levels of private films: typed words numbered, rare ones joined."""
    known = standard_views(values) if name == "view" else values
    known = known.replace("", UNKNOWN)
    known = _numbered(name, known) if name in FREE_TEXT else known
    ages = [band for _, band in AGE_BANDS]
    return pooled_levels(known, facts["patient_id"], facts["label"], ordered=ages if name == "age" else ())


def _numbered(name: str, values: pd.Series) -> pd.Series:
    """`source 1`, `source 2` … from the commonest on."""
    known = values[values != UNKNOWN].value_counts()
    order = sorted(known.index, key=lambda value: (-known[value], value))
    return values.map({value: f"{name} {number}" for number, value in enumerate(order, 1)}).fillna(UNKNOWN)


def subgroup_table(
    scores: dict[str, Scores],
    facts: pd.DataFrame,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    private: bool = False,
) -> pd.DataFrame:
    """One row per arm, subgroup, level and metric: mean over seeds at threshold 0.5, its 95 % interval.

    The interval is over patients and training runs. Within a level its own patients are resampled. Where a metric rests
    on 1 to 4 patients, its row is suppressed and its numbers are empty; `positives` is empty wherever so small a number
    follows from it (`suppress_small_cells`). A metric whose label has no film in a level does not exist there, and its
    estimate is empty.
    """
    rows: list[dict[str, object]] = []
    for arm, found in scores.items():
        table = levels(facts, private=private).reindex(found.films)
        for name in table:
            parts = {
                level: found.only((table[name] == level).to_numpy()) for level in _in_order(name, table[name].unique())
            }
            tells = _may_tell_positives(parts)
            for level, part in parts.items():
                keys = {"role": found.role, "arm": arm, "subgroup": name, "level": level}
                level_seed = zlib.crc32(f"{seed}/{name}/{level}".encode())
                rows += [keys | row for row in _level_rows(part, level_seed, resamples, tells[level])]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"films": "Int64", "patients": "Int64", "positives": "Int64"})


def _level_rows(part: Scores, seed: int, resamples: int, tell_positives: bool) -> list[dict[str, object]]:
    films = np.unique(part.films, return_index=True)[1]
    counts: dict[str, object] = {"films": len(films), "patients": len(part.patient_ids)}
    counts["positives"] = int(part.labels[films].sum()) if tell_positives else None
    number = _patients_by_label(part)
    concerned = {"recall_positive": ("positive",), "recall_negative": ("negative",), "roc_auc": tuple(number)}
    behind = np.array([number["positive"], number["negative"], min(number.values())])
    found = Resampled.of_draws(part.seeds, part.runs, _values(part, seed, resamples), resamples, behind)
    intervals = found.intervals((0, 1), shares=(0, 1))
    rows: list[dict[str, object]] = []
    for column, metric in enumerate(METRICS):
        if is_small(len(part.patient_ids)) or any(is_small(number[label]) for label in concerned[metric]):
            rows.append({"metric": metric, "suppressed": True})
            continue
        ends = intervals.estimates[column], intervals.low[column], intervals.high[column]
        row = {"metric": metric} | dict(zip(("estimate", "low", "high"), ends, strict=True))
        rows.append(counts | row | {"suppressed": False})
    return rows


def _patients_by_label(part: Scores) -> dict[str, int]:
    return {
        name: len(np.unique(part.patients[part.labels == label])) for label, name in ((1, "positive"), (0, "negative"))
    }


def _may_tell_positives(parts: dict[str, Scores]) -> dict[str, bool]:
    """Whether a level's number of positives gives no small number of patients away, not even by the sums."""
    counts = pd.DataFrame([_patients_by_label(part) for part in parts.values()], index=list(parts))
    shown = suppress_small_cells(counts, list(counts.columns))
    return {
        str(level): all(not isinstance(cell, str) for cell in row)
        for level, row in zip(shown.index, shown.to_numpy(), strict=True)
    }


def _values(part: Scores, seed: int, resamples: int) -> np.ndarray:
    """`METRICS` as found, in each resample, and with each patient left out, (rows of `draws`, seeds, 3)."""
    right = (part.predicted("fixed") == part.labels).astype(float)
    folds = np.unique(part.folds, return_inverse=True)[1]
    orders = [ranking.ranked(part.labels, p, folds) for p in part.p_positive]
    blocks = []
    for times in draws(len(part.patient_ids), resamples, np.random.default_rng(seed)):
        weights = times[:, part.patients]
        block = np.full((len(times), len(part.seeds), len(METRICS)), np.nan)
        for column, label in ((0, 1), (1, 0)):
            of_label = weights * (part.labels == label)
            block[..., column] = divided(of_label @ right.T, of_label.sum(axis=1, keepdims=True))
        for number, order in enumerate(orders):
            block[:, number, 2] = ranking.roc_auc(ranking.ladder(order, weights))
        blocks.append(block)
    return np.concatenate(blocks)


def age_bands(ages: pd.Series) -> pd.Series:
    """The band of each age in years; `not known` where there is none."""
    years = pd.to_numeric(ages, errors="coerce")
    edges = [start for start, _ in AGE_BANDS]
    names = np.array([name for _, name in AGE_BANDS])
    bands = names[np.maximum(np.searchsorted(edges, years.fillna(0), side="right") - 1, 0)]
    return pd.Series(np.where(years.isna(), UNKNOWN, bands), index=ages.index)


def _in_order(name: str, found: np.ndarray) -> list[str]:
    """Ages from young to old, everything else by name; `not known` last."""
    bands = [band for _, band in AGE_BANDS] if name == "age" else []

    def place(level: str) -> tuple[bool, int, str]:
        first = level.split(JOINED)[0]
        return level == UNKNOWN, bands.index(first) if first in bands else len(bands), level

    return sorted(found, key=place)
