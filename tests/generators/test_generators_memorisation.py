"""Planted copies are caught, films of other patients are flagged about as often as promised."""

import io
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.features import extract_features
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.search.whole import find_near_duplicates
from cxrlib.films.settings import PhantomSource
from cxrlib.generators.copy_search import CopySearch
from cxrlib.generators.memorisation import NOMINAL_RATE, PLANTED, find_copies, planted_copies

SIDE = 64


def shades(films):
    """Features that cost nothing: the film in 8×8 cells."""
    return films.reshape(len(films), 8, SIDE // 8, 8, SIDE // 8).mean((2, 4)).reshape(len(films), -1)


FEATURES = {"phantoms": shades, "case_reports": partial(extract_features, network="resnet18", weights="none", seed=1)}
CAUGHT = 0.95


def split(films, patients, seed=0):
    """Two thirds of the patients train a generator; the films of the others come in two halves."""
    drawn = np.random.default_rng(seed).permutation(np.unique(patients))
    groups = np.array_split(drawn, [len(drawn) * 4 // 6, len(drawn) * 5 // 6])
    return [(films[np.isin(patients, group)], patients[np.isin(patients, group)]) for group in groups]


@pytest.fixture(scope="module")
def phantoms():
    source = PhantomSource(reader="phantom", scanner="hospital", negative_patients=1, positive_patients=80)
    table = phantom_manifest(source, "hospital", 5)
    table = table[table["label"] == "positive"]
    films = np.stack([phantom_film(source, 5, row, SIDE).image for row in table.to_dict("records")])
    return films, table["patient_id"].to_numpy(str)


@pytest.fixture(scope="module")
def case_reports(real_films):
    """Positive case reports without the copies among them, as the audit leaves them."""
    table = pd.read_csv(real_films / "case_reports" / "labels.csv")
    table = table[table["label"] == "positive"].iloc[:200]
    opened = (Image.open(real_films / "case_reports" / file).convert("L") for file in table["file"])
    films = np.stack([np.asarray(film.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for film in opened])
    (found,) = find_near_duplicates([films], films, lambda _, query: np.arange(len(films)) > query)
    kept = np.setdiff1d(np.arange(len(films)), [copy.query for copy in found])
    return films[kept], table["patient_id"].to_numpy(str)[kept]


def as_jpeg(film, quality):
    file = io.BytesIO()
    Image.fromarray(film).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


# Copies made here, by other means than those of the control that runs with every study.
CHANGES = {
    "recompressed": lambda film, _: as_jpeg(film, 40),
    "off-centre crop": lambda film, random: np.asarray(
        Image.fromarray(film).resize(
            (SIDE, SIDE), box=(left := random.uniform(0, 0.05) * SIDE, 0, left + 0.95 * SIDE, 60)
        )
    ),
    "mirrored and darker": lambda film, _: (film[:, ::-1] * 0.8).astype(np.uint8),
    "brighter": lambda film, _: np.minimum(255, film * 1.1 + 15).astype(np.uint8),
    "noisy": lambda film, random: (film + random.normal(0, 5, film.shape)).clip(0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("kind", ["phantoms", "case_reports"])
def test_planted_copies_are_caught_and_other_patients_films_are_not(kind, request):
    films, patients = request.getfixturevalue(kind)
    (training, seen), (held_out, waiting), (fresh, _) = split(films, patients)
    search = CopySearch(training, FEATURES[kind])
    random = np.random.default_rng(3)
    chosen = random.choice(len(training), 40, replace=False)
    planted = [np.stack([change(training[row], random) for row in chosen]) for change in CHANGES.values()]
    found = find_copies(
        np.concatenate([fresh, *planted]), training, training_patients=seen, held_out_films=held_out,
        held_out_patients=waiting, features=FEATURES[kind], search=search,
    )  # fmt: skip
    flagged_fresh, flagged = found.flagged[: len(fresh)], found.flagged[len(fresh) :].reshape(len(CHANGES), 40)
    for change, caught in zip(CHANGES, flagged, strict=True):
        assert caught.mean() >= CAUGHT, f"{change}: {caught.mean()}"
    np.testing.assert_array_equal(found.nearest_pixel_index[len(fresh) :].reshape(len(CHANGES), 40)[2], chosen)
    # Films of patients whom neither the generator nor the thresholds have met: twice the nominal rate, and chance.
    assert flagged_fresh.sum() <= 2 * NOMINAL_RATE * len(fresh) + 3 * np.sqrt(2 * NOMINAL_RATE * len(fresh))
    flags, number = found.expected_flags
    assert 0 < flags / number < 0.09

    control = planted_copies(training, found, search, seed=1)
    assert set(control) == set(PLANTED)
    for change, counts in control.items():
        assert counts["caught"] >= CAUGHT * counts["planted"], change
        assert counts["planted"] == 60
    assert control == planted_copies(training, found, search, seed=1)


def points(films):
    """Features that a test can foresee: the mean grey level, along one axis."""
    return films.reshape(len(films), -1).mean(1, keepdims=True)


def noise(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE)).astype(np.uint8)


def test_distances_and_thresholds_are_those_of_a_calculation_by_hand():
    training, held_out = noise(6, 0), noise(60, 1)
    films = np.concatenate((noise(10, 2), training[[4]]))
    found = find_copies(
        films, training, training_patients=np.arange(6), held_out_films=held_out,
        held_out_patients=np.arange(100, 160), features=points,
    )  # fmt: skip
    means = {name: points(set_)[:, 0] for name, set_ in (("training", training), ("real", held_out), ("films", films))}
    nearest = np.abs(means["films"][:, None] - means["training"]).argmin(1)
    np.testing.assert_array_equal(found.nearest_feature_index, nearest)
    np.testing.assert_allclose(found.feature_distance, np.abs(means["films"] - means["training"][nearest]), atol=1e-9)
    real = np.sort(np.abs(means["real"][:, None] - means["training"]).min(1))
    assert found.feature_threshold == pytest.approx(real[0]), "the largest k with k / 61 at most 2.5 % is 1"
    assert found.reference_films == "held-out films"
    assert found.pixel_distance[10] == pytest.approx(0, abs=0.01)
    assert found.pixel_distance[:10].min() > 0.5
    assert found.flagged[10]


def test_few_held_out_films_are_joined_by_training_films_never_against_their_own_patient():
    training = noise(20, 0)
    training[10:] = training[:10]
    patients = np.arange(20) % 10
    arguments = {"training_patients": patients, "features": points}
    none = find_copies(training[:3], training, held_out_films=training[:0], held_out_patients=[], **arguments)
    assert none.reference_films == "training films"
    assert none.reference.pixel_distance.min() > 0.3, "its own patient's film is the same film"
    assert none.flagged.all(), "copies of training films are copies all the same"
    some = find_copies(training[:3], training, held_out_films=noise(4, 9), held_out_patients=list("abcd"), **arguments)
    assert some.reference_films == "held-out and training films"
    assert len(some.reference) == 24


def test_the_expected_rate_is_that_of_films_judged_by_the_others():
    training, held_out = noise(5, 0), noise(100, 1)
    found = find_copies(
        training, training, training_patients=np.arange(5), held_out_films=held_out,
        held_out_patients=np.arange(10, 110), features=points,
    )  # fmt: skip
    flagged = 0
    for row in range(100):
        others = np.arange(100) != row
        near = [
            distance[row] <= np.sort(distance[others])[int(NOMINAL_RATE * 100) - 1]
            for distance in (found.reference.feature_distance, found.reference.pixel_distance)
        ]
        flagged += any(near)
    assert found.expected_flags == (flagged, 100)


def test_films_of_one_patient_cannot_tell_how_near_is_too_near():
    training = noise(4, 0)
    with pytest.raises(InputError, match="expected two patients or more"):
        find_copies(
            training, training, training_patients=["a"] * 4, held_out_films=training[:0], held_out_patients=[],
            features=points,
        )  # fmt: skip
