"""Tables of what readers said. They hold counts and statistics only: no id of a film, and readers as numbers.

People and simulated readers have rows of their own throughout, told apart by the column `readers`, and are never
counted together. Of a film that a reader saw twice the first answer counts, except where the two are compared.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from cxrlib.chapters.reading.rows import TABLES, Group
from cxrlib.files import write_table
from cxrlib.reading.agreement import ALL, SIDES, groups_of, readings, simulated_names
from cxrlib.reading.events import read_events
from cxrlib.reading.pace import clock_jumps, standings
from cxrlib.reading.protocol import Protocol, prepare_protocol
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study

COLUMNS = {
    "reading_accuracy": (
        "readers", "reader", "question", "measure", "answers", "right", "estimate", "low", "high", "inner_low",
        "inner_high", "p_chance", "p_equivalence", "standard_error", "degrees_of_freedom", "bootstrap_low",
        "bootstrap_high", "counted",
    ),
    "reading_experience": (
        "readers", "about", "told", "number", "measure", "answers", "estimate", "low", "high",
    ),
    "reading_steps": ("readers", "reader", "label", "origin", "step", "answers", "counted"),
    "reading_realism": (
        "readers", "reader", "label", "origin", "answers", "mean", "mean_low", "mean_high", "median", "median_low",
        "median_high", "usable", "usable_low", "usable_high", "counted",
    ),
    "reading_agreement": (
        "readers", "reader", "between", "question", "coefficient", "films", "estimate", "low", "high", "counted",
    ),
    "reading_artefacts": ("readers", "origin", "artefact", "answers", "marked", "share", "low", "high"),
    "reading_pairs": (
        "readers", "reader", "kind", "answers", "yes", "no", "unsure", "share_yes", "low", "high", "counted",
    ),
    "reading_generators": (
        "readers", "reader", "generator", "shown", "preferred", "estimate", "low", "high", "counted",
    ),
    "reading_time": (
        "readers", "reader", "block", "answers", "tasks", "median_seconds", "lower_seconds", "upper_seconds", "hasty",
        "counted", "why",
    ),
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class StudyReadings:
    """A study's reading: its protocol, and the answers to it, one row per reader and task."""

    protocol: Protocol
    answers: pd.DataFrame
    seed: int
    # Where a clock was set while somebody read, as `clock_jumps`.
    jumps: list[tuple[str, str, float]] = field(default_factory=list)

    @cached_property
    def groups(self) -> dict[str, pd.DataFrame]:
        """The answers of people and those of programs, each where there are any, readers under their numbers."""
        return {name: with_numbers(part, self.protocol) for name, part in groups_of(self.answers).items()}

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table of `COLUMNS`, without rows where nobody has read."""
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
        for readers, answers in self.groups.items():
            group = Group(readers, answers, self.seed, standings(answers, self.protocol))
            for name, make in TABLES.items():
                for row in make(group):
                    counted = group.counts(row.get("reader", ALL), _block_of(name, row))
                    rows[name].append({"readers": readers, **row, "counted": "yes" if counted else "no"})
        return {name: pd.DataFrame(rows[name], columns=list(columns)) for name, columns in COLUMNS.items()}


OF_BLOCK = {"reading_pairs": "C", "reading_generators": "D"}


def _block_of(table: str, row: dict[str, Any]) -> str:
    """The block whose answers a row is about."""
    if table in OF_BLOCK:
        return OF_BLOCK[table]
    return row.get("block") or ("B" if row.get("question") == SIDES else "A")


def load_readings(study: Study) -> StudyReadings:
    """Raises `InputError` if the films to read were not made, or are others than those that people read."""
    protocol = prepare_protocol(study)
    events = read_events(protocol.folder)
    answers = readings(events, protocol)
    # Programs whom the study has no more may have left answers behind.
    kept = ~answers["simulated"].astype(bool) | answers["reader"].isin(simulated_names(study))
    return StudyReadings(protocol, answers[kept].reset_index(drop=True), study.seed, clock_jumps(events))


def with_numbers(answers: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Answers under "reader 1", "reader 2", … in the place of names; of people in an order that follows from no
    name."""
    names = sorted(answers["reader"].unique())
    if not answers["simulated"].any():
        names.sort(key=lambda name: seed_for(protocol.sha256, name))
    number = {name: f"reader {place}" for place, name in enumerate(names, start=1)}
    return answers.assign(reader=answers["reader"].map(number))


def make_reading_tables(study: Study) -> StudyReadings:
    """Write `tables/reading_*.csv` from the answers as they stand now; raises as `load_readings`."""
    found = load_readings(study)
    for name, table in found.tables.items():
        write_table(study.results.table(name), table)
    return found
