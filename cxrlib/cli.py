"""`cxr`: one command per stage, and `cxr report` for all of them.

Everything heavy is imported inside the command that needs it.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrlib.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A study of synthetic chest X-rays: from images to a published book.",
)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study (studies/NAME.yaml) or a YAML file.")]
Force = Annotated[bool, typer.Option("--force", help="Make it afresh, even if it is finished.")]
Label = Annotated[str, typer.Option(help="negative or positive")]
Fold = Annotated[str, typer.Option(help="all, public, or fold0, fold1, …")]


def main() -> None:
    """Run a command; an `InputError` becomes one message on standard error and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        app()
    except InputError as error:
        sys.stderr.write(f"cxr: {error}\n")
        raise SystemExit(2) from None


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _progress(what: str) -> Callable[[int, int, dict[str, Any]], None]:
    """Log how far a stage is and the time left, at most every ten seconds."""
    state = {"first": None, "started": time.monotonic(), "said": time.monotonic()}

    def report(done: int, total: int, facts: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        if state["first"] is None:
            state["first"], state["started"] = done, now
        if now - state["said"] < 10 and done < total:
            return
        state["said"] = now
        worked = done - state["first"]
        left = f", {(now - state['started']) / worked * (total - done):.0f} s left" if worked > 0 else ""
        shown = {name: value for name, value in (facts or {}).items() if value is not None and name != "seconds_left"}
        details = "".join(f", {name} {value}" for name, value in shown.items())
        logging.getLogger("cxr").info("%s: %d of %d%s%s", what, done, total, left, details)

    return report


@app.command()
def show(study: StudyName) -> None:
    """Print the settings of a study, defaults included; then say what is wrong with its data, if anything."""
    import yaml

    from cxrlib.films.preparation import check_sources
    from cxrlib.study import load_study

    loaded = load_study(study)
    _say(yaml.safe_dump(loaded.resolved(), sort_keys=False, allow_unicode=True).rstrip())
    check_sources(loaded)


@app.command()
def check(study: StudyName, force: Force = False) -> None:
    """Read and prepare the films, search them for shared patients and copies, and say what was found."""
    from rich.console import Console

    from cxrlib.check import check_study
    from cxrlib.study import load_study

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else 120, highlight=False)
    for part in check_study(load_study(study), force=force, progress=_progress):
        console.print(part, markup=False, soft_wrap=isinstance(part, str))


@app.command()
def import_dicom(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder of a DICOM export, searched throughout.")],
    labels: Annotated[Path, typer.Option(help="CSV or Excel table: a column `label` and one of ids or file names.")],
    out: Annotated[Path, typer.Option(help="Folder to make, for the `folder` reader; must not hold anything else.")],
    key: Annotated[
        Path | None, typer.Option(help="File of the secret key; by default ~/.config/cxr/pseudonyms.key")
    ] = None,
    column: Annotated[
        list[str], typer.Option(help="What the table calls a column, e.g. label=Befund; repeatable")
    ] = (),
    decisions: Annotated[Path | None, typer.Option(help="A table: image_id, and decision (use or skip)")] = None,
    word: Annotated[list[str], typer.Option(help="What a label's word means, e.g. krank=positive; repeatable")] = (),
) -> None:
    """Turn a DICOM export into a folder of films under pseudonyms. Interrupted, type the same again."""
    from cxrlib.intake.dicom import import_dicom as import_films

    columns, words = _pairs(column, "--column"), _pairs(word, "--word")
    imported = import_films(
        source, labels, out, key_file=key, columns=columns, words=words, decisions=decisions, progress=_progress
    )
    for line in imported.lines(out):
        _say(line)
    if not imported.used:
        raise InputError(f"{source}: no film was used; the reasons stand above and in {out / 'import.csv'}")


@app.command()
def prepare(
    study: StudyName,
    role: Annotated[str, typer.Option(help="training, validation or hospital")],
    force: Force = False,
) -> None:
    """Read, check and resize the films of one role."""
    from cxrlib.films.preparation import prepare_role
    from cxrlib.study import load_study

    loaded = load_study(study)
    _one_of(role, ("training", "validation", "hospital"), "--role")
    prepare_role(loaded, role, force=force, progress=_progress(f"films of {role}"))


@app.command()
def audit(study: StudyName, force: Force = False) -> None:
    """Search the prepared films for patients and copies that more than one role has."""
    from cxrlib.films.audit import audit_study
    from cxrlib.study import load_study

    audit_study(load_study(study), force=force, progress=_progress("audit"))


