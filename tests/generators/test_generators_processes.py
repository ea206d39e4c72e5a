import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from quick_judge import ENVIRONMENT
from safetensors.torch import load_file

from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.generators.diffaugment import Share
from cxrlib.generators.processes import Processes
from cxrlib.generators.training import train_generator

TEN_STEPS_OF_EVERYTHING = """batch_size: 8
  style_mixing_probability: 0.7
  path_length_weight: 2.0
  adaptive_target: 0.6
  horizontal_flips: true"""


def test_two_processes_agree_with_one_of_the_same_batch(make_study):
    text = (Path(__file__).parent / "conftest.py").read_text(encoding="utf-8").split('"""')[3]
    text = re.sub(r"  (path_length_weight|style_mixing_probability): 0\n", "", text)
    text = text.replace("batch_size: 4\n  r1", f"{TEN_STEPS_OF_EVERYTHING}\n  r1").replace("images: 24", "images: 80")
    alone, shared = make_study(text, "alone"), make_study(text, "shared")
    assert train_generator(alone, "positive", "public")["images_seen"] == 80
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "quick_judge",
            "train-gan", str(shared.file), "--label", "positive", "--fold", "public",
        ],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder, expected = (study.results.generator("positive", "public") for study in (shared, alone))
    for name in ("generator", "discriminator"):
        found, wanted = (load_file(place / f"{name}.safetensors") for place in (folder, expected))
        for key, value in wanted.items():
            torch.testing.assert_close(
                found[key], value, rtol=1e-4, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
            )
    logs = [pd.read_csv(place / "log.csv").drop(columns="seconds") for place in (folder, expected)]
    assert len(logs[0]) == 10
    np.testing.assert_allclose(logs[0].to_numpy(float), logs[1].to_numpy(float), rtol=1e-3, atol=1e-3)
    assert read_json(folder / "config.json")["images_seen"] == 80
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in expected.iterdir())
    assert train_generator(shared, "positive", "public")["images_seen"] == 80


def test_a_batch_that_processes_cannot_share_is_refused():
    processes = Processes()
    processes.check_batch(6)
    processes.share = Share(1, 2)
    processes.check_batch(16)
    with pytest.raises(InputError, match=r"gan.batch_size: found 12 for 2 processes; expected a multiple of 8"):
        processes.check_batch(12)
