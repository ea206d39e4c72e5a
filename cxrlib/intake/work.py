"""What one import works with, from its source to the places of its films."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cxrlib.intake.journal import Journal
from cxrlib.intake.outcome import IMAGES
from cxrlib.intake.pseudonyms import Pseudonyms
from cxrlib.intake.source import Source

# Given what is counted, a function of (done, total).
Progress = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True)
class Work:
    """One import: what it reads, where films go, and the folder beside the key, with journal and private tables."""

    source: Source
    out: Path
    private: Path
    pseudonyms: Pseudonyms
    journal: Journal
    seconds_per_file: int
    progress: Progress | None = field(default=None)

    def picture(self, image_id: str) -> Path:
        """Where a film of the data set lies."""
        return self.out / IMAGES / f"{image_id}.png"


def notes_of(row: sqlite3.Row) -> str:
    """What header and picture leave to a person to look at."""
    return "; ".join(note for note in (row["note"], row["pixel_note"]) if note)
