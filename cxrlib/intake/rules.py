"""A hospital's own rules: which words of its headers mean a frontal chest film, and which films to leave out.

A rule is a row of a small table: the header's field, the value, and use or skip. The dry run writes such a table with
everything that it found, so that a person only fills in the column `decision`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from cxrlib.errors import InputError
from cxrlib.files import unquoted_cell
from cxrlib.films.label_table import read_label_table
from cxrlib.intake.decisions import USE_OR_SKIP
from cxrlib.intake.judgement import SERIES_WORDS, words
from cxrlib.intake.words import meanings, plain

if TYPE_CHECKING:
    from pydicom import Dataset

# The header's fields, as the dry run lists them and rules name them.
FIELDS = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "view": "ViewPosition",
    "series": "SeriesDescription",
    "protocol": "ProtocolName",
    "device": "AcquisitionDeviceProcessingDescription",
    "step": "PerformedProcedureStepDescription",
    "study": "StudyDescription",
    "request": "RequestedProcedureDescription",
}
# Meanings of views from the front.
FRONTAL = {"frontal", "ap", "pa"}


@dataclass(frozen=True)
class Rules:
    """`decided` is {(field, value or pattern with stars): whether films of it are used}."""

    decided: Mapping[tuple[str, str], bool] = field(default_factory=dict)

    def of(self, name: str, value: str) -> bool | None:
        """What is decided for a value; None if nothing is. To leave out counts more than to use."""
        if not value:
            return None
        said = {
            used
            for (of_field, pattern), used in self.decided.items()
            if of_field == name and fnmatchcase(_bare(value), pattern)
        }
        return None if not said else said == {True}

    def apply(self, dataset: "Dataset") -> bool:
        """Let a header say what the rules make of it; whether a rule leaves the film out."""
        decided = {name: self.of(name, words(dataset, tag)) for name, tag in FIELDS.items()} if self.decided else {}
        for name, used in decided.items():
            if used:
                setattr(dataset, FIELDS[name], _stands_for(name, words(dataset, FIELDS[name])))
        return False in decided.values()


def said_by(dataset: "Dataset") -> dict[str, str]:
    """What a header says in each of the `FIELDS`."""
    return {name: words(dataset, tag) for name, tag in FIELDS.items()}


def read_rules(file: Path) -> Rules:
    """The rules of a table with the columns `field`, `value` and `decision`; rows without a decision are none.

    Case, accents and punctuation don't count, and `*` stands for anything. Raises `InputError` for a table without
    these columns, another field, another decision, and a value that is to be both used and left out.
    """
    table = read_label_table(file.parent, file.name)
    if not {"field", "value", "decision"} <= set(table.columns):
        raise InputError(f"{file}: found the columns {', '.join(table.columns)}; expected field, value and decision")
    decided: dict[tuple[str, str], bool] = {}
    for row, name, value, decision in table[["field", "value", "decision"]].itertuples(name=None):
        if not decision:
            continue
        if name not in FIELDS or decision.lower() not in USE_OR_SKIP or not value:
            raise InputError(
                f"{file}: row {row}: found `{name}`, `{value}`, `{decision}`; expected one of {', '.join(FIELDS)}, a "
                "value, and use or skip"
            )
        used = USE_OR_SKIP[decision.lower()]
        if decided.setdefault((name, _bare(unquoted_cell(value))), used) != used:
            raise InputError(f"{file}: row {row}: {name} `{value}` is to be used and skipped; expected one of them")
    return Rules(decided)


def _bare(value: str) -> str:
    """As words are compared; a star stays one."""
    return "*".join(plain(part) or part.strip().casefold() for part in re.sub(r"[\[\]?]", " ", value).split("*"))


def _stands_for(name: str, value: str) -> str:
    """A header's words that say what the rule decides: the kind of machine, the part, the view, or part and view."""
    said = meanings(value)
    view = next((word for word in ("AP", "PA") if word.lower() in said and not {"ap", "pa"} <= said), "FRONTAL")
    if name == "modality":
        return "DX"
    if name == "body_part":
        return "CHEST"
    if name == "view":
        return view
    return f"CHEST {view}" if FIELDS[name] in SERIES_WORDS or said & FRONTAL else "CHEST"
