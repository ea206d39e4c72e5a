"""The look at a picture, on simulated chests; `benchmarks/look_at_films.py` measures it on real ones."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from cxrlib.films import look
from cxrlib.films.look import look as look_at
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource


@pytest.fixture(scope="module")
def chests() -> list[Image.Image]:
    source = PhantomSource(reader="phantom", scanner="public", negative_patients=12, positive_patients=1)
    rows = phantom_manifest(source, "training", 5).to_dict("records")[:12]
    return [Image.fromarray(phantom_film(source, 5, row, 64).image) for row in rows]


def share_of(notes: list[list[str]], kind: str) -> float:
    return float(np.mean([kind in found for found in notes]))


def test_upright_chests_are_left_alone(chests):
    assert np.mean([look_at(film) == [] for film in chests]) > 0.9


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda film: film.transpose(Image.Transpose.ROTATE_90), look.TURNED),
        (lambda film: film.transpose(Image.Transpose.ROTATE_180), look.TURNED),
        (ImageOps.invert, look.INVERTED),
        (lambda film: Image.fromarray(np.hstack([np.asarray(film)] * 2)), look.SEVERAL),
        (lambda film: Image.new("L", film.size, 7), look.EMPTY),
    ],
)
def test_what_is_no_upright_chest_is_noted(chests, change, kind):
    assert share_of([look_at(change(film)) for film in chests], kind) > 0.7


def test_noise_is_unlike_a_chest():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    assert look_at(Image.fromarray(noise)) == [look.UNLIKE]


def test_a_mirrored_film_has_its_heart_on_the_other_side(chests):
    sides = [look.heart_side(look.reduced(film)) for film in chests]
    other = [look.heart_side(look.reduced(ImageOps.mirror(film))) for film in chests]
    np.testing.assert_allclose(sides, [-side for side in other], atol=1e-9)
