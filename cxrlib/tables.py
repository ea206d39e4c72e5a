"""Every table of a study's results, made from manifests, records and predictions."""

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.artifacts import is_finished, read_json, sha256_of, write_csv, write_json, write_record
from cxrlib.backbone import describe_weights, extract_features, identify_weights
from cxrlib.classifier.arms import SYNTHETIC_ARMS
from cxrlib.classifier.prediction import read_predictions
from cxrlib.data.images import ImageSet, load_image_set, load_synthetic
from cxrlib.data.manifest import read_manifest_csv
from cxrlib.data.settings import LABELS, ROLES, CovidxSource, PhantomSource, Role
from cxrlib.errors import InputError
from cxrlib.evaluation import comparison
from cxrlib.evaluation.paper import paper_table1, paper_table2
from cxrlib.evaluation.statements import make_statements
from cxrlib.evaluation.uncertainty import CONFIDENCE, RESAMPLES
from cxrlib.gan.quality import kernel_distance
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

logger = logging.getLogger(__name__)

KERNEL_SUBSETS = 100
# With random weights any network is a random map of the film; this one tells scanners apart far better than slim ones.
RANDOM_FEATURES_NETWORK = "resnet18"


def make_tables(study: Study, *, force: bool = False) -> dict[str, Any]:
    """Write the tables of results and their sentences, and return their record.

    In `tables/`: table1, table2, table2_seeds, differences (against the baseline), contrasts (between any two arms),
    shift (hospital against validation), curves, paper_table1, paper_table2 (.csv), statements.json and, last,
    tables.json. Values are fractions from 0 to 1. Raises `InputError`, naming every table of predictions that is
    missing.
    """
    started = time.perf_counter()
    settings, inputs = _what_decides_tables(study)
    record = study.results.tables_record
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    predictions = gather_predictions(study)
    bootstrap_seed = seed_for(study.seed, "bootstrap")
    arms = study.classifier.arms
    pairs = [(arm, reference) for arm in arms for reference in arms if arms.index(reference) != arms.index(arm)]
    contrasts = comparison.contrasts(predictions, pairs, bootstrap_seed=bootstrap_seed)
    tables = {
        "table1": table1(study),
        "table2": comparison.metrics_by_arm(predictions, bootstrap_seed=bootstrap_seed),
        "table2_seeds": comparison.metrics_by_seed(predictions),
        "differences": contrasts[contrasts["reference"] == "baseline"].drop(columns="reference"),
        "contrasts": contrasts,
        "shift": comparison.shift(predictions, bootstrap_seed=bootstrap_seed),
        "curves": comparison.curves(predictions),
        "paper_table1": paper_table1(),
        "paper_table2": paper_table2(),
    }
    for name, table in tables.items():
        write_csv(study.results.table(name), table)
    chosen = [tables[name] for name in ("table2", "differences", "contrasts", "shift")]
    statements = make_statements(*chosen, simulated=study.simulated)
    write_json(statements_path(study), statements)
    write_record(record, settings, inputs, time.perf_counter() - started, tables=sorted(tables))
    return read_json(record)


def statements_path(study: Study) -> Path:
    return study.results.tables_record.parent / "statements.json"


def gather_predictions(study: Study) -> pd.DataFrame:
    """Predictions of every arm, seed and fold, one below the other, with the columns `arm, seed, fold` in front."""
    parts = []
    for arm, seed, fold in _models(study):
        table = read_predictions(study.results.predictions(arm, seed, fold))
        parts.append(
            pd.concat([pd.DataFrame({"arm": arm, "seed": seed, "fold": fold}, index=table.index), table], axis=1)
        )
    predictions = pd.concat(parts, ignore_index=True)
    for role in ("validation", "hospital"):
        known = set(read_manifest_csv(study.results.manifest(role))["image_id"].astype(str))
        for (arm, seed), rows in predictions[predictions["role"] == role].groupby(["arm", "seed"], sort=False):
            found = set(rows["image_id"])
            if found != known:
                raise InputError(
                    f"{study.results.classifier(arm, seed, 'all').parent}: predictions of {len(found)} {role} films, "
                    f"of which {len(found & known)} are among the study's {len(known)}; train it again with --force"
                )
    return predictions


