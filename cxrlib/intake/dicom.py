"""From a hospital's DICOM export to a folder that the `folder` reader reads, with nothing in it that names a patient.

The folder holds `images/<image id>.png`, `labels.csv`, `import.csv` (what became of every file) and
`borders/borders-001.png` … Beside the key, and never in the folder, lie the journal, by which an interrupted import
goes on, and `files.csv`, in which the hospital can look up the file behind a pseudonym.
"""

import contextlib
import csv
import fcntl
import hashlib
import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.files import as_cell, atomic_path
from cxrlib.films.listing import IMPORT_TABLE
from cxrlib.intake.by_folder import FolderLabels, NoLabels, Unlabelled
from cxrlib.intake.decisions import read_decisions
from cxrlib.intake.header import CRASHED, SLOW, Header, read_header
from cxrlib.intake.journal import Journal
from cxrlib.intake.judgement import NOT_SAID_VIEW, UNCLEAR
from cxrlib.intake.labels import FilmLabels, read_film_labels
from cxrlib.intake.outcome import FILMS_FILE, IMAGES, LABELS_FILE, Imported
from cxrlib.intake.pixels import BLACK_PERCENTILE, LONG_SIDE_PX, WHITE_PERCENTILE, convert_file
from cxrlib.intake.pseudonyms import Pseudonyms, default_key_file, load_pseudonyms, make_private_folder
from cxrlib.intake.rules import FIELDS, Rules, read_rules
from cxrlib.intake.sheets import draw_sheets
from cxrlib.intake.source import Source, is_archive
from cxrlib.intake.work import Progress, Work, notes_of
from cxrlib.intake.workers import Lost, run_isolated

logger = logging.getLogger(__name__)

Labels = FilmLabels | FolderLabels | NoLabels

SECONDS_PER_FILE = 60
UTF8 = {"encoding": "utf-8", "errors": "surrogateescape"}  # file names that are no text stay as they are
LABEL_COLUMNS = ("file", "patient_id", "label", "view", "sex", "age", "year")
IMPORT_COLUMNS = ("file_id", "image_id", "outcome", "reason", "note")
# Whatever changes how a film looks or what a header means belongs here: a journal of other settings starts afresh.
SETTINGS = f"dicom 7, {LONG_SIDE_PX} px, percentiles {BLACK_PERCENTILE} and {WHITE_PERCENTILE}"


