"""Copy a built book to where others may read it, after the guard has looked at the copy and a person has signed it."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.files import write_text
from cxrlib.publishing.guard import check_publishable, check_results
from cxrlib.publishing.release import (
    check_whole,
    checked_name,
    pictures_of,
    release_lines,
    write_release,
    write_sheet,
)
from cxrlib.records import damage_of
from cxrlib.study import Study

MARK = ".cxr-book"


def publish_book(
    study: Study,
    target: Path | None = None,
    *,
    sign: Callable[[list[str]], str],
) -> Path:
    """Copy `_build/<study>/html` to `target` (by default `published/<study>`) and return the folder's `index.html`.

    The copy is made beside the target, checked there, and then takes the target's place; a reader finds the old book
    or the new one. What it replaces has to be a book that this function wrote, told by its mark. Before that, `sign` is
    given what leaves and what the guard can't promise, line by line, and returns the name of whoever answers for it;
    the signed record goes into the study's results, with a sheet of every picture beside it. Raises `InputError`, with
    the target as it was, where there is no whole book, the target is unsuitable or can't be written, nobody signs,
    or the guard finds something.
    """
    html = study.build_folder / "html"
    if not (html / "index.html").is_file():
        raise InputError(f"{html}: no book there yet; make it with `cxr report {study.name}`")
    target = Path.cwd() / (target or study.root / "published" / study.name)
    _check_target(study, target)
    damaged = damage_of(study.build_folder / "book.json")
    if damaged:
        said = "\n  ".join(damaged[:5])
        raise InputError(f"{html}: not the book that was built:\n  {said}\nrun `cxr report {study.name}` again")
    check_whole(html.resolve())
    check_results(study)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent)).resolve()
    except OSError as error:
        raise InputError(f"{target.parent}: can't be written: {error.strerror or error}; choose another --to") from None
    try:
        copy = aside / "new"
        _copy(html, copy)
        check_publishable(copy, study)
        responsible = _signed(study, copy, sign)
        write_text(copy / MARK, f"{study.name}\n")
        write_release(study, copy, responsible, target, pictures_of(copy))
        _replace(copy, target, aside / "old")
    except OSError as error:
        raise InputError(f"{target}: can't be written: {error.strerror or error}; nothing there was changed") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target / "index.html"


def _signed(study: Study, html: Path, sign: Callable[[list[str]], str]) -> str:
    pictures, sheet = pictures_of(html), study.results.releases / "sheet.html"
    write_sheet(study, pictures, sheet)
    return checked_name(sign(release_lines(study, html, pictures, sheet)))


def _check_target(study: Study, target: Path) -> None:
    """Raise `InputError` for a target that is private, the book's own source, or somebody else's folder."""
    kept = {"results": study.results.root.parent, "_build": study.build_folder.parent}
    for name, folder in kept.items():
        inside = target.resolve()
        if inside.is_relative_to(folder.resolve()) or folder.resolve().is_relative_to(inside):
            raise InputError(
                f"--to {target}: overlaps with {name}/, which is not for publishing; choose another folder"
            )
    if target.is_symlink():
        raise InputError(f"--to {target}: a link; name the folder that it leads to")
    if target.exists() and not target.is_dir():
        raise InputError(f"--to {target}: a file; name a folder, which may be there already or not")
    if target.is_dir() and any(target.iterdir()) and not (target / MARK).is_file():
        raise InputError(
            f"--to {target}: holds files that are no book of `cxr publish`; choose an empty or a new folder, "
            "or empty this one by hand"
        )


def _copy(source: Path, target: Path) -> None:
    """Copy files only: a link could lead anywhere, also after the check. Who may read them the umask says now."""
    links = [path for path in source.rglob("*") if path.is_symlink()]
    if links:
        raise InputError(f"{links[0]}: a link; a book is published as files of its own, build it again")
    target.mkdir()
    for path in sorted(source.rglob("*")):
        copied = target / path.relative_to(source)
        copied.mkdir() if path.is_dir() else shutil.copyfile(path, copied)


def _replace(new: Path, target: Path, old: Path) -> None:
    """Put `new` at `target`; should that fail, what was there comes back."""
    was_there = target.exists()
    if was_there:
        target.replace(old)
    try:
        new.replace(target)
    except OSError:
        if was_there:
            old.replace(target)
        raise