def table1(study: Study) -> pd.DataFrame:
    """Images and patients of each role by label, the paper's Table 1."""
    rows = []
    for role in ROLES:
        manifest = read_manifest_csv(study.results.manifest(role))
        record = read_json(study.results.data_record(role))
        row: dict[str, Any] = {"dataset": _dataset_name(study, role), "role": role}
        for label in ("positive", "negative"):
            row[f"{label}_images"] = int((manifest["label"] == label).sum())
        for label in ("positive", "negative"):
            row[f"{label}_patients"] = int(manifest.loc[manifest["label"] == label, "patient_id"].nunique())
        row["patients"] = int(manifest["patient_id"].nunique())
        row["unreadable_files"] = len(record["unreadable"])
        row["simulated"] = study.data.source(role).reader == "phantom"
        rows.append(row)
        if role == "training" and set(SYNTHETIC_ARMS) & set(study.classifier.arms):
            made = study.synthesis.images_per_label
            more = {f"{label}_images": row[f"{label}_images"] + made for label in LABELS}
            rows.append(row | {"dataset": f"{row['dataset']} + synthetic", "role": "training + synthetic"} | more)
    return pd.DataFrame(rows)


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
    network, weights = _features_network(study), study.classifier.weights
    features = {
        name: extract_features(
            np.asarray(films.images)[np.sort(rows)], network=network, weights=weights, seed=study.seed
        )
        for name, (films, rows) in drawn.items()
    }
    description = f"{network}, {describe_weights(weights)}, penultimate layer, {study.gan.resolution} px"
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


def _features_network(study: Study) -> str:
    return study.classifier.network if study.classifier.weights != "none" else RANDOM_FEATURES_NETWORK


def _of_label(films: ImageSet, label: str) -> ImageSet:
    return films.select((films.manifest["label"] == label).to_numpy())


def _halves(patients: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two groups of patients with nearly as many films each, in random order."""
    drawn = random.permutation(np.unique(patients))
    films = np.array([(patients == patient).sum() for patient in drawn]).cumsum()
    in_first = np.isin(patients, drawn[films <= films[-1] / 2])
    return random.permutation(np.flatnonzero(in_first)), random.permutation(np.flatnonzero(~in_first))


def _models(study: Study) -> list[tuple[str, int, str]]:
    return [
        (arm, seed, fold)
        for arm in study.classifier.arms
        for seed in range(study.classifier.seeds)
        for fold in study.classifier_folds(arm)
    ]


def _what_decides_tables(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and inputs of the tables; raises `InputError` that names every missing table of predictions."""
    paths = {
        f"{arm}/seed{seed}/{fold}": study.results.predictions(arm, seed, fold) for arm, seed, fold in _models(study)
    }
    unfinished = [
        name for name, path in paths.items() if not (path.exists() and (path.parent / "config.json").exists())
    ]
    if unfinished:
        raise InputError(
            f"{study.results.root / 'classifier'}: no finished predictions for {', '.join(unfinished)}; "
            f"train these first (`cxr train-classifier`), or make all with `cxr report {study.name}`"
        )
    settings = {
        "study_seed": study.seed,
        "arms": list(study.classifier.arms),
        "seeds": study.classifier.seeds,
        "folds": study.data.folds,
        "synthetic_images_per_label": study.synthesis.images_per_label,
        "bootstrap": {"resamples": RESAMPLES, "confidence": CONFIDENCE},
    }
    inputs: dict[str, Any] = {name: sha256_of(path) for name, path in paths.items()}
    return settings, inputs | {role: read_json(study.results.data_record(role))["manifest_sha256"] for role in ROLES}


def _what_decides_quality(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = {
        "study_seed": study.seed,
        "resolution": study.gan.resolution,
        "network": _features_network(study),
        "kernel_subsets": KERNEL_SUBSETS,
    }
    size = str(study.gan.resolution)
    inputs: dict[str, Any] = {"weights": identify_weights(study.classifier.weights)}
    for role in ("training", "hospital"):
        inputs[role] = read_json(study.results.data_record(role))["images_sha256"][size]
    for fold in _synthetic_folds(study):
        for label in LABELS:
            record = read_json(study.results.synthetic_record(label, fold))
            inputs[f"synthetic {label} {fold}"] = record["images_sha256"]
    return settings, inputs


def _dataset_name(study: Study, role: Role) -> str:
    source = study.data.source(role)
    if isinstance(source, PhantomSource):
        return f"chest phantom, {source.scanner} scanner"
    if isinstance(source, CovidxSource):
        return f"COVIDx V8B ({source.split} split)"
    return source.folder.name
