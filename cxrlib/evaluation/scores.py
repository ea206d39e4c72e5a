"""The classifiers' answers as arrays: one arm, one role, seed by seed, on films in a fixed order.

The tables of predictions that come in have the columns `COLUMNS`; a cross-fitted arm has the rows of all its folds.
On the hospital's films each of these answers for its own part, so every film has one answer per seed. On validation
films each fold's model answers for all of them, so a film has one row per fold. Either way films are ranked within
folds only, since models have scales of their own; so that arms can be compared, on the hospital's films every arm is
ranked within the folds of the cross-fitted ones.

A column `generator_seed` is optional: seeds that share a generator are one run, where there are several generators.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxrlib.errors import InputError
from cxrlib.evaluation.metrics import THRESHOLD, check_both_labels, check_probabilities

OPERATING_POINTS = ("fixed", "validation")
COLUMNS = (
    "arm", "seed", "fold", "image_id", "patient_id", "role", "label", "p_positive", "p_calibrated",
    "threshold_validation",
)  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """One arm's answers to one role's films; rows are sorted by film, then fold."""

    role: str
    arm: str
    seeds: tuple[int, ...]
    runs: tuple[int, ...]  # of each seed: seeds of the same run share their generators
    films: np.ndarray  # (rows,) str
    labels: np.ndarray  # (rows,) int64, 0 or 1
    patient_ids: np.ndarray  # (patients,) str, sorted
    patients: np.ndarray  # (rows,) int64, index into patient_ids
    folds: np.ndarray  # (rows,) str; only films of the same fold may be ranked against each other
    p_positive: np.ndarray  # (seeds, rows)
    p_calibrated: np.ndarray  # (seeds, rows)
    thresholds: np.ndarray  # (seeds, rows), each row's model's threshold from validation

    def predicted(self, operating_point: str) -> np.ndarray:
        """0 or 1, (seeds, rows), at the threshold of the paper (`fixed`, 0.5) or the one chosen on validation."""
        threshold = THRESHOLD if operating_point == "fixed" else self.thresholds
        return (self.p_positive >= threshold).astype(np.int64)

    def one_answer_per_film(self) -> bool:
        return len(np.unique(self.films)) == len(self.films)

    def only(self, rows: np.ndarray) -> "Scores":
        """The answers to some of the films; patients without any of these are left out."""
        patient_ids, patients = np.unique(self.patient_ids[self.patients[rows]], return_inverse=True)
        by_row = self.films[rows], self.labels[rows], patient_ids, patients, self.folds[rows]
        chosen = (part[:, rows] for part in (self.p_positive, self.p_calibrated, self.thresholds))
        return Scores(self.role, self.arm, self.seeds, self.runs, *by_row, *chosen)


def collect_scores(predictions: pd.DataFrame, role: str) -> dict[str, Scores]:
    """Scores of every arm that answered for this role's films, in the order in which arms first appear.

    Raises `InputError` for missing columns, values that are no probabilities, a film answered twice, seeds or arms
    that answered for different films, films whose label or patient differs between tables, and a single label.
    """
    missing = [column for column in COLUMNS if column not in predictions]
    if missing:
        raise InputError(f"predictions: found columns {list(predictions.columns)}, expected also {missing}")
    rows = predictions[predictions["role"] == role]
    for column in ("p_positive", "p_calibrated"):
        check_probabilities(rows[column].to_numpy(float), f"{role} predictions: {column}")
    # One above 1 means "never positive" and is a choice that Youden's index can make.
    thresholds = rows["threshold_validation"].to_numpy(float)
    if not np.isfinite(thresholds).all():
        wrong = thresholds[~np.isfinite(thresholds)][0]
        raise InputError(f"{role} predictions: threshold_validation: found {wrong}, expected a number")
    scores = {str(arm): _collect(part, role, str(arm)) for arm, part in rows.groupby("arm", sort=False)}
    _check_same_films(scores, role)
    return _ranked_alike(scores)


def _collect(part: pd.DataFrame, role: str, arm: str) -> Scores:
    where = f"{role} predictions of `{arm}`"
    part = part.sort_values(["seed", "image_id", "fold"], kind="stable")
    keys = ["seed", "image_id", "fold"]
    twice = part[part.duplicated(keys)]
    if len(twice):
        raise InputError(f"{where}: {len(twice)} films are answered twice by the same model, expected once")
    seeds = [group for _, group in part.groupby("seed", sort=True)]
    first = seeds[0]
    facts = ["image_id", "fold", "patient_id", "label"]
    for group in seeds[1:]:
        if len(group) != len(first) or (group[facts].to_numpy(str) != first[facts].to_numpy(str)).any():
            raise InputError(
                f"{where}: seeds {first['seed'].iloc[0]} and {group['seed'].iloc[0]} answered for different films "
                f"({len(first)} and {len(group)} answers); train both on the same prepared data (--force)"
            )
    labels = (first["label"] == "positive").to_numpy(np.int64)
    check_both_labels(labels, where)
    patient_ids, patients = np.unique(first["patient_id"].to_numpy(str), return_inverse=True)
    values = (
        np.stack([group[column].to_numpy(float) for group in seeds])
        for column in ("p_positive", "p_calibrated", "threshold_validation")
    )
    numbers = tuple(int(group["seed"].iloc[0]) for group in seeds)
    films, folds = first["image_id"].to_numpy(str), first["fold"].to_numpy(str)
    generators = tuple(int(group["generator_seed"].iloc[0]) for group in seeds if "generator_seed" in group)
    runs = generators if len(set(generators)) > 1 else numbers
    return Scores(role, arm, numbers, runs, films, labels, patient_ids, patients, folds, *values)


def _ranked_alike(scores: dict[str, Scores]) -> dict[str, Scores]:
    """Arms of one model take the folds of the cross-fitted arms, where each of these folds has films of its own."""
    crossed = [found for found in scores.values() if len(np.unique(found.folds)) > 1 and found.one_answer_per_film()]
    if not crossed:
        return scores
    fold_of = dict(zip(crossed[0].films, crossed[0].folds, strict=True))
    alike = dict(scores)
    for arm, found in scores.items():
        if len(np.unique(found.folds)) == 1:
            alike[arm] = replace(found, folds=np.array([fold_of[film] for film in found.films]))
    return alike


def _check_same_films(scores: dict[str, Scores], role: str) -> None:
    """Raise `InputError` unless all arms answered for the same films, with the same labels and patients."""
    facts = [
        dict(zip(found.films, zip(found.labels, found.patient_ids[found.patients], strict=True), strict=True))
        for found in scores.values()
    ]
    remedy = "in the second; train both on the same prepared data (--force)"
    for arm, found in list(zip(scores, facts, strict=True))[1:]:
        known, both = facts[0], f"{role} predictions of `{next(iter(scores))}` and `{arm}`"
        if known.keys() != found.keys():
            here, there = len(known.keys() - found.keys()), len(found.keys() - known.keys())
            raise InputError(f"{both} are of different films: {here} only in the first, {there} only {remedy}")
        if differing := sum(known[film] != found[film] for film in known):
            raise InputError(f"{both}: {differing} films have another label or patient {remedy}")
