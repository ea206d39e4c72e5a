"""Shared by the tests: tiny studies, and the folder of real films where there is one."""

import fcntl
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import yaml
from quick_judge import QUICK_JUDGE

from cxrlib.networks import JUDGE, NETWORKS
from cxrlib.study import load_study

# A shell that starts tests in the background lets them ignore Ctrl-C, and so would the servers that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TINY = {
    "name": "tiny",
    "title": "A tiny study",
    "summary": "Simulated films, far too few.",
    "seed": 7,
    "data": {
        "training": {"reader": "phantom", "scanner": "public", "negative_patients": 20, "positive_patients": 12},
        "validation": {"reader": "phantom", "scanner": "public", "negative_patients": 8, "positive_patients": 8},
        "hospital": {"reader": "phantom", "scanner": "hospital", "negative_patients": 16, "positive_patients": 16},
        "folds": 2,
    },
    "gan": {
        "resolution": 32, "latent_dim": 16, "mapping_layers": 2, "channel_base": 128, "channel_max": 16,
        "batch_size": 8, "ema_half_life_images": 100, "total_images": 96, "checkpoint_images": 32,
        "path_length_weight": 0, "style_mixing_probability": 0,
    },
    "synthesis": {"images_per_label": 16},
    "classifier": {
        "network": "resnet18", "weights": "none", "image_size": 32, "batch_size": 8, "frozen_epochs": 1, "epochs": 1,
        "seeds": 1, "arms": ["baseline", "synthetic", "synthetic-crossfit"],
    },
    "review": {"films_per_label_and_origin": 3, "pairs_per_label": 1, "copy_pairs": 4},
}  # fmt: skip


def write_study(folder: Path, **changes) -> Path:
    """Write `folder/studies/<name>.yaml`: the tiny study with some top-level keys replaced or, if mappings, merged."""
    values = {key: dict(value) if isinstance(value, dict) else value for key, value in TINY.items()}
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(value, dict) and key in values else value
    file = folder / "studies" / f"{values['name']}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return file


@pytest.fixture
def tiny_study_file(tmp_path: Path) -> Path:
    return write_study(tmp_path)


@pytest.fixture
def write_tiny_study(tmp_path: Path):
    """`write_tiny_study(gan={"resolution": 65})` gives the path of a changed study file."""
    return lambda **changes: write_study(tmp_path, **changes)


@pytest.fixture(scope="session")
def write_study_in():
    """`write_study_in(folder, **changes)` gives the path of a changed study file in a folder of the test's choice."""
    return write_study


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """`made_once(name, make)`: a copy of the folder that `make(folder)` fills, once for all processes of a test run."""

    def copied(name, make) -> Path:
        own = tmp_path_factory.getbasetemp()
        shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"once-{name}"
        with open(f"{shared}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not shared.exists():
                part = Path(tempfile.mkdtemp(dir=shared.parent))
                make(part)
                part.rename(shared)
        return Path(shutil.copytree(shared, own / name))

    return copied


@pytest.fixture(scope="session")
def trained_study(made_once, write_study_in):
    """A tiny study with every arm trained and explained; a test file that changes it puts it back."""
    from finished_study import CLASSIFIER, train

    folder = made_once("trained", lambda folder: train(write_study_in(folder, classifier=CLASSIFIER)))
    return load_study(folder / "studies" / "tiny.yaml")


@pytest.fixture(scope="session")
def real_films() -> Path:
    """The folder of real films; a test that needs it is skipped where CXR_DATA is not set, and fails if it is wrong."""
    if "CXR_DATA" not in os.environ:
        pytest.skip("CXR_DATA is not set: no real films here")
    folder = Path(os.environ["CXR_DATA"])
    assert (folder / "case_reports" / "labels.csv").is_file(), f"CXR_DATA={folder} holds no case_reports/labels.csv"
    return folder


@pytest.fixture(scope="session", autouse=True)
def quick_judge():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, JUDGE, QUICK_JUDGE)
        yield
