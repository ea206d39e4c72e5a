"""What a start from public films and augmentation change: generators of one label and fold, one thing different."""

import time
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.errors import InputError
from cxrlib.evaluation.uncertainty import wilson_interval
from cxrlib.files import atomic_path, read_json, write_table
from cxrlib.finished import makes
from cxrlib.generators.copy_search import CopySearch
from cxrlib.generators.drawing import draw_films
from cxrlib.generators.memorisation import find_copies
from cxrlib.generators.networks import Generator, load_generator
from cxrlib.generators.quality import film_extractor
from cxrlib.generators.snapshots import films_of_seed
from cxrlib.generators.training import GeneratorFilms, generator_films, judge_films, seed_of
from cxrlib.records import write_record
from cxrlib.reproducibility import deterministic, seed_for
from cxrlib.study import Study

COLUMNS = (
    "variant", "images", "kid", "kid_low", "kid_high", "chosen", "flag_rate", "flag_low", "flag_high",
    "further", "further_low", "further_high",
)  # fmt: skip
STANDARD = "standard"
# Enough to tell 2 % of copies from 6 %, few enough for one core.
MOST_FILMS = 400


@makes("comparisons")
def compare_generators(study: Study, *, force: bool = False) -> dict[str, Any]:
    """Write `tables/comparisons.csv`: the study's generator and its variants, trained as long on the same films.

    One row per variant (`standard`, `random-start`, `no-augmentation`) and snapshot: kernel distance to the same
    held-out films, with its interval, and which snapshot was chosen. In the rows of chosen snapshots `flag_rate`, with
    Wilson's interval, is the share of their films that come too near to a training film; films of equal seeds, no more
    than the study draws. `further` says how much further a variant is from the held-out films than the standard is: the
    difference of their distances, by films of the same seeds and beside the same held-out films. Returns the record;
    raises `InputError` if the study has no comparisons.
    """
    if not study.gan.comparisons:
        raise InputError(f"study {study.name} compares no generators: gan.comparisons is empty")
    started = time.perf_counter()
    films = min(MOST_FILMS, study.synthesis.images_per_label)
    record = study.results.comparisons_record
    write_table(study.results.table("comparisons"), _comparisons(study, films))
    label = study.gan.comparison_label
    films_kept = [study.results.compared_films(label, variant) for variant in _compared(study).values()]
    outputs = [study.results.table("comparisons"), *films_kept]
    seconds = time.perf_counter() - started
    write_record(record, {}, {}, seconds, outputs=outputs, label=label, films=films)
    return read_json(record)


def _compared(study: Study) -> dict[str, str]:
    """The variants by the names that they have in the table."""
    return {STANDARD: "", **{variant: variant for _, _, variant in study.generator_variants}}


def _comparisons(study: Study, films: int) -> pd.DataFrame:
    label = study.gan.comparison_label
    known, features = generator_films(study, label, "all"), film_extractor(study)
    search, judge = CopySearch(known.training.images, features), judge_films(known, features)
    parts, standard = [], None
    for name, variant in _compared(study).items():
        rows = pd.read_csv(study.results.generator(label, "all", variant) / "snapshots.csv")
        generator, _ = load_generator(study.results.generator(label, "all", variant))
        with deterministic(study.threads_per_job):
            # Of the films that its chosen snapshot was measured by, to the held-out ones.
            distance = judge.distance(judge.features(films_of_seed(generator, seed_of(study, label, "all"))))
            flags = wilson_interval(_flagged(study, generator, variant, films, known, search), films)
        if name == STANDARD:
            standard = distance
        elif standard is not None and distance is not None:
            further = distance - standard
            rows.loc[rows["chosen"], COLUMNS[-3:]] = [round(v, 6) for v in (further.estimate, *further.bounds())]
        for column, value in (("flag_rate", flags.estimate), ("flag_low", flags.low), ("flag_high", flags.high)):
            rows.loc[rows["chosen"], column] = round(value, 5)
        parts.append(rows.assign(variant=name))
    return pd.concat(parts, ignore_index=True).reindex(columns=list(COLUMNS))


def _flagged(
    study: Study, generator: Generator, variant: str, films: int, known: GeneratorFilms, search: CopySearch
) -> int:
    """How many films of the variant's chosen snapshot are too near to a training film."""
    seeds = [seed_for(study.seed, "comparison", index) for index in range(films)]
    drawn = np.empty((films, study.gan.resolution, study.gan.resolution), np.uint8)
    draw_films(generator, seeds, study.synthesis.truncation, drawn)
    with atomic_path(study.results.compared_films(study.gan.comparison_label, variant)) as temporary:
        np.save(temporary, drawn)
    training, held_out = known.training, known.held_out
    copies = find_copies(
        drawn, training.images, training_patients=training.manifest["patient_id"].to_numpy(str),
        held_out_films=held_out.images, held_out_patients=held_out.manifest["patient_id"].to_numpy(str),
        features=film_extractor(study), search=search,
    )  # fmt: skip
    return int(copies.flagged.sum())
