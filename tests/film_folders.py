"""Folders of films made of random pixels, for tests."""

import numpy as np
from PIL import Image


def make_folder(folder, films, seed):
    """A folder of films {file: (patient, label)} of random pixels, each with a lung mask; its source in a study."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["file,patient_id,label,lung_mask"]
    for file, (patient, label) in films.items():
        Image.fromarray(random.integers(0, 255, (48, 40), dtype=np.uint8)).save(folder / file)
        Image.fromarray(random.random((48, 40)) < 0.5).save(folder / f"mask-{file}")
        lines.append(f"{file},{patient},{label},mask-{file}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return {"reader": "folder", "folder": str(folder)}


def films_of(prefix, count):
    return {f"{prefix}{n}.png": (f"{prefix}-p{n}", "positive" if n % 2 else "negative") for n in range(count)}
