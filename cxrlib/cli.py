"""`cxr`: one command per stage, and `cxr report` for all of them.

Everything heavy is imported inside the command that needs it.
"""

import csv
import difflib
import inspect
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from cxrlib.errors import InputError
from cxrlib.finished import phase_seconds
from cxrlib.progress import Report, paced
from cxrlib.stages import STAGES, Stage
from cxrlib.study import REPOSITORY, load_study
from cxrlib.units import unit_of
from cxrlib.wings import missing_wing
from cxrlib.workflow import overview
from cxrlib.workflow import report as work
from cxrlib.workflow.jobs import do
from cxrlib.workflow.processes import end_with_the_report

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A study of synthetic chest X-rays: from images to a published book.",
    epilog="`cxr COMMAND --help` has an example of each command. The first to try: cxr report demo",
)


def _known_studies(incomplete: str) -> list[str]:
    """Names of studies here, for the shell's completion."""
    return sorted(file.stem for file in Path("studies").glob(f"{incomplete}*.yaml"))


StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="Name of a study (studies/NAME.yaml) or a YAML file.", autocompletion=_known_studies
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Make it afresh, even if it is finished.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Stamp = Annotated[Path | None, typer.Option(hidden=True)]
# The options by which the units of a stage are told apart.
KEYS = {
    "role": Annotated[str, typer.Option(help="training, validation or hospital")],
    "label": Annotated[str, typer.Option(help="negative or positive")],
    "fold": Annotated[str, typer.Option(help="all, public, or fold0, fold1, …")],
    "variant": Annotated[str, typer.Option(help="one of gan.comparisons: random-start, no-augmentation")],
    "arm": Annotated[str, typer.Option(help="one of the study's arms")],
    "seed": Annotated[int, typer.Option(help="0, 1, …")],
}
DEFAULTS = {"fold": "all", "variant": "", "seed": 0}


