"""What Chapter 2 shows and says, by name."""

from typing import Any

import pandas as pd

from cxrlib.chapters import sheets, tables
from cxrlib.chapters.chapter import Chapter, found
from cxrlib.chapters.generators import exhibits, figures, sentences, shown
from cxrlib.chapters.style import training_curves
from cxrlib.chapters.traces import Source
from cxrlib.chapters.words import origin
from cxrlib.files import read_json
from cxrlib.films.settings import LABELS
from cxrlib.study import Study

TRAINING = {
    "loss_generator": "generator's loss",
    "loss_discriminator": "discriminator's loss",
    "real_sign": "trust in real films",
}


def open_chapter(study: Study) -> Chapter:
    """Chapter 2 of a study."""
    return Chapter(study, FIGURES, TABLES, FACTS, {**found(FOUND), "walk": exhibits.walk_by_hand}, SOURCES)


def _believed(study: Study) -> pd.DataFrame:
    return sentences.believed(pd.read_csv(study.results.table("quality")))


FIGURES = {
    "gan_augmentation": lambda study: sheets.film_sheet(exhibits.augmented_film_rows(study)),
    "gan_training": lambda study: training_curves(
        exhibits.generator_logs(study), "images", TRAINING, "films shown", origin(study, "hospital")
    ),
    "snapshots": lambda study: figures.snapshot_curves(exhibits.snapshots(study), origin(study, "hospital")),
    "samples": lambda study: sheets.film_sheet([exhibits.sample_row(study, label) for label in LABELS]),
    "variants": lambda study: figures.variant_curves(
        exhibits.comparisons(study), sentences.PAIRS, origin(study, "hospital")
    ),
    "real_and_synthetic": lambda study: sheets.film_sheet(exhibits.real_and_synthetic_rows(study)),
    "truncation": lambda study: sheets.film_sheet(exhibits.truncation_rows(study, "positive")),
    "interpolation": lambda study: sheets.film_sheet([exhibits.interpolation_row(study, label) for label in LABELS]),
    "walk": exhibits.walk,
    "quality": lambda study: figures.quality_intervals(
        _believed(study), shown.COMPARISONS, shown.MEASURES, origin(study)
    ),
}
TABLES = {
    "settings": lambda study: tables.settings(study.gan),
    "losses": lambda study: shown.loss_terms(study.gan),
    "quality": lambda study: shown.quality(_believed(study)),
}
FOUND = {
    "gan_training": lambda study: sentences.trust(exhibits.generator_logs(study)),
    "snapshots": lambda study: sentences.collapsed(_generators(study)),
    "variants": lambda study: sentences.compared_briefly(exhibits.comparisons(study), study.gan.comparison_label),
    "quality": lambda study: f"By kernel distance the synthetic films are {_quality_facts(study)['nearer']}.",
}
SOURCES = {
    "kid_.*": [Source("tables/quality.csv", {"measure": "kid"})],
    "shares|second_judge": [Source("tables/quality.csv")],
    "start|augmentation": [Source("tables/comparisons.csv", {"chosen": "True"})],
    "films_each": [Source("synthetic/positive/all/manifest.csv")],
    "resolution|truncation": [Source("study.yaml")],
    "generators|minutes|images_seen|films|initialised_from|kept|collapse": [Source("gan/*/*/config.json")],
}


def _generator_facts(study: Study) -> dict[str, Any]:
    return sentences.generator_facts(_generators(study))


def _generators(study: Study) -> sentences.Records:
    return {
        (label, fold): read_json(study.results.generator_record(label, fold))
        for fold in study.generator_folds
        for label in LABELS
    }


def _quality_facts(study: Study) -> dict[str, Any]:
    films = read_json(study.results.synthetic_record("positive", "all"))["images"]
    return {"films_each": films, **sentences.quality_facts(pd.read_csv(study.results.table("quality")))}


FACTS = (
    sentences.settings_facts,
    _generator_facts,
    lambda study: sentences.comparison_facts(exhibits.comparisons(study), study.gan.comparison_label),
    _quality_facts,
)
