"""Whether a stage is finished: its record says with which settings and inputs, and holds a hash of each file it left.

A stage writes its record last of all. A folder without one can be gone on with.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cxrlib.artifacts import OPENINGS, kept_copy
from cxrlib.errors import InputError
from cxrlib.files import read_json, sha256_of, write_json

logger = logging.getLogger(__name__)

# What a record says of the moment, not of the content.
VOLATILE = ("seconds", "made_with", "sha256", "films_seen")


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
    stored, found = read_record(record), list(found)
    # Whoever adds a fact and names no files leaves it to the next to take them over.
    if found and not stored.get("outputs"):
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
            if path.name not in (OPENINGS, kept_copy(Path(OPENINGS)).name):
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()
