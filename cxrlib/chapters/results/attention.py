"""How much of what classifiers look at lies inside the lungs: by answer, run by run, and before any training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from cxrlib.classifiers.arms import arm_of
from cxrlib.classifiers.explanation import attention_maps, attention_stage, mass_inside
from cxrlib.classifiers.network import PixelStatistics, build_classifier
from cxrlib.classifiers.prediction import load_classifier, predict_probabilities
from cxrlib.evaluation.resampled import ratios_of
from cxrlib.evaluation.suppression import few_of_both, is_small
from cxrlib.evaluation.uncertainty import divided
from cxrlib.films.images import MASK_KINDS, ImageSet, load_image_set, load_manifest, load_masks
from cxrlib.films.settings import LABELS
from cxrlib.reproducibility import pick_device, seed_for
from cxrlib.study import Study

# Enough for intervals of a few points; more films would cost more than the rest of the chapter.
OUTLINED_FILMS = 200
UNTRAINED = "untrained"
ATTENTION_COLUMNS = (
    "role", "arm", "label", "region", "films", "patients", "estimate", "low", "high", "chance", "untrained",
    "empty_maps", "suppressed",
)  # fmt: skip
RUN_COLUMNS = (
    "role", "arm", "seed", "label", "region", "answer", "films", "patients", "estimate", "empty_maps", "suppressed",
)  # fmt: skip

Report = Callable[[int, int], None] | None


def explained_arms(study: Study) -> list[str]:
    """The study's arms that have a network to look into; doses are left out."""
    return [arm for arm in study.classifier.arms if arm_of(arm).network]


