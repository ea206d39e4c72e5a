"""Synthetic films from a finished generator: one array and its manifest; any film can be made again from its row."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from cxrlib.errors import InputError
from cxrlib.files import atomic_path, read_json, sha256_of, write_csv
from cxrlib.finished import makes
from cxrlib.generators.drawing import draw_films, is_out_of_memory, make_films
from cxrlib.generators.memorisation import compare_with_training, copy_settings
from cxrlib.generators.networks import load_generator
from cxrlib.generators.settings import fold_of
from cxrlib.generators.stepping import block_dtype
from cxrlib.generators.training import generator_films
from cxrlib.records import is_finished, start_afresh, write_record
from cxrlib.reproducibility import deterministic, pick_device, seed_for

if TYPE_CHECKING:
    from cxrlib.study import Study

logger = logging.getLogger(__name__)

MANIFEST_COLUMNS = (
    "image_id", "label", "seed", "truncation", "generator_sha256", "nearest_image_id", "nearest_distance",
    "nearest_feature_id", "feature_distance", "flagged",
)  # fmt: skip
SEED_BITS = 48
MOST_LEVELS_APART = 2

Progress = Callable[[int, int, dict[str, Any]], None]


@makes("synthetic")
def synthesise(
    study: "Study", label: str, fold: str, *, force: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Make the synthetic films of a label and fold, or load their record if that is done.

    Writes `images.npy` (uint8, one film per row of the manifest) and `manifest.csv`, which names each film's seed, the
    films its generator was trained on that it is nearest to by pixels and by features, and whether it is flagged as too
    near to one. `progress(films, total_films, facts)` is called after each batch. Returns the record; raises
    `InputError` if the generator is not finished.
    """
    if fold_of(fold) == "public":
        raise InputError("fold `public`: no synthetic films are made from the generator that serves as a start")
    known = generator_films(study, label, fold)
    generator, config = load_generator(study.results.generator(label, fold))
    folder, record = study.results.synthetic(label, fold), study.results.synthetic_record(label, fold)
    # Which films readers rejected is decided after they were made.
    recipe = study.synthesis.model_dump(mode="json", exclude={"exclude_rejected"})
    settings = {"seed": study.seed, "label": label, "fold": fold, "synthesis": recipe}
    settings |= {"copies": copy_settings(study), "random_numbers": "drawn on the CPU"}
    inputs = {"generator_sha256": config["generator_sha256"]}
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    if force:
        start_afresh(folder)

    began, device = time.monotonic(), pick_device()
    count, side = study.synthesis.images_per_label, study.gan.resolution
    seeds = [seed_for(study.seed, "synthesis", label, fold, index) >> (63 - SEED_BITS) for index in range(count)]
    with deterministic(study.threads_per_job), atomic_path(folder / "images.npy") as temporary:
        images = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, side, side))

        def report(done: int) -> None:
            if progress is not None:
                progress(done, count, {"seconds": time.monotonic() - began})

        batch_size = draw_films(generator, seeds, study.synthesis.truncation, images, report)
        images.flush()
        columns, facts, real = compare_with_training(study, images, known)
        del images
    manifest = pd.DataFrame(
        {
            "image_id": [f"{label}-{fold}-{index:06d}" for index in range(count)],
            "label": label,
            "seed": seeds,
            "truncation": study.synthesis.truncation,
            "generator_sha256": config["generator_sha256"],
        }
    )
    write_csv(folder / "manifest.csv", pd.concat([manifest, columns], axis=1)[list(MANIFEST_COLUMNS)])
    write_csv(study.results.real_distances(label, fold), real)
    outputs = [folder / "images.npy", folder / "manifest.csv", study.results.real_distances(label, fold)]
    write_record(
        record, settings, inputs, time.monotonic() - began, outputs=outputs, images=count,
        images_sha256=sha256_of(folder / "images.npy"), manifest_sha256=sha256_of(folder / "manifest.csv"),
        generator_sha256=config["generator_sha256"], batch_size=batch_size, device=device.type,
        precision=str(block_dtype(device)).removeprefix("torch."), **facts,
    )  # fmt: skip
    return read_json(record)


def remake(study: "Study", label: str, fold: str, row: Mapping[str, Any]) -> np.ndarray:
    """Make one synthetic film again from its row of the manifest: uint8 (S, S).

    The same bits on the same hardware. On other hardware it is drawn from the same numbers in the same precision, and
    comes within `MOST_LEVELS_APART` grey levels of the film that is there. Raises `InputError` if it does not, or if
    the generator that is there is not the one that made the film.
    """
    generator, config = load_generator(study.results.generator(label, fold))
    if row["generator_sha256"] != config["generator_sha256"]:
        raise InputError(
            f"film {row['image_id']}: made by generator {str(row['generator_sha256'])[:12]}…, but {label}/{fold} now "
            f"holds {config['generator_sha256'][:12]}…; make the synthetic films again"
        )
    record = study.results.synthetic_record(label, fold)
    if not record.exists():
        raise InputError(f"{record.parent}: its record is not there, so that nobody can say how its films were drawn")
    # A batch of the same size, all of this film: the arithmetic of a batch may depend on its size.
    facts = read_json(record)
    batch_size, precision = facts["batch_size"], getattr(torch, facts["precision"])
    seeds = [int(row["seed"])] * batch_size
    position = int(str(row["image_id"]).rsplit("-", 1)[-1]) % batch_size
    with deterministic(study.threads_per_job):
        try:
            batch = next(make_films(generator, seeds, float(row["truncation"]), batch_size, precision))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise InputError(
                f"film {row['image_id']}: drawn with {batch_size} others at a time, and only so it comes out the same; "
                "this machine has no memory for so many"
            ) from None
    return _as_it_was(batch[position], np.load(record.parent / "images.npy", mmap_mode="r"), row["image_id"], facts)


def _as_it_was(film: np.ndarray, films: np.ndarray, image_id: str, facts: Mapping[str, Any]) -> np.ndarray:
    """The remade film, if it is the one of this name among the study's films."""
    apart = np.abs(film.astype(int) - films[int(str(image_id).rsplit("-", 1)[-1])]).max()
    if apart > MOST_LEVELS_APART:
        raise InputError(
            f"film {image_id}: made again on this machine it differs by up to {apart} grey levels from the film "
            f"there, which was drawn on {facts['device']} in {facts['precision']}; make it again on such hardware"
        )
    return film