@app.command()
def film_tables(study: StudyName, force: Force = False) -> None:
    """Count and measure the audited films: Table 1, the flow of films, shortcuts, shift."""
    from cxrlib.chapters.films.tables import make_film_tables
    from cxrlib.study import load_study

    make_film_tables(load_study(study), force=force)


@app.command()
def train_gan(
    study: StudyName,
    label: Label,
    fold: Fold = "all",
    variant: Annotated[str, typer.Option(help="one of gan.comparisons: random-start, no-augmentation")] = "",
    force: Force = False,
) -> None:
    """Train the generator of one label and fold, or a variant of it for a comparison."""
    from cxrlib.generators.training import train_generator
    from cxrlib.study import load_study

    loaded = load_study(study)
    _one_of(label, ("negative", "positive"), "--label")
    _one_of(fold, loaded.generator_folds, "--fold")
    what = _progress(f"generator {label} {fold} {variant}".rstrip())
    train_generator(loaded, label, fold, variant=variant, force=force, progress=what)


@app.command()
def synthesise(study: StudyName, label: Label, fold: Fold = "all", force: Force = False) -> None:
    """Make the synthetic films of one label and fold."""
    from cxrlib.generators.synthesis import synthesise as make_films
    from cxrlib.study import load_study

    loaded = load_study(study)
    _one_of(label, ("negative", "positive"), "--label")
    _one_of(fold, [name for name in loaded.generator_folds if name != "public"], "--fold")
    make_films(loaded, label, fold, force=force, progress=_progress(f"synthetic films {label} {fold}"))


@app.command()
def train_classifier(
    study: StudyName,
    arm: Annotated[str, typer.Option(help="one of the study's arms")],
    seed: Annotated[int, typer.Option(help="0, 1, …")] = 0,
    fold: Fold = "all",
    force: Force = False,
) -> None:
    """Train one classifier and predict validation and hospital films."""
    from cxrlib.classifiers.training import train_classifier as train
    from cxrlib.study import load_study

    loaded = load_study(study)
    _one_of(arm, loaded.classifier_arms, "--arm")
    _one_of(fold, loaded.classifier_folds(arm), "--fold")
    _one_of(str(seed), [str(number) for number in loaded.classifier_seeds(arm)], "--seed")
    train(loaded, arm, seed, fold, force=force, progress=_progress(f"classifier {arm} seed {seed} {fold}"))


@app.command()
def measure_quality(study: StudyName, force: Force = False) -> None:
    """Measure how near synthetic films are to real ones, beside real against real."""
    from cxrlib.chapters.generators.quality import measure_quality as measure
    from cxrlib.study import load_study

    measure(load_study(study), force=force)


@app.command()
def compare_generators(study: StudyName, force: Force = False) -> None:
    """Compare the generator with those trained from a random start or without augmentation."""
    from cxrlib.chapters.generators.comparisons import compare_generators as compare
    from cxrlib.study import load_study

    compare(load_study(study), force=force)


@app.command()
def explain(study: StudyName, force: Force = False) -> None:
    """Find out what the classifiers looked at: maps for the figures, and shares of attention inside the lungs."""
    from cxrlib.chapters.results.explanations import explain_study
    from cxrlib.study import load_study

    explain_study(load_study(study), force=force, progress=_progress("models looked into"))


@app.command()
def tables(study: StudyName, force: Force = False) -> None:
    """Compute every table of the results from the predictions."""
    from cxrlib.chapters.results.tables import make_tables
    from cxrlib.study import load_study

    make_tables(load_study(study), force=force)


@app.command()
def chapter(
    study: StudyName,
    name: Annotated[str, typer.Argument(help="01_data … 05_results")],
    parameter: Annotated[list[str], typer.Option("--parameter", "-p", help="name=value, repeatable")] = (),
) -> None:
    """Run one notebook headless and keep the executed copy."""
    import yaml

    from cxrlib.chapters.run import run_chapter
    from cxrlib.study import load_study

    given = {}
    for text in parameter:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--parameter: found `{text}`, expected name=value")
        given[key] = yaml.safe_load(value)
    run_chapter(load_study(study), name, parameters=given, force=True)


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
    from cxrlib.study import load_study

    loaded = load_study(study)
    protocol = prepare_protocol(loaded)
    if not people_have_answered(protocol.folder):
        sentences = in_words(sample_size_table(protocol, loaded.review.planned_readers))
        sys.stderr.write("Before the first answer, what this reading can show:\n")
        sys.stderr.writelines(f"  {sentence}\n" for sentence in sentences)
    serve_reading(loaded, reader, port, _say, renew=renew)


