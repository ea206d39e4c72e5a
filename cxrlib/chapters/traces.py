"""Where the numbers of a sentence stand: the files that it follows from, and the rows in which its numbers are."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cxrlib.study import Study

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
# Measures that words tell in per cent only.
SHARE = re.compile(r"accuracy|balanced_accuracy|recall_|precision_|f1_")
# A number that stands in more places than this is not traced to any of them.
MOST_PLACES = 2
# Of the chance to be greater, words may tell the chance to be less.
COUNTED_FROM_EITHER_SIDE = "above_"


@dataclass(frozen=True)
class Source:
    """A file in the study's folder from which facts follow and, of a table in it, the rows that matter.

    The values of `where` may name groups of the pattern by which facts are named, as in `\\1`. `measures` are the
    columns of which facts tell, with those that only add to their names (`roc_auc`: `roc_auc_low` too); else all.
    """

    file: str
    where: Mapping[str, str] = field(default_factory=dict)
    measures: tuple[str, ...] = ()


Sources = Mapping[str, Sequence[Source]]


def trace(study: Study, name: str, text: str, sources: Sources) -> dict[str, Any] | None:
    """Of the fact `name`, said as `text`: its files, which rows of them, and for each number the places where it is.

    The first pattern of `sources` that the whole name matches tells. None where none does, or where no number is said.
    With private films, files alone: a row holds more, and more digits, than was counted out for the sentence.
    """
    numbers = list(dict.fromkeys(NUMBER.findall(text)))
    found = next((match for pattern in sources if (match := re.fullmatch(pattern, name))), None)
    if found is None or not numbers:
        return None
    said = [Source(found.expand(one.file), {key: found.expand(value) for key, value in one.where.items()}, one.measures)
            for one in sources[found.re.pattern]]  # fmt: skip
    files = [{"file": one.file, "where": "; ".join(f"{key} = {value}" for key, value in one.where.items())}
             for one in said]  # fmt: skip
    return {"files": files} if study.private_roles else {"files": files, "numbers": _places(study, said, numbers)}


def _places(study: Study, sources: Sequence[Source], numbers: Sequence[str]) -> dict[str, list[str]]:
    """Of each number the places, in rows that hold as many of the numbers as any; none for one that is everywhere."""
    places: dict[str, list[tuple[tuple[str, int], str]]] = defaultdict(list)
    for source in sources:
        for number, row, told in _cells(study, source, numbers):
            places[number].append(((source.file, row), told))
    held = [row for found in places.values() for row in dict.fromkeys(row for row, _ in found)]
    said = {}
    for number, found in places.items():
        most = max(held.count(row) for row, _ in found)
        best = list(dict.fromkeys(told for row, told in found if held.count(row) == most))
        if len(best) <= MOST_PLACES:
            said[number] = best
    return said


def _cells(study: Study, source: Source, numbers: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """Number, row and description of each cell of a table that is one of the numbers when it is rounded."""
    path = study.results.root / source.file
    if path.suffix != ".csv" or not path.is_file():
        return
    table = pd.read_csv(path)
    if table.empty:
        return
    for column, value in source.where.items():
        table = table[table[column].astype(str) == value]
    ends = ("", "_low", "_high")
    told = {f"{name}{end}" for name in source.measures for end in ends} or set(table)
    measured = [name for name in table.select_dtypes("number") if name in told and not table[name].isna().all()]
    for row in table.to_dict("index").items():
        place, values = row
        names = [f"{key}: {value}" for key, value in values.items() if isinstance(value, str)]
        for column in measured:
            share = SHARE.match(str(values.get("metric", column)))
            either = column.startswith(COUNTED_FROM_EITHER_SIDE)
            for number in numbers:
                if _is(values[column], number, share is not None, either):
                    yield number, place, " · ".join([*names, f"{column}: {values[column]:.6g}"])


def _is(value: float, number: str, share: bool, either: bool) -> bool:
    """Whether a value, as it is or in per cent (a share: in per cent alone), is told by this number; or, of a chance,
    that of the opposite."""
    plain = number.replace(",", "")
    digits = len(plain.partition(".")[2])
    forms = [] if share and abs(value) <= 1 else [value]
    forms += [100 * value] if abs(value) <= 1 else []
    forms += [100 * (1 - value)] if either else []
    return any(f"{abs(form):.{digits}f}" == plain for form in forms)
