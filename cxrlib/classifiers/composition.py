"""The arms: which films each recipe trains on, and with which weights in the loss."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from cxrlib.classifiers.arms import Arm, arm_of
from cxrlib.errors import InputError
from cxrlib.films.held_out import held_out_rows
from cxrlib.films.images import ImageSet, count_synthetic, load_image_set, load_manifest, load_synthetic, resize_images
from cxrlib.films.settings import LABELS
from cxrlib.reproducibility import random_generator, seed_for
from cxrlib.study import Study

FILMS_PER_COPY = 256
# Half-width of the exchanged square of low frequencies, as a share of the film's width.
SPECTRUM_SHARE = 0.05


@dataclass(frozen=True)
class TrainingFilms:
    """uint8 films (M, S, S), their labels (M,) of 0 and 1, and the rows (N,) that make up one pass.

    `public` rows come first in `images`, then `synthetic` ones, then the hospital's; `rows` names a film more than
    once where an arm repeats films, or draws them with replacement. `label_weights` are the weights of the labels in
    the loss, whose mean over the rows is 1; None means no weights. `films_per_epoch` is how many films an epoch takes
    from one shuffled pass after another; None means one pass.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    public: int
    synthetic: int = 0
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
        return self._between(self.public, self.public + self.synthetic)

    def hospital_counts(self) -> dict[str, int]:
        """Hospital films of one pass by label."""
        return self._between(self.public + self.synthetic, len(self.labels))

    def _between(self, first: int, end: int) -> dict[str, int]:
        labels = self.labels[self.rows[(self.rows >= first) & (self.rows < end)]]
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

    `cxrlib.classifiers.arms` declares what each arm has. Of a dose, a random part of the synthetic films is taken, a
    part of what a larger dose draws with the same seed. Films drawn again for balance are drawn with replacement, as
    many as give the labels the proportions of the arm `synthetic`; weights in the loss do the same. Hospital films are
    those that the fold's generators learned from, label by label. Raises `InputError` if a label has no film.
    """
    recipe = arm_of(arm)
    public = (load_manifest(study, "training")["label"] == "positive").to_numpy(np.int64)
    generators = study.generators_of(arm, seed, fold)
    made = synthetic_counts(study, generators) if recipe.needs_synthetic else (0, 0)
    name = (study.seed, "classifier", seed)
    parts = [_public_part(study, recipe, seed, fold, public, made)] if recipe.public else []
    added = [_synthetic_part(study, recipe, seed, generators, label) for label in LABELS] if recipe.synthetic else []
    parts += added
    if recipe.hospital:
        room = [count - len(part.labels) for count, part in zip(made, added, strict=True)] if added else made
        shown = room if recipe.hospital == "repeated" else (None, None)
        parts += [_hospital_part(study, fold, label, count) for label, count in zip(LABELS, shown, strict=True)]
    labels = np.concatenate([part.labels for part in parts])
    _check_labels(study, arm, labels)
    rows = _rows_of(parts, name)
    if recipe.balance == "drawn":
        rows = np.concatenate((rows, drawn_again(labels, made, random_generator("cpu", *name, "oversampling"))))
    return TrainingFilms(
        _joined(parts, study.classifier.image_size),
        labels,
        rows,
        public=len(public) if recipe.public else 0,
        synthetic=sum(len(part.labels) for part in added),
        label_weights=label_weights(labels, made) if recipe.balance == "weighted" else None,
        films_per_epoch=len(public) if recipe.equal_steps else None,
    )


@dataclass(frozen=True)
class _Part:
    """Some of an arm's films: labels (N,), and a way to get at the films of which `rows` (N,) are taken.

    `shown` is how many an epoch has of them, with repetitions; None means each once. `change` is made on reading.
    """

    labels: np.ndarray
    rows: np.ndarray
    load: Callable[[], np.ndarray]
    shown: int | None = None
    change: Callable[[np.ndarray], np.ndarray] = np.asarray


def _public_part(study: Study, arm: Arm, seed: int, fold: str, labels: np.ndarray, made: tuple[int, int]) -> _Part:
    size = study.classifier.image_size
    change: Callable[[np.ndarray], np.ndarray] = np.asarray
    if arm.look:
        hospital = load_image_set(study, "hospital", size).select(learned_rows(study, fold)).images
        random = np.random.default_rng(seed_for(study.seed, "classifier", seed, "look", fold))
        change = partial(LOOKS[arm.look], hospital=hospital, random=random)
    shown = len(labels) + sum(made) if arm.repeated else None
    rows = np.arange(len(labels))
    return _Part(labels, rows, lambda: load_image_set(study, "training", size).images, shown, change)


def _hospital_part(study: Study, fold: str, label: str, shown: int | None) -> _Part:
    rows, size = learned_rows(study, fold, label), study.classifier.image_size
    labels = np.full(len(rows), LABELS.index(label), np.int64)
    return _Part(labels, rows, lambda: load_image_set(study, "hospital", size).images, shown)


def learned_rows(study: Study, fold: str, *labels: str) -> np.ndarray:
    """The hospital's rows (N,) that the fold's generators of these labels, or of all, learned from: films of patients
    outside the fold, without those that were held out to judge the generator."""
    manifest, rows = load_manifest(study, "hospital"), []
    for label in labels or LABELS:
        reach = np.flatnonzero(((manifest["label"] == label) & (manifest["fold"] != fold)).to_numpy())
        rows.append(reach[~held_out_rows(study, manifest.iloc[reach])])
    return np.concatenate(rows)


def rows_under_test(study: Study, role: str, fold: str) -> np.ndarray:
    """The rows (N,) of a holdout that a model of this fold judges: of the hospital's films those of the fold."""
    known = load_manifest(study, role)["fold"].to_numpy(str)
    return np.flatnonzero((known == fold) | (fold == "all") | (role != "hospital"))