def main() -> None:
    """Run a command; an `InputError`, or a wing that is not installed, becomes one message and exit code 2."""
    end_with_the_report()
    # Shells expand `~` at the beginning of a word only, and not in quotes.
    sys.argv[1:] = [
        re.sub(r"^(--[\w-]+=)?~(?=/|$)", lambda at: (at[1] or "") + str(Path.home()), word) for word in sys.argv[1:]
    ]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        app()
    except (InputError, ModuleNotFoundError) as error:
        told = error if isinstance(error, InputError) else missing_wing(error)
        if told is None:
            raise
        sys.stderr.write(f"cxr: {told}\n")
        raise SystemExit(2) from None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _print(parts: Iterable[Any]) -> None:
    """Print texts and tables as they come."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))


def _progress(what: str) -> Report:
    """Log how far a stage is and the time left, at most every ten seconds."""
    return paced(lambda text: logging.getLogger("cxr").info("%s: %s", what, text), pause_seconds=10)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        _say(f"cxr {version('cxrlib')}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def doctor(
    study: Annotated[str, typer.Argument(help="A study, whose films and weights are looked for too.")] = "",
    as_json: Json = False,
) -> None:
    """Look at this machine: Python, disk, memory, GPU, browser, proxy, Slurm; and say what to do about each."""
    from cxrlib.workflow.doctor import as_data, as_lines, examine

    found = list(examine(load_study(study) if study else None))
    _tell(as_data(found) if as_json else as_lines(found))
    if any(one.state == "missing" for one in found):
        raise SystemExit(1)


@app.command()
def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY STUDY …", autocompletion=_known_studies)],
    to: Annotated[Path | None, typer.Option(help="The page; by default under _build/compare.")] = None,
    as_json: Json = False,
) -> None:
    """Put studies side by side on one page: the settings that differ, films, and results."""
    from cxrlib.publishing.compare import compare as compare_studies
    from cxrlib.publishing.compare import write_comparison

    loaded = [load_study(study) for study in studies]
    found = compare_studies(loaded)
    if as_json:
        _tell(found)
        return
    page = to or loaded[0].build_folder.parent / "compare" / f"{'-'.join(found['studies'])}.html"
    _say(f"The page: {write_comparison(found, page.resolve()).as_uri()}")


@app.command()
def show(study: StudyName, as_json: Json = False) -> None:
    """Print the settings of a study, defaults included; then say what is wrong with its data, if anything."""

    from cxrlib.films.preparation import check_sources

    loaded = load_study(study)
    settings = loaded.resolved()
    _say(json.dumps(settings) if as_json else yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).rstrip())
    check_sources(loaded)


@app.command()
def start(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Your films: a DICOM export, pictures, or https://… of DICOMweb.")
    ],
    name: Annotated[str, typer.Option(help="Name of the study; asked for if left out.")] = "",
    labels: Annotated[Path | None, typer.Option(help="Table of labels; found beside the films if it is alone.")] = None,
    films: Annotated[
        Path | None, typer.Option(help="Folder to make of a DICOM export; else NAME-films beside it")
    ] = None,
    public: Annotated[
        Path | None, typer.Option(help="Public films: training/ and validation/, or a COVIDx tree; else simulated ones")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="As for import-dicom")] = None,
    column: Annotated[list[str], typer.Option(help="As for import-dicom, e.g. label=Befund")] = (),
    word: Annotated[list[str], typer.Option(help="As for import-dicom, e.g. krank=positive")] = (),
    rules: Annotated[Path | None, typer.Option(help="As for import-dicom")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; say what can't be known as options.")] = False,
) -> None:
    """The first hour: look at your films, import them, write studies/NAME.yaml, check it, and say what comes next."""
    from cxrlib.start import Answers
    from cxrlib.start import start as start_study

    given = Answers(name, labels, films, public, key, _pairs(column, "--column"), _pairs(word, "--word"), rules)
    silent = yes or not sys.stdin.isatty()
    _print(start_study(_place(source, key), given, None if silent else _ask, _progress))


def _place(source: str, key: Path | None) -> Path:
    """Where the files of a source lie; those behind an address are fetched first."""
    from cxrlib.intake.dicomweb import fetch_films, is_web

    return fetch_films(source, key, _progress) if is_web(source) else Path(source).expanduser()


def _ask(question: str, usual: str) -> str:
    return str(typer.prompt(question, default=usual)).strip()


@app.command()
def check(
    study: StudyName,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 if a role is ready, but …")] = False,
    as_json: Json = False,
) -> None:
    """Read and prepare the films, search them for shared patients and copies, and say what was found.

    Ends with a verdict on each role, and a page with pictures. The exit code is 0 for a study that may run, 2 for one
    that may not.
    """
    from cxrlib.check import NotReady, as_record
    from cxrlib.check_page import check_with_page

    loaded = load_study(study)
    verdicts: list[Any] = []

    def parts() -> Iterable[Any]:
        verdicts.extend((yield from check_with_page(loaded, force=force, progress=_progress)))

    try:
        list(parts()) if as_json else _print(parts())
    except NotReady as error:
        if as_json:
            _tell(as_record(loaded, error.verdicts) | {"problems": str(error).splitlines()})
        raise
    if as_json:
        _tell(as_record(loaded, verdicts))
    if strict and any(verdict.but for verdict in verdicts):
        raise SystemExit(1)


@app.command()
def import_dicom(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Folder, archive or DICOMDIR of a DICOM export, or https://… of DICOMweb."
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV or Excel table: a column `label` and one of ids or file names; without it, folders positive/ …"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to make, for the `folder` reader; must not hold anything else.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="File of the secret key; by default ~/.config/cxr/pseudonyms.key")
    ] = None,
    column: Annotated[
        list[str], typer.Option(help="What the table calls a column, e.g. label=Befund; repeatable")
    ] = (),
    decisions: Annotated[Path | None, typer.Option(help="A table: image_id, and decision (use or skip)")] = None,
    word: Annotated[list[str], typer.Option(help="What a label's word means, e.g. krank=positive; repeatable")] = (),
    rules: Annotated[
        Path | None, typer.Option(help="A table: field, value, decision (use or skip); a dry run writes it if absent")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")] = False,
    look: Annotated[bool, typer.Option("--look", help="Decide on doubtful films in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Turn a DICOM export into a folder of films under pseudonyms. Interrupted, type the same again."""
    asked = {"columns": _pairs(column, "--column"), "words": _pairs(word, "--word"), "rules": rules}
    if dry_run:
        from cxrlib.intake.dry_run import dry_run as look_at_headers

        plan = look_at_headers(_place(source, key), labels, decisions=decisions, progress=_progress, **asked)
        _tell(plan.as_json() if as_json else list(plan.lines()))
        return
    from cxrlib.intake.dicom import import_dicom as import_films

    if out is None:
        raise InputError("--out: missing; expected a folder to make, e.g. --out films (or --dry-run to look first)")
    if look:
        from cxrlib.intake.look_over import look_over

        asked["look"] = lambda work: look_over(work, _say)
    imported = import_films(
        _place(source, key), labels, out, key_file=key, decisions=decisions, progress=_progress, **asked
    )
    for line in imported.lines(out):
        _say(line)
    if not imported.used:
        raise InputError(f"{source}: no film was used; the reasons stand above and in {out / 'import.csv'}")


