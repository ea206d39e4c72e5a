"""A tiny study with prepared films and made-up synthetic ones."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrlib.classifiers.arms import ARMS
from cxrlib.films.audit import prepare_study
from cxrlib.films.settings import LABELS
from cxrlib.study import load_study


def write_synthetic(study, label: str, fold: str, grey: int, number: int) -> None:
    """A finished synthetic set of films of one grey value, so that a test can tell whose they are."""
    folder = study.results.synthetic(label, fold)
    folder.mkdir(parents=True, exist_ok=True)
    size = study.gan.resolution
    images = np.full((number, size, size), grey, np.uint8)
    np.save(folder / "images.npy", images)
    columns = {"seed": range(number), "truncation": 1.0, "generator_sha256": "0" * 64}
    names = [f"{label}-{fold}-{row}" for row in range(number)]
    nearest = {"nearest_image_id": "none", "nearest_distance": 0.0}
    pd.DataFrame({"image_id": names, "label": label, **columns, **nearest}).to_csv(folder / "manifest.csv", index=False)
    facts = {"images": number, "images_sha256": hashlib.sha256(images).hexdigest(), "manifest_sha256": f"{label}{fold}"}
    Path(folder / "audit.json").write_text(json.dumps({"settings": {}, "inputs": {}, "seconds": 0.0, **facts}))


GREYS = {
    ("negative", "all"): 10, ("positive", "all"): 20, ("negative", "fold0"): 30, ("positive", "fold0"): 40,
    ("negative", "fold1"): 50, ("positive", "fold1"): 60,
}  # fmt: skip


@pytest.fixture(scope="session")
def prepared_study(tmp_path_factory, write_study_in):
    """Thirty-two public films, sixteen for validation, the hospital's of two folds; synthetic sets of one grey each."""
    root = tmp_path_factory.mktemp("classifier")
    settings = {
        "arms": list(ARMS),
        "equal_steps": ["synthetic-crossfit", "synthetic-only"],
        "doses": [17, 50],
        "seeds": 2,
        "network": "shufflenet_v2_x0_5",
        "frozen_epochs": 1,
        "epochs": 2,
        "batch_size": 16,
    }
    study = load_study(write_study_in(root, classifier=settings, synthesis={"images_per_label": 6}))
    prepare_study(study)
    for (label, fold), grey in GREYS.items():
        assert label in LABELS
        write_synthetic(study, label, fold, grey, 6)
    return study


@pytest.fixture(scope="session")
def write_synthetic_films():
    """`write_synthetic_films(study, label, fold, grey, number)`."""
    return write_synthetic
