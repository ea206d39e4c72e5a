"""Shortcuts: what tells the label of a film without a look at the lungs.

Two of them, each as plain as can be: a rule that knows only the source of a film, and a logistic regression that sees
only the film's borders. What they get right owes nothing to disease, so a network can get it right the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxrlib.reproducibility import seed_for

# Films are averaged to a grid of so many cells a side before their borders are read; the ring is so many cells wide.
GRID = 32
RING = 4
# A cell is no border if the lungs of more than this share of films touch it (where every film's lungs are known, and
# where only some are, so that the ring decides).
LUNG_SHARE, LUNG_SHARE_IF_SOME = 0.01, 0.10
# Ridge: inverse strength of the penalty on standardised grey values. Fixed, so that nothing is tuned.
INVERSE_PENALTY = 0.01
PARTS = 5
FILMS_AT_ONCE = 512


@dataclass(frozen=True)
class SourceRule:
    """Knows how many films of each source were negative and positive; the entry "" counts all films.

    A source's share of positives has Laplace's correction, (positive + 1) / (films + 2), so that no source is certain.
    A source that is not known has the share among all films.
    """

    counts: Mapping[str, tuple[int, int]]

    def share(self, source: str) -> float:
        """Probability of `positive` that a source suggests."""
        negative, positive = self.counts.get(source, self.counts[""])
        return (positive + 1) / (negative + positive + 2)

    def predict(self, sources: Sequence[str]) -> np.ndarray:
        """float64 (N,): the probability of `positive` that each film's source alone suggests."""
        names, rows = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
        return np.array([self.share(name) for name in names.tolist()], dtype=float)[rows]

    def knows(self, sources: Sequence[str]) -> np.ndarray:
        """bool (N,): whether the rule has seen the source."""
        return np.array([bool(source) and source in self.counts for source in sources], dtype=bool)


def fit_source_rule(sources: Sequence[str], labels: np.ndarray) -> SourceRule:
    """Count films per source; labels are 0 or 1, an empty source counts as not known."""
    of_films = np.asarray(sources, dtype=object)
    chosen = {source: labels[of_films == source] for source in sorted(set(of_films) - {""})} | {"": labels}
    return SourceRule({source: (int((of == 0).sum()), int((of == 1).sum())) for source, of in chosen.items()})


@dataclass(frozen=True)
class BorderRule:
    """Ridge-penalised logistic regression on standardised border cells: weights per cell, and a constant."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    constant: float

    def predict(self, cells: np.ndarray) -> np.ndarray:
        """float64 (N,): probability of `positive` from border cells (N, cells)."""
        logits = ((cells - self.mean) / self.scale) @ self.weights + self.constant
        return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def fit_border_rule(cells: np.ndarray, labels: np.ndarray) -> BorderRule:
    """Learn labels (0 or 1) from border cells, float (N, cells); the labels weigh alike however rare one is."""
    from sklearn.linear_model import LogisticRegression

    mean, deviation = cells.mean(axis=0), cells.std(axis=0)
    scale = np.where(deviation > 1e-6, deviation, 1.0)
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
    model.fit((cells - mean) / scale, labels)
    return BorderRule(mean, scale, model.coef_[0], float(model.intercept_[0]))


def border_cells(images: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Grey values of the border, uint8 films (N, S, S) to float32 (N, cells); `region` as of `border_region`."""
    return _in_blocks(images, lambda films: _grid_means(films)[:, region])


def border_region(lungs: Mapping[str, np.ndarray | None]) -> np.ndarray:
    """Which cells of the grid count as border, bool (GRID, GRID); `lungs` are masks of each role, uint8 (N, S, S).

    Where every role's lungs are known: what lies outside them in (nearly) all films; what lies between the lungs
    is no border either. Where they are not known everywhere: an outer ring, less what known lungs often reach.
    The region is the same for all films, so that the shape of a patient's lungs can't be read from it.
    """
    known = [_lung_shares(masks) for masks in lungs.values() if masks is not None]
    complete = len(known) == len(lungs) and all(everywhere for _, everywhere in known)
    region = np.ones((GRID, GRID), bool)
    if not complete:
        region[RING:-RING, RING:-RING] = False
    for share, _ in known:
        inside = share > (LUNG_SHARE if complete else LUNG_SHARE_IF_SOME)
        between = np.logical_or.accumulate(inside, axis=1) & np.logical_or.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
        region &= ~(between if complete else inside)
    return region


def lung_share_of(region: np.ndarray, lungs: np.ndarray) -> float:
    """Share of the border's area that is lung after all, in the films whose lungs are known; NaN where none are."""
    known = np.flatnonzero(np.asarray(lungs).any(axis=(1, 2)))
    if not len(known):
        return float("nan")
    return float(_in_blocks(np.asarray(lungs)[known] * 255, lambda masks: _grid_means(masks)[:, region]).mean() / 255)


def parts_of_patients(labels: np.ndarray, patients: np.ndarray, *seed: object) -> np.ndarray | None:
    """Deal films into parts so that no patient is in two, int64 (N,); None where a label has a single patient."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels, patients = np.asarray(labels), np.asarray(patients)
    fewest = min(len(set(patients[labels == label])) for label in (0, 1))
    if fewest < 2:
        return None
    splitter = StratifiedGroupKFold(min(PARTS, fewest), shuffle=True, random_state=seed_for("parts", *seed) % 2**32)
    part = np.zeros(len(labels), dtype=np.int64)
    for number, (_, test) in enumerate(splitter.split(labels, labels, patients)):
        part[test] = number
    return part


def cross_predict(
    learn: Callable[[np.ndarray, np.ndarray], SourceRule | BorderRule], given: np.ndarray, labels: np.ndarray,
    part: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Predict each part of the films by a rule learned on the others, float64 (N,)."""
    p_positive = np.empty(len(labels))
    for number in np.unique(part):
        test = part == number
        p_positive[test] = learn(given[~test], labels[~test]).predict(given[test])
    return p_positive


def _lung_shares(masks: np.ndarray) -> tuple[np.ndarray, bool]:
    """Share of the films with known lungs whose lungs touch each cell, and whether all films' lungs are known."""
    touched = _in_blocks(masks, lambda block: _grid_means(block * np.uint8(255)) > 0)
    known = touched.any(axis=(1, 2))
    return (touched[known].mean(axis=0) if known.any() else np.zeros((GRID, GRID))), bool(known.all())


def _grid_means(films: np.ndarray) -> np.ndarray:
    """uint8 (n, S, S) averaged to float32 (n, GRID, GRID)."""
    from PIL import Image

    count, size, _ = films.shape
    if size % GRID == 0:
        step = size // GRID
        return films.reshape(count, GRID, step, GRID, step).mean(axis=(2, 4), dtype=np.float32)
    floats = (Image.fromarray(film.astype(np.float32)) for film in films)
    return np.stack([np.asarray(film.resize((GRID, GRID), Image.Resampling.BOX)) for film in floats])


def _in_blocks(films: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The function of films mapped from disk, a block at a time, so that memory stays bounded."""
    starts = range(0, len(films), FILMS_AT_ONCE)
    return np.concatenate([function(np.asarray(films[start : start + FILMS_AT_ONCE])) for start in starts])
