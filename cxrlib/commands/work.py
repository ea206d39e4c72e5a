"""Commands that do the work: one per stage, `cxr report` for all of them, and what looks at them and at the machine."""

import difflib
import inspect
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from cxrlib.commands.console import Force, Stamp, StudyName, answer, app, confirm, pairs, progress_of, say
from cxrlib.errors import InputError
from cxrlib.finished import phase_seconds
from cxrlib.stages import STAGES, Stage
from cxrlib.study import REPOSITORY, load_study
from cxrlib.units import unit_of
from cxrlib.workflow import overview
from cxrlib.workflow import report as work
from cxrlib.workflow.jobs import do

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


@app.command()
def doctor(
    study: Annotated[str, typer.Argument(help="A study, whose films and weights are looked for too.")] = "",
) -> None:
    """Look at this machine: Python, disk, memory, GPU, browser, proxy, Slurm; and say what to do about each."""
    from cxrlib.workflow.doctor import as_lines, examine

    found = list(examine(load_study(study) if study else None))
    say("\n".join(as_lines(found)))
    answer([asdict(one) for one in found])
    if any(one.state == "missing" for one in found):
        raise SystemExit(1)


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
        given = {key: yaml.safe_load(value) for key, value in pairs(parameter, "--parameter").items()}
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
    do(loaded, unit, force=force, stamp=stamp, progress=progress_of(unit.title), **more)
    answer({"study": loaded.name, "unit": unit.id, "record": unit.record(loaded)})


@app.command()
def report(
    study: StudyName,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE …] [-- OPTIONS OF SNAKEMAKE]", show_default=False)
    ] = None,
    profile: Annotated[Path | None, typer.Option(help="Folder of a Snakemake profile, e.g. profiles/slurm.")] = None,
    cores: Annotated[int, typer.Option(help="Jobs at a time; by default all processors.", min=0)] = 0,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Make whatever is missing or damaged of a study, up to the book.

    Names of stages in the place of the book end the work there. What follows `--` goes to Snakemake.
    """
    from cxrlib.films.audit import check_before

    started = time.monotonic()
    loaded = load_study(study)
    targets, extra = _targets(words or [])
    extra = [*(["--profile", str(_profile(profile))] if profile else []), *extra]
    check_before(loaded, book=not words)
    if dry_run:
        work.check_settings(loaded)
        found = overview.to_do(loaded, targets)
        say("\n".join(overview.lines_of_plan(found)))
        answer(found)
        return
    with work.only_one_report(loaded):
        work.save_settings(loaded, force=force)
        work.save_provenance(loaded)
        jobs = work.run(loaded, targets, cores, extra, say)
    index = loaded.build_folder / "html" / "index.html"
    say("\nwork per stage (jobs may run side by side):")
    for phase, (_, worked) in phase_seconds(loaded).items():
        say(f"  {phase:<16} {int(worked) // 60:3d} min {int(worked) % 60:2d} s")
    seconds = int(time.monotonic() - started)
    say(f"this run took {seconds // 60} min {seconds % 60} s\n")
    if targets == ["book"]:
        say(f"The book: {index.as_uri()}")
    answer({"jobs": jobs, "seconds": seconds, "book": index})


@app.command()
def status(study: StudyName) -> None:
    """Say what of a study is done, running, damaged or obsolete and why, what it will cost, and the disk it takes."""
    found = overview.status(load_study(study))
    say("\n".join(overview.lines_of_status(found)))
    answer(found)


@app.command()
def verify(study: StudyName) -> None:
    """Hash every finished file of a study, and name the damaged ones with the commands that make them again."""
    found = overview.verify(load_study(study))
    say("\n".join(overview.lines_of_damage(found)))
    answer(found)
    if found:
        raise SystemExit(1)


@app.command()
def clean(
    study: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
) -> None:
    """Remove checkpoints and snapshots of what is finished, after saying how much that frees."""
    loaded = load_study(study)
    paths, size = overview.spare(loaded)
    say(f"{loaded.name}: {overview.megabytes(size)} in {len(paths)} checkpoints and snapshots that nothing reads")
    wanted = bool(paths) and (yes or confirm("Remove them?"))
    if wanted:
        size = overview.clean(loaded)
        say("Removed.")
    answer({"files": paths, "bytes": size, "removed": wanted})


def _targets(words: list[str]) -> tuple[list[str], list[str]]:
    """Names of stages, the book without any, and what follows them, for Snakemake: it begins with an option."""
    end = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    wrong = next((word for word in words[:end] if word not in STAGES), None)
    if wrong is not None:
        near = difflib.get_close_matches(wrong, STAGES, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"stages: {', '.join(STAGES)}"
        raise InputError(f"report: found `{wrong}`, which is not a stage; {hint}")
    return words[:end] or ["book"], words[end:]


def _profile(given: Path) -> Path:
    """The folder of a Snakemake profile: as given, or one of those that come with the package, by its name."""
    found = next((folder for folder in (given, REPOSITORY / "profiles" / given.name) if folder.is_dir()), None)
    if found is None:
        names = ", ".join(sorted(folder.name for folder in (REPOSITORY / "profiles").iterdir()))
        raise InputError(f"--profile: found no folder {given}, nor a profile of this name; there are: {names}")
    return found.resolve()
