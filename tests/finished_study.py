"""A tiny study with every arm trained; `conftest.trained_study` makes it once for a run of the tests."""

from pathlib import Path

import numpy as np
from audited import write_audit
from generated_films import write_generated

from cxrlib.chapters.results.explanations import explain_study
from cxrlib.chapters.stand_ins import stand_ins
from cxrlib.classifiers.training import train_classifier
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.study import Study, load_study

CLASSIFIER = {
    "network": "shufflenet_v2_x0_5", "weights": "none", "image_size": 32, "batch_size": 16, "frozen_epochs": 1,
    "epochs": 1, "seeds": 2, "doses": [50],
    "arms": [
        "baseline", "synthetic", "synthetic-crossfit", "oversampled", "class-weighted", "synthetic-only", "source-rule",
    ],
}  # fmt: skip


def train(file: Path) -> None:
    """Every classifier of every arm, on simulated films and on "synthetic" ones that are other patients', darkened; and
    their explanations."""
    study = load_study(file)
    for role in ROLES:
        prepare_role(study, role)
    write_audit(study)
    write_synthetic_films(study)
    for arm in study.classifier_arms:
        for seed in study.classifier_seeds(arm):
            for fold in study.classifier_folds(arm):
                train_classifier(study, arm, seed, fold)
    explain_study(study)


def write_synthetic_films(study: Study) -> None:
    """As `synthesise` leaves them, without its generators."""
    size = study.classifier.image_size
    for label in LABELS:
        images = (stand_ins(study, "hospital", label, study.synthesis.images_per_label, size) * 0.8).astype(np.uint8)
        for fold in ("all", *study.fold_names):
            write_generated(study, label, fold, images)
