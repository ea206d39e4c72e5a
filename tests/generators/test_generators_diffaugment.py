import pytest
import torch

from cxrlib.generators.diffaugment import (
    AUGMENTATIONS,
    STEERING_IMAGES,
    Share,
    augment,
    brightness,
    contrast,
    cutout,
    steer,
    translation,
)
from cxrlib.reproducibility import random_generator


def films(count: int = 6, side: int = 16, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(count, 1, side, side, generator=random_generator("cpu", "films"), dtype=dtype) * 2 - 1


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_are_right(name):
    inputs = films(2, 6, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: AUGMENTATIONS[name](x, random_generator("cpu", "draw")), inputs)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_film_has_its_own_draw(name):
    same = films(1).expand(8, -1, -1, -1).contiguous()
    changed = AUGMENTATIONS[name](same, random_generator("cpu", "draw"))
    assert changed.shape == same.shape
    assert len({tuple(film.flatten().tolist()) for film in changed}) >= 6


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_equal_seeds_give_equal_films_and_zero_strength_changes_nothing(name):
    inputs = films()
    first, second = (AUGMENTATIONS[name](inputs, random_generator("cpu", "draw")) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, inputs)
    torch.testing.assert_close(AUGMENTATIONS[name](inputs, random_generator("cpu", "draw"), strength=0.0), inputs)


def test_no_names_change_nothing():
    inputs = films()
    assert torch.equal(augment(inputs, (), random_generator("cpu", "draw")), inputs)


def test_brightness_adds_a_constant_and_contrast_keeps_the_mean():
    inputs = films(200, 4)
    added = (brightness(inputs, random_generator("cpu", "draw")) - inputs).flatten(1)
    assert added.std(1).max() < 1e-6
    assert added.abs().max() <= 0.5
    assert added.mean(1).std() > 0.2
    changed = contrast(inputs, random_generator("cpu", "draw"))
    torch.testing.assert_close(changed.mean((1, 2, 3)), inputs.mean((1, 2, 3)))
    factors = changed.std((1, 2, 3)) / inputs.std((1, 2, 3))
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5


def test_translation_moves_whole_pixels_and_fills_with_grey():
    inputs = films(100) + 2
    moved = translation(inputs, random_generator("cpu", "draw"))
    shifts = set()
    for before, after in zip(inputs[:, 0], moved[:, 0], strict=True):
        matches = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(
                after[max(0, down) : 16 + min(0, down), max(0, right) : 16 + min(0, right)],
                before[max(0, -down) : 16 + min(0, -down), max(0, -right) : 16 + min(0, -right)],
            )
        ]
        assert len(matches) == 1
        down, right = matches[0]
        assert (after == 0).sum() == 256 - (16 - abs(down)) * (16 - abs(right))
        shifts.add(matches[0])
    assert {down for down, _ in shifts} == {right for _, right in shifts} == {-2, -1, 0, 1, 2}


def test_cutout_blanks_a_quarter_at_most_and_less_at_the_border():
    blank = (cutout(torch.ones(400, 1, 16, 16), random_generator("cpu", "draw")) == 0).float().mean((1, 2, 3))
    assert blank.max().item() == 0.25
    assert 0 < blank.min() < 0.1
    # Of a cut of 8 pixels whose centre is on one of the 17 lines between pixels, 116/17 pixels lie inside on average.
    assert blank.mean().item() == pytest.approx((116 / 17 / 16) ** 2, rel=0.1)


@pytest.mark.parametrize(("side", "strength", "places"), [(8, 0.5, 81), (6, 0.5, 36)], ids=["even cut", "odd cut"])
def test_cutout_comes_to_every_place_even_the_last_at_each_border(side, strength, places):
    """A cut of 4 in 8 has 9 places a side, those at the borders with half inside; one of 3 in 6 has 6."""
    cut = cutout(torch.ones(4000, 1, side, side), random_generator("cpu", "draw"), strength) == 0
    assert len({tuple(film.flatten().tolist()) for film in cut}) == places
    counts = cut.float().mean((0, 1))
    torch.testing.assert_close(counts, counts.flip(0, 1), rtol=0, atol=0.05)


def test_each_augmentation_changes_each_film_with_the_given_probability():
    inputs = films(1, 8).expand(2000, -1, -1, -1).contiguous()
    for name in ("brightness", "translation"):
        changed = augment(inputs, (name,), random_generator("cpu", "draw"), torch.tensor(0.3)) != inputs
        assert changed.any(dim=(1, 2, 3)).float().mean().item() == pytest.approx(
            0.3 * (1 if name == "brightness" else 8 / 9), abs=0.03
        )
    both = augment(inputs, ("brightness", "contrast"), random_generator("cpu", "draw"), torch.tensor(0.5)) != inputs
    assert both.any(dim=(1, 2, 3)).float().mean().item() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_no_film_or_every_film_is_changed_at_the_ends(probability):
    inputs = films(50)
    changed = augment(inputs, ("contrast",), random_generator("cpu", "draw"), torch.tensor(probability))
    expected = contrast(inputs, random_generator("cpu", "draw")) if probability else inputs
    assert torch.equal(changed, expected)


def test_gradients_are_right_where_some_films_are_changed():
    inputs = films(3, 6, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: augment(x, tuple(AUGMENTATIONS), random_generator("cpu", "draw"), torch.tensor(0.5)), inputs
    )


@pytest.mark.parametrize("probability", [None, torch.tensor(0.5)])
def test_parts_of_a_batch_get_what_the_whole_batch_gets(probability):
    inputs = films(6)
    whole = augment(inputs, tuple(AUGMENTATIONS), random_generator("cpu", "draw"), probability)
    parts = [
        augment(share.of(inputs), tuple(AUGMENTATIONS), random_generator("cpu", "draw"), probability, share)
        for share in (Share(0, 3), Share(1, 3), Share(2, 3))
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_strength_rises_above_the_target_falls_below_it_and_stays_in_bounds():
    half = torch.tensor(0.5)
    step = 40 / STEERING_IMAGES
    assert steer(half, torch.tensor(0.7), 0.6, 40).item() == pytest.approx(0.5 + step)
    assert steer(half, torch.tensor(0.5), 0.6, 40).item() == pytest.approx(0.5 - step)
    assert steer(torch.tensor(0.0), torch.tensor(-1.0), 0.6, 40).item() == 0
    assert steer(torch.tensor(1.0), torch.tensor(1.0), 0.6, 40).item() == 1
