"""What a finished set of synthetic films looks like on disk, for tests that have no generator to make it."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.files import write_csv
from cxrlib.records import write_record
from cxrlib.study import Study


def write_generated(
    study: Study, label: str, fold: str, images: np.ndarray, flagged: np.ndarray | None = None, **facts: Any
) -> None:
    """As `synthesise` leaves films uint8 (N, S, S): images, manifest, real distances and record."""
    folder = study.results.synthetic(label, fold)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", images)
    flagged = np.zeros(len(images), bool) if flagged is None else flagged
    random = np.random.default_rng(len(label))
    manifest = pd.DataFrame(
        {
            "image_id": [f"{label}{row}" for row in range(len(images))],
            "label": label,
            "seed": range(len(images)),
            "truncation": 1.0,
            "generator_sha256": "0",
            "nearest_image_id": "none",
            "nearest_distance": np.where(flagged, 0.05, random.uniform(0.2, 0.5, len(images))),
            "nearest_feature_id": "none",
            "feature_distance": random.uniform(5, 9, len(images)),
            "flagged": flagged,
        }
    )
    write_csv(folder / "manifest.csv", manifest)
    real = {"feature_distance": random.uniform(4, 8, 40), "pixel_distance": random.uniform(0.1, 0.5, 40)}
    write_csv(study.results.real_distances(label, fold), pd.DataFrame(real))
    record = {
        "images": len(images),
        "images_sha256": hashlib.sha256(images).hexdigest(),
        "manifest_sha256": hashlib.sha256(flagged).hexdigest(),
        "feature_threshold": 4.5,
        "pixel_threshold": 0.1,
        "flagged": int(flagged.sum()),
        "reference_films": "held-out films",
        "reference": {"flagged": 2, "films": 40},
        "planted": {"mirrored": {"caught": 20, "planted": 20}, "cropped": {"caught": 19, "planted": 20}},
    }
    write_record(study.results.synthetic_record(label, fold), {}, {}, 0.0, **record | facts)