@app.command()
def chapter(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="01_data … 05_results")],
    parameter: Annotated[list[str], typer.Option("--parameter", "-p", help="name=value, repeatable")] = (),
    force: Force = False,
    stamp: Stamp = None,
) -> None:
    """Run one notebook headless and keep the executed copy."""
    try:
        given = {key: yaml.safe_load(value) for key, value in _pairs(parameter, "--parameter").items()}
    except yaml.YAMLError as error:
        raise InputError(f"--parameter: not a value: {' '.join(str(error).split())}") from None
    _make("chapter", study, (name,), force, stamp, parameters=given)


def _stage_command(stage: Stage) -> Callable[..., None]:
    """A command with an option for each key of the stage."""

    def command(study: str, force: bool, stamp: Path | None, **key: Any) -> None:
        _make(stage.name, study, tuple(key[name] for name in stage.keys), force, stamp)

    kinds = {"study": StudyName, **{name: KEYS[name] for name in stage.keys}, "force": Force, "stamp": Stamp}
    defaults = {"force": False, "stamp": None} | {name: DEFAULTS[name] for name in stage.keys if name in DEFAULTS}
    command.__signature__ = inspect.Signature(
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=defaults.get(name, inspect.Parameter.empty)
        )
        for name, kind in kinds.items()
    )
    command.__doc__ = stage.help
    return command


for _stage in STAGES.values():
    if _stage.name != "chapter":
        app.command(_stage.command)(_stage_command(_stage))


def _make(stage: str, study: str, key: tuple[Any, ...], force: bool, stamp: Path | None, **more: Any) -> None:
    """Make one unit of a study, or say that it is finished; Snakemake's jobs get a stamp, and end with their report."""
    loaded = load_study(study)
    unit = unit_of(loaded, stage, key)
    do(loaded, unit, force=force, stamp=stamp, progress=_progress(unit.title), **more)


