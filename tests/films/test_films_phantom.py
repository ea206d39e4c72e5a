"""The simulated films: physics, anatomy, scanners."""

from dataclasses import replace

import numpy as np
import pytest

from cxrlib.films.geometry import ellipsoid, rotation_matrix
from cxrlib.films.phantom import Pose, phantom_film, phantom_manifest, render, trace
from cxrlib.films.phantom_anatomy import Patient, phantom_patient
from cxrlib.films.scanner import SCANNERS, expose, rays
from cxrlib.films.settings import PhantomSource

UPRIGHT = Pose(rotation_matrix(0, 0, 0), np.zeros(3))
PUBLIC, HOSPITAL = SCANNERS["public"], SCANNERS["hospital"]
OUTSIDE = ellipsoid((0, 0, 500), (1, 1, 1))


def bare_patient(**parts):
    """A patient of nothing but the given parts."""
    nothing = {
        "sex": "F", "age": 50, "label": "negative", "soft": (), "cage": OUTSIDE, "rib_thickness": 0.1, "ribs": (),
        "lungs": (), "displacers": (), "vessels": (), "bones": (), "air": (), "opacities": (),
    }  # fmt: skip
    return Patient(**(nothing | parts))


def source(scanner, negative=30, positive=20):
    return PhantomSource(reader="phantom", scanner=scanner, negative_patients=negative, positive_patients=positive)


def test_a_sphere_of_soft_tissue_attenuates_by_beer_lambert():
    x, z = rays(20.0, 65)
    attenuation, _, _ = trace(bare_patient(soft=(ellipsoid((0, 0, 0), (5, 5, 5)),)), PUBLIC, UPRIGHT, x, z)
    chord = 2 * np.sqrt(np.maximum(25 - x**2 - z**2, 0))
    np.testing.assert_allclose(attenuation, PUBLIC.soft_per_cm * chord, atol=1e-4)
    assert np.exp(-attenuation[32, 32]) == pytest.approx(np.exp(-PUBLIC.soft_per_cm * 10), rel=1e-4)


def test_a_thick_plate_with_lung_and_heart_attenuates_by_the_sum_over_media():
    # Ellipsoids so wide that the central ray meets plates: 20 cm of tissue, 12 of them lung, of which a heart takes 4.
    plate, lung, heart = (ellipsoid((0.0, 0, 0), (900, half, 900)) for half in (10, 6, 2))
    patient = bare_patient(soft=(plate,), cage=plate, lungs=(lung,), displacers=((heart,),))
    attenuation, lung_length, _ = trace(patient, PUBLIC, UPRIGHT, *rays(2.0, 3))
    assert lung_length[1, 1] == pytest.approx(8, abs=1e-3)
    assert attenuation[1, 1] == pytest.approx(12 * PUBLIC.soft_per_cm + 8 * PUBLIC.lung_per_cm, abs=1e-3)


def test_bone_counts_more_at_low_voltage():
    excess = {scanner.tube_voltage_kv: scanner.bone_per_cm / scanner.soft_per_cm for scanner in (PUBLIC, HOSPITAL)}
    assert excess[85] > 1.15 * excess[120] > 1.15


def test_tone_is_bright_where_the_body_is_dense():
    attenuation = np.linspace(0, 6, 64, dtype=np.float32)[:, None] * np.ones((1, 64), np.float32)
    quiet = replace(PUBLIC, photons_per_cm2=1e12, jitter=0.0, scatter=0.0, marker_height_cm=1e-6)
    film = expose(quiet, attenuation, 64, np.random.default_rng(0), np.random.default_rng(1))
    assert film.dtype == np.uint8
    assert (np.diff(film[:, 32].astype(int)) >= 0).all()
    assert film[-1, 32] > film[0, 32] + 150


@pytest.mark.parametrize("scanner", ["public", "hospital"])
def test_labels_of_one_patient_differ_by_opacities_alone(scanner):
    positive, negative = phantom_patient("positive", 5, "p"), phantom_patient("negative", 5, "p")
    x, z = rays(38.0, 96)
    with_opacities, _, opacity_length = trace(positive, SCANNERS[scanner], UPRIGHT, x, z)
    without, lung_length, none = trace(negative, SCANNERS[scanner], UPRIGHT, x, z)
    assert not none.any()
    assert opacity_length.max() > 1
    added = with_opacities - without
    assert added[opacity_length > 0.5].min() > 0
    np.testing.assert_allclose(added[opacity_length == 0], 0, atol=1e-5)
    assert (lung_length[opacity_length > 0.01] > 0).all()


