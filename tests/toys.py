"""One toy of each kind that a registry holds: an arm, a network, a reader of films, and a chapter."""

import os
from pathlib import Path
from typing import ClassVar, Literal

from cxrlib.artifacts import CHAPTERS
from cxrlib.classifiers.arms import ARMS, GENERATOR, Arm
from cxrlib.films.settings import READERS, FilesSource
from cxrlib.networks import NETWORKS, Network
from cxrlib.units import units

HERE = Path(__file__).resolve().parent
# Of a process whose children, too, judge films quickly and know the toys.
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (HERE / "at_start", HERE, HERE.parent)))}
STUDY = {
    "data": {"validation": {"reader": "toy", "folder": "films", "publishable": True}},
    "classifier": {"network": "toy", "arms": ["baseline", "synthetic", "toy"]},
    "review": {"simulated_readers": 2},
}
FIGURE = {"figure": {"caption": "Toys; simulated films.", "name": "fig-toy"}, "image": {"alt": "Two toys"}}


class ToySource(FilesSource):
    """A folder of films, each named after its patient and label: `p3-positive.png`."""

    reader: Literal["toy"]

    listing: ClassVar[str] = "toys:read_toy"


def read_toy(source):
    import pandas as pd

    from cxrlib.films.listing import make_listing

    names = sorted(path.name for path in source.folder.glob("*.png"))
    parts = [name.removesuffix(".png").split("-") for name in names]
    rows = pd.DataFrame({"image_id": names, "file": names, "source": "toys"})
    rows = rows.assign(patient_id=[patient for patient, _ in parts], label=[label for _, label in parts])
    return make_listing(rows, source.folder, source.folder / "names.txt")


def build(name):
    from torch import nn

    features = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(features, nn.Flatten(), nn.Linear(8, 1000))


def register():
    """Each is one entry."""
    ARMS["toy"] = Arm("toy", "public films and half of the synthetic ones", "Does a toy help?", GENERATOR, synthetic=50)
    NETWORKS["toy"] = Network("0", build="toys:build")
    READERS["toy"] = ToySource
    CHAPTERS["06_toy"] = ("tables",)


def unregister():
    for registry, name in ((ARMS, "toy"), (NETWORKS, "toy"), (READERS, "toy"), (CHAPTERS, "06_toy")):
        del registry[name]


def write_films(folder):
    """Sixteen films of noise for the toy reader."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(3)
    folder.mkdir(parents=True)
    for number in range(16):
        noise = Image.fromarray(random.integers(0, 255, (12, 12), dtype=np.uint8)).resize((48, 48))
        noise.save(folder / f"p{number}-{('negative', 'positive')[number % 2]}.png")
    (folder / "names.txt").write_text("The names of the films are their labels.\n")


def write_chapter(root, name, *, captions=FIGURE):
    """A chapter with a figure and nothing else."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [
        new_markdown_cell(f"# Chapter {name}\n\n*What do toys show?*"),
        new_code_cell('study = "tiny"', metadata={"tags": ["parameters"]}),
        new_code_cell("import matplotlib.pyplot as plt\n\nplt.plot([0, 1], [1, 0]);", metadata={"mystnb": captions}),
    ]
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(nbformat.writes(new_notebook(cells=cells)), encoding="utf-8")


def models(study):
    """Generators and classifiers that are finished, with the times of their weights."""
    found = {}
    for unit in (*units(study, "generator"), *units(study, "classifier")):
        record = unit.record(study)
        if record.exists():
            found |= {path: path.stat().st_mtime_ns for path in record.parent.glob("*.safetensors")}
    return found


def predictions(study):
    root = study.results.root
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("classifier/**/predictions.csv")}
