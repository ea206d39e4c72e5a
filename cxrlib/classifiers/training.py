"""Training of one classifier of a study: arm, seed and fold in, model and predictions out."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from cxrlib.artifacts import (
    fingerprint,
    is_finished,
    read_json,
    sha256_of,
    start_afresh,
    write_csv,
    write_record,
)
from cxrlib.checkpoints import save_tensors
from cxrlib.classifiers.arms import arm_of
from cxrlib.classifiers.calibration import check_validation, fit_temperature, youden_threshold
from cxrlib.classifiers.composition import check_arm, compose_training_films, synthetic_counts
from cxrlib.classifiers.fitting import Progress, TrainingRun, fit
from cxrlib.classifiers.network import pixel_statistics, working_precision
from cxrlib.classifiers.openings import count_openings, record_opening
from cxrlib.classifiers.prediction import predict_probabilities, predictions_table
from cxrlib.errors import InputError
from cxrlib.features import describe_weights, identify_weights
from cxrlib.films.images import ImageSet, films_identity, load_image_set, load_manifest
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.films.shortcuts import fit_source_rule
from cxrlib.reproducibility import deterministic, pick_device
from cxrlib.study import Study

logger = logging.getLogger(__name__)


def train_classifier(
    study: Study, arm: str, seed: int, fold: str, *, force: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train the model of one arm, seed and fold, predict validation and hospital films, and return its record.

    Writes model.safetensors, log.csv, predictions.csv, openings.csv and, last, config.json. Finished with the same
    settings and inputs, it returns the record at once; interrupted, it goes on after the last finished epoch. Films
    are normalised with the public training films' statistics in every arm. A model of a fold predicts the hospital's
    films of that fold only. The hospital's films are opened once, after the last epoch and after validation alone
    decided `threshold_validation` and `temperature`. The arm `source-rule` trains no network: it writes sources.csv,
    predictions of validation films, and the record. `progress(epochs_done, epochs, facts)` is called after each
    epoch. Raises `InputError`.
    """
    check_arm(study, arm, seed, fold)
    settings, inputs = _what_decides(study, arm, seed, fold)
    record = study.results.classifier_record(arm, seed, fold)
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    if force:
        start_afresh(record.parent)
    if arm_of(arm).network:
        facts = _train_network(study, arm, seed, fold, fingerprint(settings, inputs), progress)
    else:
        facts = _apply_source_rule(study, record.parent)
    write_record(record, settings, inputs, facts.pop("seconds"), **facts)
    shutil.rmtree(record.parent / "checkpoint", ignore_errors=True)
    return read_json(record)


def _train_network(
    study: Study, arm: str, seed: int, fold: str, decided_by: str, progress: Progress | None
) -> dict[str, Any]:
    """Train, let validation decide, then open the hospital's films; returns the facts of the record."""
    size, folder = study.classifier.image_size, study.results.classifier(arm, seed, fold)
    # Before the films are composed, so that the public ones are not in memory twice.
    statistics = pixel_statistics(load_image_set(study, "training", size).images)
    run = TrainingRun(
        settings=study.classifier,
        name=(study.seed, "classifier", seed),
        films=compose_training_films(study, arm, seed, fold),
        statistics=statistics,
        validation=_validation_films(study),
        folder=folder,
        fingerprint=decided_by,
        progress=progress,
    )
    with deterministic(study.threads_per_job):
        network = fit(run)
        started = time.perf_counter()
        _save_model(folder / "model.safetensors", network)
        predictions, decided = _predict(study, arm, seed, fold, network, run)
    write_csv(folder / "predictions.csv", predictions)
    return {
        "seconds": run.seconds + time.perf_counter() - started,
        "model_sha256": sha256_of(folder / "model.safetensors"),
        "predictions_sha256": sha256_of(folder / "predictions.csv"),
        "weights": describe_weights(study.classifier.network, study.classifier.weights),
        "pixel_mean": run.statistics.mean,
        "pixel_std": run.statistics.std,
        "training_images": run.films.counts(),
        "synthetic_images": run.films.synthetic_counts(),
        "label_weights": dict(zip(LABELS, run.films.label_weights, strict=True)) if run.films.label_weights else None,
        "films_per_epoch": run.films.epoch_films,
        "steps": run.total_epochs * run.steps_per_epoch,
        "precision": str(working_precision(network, pick_device())).removeprefix("torch."),
        **decided,
        "hospital_openings": count_openings(study.results.openings(arm, seed, fold)),
    }


def _validation_films(study: Study) -> ImageSet:
    """The validation films; refused before any training if they can't decide threshold and temperature."""
    films = load_image_set(study, "validation", study.classifier.image_size)
    check_validation(np.full(len(films), 0.5), films.labels)
    return films


