"""Commands of finished books: a copy that may leave, and studies side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cxrlib.commands.console import Json, StudyName, app, known_studies, say, tell
from cxrlib.study import load_study


@app.command()
def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY STUDY …", autocompletion=known_studies)],
    to: Annotated[Path | None, typer.Option(help="The page; by default under _build/compare.")] = None,
    as_json: Json = False,
) -> None:
    """Put studies side by side on one page: the settings that differ, films, and results."""
    from cxrlib.publishing.compare import compare as compare_studies
    from cxrlib.publishing.compare import write_comparison

    loaded = [load_study(study) for study in studies]
    found = compare_studies(loaded)
    if as_json:
        tell(found)
        return
    page = to or loaded[0].build_folder.parent / "compare" / f"{'-'.join(found['studies'])}.html"
    say(f"The page: {write_comparison(found, page.resolve()).as_uri()}")


@app.command()
def publish(
    study: StudyName,
    to: Annotated[str, typer.Option(help="Folder for the copy; by default published/STUDY.")] = "",
    responsible: Annotated[str, typer.Option(help="Name of whoever answers for what is published.")] = "",
) -> None:
    """Copy the built book to a folder, after a search for what may not be published, signed by a person."""
    from cxrlib.publishing.publish import publish_book

    def sign(lines: list[str]) -> str:
        say("\n".join(lines))
        asked = not responsible and sys.stdin.isatty()
        return typer.prompt("Name of whoever answers for this", type=str) if asked else responsible

    say(str(publish_book(load_study(study), Path(to) if to else None, sign=sign)))
