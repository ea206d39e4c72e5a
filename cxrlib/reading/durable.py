"""Lines that are on the disk before anybody is told so, in files that only their owner can read."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

LOCK_SECONDS = 5.0
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter, and wait until the disk has its name. Raises `OSError`.

    Of a folder that is there, permissions of others are taken away, and none is given.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & ~PRIVATE_FOLDER:
        with contextlib.suppress(OSError):  # A file system without permissions, or a folder of another account.
            folder.chmod(mode & PRIVATE_FOLDER)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names of a folder's files. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        sync(handle)
    finally:
        os.close(handle)


def sync(handle: int) -> None:
    """Wait until the disk has what was written. Raises `OSError`.

    On macOS fsync leaves it in the drive's own memory, which a power cut empties; there is another call for that.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with contextlib.suppress(OSError):  # Not on every file system.
            fcntl.fcntl(handle, full)
            return
    os.fsync(handle)


def append_durably(path: Path, data: bytes) -> None:
    """Append to a private file and wait until the disk has it; what was written in part is taken back.

    The caller holds the lock of the file. Raises `OSError` if not all could be written; the file is then as before.
    """
    new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        if new:
            sync_folder(path.parent)
        end = os.fstat(handle).st_size
        try:
            if os.write(handle, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)
        except BaseException:
            os.ftruncate(handle, end)
            raise
    finally:
        os.close(handle)


def set_aside_torn(path: Path, end: int) -> bytes:
    """Move what lies behind byte `end` of a file, a line that was never finished, to `<name>.torn`; returns it.

    The caller holds the lock of the file. Raises `OSError`.
    """
    with open(path, "rb") as file:
        file.seek(end)
        torn = file.read()
    append_durably(path.with_name(f"{path.name}.torn"), torn + b"\n")
    with open(path, "r+b") as file:
        file.truncate(end)
        sync(file.fileno())
    return torn


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the system releases it when a process ends, however it ends.

    Raises `TimeoutError` if another process keeps it, and `OSError` where there can be no lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "another window is just storing an answer") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)
