"""Training of the generator of one label and fold: films of the study in, a finished folder out."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxrlib.artifacts import fingerprint, is_finished, read_json, sha256_of, start_afresh, write_record
from cxrlib.data.held_out import held_out_rows
from cxrlib.data.settings import LABELS
from cxrlib.errors import InputError
from cxrlib.gan.run import Progress, Run
from cxrlib.reproducibility import deterministic

if TYPE_CHECKING:
    from cxrlib.data.images import ImageSet
    from cxrlib.study import Study


def train_generator(
    study: "Study", label: str, fold: str, *, force: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Train the generator of a label and fold, or load its record if that is done.

    Fold `all` uses every hospital film of the label, `fold0` those of patients outside fold 0, and `public` the
    training role's films. With `gan.initialise_from: public` the hospital's generators start from the public one,
    which is trained first if need be. `progress(images, total_images, facts)` is called at every row of the log.
    Returns the record; raises `InputError` if films are missing or too few, or if the losses diverge.
    """
    films = generator_films(study, label, fold)
    folder, record = study.results.generator(label, fold), study.results.generator_record(label, fold)
    start = None
    if fold != "public" and study.gan.initialise_from == "public":
        train_generator(study, label, "public", progress=progress)
        start = study.results.generator(label, "public")
    settings, inputs = _identity(study, label, fold, start)
    inputs["held_out_sha256"] = _sha256_of_ids(films.held_out)
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    if force:
        start_afresh(folder)
    total_images = study.gan.public_images if fold == "public" else study.gan.total_images
    with deterministic(study.threads_per_job):
        run = Run(
            films.training.images, study.gan, folder, total_images=total_images, seed=(study.seed, "gan", label, fold),
            fingerprint=fingerprint(settings, inputs), start=start, progress=progress,
        )  # fmt: skip
        run.train()
    facts = {"generator_sha256": sha256_of(folder / "generator.safetensors")}
    if fold == "public":
        facts["discriminator_sha256"] = sha256_of(folder / "discriminator.safetensors")
    write_record(
        record, settings, inputs, run.state.seconds, **facts, films=len(films.training),
        held_out_films=len(films.held_out), images_seen=run.state.images,
        initialised_from="random weights" if start is None else f"the generator of the public films, {label}",
        rollbacks=run.state.rollbacks, precision=str(run.stepper.dtype).removeprefix("torch."), device=run.device.type,
    )  # fmt: skip
    (folder / "checkpoint" / "state.safetensors").unlink(missing_ok=True)
    return read_json(record)


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


def _sha256_of_ids(films: "ImageSet") -> str:
    """A hash of which films these are: the audit may find other copies in the same films."""
    return hashlib.sha256("\n".join(films.manifest["image_id"]).encode()).hexdigest()


def _films_in_reach(study: "Study", label: str, fold: str) -> "ImageSet":
    """The films that a generator may see: of its label, and of no patient of its fold."""
    from cxrlib.data.images import load_image_set

    if label not in LABELS:
        raise InputError(f"label `{label}`: expected one of {', '.join(LABELS)}")
    if fold not in study.generator_folds:
        raise InputError(f"fold `{fold}`: study {study.name} has generators for {', '.join(study.generator_folds)}")
    films = load_image_set(study, "training" if fold == "public" else "hospital", study.gan.resolution)
    keep = films.labels == LABELS.index(label)
    if fold.startswith("fold"):
        keep &= (films.manifest["fold"] != fold).to_numpy()
    return films.select(keep)


def _identity(study: "Study", label: str, fold: str, start: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What determines the generator: settings and inputs."""
    public = fold == "public"
    without = {"preset", "comparisons", "comparison_label", "checkpoint_images"}
    gan = study.gan.model_dump(mode="json", exclude=without | {"total_images" if public else "public_images"})
    if public:
        del gan["initialise_from"]
    from cxrlib.data.images import films_identity

    inputs: dict[str, Any] = films_identity(study, "training" if public else "hospital", study.gan.resolution)
    if start is not None:
        record = read_json(study.results.generator_record(label, "public"))
        inputs |= {f"public_{name}": record[name] for name in ("generator_sha256", "discriminator_sha256")}
    return {"seed": study.seed, "label": label, "fold": fold, "gan": gan}, inputs
