"""What Chapter 4 shows and says, by name: a film as it is augmented, what arms train on, how their training went."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cxrlib.chapters import sheets, tables
from cxrlib.chapters.chapter import Chapter, found
from cxrlib.chapters.classifiers import shown
from cxrlib.chapters.sheets import FilmRow
from cxrlib.chapters.stand_ins import NOT_SHOWN, STAND_IN, stand_ins
from cxrlib.chapters.style import SKY, VERMILION, drawing, named_lines, training_curves
from cxrlib.chapters.traces import Source
from cxrlib.chapters.words import counted, origin, percent
from cxrlib.classifiers.arms import arm_of
from cxrlib.files import read_json
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

TRAINING = {
    "training_loss": "loss on training films",
    "validation_accuracy": "accuracy on tuning films",
}
Records = dict[tuple[str, int, str], dict[str, Any]]


def open_chapter(study: Study) -> Chapter:
    """Chapter 4 of a study."""
    return Chapter(study, FIGURES, TABLES, [facts], found(FOUND), SOURCES)


def _records(study: Study) -> Records:
    """Those of all classifiers, by (arm, seed, fold)."""
    return {
        (arm, seed, fold): read_json(study.results.classifier_record(arm, seed, fold))
        for arm in study.classifier_arms
        for seed in study.classifier_seeds(arm)
        for fold in study.classifier_folds(arm)
    }


def _composition(study: Study) -> pd.DataFrame:
    """Films per epoch of each arm, from its first classifier."""
    records = _records(study)
    networks = [arm for arm in study.classifier_arms if arm_of(arm).network]
    return shown.composition({arm: records[arm, 0, study.classifier_folds(arm)[0]] for arm in networks})


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


def composition(counts: pd.DataFrame, origin: str) -> Figure:
    """What each arm trains on: a bar per row of `counts` (index: arm), a stretch per column (count of films)."""
    with drawing(1, 1, 1.3 + 0.36 * len(counts), origin) as (figure, axes):
        ax, left = axes[0, 0], np.zeros(len(counts))
        hatches = ("", "////", "..") * 2
        colours = (SKY,) * 3 + (VERMILION,) * 3
        for column, colour, hatch in zip(counts.columns, colours, hatches, strict=False):
            values = counts[column].to_numpy(dtype=float)
            ax.barh(range(len(counts)), values, left=left, color=colour, hatch=hatch, edgecolor="white", height=0.66)
            left += values
        handles = [
            Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=name)
            for name, colour, hatch in zip(counts.columns, colours, hatches, strict=False)
        ]
        for index, total in enumerate(left):
            ax.text(total, index, f" {total:,.0f}", va="center", fontsize=8.5)
        named_lines(ax, list(counts.index), xlabel="films per epoch", xlim=(0, left.max() * 1.12))
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def training_facts(study: Study, records: Records) -> dict[str, Any]:
    """What Chapter 4 says of its classifiers, from their records by (arm, seed, fold)."""
    networks = {key: record for key, record in records.items() if record["steps"] > 0}
    openings = [record["hospital_openings"] for record in networks.values()]
    temperatures = [record["temperature"] for record in records.values()]
    thresholds = [record["threshold_validation"] for record in records.values()]
    once = "exactly once for each of them" if set(openings) == {1} else f"{sum(openings):,} times in all"
    return {
        "classifiers": len(networks),
        "arms": len({arm for arm, _, _ in networks}),
        "runs": counted(study.classifier.seeds, "training run"),
        "network": study.classifier.network,
        "weights": next(iter(networks.values()))["weights"],
        "minutes": f"{sum(record['seconds'] for record in records.values()) / 60:,.1f}",
        "openings": once,
        "thresholds": f"{min(thresholds):.2f} to {max(thresholds):.2f}",
        "temperatures": f"{min(temperatures):.2f} to {max(temperatures):.2f}",
        "steps": _steps(study, records),
    }


def composition_sentence(counts: pd.DataFrame) -> str:
    """How many films an epoch has, from the smallest arm to the largest, and which share of them is positive."""
    totals = counts.sum(axis=1).sort_values(kind="stable")
    positive = counts[[name for name in counts if str(name).endswith("positive")]].sum(axis=1) / totals
    told = [f"{totals[arm]:,.0f} ({arm}, {percent(positive[arm], 0)} positive)" for arm in totals.index[[0, -1]]]
    return f"An epoch has from {told[0]} to {told[1]} films."


def accuracy_sentence(logs: dict[str, pd.DataFrame]) -> str:
    """Between which values the accuracy on the tuning films ends, from the log of each arm."""
    ends = pd.Series({arm: log["validation_accuracy"].dropna().iloc[-1] for arm, log in logs.items()}).sort_values()
    low, high = (f"{percent(ends[arm])} ({arm})" for arm in ends.index[[0, -1]])
    return f"After the last epoch the accuracy on the tuning films lies between {low} and {high}."


def _steps(study: Study, records: Records) -> str:
    base = records["baseline", 0, study.classifier_folds("baseline")[0]]["steps"]
    most = max(record["steps"] for record in records.values())
    if most == base:
        return "No arm took more steps than the baseline"
    return (
        "Every arm ran through the same number of epochs, so that an arm with more films also took more steps, up to "
        f"{most / base:.2f} times those of the baseline"
    )


FIGURES = {
    "augmentation": lambda study: sheets.film_sheet([augmented_row(study)]),
    "composition": lambda study: composition(_composition(study), origin(study)),
    "classifier_training": lambda study: training_curves(
        classifier_logs(study), "epoch", TRAINING, "epoch", origin(study, "training", "validation")
    ),
}
TABLES = {
    "settings": lambda study: tables.settings(study.classifier),
    "arms": lambda study: shown.arms(study.classifier_arms),
    "composition": _composition,
    "synthetic_flow": lambda study: shown.synthetic_flow(tables.synthetic_flow(study)),
    "decided_on_validation": lambda study: shown.decided_on_validation(_records(study)),
    "timing": lambda study: shown.timing(_records(study)),
}
FOUND = {
    "composition": lambda study: composition_sentence(_composition(study)),
    "classifier_training": lambda study: accuracy_sentence(classifier_logs(study)),
}
SOURCES = {"arms|runs": [Source("study.yaml")], ".*": [Source("classifier/*/seed*/*/config.json")]}


def facts(study: Study) -> dict[str, Any]:
    """What the chapter says."""
    films = _composition(study).sum(axis=1)
    return {
        "public_films": int(films["baseline"]),
        "most_films": int(films.max()),
        **training_facts(study, _records(study)),
    }
