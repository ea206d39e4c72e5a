"""How far synthetic and public films are from the hospital's, by several measures, beside the hospital's own halves."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrlib.chapters.generators.novelty import anatomy_table, leak_table, memorisation_table
from cxrlib.errors import InputError
from cxrlib.files import read_json, write_table
from cxrlib.films.images import ImageSet, load_image_set, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.finished import makes
from cxrlib.generators.kernel_distance import KernelDistance, kernel_distance
from cxrlib.generators.quality import (
    NEIGHBOURS,
    PIXEL_SIDE,
    describe_features,
    film_features,
    frechet_distance,
    left_from_right,
    neighbour_measures,
    second_judge_of,
    side_distance,
)
from cxrlib.generators.settings import fold_of
from cxrlib.generators.training import generator_films
from cxrlib.records import write_record
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

MEASURES = ("kid", "kid_second", "frechet", "precision", "recall", "density", "coverage", "sides")
COMPARISONS = ("synthetic-hospital", "public-hospital", "hospital-halves")
DRAWS = 60
# Films on either side of a draw: enough for every measure, few enough for one core.
MOST_FILMS = 500
FEWEST_FILMS = 4
# Draws from a large set come from this many times the films of one draw.
POOL = 4
# A generator is measured on films that it was not trained on where there are this many, twenty in each half.
FEWEST_UNSEEN_FILMS = 40


class Seen(NamedTuple):
    """What the measures see of films: features (N, D), how left differs from right (N, 16, 16), and features (N, E) of
    the second judge, if there is one."""

    features: np.ndarray
    sides: np.ndarray
    second: np.ndarray | None = None

    def rows(self, chosen: np.ndarray) -> "Seen":
        return Seen(*(None if part is None else part[chosen] for part in self))

    def distance(self, other: "Seen", measure: str, *groups: np.ndarray | None) -> KernelDistance:
        """Kernel distance by the features of one judge, `kid` or `kid_second`."""
        mine, theirs = (seen.features if measure == "kid" else seen.second for seen in (self, other))
        return kernel_distance(mine, theirs, *groups)


@makes("quality")
def measure_quality(study: Study, *, force: bool = False) -> dict[str, Any]:
    """Write `tables/quality.csv`: how far synthetic and public films are from the hospital's; return the record.

    Beside it `leaks.csv`, `anatomy.csv` and `memorisation.csv`, see `cxrlib.chapters.generators.novelty`.

    Each of many draws splits the hospital's patients of one label in two. One half is compared with equal numbers of
    synthetic films, of public films, and with the other half, which is what chance gives. An estimate is the mean over
    the draws, its interval goes from their 2.5th to their 97.5th percentile; but the kernel distances of synthetic and
    of public films are of all films at once, with an interval over patients. Fold `fold0` compares the generators that
    never saw fold 0 with its films; fold `all` those that saw every patient, with films held out if there are enough.
    """
    started = time.perf_counter()
    record = study.results.quality_record
    rows = [row for label in LABELS for row in _label_quality(study, label)]
    write_table(study.results.table("quality"), pd.DataFrame(rows))
    tables = {"leaks": leak_table, "anatomy": anatomy_table, "memorisation": memorisation_table}
    for name, table in tables.items():
        write_table(study.results.table(name), table(study))
    lungs = [path for path in study.results.lungs.glob("*") if path.is_file()]
    outputs = [*(study.results.table(name) for name in ("quality", *tables)), *lungs]
    seconds = time.perf_counter() - started
    write_record(record, {}, {}, seconds, outputs=outputs, features=rows[0]["features"])
    return read_json(record)


def _label_quality(study: Study, label: str) -> Iterator[dict[str, Any]]:
    size = study.gan.resolution
    hospital, public = (load_image_set(study, role, size) for role in ("hospital", "training"))
    own_rows, public_rows = (
        np.flatnonzero(films.manifest["label"].to_numpy() == label) for films in (hospital, public)
    )
    random = np.random.default_rng(seed_for(study.seed, "quality", label))
    own_rows = _whole_patients(hospital.manifest["patient_id"].to_numpy(str), own_rows, 2 * MOST_FILMS, random)
    own = _seen(study, hospital, own_rows)
    manifest = hospital.manifest.iloc[own_rows]
    most = min(MOST_FILMS, len(own.features) // 2)
    public_rows = _some(public_rows, POOL * most, random)
    public_seen = _seen(study, public, public_rows)
    for fold in study.generated_folds:
        chosen, kind = _compared_films(study, label, fold, manifest)
        synthetic = load_synthetic(study, label, fold, size)
        pool = _some(np.arange(len(synthetic)), POOL * min(MOST_FILMS, chosen.sum() // 2), random)
        sets = {
            "hospital": own.rows(chosen),
            "public": public_seen,
            "synthetic": _seen(study, synthetic, pool),
        }
        patients = manifest["patient_id"].to_numpy(str)[chosen]
        number, drawn = _draws(sets, patients, random, f"{label} films of {fold}")
        groups = {"public": public.manifest["patient_id"].to_numpy(str)[public_rows], "synthetic": None}
        facts = {"images_each": number, "hospital_films": kind}
        for comparison in COMPARISONS:
            name = comparison.removesuffix("-hospital")
            for measure, values in drawn[comparison].items():
                estimate, (low, high) = values.mean(), np.percentile(values, (2.5, 97.5))
                if measure.startswith("kid") and name in groups:
                    distance = sets[name].distance(sets["hospital"], measure, groups[name], patients)
                    estimate, (low, high) = distance.estimate, distance.bounds()
                row = {"label": label, "fold": fold, "comparison": comparison, "measure": measure}
                row |= {"estimate": estimate, "low": low, "high": high} | facts
                yield row | {"features": _eyes(study, measure)}


def _eyes(study: Study, measure: str) -> str:
    """What a measure sees films with, in words."""
    if measure == "sides":
        return f"pixels, brought to {PIXEL_SIDE}"
    return describe_features(study, second_judge_of(study) if measure == "kid_second" else None)


def _compared_films(study: Study, label: str, fold: str, manifest: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Which of a label's hospital films (bool) a fold's generator is compared with, and what it knows of them."""
    if fold_of(fold) != "all":
        return (manifest["fold"] == fold_of(fold)).to_numpy(), "unused"
    unseen = ~manifest["image_id"].isin(generator_films(study, label, fold).training.manifest["image_id"]).to_numpy()
    if unseen.sum() >= FEWEST_UNSEEN_FILMS:
        return unseen, "held-out"
    return np.ones(len(manifest), bool), "trained-on"