def _predict(
    study: Study, arm: str, seed: int, fold: str, network: nn.Module, run: TrainingRun
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predictions of validation and hospital films, and what validation decided before the hospital's were opened."""
    folder = study.results.classifier(arm, seed, fold)
    p_validation = predict_probabilities(network, run.validation.images, run.statistics)
    decided = _decided_by_validation(p_validation, run.validation.labels)
    known = load_manifest(study, "hospital")["fold"]
    chosen = np.arange(len(known)) if fold == "all" else np.flatnonzero((known == fold).to_numpy())
    model = sha256_of(folder / "model.safetensors")
    record_opening(study.results.openings(arm, seed, fold), model, len(chosen), **decided)
    # Here, and only here, the hospital's films are opened.
    hospital = load_image_set(study, "hospital", study.classifier.image_size)
    hospital = hospital if fold == "all" else hospital.select(chosen)
    tables = [
        predictions_table(run.validation, "validation", p_validation),
        predictions_table(hospital, "hospital", predict_probabilities(network, hospital.images, run.statistics)),
    ]
    return pd.concat(tables, ignore_index=True), decided


def _decided_by_validation(p_positive: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {
        "threshold_validation": youden_threshold(p_positive, labels),
        "temperature": fit_temperature(p_positive, labels),
    }


def _apply_source_rule(study: Study, folder: Path) -> dict[str, Any]:
    """Learn from the training films' sources, predict the validation films by theirs; returns the record's facts.

    The rule is kept as sources.csv. It can't speak about a hospital, whose films come from a place that the public
    films lack.
    """
    started = time.perf_counter()
    validation = _validation_films(study)
    training = load_manifest(study, "training")
    rule = fit_source_rule(training["source"], (training["label"] == "positive").to_numpy(int))
    table = [(source, *counts, rule.share(source)) for source, counts in rule.counts.items()]
    write_csv(folder / "sources.csv", pd.DataFrame(table, columns=["source", "negative", "positive", "p_positive"]))
    p_positive = rule.predict(validation.manifest["source"])
    write_csv(folder / "predictions.csv", predictions_table(validation, "validation", p_positive))
    return {
        "seconds": time.perf_counter() - started,
        "model_sha256": sha256_of(folder / "sources.csv"),
        "predictions_sha256": sha256_of(folder / "predictions.csv"),
        "weights": "no network",
        "training_images": {label: int((training["label"] == label).sum()) for label in LABELS},
        "synthetic_images": dict.fromkeys(LABELS, 0),
        "steps": 0,
        # The rule's probabilities are shares already.
        **(_decided_by_validation(p_positive, validation.labels) | {"temperature": 1.0}),
        "hospital_openings": 0,
    }


def _save_model(path: Path, network: nn.Module) -> None:
    save_tensors(path, {name: value.cpu() for name, value in network.state_dict().items()})


def _what_decides(study: Study, arm: str, seed: int, fold: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and inputs that determine this model."""
    settings: dict[str, Any] = {"study_seed": study.seed, "arm": arm, "seed": seed, "fold": fold}
    recipe = arm_of(arm)
    roles = ROLES if recipe.network else ("training", "validation")
    inputs: dict[str, Any] = {role: films_identity(study, role, study.classifier.image_size) for role in roles}
    if not recipe.network:
        return settings, inputs
    elsewhere = {"arms", "equal_steps", "seeds", "doses", "weights_sha256"}
    common = study.classifier.model_dump(mode="json", exclude=elsewhere)
    settings["classifier"] = common | {"weights": Path(common["weights"]).name}
    chosen = study.classifier
    inputs["weights"] = identify_weights(chosen.network, chosen.weights, chosen.weights_sha256)
    if recipe.needs_synthetic and study.synthesis.exclude_rejected:
        problem, command = "readers have not decided which films to reject", f"reject-films {study.name}"
        verdict = _upstream(study.results.rejected_record(study.review.protocol), problem, command)
        inputs["rejected films"] = verdict["rejected_sha256"]
    if recipe.balance:
        for label in LABELS:
            _synthetic_record(study, label, "all")
        settings["synthetic_images"] = dict(zip(LABELS, synthetic_counts(study), strict=True))
    for label in LABELS if recipe.synthetic else ():
        stored = _synthetic_record(study, label, fold)
        inputs[f"synthetic {label}"] = {"images": stored["images_sha256"], "manifest": stored["manifest_sha256"]}
    return settings, inputs


def _synthetic_record(study: Study, label: str, fold: str) -> dict[str, Any]:
    problem = f"the synthetic {label} films of `{fold}` are not made"
    command = f"synthesise {study.name} --label {label} --fold {fold}"
    return _upstream(study.results.synthetic_record(label, fold), problem, command)


def _upstream(record: Path, problem: str, command: str) -> dict[str, Any]:
    if not record.exists():
        raise InputError(f"{record}: not there: {problem}; run `cxr {command}` first")
    return read_json(record)
