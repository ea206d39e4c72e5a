"""Commands of finished books: a copy that may leave, and studies side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cxrlib.commands.console import StudyName, answer, app, known_studies, say
from cxrlib.files import read_json
from cxrlib.study import load_study


@app.command()
def compare(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY STUDY …", autocompletion=known_studies)],
    to: Annotated[Path | None, typer.Option(help="The page; by default under _build/compare.")] = None,
) -> None:
    """Put studies side by side on one page: the settings that differ, films, and results."""
    from cxrlib.publishing.compare import compare as compare_studies
    from cxrlib.publishing.compare import write_comparison

    loaded = [load_study(study) for study in studies]
    found = compare_studies(loaded)
    page = to or loaded[0].build_folder.parent / "compare" / f"{'-'.join(found['studies'])}.html"
    say(f"The page: {write_comparison(found, page.resolve()).as_uri()}")
    answer(found | {"page": page})


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
        return typer.prompt("Name of whoever answers for this", type=str, err=True) if asked else responsible

    loaded = load_study(study)
    index = publish_book(loaded, Path(to) if to else None, sign=sign)
    say(str(index))
    answer(read_json(max(loaded.results.releases.glob("*.json"))) | {"index": index})
