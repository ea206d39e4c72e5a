"""What the classifiers looked at: failures, a real and a synthetic positive, and how much of it lies in the lungs."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from cxrlib.artifacts import atomic_path, read_json, write_csv, write_record, write_table
from cxrlib.chapters.stand_ins import stand_ins
from cxrlib.classifiers.arms import arm_of
from cxrlib.classifiers.explanation import attention_maps, attention_stage, mass_inside
from cxrlib.classifiers.network import PixelStatistics
from cxrlib.classifiers.prediction import load_classifier, predict_probabilities, read_predictions
from cxrlib.errors import InputError
from cxrlib.evaluation.shares import mean_over_films
from cxrlib.evaluation.suppression import is_small
from cxrlib.films.images import (
    MASK_KINDS,
    ImageSet,
    films_identity,
    load_image_set,
    load_masks,
    load_synthetic,
)
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.publishing.guard import near_copies
from cxrlib.reproducibility import deterministic, pick_device, seed_for
from cxrlib.stages import makes
from cxrlib.study import Study

FAILURES_SHOWN = 6
# Of these Figure 2 takes the first that is no near copy of a film that may not be shown.
SYNTHETIC_TRIED = 16
# Enough for intervals of a few points; more films would cost more than the rest of the chapter.
OUTLINED_FILMS = 200
ATTENTION_COLUMNS = (
    "role", "arm", "label", "region", "films", "patients", "estimate", "low", "high", "chance", "suppressed",
)  # fmt: skip
SHOWN_COLUMNS = ("panel", "arm", "source", "origin", "label", "p_positive", "answer")

Report = Callable[[int, int], None] | None


@makes("explanations")
def explain_study(study: Study, *, force: bool = False, progress: Report = None) -> dict[str, Any]:
    """Write what the classifiers looked at, by Grad-CAM, and return the record.

    `tables/attention.csv`: per arm and label, the share of attention inside the lungs (and inside opacities, where
    they are known), with its interval over patients, beside the share of the film's area that they take, which chance
    would give. `explanations/`: films.csv, films.npy and maps.npy, the films that figures show, with what the
    classifier answered and looked at; no films of a role that may not be published, and no ids of any. Last, the record
    explanations.json.

    `progress(models_done, models)` is called after each model. Raises `InputError` where a model is missing.
    """
    started = time.perf_counter()
    settings, inputs = _what_decides_explanations(study)
    record = study.results.explanations_record
    with deterministic(study.threads_per_job):
        attention = pd.DataFrame(list(_attention_rows(study, progress)), columns=list(ATTENTION_COLUMNS))
        shown = [*_failures(study), *_figure_two(study)]
    folder = record.parent
    size = study.classifier.image_size
    films = np.stack([row.film for row in shown]) if shown else np.zeros((0, size, size), np.uint8)
    maps = np.stack([row.attention for row in shown]) if shown else np.zeros((0, size, size), np.float32)
    for name, array in (("films", films), ("maps", maps)):
        with atomic_path(folder / f"{name}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
    rows = [[getattr(row, column) for column in SHOWN_COLUMNS] for row in shown]
    write_csv(folder / "films.csv", pd.DataFrame(rows, columns=list(SHOWN_COLUMNS)))
    write_table(study.results.table("attention"), attention)
    facts = {
        "arm": shown_arm(study),
        "cells": _Looker(study, "baseline", 0, study.classifier_folds("baseline")[0]).cells,
    }
    outputs = [study.results.table("attention"), *(folder / name for name in ("films.csv", "films.npy", "maps.npy"))]
    write_record(record, settings, inputs, time.perf_counter() - started, outputs=outputs, **facts)
    return read_json(record)


def shown_arm(study: Study) -> str:
    """The arm whose answers are looked at film by film: one with synthetic films, without leakage if possible."""
    fair = [arm for arm in explained_arms(study) if arm_of(arm).synthetic]
    return max(fair, key=lambda arm: (arm_of(arm).crossfitted, arm_of(arm).public), default="baseline")


def explained_arms(study: Study) -> list[str]:
    """The study's arms that have a network to look into; doses are left out."""
    return [arm for arm in study.classifier.arms if arm_of(arm).network]


@dataclass(frozen=True)
class ShownFilm:
    """A film uint8 (S, S) with an arm's answer and its map of attention, float32 (S, S)."""

    panel: str
    arm: str
    source: str
    origin: str
    label: str
    p_positive: float
    film: np.ndarray
    attention: np.ndarray

    @property
    def answer(self) -> str:
        return LABELS[int(self.p_positive >= 0.5)]


