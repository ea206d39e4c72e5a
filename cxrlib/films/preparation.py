"""Preparing a role: from its source to a manifest, arrays of films, and a record of what was found."""

import hashlib
import importlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.files import read_json, sha256_of, write_csv
from cxrlib.films.film_reading import FilmJob, read_films
from cxrlib.films.images import PlacedArray, masks_path, placed_array
from cxrlib.films.listing import Listing, kind_of
from cxrlib.films.manifest import assign_folds, fold_problem, validate_manifest
from cxrlib.films.phantom import PHANTOM_VERSION, phantom_film, phantom_manifest
from cxrlib.films.settings import LABELS, Source
from cxrlib.finished import makes
from cxrlib.generators.settings import FEWEST_FILMS
from cxrlib.progress import part_of
from cxrlib.records import amend_record, is_finished, start_afresh, write_record

if TYPE_CHECKING:
    from cxrlib.study import Study

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
COUNTED = {"files_expected", "missing", "unexpected", "images_found", "images_used", "unreadable", "reasons"}


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
    record, listings = study.results.data_record(role), read_role(study, role)
    settings, inputs, seen = _settings(study, role), _inputs(listings), _seen(listings)
    if is_finished(record, settings, inputs, force):
        stored = read_json(record)
        # One of an older version may lack what is counted today; films of other times may be other films.
        if stored.keys() >= COUNTED and stored.get("films_seen", seen) == seen:
            amend_record(record, films_seen=seen)
            return read_json(record)
    start_afresh(study.results.data(role))
    unreadable: list[dict[str, str]] = []
    if study.data.simulated(role):
        manifest = _prepare_phantom(study, role, progress)
    else:
        manifest, unreadable = _prepare_files(study, role, listings, progress)
    found = _found(len(manifest), unreadable, listings)
    facts = _finish_manifest(study, role, manifest, unreadable)
    seconds = time.perf_counter() - started
    outputs = [study.results.manifest(role), *study.results.data(role).glob("*.npy")]
    write_record(record, settings, inputs, seconds, outputs=outputs, films_seen=seen, **found, **facts)
    logger.info("%s: %d of %d images prepared in %.1f s", role, len(manifest), found["images_found"], seconds)
    return read_json(record)


def read_listing(source: Source) -> Listing:
    """What a source of files holds, by its label file; raises `InputError`."""
    module, function = source.listing.split(":")
    return getattr(importlib.import_module(module), function)(source)


def read_role(study: "Study", role: str) -> list[Listing]:
    """A listing for each of a role's sources; none where the films are simulated.

    Raises `InputError`, also where two sources name the same patient: whether that is one person is not for a program
    to guess, and folds and audit rest on it.
    """
    if study.data.simulated(role):
        return []
    listings = [read_listing(source) for source in study.data.sources(role)]
    for first, second in combinations(listings, 2):
        shared = sorted(set(first.manifest["patient_id"]) & set(second.manifest["patient_id"]))
        if shared:
            example = f", e.g. {shared[0]}" if study.publishable(role) else ""
            raise InputError(
                f"{second.labels_file}: {len(shared)} of its patient ids are also in {first.labels_file}{example}; the "
                "ids of one role name one person each: give the ids of one table a prefix if these are different "
                "people, or put both tables and their images into one folder if they are the same"
            )
    return listings


def rows_of_role(study: "Study", role: str) -> pd.DataFrame:
    """A role's films before any was read, as in a manifest; raises as `read_role`."""
    if not study.data.simulated(role):
        return _numbered([listing.manifest for listing in read_role(study, role)])
    names = [role, *(f"{role}-{number}" for number in range(2, len(study.data.sources(role)) + 1))]
    sources = zip(names, study.data.sources(role), strict=True)
    return _numbered([phantom_manifest(source, name, study.seed) for name, source in sources])


