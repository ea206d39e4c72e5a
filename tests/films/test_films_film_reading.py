"""Many films, read in this process or in one per core."""

import errno
import os
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films import film_reading
from cxrlib.films.decoding import decode
from cxrlib.films.film_reading import FilmJob, FilmReader, read_films
from cxrlib.films.images import placed_array

SIZES = (24, 40)


@pytest.fixture
def films(tmp_path):
    """Rows of 150 films; every third has a mask. One film is damaged, one missing, and one mask is no image."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(150):
        Image.fromarray(random.integers(0, 255, (60, 50), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        mask = ""
        if number % 3 == 0:
            mask = f"mask{number}.png"
            Image.fromarray(np.ones((60, 50), bool)).save(tmp_path / mask)
        rows.append((f"{number}.png", mask))
    (tmp_path / "70.png").write_bytes((tmp_path / "70.png").read_bytes()[:400])
    (tmp_path / "71.png").unlink()
    (tmp_path / "mask72.png").write_bytes(b"none")
    return rows


@pytest.fixture
def read(tmp_path, films):
    """`read(processes=2)` gives (reasons, {(kind, size): kept array}) of the films."""

    def run(**options):
        paths = {(kind, size): tmp_path / f"{kind}{size}.npy" for kind in ("images", "lungs") for size in SIZES}
        with ExitStack() as stack:
            arrays = {
                (kind, size): stack.enter_context(placed_array(path, (size, size)))
                for (kind, size), path in paths.items()
            }
            places = tuple((*key, str(array.path), array.offset) for key, array in arrays.items())
            reasons = read_films(FilmJob(str(tmp_path), places), films, **options)
            for array in arrays.values():
                array.keep([index for index, (reason, _) in enumerate(reasons) if not reason])
        return reasons, {key: np.load(path) for key, path in paths.items()}

    return run


@pytest.fixture
def eager(monkeypatch):
    """Other processes are started after the first film, however small the work."""
    monkeypatch.setattr(film_reading, "TRIAL_SECONDS", 0)
    monkeypatch.setattr(film_reading, "WORTH_STARTING_SECONDS", 0)
    monkeypatch.setattr(film_reading, "FILMS_PER_ORDER", 4)


def test_other_processes_give_the_same_bits_and_reasons(read, films, tmp_path, eager):
    alone, here = read(processes=1)
    together, elsewhere = read(processes=2)
    assert together == alone
    assert len(here["images", 24]) == 148
    for key, array in here.items():
        np.testing.assert_array_equal(array, elsewhere[key])
    np.testing.assert_array_equal(here["images", 40][-1], decode(tmp_path / films[-1][0], (40,))[0])
    reasons = {films[index][0]: reason for index, (reason, _) in enumerate(alone) if reason}
    assert reasons.keys() == {"70.png", "71.png"}
    assert reasons["71.png"] == "missing"
    assert alone[72] == ("", "not an image file")
    # Row 72 has moved up by the two that are left out.
    assert here["lungs", 24][69].all()
    assert not here["lungs", 24][70].any()


@pytest.mark.parametrize("processes", [1, 3])
def test_progress_only_grows_and_ends_at_the_last_film(read, eager, processes):
    seen = []
    read(processes=processes, progress=lambda done, total: seen.append((done, total)))
    assert all(before[0] < after[0] for before, after in pairwise(seen))
    assert seen[-1] == (150, 150)
    assert len(seen) > 2


def test_small_work_starts_no_process(read, monkeypatch):
    monkeypatch.setattr(film_reading, "ReaderProcess", None)
    reasons, _ = read()
    assert len(reasons) == 150


def test_a_process_that_dies_is_reported_with_its_films(read, tmp_path, eager, monkeypatch):
    monkeypatch.setattr(film_reading.sys, "executable", "/bin/false")
    with pytest.raises(
        InputError, match=r"a process that reads films died \(exit code 1\) on \d+\.png or one of the \d"
    ):
        read(processes=2)
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob(".*"))


def test_an_interruption_leaves_no_process_and_no_file(read, tmp_path, eager, monkeypatch):
    started = []
    start = film_reading.subprocess.Popen

    def remember(*arguments, **options):
        started.append(start(*arguments, **options))
        return started[-1]

    def interrupt(done, total):
        if started:
            raise KeyboardInterrupt

    monkeypatch.setattr(film_reading.subprocess, "Popen", remember)
    with pytest.raises(KeyboardInterrupt):
        read(processes=3, progress=interrupt)
    assert started
    assert all(process.poll() is not None for process in started)
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob(".*"))


def test_a_full_disk_is_an_input_error_and_leaves_nothing(read, tmp_path, monkeypatch):
    def full(self, index, kind, images):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FilmReader, "_write", full)
    with pytest.raises(InputError, match=r"can't be written: No space left on device"):
        read(processes=1)
    assert not list(tmp_path.glob("*.npy"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_for_another_process_is_noticed_here(films, tmp_path):
    helper = film_reading.ReaderProcess(FilmJob(str(tmp_path), (("images", 24, "/dev/full", 0),)))
    with closing(helper), pytest.raises(OSError, match="No space left on device"):
        helper.read(0, films[:3])
