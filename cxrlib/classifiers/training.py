"""Training of one classifier of a study: arm, seed and fold in, model and predictions out."""

import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from cxrlib.checkpoints import save_tensors
from cxrlib.classifiers.arms import arm_of
from cxrlib.classifiers.calibration import decided_by_validation, remarks
from cxrlib.classifiers.composition import (
    check_arm,
    compose_training_films,
    learned_rows,
    rows_under_test,
    synthetic_counts,
)
from cxrlib.classifiers.fitting import Progress, TrainingRun, fit
from cxrlib.classifiers.network import PixelStatistics, pixel_statistics, working_precision
from cxrlib.classifiers.openings import count_openings, record_opening, record_training_use
from cxrlib.classifiers.prediction import load_classifier, predict_probabilities, predictions_table
from cxrlib.classifiers.without_network import WITHOUT_NETWORK, validation_films
from cxrlib.endpoint import freeze_endpoint
from cxrlib.errors import InputError
from cxrlib.features import describe_weights, identify_weights
from cxrlib.files import read_json, sha256_of, write_csv
from cxrlib.films.images import ImageSet, films_identity, load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.finished import makes
from cxrlib.records import is_finished, start_afresh, write_record
from cxrlib.reproducibility import deterministic, pick_device
from cxrlib.study import Study

logger = logging.getLogger(__name__)

# What a finished classifier leaves, as far as its arm has it; the log of openings is beside them, and stays.
FILES = ("model.safetensors", "sources.csv", "threshold.json", "log.csv", "predictions.csv")


@makes("classifier")
def train_classifier(
    study: Study, arm: str, seed: int, fold: str, *, force: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train the model of one arm, seed and fold, predict validation films and holdouts, and return its record.

    Writes model.safetensors, log.csv, predictions.csv, openings.csv and, last, config.json. Finished with the same
    settings and inputs, it returns the record at once; interrupted, it goes on after the last finished epoch. Films
    are normalised with the public training films' statistics in every arm. A model of a fold predicts the hospital's
    films of that fold only, and all of an external hospital, if the study has one. Both are opened once, after the last
    epoch and after validation alone decided `threshold_validation` and `temperature`. Hospital films that an arm learns
    from, of other folds' patients, are logged too. Arms without a network write what they learned, predictions, and the
    record. `progress(epochs_done, epochs, facts)` is called after each epoch. Raises `InputError`.
    """
    check_arm(study, arm, seed, fold)
    freeze_endpoint(study)
    settings, inputs = _what_decides(study, arm, seed, fold)
    record = study.results.classifier_record(arm, seed, fold)
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    if force:
        start_afresh(record.parent)
    if arm_of(arm).network:
        decided_by = json.loads(json.dumps({"settings": settings, "inputs": inputs}, default=str))
        facts = _train_network(study, arm, seed, fold, decided_by, progress)
    else:
        facts = WITHOUT_NETWORK[arm_of(arm).learns](study, arm, seed, fold)
    outputs = [path for name in FILES if (path := record.parent / name).exists()]
    write_record(record, settings, inputs, facts.pop("seconds"), outputs=outputs, **facts)
    shutil.rmtree(record.parent / "checkpoint", ignore_errors=True)
    return read_json(record)


def _train_network(
    study: Study, arm: str, seed: int, fold: str, decided_by: Any, progress: Progress | None
) -> dict[str, Any]:
    """Train, let validation decide, then open the hospital's films; returns the facts of the record."""
    size, folder = study.classifier.image_size, study.results.classifier(arm, seed, fold)
    # Before the films are composed, so that the public ones are not in memory twice.
    statistics = pixel_statistics(load_image_set(study, "training", size).images)
    recipe = arm_of(arm)
    if recipe.uses_hospital:
        record_training_use(study.results.openings(arm, seed, fold), len(learned_rows(study, fold)))
    validation, before = validation_films(study), study.models_before(arm, seed)
    run = TrainingRun(
        settings=study.classifier.recipe_of(recipe),
        name=(study.seed, "classifier", seed),
        films=compose_training_films(study, arm, seed, fold),
        statistics=statistics,
        strong_augmentation=recipe.augmentation == "strong",
        start=load_classifier(study.results.classifier(*before[0]))[0].state_dict() if before else None,
        validation=validation,
        folder=folder,
        fingerprint=decided_by,
        progress=progress,
    )
    with deterministic(study.threads_per_job):
        network = fit(run)
        started = time.perf_counter()
        save_tensors(folder / "model.safetensors", {key: value.cpu() for key, value in network.state_dict().items()})
        predictions, decided = _predict(study, arm, seed, fold, network, run.statistics, validation)
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
        "hospital_images": run.films.hospital_counts(),
        "label_weights": dict(zip(LABELS, run.films.label_weights, strict=True)) if run.films.label_weights else None,
        "films_per_epoch": run.films.epoch_films,
        "steps": run.total_epochs * run.steps_per_epoch,
        "precision": str(working_precision(network, pick_device())).removeprefix("torch."),
        **decided,
        "hospital_openings": count_openings(study.results.openings(arm, seed, fold)),
    }


