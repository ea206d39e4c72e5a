"""The tables of results, from the predictions of every model."""

import logging
import time
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib.artifacts import is_finished, read_json, sha256_of, write_csv, write_json, write_record
from cxrlib.classifier.prediction import read_predictions
from cxrlib.data.images import films_identity, load_manifest
from cxrlib.data.settings import ROLES
from cxrlib.errors import InputError
from cxrlib.evaluation import comparison
from cxrlib.evaluation.paper import paper_table1, paper_table2
from cxrlib.evaluation.statements import make_statements
from cxrlib.evaluation.uncertainty import CONFIDENCE, RESAMPLES
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study
from cxrlib.tables.films import table1

logger = logging.getLogger(__name__)


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
        known = set(load_manifest(study, role)["image_id"].astype(str))
        for (arm, seed), rows in predictions[predictions["role"] == role].groupby(["arm", "seed"], sort=False):
            found = set(rows["image_id"])
            if found != known:
                raise InputError(
                    f"{study.results.classifier(arm, seed, 'all').parent}: predictions of {len(found)} {role} films, "
                    f"of which {len(found & known)} are among the study's {len(known)}; train it again with --force"
                )
    return predictions


def _models(study: Study) -> list[tuple[str, int, str]]:
    return [
        (arm, seed, fold)
        for arm in study.classifier_arms
        for seed in study.classifier_seeds(arm)
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
    return settings, inputs | {role: films_identity(study, role, study.classifier.image_size) for role in ROLES}
