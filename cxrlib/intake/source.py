"""Every file of a DICOM export, without following a link out of it."""

import os
from collections.abc import Iterator
from pathlib import Path

from cxrlib.intake.header import LINK_OUT, LINK_TO_FOLDER, NOT_A_FILE, UNOPENED
from cxrlib.intake.journal import Sighting


def walk(source: Path) -> Iterator[Sighting]:
    """Every file under a folder, in order. Links to files inside are followed, links out of it and to folders not."""
    root = source.resolve()
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(source / os.fsdecode(folder)) as found:
                entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
        except OSError:
            yield Sighting(folder, 0, 0, UNOPENED)
            continue
        folders = []
        for entry in entries:
            path = (folder + b"/" if folder else b"") + os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield _sight(entry, path, root)
        waiting.extend(reversed(folders))


def _sight(entry: os.DirEntry[str], path: bytes, root: Path) -> Sighting:
    try:
        if entry.is_symlink():
            target = Path(entry.path).resolve()
            if not target.is_relative_to(root):
                return Sighting(path, 0, 0, LINK_OUT)
            if target.is_dir():
                return Sighting(path, 0, 0, LINK_TO_FOLDER)
        status = entry.stat()
    except (OSError, RuntimeError):
        return Sighting(path, 0, 0, UNOPENED)
    return Sighting(path, status.st_size, status.st_mtime_ns, "" if entry.is_file() else NOT_A_FILE)
