"""A tiny study whose films are made here, so that generators of a few images can be trained end to end."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audited import write_audit

from cxrlib.files import sha256_of, write_csv, write_json
from cxrlib.generators.settings import GanSettings
from cxrlib.study import Study, load_study

STUDY = """
name: tiny
title: Tiny
seed: 7
data:
  training: {reader: phantom, scanner: public, negative_patients: 20, positive_patients: 20}
  validation: {reader: phantom, scanner: public, negative_patients: 4, positive_patients: 4}
  hospital: {reader: phantom, scanner: hospital, negative_patients: 24, positive_patients: 24}
  folds: 2
gan:
  resolution: 32
  latent_dim: 8
  mapping_layers: 2
  channel_base: 128
  channel_max: 8
  batch_size: 4
  r1_interval_steps: 4
  path_length_weight: 0
  style_mixing_probability: 0
  ema_half_life_images: 20
  initialise_from: public
  public_images: 24
  total_images: 40
  checkpoint_images: 8
synthesis: {images_per_label: 11, truncation: 0.8}
classifier: {network: resnet18, weights: none, image_size: 32}
"""


def blobs(count: int, side: int, seed: int) -> np.ndarray:
    """uint8 (count, side, side): a bright disc on a grey ground, different in each film."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    centres = random.uniform(0.3, 0.7, (count, 2, 1, 1)) * side
    distances = np.hypot(rows - centres[:, 0], columns - centres[:, 1])
    films = 60 + 150 * (distances < side / 4) + random.normal(0, 8, (count, side, side))
    return films.clip(0, 255).astype(np.uint8)


def write_role(study: Study, role: str, films: np.ndarray, films_per_patient: int = 1) -> None:
    """What the data stage leaves behind, as far as the generators read it: labels and folds take turns."""
    count = len(films)
    labels = ["negative" if index % 2 == 0 else "positive" for index in range(count)]
    folds = [f"fold{index // 2 % 2}" if role == "hospital" else "" for index in range(count)]
    manifest = pd.DataFrame(
        {
            "image_id": [f"{role}-{index:03d}" for index in range(count)],
            "file": "",
            "patient_id": [f"{role}{index % 4}-{index // 4 // films_per_patient:03d}" for index in range(count)],
            "label": labels,
            **dict.fromkeys(("source", "finding", "view", "sex", "age", "lung_mask"), ""),
            "fold": folds,
        }
    )
    write_csv(study.results.manifest(role), manifest)
    path = study.results.images(role, films.shape[1])
    np.save(path, films)
    facts = {"manifest_sha256": sha256_of(study.results.manifest(role))}
    write_json(
        study.results.data_record(role), facts | {"images_sha256": {str(films.shape[1]): sha256_of(path)}, "seconds": 0}
    )


@pytest.fixture
def make_study(tmp_path: Path):
    """A function from the text of a study file to a study in a new folder, with its films in place."""

    def make(text: str = STUDY, folder: str = "home", films: int = 48, films_per_patient: int = 1) -> Study:
        home = tmp_path / folder
        (home / "studies").mkdir(parents=True, exist_ok=True)
        (home / "studies" / "tiny.yaml").write_text(text, encoding="utf-8")
        study = load_study(str(home / "studies" / "tiny.yaml"))
        for role, seed in (("training", 1), ("hospital", 2)):
            write_role(study, role, blobs(films, 32, seed), films_per_patient)
        write_audit(study, ("training", "hospital"))
        return study

    return make


@pytest.fixture
def study(make_study) -> Study:
    return make_study()


@pytest.fixture
def tiny_settings(study: Study) -> GanSettings:
    return study.gan
