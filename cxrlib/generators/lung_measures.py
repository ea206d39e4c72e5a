"""The lungs of a study's films, real and synthetic: networks trained on the hospital's masks, and what they measure."""

import logging
import time
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrlib.checkpoints import save_tensors
from cxrlib.files import read_json, sha256_of, write_csv
from cxrlib.films.images import ImageSet, films_identity, load_image_set, load_masks, load_synthetic, masks_path
from cxrlib.films.settings import LABELS
from cxrlib.generators.lungs import (
    SEGMENTER_SETTINGS,
    SIDE,
    LungSegmenter,
    at_side,
    dice,
    halves,
    measure_lungs,
    outline_lungs,
    train_segmenter,
)
from cxrlib.records import damage_of, fingerprint, start_afresh, write_record
from cxrlib.reproducibility import deterministic

if TYPE_CHECKING:
    from cxrlib.study import Study

logger = logging.getLogger(__name__)

# With fewer masks of fewer patients a network learns these patients, not lungs.
FEWEST_MASKS, FEWEST_PATIENTS = 24, 12


def measure_anatomy(study: "Study") -> dict[str, Any]:
    """Train the lung networks, measure the hospital's films and all synthetic ones, and return the record.

    The folder `lungs` gets the two networks' weights and `measures.csv`, a row per film: origin, label, fold,
    patient_id, area, left_right_ratio, dice (real films with a mask only). It is made anew whenever films or masks are
    others. Where the hospital's films have too few masks, nothing is measured; `masks` in the record counts them.
    """
    began = time.monotonic()
    folder, record = study.results.lungs, study.results.lungs_record
    hospital = load_image_set(study, "hospital", study.gan.resolution)
    masks = load_masks(study, "hospital", study.gan.resolution, "lungs")
    settings = {"study_seed": study.seed, **SEGMENTER_SETTINGS}
    inputs = _inputs(study, masks is not None)
    decided_by = fingerprint(settings, inputs)
    if record.exists() and not damage_of(record) and read_json(record)["decided_by"] == decided_by:
        return read_json(record)
    start_afresh(folder)
    patients = hospital.manifest["patient_id"].to_numpy(str)
    masked = np.zeros(len(hospital), bool) if masks is None else np.array([mask.any() for mask in masks])
    facts: dict[str, Any] = {"decided_by": decided_by, "masks": int(masked.sum()), "measured": False}
    if masks is not None and masked.sum() >= FEWEST_MASKS and len(np.unique(patients[masked])) >= FEWEST_PATIENTS:
        with deterministic(study.threads_per_job):
            measures = _measured(study, hospital, masks, masked)
        write_csv(folder / "measures.csv", measures)
        facts |= {"measured": True, "dice": float(measures["dice"].mean())}
    outputs = [*folder.glob("*.safetensors"), *folder.glob("measures.csv")]
    write_record(record, settings, inputs, time.monotonic() - began, outputs=outputs, **facts)
    return read_json(record)


def load_anatomy(study: "Study") -> pd.DataFrame | None:
    """The measures of every film (private: real films' rows are patients'); None where nothing was measured."""
    path = study.results.lungs / "measures.csv"
    return pd.read_csv(path, dtype={"patient_id": str, "fold": str}, keep_default_na=False, na_values={
        name: [""] for name in ("area", "left_right_ratio", "dice")}) if path.exists() else None  # fmt: skip


def _inputs(study: "Study", has_masks: bool) -> dict[str, Any]:
    inputs: dict[str, Any] = {"hospital": films_identity(study, "hospital", study.gan.resolution)}
    if has_masks:
        inputs["masks"] = sha256_of(masks_path(study, "hospital", study.gan.resolution, "lungs"))
    for label in LABELS:
        for fold in study.generated_folds:
            record = read_json(study.results.synthetic_record(label, fold))
            inputs[f"synthetic {label} {fold}"] = {name: record[f"{name}_sha256"] for name in ("images", "manifest")}
    return inputs


def _measured(study: "Study", hospital: ImageSet, masks: np.ndarray, masked: np.ndarray) -> pd.DataFrame:
    """The rows of `measures.csv`, by two networks: the first measures half 0 of the patients and was trained on half 1,
    the second the other way round."""
    patients, networks = hospital.manifest["patient_id"].to_numpy(), []
    half = halves(patients.astype(str), study.seed)
    for number in (0, 1):
        chosen = np.flatnonzero(masked & (half != number))
        networks.append(train_segmenter(np.asarray(hospital.images[chosen]), masks[chosen], study.seed, number))
        save_tensors(study.results.lungs / f"segmenter{number}.safetensors", networks[number].state_dict())
    lungs = _outlines(networks, hospital.images, half)
    rows = [_rows(lungs, "real", hospital.manifest["label"].to_numpy(), "all", patients)]
    rows[0].loc[masked, "dice"] = dice(lungs[masked], at_side(masks[masked]))
    for label, fold in product(LABELS, study.generated_folds):
        films = load_synthetic(study, label, fold, study.gan.resolution).images
        lungs = _outlines(networks, films, np.arange(len(films)) % len(networks))
        rows.append(_rows(lungs, "synthetic", label, fold, ""))
    return pd.concat(rows, ignore_index=True)


def _outlines(networks: list[LungSegmenter], films: np.ndarray, whose: np.ndarray) -> np.ndarray:
    """Lungs, bool (N, 64, 64), each film's by the network that `whose` (N,) names."""
    lungs = np.zeros((len(films), SIDE, SIDE), bool)
    for number, network in enumerate(networks):
        lungs[whose == number] = outline_lungs(network, np.asarray(films[whose == number]))
    return lungs


def _rows(lungs: np.ndarray, origin: str, label: Any, fold: str, patients: Any) -> pd.DataFrame:
    measures = measure_lungs(lungs)
    columns = {"origin": origin, "label": label, "fold": fold, "patient_id": patients}
    measured = {"area": measures.area.round(5), "left_right_ratio": measures.left_right_ratio.round(4), "dice": np.nan}
    return pd.DataFrame(columns | measured)
