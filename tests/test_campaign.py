"""The campaign for a GPU: its whole path on a CPU at 32 pixels, with torch and numpy alone."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "campaign.py"
# What a bare machine lacks: importing any of these fails.
ABSENT = ("pydantic", "safetensors", "pandas", "scipy", "torchvision", "yaml", "sklearn", "PIL")
BARE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def campaign(*arguments) -> str:
    command = [sys.executable, "-c", BARE, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    hospital = folder / "results" / "data" / "hospital"
    hospital.mkdir(parents=True)
    np.save(hospital / "images-32.npy", np.random.default_rng(0).integers(0, 256, (20, 32, 32), dtype=np.uint8))
    pd.DataFrame({"image_id": range(20), "label": ["negative", "positive"] * 10}).to_csv(hospital / "manifest.csv")
    campaign("--pack", folder / "results", "--size", 32, "--films", folder / "films.npy")
    return folder / "films.npy"


@pytest.mark.long
def test_a_way_that_this_machine_lacks_says_so_and_the_others_are_timed(films, tmp_path):
    made = runpy.run_path(str(SCRIPT))["Campaign"](np.load(films), tmp_path / "out", 5, steps=1)
    failed, timed = made.timed({"other": {"mode": "no such mode"}, "batch 4": {"batch_size": 4}})
    assert failed["way"] == "other"
    assert "no such mode" in failed["not_measured"]
    assert timed["s_per_1000"] > 0
    (tmp_path / "out" / "speed.json").write_text(json.dumps([failed, timed]), encoding="utf-8")
    assert "| way | not_measured | s_per_1000 |" in made.page()


@pytest.mark.long
def test_the_whole_path_runs_and_goes_on_where_it_stopped(films, tmp_path):
    out = tmp_path / "out"
    assert "give the command again" in campaign("--films", films, "--minutes", 0, "--out", out)
    assert "Not done yet" in (out / "campaign.md").read_text(encoding="utf-8")
    assert campaign("--films", films, "--minutes", 5, "--out", out, "--steps", 1) == "finished\n"
    checks = json.loads((out / "checks.json").read_text(encoding="utf-8"))
    assert all(row["ok"] for row in checks), checks
    assert {"generator", "discriminator", "R1", "path length", "judge", "films"} < {row["path"] for row in checks}
    before = json.loads((out / "training.json").read_text(encoding="utf-8"))
    when = (out / "speed.json").stat().st_mtime_ns
    campaign("--films", films, "--minutes", 0, "--out", out, "--steps", 1)
    after = json.loads((out / "training.json").read_text(encoding="utf-8"))
    assert (out / "speed.json").stat().st_mtime_ns == when
    assert all(after[label] > before[label] for label in ("negative", "positive"))
    sheets = sorted(out.glob("*.png"))
    with Image.open(sheets[0]) as sheet:
        assert sheet.size == (256, 128)
    assert all(file.stat().st_size <= 16_000_000 for file in out.iterdir())
    page = (out / "campaign.md").read_text(encoding="utf-8")
    assert "Not done yet" not in page
    assert "batch 32" in page
