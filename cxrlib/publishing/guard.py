"""The guard: nothing is published that a study file forbids.

A role with `publishable: false` may give the book counts and statistics, but no pixel, id, file name or row of a
patient. What makes figures and tables keeps to this; the guard does not trust it. It refuses every file that
is no part of a book (`contents`), and looks at the rest: at texts for the ids and file names of private roles
(`names`), and at pictures for private films (`pixels`). It finds much, not all: `limits` says what it can't find, and
how often it misses the rest. Synthetic films may be shown, since figures fall back to them; one that is as near to a
private film as a copy would be is taken for the copy, and refused.

Where no role is private, neither names nor films are looked for.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.evaluation.suppression import SMALLEST_CELL, is_small
from cxrlib.files import homes, read_json
from cxrlib.films.audit import too_small_to_search
from cxrlib.films.manifest import read_manifest_csv
from cxrlib.films.search.pictures import FilmIndex
from cxrlib.films.settings import FolderSource
from cxrlib.publishing.guard_contents import pieces_of
from cxrlib.publishing.guard_names import Names, names_of
from cxrlib.publishing.guard_pages import COMMENTS, folder_names, foreign_loads, notebook_problems
from cxrlib.study import REPOSITORY, Study

__all__ = ["check_publishable", "check_results", "near_copies", "private_findings"]

MOST_LISTED = 40
CHECK_PIXELS = 128
SHEET_COLUMNS, SHEET_STEP, SHEET_GAP = 8, 160, 6


@dataclass(frozen=True)
class Secrets:
    """What of one role must not be seen: its names, and its films."""

    role: str
    names: Names
    films: FilmIndex


def check_publishable(html: Path, study: Study | None = None, *, private: tuple[Path, ...] = ()) -> None:
    """Refuse a built book that gives away or lacks something; raises `InputError` that lists every problem.

    Problems are: notebooks with widget state, a path in the home folder, in the study's or its data's folders or in one
    of `private`, anything that a page loads from another host, chapters that show fewer pictures than their cells made,
    and, with a study, ids, file names and films of its private roles (named by page, role and number, never by
    themselves).
    """
    folders = (*homes(), *private, *(_folders_of(study) if study else ()))
    asked = {COMMENTS} if study and study.about.comments else set()
    problems = [*folder_names(html, folders), *foreign_loads(html, asked), *notebook_problems(html)]
    if study is not None:
        problems += private_findings(study, html)
    _refuse(html, problems)


def check_results(study: Study, tell: Callable[[float], None] = lambda share: None) -> None:
    """Raise `InputError` if the study's chapters, figures or tables hold names or films of a private role; `tell` gets
    the share that was looked at."""
    folders, problems = study.results.published, []
    for number, folder in enumerate(folders):
        for share, found in _looked_through(study, folder):
            problems += found
            tell(float((number + share) / len(folders)))
    _refuse(study.results.root, problems)


def private_findings(study: Study, folder: Path) -> list[str]:
    """One line per file and role with ids, file names or films of a private role; links out of `folder` as well."""
    return [problem for _, found in _looked_through(study, folder) for problem in found]


def _looked_through(study: Study, folder: Path) -> Iterator[tuple[float, list[str]]]:
    """File by file, the share of the folder's bytes that were looked at, and what was found."""
    secrets = _secrets(study)
    if not secrets or not folder.exists():
        return
    _check_sizes(study)
    check_counts(study)
    tables = _written_tables(study)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    sizes = np.array([path.lstat().st_size + 1 for path in paths])
    for path, share in zip(paths, sizes.cumsum() / sizes.sum(), strict=True):
        where = str(path.relative_to(folder))
        link = [f"{where}: a link; only files of its own are published"]
        yield share, link if path.is_symlink() else list(_findings(path, where, secrets, tables))


