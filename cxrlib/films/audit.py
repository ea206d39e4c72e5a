"""The audit of a study's films: no patient in two roles, no film that more than one role has.

A model that has seen a film, or another film of the patient, is not a fair judge of it. Patients who are in two roles
end the study. Copies of films are dropped from the public side, so that the hospital's set stays whole. So are films
that a role has under the ids of two patients; of the hospital's these are reported.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrlib.endpoint import freeze_endpoint
from cxrlib.errors import InputError
from cxrlib.files import read_json, write_table
from cxrlib.films.images import ImageSet, in_parallel, load_image_set
from cxrlib.films.preparation import prepare_role, rows_of_role, source_problems
from cxrlib.films.search.whole import COPY_SETTINGS, find_near_duplicates
from cxrlib.films.settings import EXTERNAL, LABELS, ROLES
from cxrlib.finished import makes
from cxrlib.progress import Report, part_of
from cxrlib.records import is_finished, write_record

if TYPE_CHECKING:
    from cxrlib.study import Study

DUPLICATE_COLUMNS = (
    "role_a", "image_id_a", "file_a", "role_b", "image_id_b", "file_b", "kind", "correlation", "dropped",
)  # fmt: skip
EXAMPLES = 3
# The films of which roles each role's films are compared with; of its own, with those of other patients.
COMPARED = {
    "training": ("training",),
    "validation": ("training", "validation"),
    "hospital": ROLES,
    EXTERNAL: (*ROLES, EXTERNAL),
}

# Fewer, and the guard of books takes one film for another.
FEWEST_PIXELS = 64


def prepare_study(
    study: "Study", *, force: bool = False, progress: Callable[[str], Report] | None = None
) -> dict[str, Any]:
    """Prepare the roles and audit them; returns the audit's record. `progress(what)` gives a role's callback."""
    freeze_endpoint(study)
    for role in study.roles:
        prepare_role(study, role, force=force, progress=progress(f"films of {role}") if progress else None)
    return audit_study(study, force=force, progress=progress("audit") if progress else None)


def too_small_to_search(study: "Study") -> str:
    """Why no book could be searched for films of private roles; empty where it can be."""
    largest = max(study.image_sizes)
    if not study.private_roles or largest >= FEWEST_PIXELS:
        return ""
    return (
        f"films are private and kept at {largest} pixels a side; below {FEWEST_PIXELS} they can't be told apart, and a "
        f"book can't be searched for them; set gan.resolution or classifier.image_size to {FEWEST_PIXELS} or more, or "
        "publish a study of simulated films"
    )


def check_before(study: "Study", *, book: bool = False) -> None:
    """Raise one `InputError` with everything that shows before a pixel is read: unusable sources, shared patients and,
    where a `book` is wanted, films too small for it to be searched for them.

    Nothing is written.
    """
    problems = [*source_problems(study), *filter(None, [too_small_to_search(study)] if book else [])]
    manifests = {}
    for role in study.roles:
        if not study.data.simulated(role):
            with contextlib.suppress(InputError):  # of those tell the problems of the sources
                manifests[role] = rows_of_role(study, role)
    if not any("the same images as" in problem for problem in problems):
        problems += patient_problems(study, shared_patients(manifests), "")
    if problems:
        raise InputError("\n".join(f"{study.file or study.name}: {problem}" for problem in problems))


@makes("audit")
def audit_study(study: "Study", *, force: bool = False, progress: Report | None = None) -> dict[str, Any]:
    """Search the prepared films for patients and copies that more than one role has; returns the record.

    Writes `data/duplicates.csv` (private; `DUPLICATE_COLUMNS`, one row per pair) and, last, the record
    `data/audit.json`: `excluded` {role: [image_id]}, `excluded_sha256` {role: hash}, `used` {role: {images_used,
    by_label, patients}} without the excluded films, and `pairs`, counts by roles and kind. `left_out` says which of two
    copies is excluded. `progress(done, total)` counts films.

    Raises `InputError` if a patient has films in two roles or folds, if the films were not prepared, or if too little
    would be left.
    """
    started = time.perf_counter()
    record = study.results.audit_record
    films = {role: load_image_set(study, role, max(study.image_sizes), audited=False) for role in study.roles}
    settings, inputs = _what_decides(study)
    if is_finished(record, settings, inputs, force):
        return read_json(record)
    record.unlink(missing_ok=True)
    _refuse_shared_patients(study, {role: films[role].manifest for role in study.roles})
    pairs = find_copies(study, films, progress)
    write_table(study.results.duplicates, pairs)
    excluded = {}
    for role in study.roles:
        dropped = pairs[pairs["dropped"] == role]
        excluded[role] = sorted(set(dropped["image_id_a"].where(dropped["role_a"] == role, dropped["image_id_b"])))
    used = {role: _used(study, role, films[role].manifest, excluded[role]) for role in study.roles}
    write_record(
        record, settings, inputs, time.perf_counter() - started, outputs=[study.results.duplicates], excluded=excluded,
        used=used,
        excluded_sha256={role: hashlib.sha256(json.dumps(ids).encode()).hexdigest() for role, ids in excluded.items()},
        pairs=_pair_counts(pairs),
    )  # fmt: skip
    return read_json(record)


def left_out(role_a: str, role_b: str) -> str:
    """The role that loses one of two copies, or "": the more public one (training before validation), never the
    hospital, whose set stays whole. A second hospital loses its own, so that nothing that is fitted depends on it."""
    if role_b == EXTERNAL:
        return role_b
    return "" if role_a == role_b == "hospital" else role_a


def shared_patients(manifests: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Patients with films in two roles: one row each, columns `role_a, role_b, patient_id, films_a, films_b`."""
    counts = {role: manifest["patient_id"].value_counts() for role, manifest in manifests.items()}
    rows = [
        (role_a, role_b, patient, int(counts[role_a][patient]), int(counts[role_b][patient]))
        for role_a, role_b in combinations(manifests, 2)
        for patient in sorted(set(counts[role_a].index) & set(counts[role_b].index))
    ]
    return pd.DataFrame(rows, columns=["role_a", "role_b", "patient_id", "films_a", "films_b"])


