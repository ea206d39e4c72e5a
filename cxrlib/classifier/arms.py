"""The arms: which films each recipe trains on."""

from dataclasses import dataclass

import numpy as np
import torch

from cxrlib.data.images import ImageSet, load_image_set, load_synthetic
from cxrlib.data.settings import LABELS
from cxrlib.errors import InputError
from cxrlib.reproducibility import random_generator
from cxrlib.study import Study

SYNTHETIC_ARMS = ("synthetic", "synthetic-crossfit")


@dataclass(frozen=True)
class TrainingFilms:
    """uint8 films (M, S, S), their labels (M,) of 0 and 1, and the rows (N,) that make up one epoch.

    `public` rows come first in `images`, synthetic ones after them; `rows` names a film more than once where an arm
    draws with replacement.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    public: int

    def counts(self) -> dict[str, int]:
        """Films of one epoch by label."""
        return {label: int((self.labels[self.rows] == value).sum()) for value, label in enumerate(LABELS)}

    def synthetic_counts(self) -> dict[str, int]:
        """Synthetic films of one epoch by label."""
        labels = self.labels[self.rows[self.rows >= self.public]]
        return {label: int((labels == value).sum()) for value, label in enumerate(LABELS)}


def check_arm(study: Study, arm: str, seed: int, fold: str) -> None:
    """Raises `InputError` if the study has no such model."""
    if arm not in study.classifier.arms:
        raise InputError(f"arm: found `{arm}`, expected one of the study's arms: {', '.join(study.classifier.arms)}")
    if not 0 <= seed < study.classifier.seeds:
        raise InputError(f"seed: found {seed}, expected 0 to {study.classifier.seeds - 1}")
    folds = study.classifier_folds(arm)
    if fold not in folds:
        raise InputError(f"fold: found `{fold}`, but arm `{arm}` has models for: {', '.join(folds)}")


def compose_training_films(study: Study, arm: str, seed: int, fold: str) -> TrainingFilms:
    """The films that this arm's model of `fold` trains on.

    `baseline`: the public films. `synthetic`: besides, the synthetic films of generators trained on every hospital
    patient. `synthetic-crossfit`: besides, those of the generators that never saw the patients of `fold`.
    `oversampled`: the public films, and of the label that is too rare as many again, drawn with replacement, as give
    the classes the proportions of the synthetic arm.
    """
    size = study.classifier.image_size
    public = load_image_set(study, "training", size)
    if arm in SYNTHETIC_ARMS:
        return _with_synthetic(public, [load_synthetic(study, label, fold, size) for label in LABELS])
    labels = np.asarray(public.labels)
    rows = np.arange(len(labels))
    if arm == "oversampled":
        made = study.synthesis.images_per_label
        generator = random_generator("cpu", study.seed, "classifier", seed, "oversampling")
        rows = np.concatenate((rows, drawn_again(labels, made, generator)))
    return TrainingFilms(np.asarray(public.images), labels, rows, public=len(labels))


def _with_synthetic(public: ImageSet, synthetic: list[ImageSet]) -> TrainingFilms:
    images = np.concatenate([public.images, *(films.images for films in synthetic)])
    labels = np.concatenate([public.labels, *(films.labels for films in synthetic)])
    return TrainingFilms(images, labels, np.arange(len(labels)), public=len(public))


def drawn_again(labels: np.ndarray, synthetic_per_label: int, generator: torch.Generator) -> np.ndarray:
    """Rows drawn with replacement from the label whose share the synthetic films would raise."""
    counts = np.bincount(labels, minlength=2)
    rare, common = (1, 0) if counts[1] <= counts[0] else (0, 1)
    share = (counts[rare] + synthetic_per_label) / (counts[common] + synthetic_per_label)
    additional = round(counts[common] * share) - counts[rare]
    candidates = np.flatnonzero(labels == rare)
    return candidates[torch.randint(len(candidates), (max(0, additional),), generator=generator).numpy()]
