"""Training of the generator of one label and fold: films of the study in, a finished folder out."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxrlib.errors import InputError
from cxrlib.features import identify_weights
from cxrlib.files import read_json, sha256_of
from cxrlib.films.held_out import held_out_rows
from cxrlib.films.settings import LABELS
from cxrlib.finished import makes
from cxrlib.generators.drawing import is_out_of_memory
from cxrlib.generators.processes import join_processes
from cxrlib.generators.quality import describe_features, film_extractor, judge_of
from cxrlib.generators.run import Progress, Run
from cxrlib.generators.settings import GanSettings, fold_of, start_of
from cxrlib.generators.snapshots import Features, Judge
from cxrlib.networks import TEACHER
from cxrlib.records import is_finished, start_afresh, write_record
from cxrlib.reproducibility import deterministic

if TYPE_CHECKING:
    from cxrlib.films.images import ImageSet
    from cxrlib.study import Study

# What a variant changes; everything else is as in the generator that it is compared with.
VARIANTS: dict[str, dict[str, Any]] = {
    "random-start": {"initialise_from": "random", "public_images": 0},
    "no-augmentation": {"augmentations": (), "adaptive_target": None},
}


@makes("generator")
def train_generator(
    study: "Study", label: str, fold: str, *, variant: str = "", force: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train the generator of a label and fold, or load its record if that is done.

    Fold `all` uses hospital films of the label, `fold0` those of patients outside fold 0, and `public` the training
    role's films; `generator_films` says which are held out. With `gan.initialise_from: public` the hospital's
    generators start from the public one, which is trained first if need be. A `variant` of the study differs from the
    generator of the same label and fold in one setting, for a comparison. `progress(images, total_images, facts)` is
    called at every row of the log. Of several processes started by `torchrun`, the first alone writes and reports.
    Returns the record; raises `InputError` if films are missing or too few, if memory or disk are full, if there is a
    checkpoint of other settings, or if the losses diverge.
    """
    gan = _settings_of(study, label, fold, variant)
    films = generator_films(study, label, fold)
    folder, record = (
        place(label, fold, variant) for place in (study.results.generator, study.results.generator_record)
    )
    start = None
    is_start = fold_of(fold) == "public"
    if not is_start and gan.initialise_from == "public":
        train_generator(study, label, start_of(fold), progress=progress)
        start = study.results.generator(label, start_of(fold))
    if start is None:
        # From random weights films come nearer to real ones sooner without.
        gan = gan.model_copy(update={"feature_matching_weight": 0.0})
    settings, inputs = _identity(study, gan, label, fold, variant, films, start)
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    processes = join_processes()
    if force and processes.first:
        start_afresh(folder)
    with deterministic(study.threads_per_job), _memory_errors_explained(folder, gan):
        run = Run(
            films.training.images, gan, folder, seed=seed_of(study, label, fold), start=start, progress=progress,
            total_images=gan.public_images if is_start else gan.total_images,
            fingerprint={"settings": settings, "inputs": inputs},
            judge=judge_films(films, film_extractor(study)),
            is_start=is_start,
        )  # fmt: skip
        run.train()
    if processes.first:
        _write_record(study, run, record, settings, inputs, films, start)
        run.checkpoint.unlink(missing_ok=True)
    processes.wait()
    return read_json(record)


def seed_of(study: "Study", label: str, fold: str) -> tuple[Any, ...]:
    """What names the random numbers of a generator; its variants have the same ones."""
    return study.seed, "gan", label, fold


def judge_films(films: "GeneratorFilms", features: Features) -> Judge:
    """The judge of a generator that is trained on these films."""
    patients = films.held_out.manifest["patient_id"].to_numpy(str)
    return Judge(films.training.images, films.held_out.images, features, patients)


def _settings_of(study: "Study", label: str, fold: str, variant: str) -> GanSettings:
    """The study's settings, or those of a variant; raises `InputError` for one that the study does not have."""
    if not variant:
        return study.gan
    if (label, fold, variant) not in study.generator_variants:
        known = ", ".join(" ".join(names) for names in study.generator_variants) or "none"
        raise InputError(
            f"variant `{variant}` of {label} {fold}: study {study.name} compares {known} (label, fold, variant); "
            "gan.comparisons and gan.comparison_label decide"
        )
    return study.gan.model_copy(update=VARIANTS[variant])


