"""Commands of films and studies: settings, the first hour, an import, the check."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import yaml

from cxrlib.commands.console import Force, StudyName, answer, app, pairs, print_parts, progress_of, say
from cxrlib.errors import InputError
from cxrlib.study import load_study

# What the first hour and an import on its own are both told.
Key = Annotated[Path | None, typer.Option(help="File of the secret key; by default ~/.config/cxr/pseudonyms.key")]
Columns = Annotated[list[str], typer.Option(help="What the table calls a column, e.g. label=Befund; repeatable")]
Words = Annotated[list[str], typer.Option(help="What a label's word means, e.g. krank=positive; repeatable")]
RulesTable = Annotated[
    Path | None, typer.Option(help="A table: field, value, decision (use or skip); a dry run writes it if absent")
]


@app.command()
def show(study: StudyName) -> None:
    """Print the settings of a study, defaults included; then say what is wrong with its data, if anything."""
    from cxrlib.films.preparation import check_sources

    loaded = load_study(study)
    settings = loaded.resolved()
    say(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).rstrip())
    answer(settings)
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
    key: Key = None,
    column: Columns = (),
    word: Words = (),
    rules: RulesTable = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; say what can't be known as options.")] = False,
) -> None:
    """The first hour: look at your films, import them, write studies/NAME.yaml, check it, and say what comes next."""
    from cxrlib.start import Answers
    from cxrlib.start import start as start_study

    given = Answers(name, labels, films, public, key, pairs(column, "--column"), pairs(word, "--word"), rules)
    silent = yes or not sys.stdin.isatty()
    answer(print_parts(start_study(_place(source, key), given, None if silent else _ask, progress_of)))


def _place(source: str, key: Path | None) -> Path:
    """Where the files of a source lie; those behind an address are fetched first."""
    from cxrlib.intake.dicomweb import fetch_films, is_web

    return fetch_films(source, key, progress_of) if is_web(source) else Path(source).expanduser()


def _ask(question: str, usual: str) -> str:
    return str(typer.prompt(question, default=usual, err=True)).strip()


@app.command()
def check(
    study: StudyName,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 if a role is ready, but …")] = False,
) -> None:
    """Read and prepare the films, search them for shared patients and copies, and say what was found.

    Ends with a verdict on each role, and a page with pictures. The exit code is 0 for a study that may run, 2 for one
    that may not.
    """
    from cxrlib.check import NotReady, as_record
    from cxrlib.check_page import check_with_page

    loaded = load_study(study)
    try:
        verdicts = print_parts(check_with_page(loaded, force=force, progress=progress_of))
    except NotReady as error:
        answer(as_record(loaded, error.verdicts) | {"problems": str(error).splitlines()})
        raise
    answer(as_record(loaded, verdicts))
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
    key: Key = None,
    column: Columns = (),
    decisions: Annotated[Path | None, typer.Option(help="A table: image_id, and decision (use or skip)")] = None,
    word: Words = (),
    rules: RulesTable = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Say what would be done, and do nothing.")] = False,
    look: Annotated[bool, typer.Option("--look", help="Decide on doubtful films in the browser.")] = False,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Take films without labels, for readers to label: cxr label.")
    ] = False,
) -> None:
    """Turn a DICOM export into a folder of films under pseudonyms. If interrupted, run the same command again."""
    asked = {"columns": pairs(column, "--column"), "words": pairs(word, "--word"), "rules": rules}
    asked["unlabelled"] = unlabelled
    if dry_run:
        from cxrlib.intake.dry_run import dry_run as look_at_headers

        plan = look_at_headers(_place(source, key), labels, decisions=decisions, progress=progress_of, **asked)
        say("\n".join(plan.lines()))
        answer(asdict(plan))
        return
    from cxrlib.intake.dicom import import_dicom as import_films

    if out is None:
        raise InputError("--out: missing; expected a folder to make, e.g. --out films (or --dry-run to look first)")
    if look:
        from cxrlib.intake.look_over import look_over

        asked["look"] = lambda work: look_over(work, say)
    imported = import_films(
        _place(source, key), labels, out, key_file=key, decisions=decisions, progress=progress_of, **asked
    )
    say("\n".join(imported.lines(out)))
    answer(asdict(imported))
    if not imported.used:
        raise InputError(f"{source}: no film was used; the reasons are above and in {out / 'import.csv'}")
