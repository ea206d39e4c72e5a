"""The arms that train no network: a rule of the public films' sources, and a moved threshold."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from cxrlib.classifiers.calibration import check_validation, decided_by_validation, logits, remarks, youden_threshold
from cxrlib.classifiers.composition import learned_rows, rows_under_test
from cxrlib.classifiers.openings import count_openings, record_opening, record_training_use
from cxrlib.classifiers.prediction import predictions_table, read_predictions
from cxrlib.files import sha256_of, write_csv, write_json, write_table
from cxrlib.films.images import ImageSet, load_image_set, load_manifest
from cxrlib.films.settings import LABELS
from cxrlib.films.shortcuts import fit_source_rule
from cxrlib.study import Study


def validation_films(study: Study) -> ImageSet:
    """The validation films; refused before any training if they can't decide threshold and temperature."""
    films = load_image_set(study, "validation", study.classifier.image_size)
    check_validation(np.full(len(films), 0.5), films.labels)
    return films


def apply_source_rule(study: Study, arm: str, seed: int, fold: str) -> dict[str, Any]:
    """Learn from the training films' sources, predict the validation films by theirs; returns the record's facts.

    The rule is kept as sources.csv. It can't speak about a hospital, whose films come from a place that the public
    films lack.
    """
    started, folder = time.perf_counter(), study.results.classifier(arm, seed, fold)
    validation = validation_films(study)
    training = load_manifest(study, "training")
    rule = fit_source_rule(training["source"], (training["label"] == "positive").to_numpy(int))
    table = [(source, *counts, rule.share(source)) for source, counts in rule.counts.items()]
    write_table(folder / "sources.csv", pd.DataFrame(table, columns=["source", "negative", "positive", "p_positive"]))
    p_positive = rule.predict(validation.manifest["source"])
    write_csv(folder / "predictions.csv", predictions_table(validation, "validation", p_positive))
    return {
        "seconds": time.perf_counter() - started,
        "model_sha256": sha256_of(folder / "sources.csv"),
        "training_images": {label: int((training["label"] == label).sum()) for label in LABELS},
        # The rule's probabilities are shares already.
        **(decided_by_validation(p_positive, validation.labels) | {"temperature": 1.0}),
        "remarks": [],
        "hospital_openings": 0,
        **_no_training(study, arm, seed, fold),
    }


def move_threshold(study: Study, arm: str, seed: int, fold: str) -> dict[str, Any]:
    """Learn a threshold for the finished model that the arm starts from; returns the record's facts.

    The threshold is that of the largest sum of both recalls over the hospital films that the fold's generators learned
    from. All log odds are moved by as much as puts it at one half, so that the model's order of films stays. It is kept
    as threshold.json.
    """
    started, folder = time.perf_counter(), study.results.classifier(arm, seed, fold)
    log = study.results.openings(arm, seed, fold)
    (model,) = study.models_before(arm, seed)
    table, manifest = read_predictions(study.results.predictions(*model)), load_manifest(study, "hospital")
    learned = manifest["image_id"].iloc[learned_rows(study, fold)]
    record_training_use(log, len(learned))
    known = table[(table["role"] == "hospital") & table["image_id"].isin(learned)]
    labels = (known["label"] == "positive").to_numpy(np.int64)
    threshold = youden_threshold(known["p_positive"].to_numpy(), labels)
    write_json(folder / "threshold.json", {"threshold": threshold, "hospital_films": len(known)})
    table["p_positive"] = moved(table["p_positive"].to_numpy(), threshold)
    validation = table[table["role"] == "validation"]
    answers = validation["p_positive"].to_numpy(), (validation["label"] == "positive").to_numpy(np.int64)
    decided = decided_by_validation(*answers)
    tables = [validation]
    for role in study.holdouts:
        under_test = load_manifest(study, role)["image_id"].iloc[rows_under_test(study, role, fold)]
        record_opening(log, sha256_of(folder / "threshold.json"), len(under_test), role, **decided)
        tables.append(table[(table["role"] == role) & table["image_id"].isin(under_test)])
    write_csv(folder / "predictions.csv", pd.concat(tables, ignore_index=True))
    return {
        "seconds": time.perf_counter() - started,
        "model_sha256": sha256_of(folder / "threshold.json"),
        "training_images": dict.fromkeys(LABELS, 0),
        **decided,
        "remarks": remarks(*answers),
        "hospital_threshold": threshold,
        "hospital_openings": count_openings(log),
        **_no_training(study, arm, seed, fold),
    }


def moved(p_positive: np.ndarray, threshold: float) -> np.ndarray:
    """Probabilities of the same order, their log odds moved so that the threshold becomes one half."""
    return expit(logits(p_positive) - logits(np.asarray(threshold)))


def _no_training(study: Study, arm: str, seed: int, fold: str) -> dict[str, Any]:
    return {
        "predictions_sha256": sha256_of(study.results.predictions(arm, seed, fold)),
        "weights": "no network",
        "synthetic_images": dict.fromkeys(LABELS, 0),
        "hospital_images": dict.fromkeys(LABELS, 0),
        "steps": 0,
    }


# What an arm does that `learns` no network.
WITHOUT_NETWORK: Mapping[str, Callable[[Study, str, int, str], dict[str, Any]]] = {
    "sources": apply_source_rule,
    "threshold": move_threshold,
}
