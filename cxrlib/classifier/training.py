"""Training of one classifier of a study: arm, seed and fold in, model and predictions out."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import save_file
from torch import nn

from cxrlib.artifacts import (
    atomic_path,
    fingerprint,
    is_finished,
    read_json,
    sha256_of,
    start_afresh,
    write_csv,
    write_record,
)
from cxrlib.backbone import describe_weights, identify_weights
from cxrlib.classifier.arms import SYNTHETIC_ARMS, check_arm, compose_training_films
from cxrlib.classifier.fitting import Progress, TrainingRun, fit
from cxrlib.classifier.network import pixel_statistics, working_precision
from cxrlib.classifier.prediction import predict_probabilities, predictions_table
from cxrlib.data.images import films_identity, load_image_set
from cxrlib.data.settings import LABELS, ROLES
from cxrlib.errors import InputError
from cxrlib.reproducibility import deterministic, pick_device
from cxrlib.study import Study

logger = logging.getLogger(__name__)


def train_classifier(
    study: Study, arm: str, seed: int, fold: str, *, force: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train the model of one arm, seed and fold, predict validation and hospital films, and return its record.

    Writes model.safetensors, log.csv, predictions.csv and, last, config.json. Finished with the same settings and
    inputs, it returns the record at once; interrupted, it goes on after the last finished epoch. A model of a fold
    predicts the hospital's films of that fold only. The hospital's films are opened once, after the last epoch.
    `progress(epochs_done, epochs, facts)` is called after each epoch. Raises `InputError`.
    """
    check_arm(study, arm, seed, fold)
    settings, inputs = _what_decides(study, arm, seed, fold)
    record = study.results.classifier_record(arm, seed, fold)
    folder = record.parent
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    if force:
        start_afresh(folder)
    run = TrainingRun(
        settings=study.classifier,
        name=(study.seed, "classifier", seed),
        films=compose_training_films(study, arm, seed, fold),
        statistics=pixel_statistics(load_image_set(study, "training", study.classifier.image_size).images),
        validation=load_image_set(study, "validation", study.classifier.image_size),
        folder=folder,
        fingerprint=fingerprint(settings, inputs),
        progress=progress,
    )
    with deterministic(study.threads_per_job):
        network = fit(run)
        started = time.perf_counter()
        _save_model(folder / "model.safetensors", network)
        predictions = _predict(study, network, run, fold)
    write_csv(folder / "predictions.csv", predictions)
    facts = {
        "model_sha256": sha256_of(folder / "model.safetensors"),
        "predictions_sha256": sha256_of(folder / "predictions.csv"),
        "weights": describe_weights(study.classifier.weights),
        "pixel_mean": run.statistics.mean,
        "pixel_std": run.statistics.std,
        "training_images": run.films.counts(),
        "synthetic_images": run.films.synthetic_counts(),
        "steps": run.total_epochs * run.steps_per_epoch,
        "precision": str(working_precision(network, pick_device())).removeprefix("torch."),
    }
    write_record(record, settings, inputs, run.seconds + time.perf_counter() - started, **facts)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return read_json(record)


def _save_model(path: Path, network: nn.Module) -> None:
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary)


def _predict(study: Study, network: nn.Module, run: TrainingRun, fold: str) -> pd.DataFrame:
    """Predictions of the validation films and of the hospital's; here, and only here, the hospital's are opened."""
    hospital = load_image_set(study, "hospital", study.classifier.image_size)
    if fold != "all":
        hospital = hospital.select(np.flatnonzero((hospital.manifest["fold"] == fold).to_numpy()))
    logger.info("%s: the hospital's films are opened after the last epoch, to be predicted once", run.folder)
    tables = [
        predictions_table(films, role, predict_probabilities(network, films.images, run.statistics))
        for role, films in (("validation", run.validation), ("hospital", hospital))
    ]
    return pd.concat(tables, ignore_index=True)


def _what_decides(study: Study, arm: str, seed: int, fold: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and inputs that determine this model."""
    recipe = study.classifier.model_dump(mode="json", exclude={"arms", "seeds"})
    recipe["weights"] = Path(recipe["weights"]).name
    settings = {"study_seed": study.seed, "arm": arm, "seed": seed, "fold": fold, "classifier": recipe}
    if arm == "oversampled":
        settings["synthetic_images_per_label"] = study.synthesis.images_per_label
    inputs: dict[str, Any] = {"weights": identify_weights(study.classifier.weights)}
    inputs |= {role: films_identity(study, role, study.classifier.image_size) for role in ROLES}
    for label in LABELS if arm in SYNTHETIC_ARMS else ():
        problem = f"the synthetic {label} films of `{fold}` are not made"
        command = f"synthesise {study.name} --label {label} --fold {fold}"
        stored = _upstream(study.results.synthetic_record(label, fold), problem, command)
        inputs[f"synthetic {label}"] = {"images": stored["images_sha256"], "manifest": stored["manifest_sha256"]}
    return settings, inputs


def _upstream(record: Path, problem: str, command: str) -> dict[str, Any]:
    if not record.exists():
        raise InputError(f"{record}: not there: {problem}; run `cxr {command}` first")
    return read_json(record)
