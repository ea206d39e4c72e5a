"""What nobody can make again is kept twice: the frozen endpoint, the logs of openings, the lists of a reading.

Beside such a file lies a copy with its hash, hidden and as private as the file. A file that is damaged or gone comes
back from it.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from cxrlib.artifacts import OPENINGS, kept_copy
from cxrlib.files import write_text

logger = logging.getLogger(__name__)


def keep(path: Path) -> None:
    """Write the copy of a file of text; to be called when the file was written, or a line was added."""
    text = path.read_text(encoding="utf-8")
    content = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}
    write_text(kept_copy(path), json.dumps(content), private=not path.stat().st_mode & 0o077)


def loss_of(path: Path) -> str:
    """What is wrong with a file, in a line; empty where it is what was kept, or where no sound copy is there."""
    text = _kept(path)
    if text is None:
        return ""
    if not path.exists():
        return f"{path}: missing"
    found = path.read_bytes()
    # A log may have got a line after which the process was killed.
    longer = path.name == OPENINGS and found.startswith(text.encode()) and found.endswith(b"\n")
    return "" if longer or found == text.encode() else f"{path}: damaged: not the content that was written"


def restore(paths: Iterable[Path]) -> None:
    """Put back what is damaged or gone, saying so; keep what has no sound copy yet, as in studies of older versions."""
    for path in paths:
        text, loss = _kept(path), loss_of(path)
        if loss and text is not None:
            logger.warning("%s; put back from the copy that was kept", loss)
            write_text(path, text, private=not kept_copy(path).stat().st_mode & 0o077)
        elif text is None and path.exists():
            keep(path)


def _kept(path: Path) -> str | None:
    try:
        stored = json.loads(kept_copy(path).read_text(encoding="utf-8"))
        text = str(stored["text"])
        return text if hashlib.sha256(text.encode()).hexdigest() == stored["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
