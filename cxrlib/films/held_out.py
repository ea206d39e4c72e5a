"""Films that are kept out of a generator's training, by patient: what judges it must be new to it."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cxrlib.files import unquoted_cell
from cxrlib.generators.settings import FEWEST_FILMS, FEWEST_HELD_OUT_FILMS
from cxrlib.reproducibility import seed_for

if TYPE_CHECKING:
    from cxrlib.study import Study


def held_out_rows(study: "Study", manifest: pd.DataFrame) -> np.ndarray:
    """bool (N,): which of the films that a generator may see are held out of its training.

    `manifest` has a row for each of them, of one label. At most `gan.held_out_percent` of the films are held out. Which
    patients they are of is drawn from the study's seed and the patient alone, so that a patient held out of one
    generator is held out of the others too, as far as their shares allow. Patients with copies of one film, as the
    audit found them, stay together. None is held out where too few would be, or where too few would be left.
    """
    held_out = _held_out(_patients(study, manifest), study.gan.held_out_percent, study.seed)
    if held_out.sum() < FEWEST_HELD_OUT_FILMS or (~held_out).sum() < FEWEST_FILMS:
        held_out[:] = False
    return held_out


def _patients(study: "Study", manifest: pd.DataFrame) -> np.ndarray:
    """The patient of every film (N,), one name for all that share copies of a film."""
    names = manifest["patient_id"].to_numpy(str)
    if not study.results.duplicates.exists():
        return names
    copies = pd.read_csv(study.results.duplicates, dtype=str, keep_default_na=False).map(unquoted_cell)
    patient_of = dict(zip(manifest["image_id"], names, strict=True))
    for first, second in zip(copies["image_id_a"], copies["image_id_b"], strict=True):
        if first in patient_of and second in patient_of:
            pair = sorted({patient_of[first], patient_of[second]})
            patient_of = {film: pair[0] if name in pair else name for film, name in patient_of.items()}
    return np.array([patient_of[film] for film in manifest["image_id"]])


def _held_out(patients: np.ndarray, percent: int, seed: int) -> np.ndarray:
    """bool (N,): films of patients that are drawn until no other fits into `percent` of the films."""
    names, films_of = np.unique(patients, return_counts=True)
    room, drawn = len(patients) * percent / 100, []
    for index in sorted(range(len(names)), key=lambda index: seed_for(seed, "held out", names[index])):
        if films_of[index] <= room:
            room -= films_of[index]
            drawn.append(names[index])
    return np.isin(patients, drawn)