@app.command()
def review(
    study: StudyName,
    reader: Annotated[str, typer.Option(help="Who reads; without it the page asks.")] = "",
    port: Annotated[
        int | None, typer.Option(help="By default that of last time, at first 8866, or any free one.", min=1, max=65535)
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Another address: who had the old one is out.")] = False,
) -> None:
    """Let radiologists read films in a browser; prints the address to open. Ctrl-C stops it."""
    from cxrlib.reading.events import people_have_answered
    from cxrlib.reading.protocol import prepare_protocol
    from cxrlib.reading.sample_size import in_words, sample_size_table
    from cxrlib.reading.server import serve_reading
    from cxrlib.reading.welcome import Desk

    loaded = load_study(study)
    protocol = prepare_protocol(loaded)
    if not people_have_answered(protocol.folder):
        sentences = in_words(sample_size_table(protocol, loaded.review.planned_readers))
        sys.stderr.write("Before the first answer, what this reading can show:\n")
        sys.stderr.writelines(f"  {sentence}\n" for sentence in sentences)
    serve_reading(Desk.of_study(loaded), reader, port, _say, renew=renew)


@app.command()
def readings(
    study: StudyName,
    csv: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write every answer and the tables there.")] = None,
) -> None:
    """Say what readers have said so far; bring the tables of the readings up to date."""
    from cxrlib.chapters.reading.report import report_readings

    _print(report_readings(load_study(study), csv))


Films = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of films, with a table of them.")]
FilmsTable = Annotated[str, typer.Option(help="The table: columns `file`, `patient_id`, and any others.")]


@app.command()
def label(
    folder: Films,
    table: FilmsTable = "films.csv",
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate", help="Show the films that readers see differently.")
    ] = False,
    reader: Annotated[str, typer.Option(help="Who reads; without it the page asks.")] = "",
    port: Annotated[int | None, typer.Option(help="By default that of last time, or any free one.")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Another address: who had the old one is out.")] = False,
) -> None:
    """Let radiologists label real films in a browser, each for themselves; prints the address. Ctrl-C stops it."""
    from cxrlib.reading.labelling import RealFilms, prepare_labelling
    from cxrlib.reading.server import serve_reading
    from cxrlib.reading.settling import adjudication
    from cxrlib.reading.welcome import Desk

    first = prepare_labelling(folder, table, _progress("opening films"))
    for file, reason in first.record["left_out"].items():
        sys.stderr.write(f"left out: {file}: {reason}\n")

    def load() -> Any:
        protocol = adjudication(folder) if adjudicate else prepare_labelling(folder, table)
        return protocol, RealFilms(folder, protocol)

    serve_reading(Desk(load), reader, port, _say, renew=renew)


@app.command()
def settle(folder: Films, table: FilmsTable = "films.csv") -> None:
    """Say how far readers of `cxr label` are and agree; once no film is open, write labels.csv beside the films."""
    from cxrlib.reading.settling import settle as settle_labels

    for line in settle_labels(folder, table):
        _say(line)


@app.command()
def publish(
    study: StudyName,
    to: Annotated[str, typer.Option(help="Folder for the copy; by default published/STUDY.")] = "",
    responsible: Annotated[str, typer.Option(help="Name of whoever answers for what is published.")] = "",
) -> None:
    """Copy the built book to a folder, after a search for what may not be published, signed by a person."""
    from cxrlib.publishing.publish import publish_book

    def sign(lines: list[str]) -> str:
        _say("\n".join(lines))
        asked = not responsible and sys.stdin.isatty()
        return typer.prompt("Name of whoever answers for this", type=str) if asked else responsible

    _say(str(publish_book(load_study(study), Path(to) if to else None, sign=sign)))


@app.command()
def report(
    study: StudyName,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE …] [-- OPTIONS OF SNAKEMAKE]", show_default=False)
    ] = None,
    profile: Annotated[Path | None, typer.Option(help="Folder of a Snakemake profile, e.g. profiles/slurm.")] = None,
    cores: Annotated[int, typer.Option(help="Jobs at a time; by default all processors.")] = 0,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Make whatever is missing or damaged of a study, up to the book.

    Names of stages in the place of the book end the work there. What follows `--` goes to Snakemake.
    """
    from cxrlib.films.audit import check_before

    started = time.monotonic()
    loaded = load_study(study)
    targets, extra = _targets(words or [])
    extra = [*(["--profile", str(_profile(profile))] if profile else []), *extra]
    say = (lambda text: None) if as_json else _say
    check_before(loaded, book=not words)
    if dry_run:
        work.check_settings(loaded)
        found = overview.to_do(loaded, targets)
        _tell(found if as_json else overview.lines_of_plan(found))
        return
    with work.only_one_report(loaded):
        work.save_settings(loaded, force=force)
        work.save_provenance(loaded)
        jobs = work.run(loaded, targets, cores, extra, say)
    index = loaded.build_folder / "html" / "index.html"
    if as_json:
        _tell({"jobs": jobs, "seconds": round(time.monotonic() - started, 1), "book": str(index)})
        return
    _say("\nwork per stage (jobs may run side by side):")
    for phase, (_, worked) in phase_seconds(loaded).items():
        _say(f"  {phase:<16} {int(worked) // 60:3d} min {int(worked) % 60:2d} s")
    seconds = int(time.monotonic() - started)
    _say(f"this run took {seconds // 60} min {seconds % 60} s\n")
    if targets == ["book"]:
        _say(f"The book: {index.as_uri()}")


@app.command()
def status(study: StudyName, as_json: Json = False) -> None:
    """Say what of a study is done, running, damaged or obsolete and why, what it will cost, and the disk it takes."""
    found = overview.status(load_study(study))
    _tell(found if as_json else overview.lines_of_status(found))


@app.command()
def verify(study: StudyName, as_json: Json = False) -> None:
    """Hash every finished file of a study, and name the damaged ones with the commands that make them again."""
    found = overview.verify(load_study(study))
    _tell(found if as_json else overview.lines_of_damage(found))
    if found:
        raise SystemExit(1)


@app.command()
def clean(
    study: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Remove checkpoints and snapshots of what is finished, after saying how much that frees."""
    loaded = load_study(study)
    paths, size = overview.spare(loaded)
    if as_json and not yes:
        _tell({"files": [str(path) for path in paths], "bytes": size, "removed": False})
        return
    if not as_json:
        _say(f"{loaded.name}: {overview.megabytes(size)} in {len(paths)} checkpoints and snapshots that nothing reads")
    if paths and (yes or typer.confirm("Remove them?")):
        freed = overview.clean(loaded)
        _tell({"files": [str(path) for path in paths], "bytes": freed, "removed": True} if as_json else ["Removed."])