@dataclass(frozen=True)
class Looker:
    """One finished model, or the arm's network before its training, and the stage at which it is looked into."""

    study: Study
    arm: str
    seed: int
    fold: str
    trained: bool = True

    @cached_property
    def _loaded(self) -> tuple[nn.Module, PixelStatistics]:
        network, statistics = load_classifier(self.study.results.classifier(self.arm, self.seed, self.fold))
        if not self.trained:
            name = (self.study.seed, "classifier", self.seed, "initialise")
            network = build_classifier(self.study.classifier, seed_for(*name), pick_device())
        return network.to(pick_device()), statistics

    @cached_property
    def _stage(self) -> tuple[nn.Module, int]:
        settings = self.study.classifier
        return attention_stage(self._loaded[0], settings.network, settings.image_size)

    @property
    def cells(self) -> int:
        return self._stage[1]

    def look(self, films: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (N,), and maps (N, S, S) of what spoke for each film's answer."""
        network, statistics = self._loaded
        p_positive = predict_probabilities(network, films, statistics)
        answers = (p_positive >= 0.5).astype(int).tolist()
        return p_positive, attention_maps(network, self._stage[0], films, statistics, answers)


@dataclass(frozen=True)
class _Seen:
    """What the runs of an arm looked at: `shares` of attention inside each region, float (runs, films), NaN where a map
    is all 0; `right`, bool (runs, films)."""

    shares: Mapping[str, np.ndarray]
    right: np.ndarray


def attention_tables(study: Study, progress: Report = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables `attention` and `attention_runs` of the hospital's films with outlines; empty if there are none."""
    films, masks = _outlined(study)
    if not len(films):
        return pd.DataFrame(columns=list(ATTENTION_COLUMNS)), pd.DataFrame(columns=list(RUN_COLUMNS))
    before = _seen_by(films, masks, [[Looker(study, "baseline", 0, study.classifier_folds("baseline")[0], False)]])
    rows, runs = [], list(_run_rows(UNTRAINED, films, before, masks))
    arms, done = explained_arms(study), 0
    models = sum(len(study.classifier_seeds(arm)) * len(study.classifier_folds(arm)) for arm in arms)

    def looked() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, models)

    for arm in arms:
        lookers = [
            [Looker(study, arm, seed, fold) for fold in study.classifier_folds(arm)]
            for seed in study.classifier_seeds(arm)
        ]
        seen = _seen_by(films, masks, lookers, looked)
        rows += [row for region in masks for row in _arm_rows(study, arm, region, films, seen, before, masks[region])]
        runs += _run_rows(arm, films, seen, masks)
    tables = pd.DataFrame(rows, columns=list(ATTENTION_COLUMNS)), pd.DataFrame(runs, columns=list(RUN_COLUMNS))
    everybody = load_manifest(study, "hospital")
    if not study.publishable("hospital") and few_of_both(everybody["patient_id"], everybody["label"]):
        for table in tables:
            table.loc[table["label"] == "negative", "patients"] = None
    return tables


def _outlined(study: Study) -> tuple[ImageSet, dict[str, np.ndarray]]:
    """Hospital films with outlines, drawn at random, and their masks by region."""
    hospital = load_image_set(study, "hospital", study.classifier.image_size)
    masks = {kind: load_masks(study, "hospital", study.classifier.image_size, kind) for kind in MASK_KINDS}
    known = {kind: np.asarray(array) for kind, array in masks.items() if array is not None}
    outlined = np.zeros(len(hospital), bool)
    for array in known.values():
        outlined |= array.any(axis=(1, 2))
    random = np.random.default_rng(seed_for(study.seed, "explanations", "outlined films"))
    rows = np.sort(random.permutation(np.flatnonzero(outlined))[:OUTLINED_FILMS])
    return hospital.select(rows), {kind: array[rows] for kind, array in known.items()}


def _seen_by(
    films: ImageSet, masks: Mapping[str, np.ndarray], runs: list[list[Looker]], looked: Callable[[], None] | None = None
) -> _Seen:
    """Each run's models look at the films that they judge: those of their fold."""
    shares = {kind: np.full((len(runs), len(films)), np.nan) for kind in masks}
    right = np.zeros((len(runs), len(films)), bool)
    for index, lookers in enumerate(runs):
        for looker in lookers:
            of_fold = (films.manifest["fold"] == looker.fold).to_numpy()
            judged = np.arange(len(films)) if looker.fold == "all" else np.flatnonzero(of_fold)
            p_positive, maps = looker.look(films.images[judged])
            right[index, judged] = (p_positive >= 0.5) == films.labels[judged]
            for kind, array in masks.items():
                shares[kind][index, judged] = mass_inside(maps, array[judged])
            if looked:
                looked()
    return _Seen(shares, right)


def _arm_rows(
    study: Study, arm: str, region: str, films: ImageSet, seen: _Seen, before: _Seen, masks: np.ndarray
) -> Iterator[dict[str, Any]]:
    """One row per label: the mean share over runs and films, its interval over patients and runs, beside the share of
    area and that before training."""
    shares, untrained = seen.shares[region], _mean(before.shares[region])
    area = (masks > 0).mean(axis=(1, 2))
    for label in LABELS:
        of_label = (films.manifest["label"] == label).to_numpy() & (area > 0)
        chosen = of_label & np.isfinite(shares).any(axis=0)
        if not chosen.any():
            continue
        names, patients = np.unique(films.manifest["patient_id"].to_numpy(str)[chosen], return_inverse=True)
        number = len(names)
        few = is_small(number)
        runs = tuple(study.run_of(arm, seed) for seed in study.classifier_seeds(arm))
        estimate, low, high = _interval(shares[:, chosen], patients, runs, seed_for(study.seed, "attention"))
        values = {"estimate": estimate, "low": low, "high": high, "chance": area[chosen].mean()}
        known = untrained[chosen][np.isfinite(untrained[chosen])]
        values["untrained"] = known.mean() if len(known) else np.nan
        counts = {
            "films": int(chosen.sum()), "patients": number,
            "empty_maps": int(np.isnan(shares[:, of_label]).sum()),
        }  # fmt: skip
        keys = {"role": "hospital", "arm": arm, "label": label, "region": region}
        empty = dict.fromkeys([*counts, *values], None)
        yield keys | (empty if few else counts | values) | {"suppressed": few}


def _interval(shares: np.ndarray, patients: np.ndarray, runs: tuple[int, ...], seed: int) -> tuple[float, float, float]:
    """Mean of shares (runs, films) with its 95 % interval over `patients` (films,) and runs; maps that are all 0 don't
    count."""
    known = np.isfinite(shares)
    kept = np.flatnonzero(known.any(axis=1))
    seeds, names = tuple(kept.tolist()), tuple(runs[number] for number in kept)
    top, bottom = (values[kept, :, None].astype(float) for values in (np.where(known, shares, 0.0), known))
    found = ratios_of(patients, seeds, names, top, bottom, seed=seed).intervals((0, 1))
    return float(found.estimates[0]), float(found.low[0]), float(found.high[0])


def _run_rows(arm: str, films: ImageSet, seen: _Seen, masks: Mapping[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    """One row per run, region, label and kind of answer that the run gave."""
    labels, patients = films.manifest["label"].to_numpy(str), films.manifest["patient_id"].to_numpy(str)
    for region, shares in seen.shares.items():
        there = (masks[region] > 0).any(axis=(1, 2))
        for seed, (share, right) in enumerate(zip(shares, seen.right, strict=True)):
            for label in LABELS:
                for answer, chosen in (("right", right), ("wrong", ~right)):
                    chosen = chosen & there & (labels == label)
                    known = chosen & np.isfinite(share)
                    if not chosen.any():
                        continue
                    number = len(np.unique(patients[chosen]))
                    few = is_small(number)
                    keys = {"role": "hospital", "arm": arm, "seed": seed, "label": label, "region": region}
                    values = {
                        "films": int(chosen.sum()), "patients": number,
                        "estimate": share[known].mean() if known.any() else np.nan,
                        "empty_maps": int(chosen.sum() - known.sum()),
                    }  # fmt: skip
                    kept = dict.fromkeys(values, None) if few else values
                    yield keys | {"answer": answer} | kept | {"suppressed": few}


def _mean(shares: np.ndarray) -> np.ndarray:
    """Mean over runs, (films,); NaN where every run's map is all 0."""
    seen = np.isfinite(shares)
    return divided(np.where(seen, shares, 0).sum(axis=0), seen.sum(axis=0))
