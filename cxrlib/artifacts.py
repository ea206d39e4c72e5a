"""Where every result lies, how it is written, and whether it is done.

This is the only place that knows the names of the files under `results/<study>/`. A stage writes each file under a
temporary name and renames it; last of all it writes its record: settings, inputs, seconds, and the hashes of the files
that it leaves. A folder without a record can be gone on with.
"""

import csv
import hashlib
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrlib.errors import InputError

# What a spreadsheet takes for a formula, unless it is all number.
FORMULA = re.compile(r"'*(?:[=@\t\n]|[+-](?![\d.,%\s()–-]*$))")

logger = logging.getLogger(__name__)

OPENINGS = "openings.csv"
# Names a file that gets a line for every file written, for whoever has to know what a notebook wrote.
WRITTEN = "CXR_WRITTEN"
# Set where nobody watches a notebook, so that nothing in it waits for a hand.
HEADLESS = "CXR_HEADLESS"
# The chapters in their order, and the stages that each reads.
CHAPTERS = {
    "01_data": ("film_tables",),
    "02_gan_training": ("generator", "synthetic", "quality", "comparisons"),
    "03_synthesis_review": ("synthetic", "quality", "simulated_readings"),
    "04_classifier_training": ("classifier",),
    "05_results": ("film_tables", "quality", "simulated_readings", "tables", "explanations"),
}
# What a record says of the moment, not of the content.
VOLATILE = ("seconds", "made_with", "sha256", "films_seen")


