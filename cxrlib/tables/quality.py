"""How far synthetic and public films are from the hospital's."""

import time
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.artifacts import is_finished, read_json, write_csv, write_record
from cxrlib.backbone import identify_weights
from cxrlib.data.images import ImageSet, films_identity, load_image_set, load_synthetic
from cxrlib.data.settings import LABELS
from cxrlib.errors import InputError
from cxrlib.gan.quality import describe_features, features_network, film_features, kernel_distance
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

KERNEL_SUBSETS = 100


def measure_quality(study: Study, *, force: bool = False) -> dict[str, Any]:
    """Write `tables/quality.csv`: how far synthetic and public films are from the hospital's; return the record.

    Kernel distances of the same features between equal numbers of films of one label: synthetic against hospital,
    public against hospital, and one half of the hospital's patients against the other, the distance that chance
    gives. Fold `all` compares the generators that saw every patient with the films they saw; fold `fold0` compares
    the generators that never saw fold 0 with its films.
    """
    started = time.perf_counter()
    settings, inputs = _what_decides_quality(study)
    record = study.results.quality_record
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    rows = [row for label in LABELS for row in _label_quality(study, label)]
    write_csv(study.results.table("quality"), pd.DataFrame(rows))
    write_record(record, settings, inputs, time.perf_counter() - started, features=rows[0]["features"])
    return read_json(record)


def _label_quality(study: Study, label: str) -> list[dict[str, Any]]:
    size = study.gan.resolution
    hospital, public = (_of_label(load_image_set(study, role, size), label) for role in ("hospital", "training"))
    rows = []
    for fold in _synthetic_folds(study):
        tested = hospital if fold == "all" else hospital.select((hospital.manifest["fold"] == fold).to_numpy())
        sets = {"hospital": tested, "public": public, "synthetic": load_synthetic(study, label, fold, size)}
        rows += _fold_quality(study, label, fold, sets)
    return rows


def _synthetic_folds(study: Study) -> list[str]:
    return [fold for fold in study.generator_folds if fold != "public"]


def _fold_quality(study: Study, label: str, fold: str, sets: dict[str, ImageSet]) -> list[dict[str, Any]]:
    """Three distances of one label and fold, between equal numbers of films drawn at random."""
    random = np.random.default_rng(seed_for(study.seed, "quality", label, fold))
    first, second = _halves(sets["hospital"].manifest["patient_id"].to_numpy(str), random)
    number = min(len(first), len(second), *map(len, sets.values()))
    if number < 4:
        raise InputError(
            f"quality: only {number} {label} films of {fold} to compare; a kernel distance needs at least 4 of each"
        )
    drawn = {name: (films, random.permutation(len(films))[:number]) for name, films in sets.items()}
    drawn |= {"first": (sets["hospital"], first[:number]), "second": (sets["hospital"], second[:number])}
    features = {
        name: film_features(study, np.asarray(films.images)[np.sort(rows)]) for name, (films, rows) in drawn.items()
    }
    description = describe_features(study)
    found = []
    for comparison_name, one, other in (
        ("synthetic-hospital", "synthetic", "hospital"),
        ("public-hospital", "public", "hospital"),
        ("hospital-halves", "first", "second"),
    ):
        distance = kernel_distance(
            features[one], features[other], subsets=KERNEL_SUBSETS, subset_size=max(2, number // 2), seed=study.seed
        )
        row = {"label": label, "fold": fold, "comparison": comparison_name}
        row |= dict(zip(("kid", "kid_low", "kid_high"), distance, strict=True))
        found.append(row | {"images_each": number, "features": description})
    return found


def _of_label(films: ImageSet, label: str) -> ImageSet:
    return films.select((films.manifest["label"] == label).to_numpy())


def _halves(patients: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two groups of patients with nearly as many films each, in random order."""
    drawn = random.permutation(np.unique(patients))
    films = np.array([(patients == patient).sum() for patient in drawn]).cumsum()
    in_first = np.isin(patients, drawn[films <= films[-1] / 2])
    return random.permutation(np.flatnonzero(in_first)), random.permutation(np.flatnonzero(~in_first))


def _what_decides_quality(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = {
        "study_seed": study.seed,
        "resolution": study.gan.resolution,
        "network": features_network(study),
        "kernel_subsets": KERNEL_SUBSETS,
    }
    inputs: dict[str, Any] = {"weights": identify_weights(study.classifier.weights)}
    for role in ("training", "hospital"):
        inputs[role] = films_identity(study, role, study.gan.resolution)
    for fold in _synthetic_folds(study):
        for label in LABELS:
            record = read_json(study.results.synthetic_record(label, fold))
            inputs[f"synthetic {label} {fold}"] = record["images_sha256"]
    return settings, inputs
