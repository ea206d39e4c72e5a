"""What goes wrong while a generator is trained: said clearly, and the last good checkpoint stays."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from quick_judge import ENVIRONMENT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cxrlib.checkpoints import load_state, save_state
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.generators import run as run_module
from cxrlib.generators.networks import load_generator
from cxrlib.generators.stepping import Stepper
from cxrlib.generators.training import train_generator


class Interrupted(Exception):
    """Stands for the end of the process."""


def interrupt_after(images: int):
    def progress(done: int, total: int, facts: dict) -> None:
        if done >= images:
            raise Interrupted

    return progress


def interrupted(study, images: int) -> Path:
    """Train a public generator up to so many images; the path of its checkpoint."""
    with pytest.raises(Interrupted):
        train_generator(study, "positive", "public", progress=interrupt_after(images))
    return study.results.generator("positive", "public") / "checkpoint" / "state.safetensors"


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def outcome(study) -> tuple:
    """What must not depend on interruptions: weights, choice, logs but for the time, sheets."""
    folder = study.results.generator("negative", "public")
    record = read_json(folder / "config.json")
    facts = {name: record[name] for name in ("generator_sha256", "discriminator_sha256", "snapshot_images", "warnings")}
    log = pd.read_csv(folder / "log.csv").drop(columns="seconds").to_csv()
    sheets = {path.name: path.read_bytes() for path in sorted(folder.glob("samples*.png"))}
    seen = {tag: values for tag, values in scalars(folder).items() if "speed" not in tag}
    return facts, log, (folder / "snapshots.csv").read_text(encoding="utf-8"), sheets, seen


def test_killed_at_any_moment_it_ends_with_the_same_choice(make_study):
    study = make_study(films=240)
    train_generator(study, "negative", "public")
    other = make_study(folder="elsewhere", films=240)
    code = (
        "import sys, time\nfrom quick_judge import judge_quickly\n"
        "from cxrlib.generators.training import train_generator\nfrom cxrlib.study import load_study\njudge_quickly()\n"
        "train_generator(load_study(sys.argv[1]), 'negative', 'public', progress=lambda *facts: time.sleep(0.3))\n"
    )
    folder = other.results.generator("negative", "public")
    # After a snapshot's sheet, which is written before the checkpoint that knows of it, and between two snapshots.
    for awaited in ("samples-8.png", "samples-24.png"):
        process = subprocess.Popen([sys.executable, "-c", code, str(other.file)], env=ENVIRONMENT)
        deadline = time.monotonic() + 200
        while not (folder / awaited).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder / "config.json").exists()
    train_generator(other, "negative", "public")
    assert outcome(other) == outcome(study)


def test_tensorboard_has_every_step_once_also_after_a_resumption(make_study):
    study = make_study(films=240)
    interrupted(study, 12)
    train_generator(study, "positive", "public")
    folder = study.results.generator("positive", "public")
    log = pd.read_csv(folder / "log.csv")
    snapshots = pd.read_csv(folder / "snapshots.csv")
    found = scalars(folder)
    for tag, column, table in (
        ("loss/generator", "loss_generator", log),
        ("loss/r1", "r1", log.dropna(subset="r1")),
        ("signs/real", "real_sign", log),
        ("snapshots/recall", "recall", snapshots),
        ("snapshots/kid", "kid", log.dropna(subset="kid")),
    ):
        steps, values = zip(*found[tag], strict=True)
        assert list(steps) == table["images"].tolist(), tag
        np.testing.assert_allclose(values, table[column], rtol=1e-5)
    assert len(list((folder / "tensorboard").iterdir())) == 1


def test_progress_tells_speed_and_time_left(study):
    said = []
    train_generator(study, "positive", "public", progress=lambda *facts: said.append(facts))
    for images, total, facts in said:
        assert facts["images"] == images
        assert facts["seconds_per_kimg"] > 0
        assert facts["seconds_left"] == pytest.approx(facts["seconds_per_kimg"] / 1000 * (total - images), abs=1)


def test_weights_that_diverge_are_rolled_back_though_no_loss_shows_it(study, monkeypatch):
    true_step, broken = Stepper.step, {"left": 1}

    def step(self, number: int, rollbacks: int) -> None:
        true_step(self, number, rollbacks)
        if number == 3 and broken["left"]:
            broken["left"] -= 1
            with torch.no_grad():
                next(self.networks.average.parameters()).fill_(float("nan"))

    monkeypatch.setattr(Stepper, "step", step)
    record = train_generator(study, "positive", "public")
    assert (record["rollbacks"], record["images_seen"]) == (1, 24)
    generator, _ = load_generator(study.results.generator("positive", "public"))
    assert all(value.isfinite().all() for value in generator.state_dict().values())
    steps = [step for step, _ in scalars(study.results.generator("positive", "public"))["loss/generator"]]
    assert steps == [4, 8, 12, 16, 20, 24]
    broken["left"] = 100
    with pytest.raises(InputError, match=r"diverged \(weights of the average not finite at 16 images\)"):
        train_generator(study, "negative", "public")


def test_a_damaged_checkpoint_is_named(study):
    path = interrupted(study, 12)
    path.write_bytes(path.read_bytes()[:-1000])
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"state\.safetensors: not a readable checkpoint.*remove it to start afresh"):
        train_generator(study, "positive", "public")
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_architecture_is_named_and_stays(study):
    path = interrupted(study, 12)
    stored = load_state(path)
    name = next(name for name, value in stored["generator"].items() if value.ndim == 4)
    stored["generator"][name] = stored["generator"][name][:, :1].repeat(1, 3, 1, 1)
    save_state(path, stored)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"(?s)state\.safetensors: .*other networks.*size mismatch.*--force"):
        train_generator(study, "positive", "public")
    assert path.read_bytes() == before


@pytest.mark.parametrize("room", ["a sheet", "a checkpoint"])
def test_a_full_disk_is_an_error_and_training_goes_on_from_the_last_checkpoint(make_study, room):
    """A limit on the size of files acts where a full disk does: in the middle of a file."""
    whole = make_study(folder="whole")
    train_generator(whole, "positive", "public")
    study = make_study()
    path = interrupted(study, 12)
    before = path.read_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = {"a sheet": 1000, "a checkpoint": len(before) - 1000}[room]

    def fill_the_disk(images: int, total: int, facts: dict) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    written = {"a sheet": r"(tensorboard|\.png|\.csv)", "a checkpoint": r"state\.safetensors"}[room]
    try:
        with pytest.raises(InputError, match=written + r".*can't be written"):
            train_generator(study, "positive", "public", progress=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert load_state(path)["images"] == 8
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*"))
    record = train_generator(study, "positive", "public")
    assert (
        record["generator_sha256"]
        == read_json(whole.results.generator_record("positive", "public"))["generator_sha256"]
    )


def test_no_memory_is_an_error_that_says_what_to_lower(study):
    """A real limit on memory, in a process of its own."""
    path = interrupted(study, 12)
    before = path.read_bytes()
    code = (
        "import resource, sys\nimport torch, torch._inductor\n"
        "from cxrlib.generators.stepping import Stepper\nfrom cxrlib.generators.training import train_generator\n"
        "from cxrlib.study import load_study\n"
        "true_step = Stepper.step\n"
        "def step(self, *given):\n"
        "    self.hoard = torch.empty(10**9)\n"
        "    true_step(self, *given)\n"
        "Stepper.step = step\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, used + 10**9))\n"
        "try:\n"
        "    train_generator(load_study(sys.argv[1]), 'positive', 'public')\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(study.file)], cwd=Path(run_module.__file__).parents[2], text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("InputError"), done.stdout + done.stderr
    assert "not enough memory" in done.stdout
    assert "Lower gan.batch_size (now 4), gan.channel_base (128) or gan.resolution (32)" in done.stdout
    assert path.read_bytes() == before
