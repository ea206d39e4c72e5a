"""`cxr check`: what a study's sources hold, what was prepared of it, which copies are left out, whether it may run."""

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import RenderableType
from rich.table import Table

from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.films.audit import FEWEST_PIXELS, check_before, left_out, prepare_study, too_small_to_search
from cxrlib.films.covidx import compare_with_lists, labels_path
from cxrlib.films.images import load_image_set, load_manifest
from cxrlib.films.listing import IMPORT_TABLE
from cxrlib.films.look import NOTED_IN_VAIN, TOO_MANY, look
from cxrlib.films.preparation import read_listing
from cxrlib.films.settings import EXTERNAL, CovidxSource, Source
from cxrlib.films.shortcuts import fit_source_rule
from cxrlib.study import Study
from cxrlib.workflow.report import only_one_report


@dataclass(frozen=True)
class Verdict:
    """Whether a role is ready: not if there is a `because`; `but` is what a person should know of one that is.

    `doubtful` is {how films look: their image ids}, for a person to look at.
    """

    role: str
    because: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    doubtful: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """`ready`, `ready, but` or `not ready`."""
        return "not ready" if self.because else "ready, but" if self.but else "ready"

    @property
    def line(self) -> str:
        """The verdict as a person reads it."""
        said = {"ready": "", "ready, but": " ", "not ready": ", because "}[self.word]
        return f"  {self.role}: {self.word}{said}{'; '.join(self.because or self.but)}"


class NotReady(InputError):
    """A study that may not run, with what was found of each role."""

    def __init__(self, message: str, verdicts: list[Verdict]) -> None:
        super().__init__(message)
        self.verdicts = verdicts


def check_study(
    study: Study, *, force: bool = False, progress: Callable[[str], Any] | None = None
) -> Generator[RenderableType, None, list[Verdict]]:
    """Prepare and audit a study, and give the parts of the report as they are known; returns the roles' verdicts.

    Raises `NotReady` with everything that is wrong with sources and patients, before a pixel is read; or with what
    preparation or audit refuse.
    """
    yield f"{study.name}: {study.title}\n\nSources"
    yield from (f"  {line}" for role in study.roles for line in _source_lines(study, role))
    yield from _official_lists(study)
    try:
        check_before(study)
        with only_one_report(study):
            audit = prepare_study(study, force=force, progress=progress)
    except InputError as error:
        verdicts = _refused(study, str(error))
        if verdicts:
            yield "\n".join(["\nVerdict", *(verdict.line for verdict in verdicts)])
        raise NotReady(str(error), verdicts) from None
    records = {role: read_json(study.results.data_record(role)) for role in study.roles}
    yield ""
    yield films_table(records, audit)
    unreadable = reasons_table(records)
    if unreadable.row_count:
        yield unreadable
    yield from _copies(study, audit)
    yield from _source_rule_lines(study)
    doubtful = {role: doubtful_films(study, role) for role in study.roles}
    yield from _look_lines(doubtful, audit)
    verdicts = [
        Verdict(role, but=tuple(_remarks(study, role, records[role], audit, films)), doubtful=films)
        for role, films in doubtful.items()
    ]
    yield "\n".join(["\nVerdict", *(verdict.line for verdict in verdicts)])
    yield verdict(study, audit)
    return verdicts


def _refused(study: Study, problems: str) -> list[Verdict]:
    """Verdicts from lines that name roles, as in `data.hospital: …`; nothing if none does."""
    found: dict[str, list[str]] = {role: [] for role in study.roles}
    for line in problems.splitlines():
        named = re.search(r"\bdata\.(\w+):? ?(.*)", line)
        if named and named[1] in found:
            found[named[1]].append(named[2])
    if not any(found.values()):
        return []
    waits = ("the films are read only when every role is in order",)
    return [Verdict(role, because=tuple(why), but=() if why else waits) for role, why in found.items()]


def doubtful_films(study: Study, role: str) -> dict[str, list[str]]:
    """{how they look: image ids} of a role's films by their pictures, but for those at which an import has looked."""
    files = [source for source in study.data.sources(role) if not source.simulated]
    unseen = [source for source in files if not (source.folder / IMPORT_TABLE).is_file()]
    found: dict[str, list[str]] = {}
    if unseen:
        kept = set(load_manifest(study, role)["image_id"])
        films = load_image_set(study, role, min(study.image_sizes), audited=False)
        for name, film in zip(films.manifest["image_id"], films.images, strict=True):
            if name in kept and any(study.data.source_of(role, name) is source for source in unseen):
                for note in look(Image.fromarray(film)):
                    found.setdefault(note, []).append(name)
    return found