@dataclass(frozen=True)
class _Looker:
    """One finished model and the stage at which it is looked into."""

    study: Study
    arm: str
    seed: int
    fold: str

    @cached_property
    def _loaded(self) -> tuple[nn.Module, PixelStatistics]:
        network, statistics = load_classifier(self.study.results.classifier(self.arm, self.seed, self.fold))
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


def _attention_rows(study: Study, progress: Report) -> Iterator[dict[str, Any]]:
    """Rows of attention.csv for the hospital's films, from every seed of every arm."""
    hospital = load_image_set(study, "hospital", study.classifier.image_size)
    masks = {kind: load_masks(study, "hospital", study.classifier.image_size, kind) for kind in MASK_KINDS}
    known = {kind: array for kind, array in masks.items() if array is not None}
    outlined = np.zeros(len(hospital), bool)
    for array in known.values():
        outlined |= np.asarray(array).any(axis=(1, 2))
    rows = _drawn(np.flatnonzero(outlined), OUTLINED_FILMS, study.seed)
    films = hospital.select(rows)
    arms, done = explained_arms(study), 0
    models = sum(len(study.classifier_seeds(arm)) * len(study.classifier_folds(arm)) for arm in arms)
    for arm in arms if len(films) else ():
        shares = {kind: np.full((len(study.classifier_seeds(arm)), len(films)), np.nan) for kind in known}
        for index, seed in enumerate(study.classifier_seeds(arm)):
            for fold in study.classifier_folds(arm):
                judged = _judged_by(films, fold)
                _, maps = _Looker(study, arm, seed, fold).look(films.images[judged])
                for kind, array in known.items():
                    shares[kind][index, judged] = mass_inside(maps, np.asarray(array)[rows[judged]])
                done += 1
                if progress:
                    progress(done, models)
        for kind, array in known.items():
            yield from _rows_of(study, arm, kind, films, shares[kind], np.asarray(array)[rows])


def _judged_by(films: ImageSet, fold: str) -> np.ndarray:
    if fold == "all":
        return np.arange(len(films))
    return np.flatnonzero((films.manifest["fold"] == fold).to_numpy())


def _drawn(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed_for(seed, "explanations", "outlined films"))
    return np.sort(random.permutation(rows)[:count])


def _rows_of(
    study: Study, arm: str, region: str, films: ImageSet, shares: np.ndarray, masks: np.ndarray
) -> Iterator[dict[str, Any]]:
    """One row per label: the mean share over seeds and films, beside the share of area."""
    seen = np.isfinite(shares)
    mean = np.divide(
        np.where(seen, shares, 0).sum(axis=0), seen.sum(axis=0), out=np.full(len(films), np.nan), where=seen.any(axis=0)
    )
    area = (masks > 0).mean(axis=(1, 2))
    for label in LABELS:
        chosen = (films.manifest["label"] == label).to_numpy() & (area > 0) & np.isfinite(mean)
        if not chosen.any():
            continue
        patients = films.manifest["patient_id"].to_numpy(str)[chosen]
        number = len(np.unique(patients))
        few = is_small(number)
        found = mean_over_films(mean[chosen], patients, seed=seed_for(study.seed, "attention"))
        values = {"estimate": found.estimate, "low": found.low, "high": found.high, "chance": area[chosen].mean()}
        counts = {"films": int(chosen.sum()), "patients": number}
        keys = {"role": "hospital", "arm": arm, "label": label, "region": region}
        empty = dict.fromkeys([*counts, *values], None)
        yield keys | (empty if few else counts | values) | {"suppressed": few}


