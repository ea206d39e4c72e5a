"""The command line's application, the options that commands share, and how they tell what they found."""

import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrlib.errors import InputError
from cxrlib.progress import Report, paced

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A study of synthetic chest X-rays: from images to a published book.",
    epilog="`cxr COMMAND --help` has an example of each command. The first to try: cxr report demo",
)


def known_studies(incomplete: str) -> list[str]:
    """Names of studies here, for the shell's completion."""
    return sorted(file.stem for file in Path("studies").glob(f"{incomplete}*.yaml"))


StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="Name of a study (studies/NAME.yaml) or a YAML file.", autocompletion=known_studies
    ),
]


Force = Annotated[bool, typer.Option("--force", help="Make it afresh, even if it is finished.")]


Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


Stamp = Annotated[Path | None, typer.Option(hidden=True)]


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_parts(parts: Iterable[Any]) -> None:
    """Print texts and tables as they come."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))


def progress_of(what: str) -> Report:
    """Log how far a stage is and the time left, at most every ten seconds."""
    return paced(lambda text: logging.getLogger("cxr").info("%s: %s", what, text), pause_seconds=10)


def pairs(options: list[str], name: str) -> dict[str, str]:
    """Values of a repeatable option, by name; raises `InputError` where one is not name=value."""
    wrong = next((option for option in options if "=" not in option.strip("=")), None)
    if wrong is not None:
        raise InputError(f"{name}: found `{wrong}`, expected name=value")
    return dict(option.split("=", 1) for option in options)


def tell(found: Any) -> None:
    """Print lines as they are, and anything else as JSON."""
    lines = isinstance(found, list) and all(isinstance(line, str) for line in found) and found
    say("\n".join(found) if lines else json.dumps(found, indent=2))
