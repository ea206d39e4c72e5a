"""The arms: which films each recipe trains on, and with which weights in the loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cxrlib.classifier.settings import synthetic_percent
from cxrlib.data.images import load_image_set, load_synthetic
from cxrlib.data.settings import LABELS
from cxrlib.errors import InputError
from cxrlib.reproducibility import random_generator
from cxrlib.study import Study

# Arms that train on the public films and all the synthetic ones.
SYNTHETIC_ARMS = ("synthetic", "synthetic-crossfit")
# Arms of public films only that imitate the proportions of the labels in the synthetic arm.
REBALANCED_ARMS = ("oversampled", "class-weighted")
FILMS_PER_COPY = 256


@dataclass(frozen=True)
class TrainingFilms:
    """uint8 films (M, S, S), their labels (M,) of 0 and 1, and the rows (N,) that make up one pass.

    `public` rows come first in `images`, synthetic ones after them; `rows` names a film more than once where an arm
    draws with replacement. `label_weights` are the weights of the labels in the loss, whose mean over the rows is 1;
    None means no weights. `films_per_epoch` is how many films an epoch takes from one shuffled pass after another;
    None means one pass.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    public: int
    label_weights: tuple[float, float] | None = None
    films_per_epoch: int | None = None

    @property
    def epoch_films(self) -> int:
        return len(self.rows) if self.films_per_epoch is None else self.films_per_epoch

    def counts(self) -> dict[str, int]:
        """Films of one pass by label."""
        return {label: int((self.labels[self.rows] == value).sum()) for value, label in enumerate(LABELS)}

    def synthetic_counts(self) -> dict[str, int]:
        """Synthetic films of one pass by label."""
        labels = self.labels[self.rows[self.rows >= self.public]]
        return {label: int((labels == value).sum()) for value, label in enumerate(LABELS)}


def check_arm(study: Study, arm: str, seed: int, fold: str) -> None:
    """Raises `InputError` if the study has no such model."""
    if arm not in study.classifier_arms:
        raise InputError(f"arm: found `{arm}`, expected one of the study's arms: {', '.join(study.classifier_arms)}")
    seeds = study.classifier_seeds(arm)
    if seed not in seeds:
        expected = f"0 to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}, the only one of arm `{arm}`"
        raise InputError(f"seed: found {seed}, expected {expected}")
    folds = study.classifier_folds(arm)
    if fold not in folds:
        raise InputError(f"fold: found `{fold}`, but arm `{arm}` has models for: {', '.join(folds)}")


def compose_training_films(study: Study, arm: str, seed: int, fold: str) -> TrainingFilms:
    """The films that this arm's model of `fold` trains on.

    `baseline`: the public films. `synthetic`: besides, the synthetic films of generators trained on every hospital
    patient. `synthetic-crossfit`: besides, those of the generators that never saw the patients of `fold`;
    `synthetic-dose25`: besides, a random 25 % of these, a part of what a larger dose draws with the same seed.
    `synthetic-only`: these alone. `oversampled`: the public films, and of the label that is too rare as many again,
    drawn with replacement, as give the classes the proportions of the synthetic arm. `class-weighted`: the public
    films, and weights in the loss that do the same. Raises `InputError` if a label has no film.
    """
    size = study.classifier.image_size
    public = load_image_set(study, "training", size)
    made = study.synthesis.images_per_label
    parts = [] if arm == "synthetic-only" else [(np.asarray(public.labels), public.images, None)]
    if synthetic_percent(arm):
        parts += [_synthetic_part(study, arm, seed, fold, label) for label in LABELS]
    images, labels = _joined(parts, size)
    rows = np.arange(len(labels))
    _check_labels(study, arm, labels)
    if arm == "oversampled":
        generator = random_generator("cpu", study.seed, "classifier", seed, "oversampling")
        rows = np.concatenate((rows, drawn_again(labels, made, generator)))
    return TrainingFilms(
        images,
        labels,
        rows,
        public=0 if arm == "synthetic-only" else len(public),
        label_weights=label_weights(labels, made) if arm == "class-weighted" else None,
        films_per_epoch=len(public) if study.classifier.steps == "equal" else None,
    )


Part = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _synthetic_part(study: Study, arm: str, seed: int, fold: str, label: str) -> Part:
    """Labels, films and, of a dose, the rows that are taken."""
    films = load_synthetic(study, label, fold, study.classifier.image_size)
    percent = synthetic_percent(arm)
    if percent == 100:
        return films.labels, films.images, None
    purpose = (study.seed, "classifier", seed, "dose", label, fold)
    order = torch.randperm(len(films), generator=random_generator("cpu", *purpose)).numpy()
    chosen = np.sort(order[: max(1, round(len(films) * percent / 100))])
    return films.labels[chosen], films.images, chosen


def _joined(parts: Sequence[Part], size: int) -> tuple[np.ndarray, np.ndarray]:
    """One array of all films, filled a few hundred at a time, since a concatenation holds everything twice."""
    labels = np.concatenate([labels for labels, _, _ in parts])
    images = np.empty((len(labels), size, size), np.uint8)
    filled = 0
    for chosen_labels, films, chosen in parts:
        for start in range(0, len(chosen_labels), FILMS_PER_COPY):
            stop = min(start + FILMS_PER_COPY, len(chosen_labels))
            wanted = slice(start, stop) if chosen is None else chosen[start:stop]
            images[filled + start : filled + stop] = films[wanted]
        filled += len(chosen_labels)
    return images, labels


def _check_labels(study: Study, arm: str, labels: np.ndarray) -> None:
    for value, label in enumerate(LABELS):
        if not (labels == value).any():
            raise InputError(
                f"{study.results.root}: arm `{arm}`: found {len(labels)} training films, none of them {label}; a "
                f"classifier needs both labels: check `data.training` in the study file and its labels"
            )


def synthetic_share(labels: np.ndarray, synthetic_per_label: int) -> float:
    """Share of positives among these films and as many synthetic ones of each label."""
    counts = np.bincount(labels, minlength=2)
    return float((counts[1] + synthetic_per_label) / (counts.sum() + 2 * synthetic_per_label))


def label_weights(labels: np.ndarray, synthetic_per_label: int) -> tuple[float, float]:
    """Weights of negative and positive films in the loss.

    Weighted by them, the labels have the proportions that they have in the synthetic arm, and the mean weight over
    the films is 1, so that learning rates mean what they mean in the other arms.
    """
    positives = synthetic_share(labels, synthetic_per_label)
    counts = np.bincount(labels, minlength=2)
    return (
        float((1 - positives) * counts.sum() / counts[0]),
        float(positives * counts.sum() / counts[1]),
    )


def drawn_again(labels: np.ndarray, synthetic_per_label: int, generator: torch.Generator) -> np.ndarray:
    """Rows drawn with replacement from the label whose share the synthetic films would raise."""
    counts = np.bincount(labels, minlength=2)
    rare, common = (1, 0) if counts[1] <= counts[0] else (0, 1)
    share = (counts[rare] + synthetic_per_label) / (counts[common] + synthetic_per_label)
    additional = round(counts[common] * share) - counts[rare]
    candidates = np.flatnonzero(labels == rare)
    return candidates[torch.randint(len(candidates), (max(0, additional),), generator=generator).numpy()]