def _look_lines(doubtful: dict[str, dict[str, list[str]]], audit: dict[str, Any]) -> Iterator[str]:
    noted = {role: found for role, found in doubtful.items() if found}
    if not noted:
        return
    yield "\nFilms that may hang wrong, or be no frontal chest films, by their pictures (shown on the page below)"
    for role, found in noted.items():
        used = audit["used"][role]["images_used"]
        count = sum(map(len, found.values()))
        yield f"  {role}: {count:,} of {used:,}: {', '.join(f'{len(names):,} {note}' for note, names in found.items())}"
    yield f"  Of good films, {NOTED_IN_VAIN} are listed too."


def _remarks(
    study: Study, role: str, record: dict[str, Any], audit: dict[str, Any], doubtful: Mapping[str, list[str]]
) -> Iterator[str]:
    """What a person should know of a role that may be used."""
    listed, lost = record["files_expected"], record["missing"]
    damaged = len(record["unreadable"]) - lost
    copies = len(audit["excluded"][role])
    if lost:
        yield f"{lost:,} of {listed:,} listed films are not there"
    if damaged:
        yield f"{damaged:,} of {listed:,} listed films can't be used"
    if copies:
        yield f"{copies:,} {'film is a copy' if copies == 1 else 'films are copies'} and left out"
    if role in study.private_roles and too_small_to_search(study):
        yield f"too small for a book to be searched for them, which takes {FEWEST_PIXELS} pixels a side"
    pairs = sum(found["pairs"] for found in audit["pairs"] if found["role_a"] == found["role_b"] == role)
    if pairs and role == "hospital":
        yield f"{pairs:,} {'pair' if pairs == 1 else 'pairs'} of films under two patients' ids"
    if not study.data.simulated(role) and audit["used"][role]["patients"] == audit["used"][role]["images_used"] > 1:
        unnamed = [source for source in study.data.sources(role) if _without_table(source)]
        if unnamed:
            yield "folders name no patients, so each film counts as one"
    noted, used = sum(map(len, doubtful.values())), audit["used"][role]["images_used"]
    if noted > TOO_MANY * used:
        yield f"{noted:,} of {used:,} films may hang wrong, or be no frontal chest films"


def _without_table(source: Source) -> bool:
    listing = read_listing(source)
    return listing.labels_file == listing.root


def _source_lines(study: Study, role: str) -> Iterator[str]:
    for source in study.data.sources(role):
        yield from _lines_of(source, role)


def _lines_of(source: Source, role: str) -> Iterator[str]:
    shown = "may be shown" if source.publishable else "not to be published"
    yield f"{role}: {source.description} ({shown})"
    if not source.simulated:
        try:
            listing = read_listing(source)
        except InputError as error:
            yield f"  not usable: {str(error).splitlines()[0]}"
            return
        yield f"  {listing.expected:,} images listed, {len(listing.manifest):,} of them there as files"


def _official_lists(study: Study) -> Iterator[str]:
    """Each COVIDx tree that the study uses, beside its official lists: also the split that no role has."""
    trees: dict[Path, dict[str, CovidxSource]] = {}
    for source in (source for role in study.roles for source in study.data.sources(role)):
        if isinstance(source, CovidxSource):
            trees.setdefault(source.folder, {})[source.split] = source
    for folder, used in trees.items():
        yield "\nCOVIDx V8B beside its official lists"
        for split in ("train", "test"):
            source = used.get(split) or next(iter(used.values())).model_copy(update={"split": split})
            if labels_path(folder, split).exists():
                yield compare_with_lists(source).summary()
                if split not in used:
                    yield "  no role of this study uses this split"
            elif split in used:
                yield f"{labels_path(folder, split)}: the official list is missing"


def films_table(records: dict[str, dict[str, Any]], audit: dict[str, Any]) -> Table:
    """One row a role: files listed and found, films used after the audit, patients, labels."""
    table = Table(title="Films", title_justify="left")
    table.add_column("role")
    columns = (
        "listed",
        "missing",
        "unexpected",
        "unreadable",
        "copies left out",
        "used",
        "patients",
        "positive",
        "negative",
    )
    for column in columns:
        table.add_column(column, justify="right")
    for role, record in records.items():
        used = audit["used"][role]
        unreadable = len(record["unreadable"]) - record["missing"]
        numbers = (
            record["files_expected"], record["missing"], record["unexpected"], unreadable, len(audit["excluded"][role]),
            used["images_used"], used["patients"], used["by_label"]["positive"], used["by_label"]["negative"],
        )  # fmt: skip
        table.add_row(role, *(f"{number:,}" for number in numbers))
    return table


