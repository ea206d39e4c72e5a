"""A dry run of an import: what headers say, and what would become of the files. No film is drawn, no key is made."""

import contextlib
import csv
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.files import as_cell, atomic_path
from cxrlib.intake.by_folder import NoLabels
from cxrlib.intake.decisions import read_decisions
from cxrlib.intake.dicom import SECONDS_PER_FILE, SETTINGS, check_source, find_labels, labels_of, read_headers
from cxrlib.intake.journal import Journal
from cxrlib.intake.judgement import UNCLEAR
from cxrlib.intake.pseudonyms import KEY_BYTES, Pseudonyms
from cxrlib.intake.rules import FIELDS, read_rules
from cxrlib.intake.source import Source
from cxrlib.intake.work import Progress, Work

# How many values of a field are printed; the table has them all.
PRINTED = 25
COLUMNS = ("field", "value", "files", "used", "cant_tell", "skipped", "why", "decision")


@dataclass(frozen=True)
class Value:
    """A value of a header's field: its files, how many would be used, and the reasons of the others."""

    field: str
    value: str
    files: int
    used: int
    cant_tell: int
    skipped: int
    why: str


@dataclass(frozen=True)
class Plan:
    """What an import would do: `files` = `used` + the sum of `reasons`."""

    files: int
    used: int
    reasons: dict[str, int]
    values: list[Value]
    of_the_labels: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """What a person reads; it quotes the export's own words, so it is for the hospital alone."""
        yield f"{self.files:,} files = {self.used:,} that would be used + {self.files - self.used:,} others"
        yield from (f"  {count:>9,}  {reason}" for reason, count in self.reasons.items())
        for name in FIELDS:
            found = [value for value in self.values if value.field == name]
            if [value.value for value in found] in ([], [""]):
                continue
            yield f"\n{name}"
            for value in found[:PRINTED]:
                others = f": {value.why}" if value.why else ""
                yield f"  {value.files:>7,}  {value.value or '(empty)'}  [{value.used:,} used{others}]"
            if len(found) > PRINTED:
                yield f"           and {len(found) - PRINTED:,} more values"
        yield ""
        yield from self.of_the_labels


def dry_run(
    source: Path,
    labels: Path | None,
    *,
    columns: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
    rules: Path | None = None,
    decisions: Path | None = None,
    progress: Progress | None = None,
    unlabelled: bool = False,
) -> Plan:
    """Read every header and the labels as `import_dicom` does, and say what would become of each file.

    Pixels are not read, so a damaged film counts as used. Without labels, films are judged as if each had one, unless
    they lie in folders that are named by label. If `rules` names no file, the values found are written there, for a
    person to fill in `decision`. Raises `InputError` as `import_dicom` does.
    """
    check_source(source)
    with tempfile.TemporaryDirectory(prefix="cxr-dry-run-") as folder:
        private = Path(folder)
        pseudonyms = Pseudonyms(secrets.token_bytes(KEY_BYTES))
        with contextlib.closing(Journal(private / "journal.sqlite", SETTINGS)) as journal:
            given = Source(source, private / "unpacked")
            work = Work(given, private, private, pseudonyms, journal, SECONDS_PER_FILE, progress)
            read_headers(work, journal.rule(read_rules(rules) if rules and rules.exists() else None))
            journal.decide(read_decisions(decisions) if decisions else {})
            table = labels_of(source, labels, pseudonyms, columns, words, unlabelled)
            try:
                find_labels(work, table)
            except InputError:
                if labels:
                    raise
                table = NoLabels()
                find_labels(work, table)
            for path, *_ in journal.undecoded():
                journal.note_pixels(path, "")
            values = [value for name in FIELDS for value in _values(name, journal.values(name))]
            plan = Plan(
                files=journal.count(),
                used=sum(1 for _ in journal.used()),
                reasons=journal.reasons(),
                values=values,
                of_the_labels=tuple(table.lines()),
            )
    if rules and not rules.exists():
        _write_values(rules, values)
    return plan


def _values(name: str, rows: list[tuple[str, str, int]]) -> list[Value]:
    """The values of a field, the commonest first."""
    counts: dict[str, Counter[str]] = {}
    for value, reason, files in rows:
        counts.setdefault(value, Counter())[reason] += files
    found = []
    for value, reasons in counts.items():
        files, unclear = reasons.total(), sum(reasons[reason] for reason in UNCLEAR)
        others = [(reason, count) for reason, count in reasons.most_common() if reason]
        why = ", ".join(f"{count:,} {reason}" for reason, count in others)
        found.append(Value(name, value, files, reasons[""], unclear, files - reasons[""] - unclear, why))
    return sorted(found, key=lambda value: (-value.files, value.value))


def _write_values(file: Path, values: list[Value]) -> None:
    try:
        with atomic_path(file, private=True) as temporary, open(temporary, "w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(COLUMNS)
            writer.writerows((*map(as_cell, asdict(value).values()), "") for value in values if value.value)
    except OSError as error:
        raise InputError(f"{file}: can't be written: {error.strerror or error}") from None
