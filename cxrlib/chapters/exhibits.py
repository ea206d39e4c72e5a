"""What chapters show: films that may be shown, always the same draw, and the logs of training."""

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from cxrlib.chapters.stand_ins import NOT_SHOWN, STAND_IN, stand_ins
from cxrlib.chapters.words import origin, publishable, synthetic_origin
from cxrlib.classifiers.settings import has_network
from cxrlib.figures import FilmRow
from cxrlib.films.images import load_image_set, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.publishing.guard import near_copies
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study


def film_row(study: Study, role: str, label: str, count: int = 8) -> FilmRow:
    """Some films of one role and label, drawn at random but always the same; simulated ones if not publishable."""
    title = f"{role} · {label}"
    if not publishable(study, role):
        return FilmRow(f"{title}: {NOT_SHOWN}", stand_ins(study, role, label, count), STAND_IN)
    films = load_image_set(study, role, study.gan.resolution)
    rows = np.flatnonzero(films.manifest["label"].to_numpy() == label)
    chosen = draw_rows(rows, count, study.seed, "shown", role, label)
    return FilmRow(title, np.array(films.images[chosen]), origin(study, role))


def synthetic_row(study: Study, label: str, fold: str = "all", count: int = 8) -> FilmRow:
    """A draw from a generator's films, always the same; without those flagged as too near to a training film, and
    without what the guard would take for a private film."""
    films = load_synthetic(study, label, fold, study.gan.resolution)
    chosen = draw_rows(np.arange(len(films)), count, study.seed, "shown", "synthetic", label, fold)
    return row_of_synthetic(study, f"synthetic · {label}", np.array(films.images[chosen]))


def row_of_synthetic(study: Study, title: str, films: np.ndarray) -> FilmRow:
    """Synthetic films may be shown though the hospital's may not, except those that are as good as one of them."""
    copies = near_copies(study, films)
    if copies.any():
        title = f"{title} ({copies.sum()} left out, too near to a film that may not be shown)"
    return FilmRow(title, films[~copies], synthetic_origin(study))


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


def contact_sheet_rows(study: Study, label: str, count: int = 16) -> list[FilmRow]:
    """Synthetic films of one label, then the hospital's."""
    return [synthetic_row(study, label, count=count), film_row(study, "hospital", label, count)]


def augmented_row(study: Study, count: int = 8) -> FilmRow:
    """One public film as the classifier's augmentation shows it `count` times, the first time as it is."""
    import torch

    from cxrlib.classifiers.network import as_pixels, augment

    title, source, settings = "training · one film, augmented", origin(study, "training"), study.classifier
    if publishable(study, "training"):
        first = np.array(load_image_set(study, "training", settings.image_size).images[:1])
    else:
        title, source = f"{title}: {NOT_SHOWN}", STAND_IN
        first = stand_ins(study, "training", LABELS[0], 1, settings.image_size)
    film = torch.from_numpy(first)
    random = np.random.default_rng(seed_for(study.seed, "shown", "augmentation"))
    angles = random.uniform(-settings.rotation_degrees, settings.rotation_degrees, count)
    angles[0] = 0
    flipped = (np.arange(count) % 2 == 1) & settings.horizontal_flip
    pixels = augment(as_pixels(film.repeat(count, 1, 1)), torch.from_numpy(angles).float(), torch.from_numpy(flipped))
    return FilmRow(title, (pixels[:, 0] * 255).round().byte().numpy(), source)


def generator_logs(study: Study, fold: str = "all") -> dict[str, pd.DataFrame]:
    """The training log of each label's generator."""
    return {label: pd.read_csv(study.results.generator(label, fold) / "log.csv") for label in LABELS}


def classifier_logs(study: Study, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The training log of each arm's classifier (of a cross-fitted arm the first fold's); doses are left out.

    The source rule has none.
    """
    folders = {
        arm: study.results.classifier(arm, seed, study.classifier_folds(arm)[0])
        for arm in study.classifier.arms
        if has_network(arm)
    }
    return {arm: pd.read_csv(folder / "log.csv") for arm, folder in folders.items()}


def draw_rows(rows: np.ndarray, count: int, *purpose: Any) -> np.ndarray:
    """Some of the rows, drawn at random, but always the same for the same purpose."""
    chosen = np.random.default_rng(seed_for(*purpose)).choice(rows, min(count, len(rows)), replace=False)
    return np.sort(chosen)