def _numbered(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all sources; of several, a film's id begins with the number of its source (`source_of`), since equal
    file names in two folders mean nothing."""
    if len(tables) == 1:
        return tables[0]
    parts = [table.assign(image_id=f"{number}/" + table["image_id"]) for number, table in enumerate(tables, start=1)]
    return pd.concat(parts, ignore_index=True)


def check_sources(study: "Study") -> None:
    """Raise one `InputError` that lists everything wrong with a study's sources; no pixel is read, nothing written."""
    problems = source_problems(study)
    if problems:
        raise InputError("\n".join(f"{study.file or study.name}: {problem}" for problem in problems))


def source_problems(study: "Study") -> list[str]:
    """Everything wrong with a study's sources, as far as it shows without reading a pixel."""
    problems = []
    for role in study.roles:
        problems += [f"data.{role}: {problem}" for problem in _role_problems(study, role)]
    named = [(role, source) for role in study.roles for source in study.data.sources(role)]
    for (first, one), (second, other) in combinations(named, 2):
        if _same_images(one, other):
            why = "each source once" if first == second else "a model is tested on images of its own"
            problems.append(f"data.{second}: the same images as data.{first}; {why}")
    return problems


def _role_problems(study: "Study", role: str) -> list[str]:
    try:
        listings, rows = read_role(study, role), rows_of_role(study, role)
    except InputError as error:
        return [str(error)]
    where = " and ".join(str(listing.labels_file) for listing in listings)
    problem = _label_problem(rows, sum(len(listing.unreadable) for listing in listings), where) if listings else ""
    if not problem and role == "hospital":
        problem = fold_problem(rows, study.data.folds) or _generator_problem(study, rows)
    return [problem] if problem else []


def _generator_problem(study: "Study", manifest: pd.DataFrame) -> str:
    """Why a generator would have too few of the hospital's films to learn from; empty if none has."""
    assigned = assign_folds(manifest, study.data.folds, study.seed)
    for label in LABELS:
        films = assigned.loc[assigned["label"] == label, "fold"].value_counts()
        fewest = films.sum() - (films.max() if "fold0" in study.generator_folds else 0)
        if fewest < FEWEST_FILMS:
            return (
                f"{len(assigned)} films, of which some generator would see only {fewest} {label} ones, but it needs "
                f"at least {FEWEST_FILMS}; add films of this label or change data.folds"
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
    if first.simulated or type(first) is not type(second):
        return False
    same = first.folder.resolve() == second.folder.resolve()
    return same and (not first.part or getattr(first, first.part) == getattr(second, first.part))


def _settings(study: "Study", role: str) -> dict[str, Any]:
    """What determines the prepared films, apart from the files: a folder may be moved, so only its name counts."""
    described = []
    for source in study.data.sources(role):
        described.append(source.model_dump(mode="json", exclude={"publishable", "folder", "allow_missing", "findings"}))
        if not source.simulated:
            described[-1]["folder_name"] = Path(source.folder).resolve().name
    settings: dict[str, Any] = described[0] if len(described) == 1 else {"sources": described}
    settings["image_sizes"] = list(study.image_sizes)
    if study.data.simulated(role):
        settings |= {"phantom_version": PHANTOM_VERSION, "seed": study.seed}
    if role == "hospital":
        settings |= {"folds": study.data.folds, "seed": study.seed}
    return settings


def _inputs(listings: list[Listing]) -> dict[str, Any]:
    """Of each source, hashes of the label file and of the images' names and sizes in bytes."""
    hashes = [_hashes_of(listing) for listing in listings]
    return {"sources": hashes} if len(hashes) > 1 else hashes[0] if hashes else {}


def _hashes_of(listing: Listing) -> dict[str, str]:
    digest = hashlib.sha256()
    try:
        for file in (*listing.manifest["file"], *filter(None, listing.manifest["lung_mask"])):
            digest.update(f"{file}\0{(listing.root / file).stat().st_size}\n".encode())
        # Without a table, a file's own name says its label.
        table = {} if listing.labels_file == listing.root else {"labels_sha256": sha256_of(listing.labels_file)}
        return {**table, "files_sha256": digest.hexdigest()}
    except OSError as error:
        raise InputError(f"{error.filename}: was there a moment ago: {error.strerror}; run it again") from None


def films_seen(study: "Study", role: str) -> str:
    """Hash of the names, sizes and times of a role's label files and films; empty where they are simulated."""
    return _seen(read_role(study, role))


def _seen(listings: list[Listing]) -> str:
    if not listings:
        return ""
    digest = hashlib.sha256()
    for listing in listings:
        for file in (listing.labels_file, *listing.manifest["file"], *filter(None, listing.manifest["lung_mask"])):
            found = (listing.root / file).stat()
            digest.update(f"{Path(file).name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _prepare_phantom(study: "Study", role: str, progress: Progress | None) -> pd.DataFrame:
    manifest = rows_of_role(study, role)
    rows = manifest.to_dict("records")
    with ExitStack() as files:
        arrays = _placed_arrays(files, study, role, ("images", "lungs", "opacities"))
        for index, row in enumerate(rows):
            source = study.data.source_of(role, row["image_id"])
            films = {size: phantom_film(source, study.seed, row, size) for size in study.image_sizes}
            for (kind, size), array in arrays.items():
                array.put(index, films[size].image if kind == "images" else getattr(films[size], kind))
            if progress:
                progress(index + 1, len(rows))
        for array in arrays.values():
            array.keep(range(len(rows)))
    return manifest


def _prepare_files(
    study: "Study", role: str, listings: list[Listing], progress: Progress | None
) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    rows = _numbered([listing.manifest for listing in listings])
    kinds = ("images", "lungs") if (rows["lung_mask"] != "").any() else ("images",)
    with ExitStack() as files:
        arrays = _placed_arrays(files, study, role, kinds)
        reasons: list[tuple[str, str]] = []
        for listing in listings:
            reasons += _read_source(listing, arrays, len(reasons), len(rows), progress)
        kept = [index for index, (reason, _) in enumerate(reasons) if not reason]
        left_out = [
            {"file": file, "reason": reason} for file, (reason, _) in zip(rows["file"], reasons, strict=True) if reason
        ]
        unreadable = [*(problem for listing in listings for problem in listing.unreadable), *left_out]
        manifest = _without_lost_masks(rows, [mask_reason for _, mask_reason in reasons]).iloc[kept]
        problem = _label_problem(manifest, len(unreadable), f"data.{role}")
        if not problem and role == "hospital":
            problem = fold_problem(manifest, study.data.folds)
        if problem:
            raise InputError(problem)  # so that the arrays are not kept either
        for array in arrays.values():
            array.keep(kept)
    return manifest.reset_index(drop=True), unreadable


def _read_source(
    listing: Listing,
    arrays: dict[tuple[str, int], PlacedArray],
    before: int,
    total: int,
    progress: Progress | None,
) -> list[tuple[str, str]]:
    """Put a source's films into their places, after so many of other sources; why films and masks were left out."""
    places = tuple((*key, str(array.path), array.offset + before * key[1] ** 2) for key, array in arrays.items())
    work = list(zip(listing.manifest["file"], listing.manifest["lung_mask"], strict=True))
    return read_films(FilmJob(str(listing.root), places), work, progress=part_of(progress, before, total))


def _without_lost_masks(rows: pd.DataFrame, reasons: list[str]) -> pd.DataFrame:
    lost = Counter(kind_of(reason) for reason in reasons if reason)
    if lost:
        # Counts, not names: a log may be shown, and the films may be private.
        logger.warning("lung masks left out: %s", ", ".join(f"{count} {kind}" for kind, count in lost.items()))
    return rows.assign(lung_mask=rows["lung_mask"].where([not reason for reason in reasons], ""))


def _found(used: int, unreadable: list[dict[str, str]], listings: list[Listing]) -> dict[str, Any]:
    """The part of the record that accounts for every file that the labels name, and for those they don't."""
    reasons = Counter(kind_of(problem["reason"]) for problem in unreadable)
    by_label: Counter[str] = sum((Counter(listing.expected_by_label) for listing in listings), Counter())
    return {
        "files_expected": sum(listing.expected for listing in listings) if listings else used,
        **({"expected_by_label": dict(by_label)} if listings else {}),
        "missing": reasons["missing"],
        "unexpected": sum(len(listing.unexpected) for listing in listings),
        "images_found": used + len(unreadable),
        "reasons": dict(reasons.most_common()),
    }


def _placed_arrays(
    files: ExitStack, study: "Study", role: str, kinds: Sequence[str]
) -> dict[tuple[str, int], PlacedArray]:
    """An array for each kind of picture and each size."""
    arrays = {}
    for kind, size in product(kinds, study.image_sizes):
        path = study.results.images(role, size) if kind == "images" else masks_path(study, role, size, kind)
        arrays[kind, size] = files.enter_context(placed_array(path, (size, size)))
    return arrays


def _finish_manifest(
    study: "Study", role: str, manifest: pd.DataFrame, unreadable: list[dict[str, str]]
) -> dict[str, Any]:
    """Fold, validate and write the manifest; the facts of the record."""
    path = study.results.manifest(role)
    if role == "hospital":
        manifest = assign_folds(manifest, study.data.folds, study.seed)
    write_csv(path, validate_manifest(manifest, str(path)))
    simulated = study.data.simulated(role)
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