def import_dicom(
    source: Path,
    labels: Path | None,
    out: Path,
    *,
    key_file: Path | None = None,
    columns: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
    rules: Path | None = None,
    decisions: Path | None = None,
    look: Callable[[Work], None] | None = None,
    seconds_per_file: int = SECONDS_PER_FILE,
    progress: Progress | None = None,
    unlabelled: bool = False,
) -> Imported:
    """Turn the DICOM files of a folder, an archive or a DICOMDIR into the folder `out`; called again, it goes on.

    `labels` is the hospital's table, `columns` and `words` its names and words (see `read_film_labels`); without one,
    films have the labels of the folders that they lie in. `unlabelled` takes all films, and writes `films.csv` in the
    place of `labels.csv`, for readers to label. The key is made on first use. `rules` and `decisions` are a person's
    tables (see `read_rules` and `read_decisions`), kept for later calls; `look` lets a person decide more once films
    are drawn. `labels.csv` is written last: a folder that has it is finished. `progress("headers")`, then
    `progress("films")`, are told (done, total).

    Raises `InputError` for folders within each other, a folder `out` that holds anything else, an unfit key, another
    key than the import began with, labels that can't be used or disagree with themselves, a full disk, and a second
    import into the same folder.
    """
    source, out = Path(source), Path(out)
    _check_places(source, out)
    key_file = Path(key_file or default_key_file())
    place = key_file.expanduser().resolve()
    name = hashlib.sha256(f"{source.resolve()}\0{out.resolve()}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    private = place.with_name(f"{place.name}.imports") / name
    began = (private / "journal.sqlite").exists()
    pseudonyms = load_pseudonyms(key_file, outside=(source, out), make=not began)
    table = labels_of(source, labels, pseudonyms, columns, words, unlabelled)
    ruled, decided = read_rules(rules) if rules else None, read_decisions(decisions) if decisions else {}
    with _alone(private), contextlib.closing(Journal(private / "journal.sqlite", SETTINGS)) as journal:
        work = Work(Source(source, private / "unpacked"), out, private, pseudonyms, journal, seconds_per_file, progress)
        _check_key(work, place)
        _check_out(work, unlabelled)
        read_headers(work, journal.rule(ruled))
        journal.decide(decided)
        find_labels(work, table)
        _draw_films(work)
        if look:
            look(work)
            table = labels_of(source, labels, pseudonyms, columns, words, unlabelled)
            find_labels(work, table)
            _draw_films(work)
        _clear_films(work)
        sheets = draw_sheets(work, SETTINGS)
        _write_tables(work, unlabelled)
        shutil.rmtree(work.source.unpacked, ignore_errors=True)
        return _summary(work, table, sheets, place)


def labels_of(
    source: Path,
    file: Path | None,
    pseudonyms: Pseudonyms,
    columns: Mapping[str, str] | None,
    words: Mapping[str, str] | None,
    unlabelled: bool = False,
) -> FilmLabels | FolderLabels:
    """The labels of a table, or without one those of folders."""
    if unlabelled:
        if file is not None:
            raise InputError(f"--unlabelled: found beside --labels {file}; leave one of the two out")
        return Unlabelled(f"{source}", {})
    if file is None:
        return FolderLabels(f"{source}: no table of labels, and", words or {})
    return read_film_labels(Path(file), pseudonyms, columns, words)


def find_labels(work: Work, table: Labels) -> None:
    """Note each film's label in the journal."""
    journal = work.journal
    table.find_files((os.fsdecode(path), keys["file"]) for path, _, keys in journal.keyed())
    journal.note_labels((path, *table.label_of(keys, usable)) for path, usable, keys in journal.keyed())


def check_source(source: Path) -> None:
    """Raise `InputError` for what is no folder, archive or DICOMDIR."""
    if not source.is_dir() and not is_archive(source):
        raise InputError(f"{source}: no such folder; expected that of a DICOM export, an archive, or its DICOMDIR")


def _check_places(source: Path, out: Path) -> None:
    check_source(source)
    if source.name.upper() == "DICOMDIR":
        source = source.parent
    inside, outside = out.resolve(), source.resolve()
    if inside.is_relative_to(outside) or outside.is_relative_to(inside):
        raise InputError(f"{out}: lies within {source} or around it; choose a folder apart from the export")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: not a folder; choose another name with --out")


def _check_key(work: Work, key_file: Path) -> None:
    """Refuse another key than the import began with: under it every film and patient would have another name."""
    known, check = work.journal.fact("key_check"), work.pseudonyms.check_value
    if known and known != check:
        raise InputError(
            f"{key_file}: not the key that {work.out} was made with; put that one back from your copy of it, or choose "
            "an empty folder with --out to import afresh; nothing was changed"
        )
    work.journal.remember("key_check", check)


def _check_out(work: Work, unlabelled: bool) -> None:
    """Refuse to write among files of others; forget what was made if the folder was removed."""
    began = work.journal.fact("began")
    if began and not work.out.exists():
        work.journal.forget_files()
    if not began and work.out.exists() and any(work.out.iterdir()):
        raise InputError(
            f"{work.out}: holds files that no import of this source with this key made; choose an empty folder, "
            "or remove it to import afresh"
        )
    if not unlabelled and (work.out / FILMS_FILE).exists():
        raise InputError(
            f"{work.out}: its films were imported for readers to label; add --unlabelled, or choose an empty folder"
        )
    work.journal.remember("began", "yes")
    try:
        # Films of patients: whom else to let in is the hospital's decision.
        work.out.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Unfinished until it is written again.
        (work.out / (FILMS_FILE if unlabelled else LABELS_FILE)).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{work.out}: can't be written: {error.strerror or error}") from None


@contextlib.contextmanager
def _alone(private: Path) -> Iterator[None]:
    """Hold the import's lock; the kernel gives it back however this process ends."""
    try:
        make_private_folder(private)
        lock = os.fdopen(os.open(private / "lock", os.O_RDWR | os.O_CREAT, 0o600), "w")
    except OSError as error:
        raise InputError(f"{private}: can't be written: {error.strerror or error}; name another --key") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{private}: this import is running already; wait for it to end") from None
        yield


def read_headers(work: Work, rules: Rules) -> None:
    """Read the headers that were not read yet into the journal."""
    journal = work.journal
    journal.see(work.source.walk(), lambda path: work.pseudonyms.of("file", os.fsdecode(path)))
    read = partial(read_header, source=work.source, pseudonyms=work.pseudonyms, rules=rules)
    total = sum(1 for _ in journal.without_header())
    report = work.progress("headers") if work.progress else None
    for done, (path, header) in enumerate(run_isolated(read, journal.without_header(), work.seconds_per_file), 1):
        if isinstance(header, Lost):
            header = Header(SLOW if header.slow else CRASHED, header.detail)
        journal.note_header(path, header)
        if report:
            report(done, total)


def _draw_films(work: Work) -> None:
    """Write every image once; where a file fails, the next file of the same image is tried."""
    journal, images = work.journal, work.out / IMAGES
    for leftover in images.glob(".*.png"):
        leftover.unlink()
    for path, image_id in journal.drawn():
        if not work.picture(image_id).is_file():
            journal.note_pixels(path, None)
    draw = partial(convert_file, source=work.source)
    done, total = 0, sum(1 for _ in journal.undecoded())
    report = work.progress("films") if work.progress else None
    while total:
        items: Iterable = ((path, work.picture(image_id), turn) for path, image_id, turn in journal.undecoded())
        for (path, *_), result in run_isolated(draw, items, work.seconds_per_file):
            if isinstance(result, Lost):
                result = (SLOW if result.slow else CRASHED, result.detail, "")
            journal.note_pixels(path, *result)
            done += 1
            if report:
                report(done, total)
        failed = sum(1 for _ in journal.undecoded())
        if not failed:
            return
        total += failed


def _clear_films(work: Work) -> None:
    """Remove pictures that are no part of the data set any more, and what a killed worker left."""
    images = work.out / IMAGES
    images.mkdir(exist_ok=True)
    used = {row["image_id"] for row in work.journal.used()}
    for picture in images.iterdir():
        if picture.stem not in used:
            picture.unlink()


def _write_tables(work: Work, unlabelled: bool) -> None:
    """The private table of files first, the labels last."""
    journal = work.journal
    files = work.private / "files.csv"
    _write_rows(
        files,
        (*IMPORT_COLUMNS, "detail", "file", *FIELDS),
        (
            tuple(
                map(
                    as_cell,
                    (*_outcome(row), row["detail"], _said(row["path"]), *(row[f"said_{name}"] for name in FIELDS)),
                )
            )
            for row in journal.outcomes()
        ),
        private=True,
    )
    _write_rows(work.out / IMPORT_TABLE, IMPORT_COLUMNS, (_outcome(row) for row in journal.outcomes()))
    columns = [name for name in LABEL_COLUMNS if not (unlabelled and name == "label")]
    films = ((f"{IMAGES}/{row['image_id']}.png", *(row[name] for name in columns[1:])) for row in journal.used())
    _write_rows(work.out / (FILMS_FILE if unlabelled else LABELS_FILE), columns, films)


def _said(path: bytes) -> str:
    """A file's name as text; bytes that are none are written as escapes."""
    return path.decode("utf-8", "backslashreplace")


def _outcome(row) -> tuple[str, ...]:
    """A row of `import.csv`. Whether it can't be told is an outcome of its own: a person can."""
    outcome = "can't tell" if row["reason"] in UNCLEAR else "skipped" if row["reason"] else "used"
    return (
        row["file_id"],
        row["image_id"],
        outcome,
        row["reason"],
        notes_of(row),
    )


def _write_rows(path: Path, columns: Iterable[str], rows: Iterable[Iterable[str]], private: bool = False) -> None:
    with atomic_path(path, private=private) as temporary, open(temporary, "w", newline="", **UTF8) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _summary(work: Work, table: Labels, sheets: dict[str, int], key_file: Path) -> Imported:
    by_label, view_unknown, notes = {}, 0, Counter()
    for row in work.journal.used():
        notes.update(note for note in notes_of(row).split("; ") if note not in ("", NOT_SAID_VIEW))
        by_label[row["label"]] = by_label.get(row["label"], 0) + 1
        view_unknown += NOT_SAID_VIEW in row["note"]
    return Imported(
        files=work.journal.count("*"),
        used=sum(by_label.values()),
        skipped=work.journal.reasons(),
        patients=work.journal.count("patient_id"),
        by_label={} if isinstance(table, Unlabelled) else by_label,
        table=FILMS_FILE if isinstance(table, Unlabelled) else LABELS_FILE,
        view_unknown=view_unknown,
        sheets=sheets,
        notes=dict(notes.most_common()),
        of_the_labels=tuple(table.lines()),
        private_folder=work.private,
        key_file=key_file,
    )
