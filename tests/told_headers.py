"""What becomes of the headers of `intake/header_cases.csv`: `python tests/told_headers.py` writes it as a table.

In that file `attributes` replace those of a plain PA film of the chest, `expected` begins the reason or names it
shortly, and `before` is what an early version did with the headers that were collected first.
"""

import csv
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dicom_films import film, ramp
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from cxrlib.intake import header, judgement
from cxrlib.intake.header import Skipped
from cxrlib.intake.pseudonyms import Pseudonyms

TESTS = Path(__file__).resolve().parent
CASES = TESTS / "intake" / "header_cases.csv"
RESULT = TESTS.parent / "benchmarks" / "results" / "intake_headers.md"
SHORT = {
    "can't tell view": judgement.UNCLEAR_VIEW,
    "can't tell part": judgement.UNCLEAR_PART,
    "made": judgement.MADE_IMAGE,
    "test": judgement.TEST_IMAGE,
}
KINDS = {
    "used": "frontal",
    "not a frontal view": "lateral, oblique, on a side",
    "can't tell view": "several views named, or none clearly",
    "can't tell part": "several parts named",
    "another body part": "another part",
    "made": "made from a film",
    "test": "of the machine",
}
HANGS_OTHERWISE, NO_FILM = "frontal, hangs otherwise", "no film, or nobody's"
PSEUDONYMS = Pseudonyms(b"a key for nobody's films")


class Unchecked(Dataset):
    """Attributes as a vendor may write them, not as the standard allows."""

    def __init__(self, whole: Dataset, attributes: dict) -> None:
        super().__init__(whole)
        self.file_meta, self._given = whole.file_meta, attributes

    def get(self, name, default=None):
        if name not in self._given:
            return super().get(name, default)
        value = self._given[name]
        return MultiValue(str, value) if isinstance(value, list) and isinstance(value[0], str) else value


@cache
def plain_film() -> Dataset:
    return film(ramp(4, 4), bits=12)


def outcome(attributes: dict) -> tuple[str, header.Header | None]:
    """(`used`, its header) or (reason, None), as `read_header` tells it; without a label, nobody's film has no id."""
    dataset = Unchecked(plain_film(), attributes)
    try:
        found = header.describe(dataset, header.keys_of(dataset, "file", PSEUDONYMS))
    except Skipped as skipped:
        return skipped.reason, None
    if found.reason:
        return found.reason, None
    return ("used", found) if found.patient_id else (header.NO_ID, None)


class Told(NamedTuple):
    kind: str
    attributes: dict
    expected: str
    before: str
    now: str

    @property
    def right(self) -> bool:
        return self.now.startswith(self.expected)

    @property
    def right_before(self) -> bool:
        return self.before.startswith("used") == (self.kind == KINDS["used"])


def told() -> list[Told]:
    """Every case, in order."""
    cases = []
    with open(CASES, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            attributes = json.loads(row["attributes"])
            now, used = outcome(attributes)
            kind = HANGS_OTHERWISE if used and used.turn else KINDS.get(row["expected"], NO_FILM)
            if used:
                now += f": {used.view}" * bool(used.view) + f", {used.note}" * bool(used.turn)
            expected = SHORT.get(row["expected"], row["expected"])
            cases.append(Told(kind, attributes, expected, row["before"], now))
    return cases


def table(cases: list[Told]) -> str:
    """The table as Markdown: by kind, then every header."""
    first = [case for case in cases if case.before]
    lines = [
        "# What headers say",
        "",
        f"{len(cases)} headers, each in the place of a plain PA chest film's: {len(first)} were collected first, and",
        f"{len(cases) - len(first)} in more languages and vendors' habits. `python tests/told_headers.py` writes this;",
        "`before` is what was done with the first ones when they were collected. Right is to use frontal films (those",
        "that hang otherwise turned upright), and nothing else.",
        "",
        "| kind | first | right before | right now | all | right now |",
        "| :--- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in dict.fromkeys(case.kind for case in cases):
        every = [case for case in cases if case.kind == kind]
        old = [case for case in every if case.before]
        right = [sum(case.right_before for case in old), sum(case.right for case in old)]
        lines.append(
            f"| {kind} | {len(old)} | {right[0]} | {right[1]} | {len(every)} | {sum(case.right for case in every)} |"
        )
    lines += ["", "| header | kind | before | now |", "| :--- | :--- | :--- | :--- |"]
    for case in cases:
        shown = {name: value for name, value in case.attributes.items() if name != "SpecificCharacterSet"}
        tags = json.dumps(shown, ensure_ascii=False).replace("|", "/")
        lines.append(f"| `{tags}` | {case.kind} | {case.before or '–'} | {case.now} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    RESULT.write_text(table(told()), encoding="utf-8")
