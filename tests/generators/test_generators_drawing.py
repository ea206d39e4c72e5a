"""Films from seeds: alone or in company, truncated, between two others, and where memory is short."""

import numpy as np
import pytest
import torch
from scipy.spatial import geometric_slerp

from cxrlib.errors import InputError
from cxrlib.generators import drawing
from cxrlib.generators.drawing import (
    draw_films,
    first_batch_size,
    interpolation,
    make_films,
    mean_style,
    truncation_sweep,
)
from cxrlib.generators.networks import make_generator
from cxrlib.reproducibility import pick_device, random_generator


@pytest.fixture
def generator(tiny_settings):
    torch.manual_seed(3)
    return make_generator(tiny_settings).eval().requires_grad_(False)


def made(generator, seeds, truncation=1.0, batch_size=4):
    return np.concatenate(list(make_films(generator, seeds, truncation, batch_size)))


def test_films_depend_on_their_seed_only_and_truncation_draws_them_together(generator):
    whole, moved = made(generator, [1, 2, 3, 4, 5, 6]), made(generator, [5, 6, 1])
    assert whole.shape == (6, 32, 32)
    assert whole.dtype == np.uint8
    assert np.abs(whole[[4, 5, 0]].astype(int) - moved).max() <= 1
    near, far = made(generator, range(32), 0.3), made(generator, range(32), 1.0)
    assert near.std(0).mean() < 0.8 * far.std(0).mean()


def test_mean_style_is_the_mean_over_many_latents(generator):
    latents, _ = generator.draw(20_000, random_generator("cpu", "others"))
    expected = generator.mapping(latents).mean(0)
    np.testing.assert_allclose(mean_style(generator)[0].numpy(), expected.numpy(), atol=0.06)


def test_a_sweep_shows_the_same_films_ever_nearer_to_the_typical_one(generator):
    seeds = list(range(8))
    films = truncation_sweep(generator, seeds, (0.2, 0.6, 1.0))
    assert films.shape == (3, 8, 32, 32)
    np.testing.assert_array_equal(films[2], made(generator, seeds, batch_size=8))
    spread = films.astype(float).std(1).mean((1, 2))
    assert spread[0] < spread[1] < spread[2]


def test_interpolation_passes_through_its_films_and_comes_back(generator):
    films = interpolation(generator, [7, 8, 9], steps=6)
    assert films.shape == (18, 32, 32)
    assert np.abs(films[0].astype(int) - made(generator, [7])[0]).max() <= 1
    jumps = np.abs(np.diff(films.astype(float), axis=0, append=films[:1].astype(float))).mean((1, 2))
    apart = np.abs(films[0].astype(float) - films[6]).mean()
    assert jumps.max() < apart / 2, "no step, not even the last one back to the first, is a leap"
    first = interpolation(generator, [7, 8, 9], steps=1)
    np.testing.assert_allclose(first.astype(int), films[::6].astype(int), atol=1)


def test_the_way_between_two_latents_is_a_great_circle():
    start, end = torch.randn(2, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    end = end / end.norm() * start.norm()
    shares = torch.linspace(0, 1, 5, dtype=torch.float64)
    radius = float(start.norm())
    expected = radius * geometric_slerp(start.numpy() / radius, end.numpy() / radius, shares.numpy())
    np.testing.assert_allclose(drawing._great_circle(start, end, shares[:, None]).numpy(), expected, atol=1e-9)
    stays = drawing._great_circle(start, start, shares[:, None])
    np.testing.assert_allclose(stays.numpy(), start.expand(5, -1).numpy(), atol=1e-9)


def test_where_memory_runs_out_batches_are_halved_and_all_films_are_of_one_size(generator, monkeypatch):
    monkeypatch.setitem(drawing.LARGEST_BATCH, pick_device().type, 16)
    synthesise, sizes = generator.synthesise, []

    def short_of_memory(styles, latents, noise, dtype=torch.float32):
        sizes.append(len(styles))
        # The third of larger batches is the one that finds no room any more.
        if len(styles) > 4 and len(sizes) % 3 == 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return synthesise(styles, latents, noise, dtype)

    monkeypatch.setattr(generator, "synthesise", short_of_memory)
    films, told = np.zeros((50, 32, 32), np.uint8), []
    assert draw_films(generator, list(range(50)), 0.7, films, told.append) == 4
    assert sizes == [16] * 3 + [8] * 3 + [4] * 13
    assert told[-13:] == [*range(4, 50, 4), 50]
    monkeypatch.setattr(generator, "synthesise", synthesise)
    np.testing.assert_array_equal(films, made(generator, list(range(50)), 0.7, 4))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_no_memory_for_a_single_film_is_said_and_other_errors_are_not_hidden(generator, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(generator, "synthesise", fails)
    with pytest.raises(InputError, match="no memory to draw a single one"):
        draw_films(generator, [1, 2], 1.0, np.zeros((2, 32, 32), np.uint8))
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        draw_films(generator, [1, 2], 1.0, np.zeros((2, 32, 32), np.uint8))


def test_a_batch_on_a_cpu_takes_no_more_than_its_part_of_the_memory(generator, monkeypatch):
    monkeypatch.setattr(drawing, "pick_device", lambda: torch.device("cpu"))
    assert first_batch_size(generator) == drawing.LARGEST_BATCH["cpu"]
    film = drawing.film_bytes(generator)
    for room, expected in ((film // 2, 1), (4 * film, 4), (7 * film, 4), (10**6 * film, 16)):
        monkeypatch.setattr(drawing, "CPU_BYTES", room)
        assert first_batch_size(generator) == expected


def test_what_a_film_is_made_of_is_drawn_on_the_cpu_whatever_the_hardware(generator, monkeypatch):
    """The numbers of a GPU are others than a CPU's: films could be made again on its like alone."""
    asked = []

    def draw(count, random, draw=generator.draw):
        asked.append(random.device.type)
        return draw(count, random)

    monkeypatch.setattr(generator, "draw", draw)
    latents, noise = drawing._drawn(generator, [3, 4], torch.device("meta"))
    assert asked == ["cpu", "cpu"]
    assert {part.device.type for part in (latents, *noise)} == {"meta"}
