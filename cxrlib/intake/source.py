"""Every file of a DICOM export, also in archives, without following a link out of it."""

import bz2
import gzip
import hashlib
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from cxrlib.errors import InputError
from cxrlib.files import atomic_path
from cxrlib.intake.header import (
    FOREIGN_ARCHIVE,
    LINK_OUT,
    LINK_TO_FOLDER,
    NOT_A_FILE,
    NOT_NAMED,
    NOT_THERE,
    OUTSIDE,
    UNOPENED,
    UNPACKED,
    UNREADABLE_ARCHIVE,
    in_plain_words,
)
from cxrlib.intake.journal import Sighting
from cxrlib.intake.pseudonyms import make_private_folder

ZIP, SINGLE = ".zip", {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
TARS = (".tar", ".tgz", ".tar.gz", ".tbz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
ARCHIVES = (ZIP, *TARS, *SINGLE)
FOREIGN = (".7z", ".rar", ".zst", ".z", ".lz4", ".iso")
# Archives within archives are opened, so many within each other.
DEEPEST = 3
# Between an archive and what it holds, as in `2020.zip!/PAT1/IM1`.
WITHIN = "!/"
DISK_KEPT_FREE_BYTES = 2**30
UNREADABLE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError,
    NotImplementedError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A folder, an archive, or a DICOMDIR; archives are unpacked into the private folder `unpacked`."""

    place: Path
    unpacked: Path

    @property
    def root(self) -> Path:
        return self.place if self.place.is_dir() else self.place.parent

    def file(self, path: bytes) -> Path:
        """Where a file of the source lies, its path as in a `Sighting`."""
        name = os.fsdecode(path)
        archive, within, member = name.partition(WITHIN)
        return self._unpacked_file(archive, member) if within else self.root / name

    def walk(self) -> Iterator[Sighting]:
        """Every file, in order; of an archive each member. Links inside are followed, out of it and to folders not."""
        sightings = _walk(self.root)
        if self.root != self.place and self.place.name.upper() == "DICOMDIR":
            sightings = _named_by_index(self.place, sightings)
        elif self.root != self.place:
            sightings = (seen for seen in sightings if os.fsdecode(seen.path) == self.place.name)
        for seen in sightings:
            yield from self._opened(seen)

    def _opened(self, seen: Sighting) -> Iterator[Sighting]:
        """A file as it is; of an archive what it holds, and last itself."""
        name = os.fsdecode(seen.path).lower()
        if seen.reason:
            yield seen
        elif name.endswith(FOREIGN):
            yield seen._replace(reason=FOREIGN_ARCHIVE)
        elif name.endswith(ARCHIVES) and name.count(WITHIN) < DEEPEST:
            yield from self._members(seen)
        else:
            yield seen

    def _members(self, archive: Sighting) -> Iterator[Sighting]:
        name = os.fsdecode(archive.path)
        reason = UNREADABLE_ARCHIVE
        try:
            for member, size, opened in _open_members(self.file(archive.path), name):
                path = os.fsencode(f"{name}{WITHIN}{member}")
                place = self.file(path)
                make_private_folder(place.parent)
                if (
                    not place.is_file()
                    or place.stat().st_size != size
                    or place.stat().st_mtime_ns != archive.modified_ns
                ):
                    self._unpack(opened, place, archive.modified_ns)
                yield from self._opened(Sighting(path, place.stat().st_size, archive.modified_ns, ""))
                reason = UNPACKED
        except InputError:
            raise
        except UNREADABLE:
            reason = UNREADABLE_ARCHIVE
        yield archive._replace(reason=reason)

    def _unpack(self, opened: Callable[[], BinaryIO], place: Path, modified_ns: int) -> None:
        with opened() as content, atomic_path(place) as temporary:
            with open(temporary, "wb") as file:
                while block := content.read(2**20):
                    if shutil.disk_usage(place.parent).free < DISK_KEPT_FREE_BYTES:
                        raise InputError(
                            f"{self.unpacked}: the disk is full; unpack the archive elsewhere, or name a --key there"
                        )
                    file.write(block)
            temporary.chmod(0o600)
            os.utime(temporary, ns=(modified_ns, modified_ns))

    def _unpacked_file(self, archive: str, member: str) -> Path:
        """A name of its own, since a member's may lead anywhere."""
        folder, file = (hashlib.sha256(os.fsencode(name)).hexdigest()[:20] for name in (archive, member))
        return self.unpacked / folder / file


def is_archive(place: Path) -> bool:
    """Whether a path is a file that holds others."""
    return place.is_file() and (place.name.lower().endswith(ARCHIVES) or place.name.upper() == "DICOMDIR")


def _named_by_index(index: Path, sightings: Iterator[Sighting]) -> Iterator[Sighting]:
    """The files that a DICOMDIR names, in its order, then all others of its folder, which are not opened.

    Names are the same whatever their case and a `.dcm` behind: that is how CDs are copied.
    """
    found = {_bare_name(os.fsdecode(seen.path)): seen for seen in sightings}
    own = found.pop(_bare_name(index.name), None)
    if own:
        yield own
    for name in _references(index):
        if ".." in name.split("/"):
            yield Sighting(os.fsencode(name), 0, 0, OUTSIDE)
        elif _bare_name(name) in found:
            yield found.pop(_bare_name(name))
        else:
            yield Sighting(os.fsencode(name), 0, 0, NOT_THERE)
    yield from (seen if seen.reason else seen._replace(reason=NOT_NAMED) for seen in found.values())


def _bare_name(path: str) -> str:
    return path.casefold().removesuffix(".dcm").removesuffix(".").removesuffix(";1")


def _references(index: Path) -> list[str]:
    """The paths that a DICOMDIR names, each once; raises `InputError` for one that can't be read."""
    import pydicom

    try:
        with pydicom.config.disable_value_validation():  # it warns of what it reads, and may quote a patient
            records = pydicom.dcmread(index).DirectoryRecordSequence
            named = [record.get("ReferencedFileID") for record in records]
        paths = ["/".join([parts] if isinstance(parts, str) else parts) for parts in named if parts]
    except Exception as error:  # pydicom raises nearly every type on damaged files
        raise InputError(
            f"{index}: not a readable DICOMDIR: {in_plain_words(error)}; name its folder instead"
        ) from None
    if not paths:
        raise InputError(f"{index}: names no file; name its folder instead")
    return list(dict.fromkeys(path.replace("\\", "/") for path in paths))


def _open_members(archive: Path, called: str) -> Iterator[tuple[str, int, Callable[[], BinaryIO]]]:
    """(name, bytes or -1, what opens it) of each ordinary file in an archive, whose kind its name `called` tells."""
    name = called.lower()
    if name.endswith(ZIP):
        with zipfile.ZipFile(archive) as zipped:
            for part in zipped.infolist():
                if not part.is_dir():
                    yield part.filename, part.file_size, partial(zipped.open, part)
    elif name.endswith(TARS):
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile():
                    yield member.name, member.size, partial(tar.extractfile, member)
    else:
        suffix = Path(name).suffix
        yield called.rpartition("/")[2][: -len(suffix)], -1, partial(SINGLE[suffix], archive)


def _walk(source: Path) -> Iterator[Sighting]:
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
