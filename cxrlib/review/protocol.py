"""What a reading shows, to whom, in which order: fixed before the first answer.

Synthetic and real films come in equal numbers of each label. Where the study has generators for folds, the synthetic
films come from the generator of the first fold and the real ones from that fold's patients, whom it never saw.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from cxrlib.artifacts import atomic_path, fingerprint, sha256_of, write_csv
from cxrlib.data.images import load_image_set, load_synthetic
from cxrlib.data.settings import LABELS
from cxrlib.errors import InputError
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

WORKLIST_COLUMNS = ("film_id", "label", "origin", "fold", "image_id")
ORIGINS = ("real", "synthetic")
QUESTIONS: dict[str, tuple[str, ...]] = {
    "diagnosis": LABELS,
    "origin": (
        "surely synthetic", "probably synthetic", "perhaps synthetic", "perhaps real", "probably real", "surely real",
    ),
    "realism": ("1", "2", "3", "4", "5"),
}  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """A frozen reading: its folder, its list of films (`WORKLIST_COLUMNS`) and the hash that every answer carries."""

    folder: Path
    worklist: pd.DataFrame
    sha256: str
    seed: int

    def order(self, reader: str) -> list[str]:
        """All film ids, in this reader's own order; the same every time."""
        shuffle = np.random.default_rng(seed_for(self.seed, "reading order", self.sha256, reader))
        return list(shuffle.permutation(self.worklist["film_id"].to_numpy()))


def prepare_protocol(study: Study) -> Protocol:
    """Draw the films of the study's reading and freeze them on disk, or load them if that is done.

    Raises `InputError` if films or settings have changed after somebody has answered.
    """
    folder = study.results.review(study.review.protocol)
    inputs = _inputs(study)
    wanted = fingerprint(study.review.model_dump(mode="json"), inputs)
    record, list_path = folder / "protocol.yaml", folder / "worklist.csv"
    stored = yaml.safe_load(record.read_text(encoding="utf-8")) if record.exists() else {}
    if stored.get("fingerprint") != wanted:
        if any((folder / "events").glob("*.jsonl")):
            raise InputError(
                f"{folder}: answers were given to other films than the study now has; "
                "give `review.protocol` another name in the study file to begin a new reading"
            )
        write_csv(list_path, _draw_worklist(study))
        _write_protocol(study, record, {"fingerprint": wanted, "inputs": inputs, "worklist": sha256_of(list_path)})
    worklist = pd.read_csv(list_path, dtype=str, keep_default_na=False)
    digest = hashlib.sha256(record.read_bytes()).hexdigest()
    return Protocol(folder, worklist, digest, study.seed)


def reading_fold(study: Study) -> str:
    """The fold whose generators and patients a reading uses."""
    folds = [fold for fold in study.generator_folds if fold != "public"]
    return next((fold for fold in folds if fold != "all"), "all")


def film_pixels(study: Study, worklist: pd.DataFrame) -> dict[str, np.ndarray]:
    """uint8 (S, S) of every film on the list, by film id; real and synthetic pass through the same pipeline."""
    size = study.gan.resolution
    sets = {"real": load_image_set(study, "hospital", size)}
    found = {}
    for (origin, label, fold), films in worklist.groupby(["origin", "label", "fold"]):
        source = sets["real"] if origin == "real" else load_synthetic(study, label, fold, size)
        row_of = {image_id: row for row, image_id in enumerate(source.manifest["image_id"].astype(str))}
        for film_id, image_id in zip(films["film_id"], films["image_id"], strict=True):
            found[film_id] = np.array(source.images[row_of[image_id]])
    return found


def _inputs(study: Study) -> dict[str, str]:
    fold, results = reading_fold(study), study.results
    manifests = {f"synthetic {label}": results.synthetic(label, fold) / "manifest.csv" for label in LABELS}
    manifests["hospital"] = results.manifest("hospital")
    for path in manifests.values():
        if not path.exists():
            raise InputError(f"{path}: not there yet; make the synthetic films first, e.g. `cxr report {study.name}`")
    return {name: sha256_of(path) for name, path in manifests.items()}


def _draw_worklist(study: Study) -> pd.DataFrame:
    fold, size = reading_fold(study), study.gan.resolution
    hospital = load_image_set(study, "hospital", size).manifest
    if fold != "all":
        hospital = hospital[hospital["fold"] == fold]
    rows = []
    for label in LABELS:
        draw = np.random.default_rng(seed_for(study.seed, "reading films", study.review.protocol, label))
        pools = {
            "real": hospital[hospital["label"] == label]["image_id"].astype(str).to_numpy(),
            "synthetic": load_synthetic(study, label, fold, size).manifest["image_id"].astype(str).to_numpy(),
        }
        count = min(study.review.films_per_label, *(len(pool) for pool in pools.values()))
        for origin in ORIGINS:
            chosen = draw.choice(pools[origin], count, replace=False)
            rows += [(label, origin, fold, image_id) for image_id in chosen]
    order = np.random.default_rng(seed_for(study.seed, "film ids", study.review.protocol)).permutation(len(rows))
    listed = [(f"film{number:04d}", *rows[index]) for number, index in enumerate(order, start=1)]
    return pd.DataFrame(listed, columns=list(WORKLIST_COLUMNS))


def _write_protocol(study: Study, path: Path, facts: dict) -> None:
    content = {
        "protocol": study.review.protocol,
        "study": study.name,
        "seed": study.seed,
        "films_per_label": study.review.films_per_label,
        "questions": {name: list(choices) for name, choices in QUESTIONS.items()},
        **facts,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
