"""Commands of readings: of a study's films, and of real films alone."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrlib.commands.console import StudyName, answer, app, print_parts, progress_of, say
from cxrlib.study import load_study


@app.command(answers=False)
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
    serve_reading(Desk.of_study(loaded), reader, port, say, renew=renew)


@app.command()
def readings(
    study: StudyName,
    csv: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write every answer and the tables there.")] = None,
) -> None:
    """Say what readers have said so far; bring the tables of the readings up to date."""
    from cxrlib.chapters.reading.report import report_readings

    answer(print_parts(report_readings(load_study(study), csv)))


Films = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of films, with a table of them.")]


FilmsTable = Annotated[str, typer.Option(help="The table: columns `file`, `patient_id`, and any others.")]


@app.command(answers=False)
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

    first = prepare_labelling(folder, table, progress_of("opening films"))
    for file, reason in first.record["left_out"].items():
        sys.stderr.write(f"left out: {file}: {reason}\n")

    def load() -> Any:
        protocol = adjudication(folder) if adjudicate else prepare_labelling(folder, table)
        return protocol, RealFilms(folder, protocol)

    serve_reading(Desk(load), reader, port, say, renew=renew)


@app.command()
def settle(folder: Films, table: FilmsTable = "films.csv") -> None:
    """Say how far readers of `cxr label` are and agree; once no film is open, write labels.csv beside the films."""
    from cxrlib.reading.settling import settle as settle_labels

    answer(print_parts(settle_labels(folder, table)))
