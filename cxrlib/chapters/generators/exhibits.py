"""What Chapter 2 shows of generators: films as they are augmented, truncated, and on the way from one to another."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image as PillowImage

from cxrlib.chapters import sheets, style
from cxrlib.chapters.exhibits import film_row, row_of_synthetic, synthetic_row
from cxrlib.chapters.generators.comparisons import COLUMNS
from cxrlib.chapters.sheets import FilmRow
from cxrlib.chapters.stand_ins import NOT_SHOWN, STAND_IN, stand_ins
from cxrlib.chapters.words import origin, synthetic_origin
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.generators.diffaugment import AUGMENTATIONS, augment
from cxrlib.generators.drawing import interpolation, truncation_sweep
from cxrlib.generators.networks import load_generator
from cxrlib.publishing.guard import near_copies
from cxrlib.reproducibility import deterministic, random_generator, seed_for
from cxrlib.study import Study

TRUNCATIONS = (0.25, 0.5, 0.75, 1.0)
FILMS_PER_ROW = 8
WALK_FILMS, WALK_STEPS = 4, 8


def augmented_film_rows(study: Study, label: str = LABELS[0]) -> list[FilmRow]:
    """One hospital film, or a simulated one in its place, under each differentiable augmentation, drawn anew each time;
    then under all that the study uses."""
    film, shown = _one_hospital_film(study, label)
    used = study.gan.augmentations
    rows = []
    for name in AUGMENTATIONS:
        title = name if name in used else f"{name} (not used in this study)"
        rows.append(FilmRow(title, _augmented(film, (name,), study.seed), shown))
    if used:
        rows.append(FilmRow("all that this study uses, together", _augmented(film, used, study.seed), shown))
    return rows


def _one_hospital_film(study: Study, label: str) -> tuple[np.ndarray, str]:
    """uint8 (S, S), and where it comes from."""
    if not study.publishable("hospital"):
        return stand_ins(study, "hospital", label, 1)[0], f"{STAND_IN}: the hospital's {NOT_SHOWN}"
    films = load_image_set(study, "hospital", study.gan.resolution)
    rows = np.flatnonzero(films.manifest["label"].to_numpy() == label)
    row = np.random.default_rng(seed_for(study.seed, "shown", "augmented film")).choice(rows)
    return np.array(films.images[row]), origin(study, "hospital")


def _augmented(film: np.ndarray, names: tuple[str, ...], seed: int) -> np.ndarray:
    """A film as it is, then changed by the named augmentations: uint8 (8, S, S)."""
    films = torch.from_numpy(film).float().div(127.5).sub(1)[None, None]
    random = random_generator("cpu", seed, "shown", "augmentations", *names)
    changed = augment(films.repeat(FILMS_PER_ROW - 1, 1, 1, 1), names, random)
    levels = ((torch.cat([films, changed])[:, 0] + 1) * 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).numpy()


def truncation_rows(study: Study, label: str, fold: str = "all") -> list[FilmRow]:
    """The same eight random lists, drawn under several truncations."""
    seeds = _seeds(study, label, FILMS_PER_ROW)
    generator, _ = load_generator(study.results.generator(label, fold))
    with deterministic(study.threads_per_job):
        sweep = truncation_sweep(generator, seeds, TRUNCATIONS)
    return [
        row_of_synthetic(study, f"{label} · truncation {share:g}{' (none)' if share == 1 else ''}", films)
        for share, films in zip(TRUNCATIONS, sweep, strict=True)
    ]


def interpolation_row(study: Study, label: str, fold: str = "all") -> FilmRow:
    """Eight films in equal steps from one random list to another."""
    generator, _ = load_generator(study.results.generator(label, fold))
    with deterministic(study.threads_per_job):
        films = interpolation(generator, _seeds(study, label, 2), FILMS_PER_ROW - 1)[:FILMS_PER_ROW]
    return row_of_synthetic(study, f"{label} · from one film to another", films)


def walk(study: Study, fold: str = "all") -> Figure | bytes:
    """The generators of both labels on a round trip through some of their films, frame by frame.

    A note where every film is too near to one that may not be shown.
    """
    walks = _walks(study, fold)
    if not walks:
        return style.note("every film is too near to one that may not be shown", synthetic_origin(study))
    return sheets.film_strip(walks, synthetic_origin(study))


def walk_by_hand(study: Study, fold: str = "all") -> dict[str, Any]:
    """Where each frame of the walk lies in its picture, for a slider."""
    walks = _walks(study, fold)
    frames = len(next(iter(walks.values()), []))
    return {"interactive": {"kind": "walk", "frames": frames, "rows": list(walks), **sheets.STRIP}} if walks else {}


def _walks(study: Study, fold: str) -> dict[str, np.ndarray]:
    """The frames that may be shown, by label; nothing where there are none."""
    walks = {}
    with deterministic(study.threads_per_job):
        for label in LABELS:
            generator, _ = load_generator(study.results.generator(label, fold))
            walks[label] = interpolation(generator, _seeds(study, label, WALK_FILMS), WALK_STEPS)
    shown = ~np.any([near_copies(study, films) for films in walks.values()], axis=0)
    return {label: films[shown] for label, films in walks.items()} if shown.any() else {}


def snapshots(study: Study, fold: str = "all") -> dict[str, pd.DataFrame]:
    """The table of snapshots of each label's generator."""
    return {label: pd.read_csv(study.results.generator(label, fold) / "snapshots.csv") for label in LABELS}


def comparisons(study: Study) -> pd.DataFrame:
    """The snapshots of the generators trained another way, beside the usual one; no row where the study has none."""
    if not study.gan.comparisons:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(study.results.table("comparisons"))


def _seeds(study: Study, label: str, count: int) -> list[int]:
    return [seed_for(study.seed, "shown", "generator", label, index) for index in range(count)]


def sample_row(study: Study, label: str, fold: str = "all") -> FilmRow:
    """The generator's sheet of films from random numbers that stay the same through its training."""
    sheet = np.asarray(PillowImage.open(study.results.generator(label, fold) / "samples.png"))
    size = study.gan.resolution
    lines, columns = sheet.shape[0] // size, sheet.shape[1] // size
    films = sheet.reshape(lines, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)
    return row_of_synthetic(study, f"synthetic · {label}, the same random numbers throughout", films)


def real_and_synthetic_rows(study: Study) -> list[FilmRow]:
    """For each label a row of hospital films and a row of synthetic ones."""
    return [row for label in LABELS for row in (film_row(study, "hospital", label), synthetic_row(study, label))]


def generator_logs(study: Study, fold: str = "all") -> dict[str, pd.DataFrame]:
    """The training log of each label's generator."""
    return {label: pd.read_csv(study.results.generator(label, fold) / "log.csv") for label in LABELS}