def _write_record(
    study: "Study", run: Run, record: Path, settings: Mapping[str, Any], inputs: Mapping[str, Any],
    films: "GeneratorFilms", start: Path | None,
) -> None:  # fmt: skip
    folder, state = record.parent, run.state
    hashes = {f"{name}_sha256": sha256_of(folder / f"{name}.safetensors") for name in run.results}
    write_record(
        record, settings, inputs, state.seconds, outputs=run.files, **hashes, films=len(films.training),
        held_out_films=len(films.held_out), images_seen=state.images, snapshot_images=state.chosen["images"],
        snapshot_kid=state.chosen["kid"], selected_by=run.selected_by,
        within_noise=run.within_noise, features=describe_features(study),
        initialised_from=f"the generator of the public {settings['label']} films" if start else "random weights",
        rollbacks=state.rollbacks, warnings=list(state.warnings.values()),
        precision=str(run.stepper.dtype).removeprefix("torch."), device=run.device.type,
    )  # fmt: skip


@contextmanager
def _memory_errors_explained(folder: Path, gan: GanSettings) -> Iterator[None]:
    """Turn the many ways in which memory runs out into an `InputError` that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder}: not enough memory to train this generator ({reason or 'none is left'}). Lower "
            f"gan.batch_size (now {gan.batch_size}), gan.channel_base ({gan.channel_base}) or gan.resolution "
            f"({gan.resolution}), or train where more memory is free. The last checkpoint is intact."
        ) from None


@dataclass(frozen=True)
class GeneratorFilms:
    """The films of a generator: those it is trained on, and those of other patients by which its snapshots are judged.

    `held_out` has no row where the study holds none out, or where films are too few for it.
    """

    training: "ImageSet"
    held_out: "ImageSet"


def generator_films(study: "Study", label: str, fold: str) -> GeneratorFilms:
    """The films that a generator of this label and fold may see, parted by patient.

    `held_out_rows` says which films are held out. Raises `InputError` for unknown names.
    """
    films = _films_in_reach(study, label, fold)
    held_out = held_out_rows(study, films.manifest)
    return GeneratorFilms(films.select(~held_out), films.select(held_out))


def _films_in_reach(study: "Study", label: str, fold: str) -> "ImageSet":
    """The films that a generator may see: of its label, and of no patient of its fold."""
    from cxrlib.films.images import load_image_set

    if label not in LABELS:
        raise InputError(f"label `{label}`: expected one of {', '.join(LABELS)}")
    if fold not in study.generator_folds:
        raise InputError(f"fold `{fold}`: study {study.name} has generators for {', '.join(study.generator_folds)}")
    films = load_image_set(study, "training" if fold_of(fold) == "public" else "hospital", study.gan.resolution)
    keep = films.labels == LABELS.index(label)
    if fold.startswith("fold"):
        keep &= (films.manifest["fold"] != fold_of(fold)).to_numpy()
    return films.select(keep)


def _identity(
    study: "Study", gan: GanSettings, label: str, fold: str, variant: str, films: GeneratorFilms, start: Path | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What determines the generator: settings and inputs."""
    from cxrlib.films.images import films_identity

    public = fold_of(fold) == "public"
    left_out = {"preset", "comparisons", "comparison_label", "seeds", "second_judge", "second_judge_weights"}
    left_out.add("total_images" if public else "public_images")
    if not gan.feature_matching_weight:
        # Generators of versions that could not match features are what they would be now.
        left_out.add("feature_matching_weight")
    settings = {"seed": study.seed, "label": label, "fold": fold}
    settings |= {"gan": gan.model_dump(mode="json", exclude=left_out | ({"initialise_from"} if public else set()))}
    inputs: dict[str, Any] = films_identity(study, "training" if public else "hospital", gan.resolution)
    if gan.feature_matching_weight:
        inputs["teacher_weights"] = identify_weights(TEACHER, "imagenet")
    # A hash of which films these are: the audit may find other copies in the same films.
    inputs["held_out_sha256"] = hashlib.sha256("\n".join(films.held_out.manifest["image_id"]).encode()).hexdigest()
    if variant:
        settings["variant"] = variant
    if len(films.held_out):
        # They choose the snapshot.
        settings["features_network"] = judge_of(study)[0]
        inputs["features_weights"] = identify_weights(*judge_of(study))
    if start is not None:
        record = read_json(start / "config.json")
        inputs |= {f"public_{name}": record[name] for name in ("generator_sha256", "discriminator_sha256")}
    return settings, inputs
