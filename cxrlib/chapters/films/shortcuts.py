"""How far the shortcuts go in a study's films: from the source alone, and from the borders alone."""

from typing import Any

import numpy as np
import pandas as pd

from cxrlib.evaluation.ranking import separation
from cxrlib.evaluation.resampled import answer_intervals
from cxrlib.evaluation.subgroups import told_sources
from cxrlib.films.images import ImageSet, load_image_set, load_masks
from cxrlib.films.shortcuts import (
    GRID,
    border_cells,
    border_region,
    cross_predict,
    fit_border_rule,
    fit_source_rule,
    lung_share_of,
    parts_of_patients,
)
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

SHORTCUT_METRICS = ("accuracy", "recall_positive", "recall_negative")
LEARN = {"source": fit_source_rule, "borders": fit_border_rule}


def shortcuts(study: Study) -> pd.DataFrame:
    """How often each shortcut names the label of a role's films: one row per role, shortcut and where it was learned.

    `shortcut` is `majority` (always the label that is commoner in training), `source` or `borders`. `learned_on` is
    `training` or, where that says `own`, the role's own films. Whatever was learned on the films that it is asked about
    is cross-fitted: it never saw the patient. Columns films, patients, known_source (films whose source the rule has
    seen), and accuracy, recall_positive, recall_negative (a film is called positive from p = 0.5 up) and roc_auc,
    each with `_low` and `_high` by bootstrap over patients.
    """
    films = {role: load_image_set(study, role, study.classifier.image_size) for role in study.roles}
    region = border_region(_lungs(study))
    given = {
        "source": {role: _sources(study, role, films[role].manifest) for role in study.roles},
        "borders": {role: border_cells(films[role].images, region) for role in study.roles},
    }
    rows = []
    for role in study.roles:
        commoner = np.full(len(films[role]), float(films["training"].labels.mean() >= 0.5))
        rows.append(_judged(study, role, "majority", "training", films[role], commoner, None))
        for shortcut, learn in LEARN.items():
            if role != "training":
                rule = learn(given[shortcut]["training"], films["training"].labels)
                p_positive = rule.predict(given[shortcut][role])
                rows.append(_judged(study, role, shortcut, "training", films[role], p_positive, None))
            rows += _learned_within(study, role, shortcut, films[role], given[shortcut][role])
    table = pd.DataFrame(rows)
    table["known_source"] = _known_sources(table, given["source"], films)
    return table


def border_weights(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    """The border rule learned on all training films, cell by cell, and what counts as border.

    The first holds row, column and weight of each border cell in the GRID x GRID cells, and the cell's mean grey level
    in negative and in positive training films; the second `cells` (how many count), `grid`,
    `masks` (`all`, `some` or `none` of the roles have lungs that are known) and `lung_share` per role with masks.
    """
    lungs = _lungs(study)
    region = border_region(lungs)
    training = load_image_set(study, "training", study.classifier.image_size)
    cells = border_cells(training.images, region)
    rule = fit_border_rule(cells, training.labels)
    rows, columns = np.nonzero(region)
    weights = {"grid": GRID, "row": rows.tolist(), "column": columns.tolist(), "weight": rule.weights.round(6).tolist()}
    for name, label in (("negative", 0), ("positive", 1)):
        weights[name] = cells[training.labels == label].mean(axis=0).round(2).tolist()
    known = {role: masks for role, masks in lungs.items() if masks is not None}
    complete = len(known) == len(lungs) and all(np.asarray(masks).any(axis=(1, 2)).all() for masks in known.values())
    facts = {
        "grid": GRID,
        "cells": int(region.sum()),
        "masks": "all" if complete else "some" if known else "none",
        "lung_share": {role: round(lung_share_of(region, masks), 5) for role, masks in known.items()},
    }
    return weights, facts


def _lungs(study: Study) -> dict[str, np.ndarray | None]:
    return {role: load_masks(study, role, study.classifier.image_size, "lungs") for role in study.roles}


def _sources(study: Study, role: str, manifest: pd.DataFrame) -> np.ndarray:
    """The films' sources, object (N,); rare ones of a role that may not be published are one, since what a rule gets
    right would tell of them."""
    return (manifest["source"] if study.publishable(role) else told_sources(manifest)).to_numpy(object)


def _learned_within(study: Study, role: str, shortcut: str, films: ImageSet, given: np.ndarray) -> list[dict[str, Any]]:
    """A rule learned on the role's own films, each part of the patients by the others; none where patients are few."""
    patients = films.manifest["patient_id"].to_numpy()
    part = parts_of_patients(films.labels, patients, study.seed, role)
    if part is None:
        return []
    p_positive = cross_predict(LEARN[shortcut], given, films.labels, part)
    learned_on = "training" if role == "training" else "own"
    return [_judged(study, role, shortcut, learned_on, films, p_positive, part)]


def _judged(
    study: Study, role: str, shortcut: str, learned_on: str, films: ImageSet, p_positive: np.ndarray,
    part: np.ndarray | None,
) -> dict[str, Any]:  # fmt: skip
    patients = films.manifest["patient_id"].to_numpy(str)
    seed = seed_for(study.seed, "bootstrap", "shortcut", role)
    found = answer_intervals(films.labels, (p_positive >= 0.5).astype(int), patients, seed=seed)
    intervals = {name: found[name] for name in SHORTCUT_METRICS}
    intervals["roc_auc"] = separation(films.labels, p_positive, patients, seed=seed, parts=part)
    row: dict[str, Any] = {"role": role, "shortcut": shortcut, "learned_on": learned_on}
    row |= {"films": len(films), "patients": len(np.unique(patients))}
    for name, interval in intervals.items():
        row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return row


def _known_sources(table: pd.DataFrame, sources: dict[str, np.ndarray], films: dict[str, ImageSet]) -> list[int | None]:
    """Films of each row's role whose source the source rule has met where it was learned; None for other shortcuts."""
    rule = fit_source_rule(sources["training"], films["training"].labels)
    known = []
    for row in table.itertuples():
        if row.shortcut != "source":
            known.append(None)
        else:
            of_role = sources[row.role]
            known.append(int((rule.knows(of_role) if row.learned_on == "training" else of_role != "").sum()))
    return pd.array(known, dtype="Int64")