@dataclass(frozen=True)
class Results:
    """The tree `results/<study>/`."""

    root: Path

    @property
    def study_file(self) -> Path:
        return self.root / "study.yaml"

    @property
    def provenance(self) -> Path:
        return self.root / "provenance.json"

    @property
    def endpoint(self) -> Path:
        """The primary endpoint, frozen before a hospital film was opened."""
        return self.root / "endpoint.json"

    def data(self, role: str) -> Path:
        return self.root / "data" / role

    def manifest(self, role: str) -> Path:
        return self.data(role) / "manifest.csv"

    def images(self, role: str, size: int) -> Path:
        """uint8 array (images, size, size), row i belonging to row i of the manifest."""
        return self.data(role) / f"images-{size}.npy"

    def data_record(self, role: str) -> Path:
        return self.data(role) / "audit.json"

    @property
    def audit_record(self) -> Path:
        """What the audit of all roles found, and which films are left out (private: holds ids)."""
        return self.root / "data" / "audit.json"

    @property
    def duplicates(self) -> Path:
        """Copies found by the audit, side by side (private: holds ids and file names)."""
        return self.root / "data" / "duplicates.csv"

    @property
    def shared_patients(self) -> Path:
        """Patients with films in more than one role, written when the audit refuses them (private: holds ids)."""
        return self.root / "data" / "shared_patients.csv"

    def generator(self, label: str, fold: str, variant: str = "") -> Path:
        """Folder with generator.safetensors, config.json (the record), log.csv, snapshots.csv, samples.png, one
        samples-<images>.png per snapshot, tensorboard/ and checkpoint/.

        A variant is trained for a comparison, one thing changed, and lies beside the generator it is compared with.
        """
        return self.root / "gan" / label / (f"{fold}-{variant}" if variant else fold)

    def generator_record(self, label: str, fold: str, variant: str = "") -> Path:
        return self.generator(label, fold, variant) / "config.json"

    def synthetic(self, label: str, fold: str) -> Path:
        """Folder with images.npy, manifest.csv and audit.json (the record)."""
        return self.root / "synthetic" / label / fold

    def synthetic_record(self, label: str, fold: str) -> Path:
        return self.synthetic(label, fold) / "audit.json"

    def real_distances(self, label: str, fold: str) -> Path:
        """How near real films come to the training films of other patients (private: a row is a patient's film)."""
        return self.synthetic(label, fold) / "real_distances.csv"

    @property
    def lungs(self) -> Path:
        """Folder with segmenter0.safetensors, segmenter1.safetensors and measures.csv (private: holds patients)."""
        return self.root / "lungs"

    @property
    def lungs_record(self) -> Path:
        return self.lungs / "lungs.json"

    def classifier(self, arm: str, seed: int, fold: str) -> Path:
        """Folder with model.safetensors, log.csv, predictions.csv, openings.csv, checkpoint/, config.json (the record).

        The arm `source-rule` has sources.csv in place of model.safetensors, and neither log nor openings.
        """
        return self.root / "classifier" / arm / f"seed{seed}" / fold

    def classifier_record(self, arm: str, seed: int, fold: str) -> Path:
        return self.classifier(arm, seed, fold) / "config.json"

    def predictions(self, arm: str, seed: int, fold: str) -> Path:
        return self.classifier(arm, seed, fold) / "predictions.csv"

    def openings(self, arm: str, seed: int, fold: str) -> Path:
        """Every opening of the hospital's films by a model of this arm, seed and fold; `--force` never removes it."""
        return self.classifier(arm, seed, fold) / OPENINGS

    def review(self, protocol: str) -> Path:
        """Folder of a reading (private: it holds the truth about its films, and the answers)."""
        return self.root / "review" / protocol

    def reading(self, protocol: str) -> "Reading":
        return Reading(self.review(protocol))

    def simulated_record(self, protocol: str, readers: int) -> Path:
        """That so many simulated readers have answered everything."""
        return self.review(protocol) / f"simulated-{readers}.json"

    def rejected(self, protocol: str) -> Path:
        """Synthetic films that readers found not usable: label, fold, image_id, readers, against."""
        return self.review(protocol) / "rejected.csv"

    def rejected_record(self, protocol: str) -> Path:
        """Whose answers decided which films are rejected, once and for all."""
        return self.review(protocol) / "rejected.json"

    def table(self, name: str) -> Path:
        return self.root / "tables" / f"{name}.csv"

    @property
    def tables_record(self) -> Path:
        return self.root / "tables" / "tables.json"

    @property
    def quality_record(self) -> Path:
        return self.root / "tables" / "quality.json"

    @property
    def comparisons_record(self) -> Path:
        return self.root / "tables" / "comparisons.json"

    @property
    def films_record(self) -> Path:
        """What was measured on the films, for Chapter 1."""
        return self.root / "tables" / "films.json"

    @property
    def film_map(self) -> Path:
        """Films as points of a plane (private: a row is a patient's film)."""
        return self.root / "data" / "film_map.csv"

    @property
    def border_weights(self) -> Path:
        """What the border rule learned from the training films, cell by cell."""
        return self.root / "data" / "border_weights.json"

    @property
    def explanations_record(self) -> Path:
        """Beside films.csv, films.npy and maps.npy: the films that figures show with what a classifier looked at."""
        return self.root / "explanations" / "explanations.json"

    def figure(self, name: str) -> Path:
        return self.root / "figures" / f"{name}.png"

    def chapter(self, name: str) -> Path:
        return self.root / "chapters" / f"{name}.ipynb"

    def chapter_record(self, name: str) -> Path:
        return self.root / "chapters" / f"{name}.json"

    @property
    def chapter_logs(self) -> Path:
        """Folder of failed notebooks and of what chapters wrote to stderr: private, these may name anything."""
        return self.root / "logs" / "chapters"

    @property
    def releases(self) -> Path:
        """Folder of the records of what was published, one for each time: who signed, and a hash of every file."""
        return self.root / "releases"

    @property
    def published(self) -> tuple[Path, ...]:
        """The folders that may hold nothing of a private role."""
        return tuple(self.root / name for name in ("chapters", "figures", "tables"))


@dataclass(frozen=True)
class Reading:
    """The files of one reading. They hold the truth about its films, and what readers answered: private."""

    root: Path

    @property
    def protocol(self) -> Path:
        """What was frozen before the first answer; its hash is in every event."""
        return self.root / "protocol.yaml"

    @property
    def worklist(self) -> Path:
        """One row per film shown, with its truth."""
        return self.root / "worklist.csv"

    @property
    def task_list(self) -> Path:
        """One row per task: its block, its films and, where there is one, the right answer."""
        return self.root / "tasks.csv"

    @property
    def events(self) -> Path:
        return self.root / "events"

    @property
    def door(self) -> Path:
        """Port and token of the reading's page, which stay the same until they are renewed."""
        return self.root / "door.json"

    def event_file(self, reader: str, session: str) -> Path:
        """The answers of one sitting, one event a line. `reader` is a name fit for files, without a hyphen."""
        return self.events / f"{reader}-{session}.jsonl"

    def event_files(self, reader: str = "*") -> list[Path]:
        """The files of all sittings of a reader, or of everybody."""
        return sorted(self.events.glob(f"{reader}-*.jsonl"))

    def event_lock(self, reader: str) -> Path:
        """Held by whoever of a reader's sittings is writing."""
        return self.events / f"{reader}.lock"