def test_no_opacity_is_denser_than_soft_tissue_makes_of_the_lung():
    for seed in range(20):
        patient = phantom_patient("positive", seed)
        assert 3 * 4 <= len(patient.opacities) <= 8 * 6
        assert 0 < max(opacity.fill for opacity in patient.opacities) <= 0.25
        assert phantom_patient("negative", seed).opacities == ()


def test_opacity_masks_lie_in_lung_masks():
    row = {"label": "positive", "patient_id": "hospital-p0001", "image_id": "hospital-p0001-film1", "view": "AP"}
    for seed in range(6):
        film = phantom_film(source("hospital"), seed, row, 96)
        assert film.opacities.sum() > 20
        outside = film.opacities.astype(bool) & ~film.lungs.astype(bool)
        assert outside.sum() <= 0.02 * film.opacities.sum()
        assert 0.12 < film.lungs.mean() < 0.5
        clear = phantom_film(source("hospital"), seed, row, 96, with_opacities=False)
        assert not clear.opacities.any()
        changed = film.image[film.opacities == 1].mean() - clear.image[film.opacities == 1].mean()
        assert changed > 3


def test_the_anatomy_of_a_film_is_a_chest():
    """Dark lungs on both sides of a bright mediastinum, the heart towards the film's right, the belly below."""
    films = [render(phantom_patient("negative", seed), PUBLIC, 64, seed) for seed in range(12)]
    mean = np.mean([film.image for film in films], axis=0)
    lungs = np.mean([film.lungs for film in films], axis=0) > 0.9
    assert lungs[:, :32].sum() > 250
    assert lungs[:, 32:].sum() > 200
    mediastinum, belly = mean[20:36, 30:34].mean(), mean[58:, 20:44].mean()
    assert mediastinum > mean[lungs].mean() + 80
    assert belly > mean[lungs].mean() + 80
    heart_row = slice(36, 40)
    assert mean[heart_row, 36:44].mean() > mean[heart_row, 20:28].mean() + 30


def test_scanners_differ_on_the_same_patient():
    patient = phantom_patient("negative", 3)
    public, hospital = (render(patient, SCANNERS[name], 64, 3).image.astype(float) for name in ("public", "hospital"))
    assert np.abs(public - hospital).mean() > 10

    def detail(film):
        return np.abs(np.diff(film[16:48, 8:56], axis=1)).mean()

    assert detail(hospital) < 0.9 * detail(public)


def test_equal_seeds_give_equal_films_and_other_seeds_others():
    patient = phantom_patient("positive", 1)
    first = render(patient, HOSPITAL, 64, "a").image
    assert np.array_equal(first, render(phantom_patient("positive", 1), HOSPITAL, 64, "a").image)
    assert not np.array_equal(first, render(patient, HOSPITAL, 64, "b").image)
    assert not np.array_equal(first, render(phantom_patient("positive", 2), HOSPITAL, 64, "a").image)


def test_every_size_shows_the_same_patient():
    patient = phantom_patient("positive", 9)
    small, large = (render(patient, PUBLIC, size, "film") for size in (64, 192))
    averaged = large.image.reshape(64, 3, 64, 3).mean(axis=(1, 3))
    assert np.abs(averaged - small.image).mean() < 3
    assert (large.lungs.reshape(64, 3, 64, 3).mean(axis=(1, 3)).round() != small.lungs).mean() < 0.02


def test_manifest_counts_patients_and_names_the_scanner():
    manifest = phantom_manifest(source("hospital"), "hospital", 7)
    patients = manifest.drop_duplicates("patient_id")
    assert patients["label"].value_counts().to_dict() == {"negative": 30, "positive": 20}
    assert 50 < len(manifest) < 70
    assert manifest["image_id"].is_unique
    assert set(manifest["source"]) == {"simulated hospital"}
    assert set(manifest["file"]) == {""}
    assert set(manifest["view"]) == {"PA", "AP"}
    assert set(manifest["sex"]) == {"F", "M"}
    assert len(phantom_manifest(source("public"), "training", 7)) == 50


def test_roles_of_one_scanner_show_different_patients():
    rows = [phantom_manifest(source("public"), role, 7).iloc[0] for role in ("training", "validation")]
    films = [phantom_film(source("public"), 7, row, 64, with_opacities=False).image.astype(float) for row in rows]
    assert np.abs(films[0] - films[1]).mean() > 3


def test_unknown_label_is_refused():
    with pytest.raises(ValueError, match="found 'covid'"):
        phantom_patient("covid", 1)
