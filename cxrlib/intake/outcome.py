"""What an import found and made, as a person should read it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cxrlib.films.listing import CONTACT_SHEETS, IMPORT_TABLE
from cxrlib.intake.judgement import NOT_SAID_VIEW, UNCLEAR

IMAGES, LABELS_FILE, FILMS_FILE = "images", "labels.csv", "films.csv"
# Contact sheets: of every film's borders, of films with notes, of those that the header can't tell, and a sample of
# those that it tells to be something else.
BORDERS, NOTED, UNCLEAR_SHEETS, LEFT_OUT_SHEETS = "borders", "noted", "cant-tell", "left-out"
EACH_LEFT_OUT = 16


@dataclass(frozen=True)
class Imported:
    """What an import found and made. `files` = `used` + the sum of `skipped` (reason: files)."""

    files: int
    used: int
    skipped: dict[str, int]
    patients: int
    by_label: dict[str, int]
    table: str
    view_unknown: int
    sheets: dict[str, int]
    notes: dict[str, int]
    of_the_labels: tuple[str, ...]
    private_folder: Path
    key_file: Path

    def lines(self, out: Path) -> Iterator[str]:
        """What a person should read after an import, nothing of which names a patient or a file of the source."""
        unclear = sum(count for reason, count in self.skipped.items() if reason in UNCLEAR)
        skipped = sum(self.skipped.values()) - unclear
        said = f"{self.files:,} {'file' if self.files == 1 else 'files'} = {self.used:,} used + {skipped:,} skipped"
        yield said + (f" + {unclear:,} that can't be told" if unclear else "")
        yield from (f"  {count:>9,}  {reason}" for reason, count in self.skipped.items())
        labels = ", ".join(f"{count:,} {label}" for label, count in sorted(self.by_label.items()))
        yield f"{self.used:,} films of {self.patients:,} patients" + (f": {labels}" if labels else "")
        if self.view_unknown:
            yield (
                f"{self.view_unknown:,} films used do not say their view; lateral ones may be among them "
                f"(`{NOT_SAID_VIEW}` in {IMPORT_TABLE})"
            )
        yield from self.of_the_labels
        yield f"{out}: {self.table}, {IMPORT_TABLE}, {IMAGES}/"
        for note, count in self.notes.items():
            yield f"  {count:>9,}  {note}"
        if self.sheets[BORDERS]:
            yield (
                f"LOOK at {out / CONTACT_SHEETS}: {self.sheets[BORDERS]} sheets of all films' borders. "
                "No program can promise that no name is printed in the pixels."
            )
        if self.sheets[NOTED]:
            yield f"LOOK at {NOTED}-001.png there ({self.sheets[NOTED]}): these may hang wrong or be no chests"
        private = self.private_folder / UNCLEAR_SHEETS
        if self.sheets[UNCLEAR_SHEETS]:
            yield f"LOOK at {private / UNCLEAR_SHEETS}-001.png ({self.sheets[UNCLEAR_SHEETS]}): films left to you"
        if self.sheets[LEFT_OUT_SHEETS]:
            yield (
                f"LOOK at {private / LEFT_OUT_SHEETS}-001.png ({self.sheets[LEFT_OUT_SHEETS]}): up to {EACH_LEFT_OUT} "
                "films of each kind that was left out; is a frontal chest among them?"
            )
        if any(self.sheets[kind] for kind in (NOTED, UNCLEAR_SHEETS, LEFT_OUT_SHEETS)):
            yield (
                "Decide in the browser with --look, or write your decisions (use or skip) in a table with image_id and "
                "decision, and add --decisions TABLE"
            )
        yield f"Keep to yourselves: {self.key_file} (the key) and {self.private_folder / 'files.csv'} (who is who)"