def near_copies(study: Study, films: np.ndarray) -> np.ndarray:
    """bool (n,): which of the synthetic films, uint8 (n, S, S), the guard would take for a private film."""
    found = np.zeros(len(films), dtype=bool)
    for secret in _secrets(study) if len(films) else []:
        sheet = _sheet(films)
        while matches := secret.films.search(sheet):
            for match in matches:
                column, row = int(match.x // SHEET_STEP), int(match.y // SHEET_STEP)
                found[min(max(row, 0) * SHEET_COLUMNS + max(column, 0), len(films) - 1)] = True
                sheet[row * SHEET_STEP : (row + 1) * SHEET_STEP, column * SHEET_STEP : (column + 1) * SHEET_STEP] = 255
    return found


def _sheet(films: np.ndarray) -> np.ndarray:
    """Films in lines on white, as figures show them."""
    lines = -(-len(films) // SHEET_COLUMNS)
    sheet = np.full((lines * SHEET_STEP, SHEET_COLUMNS * SHEET_STEP), 255, dtype=np.uint8)
    for index, film in enumerate(films):
        row, column = divmod(index, SHEET_COLUMNS)
        top, left = row * SHEET_STEP + SHEET_GAP, column * SHEET_STEP + SHEET_GAP
        side = SHEET_STEP - 2 * SHEET_GAP
        shown = Image.fromarray(film).resize((side, side), Image.Resampling.BICUBIC)
        sheet[top : top + side, left : left + side] = np.asarray(shown)
    return sheet


def _written_tables(study: Study) -> set[str]:
    """SHA-256 of the tables that stages wrote, by their records."""
    records = (path for folder in study.results.published for path in folder.glob("*.json"))
    found = [read_json(path) for path in (*records, *study.results.root.glob("explanations/*.json"))]
    outputs = (record.get("outputs", {}) for record in found if isinstance(record, dict))
    return {facts["sha256"] for written in outputs for name, facts in written.items() if name.endswith(".csv")}


def _findings(path: Path, where: str, secrets: Sequence[Secrets], tables: Collection[str]) -> Iterator[str]:
    named: dict[str, set[str]] = {}
    shown: dict[str, set[int]] = {}
    try:
        for piece in pieces_of(path, where, tables):
            for secret in secrets:
                named.setdefault(secret.role, set()).update(secret.names.found_in(piece.text))
                found = (match.film for view in piece.picture for match in secret.films.search(view))
                shown.setdefault(secret.role, set()).update(found)
    except InputError as error:
        yield str(error)
    for role, names in named.items():
        if names:
            yield f"{where}: {_number(len(names), 'id or file name', 'ids or file names')} of the {role} role"
    for role, films in shown.items():
        if films:
            yield f"{where}: shows {_number(len(films), 'film', 'films')} of the {role} role, or as good as"


def _secrets(study: Study) -> list[Secrets]:
    return [_role_secrets(study, role) for role in study.private_roles]


def _check_sizes(study: Study) -> None:
    if problem := too_small_to_search(study):
        raise InputError(f"{study.file or study.name}: {problem}")


def check_counts(study: Study) -> None:
    """Raise `InputError` where 1 to 4 patients are all that a label has in a private role, or in a fold: the results of
    a label or of a fold's models would be about them."""
    for role in (role for role in study.private_roles if study.results.manifest(role).exists()):
        manifest = read_manifest_csv(study.results.manifest(role))
        parts = [manifest["label"], (manifest["label"] + " " + manifest["fold"]).str.strip()]
        patients = pd.concat([manifest.groupby(part)["patient_id"].nunique() for part in parts])
        for part in patients.index[patients.map(is_small)]:
            raise InputError(
                f"{study.file or study.name}: the {role} films are private, and those of `{part}` are of fewer than "
                f"{SMALLEST_CELL} patients, whom the results would be about; add films, or lower data.folds"
            )


def _role_secrets(study: Study, role: str) -> Secrets:
    """Raises `InputError` where the role's films are not prepared, since nothing can be compared with them then."""
    record = study.results.data_record(role)
    sizes = [size for size in study.image_sizes if study.results.images(role, size).exists()]
    if not record.exists() or not sizes:
        raise InputError(
            f"{study.results.data(role)}: the {role} films are private but not prepared, so that nothing can be "
            f"checked against them; run `cxr check {study.name}`"
        )
    chosen = min(sizes, key=lambda size: abs(size - CHECK_PIXELS))
    public = [name for name in study.roles if study.publishable(name) and study.results.data_record(name).exists()]
    shared = {found for name in public for found in _role_names(study, name)}
    tables = [source.columns for source in study.data.sources(role) if isinstance(source, FolderSource)]
    own = [name for columns in tables for name in (columns.patient_id, columns.file)]
    names = Names(_role_names(study, role), shared=shared, vocabulary=_own_words(), columns=own)
    return Secrets(role, names, _film_index(study.results.images(role, chosen)))


@lru_cache(maxsize=4)
def _film_index_of(path: Path, changed: int) -> FilmIndex:
    return FilmIndex(np.load(path, mmap_mode="r", allow_pickle=False))


def _film_index(path: Path) -> FilmIndex:
    """The films of an array, all that were prepared: also those that the audit left out."""
    return _film_index_of(path, path.stat().st_mtime_ns)


def _role_names(study: Study, role: str) -> set[str]:
    """Ids and file names of a role: of its films, of what could not be read, and of its masks."""
    manifest = read_manifest_csv(study.results.manifest(role))
    files = [*manifest["file"], *manifest["lung_mask"], *manifest["image_id"]]
    record = read_json(study.results.data_record(role))
    files += [entry["file"] for entry in record.get("unreadable", []) if isinstance(entry, dict)]
    found = set(map(str, manifest["patient_id"]))
    for file in filter(None, map(str, files)):
        found |= names_of(file)
    return found


@cache
def _own_words() -> str:
    """The text of this program: a word that stands there gives nobody away. Pages, notebooks and study files don't
    count, since people write in them."""
    package = Path(__file__).parent.parent
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py")))


def _folders_of(study: Study) -> tuple[Path, ...]:
    """Folders of this machine that no page may name: the study's, the library's, and those of its data."""
    sources = [source for role in study.roles for source in study.data.sources(role)]
    data = [source.folder.absolute() for source in sources if not source.simulated]
    return (study.root, REPOSITORY, *data)


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _refuse(folder: Path, problems: Sequence[str]) -> None:
    if problems:
        more = [f"and {len(problems) - MOST_LISTED} more"] if len(problems) > MOST_LISTED else []
        raise InputError(f"{folder}: not published:\n  " + "\n  ".join([*problems[:MOST_LISTED], *more]))
