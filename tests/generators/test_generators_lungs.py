"""Lungs are outlined in films of patients not seen, and their measures are those of the masks."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource
from cxrlib.generators import lungs
from cxrlib.generators.lungs import at_side, dice, halves, measure_lungs, outline_lungs, train_segmenter

SIDE = 64


@pytest.fixture(scope="module")
def simulated():
    source = PhantomSource(reader="phantom", scanner="hospital", negative_patients=20, positive_patients=20)
    rows = phantom_manifest(source, "hospital", 5)
    made = [phantom_film(source, 5, row, SIDE) for row in rows.to_dict("records")]
    films, masks = np.stack([film.image for film in made]), np.stack([film.lungs for film in made])
    return films, masks > 0, rows["patient_id"].to_numpy(str)


@pytest.fixture(scope="module")
def real(real_films):
    table = pd.read_csv(real_films / "case_reports" / "labels.csv")
    table = table[table["lung_mask"].notna()].iloc[:120]

    def opened(files):
        films = (Image.open(real_films / "case_reports" / file).convert("L") for file in files)
        return np.stack([np.asarray(film.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for film in films])

    return opened(table["file"]), opened(table["lung_mask"]) > 127, table["patient_id"].to_numpy(str)


@pytest.mark.parametrize(("kind", "least"), [("simulated", 0.85), ("real", 0.75)])
def test_lungs_of_patients_not_seen_are_outlined(kind, least, request, monkeypatch):
    monkeypatch.setattr(lungs, "STEPS", 50)
    films, masks, patients = request.getfixturevalue(kind)
    half = halves(patients, 1)
    assert not set(patients[half == 0]) & set(patients[half == 1])
    network = train_segmenter(films[half == 0], masks[half == 0], 1)
    assert 10_000 < sum(weight.numel() for weight in network.parameters()) < 100_000
    unseen, wanted = films[half == 1], masks[half == 1]
    found = outline_lungs(network, unseen)
    assert dice(found, wanted).mean() >= least
    measured, known = measure_lungs(found), measure_lungs(wanted)
    assert measured.area.mean() == pytest.approx(known.area.mean(), rel=0.1)
    assert np.nanmean(measured.left_right_ratio) == pytest.approx(np.nanmean(known.left_right_ratio), rel=0.15)


def test_equal_purposes_give_equal_weights_and_a_film_is_outlined_by_itself(simulated, monkeypatch):
    monkeypatch.setattr(lungs, "STEPS", 3)
    films, masks, _ = simulated
    one, two, other = (train_segmenter(films[:20], masks[:20], purpose) for purpose in (1, 1, 2))
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(next(one.parameters()), next(other.parameters()))
    together, alone = outline_lungs(one, films[:5]), outline_lungs(one, films[3:4])
    assert (together[3] != alone[0]).mean() < 0.001


def test_measures_are_those_of_drawn_lungs():
    masks = np.zeros((4, SIDE, SIDE), bool)
    masks[0, 10:50, 10:26] = masks[0, 10:50, 40:48] = True
    masks[1, 20:30, 10:50] = True
    masks[2, 10:50, 8:20] = True
    found = measure_lungs(masks)
    np.testing.assert_allclose(found.area, [40 * 24 / 4096, 400 / 4096, 480 / 4096, 0])
    assert found.left_right_ratio[0] == pytest.approx(2.0)
    assert found.left_right_ratio[1] == pytest.approx(1.0, abs=0.2)
    assert np.isnan(found.left_right_ratio[2:]).all(), "one lung, or none"
    mirrored = measure_lungs(masks[:1, :, ::-1])
    assert mirrored.left_right_ratio[0] == pytest.approx(0.5)


def test_dice_is_twice_the_overlap_over_the_areas():
    one, two = np.zeros((3, 8, 8), bool), np.zeros((3, 8, 8), bool)
    one[0, :4], two[0, 2:6] = True, True
    one[1, 0], two[1, 5] = True, True
    np.testing.assert_allclose(dice(one, two), [0.5, 0.0, 1.0])


def test_halves_part_patients_evenly_and_always_alike():
    patients = np.repeat([f"p{row}" for row in range(31)], 3)
    half = halves(patients, 7)
    assert np.array_equal(half, halves(patients, 7))
    assert abs(len(set(patients[half == 0])) - len(set(patients[half == 1]))) == 1
    assert all(len(set(half[patients == name])) == 1 for name in patients)


def test_masks_of_other_sizes_come_to_the_networks_side():
    large = np.zeros((1, 256, 256), np.uint8)
    large[0, 64:192, 64:192] = 1
    small = at_side(large)
    assert small.shape == (1, 64, 64)
    assert small.sum() == 32 * 32