def _rows_of(parts: Sequence[_Part], name: tuple[Any, ...]) -> np.ndarray:
    """The rows of one pass, over all parts one after the other."""
    rows, first = [], 0
    for index, part in enumerate(parts):
        films = np.arange(first, first + len(part.rows))
        if part.shown is not None:
            films = repeated(films, part.shown, random_generator("cpu", *name, "repeated", index))
        rows.append(films)
        first += len(part.rows)
    return np.concatenate(rows)


def repeated(rows: np.ndarray, count: int, generator: torch.Generator) -> np.ndarray:
    """So many rows, each as often as any other but for one; which ones come once more is drawn."""
    return np.resize(rows[torch.randperm(len(rows), generator=generator).numpy()], max(0, count))


def _synthetic_part(study: Study, arm: Arm, seed: int, fold: str, label: str) -> _Part:
    """The synthetic films of a label or, of a dose, a random part of them; a larger dose holds the smaller ones."""

    def load() -> ImageSet:
        return load_synthetic(study, label, fold, study.gan.resolution, rejected=False)

    labels = load().labels
    rows = np.arange(len(labels))
    if arm.synthetic < 100:
        purpose = (study.seed, "classifier", seed, "dose", label, fold)
        order = torch.randperm(len(labels), generator=random_generator("cpu", *purpose)).numpy()
        rows = np.sort(order[: max(1, round(len(labels) * arm.synthetic / 100))])
    return _Part(labels[rows], rows, lambda: load().images)


def _joined(parts: Sequence[_Part], size: int) -> np.ndarray:
    """One array of all films. The parts are read one after the other and a few hundred films at a time, since a
    concatenation of resized parts would hold everything twice."""
    images = np.empty((sum(len(part.rows) for part in parts), size, size), np.uint8)
    filled = 0
    for part in parts:
        films = part.load()
        for start in range(0, len(part.rows), FILMS_PER_COPY):
            chunk = films[part.rows[start : start + FILMS_PER_COPY]]
            chunk = chunk if chunk.shape[1] == size else resize_images(chunk, size)
            images[filled : filled + len(chunk)] = part.change(chunk)
            filled += len(chunk)
    return images