def patient_problems(study: "Study", shared: pd.DataFrame, where: str) -> list[str]:
    """One sentence per pair of roles that share patients; ids as examples only where both roles may be published."""
    problems = []
    for (role_a, role_b), rows in shared.groupby(["role_a", "role_b"], sort=False):
        public = all(study.publishable(role) for role in (role_a, role_b))
        ids = ", ".join(rows["patient_id"].head(EXAMPLES))
        examples = f", e.g. {ids}" if public else ""
        problems.append(
            f"data.{role_b}: {len(rows)} of its patients also have films in data.{role_a}{examples}{where}; a model is "
            "tested on patients it never saw: take their films out of one role or, if these are different people "
            "under the same id, give the ids of one role a prefix"
        )
    return problems


def find_copies(study: "Study", films: dict[str, ImageSet], progress: Report | None = None) -> pd.DataFrame:
    """Pairs of films that are copies of each other: `DUPLICATE_COLUMNS`, the more public role first.

    Between roles, and between different patients of a role, where a film would count twice, or let a generator see what
    it is tested on: of the hospital's, copies are reported and nothing is dropped, since only a person can tell whose
    film it is.
    Simulated films among themselves are compared by their pixels alone: each has an anatomy drawn for itself, but that
    has fewer features than a patient's, so that at small sizes phantoms would be taken for copies.
    """
    simulated = {role for role in study.roles if study.data.simulated(role)}
    compared = {role: COMPARED[role] for role in study.roles}
    searched = [role for role, others in compared.items() if not simulated.issuperset((role, *others))]
    done = sum(map(len, films.values()))
    total = done + sum(len(films[role]) for role in searched)
    hashes, rows = _file_hashes(study, films, part_of(progress, 0, total)), []
    who = {role: found.manifest["patient_id"].to_numpy(str) for role, found in films.items()}
    for role_b, roles_a in compared.items():
        for role_a in roles_a:
            for b in np.flatnonzero(np.isin(hashes[role_b], hashes[role_a])).tolist():
                same = _compared(who, role_a, role_b, b) & (hashes[role_a] == hashes[role_b][b])
                rows += [_pair(films, role_a, int(a), role_b, b, "same-file", 1.0) for a in np.flatnonzero(same)]
        if role_b not in searched:
            continue
        may = partial(_other_files, who, hashes, roles_a, role_b, simulated)
        sets = [films[role].images for role in roles_a]
        found = find_near_duplicates(sets, films[role_b].images, may, part_of(progress, done, total))
        done += len(films[role_b])
        for role_a, copies in zip(roles_a, found, strict=True):
            for copy in copies:
                rows.append(_pair(films, role_a, copy.target, role_b, copy.query, "near-duplicate", copy.correlation))
    return pd.DataFrame(rows, columns=list(DUPLICATE_COLUMNS))


