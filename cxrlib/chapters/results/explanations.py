"""What the classifiers looked at: failures, a real and a synthetic positive, and how much of it lies in the lungs."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.chapters.results.attention import Looker, Report, attention_tables, explained_arms
from cxrlib.chapters.results.explanation_figures import LookedAt
from cxrlib.chapters.stand_ins import stand_ins
from cxrlib.chapters.words import origin, synthetic_origin
from cxrlib.classifiers.arms import arm_of
from cxrlib.classifiers.prediction import read_predictions
from cxrlib.errors import InputError
from cxrlib.files import atomic_path, read_json, write_csv, write_table
from cxrlib.films.images import load_image_set, load_synthetic
from cxrlib.films.settings import LABELS
from cxrlib.finished import makes
from cxrlib.publishing.guard import near_copies
from cxrlib.records import write_record
from cxrlib.reproducibility import deterministic, seed_for
from cxrlib.study import Study

FAILURES_SHOWN = 6
# Of these Figure 2 takes the first that is no near copy of a film that may not be shown.
SYNTHETIC_TRIED = 16
FAILURES = {
    "false negative": "positive films that were called negative, the surest first",
    "false positive": "negative films that were called positive, the surest first",
}
SHOWN_COLUMNS = ("panel", "arm", "source", "origin", "label", "p_positive", "answer")


@makes("explanations")
def explain_study(study: Study, *, force: bool = False, progress: Report = None) -> dict[str, Any]:
    """Write what the classifiers looked at, by Grad-CAM, and return the record.

    `tables/attention.csv`: per arm and label, the share of attention inside the lungs (and inside opacities, where
    they are known), with its interval over patients, beside the share of the film's area that they take and the share
    that a network before its training gives. `tables/attention_runs.csv`: the same of every run, for right and for
    wrong answers. `explanations/`: films.csv, films.npy and maps.npy, the films that figures show, with what the
    classifier answered and looked at; no films of a role that may not be published, and no ids of any. Last, the record
    explanations.json.

    `progress(models_done, models)` is called after each model. Raises `InputError` where a model is missing.
    """
    started = time.perf_counter()
    record = study.results.explanations_record
    with deterministic(study.threads_per_job):
        attention, runs = attention_tables(study, progress)
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
    write_table(study.results.table("attention_runs"), runs)
    facts = {
        "arm": shown_arm(study),
        "cells": Looker(study, "baseline", 0, study.classifier_folds("baseline")[0]).cells,
    }
    tables = (study.results.table(name) for name in ("attention", "attention_runs"))
    outputs = [*tables, *(folder / name for name in ("films.csv", "films.npy", "maps.npy"))]
    write_record(record, {}, {}, time.perf_counter() - started, outputs=outputs, **facts)
    return read_json(record)


def shown_arm(study: Study) -> str:
    """The arm whose answers are looked at film by film: one with synthetic films, without leakage if possible."""
    fair = [arm for arm in explained_arms(study) if arm_of(arm).synthetic]
    return max(fair, key=lambda arm: (arm_of(arm).crossfitted, arm_of(arm).public), default="baseline")


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
            kind = _origin(study, "hospital")
            found[row.Index] = ShownFilm(row.panel, arm, "hospital", kind, row.label, p_positive, film, seen)
    yield from (found[index] for index in sorted(found))


def _looked(study: Study, arm: str, fold: str, films: np.ndarray) -> tuple[list[float], np.ndarray, np.ndarray]:
    """What the first seed's model answers, the films, and what it looked at."""
    p_positive, maps = Looker(study, arm, 0, fold).look(films)
    return p_positive.tolist(), films, maps


def _figure_two(study: Study) -> Iterator[ShownFilm]:
    """A real positive (or what stands for it) and a synthetic one, each judged by the baseline and the shown arm."""
    real, source, kind, fold = _real_positive(study)
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
        for facts, answer in zip((("real", source, kind), ("synthetic",) * 3), answers, strict=True):
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
    return "simulated" if study.data.simulated(role) else "real"


def failure_rows(study: Study) -> list[LookedAt]:
    """The shown arm's failures with what it looked at, for `figures.attention_gallery`; a note if not publishable."""
    table, films, maps = _shown_films(study)
    rows = []
    for panel, title in FAILURES.items():
        if not study.publishable("hospital"):
            rows.append(LookedAt(title, None, origin(study, "hospital")))
            continue
        at = np.flatnonzero(table["panel"] == panel)
        captions = [f"p = {p:.2f}" for p in table["p_positive"].iloc[at]]
        rows.append(LookedAt(title, films[at], origin(study, "hospital"), captions, maps[at]))
    return rows


def figure_two(study: Study) -> dict[str, Any]:
    """A real and a synthetic positive with every answer and what was looked at, for `figures.real_and_synthetic`."""
    table, films, maps = _shown_films(study)
    source = table.loc[table["panel"] == "real", "source"].iloc[0]
    real = "simulated stand-in" if source == "stand-in" else f"{source} film"
    names = {"real": real, "synthetic": "synthetic film"}
    at = np.flatnonzero(table["panel"].isin(list(names)))
    cells = {
        (names[row.panel], row.arm): (films[row.Index], maps[row.Index], f"{row.answer}, p = {row.p_positive:.2f}")
        for row in table.iloc[at].itertuples()
    }
    kind = table.loc[table["panel"] == "real", "origin"].iloc[0]
    return {"cells": cells, "origins": {names["real"]: f"{kind} film", names["synthetic"]: synthetic_origin(study)}}


def _shown_films(study: Study) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    folder = study.results.explanations_record.parent
    arrays = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("films", "maps"))
    return pd.read_csv(folder / "films.csv"), *arrays
