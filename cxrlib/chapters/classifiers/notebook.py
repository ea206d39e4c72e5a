"""What Chapter 4 shows and says, by name."""

from typing import Any

import pandas as pd

from cxrlib.chapters import sheets, tables
from cxrlib.chapters.chapter import Chapter, Drawn
from cxrlib.chapters.classifiers import exhibits, figures, sentences, shown
from cxrlib.chapters.training import training_curves
from cxrlib.chapters.words import origin
from cxrlib.classifiers.arms import arm_of
from cxrlib.files import read_json
from cxrlib.study import Study

TRAINING = {
    "training_loss": "loss on training films",
    "validation_accuracy": "accuracy on validation films",
}
Records = dict[tuple[str, int, str], dict[str, Any]]


def open_chapter(study: Study) -> Chapter:
    """Chapter 4 of a study."""
    return Chapter(study, FIGURES, TABLES, [facts])


def _records(study: Study) -> Records:
    """Those of all classifiers, by (arm, seed, fold)."""
    return {
        (arm, seed, fold): read_json(study.results.classifier_record(arm, seed, fold))
        for arm in study.classifier_arms
        for seed in study.classifier_seeds(arm)
        for fold in study.classifier_folds(arm)
    }


def _composition(study: Study) -> pd.DataFrame:
    """Films per epoch of each arm, from its first classifier."""
    records = _records(study)
    networks = [arm for arm in study.classifier_arms if arm_of(arm).network]
    return shown.composition({arm: records[arm, 0, study.classifier_folds(arm)[0]] for arm in networks})


def _training(study: Study) -> Drawn:
    logs = exhibits.classifier_logs(study)
    return training_curves(logs, "epoch", TRAINING, "epoch", origin(study, "training", "validation"))


FIGURES = {
    "augmentation": lambda study: sheets.film_sheet([exhibits.augmented_row(study)]),
    "composition": lambda study: figures.composition(_composition(study), origin(study)),
    "classifier_training": _training,
}
TABLES = {
    "settings": lambda study: tables.settings(study.classifier),
    "arms": lambda study: shown.arms(study.classifier_arms),
    "composition": _composition,
    "synthetic_flow": lambda study: shown.synthetic_flow(tables.synthetic_flow(study)),
    "decided_on_validation": lambda study: shown.decided_on_validation(_records(study)),
    "timing": lambda study: shown.timing(_records(study)),
}


def facts(study: Study) -> dict[str, Any]:
    """What the chapter says."""
    composition = _composition(study).sum(axis=1)
    return {
        "public_films": int(composition["baseline"]),
        "most_films": int(composition.max()),
        **sentences.training_facts(study, _records(study)),
    }
