"""Copies: does a synthetic film come nearer to a film its generator was trained on than real films of others do?

Every synthetic film is compared with every training film, in two spaces.

*Features.* The Euclidean distance of a network's features to those of the nearest training film, as it is or mirrored.

*Pixels.* One minus the correlation of detail. Each training film is hashed in 90 variants (mirrored or not, cropped or
widened by up to 10 %, shifted: `cxrlib.films.search.whole`); of those most alike, scale and position are refined until
their detail agrees best (`cxrlib.generators.copy_search`).

*How near is too near* is told by real films: by the distances of held-out films to the training films of other
patients. A film is flagged if it is as near as the nearest `NOMINAL_RATE` of these, in either space. So up to 5 in 100
are flagged where nothing was copied, and a rate of flags says something only beside that of real films (Meehan et al.
2020: data copying is being nearer to the training set than held-out data are). A film that is not flagged is not
thereby safe to show: a copied part, or a copy changed in other ways, passes.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.generators.copy_search import CopySearch, Distances, Features
from cxrlib.generators.quality import describe_features, film_extractor
from cxrlib.reproducibility import seed_for

if TYPE_CHECKING:
    from cxrlib.films.images import ImageSet
    from cxrlib.generators.training import GeneratorFilms
    from cxrlib.study import Study

NOMINAL_RATE = 0.025
# Fewer held-out films give no such quantile; then training films, each against other patients' films, join them.
FEWEST_HELD_OUT = round(1 / NOMINAL_RATE) - 1
MOST_PLANTED = 60
# The share is cut off at each of the four sides.
JPEG_QUALITY, CROPPED_SHARE, GAMMAS, BLURRED_BY = 30, 0.05, (0.7, 1.4), 1.5
# What decides which films are flagged: part of the settings of every set of synthetic films.
COPY_SETTINGS = {"version": 2, "nominal_rate": NOMINAL_RATE}


@dataclass(frozen=True)
class Copies(Distances):
    """Distances of the films, and the thresholds.

    `reference` holds the distances of the real films that set the thresholds; `reference_films` says which these are.
    """

    feature_threshold: float
    pixel_threshold: float
    reference: Distances
    reference_films: str

    @property
    def flagged(self) -> np.ndarray:
        """bool (N,): which of the films are at or below a threshold in either space."""
        return self.flags(self)

    @property
    def expected_flags(self) -> tuple[int, int]:
        """How many real films would be flagged by thresholds that the others set, and of how many."""
        number = len(self.reference)
        near = [
            distances <= _threshold(distances, number - 1)
            for distances in (self.reference.feature_distance, self.reference.pixel_distance)
        ]
        return int((near[0] | near[1]).sum()), number

    def flags(self, distances: Distances) -> np.ndarray:
        """bool (N,): which films of these distances the thresholds flag."""
        near = distances.feature_distance <= self.feature_threshold
        return near | (distances.pixel_distance <= self.pixel_threshold)


def find_copies(
    films: np.ndarray,
    training_films: np.ndarray,
    *,
    training_patients: np.ndarray,
    held_out_films: np.ndarray,
    held_out_patients: np.ndarray,
    features: Features,
    search: CopySearch | None = None,
) -> Copies:
    """Compare films uint8 (N, S, S) with the training films uint8 (M, S, S) of their generator.

    `features` maps uint8 (n, S, S) to float (n, D). Thresholds come from the distances of held-out films to training
    films of other patients; where fewer than `FEWEST_HELD_OUT` are held out, the training films join them, each
    compared with other patients' films. `search` saves work where one was made of the same training films. Raises
    `InputError` if the training films are of one patient.
    """
    training_patients, held_out_patients = (
        np.asarray(patients).astype(str) for patients in (training_patients, held_out_patients)
    )
    if len(np.unique(training_patients)) < 2:
        raise InputError(
            f"copies: found {len(training_films)} training films of {len(np.unique(training_patients))} patient(s); "
            "expected two patients or more, since only the films of others tell how near is too near"
        )
    reference, patients, name = np.asarray(held_out_films), held_out_patients, "held-out films"
    if len(reference) < FEWEST_HELD_OUT:
        name = "held-out and training films" if len(reference) else "training films"
        reference = np.concatenate((reference, training_films)) if len(reference) else np.asarray(training_films)
        patients = np.concatenate((patients, training_patients))
    search = search or CopySearch(training_films, features)
    real = search.distances(reference, patients[:, None] != training_patients[None])
    found = search.distances(films)
    return Copies(
        **{field: getattr(found, field) for field in Distances.__dataclass_fields__},
        feature_threshold=_threshold(real.feature_distance, len(real)),
        pixel_threshold=_threshold(real.pixel_distance, len(real)), reference=real, reference_films=name,
    )  # fmt: skip


def _threshold(distances: np.ndarray, number: int) -> float:
    """The k-th smallest distance: a new film of their kind lies at or below it with probability k in `number` + 1.

    k is the largest that keeps this at `NOMINAL_RATE`, or 1.
    """
    return float(np.sort(distances)[max(1, int(NOMINAL_RATE * (number + 1))) - 1])


def planted_copies(
    training_films: np.ndarray, copies: Copies, search: CopySearch, *, seed: int
) -> dict[str, dict[str, int]]:
    """The positive control: copies of training films, changed in one way each, and how many the thresholds catch.

    Of at most `MOST_PLANTED` films, uint8 (M, S, S), drawn by `seed`: {kind: {"caught", "planted"}}.
    """
    random = np.random.default_rng(seed)
    drawn = random.permutation(len(training_films))[:MOST_PLANTED]
    originals = np.asarray(training_films)[np.sort(drawn)]
    planted = {kind: np.stack([plant(film, random) for film in originals]) for kind, plant in PLANTED.items()}
    caught = copies.flags(search.distances(np.concatenate(list(planted.values())))).reshape(len(planted), -1).sum(1)
    return {kind: {"caught": int(n), "planted": len(originals)} for kind, n in zip(planted, caught, strict=True)}


def copy_settings(study: "Study") -> dict[str, Any]:
    """What decides which films are flagged, for the record of synthetic films."""
    return COPY_SETTINGS | {"features": describe_features(study)}


def compare_with_training(
    study: "Study", films: np.ndarray, known: "GeneratorFilms"
) -> tuple[pd.DataFrame, dict[str, Any], pd.DataFrame]:
    """Look for copies among the films uint8 (N, S, S) of a generator that was trained on the known films.

    Columns for the films' manifest; facts for their record; and the distances that set the thresholds,
    feature_distance and pixel_distance, a row for each real film, without its name.
    """
    features = film_extractor(study)
    training, held_out = known.training, known.held_out
    search = CopySearch(training.images, features)
    copies = find_copies(
        films, training.images, training_patients=_patients(training), held_out_films=held_out.images,
        held_out_patients=_patients(held_out), features=features, search=search,
    )  # fmt: skip
    names = training.manifest["image_id"].to_numpy()
    columns = {
        "nearest_image_id": names[copies.nearest_pixel_index],
        "nearest_distance": copies.pixel_distance.round(5),
        "nearest_feature_id": names[copies.nearest_feature_index],
        "feature_distance": copies.feature_distance.round(5),
        "flagged": copies.flagged,
    }
    expected, real_films = copies.expected_flags
    facts = {
        "feature_threshold": copies.feature_threshold,
        "pixel_threshold": copies.pixel_threshold,
        "flagged": int(copies.flagged.sum()),
        "reference_films": copies.reference_films,
        "reference": {"flagged": expected, "films": real_films},
        "planted": planted_copies(training.images, copies, search, seed=seed_for(study.seed, "planted copies")),
    }
    real = {name: getattr(copies.reference, name).round(5) for name in ("feature_distance", "pixel_distance")}
    return pd.DataFrame(columns), facts, pd.DataFrame(real).sort_values("feature_distance")


def _patients(films: "ImageSet") -> np.ndarray:
    return films.manifest["patient_id"].to_numpy(str)


def _recompressed(film: np.ndarray, random: np.random.Generator) -> np.ndarray:
    with io.BytesIO() as file:
        Image.fromarray(film).save(file, "JPEG", quality=JPEG_QUALITY)
        return np.asarray(Image.open(file))


def _cropped(film: np.ndarray, random: np.random.Generator) -> np.ndarray:
    side = len(film)
    cut = CROPPED_SHARE * side
    box = (cut, cut, side - cut, side - cut)
    return np.asarray(Image.fromarray(film).resize((side, side), Image.Resampling.BILINEAR, box=box))


def _blurred(film: np.ndarray, random: np.random.Generator) -> np.ndarray:
    side, small = len(film), round(len(film) / BLURRED_BY)
    shrunk = Image.fromarray(film).resize((small, small), Image.Resampling.BILINEAR)
    return np.asarray(shrunk.resize((side, side), Image.Resampling.BILINEAR))


PLANTED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "recompressed": _recompressed,
    "cropped": _cropped,
    "mirrored": lambda film, random: film[:, ::-1],
    "brightened or darkened": lambda film, random: (
        (255 * (film / 255) ** random.choice(GAMMAS)).round().astype(np.uint8)
    ),
    "blurred": _blurred,
}
