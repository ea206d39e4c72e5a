"""Contact sheets: of all films' borders, of films with notes, and of those that a person should tell or look over."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.films.listing import CONTACT_SHEETS
from cxrlib.intake.borders import FILMS_PER_SHEET, draw_sheet
from cxrlib.intake.judgement import NOT_SAID_VIEW
from cxrlib.intake.outcome import BORDERS, EACH_LEFT_OUT, LEFT_OUT_SHEETS, NOTED, UNCLEAR_SHEETS
from cxrlib.intake.pixels import convert_file
from cxrlib.intake.pseudonyms import make_private_folder
from cxrlib.intake.work import Work, notes_of
from cxrlib.intake.workers import Lost, run_isolated


def draw_sheets(work: Work, settings: str) -> dict[str, int]:
    """Write the contact sheets, unless those of exactly these films are there: {kind: sheets}."""
    borders = work.out / CONTACT_SHEETS
    films = {
        BORDERS: lambda: ((row["image_id"], work.picture(row["image_id"])) for row in work.journal.used()),
        NOTED: lambda: (
            (f"{row['image_id']}: {notes_of(row)}", work.picture(row["image_id"]))
            for row in work.journal.used()
            if notes_of(row) not in ("", NOT_SAID_VIEW)
        ),
        UNCLEAR_SHEETS: lambda: _captioned(private_pictures(work, work.journal.unclear())),
        LEFT_OUT_SHEETS: lambda: _captioned(private_pictures(work, work.journal.left_out(EACH_LEFT_OUT))),
    }
    counts, digest = {}, hashlib.sha256(settings.encode())
    for kind, listed in films.items():
        captions = [caption for caption, _ in listed()]
        digest.update("".join(captions).encode())
        counts[kind] = -(-len(captions) // FILMS_PER_SHEET)
    # Films that nobody has told to be chests may show anything: their sheets stay beside the key.
    private = work.private / UNCLEAR_SHEETS
    make_private_folder(private)
    folders = {BORDERS: borders, NOTED: borders, UNCLEAR_SHEETS: private, LEFT_OUT_SHEETS: private}
    wanted = {folders[kind] / f"{kind}-{sheet + 1:03d}.png" for kind in counts for sheet in range(counts[kind])}
    present = {path for folder in (borders, private) if folder.is_dir() for path in folder.iterdir()}
    if work.journal.fact("sheets") == digest.hexdigest() and present == wanted:
        return counts
    work.journal.remember("sheets", "")
    for path in present:
        path.unlink()
    items = (item for kind, listed in films.items() for item in _sheets(folders[kind], kind, listed()))
    for (place, *_), result in run_isolated(draw_sheet, items, 10 * work.seconds_per_file):
        if isinstance(result, Lost):
            raise InputError(f"{place}: the contact sheet can't be drawn: {result.detail}; run the import again")
    for path in private.iterdir():
        path.chmod(0o600)
    work.journal.remember("sheets", digest.hexdigest())
    return counts


def _captioned(films: Iterable[tuple[str, str, Path]]) -> Iterator[tuple[str, Path]]:
    return ((f"{image}: {reason}", picture) for image, reason, picture in films)


def private_pictures(work: Work, found: Iterable[tuple[bytes, str, str, str]]) -> Iterator[tuple[str, str, Path]]:
    """(image id, reason, picture) of films that are not used; the pictures lie beside the key, not in the folder.

    `found` are (path, image id, turn, reason).
    """
    folder = work.private / "unclear"
    make_private_folder(folder)
    films = list(found)
    items = [(path, folder / f"{image}.png", turn) for path, image, turn, _ in films]
    absent = [item for item in items if not item[1].is_file()]
    for _ in run_isolated(partial(convert_file, source=work.source), absent, work.seconds_per_file):
        pass
    for (_, picture, _), (_, image, _, reason) in zip(items, films, strict=True):
        if picture.is_file():
            picture.chmod(0o600)
            yield image, reason, picture


def _sheets(
    folder: Path, kind: str, films: Iterable[tuple[str, Path]]
) -> Iterator[tuple[Path, list[tuple[str, Path]], bool]]:
    rest = iter(films)
    number = 1
    while some := list(itertools.islice(rest, FILMS_PER_SHEET)):
        yield folder / f"{kind}-{number:03d}.png", some, kind == BORDERS
        number += 1