def _draws(
    sets: dict[str, Seen], patients: np.ndarray, random: np.random.Generator, what: str
) -> tuple[int, dict[str, dict[str, np.ndarray]]]:
    """Films on either side, and every measure (DRAWS,) of each comparison, over draws of equal numbers of films."""
    splits = [_halves(patients, random) for _ in range(DRAWS)]
    smallest = min(min(map(len, split)) for split in splits)
    number = min(smallest, MOST_FILMS, *(len(sets[name].features) for name in ("public", "synthetic")))
    if number < FEWEST_FILMS:
        raise InputError(f"quality: only {number} {what} to compare; a distance needs at least {FEWEST_FILMS} of each")
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in COMPARISONS}
    for draw, (first, second) in enumerate(splits):
        half = sets["hospital"].rows(first[:number])
        others = {
            f"{name}-hospital": sets[name].rows(random.permutation(len(sets[name].features))[:number])
            for name in ("synthetic", "public")
        } | {"hospital-halves": sets["hospital"].rows(second[:number])}
        for comparison, other in others.items():
            for measure, value in _measured(half, other).items():
                found[comparison].setdefault(measure, np.empty(DRAWS))[draw] = value
    return number, found


def _measured(real: Seen, other: Seen) -> dict[str, float]:
    """All measures between equal numbers of films; of too few films those of neighbours are not known."""
    found = {name: np.nan for name in MEASURES if name != "kid_second" or real.second is not None}
    if len(real.features) > NEIGHBOURS:
        found |= neighbour_measures(real.features, other.features)
    found |= {name: other.distance(real, name).estimate for name in ("kid", "kid_second") if name in found}
    found["frechet"] = frechet_distance(other.features, real.features)
    found["sides"] = side_distance(real.sides, other.sides)
    return found


def _some(rows: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    return np.sort(random.permutation(rows)[:most])


def _seen(study: Study, films: ImageSet, rows: np.ndarray) -> Seen:
    shown = np.asarray(films.images[rows])
    judge = second_judge_of(study)
    second = None if judge is None else film_features(study, shown, judge)
    return Seen(film_features(study, shown), left_from_right(shown), second)


def _whole_patients(patients: np.ndarray, rows: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """The rows, or those of as many patients, drawn at random, as have at most so many of them."""
    if len(rows) <= most:
        return rows
    drawn = random.permutation(np.unique(patients[rows]))
    films = np.array([(patients[rows] == patient).sum() for patient in drawn]).cumsum()
    return rows[np.isin(patients[rows], drawn[films <= most])]


def _halves(patients: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two groups of patients with as many films each as whole patients allow, in random order."""
    names, rows, films = np.unique(patients, return_inverse=True, return_counts=True)
    in_first, balance = np.zeros(len(names), bool), 0
    for patient in random.permutation(len(names)):
        in_first[patient] = balance < 0 or (balance == 0 and random.random() < 0.5)
        balance += films[patient] if in_first[patient] else -films[patient]
    return random.permutation(np.flatnonzero(in_first[rows])), random.permutation(np.flatnonzero(~in_first[rows]))