def _predict(
    study: Study, arm: str, seed: int, fold: str, network: nn.Module, statistics: PixelStatistics, validation: ImageSet
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of validation films and of the holdouts, and what validation decided before these were opened."""
    folder = study.results.classifier(arm, seed, fold)
    p_validation = predict_probabilities(network, validation.images, statistics)
    decided = decided_by_validation(p_validation, validation.labels)
    model = sha256_of(folder / "model.safetensors")
    tables = [predictions_table(validation, "validation", p_validation)]
    for role in study.holdouts:
        chosen = rows_under_test(study, role, fold)
        record_opening(study.results.openings(arm, seed, fold), model, len(chosen), role, **decided)
        # Here, and only here, a holdout's films are opened.
        films = load_image_set(study, role, study.classifier.image_size)
        films = films if len(chosen) == len(films) else films.select(chosen)
        tables.append(predictions_table(films, role, predict_probabilities(network, films.images, statistics)))
    found = {**decided, "remarks": remarks(p_validation, validation.labels)}
    return pd.concat(tables, ignore_index=True), found


def _what_decides(study: Study, arm: str, seed: int, fold: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and inputs that determine this model."""
    settings: dict[str, Any] = {"study_seed": study.seed, "arm": arm, "seed": seed, "fold": fold}
    recipe = arm_of(arm)
    roles = study.roles if recipe.judges_hospital else ("training", "validation")
    inputs: dict[str, Any] = {role: films_identity(study, role, study.classifier.image_size) for role in roles}
    if recipe.uses_hospital:
        settings["held_out_percent"] = study.gan.held_out_percent
    for model in study.models_before(arm, seed):
        name = "/".join(map(str, model))
        command = "train-classifier {} --arm {} --seed {} --fold {}".format(study.name, *model)
        stored = _upstream(study.results.classifier_record(*model), f"`{arm}` goes on from it", command)
        inputs[name] = {key: stored[f"{key}_sha256"] for key in ("model", "predictions")}
    if not recipe.network:
        return settings, inputs
    elsewhere = {"arms", "equal_steps", "seeds", "doses", "weights_sha256"}
    common = study.classifier.recipe_of(recipe).model_dump(mode="json", exclude=elsewhere)
    settings["classifier"] = common | {"weights": Path(common["weights"]).name}
    chosen = study.classifier
    inputs["weights"] = identify_weights(chosen.network, chosen.weights, chosen.weights_sha256)
    if recipe.needs_synthetic and study.synthesis.exclude_rejected:
        problem, command = "readers have not decided which films to reject", f"reject-films {study.name}"
        verdict = _upstream(study.results.rejected_record(study.review.protocol), problem, command)
        inputs["rejected films"] = verdict["rejected_sha256"]
    generators = study.generators_of(arm, seed, fold)
    if recipe.counts_synthetic:
        for label in LABELS:
            _synthetic_record(study, label, generators)
        settings["synthetic_images"] = dict(zip(LABELS, synthetic_counts(study, generators), strict=True))
    for label in LABELS if recipe.synthetic else ():
        stored = _synthetic_record(study, label, generators)
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