def _targets(words: list[str]) -> tuple[list[str], list[str]]:
    """Names of stages, the book without any, and what follows them, for Snakemake: it begins with an option."""
    end = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    wrong = next((word for word in words[:end] if word not in STAGES), None)
    if wrong is not None:
        near = difflib.get_close_matches(wrong, STAGES, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"stages: {', '.join(STAGES)}"
        raise InputError(f"report: found `{wrong}`, which is no stage; {hint}")
    return words[:end] or ["book"], words[end:]


def _profile(given: Path) -> Path:
    """The folder of a Snakemake profile: as given, or one of those that come with the package, by its name."""
    found = next((folder for folder in (given, REPOSITORY / "profiles" / given.name) if folder.is_dir()), None)
    if found is None:
        names = ", ".join(sorted(folder.name for folder in (REPOSITORY / "profiles").iterdir()))
        raise InputError(f"--profile: found no folder {given}, nor a profile of this name; there are: {names}")
    return found.resolve()


def _pairs(options: list[str], name: str) -> dict[str, str]:
    wrong = next((option for option in options if "=" not in option.strip("=")), None)
    if wrong is not None:
        raise InputError(f"{name}: found `{wrong}`, expected name=value")
    return dict(option.split("=", 1) for option in options)


def _tell(found: Any) -> None:
    """Print lines as they are, and anything else as JSON."""

    lines = isinstance(found, list) and all(isinstance(line, str) for line in found) and found
    _say("\n".join(found) if lines else json.dumps(found, indent=2))


def _group_commands() -> None:
    """Give every command its place in the help, and an example, from `commands.csv`."""
    with open(Path(__file__).with_name("commands.csv"), newline="", encoding="utf-8") as file:
        rows = {row["command"]: row for row in csv.DictReader(file)}
    for command in app.registered_commands:
        name = command.name or str(getattr(command.callback, "__name__", "")).replace("_", "-")
        if name in rows:
            command.rich_help_panel, command.epilog = rows[name]["panel"], f"Example: {rows[name]['example']}"
    app.registered_commands.sort(key=lambda command: str(command.rich_help_panel))


_group_commands()

if __name__ == "__main__":
    main()