def reasons_table(records: dict[str, dict[str, Any]]) -> Table:
    """Why listed files are not used: role, reason, files; no row where every file is used."""
    table = Table("role", "reason", title="Listed files that can't be used", title_justify="left")
    table.add_column("files", justify="right")
    for role, record in records.items():
        for reason, count in sorted(record["reasons"].items(), key=lambda item: -item[1]):
            table.add_row(role, reason, f"{count:,}")
    return table


def _copies(study: Study, audit: dict[str, Any]) -> Iterator[RenderableType]:
    if not audit["pairs"]:
        yield "No film has a copy in another role, or under another patient's id in its own."
        return
    table = Table(
        "the film",
        "and its copy",
        "kind",
        title="Copies of films, or films so alike that the patient is the same",
        title_justify="left",
    )
    table.add_column("pairs", justify="right")
    table.add_column("left out")
    for found in audit["pairs"]:
        roles = found["role_a"], found["role_b"]
        other = f"{roles[0]}, another patient" if roles[0] == roles[1] else roles[0]
        table.add_row(roles[1], other, found["kind"], f"{found['pairs']:,}", left_out(*roles) or "nothing")
    yield table
    yield f"Side by side (private): {study.results.duplicates}"


def _source_rule_lines(study: Study) -> Iterator[str]:
    """How far the source alone gives the labels away; nothing where the public films have a single source."""
    manifests = {role: load_manifest(study, role) for role in study.roles}
    labels = {role: (manifest["label"] == "positive").to_numpy(int) for role, manifest in manifests.items()}
    rule = fit_source_rule(manifests["training"]["source"], labels["training"])
    if len(rule.counts) < 3:
        yield "\nThe training films name fewer than two sources, so a source can't give their labels away."
        return
    yield "\nWhat the source alone tells, by a rule that knows only the sources of the training films"
    for role, manifest in manifests.items():
        known = rule.knows(manifest["source"])
        commoner = max(labels[role].mean(), 1 - labels[role].mean())
        if not known.any():
            yield f"  {role}: nothing, its sources are other ones"
            continue
        right = ((rule.predict(manifest["source"]) >= 0.5) == labels[role])[known].mean()
        films = f"{known.sum():,} films" if known.all() else f"the {known.sum():,} films of a known source"
        yield f"  {role}: the label of {right:.1%} of {films} (the commoner label alone: {commoner:.1%})"
    yield "  A classifier that recognises where a film was taken can be that good without looking at the lungs."


def verdict(study: Study, audit: dict[str, Any]) -> str:
    """Whether the study may run, and what a person should look at first."""
    dropped = sum(len(ids) for ids in audit["excluded"].values())
    said = [f"{study.name} may run."]
    if dropped:
        kind = "" if audit["excluded"].get(EXTERNAL) else "public "
        said.append(f"{dropped:,} {kind}{'copy is' if dropped == 1 else 'copies are'} left out of every stage.")
    between = sum(found["pairs"] for found in audit["pairs"] if found["role_a"] == found["role_b"] == "hospital")
    if between:
        said.append(
            f"Look first at {between:,} {'pair' if between == 1 else 'pairs'} of copies that the hospital has in "
            "different folds: these may be patients with two ids. With one id they share a fold, and no generator "
            "learns from a film that it is tested on."
        )
    return " ".join(said)


def as_record(study: Study, verdicts: list[Verdict]) -> dict[str, Any]:
    """The verdicts for programs, with counts of films where the audit is done."""
    audit = (
        {} if any(verdict.because for verdict in verdicts) or not verdicts else read_json(study.results.audit_record)
    )
    roles = {
        verdict.role: {
            "verdict": verdict.word,
            "why": list(verdict.because or verdict.but),
            "doubtful": {note: len(names) for note, names in verdict.doubtful.items()},
            **({"used": audit["used"][verdict.role]} if audit else {}),
        }
        for verdict in verdicts
    }
    return {"study": study.name, "may_run": bool(audit), "roles": roles, "copies": audit.get("pairs", [])}