@contextmanager
def atomic_path(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`; renamed to it when the block ends well, removed when it does not.

    `private` files can be read by the account that wrote them only. A full disk or a read-only folder becomes an
    `InputError`, and the file that was there stays as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f".{path.stem}-{secrets.token_hex(6)}{path.suffix}")
        # Who else may read the file is the account's decision, by its umask.
        os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666))
        temporary = made
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
        if WRITTEN in os.environ:
            with open(os.environ[WRITTEN], "a", encoding="utf-8") as file:
                file.write(f"{path.resolve()}\n")
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror or error}; nothing there was changed") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a whole UTF-8 file at once, readable by its owner alone where `private`."""
    with atomic_path(path, private=private) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, at once."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises `InputError` if the file is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read: {error}; make it again with --force") from None


def write_csv(path: Path, table: Any, *, private: bool = False) -> None:
    """Write a pandas DataFrame without its index."""
    with atomic_path(path, private=private) as temporary:
        table.to_csv(temporary, index=False)


def write_table(path: Path, table: Any, *, private: bool = False) -> None:
    """Write a pandas DataFrame that people will open: no cell of it is a formula to a spreadsheet."""
    text = table.select_dtypes(exclude=["number", "bool"]).columns
    write_csv(path, table.assign(**{str(name): table[name].map(as_cell) for name in text}), private=private)


def as_cell(value: Any) -> Any:
    """A text without what a file of text can't hold (NUL, half a surrogate pair); one that a spreadsheet would take for
    a formula begins with one apostrophe more, which `unquoted_cell` takes away."""
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    return "'" + text if FORMULA.match(text) else text


def unquoted_cell(value: Any) -> Any:
    """The text that `as_cell` was given."""
    quoted = isinstance(value, str) and value.startswith("'") and FORMULA.match(value)
    return value[1:] if quoted else value


def append_log(path: Path, row: Mapping[str, Any], *, durable: bool = False) -> None:
    """Add one line to a CSV log, with the header before the first; `durable` waits until the disk has it.

    Raises `InputError` if it can't be written, e.g. because the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists() or path.stat().st_size == 0
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: can't be written: {error.strerror or error}") from error


def trim_log(path: Path, keep: Callable[[dict[str, str]], bool]) -> None:
    """Drop the log's lines that a resumed run will write again (and a torn last one)."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names: Sequence[str] = reader.fieldnames or ()
        rows = [row for row in reader if None not in row.values() and None not in row and keep(row)]
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=names)
        writer.writeheader()
        writer.writerows(rows)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(settings: Any, inputs: Any) -> str:
    """Short hash of what determines a result; a checkpoint with another fingerprint is not gone on with."""
    text = json.dumps({"settings": settings, "inputs": inputs}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_finished(record: Path, settings: Mapping[str, Any], inputs: Mapping[str, Any], force: bool = False) -> bool:
    """Whether the stage that owns `record` is done with exactly these settings and inputs, and its files are intact.

    With `force`, or where there is no record, False; also where the record or a file that it names is damaged, which is
    said. A record with other settings or inputs raises `InputError` that names what differs. `settings` and `inputs`
    are JSON-like; `inputs` are hashes of what the stage reads.
    """
    if force or not record.exists():
        return False
    try:
        stored = read_record(record)
    except InputError as error:
        logger.warning("%s; made again", error)
        return False
    wanted = json.loads(json.dumps({"settings": settings, "inputs": inputs}, default=str))
    found = {key: stored.get(key) for key in wanted}
    differences = list(differences_between(found, wanted))
    if differences:
        listed = "\n  ".join(differences)
        raise InputError(
            f"{record.parent}: finished with other settings:\n  {listed}\n"
            "Use --force to make it afresh, or another study name to keep both."
        )
    damaged = damaged_outputs(record, stored)
    if damaged:
        logger.warning("%s; made again", "; ".join(damaged))
        # Without its record a folder is unfinished, whatever happens to this process.
        record.unlink()
    return not damaged


def differences_between(found: Any, wanted: Any, key: str = "") -> Iterator[str]:
    """A line for each value that differs between nested dictionaries, with the keys that lead to it."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted(found.keys() | wanted.keys()):
            yield from differences_between(found.get(name), wanted.get(name), f"{key}.{name}".lstrip("."))
    elif found != wanted:
        yield f"{key}: there {found!r}, now {wanted!r}"


def write_record(
    record: Path,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Any],
    seconds: float,
    *,
    outputs: Iterable[Path] = (),
    **facts: Any,
) -> None:
    """Mark a stage as finished, with the files that it leaves; `facts` are what a reader of the record should know
    besides."""
    stored = {"settings": settings, "inputs": inputs, "seconds": round(seconds, 3), **facts}
    _write_signed(record, {**stored, "outputs": _described(record, outputs)})


def read_record(record: Path) -> dict[str, Any]:
    """A record; raises `InputError` if it is damaged. Those of older versions carry no signature."""
    stored = read_json(record)
    signed = isinstance(stored, dict) and ("outputs" in stored or "sha256" in stored)
    if not isinstance(stored, dict) or (signed and stored.get("sha256") != _signature(stored)):
        raise InputError(f"{record}: damaged: it is not what was written")
    return stored


def amend_record(record: Path, found: Iterable[Path] = (), **more: Any) -> None:
    """Add to a record; one of an older version takes over the files `found`, as far as its own hashes agree.

    Raises `InputError` where they don't.
    """
    stored = read_record(record)
    if "outputs" not in stored:
        stored["outputs"] = _described(record, found)
        known = {key.removesuffix("_sha256"): value for key, value in stored.items() if key.endswith("_sha256")}
        known |= (
            {f"images-{size}": value for size, value in stored.get("images_sha256", {}).items()}
            if isinstance(stored.get("images_sha256"), dict)
            else {}
        )
        for name, described in stored["outputs"].items():
            if known.get(Path(name).stem, described["sha256"]) != described["sha256"]:
                raise InputError(f"{record.parent / name}: damaged: not the content that was written; use --force")
    damaged_outputs(record, stored)
    if any(stored.get(key) != value for key, value in more.items()) or stored != read_json(record):
        _write_signed(record, {**stored, **more})


def damaged_outputs(record: Path, stored: dict[str, Any], *, thorough: bool = False) -> list[str]:
    """A line for each file of a record that is missing or has another content than was written.

    Size and time are compared first; a file is hashed where its time changed, or where `thorough`. The times in
    `stored` are brought up to date.
    """
    problems = []
    for name, described in stored.get("outputs", {}).items():
        path = record.parent / name
        try:
            found = path.stat()
            if found.st_size != described["bytes"]:
                problems.append(f"{path}: damaged: {found.st_size:,} bytes, {described['bytes']:,} were written")
            elif thorough or found.st_ctime_ns != described["changed_ns"]:
                if sha256_of(path) != described["sha256"]:
                    problems.append(f"{path}: damaged: not the content that was written")
                described["changed_ns"] = found.st_ctime_ns
        except OSError as error:
            problems.append(f"{path}: {'missing' if isinstance(error, FileNotFoundError) else error.strerror}")
    return problems


def damage_of(record: Path) -> list[str]:
    """What is damaged or missing of a finished stage, its record included; empty where it is intact or not there."""
    if not record.exists():
        return []
    try:
        return damaged_outputs(record, read_record(record))
    except InputError as error:
        return [str(error)]


def content_of(record: Path) -> str | None:
    """Short hash of what a record says was made, whenever and however long it took; None without a readable one."""
    try:
        stored = read_record(record)
    except InputError:
        return None
    kept = {key: value for key, value in stored.items() if key not in VOLATILE}
    kept["outputs"] = {name: described["sha256"] for name, described in stored.get("outputs", {}).items()}
    return _signature(kept)


def _described(record: Path, outputs: Iterable[Path]) -> dict[str, dict[str, Any]]:
    described = {}
    for path in sorted(outputs):
        found = path.stat()
        described[os.path.relpath(path, record.parent)] = {
            "sha256": sha256_of(path),
            "bytes": found.st_size,
            "changed_ns": found.st_ctime_ns,
        }
    return described


def _write_signed(record: Path, stored: dict[str, Any]) -> None:
    plain = json.loads(json.dumps(stored))
    write_json(record, {**plain, "sha256": _signature(plain)})


def _signature(stored: Any) -> str:
    kept = {key: value for key, value in stored.items() if key != "sha256"} if isinstance(stored, dict) else stored
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def start_afresh(folder: Path) -> None:
    """Remove what a stage made, before making it again with `--force`.

    Logs of openings stay, here and in folders below: a holdout that was opened can't be closed again.
    """
    if not folder.exists():
        return
    logger.info("%s: removed, to be made afresh", folder)
    # Deepest first, so that a folder is looked at when what lies in it is gone.
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_symlink() or not path.is_dir():
            if path.name != OPENINGS:
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()