def _failures(study: Study) -> Iterator[ShownFilm]:
    """False negatives and false positives of the shown arm's first seed, the most confident first."""
    if not study.publishable("hospital"):
        return
    arm = shown_arm(study)
    hospital = load_image_set(study, "hospital", study.classifier.image_size)
    row_of = {image_id: row for row, image_id in enumerate(hospital.manifest["image_id"].astype(str))}
    tables = [read_predictions(study.results.predictions(arm, 0, fold)) for fold in study.classifier_folds(arm)]
    answers = pd.concat(
        table[table["role"] == "hospital"].assign(fold=fold)
        for table, fold in zip(tables, study.classifier_folds(arm), strict=True)
    ).sort_values(["p_positive", "image_id"])
    negatives, positives = (answers[answers["label"] == label] for label in LABELS)
    missed = positives[positives["p_positive"] < 0.5].head(FAILURES_SHOWN).assign(panel="false negative")
    alarms = negatives[negatives["p_positive"] >= 0.5].tail(FAILURES_SHOWN)[::-1].assign(panel="false positive")
    chosen = pd.concat([missed, alarms], ignore_index=True)
    found: dict[int, ShownFilm] = {}
    for fold, part in chosen.groupby("fold"):
        films = np.array(hospital.images[[row_of[image_id] for image_id in part["image_id"]]])
        for row, p_positive, film, seen in zip(part.itertuples(), *_looked(study, arm, str(fold), films), strict=True):
            origin = _origin(study, "hospital")
            found[row.Index] = ShownFilm(row.panel, arm, "hospital", origin, row.label, p_positive, film, seen)
    yield from (found[index] for index in sorted(found))


def _looked(study: Study, arm: str, fold: str, films: np.ndarray) -> tuple[list[float], np.ndarray, np.ndarray]:
    """What the first seed's model answers, the films, and what it looked at."""
    p_positive, maps = _Looker(study, arm, 0, fold).look(films)
    return p_positive.tolist(), films, maps


def _figure_two(study: Study) -> Iterator[ShownFilm]:
    """A real positive (or what stands for it) and a synthetic one, each judged by the baseline and the shown arm."""
    real, source, origin, fold = _real_positive(study)
    synthetic = load_synthetic(study, "positive", "all", study.classifier.image_size).images
    drawn = np.random.default_rng(seed_for(study.seed, "figure two", "synthetic")).permutation(len(synthetic))
    tried = np.array(synthetic[drawn[:SYNTHETIC_TRIED]])
    shown = np.flatnonzero(~near_copies(study, tried))
    if not len(shown):
        raise InputError(
            f"{study.results.synthetic('positive', 'all')}: all {len(tried)} films drawn are near "
            "copies of films that may not be published; these generators repeat their films: train them less long"
        )
    films = np.stack([real, tried[shown[0]]])
    for arm in dict.fromkeys(("baseline", shown_arm(study))):
        folds = study.classifier_folds(arm)
        answers = zip(*_looked(study, arm, fold if fold in folds else folds[0], films), strict=True)
        for facts, answer in zip((("real", source, origin), ("synthetic",) * 3), answers, strict=True):
            panel, *where = facts
            yield ShownFilm(panel, arm, *where, "positive", *answer)


def _real_positive(study: Study) -> tuple[np.ndarray, str, str, str]:
    """A positive film drawn at random, its source ("hospital", …), its origin, and the hospital's fold it belongs to.

    The hospital's if it may be shown, else a public one, else a simulated stand-in.
    """
    size = study.classifier.image_size
    random = np.random.default_rng(seed_for(study.seed, "figure two", "real"))
    for role in ("hospital", "validation", "training"):
        if study.publishable(role):
            films = load_image_set(study, role, size)
            row = random.choice(np.flatnonzero(films.labels))
            return np.array(films.images[row]), role, _origin(study, role), str(films.manifest["fold"].iloc[row])
    return stand_ins(study, "hospital", "positive", 1, size)[0], "stand-in", "simulated", ""


def _origin(study: Study, role: str) -> str:
    return "simulated" if study.data.source(role).reader == "phantom" else "real"


def _what_decides_explanations(study: Study) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = {
        "study_seed": study.seed,
        "arms": explained_arms(study),
        "seeds": study.classifier.seeds,
        "publishable": [role for role in ROLES if study.publishable(role)],
        "films": {"failures": FAILURES_SHOWN, "outlined": OUTLINED_FILMS},
    }
    inputs: dict[str, Any] = {}
    for arm in explained_arms(study):
        for seed in study.classifier_seeds(arm):
            for fold in study.classifier_folds(arm):
                record = study.results.classifier_record(arm, seed, fold)
                if not record.exists():
                    raise InputError(
                        f"{record.parent}: no finished classifier; train it first (`cxr train-classifier "
                        f"{study.name} --arm {arm} --seed {seed} --fold {fold}`), or make all with `cxr report`"
                    )
                inputs[f"{arm}/seed{seed}/{fold}"] = read_json(record)["model_sha256"]
    inputs["synthetic positive"] = read_json(study.results.synthetic_record("positive", "all"))["images_sha256"]
    inputs["hospital"] = films_identity(study, "hospital", study.classifier.image_size)
    return settings, inputs