def _check_labels(study: Study, arm: str, labels: np.ndarray) -> None:
    for value, label in enumerate(LABELS):
        if not (labels == value).any():
            raise InputError(
                f"{study.results.root}: arm `{arm}`: found {len(labels)} training films, none of them {label}; a "
                f"classifier needs both labels: check `data.training` in the study file and its labels"
            )


def synthetic_counts(study: Study, fold: str) -> tuple[int, int]:
    """Synthetic films of either label, negative and positive, that arms of this fold learn from."""
    negative, positive = (count_synthetic(study, label, fold) for label in LABELS)
    return negative, positive


def synthetic_share(labels: np.ndarray, synthetic: tuple[int, int]) -> float:
    """Share of positives among these films and so many synthetic ones, negative and positive."""
    counts = np.bincount(labels, minlength=2) + synthetic
    return float(counts[1] / counts.sum())


def label_weights(labels: np.ndarray, synthetic: tuple[int, int]) -> tuple[float, float]:
    """Weights of negative and positive films in the loss.

    Weighted by them, the labels have the proportions that they have in the synthetic arm, with so many synthetic films,
    and the mean weight over the films is 1, so that learning rates mean what they mean in the other arms.
    """
    positives = synthetic_share(labels, synthetic)
    counts = np.bincount(labels, minlength=2)
    return (
        float((1 - positives) * counts.sum() / counts[0]),
        float(positives * counts.sum() / counts[1]),
    )


def drawn_again(labels: np.ndarray, synthetic: tuple[int, int], generator: torch.Generator) -> np.ndarray:
    """Rows drawn with replacement from the label whose share so many synthetic films would raise."""
    counts = np.bincount(labels, minlength=2)
    rare, common = (1, 0) if counts[1] <= counts[0] else (0, 1)
    share = (counts[rare] + synthetic[rare]) / (counts[common] + synthetic[common])
    additional = round(counts[common] * share) - counts[rare]
    candidates = np.flatnonzero(labels == rare)
    return candidates[torch.randint(len(candidates), (max(0, additional),), generator=generator).numpy()]


def match_grey_levels(films: np.ndarray, hospital: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each film with the grey-level histogram of a hospital film drawn at random; uint8 (N, S, S) both in and out.

    Every grey level becomes the level of the same rank in the other film, so that the order of levels stays.
    """
    matched = np.empty_like(films)
    for index, film in enumerate(films):
        reference = hospital[random.integers(len(hospital))]
        ranks, wanted = (np.cumsum(np.bincount(pixels.ravel(), minlength=256)) for pixels in (film, reference))
        # Counts are whole numbers, so that a film matched to itself stays as it is.
        levels = np.searchsorted(wanted * film.size, ranks * reference.size)
        matched[index] = levels.astype(np.uint8)[film]
    return matched


def match_amplitudes(films: np.ndarray, hospital: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Each film with the low-frequency amplitudes of a hospital film drawn at random, its own phases kept.

    uint8 (N, S, S) both in and out. This is the Fourier domain adaptation of Yang and Soatto (CVPR 2020).
    """
    matched = np.empty_like(films)
    reach = max(1, round(SPECTRUM_SHARE * films.shape[1]))
    rows = np.abs(np.fft.fftfreq(films.shape[1], 1 / films.shape[1])) <= reach
    low = np.ix_(rows, np.arange(films.shape[1] // 2 + 1) <= reach)
    for index, film in enumerate(films):
        spectrum = np.fft.rfft2(film.astype(np.float64))
        other = np.fft.rfft2(hospital[random.integers(len(hospital))].astype(np.float64))
        spectrum[low] = np.abs(other[low]) * np.exp(1j * np.angle(spectrum[low]))
        matched[index] = np.fft.irfft2(spectrum, film.shape).round().clip(0, 255).astype(np.uint8)
    return matched


LOOKS: Mapping[str, Callable[..., np.ndarray]] = {
    "grey levels": match_grey_levels,
    "amplitudes": match_amplitudes,
}
