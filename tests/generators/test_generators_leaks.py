"""Flat rectangles and borders, planted or left by augmentation, are found; films without them are not suspected."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource
from cxrlib.generators.diffaugment import augment
from cxrlib.generators.leaks import LEAKS, has_flat_border, has_flat_rectangle, is_mirrored

SIDE = 64


@pytest.fixture(scope="module")
def simulated():
    source = PhantomSource(reader="phantom", scanner="public", negative_patients=40, positive_patients=40)
    table = phantom_manifest(source, "training", 5)
    return np.stack([phantom_film(source, 5, row, SIDE).image for row in table.to_dict("records")])


@pytest.fixture(scope="module")
def real(real_films):
    table = pd.read_csv(real_films / "case_reports" / "labels.csv").iloc[::4]
    opened = (Image.open(real_films / "case_reports" / file).convert("L") for file in table["file"])
    return np.stack([np.asarray(film.resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for film in opened])


@pytest.fixture(params=["simulated", "real"])
def films(request):
    return request.getfixturevalue(request.param)


def augmented(films, names, grain=0.0):
    """uint8 films as the discriminator sees them, with a little noise as a generator would draw it."""
    pixels = torch.from_numpy(films[:, None] / 127.5 - 1).float()
    seen = augment(pixels, names, torch.Generator().manual_seed(0))[:, 0].numpy()
    seen = seen + np.random.default_rng(0).normal(0, grain, seen.shape)
    return ((seen + 1) * 127.5).round().clip(0, 255).astype(np.uint8)


def test_films_as_they_are_raise_few_alarms(films):
    for name, has_leak in LEAKS.items():
        assert has_leak(films).mean() <= 0.02, name


@pytest.mark.parametrize("grain", [0.0, 0.02])
def test_what_augmentation_leaves_is_found(films, grain):
    cut, moved = (augmented(films, [name], grain) for name in ("cutout", "translation"))
    assert has_flat_rectangle(cut).mean() >= 0.85
    assert has_flat_border(moved).mean() >= 0.85
    assert has_flat_border(cut).mean() <= 0.02
    assert has_flat_rectangle(moved).mean() <= 0.05


def test_brighter_contrast_is_no_leak(films):
    for has_leak in LEAKS.values():
        assert has_leak(augmented(films, ["brightness", "contrast"])).mean() <= 0.05


@pytest.mark.parametrize("grey", [40, 128, 220])
def test_planted_rectangles_are_found_wherever_they_are_even_with_soft_edges(grey):
    random = np.random.default_rng(1)
    grain = (128 + np.sign(random.normal(size=(1, SIDE, SIDE))) * random.uniform(20, 80, (1, SIDE, SIDE))).astype(
        np.uint8
    )
    for top, left in [(0, 0), (0, 40), (45, 20), (20, 20), (48, 48), (10, 47)]:
        planted = grain.astype(float)
        planted[0, top : top + 24, left : left + 24] = grey
        soft = gaussian_filter(planted, (0, 0.5, 0.5))
        for film in (planted, soft):
            assert has_flat_rectangle(film.round().astype(np.uint8)).all(), (top, left)
        assert not has_flat_rectangle(grain).any()


@pytest.mark.parametrize("side", range(4))
def test_a_flat_strip_is_found_on_each_side_unless_it_is_black_or_white(side):
    film = np.random.default_rng(2).integers(0, 256, (1, SIDE, SIDE)).astype(np.uint8)
    for grey, expected in ((127, True), (0, False), (255, False)):
        planted = np.rot90(film, side, axes=(1, 2)).copy()
        planted[:, :3] = grey
        assert has_flat_border(np.rot90(planted, -side, axes=(1, 2)))[0] == expected


def test_smooth_shades_without_a_corner_are_no_rectangle():
    rows = np.linspace(0, 1, SIDE)
    plateau = 128 + 100 * np.clip(np.abs(rows - 0.5) - 0.2, 0, None)
    disc = np.hypot(*np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]) < 0.5
    shades = np.stack([np.tile(plateau, (SIDE, 1)), np.where(disc, 128, 128 + 40 * rows), np.full((SIDE, SIDE), 90)])
    assert not has_flat_rectangle(shades.astype(np.uint8)).any()


def test_stripes_and_checkerboards_are_found_and_mirrored_films_are_counted(films):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    patterns = {
        "stripes": [np.cos(columns * 2 * np.pi / wave) for wave in (2, 2.5, 4)] + [np.sin(rows * np.pi / 2)],
        "checkerboard": [((rows // square + columns // square) % 2) * 2.0 - 1 for square in (1, 2)],
    }
    for name, drawn in patterns.items():
        for pattern in drawn:
            marked = (20 + 0.8 * films + 10 * pattern).round().astype(np.uint8)
            assert LEAKS[name](marked).mean() >= 0.75, name
    reference, others = films[::2], films[1::2]
    assert is_mirrored(others, reference).mean() < 0.35
    assert is_mirrored(others[:, :, ::-1], reference).mean() > 0.65