@app.command()
def readings(
    study: StudyName,
    csv: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write every answer and the tables there.")] = None,
) -> None:
    """Say what readers have said so far; bring the tables of the readings up to date."""
    from rich.console import Console

    from cxrlib.chapters.reading.report import report_readings
    from cxrlib.study import load_study

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for part in report_readings(load_study(study), csv):
        console.print(part, markup=False, soft_wrap=isinstance(part, str))


@app.command()
def simulate_readings(study: StudyName, force: Force = False) -> None:
    """Let the study's simulated readers answer, for demonstration; without any, remove what they answered."""
    from cxrlib.reading.simulation import simulate_readings as simulate
    from cxrlib.study import load_study

    simulate(load_study(study), force=force, progress=_progress("simulated readings"))


@app.command()
def reject_films(study: StudyName, force: Force = False) -> None:
    """Decide, once and for all, which synthetic films readers rejected (synthesis.exclude_rejected: true)."""
    from cxrlib.reading.rejection import freeze_rejected
    from cxrlib.study import load_study

    freeze_rejected(load_study(study), force=force)


@app.command()
def build_book(study: StudyName) -> None:
    """Build the Jupyter Book from the executed chapters."""
    from cxrlib.publishing.book import build_book as build
    from cxrlib.study import load_study

    _say(str(build(load_study(study), force=True)))


@app.command()
def publish(
    study: StudyName,
    to: Annotated[str, typer.Option(help="Folder for the copy; by default published/STUDY.")] = "",
    responsible: Annotated[str, typer.Option(help="Name of whoever answers for what is published.")] = "",
) -> None:
    """Copy the built book to a folder, after a search for what may not be published, signed by a person."""
    from pathlib import Path

    from cxrlib.publishing.publish import publish_book
    from cxrlib.study import load_study

    def sign(lines: list[str]) -> str:
        _say("\n".join(lines))
        asked = not responsible and sys.stdin.isatty()
        return typer.prompt("Name of whoever answers for this", type=str) if asked else responsible

    _say(str(publish_book(load_study(study), Path(to) if to else None, sign=sign)))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def report(
    context: typer.Context,
    study: StudyName,
    cores: Annotated[int, typer.Option(help="Jobs at a time; by default all processors.")] = 0,
    force: Force = False,
) -> None:
    """Make whatever is missing of a study, up to the book. Further options go to Snakemake (e.g. --executor slurm)."""
    from cxrlib import workflow
    from cxrlib.films.audit import check_before
    from cxrlib.study import load_study

    started = time.monotonic()
    loaded = load_study(study)
    check_before(loaded)
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with workflow.only_one_report(loaded):
        workflow.save_settings(loaded, force=force)
        workflow.save_provenance(loaded)
        done = sum(job.output.exists() for job in workflow.jobs_of(loaded))
        _say(f"{loaded.name}: {len(workflow.jobs_of(loaded)) - done} jobs to do, {done} done")
        workflow.run_snakemake(loaded, cores or available, context.args, _say)
    _closing_lines(loaded, time.monotonic() - started)


def _closing_lines(study: Any, seconds: float) -> None:
    from cxrlib import workflow

    _say("\nwork per stage (jobs may run side by side):")
    for stage, worked in workflow.stage_seconds(study).items():
        _say(f"  {stage:<16} {int(worked) // 60:3d} min {int(worked) % 60:2d} s")
    _say(f"this run took {int(seconds) // 60} min {int(seconds) % 60} s\n")
    _say(f"The book: {(study.build_folder / 'html' / 'index.html').as_uri()}")


def _pairs(options: list[str], name: str) -> dict[str, str]:
    wrong = next((option for option in options if "=" not in option.strip("=")), None)
    if wrong is not None:
        raise InputError(f"{name}: found `{wrong}`, expected two names with = between them")
    return dict(option.split("=", 1) for option in options)


def _one_of(value: str, allowed: Any, option: str) -> None:
    if value not in allowed:
        raise InputError(f"{option}: found `{value}`, expected one of: {', '.join(allowed)}")


if __name__ == "__main__":
    main()