def _compared(who: dict[str, np.ndarray], role_a: str, role_b: str, row: int) -> np.ndarray:
    """bool (N,): the films of `role_a` that a film of `role_b` is compared with: all of another role, of its own later
    ones of other patients."""
    if role_a != role_b:
        return np.ones(len(who[role_a]), bool)
    return (who[role_a] != who[role_a][row]) & (np.arange(len(who[role_a])) > row)


def _other_files(
    who: dict[str, np.ndarray], hashes: dict[str, np.ndarray], roles_a: tuple[str, ...], role_b: str,
    by_pixels_alone: set[str], number: int, row: int,
) -> np.ndarray:  # fmt: skip
    """bool (N,): the films to search for copies in the role of this number, without the very same files."""
    role_a = roles_a[number]
    others = hashes[role_a] != hashes[role_b][row]
    return _compared(who, role_a, role_b, row) & others & (not by_pixels_alone.issuperset((role_a, role_b)))


def _pair(
    films: dict[str, ImageSet], role_a: str, a: int, role_b: str, b: int, kind: str, correlation: float
) -> dict[str, Any]:
    first, second = films[role_a].manifest.iloc[a], films[role_b].manifest.iloc[b]
    return {
        "role_a": role_a, "image_id_a": first["image_id"], "file_a": first["file"],
        "role_b": role_b, "image_id_b": second["image_id"], "file_b": second["file"],
        "kind": kind, "correlation": round(correlation, 4), "dropped": left_out(role_a, role_b),
    }  # fmt: skip


def _file_hashes(study: "Study", films: dict[str, ImageSet], progress: Report | None) -> dict[str, np.ndarray]:
    """SHA-256 of each film's file, by role; of its pixels where it is simulated."""
    total, done, hashes = sum(map(len, films.values())), 0, {}
    for role in study.roles:
        found = []
        for digest in in_parallel(_hasher(study, role, films[role]), range(len(films[role]))):
            found.append(digest)
            done += 1
            if progress:
                progress(done, total)
        hashes[role] = np.array(found, dtype=str)
    return hashes


def _hasher(study: "Study", role: str, films: ImageSet) -> Callable[[int], str]:
    if study.data.simulated(role):
        return lambda row: hashlib.sha256(films.images[row].tobytes()).hexdigest()
    rows = films.manifest[["image_id", "file"]].to_numpy(str)

    def digest(row: int) -> str:
        path = study.data.source_of(role, rows[row, 0]).folder / rows[row, 1]
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path}: can't be read any more: {error.strerror}; prepare data.{role} again") from None

    return digest


def _what_decides(study: "Study") -> tuple[dict[str, Any], dict[str, Any]]:
    size = max(study.image_sizes)
    inputs = {}
    for role in study.roles:
        prepared = read_json(study.results.data_record(role))
        inputs[role] = {
            "manifest_sha256": prepared["manifest_sha256"],
            "images_sha256": prepared["images_sha256"][str(size)],
            **prepared["inputs"],
        }
    return {"image_size": size, "copies": COPY_SETTINGS}, inputs


def _refuse_shared_patients(study: "Study", manifests: dict[str, pd.DataFrame]) -> None:
    shared = shared_patients(manifests)
    path = study.results.shared_patients
    path.unlink(missing_ok=True)
    if len(shared):
        write_table(path, shared)
        problems = patient_problems(study, shared, f" (all are listed in {path})")
        raise InputError("\n".join(f"{study.file or study.name}: {problem}" for problem in problems))


def _used(study: "Study", role: str, manifest: pd.DataFrame, excluded: list[str]) -> dict[str, Any]:
    """Counts of the films that stay; raises `InputError` if a label has none left."""
    left = manifest[~manifest["image_id"].isin(excluded)]
    by_label = {label: int((left["label"] == label).sum()) for label in LABELS}
    gone = [label for label, count in by_label.items() if count == 0]
    if gone:
        raise InputError(
            f"{study.file or study.name}: data.{role}: without the {len(excluded)} copies of films of other roles "
            f"(listed in {study.results.duplicates}) no {gone[0]} film is left; use other films for this role"
        )
    return {"images_used": len(left), "by_label": by_label, "patients": int(left["patient_id"].nunique())}


def _pair_counts(pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """How many pairs of films each two roles share, by kind."""
    counted = pairs.groupby(["role_a", "role_b", "kind"], sort=False).size()
    return [{"role_a": a, "role_b": b, "kind": kind, "pairs": int(n)} for (a, b, kind), n in counted.items()]
