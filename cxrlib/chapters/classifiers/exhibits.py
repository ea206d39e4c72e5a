"""What Chapter 4 shows besides tables: a film as it is augmented, and the logs of training."""

import numpy as np
import pandas as pd

from cxrlib.chapters.sheets import FilmRow
from cxrlib.chapters.stand_ins import NOT_SHOWN, STAND_IN, stand_ins
from cxrlib.chapters.words import origin
from cxrlib.classifiers.arms import arm_of
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study


def augmented_row(study: Study, count: int = 8) -> FilmRow:
    """One public film as the classifier's augmentation shows it `count` times, the first time as it is."""
    import torch

    from cxrlib.classifiers.network import as_pixels, augment

    title, source, settings = "training · one film, augmented", origin(study, "training"), study.classifier
    if study.publishable("training"):
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


def classifier_logs(study: Study, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The training log of each arm's classifier (of a cross-fitted arm the first fold's); doses are left out.

    The source rule has none.
    """
    folders = {
        arm: study.results.classifier(arm, seed, study.classifier_folds(arm)[0])
        for arm in study.classifier.arms
        if arm_of(arm).network
    }
    return {arm: pd.read_csv(folder / "log.csv") for arm, folder in folders.items()}
