"""Preparing a role: from its source to a manifest, arrays of films, and a record of what was found."""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cxrlib.artifacts import (
    amend_record,
    is_finished,
    read_json,
    sha256_of,
    start_afresh,
    write_csv,
    write_record,
)
from cxrlib.errors import InputError
from cxrlib.films.covidx import read_covidx
from cxrlib.films.film_reading import FilmJob, read_films
from cxrlib.films.folder import read_folder
from cxrlib.films.images import growing_array, masks_path, placed_array
from cxrlib.films.listing import Listing, kind_of
from cxrlib.films.manifest import assign_folds, fold_problem, validate_manifest
from cxrlib.films.phantom import PHANTOM_VERSION, phantom_film, phantom_manifest
from cxrlib.films.settings import LABELS, ROLES, CovidxSource, FolderSource, PhantomSource
from cxrlib.finished import makes

if TYPE_CHECKING:
    from cxrlib.study import Study

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@makes("data")
def prepare_role(study: "Study", role: str, *, force: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Decode or simulate the films of a role, once, at every size that the study uses.

    Writes manifest.csv, images-<size>.npy and, where known, lungs-<size>.npy and opacities-<size>.npy, and last the
    record audit.json, which is returned: files_expected (as the labels name them) and expected_by_label, missing (how
    many of them are not there), unexpected (images there that the labels don't name), images_found, images_used,
    unreadable [{file, reason}], reasons {kind of reason: how many}, by_label, patients, lung_masks (films that have
    one), simulated, images_sha256 {size: hash}, manifest_sha256. Finished with the same settings and files, it returns
    the record at once; films of other times and the same names and sizes are read again. `progress(done, total)` is
    called after each image.

    Raises `InputError` for a source that can't be read, a role without usable images of a label, a full disk, or
    results that were made with other settings.
    """
    started = time.perf_counter()
    source, record = study.data.source(role), study.results.data_record(role)
    listing = None if isinstance(source, PhantomSource) else read_listing(source)
    settings, inputs, seen = _settings(study, role), _inputs(listing), _seen(listing)
    if is_finished(record, settings, inputs, force) and read_json(record).get("films_seen", seen) == seen:
        amend_record(record, films_seen=seen)
        return read_json(record)
    start_afresh(study.results.data(role))
    if listing is None:
        manifest, unreadable = _prepare_phantom(study, role, source, progress), []
    else:
        manifest, unreadable = _prepare_files(study, role, listing, progress)
    found = _found(len(manifest), unreadable, listing)
    facts = _finish_manifest(study, role, manifest, unreadable)
    seconds = time.perf_counter() - started
    outputs = [study.results.manifest(role), *study.results.data(role).glob("*.npy")]
    write_record(record, settings, inputs, seconds, outputs=outputs, films_seen=seen, **found, **facts)
    logger.info("%s: %d of %d images prepared in %.1f s", role, len(manifest), found["images_found"], seconds)
    return read_json(record)


def read_listing(source: FolderSource | CovidxSource) -> Listing:
    """What a folder or a COVIDx tree holds, by its label file; raises `InputError`."""
    return read_covidx(source) if isinstance(source, CovidxSource) else read_folder(source)


def check_sources(study: "Study") -> None:
    """Raise one `InputError` that lists everything wrong with a study's sources; no pixel is read, nothing written."""
    problems = source_problems(study)
    if problems:
        raise InputError("\n".join(f"{study.file or study.name}: {problem}" for problem in problems))


def source_problems(study: "Study") -> list[str]:
    """Everything wrong with a study's sources, as far as it shows without reading a pixel."""
    problems = []
    for role in ROLES:
        problems += [f"data.{role}: {problem}" for problem in _role_problems(study, role)]
    for first, second in (("training", "validation"), ("training", "hospital"), ("validation", "hospital")):
        if _same_images(study.data.source(first), study.data.source(second)):
            problems.append(f"data.{second}: the same images as data.{first}; a model is tested on images of its own")
    return problems


def _role_problems(study: "Study", role: str) -> list[str]:
    source = study.data.source(role)
    if isinstance(source, PhantomSource):
        problem = _generator_problem(study, phantom_manifest(source, role, study.seed)) if role == "hospital" else ""
        return [problem] if problem else []
    try:
        listing = read_listing(source)
    except InputError as error:
        return [str(error)]
    problem = _label_problem(listing.manifest, len(listing.unreadable), str(listing.labels_file))
    if not problem and role == "hospital":
        problem = fold_problem(listing.manifest, study.data.folds) or _generator_problem(study, listing.manifest)
    return [problem] if problem else []


def _generator_problem(study: "Study", manifest: pd.DataFrame) -> str:
    """Why a generator would have too few of the hospital's films to learn from; empty if none has."""
    assigned = assign_folds(manifest, study.data.folds, study.seed)
    for label in LABELS:
        films = assigned.loc[assigned["label"] == label, "fold"].value_counts()
        fewest = films.sum() - (films.max() if "fold0" in study.generator_folds else 0)
        if fewest < study.fewest_generator_films:
            return (
                f"{len(assigned)} films, of which some generator would see only {fewest} {label} ones, but it needs "
                f"at least {study.fewest_generator_films}; add films of this label or change data.folds"
            )
    return ""


def _label_problem(manifest: pd.DataFrame, unreadable: int, where: str) -> str:
    if manifest.empty:
        return f"{where}: no usable image ({unreadable} listed); expected images of both labels"
    absent = [label for label in LABELS if label not in set(manifest["label"])]
    if absent:
        return f"{where}: {len(manifest)} usable images, but none is {absent[0]}; expected images of both labels"
    return ""


def _same_images(first: Any, second: Any) -> bool:
    if isinstance(first, PhantomSource) or type(first) is not type(second):
        return False
    part = "split" if isinstance(first, CovidxSource) else "labels_file"
    return first.folder.resolve() == second.folder.resolve() and getattr(first, part) == getattr(second, part)


def _settings(study: "Study", role: str) -> dict[str, Any]:
    """What determines the prepared films, apart from the files: a folder may be moved, so only its name counts."""
    source = study.data.source(role)
    settings = source.model_dump(mode="json", exclude={"publishable", "folder", "allow_missing"})
    settings["image_sizes"] = list(study.image_sizes)
    if isinstance(source, PhantomSource):
        settings |= {"phantom_version": PHANTOM_VERSION, "seed": study.seed}
    else:
        settings["folder_name"] = Path(source.folder).resolve().name
    if role == "hospital":
        settings |= {"folds": study.data.folds, "seed": study.seed}
    return settings


def _inputs(listing: Listing | None) -> dict[str, str]:
    """Hashes of the label file and of the images' names and sizes in bytes."""
    if listing is None:
        return {}
    digest = hashlib.sha256()
    try:
        for file in (*listing.manifest["file"], *filter(None, listing.manifest["lung_mask"])):
            digest.update(f"{file}\0{(listing.root / file).stat().st_size}\n".encode())
        return {"labels_sha256": sha256_of(listing.labels_file), "files_sha256": digest.hexdigest()}
    except OSError as error:
        raise InputError(f"{error.filename}: was there a moment ago: {error.strerror}; run it again") from None


def films_seen(study: "Study", role: str) -> str:
    """Hash of the names, sizes and times of a role's label file and films; empty where they are simulated."""
    source = study.data.source(role)
    return "" if isinstance(source, PhantomSource) else _seen(read_listing(source))


def _seen(listing: Listing | None) -> str:
    if listing is None:
        return ""
    digest = hashlib.sha256()
    for file in (listing.labels_file, *listing.manifest["file"], *filter(None, listing.manifest["lung_mask"])):
        found = (listing.root / file).stat()
        digest.update(f"{Path(file).name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _prepare_phantom(study: "Study", role: str, source: PhantomSource, progress: Progress | None) -> pd.DataFrame:
    manifest = phantom_manifest(source, role, study.seed)
    rows = manifest.to_dict("records")
    with ExitStack() as files:
        writers = {
            (kind, size): files.enter_context(growing_array(_array_path(study, role, kind, size), (size, size)))
            for kind in ("images", "lungs", "opacities")
            for size in study.image_sizes
        }
        for done, row in enumerate(rows, start=1):
            films = {size: phantom_film(source, study.seed, row, size) for size in study.image_sizes}
            for (kind, size), writer in writers.items():
                writer.append(films[size].image if kind == "images" else getattr(films[size], kind))
            if progress:
                progress(done, len(rows))
    return manifest


def _prepare_files(
    study: "Study", role: str, listing: Listing, progress: Progress | None
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    rows = listing.manifest
    kinds = ("images", "lungs") if (rows["lung_mask"] != "").any() else ("images",)
    with ExitStack() as files:
        arrays = {
            (kind, size): files.enter_context(placed_array(_array_path(study, role, kind, size), (size, size)))
            for kind in kinds
            for size in study.image_sizes
        }
        places = tuple((*key, str(array.path), array.offset) for key, array in arrays.items())
        work = list(zip(rows["file"], rows["lung_mask"], strict=True))
        reasons = read_films(FilmJob(str(listing.root), places), work, progress=progress)
        kept = [index for index, (reason, _) in enumerate(reasons) if not reason]
        left_out = [{"file": work[i][0], "reason": reason} for i, (reason, _) in enumerate(reasons) if reason]
        unreadable = [*listing.unreadable, *left_out]
        manifest = _without_lost_masks(rows, [mask_reason for _, mask_reason in reasons]).iloc[kept]
        # Raised here, the arrays are not kept either.
        _refuse_unusable(study, role, manifest, len(unreadable))
        for array in arrays.values():
            array.keep(kept)
    return manifest.reset_index(drop=True), unreadable


def _without_lost_masks(rows: pd.DataFrame, reasons: list[str]) -> pd.DataFrame:
    lost = Counter(kind_of(reason) for reason in reasons if reason)
    if lost:
        # Counts, not names: a log may be shown, and the films may be private.
        logger.warning("lung masks left out: %s", ", ".join(f"{count} {kind}" for kind, count in lost.items()))
    return rows.assign(lung_mask=rows["lung_mask"].where([not reason for reason in reasons], ""))


def _refuse_unusable(study: "Study", role: str, manifest: pd.DataFrame, unreadable: int) -> None:
    problem = _label_problem(manifest, unreadable, f"data.{role}")
    if not problem and role == "hospital":
        problem = fold_problem(manifest, study.data.folds)
    if problem:
        raise InputError(problem)


def _found(used: int, unreadable: list[dict[str, str]], listing: Listing | None) -> dict[str, Any]:
    """The part of the record that accounts for every file that the labels name, and for those they don't."""
    reasons = Counter(kind_of(problem["reason"]) for problem in unreadable)
    return {
        "files_expected": listing.expected if listing else used,
        **({"expected_by_label": dict(listing.expected_by_label)} if listing else {}),
        "missing": reasons["missing"],
        "unexpected": len(listing.unexpected) if listing else 0,
        "images_found": used + len(unreadable),
        "reasons": dict(reasons.most_common()),
    }


def _array_path(study: "Study", role: str, kind: str, size: int) -> Path:
    return study.results.images(role, size) if kind == "images" else masks_path(study, role, size, kind)


def _finish_manifest(
    study: "Study", role: str, manifest: pd.DataFrame, unreadable: list[dict[str, str]]
) -> dict[str, Any]:
    """Fold, validate and write the manifest; the facts of the record."""
    path = study.results.manifest(role)
    if role == "hospital":
        manifest = assign_folds(manifest, study.data.folds, study.seed)
    write_csv(path, validate_manifest(manifest, str(path)))
    simulated = isinstance(study.data.source(role), PhantomSource)
    by_label = manifest["label"].value_counts()
    return {
        "images_used": len(manifest),
        "unreadable": unreadable,
        "by_label": {label: int(by_label[label]) for label in LABELS},
        "patients": int(manifest["patient_id"].nunique()),
        "lung_masks": len(manifest) if simulated else int((manifest["lung_mask"] != "").sum()),
        "simulated": simulated,
        "images_sha256": {str(size): sha256_of(study.results.images(role, size)) for size in study.image_sizes},
        "manifest_sha256": sha256_of(path),
    }
