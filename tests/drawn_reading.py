"""A study from whose films a reading can be drawn: simulated hospital films, and noise in place of synthetic ones."""

import json
import shutil

import numpy as np
import pandas as pd
from audited import write_audit

from cxrlib.films.images import load_manifest
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import LABELS
from cxrlib.reading.protocol import reading_fold
from cxrlib.study import load_study


def prepared_folder(folder, write_study_in, **changes):
    """The folder `data` of a study whose hospital films are prepared and audited."""
    study = load_study(write_study_in(folder, **changes))
    prepare_role(study, "hospital")
    write_audit(study, ["hospital"])
    return study.results.root / "data"


def drawable_study(file, data, **synthetic):
    """The study of a file, with a copy of prepared data and synthetic films of both labels."""
    study = load_study(file)
    shutil.copytree(data, study.results.root / "data")
    for label in LABELS:
        write_synthetic(study, label, reading_fold(study), **synthetic)
    return study


def write_synthetic(study, label, fold, count=8, seed=0, flagged=0, flagged_by_pixels=0, images=None):
    """As `synthesise` leaves films, `flagged` of them too near to a training film by features, others by pixels.

    The nearest films by features and by pixels are two different ones, of patients outside the fold.
    """
    folder = study.results.synthetic(label, fold)
    folder.mkdir(parents=True, exist_ok=True)
    size, random = study.gan.resolution, np.random.default_rng(seed)
    if images is None:
        images = random.integers(0, 256, (count, size, size), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    hospital = load_manifest(study, "hospital")
    known = hospital[(hospital["label"] == label) & (hospital["fold"] != fold)]["image_id"].to_numpy()
    nearest = random.integers(len(known), size=count)
    distance = np.sort(random.uniform(1, 2, count))[::-1]
    distance[:flagged] = 0.1
    manifest = pd.DataFrame(
        {
            "image_id": [f"{label}-{fold}-{index:06d}" for index in range(count)],
            "label": label,
            "seed": range(seed, seed + count),
            "truncation": 1.0,
            "generator_sha256": "0" * 64,
            "nearest_image_id": known[(nearest + 1) % len(known)],
            "nearest_distance": 9.0,
            "nearest_feature_id": known[nearest],
            "feature_distance": distance.round(5),
            "flagged": np.arange(count) < flagged + flagged_by_pixels,
        }
    )
    manifest.to_csv(folder / "manifest.csv", index=False)
    study.results.synthetic_record(label, fold).write_text(json.dumps({"feature_threshold": 0.5}))
