"""The command line's application, the options that commands share, and how they tell what they found.

A command says lines to people (`say`, `print_parts`) and gives programs one answer (`answer`). Which of the two is
printed depends on `--json`, which every command has but those that serve pages until they are stopped.
"""

import functools
import inspect
import json
import logging
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cxrlib.errors import InputError
from cxrlib.progress import Report, paced

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@dataclass
class _Asked:
    """Whether this command was asked for JSON, and whether it has answered."""

    json: bool = False
    answered: bool = False


_asked = _Asked()


class Commands(typer.Typer):
    """Commands with `--json`."""

    def command(self, name: str | None = None, *, answers: bool = True, **more: Any) -> Callable[..., Any]:
        """As Typer's; one that `answers` has `--json` besides its own options."""
        register = super().command(name, **more)
        return lambda function: register(_with_json(function) if answers else function)


def _with_json(function: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(function)
    def command(*, as_json: bool, **given: Any) -> None:
        _asked.json, _asked.answered = as_json, False
        function(**given)

    signature = inspect.signature(function)
    option = inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])
    return command


app = Commands(
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


Stamp = Annotated[Path | None, typer.Option(hidden=True)]


def say(text: str) -> None:
    """Print a line for people at once."""
    if not _asked.json:
        _print(text)


def print_parts(parts: Generator[Any, None, Any]) -> Any:
    """Print texts and tables for people as they come; what the generator returns in the end."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False, quiet=_asked.json)
    while True:
        try:
            part = next(parts)
        except StopIteration as end:
            return end.value
        console.print(part, markup=False, soft_wrap=isinstance(part, str))


def answer(found: Any) -> None:
    """Print what a command found for programs, as JSON."""
    if _asked.json:
        _asked.answered = True
        _print(json.dumps(found, indent=2, default=str))


def answer_error(message: str) -> None:
    """Tell programs what went wrong, unless they have an answer."""
    if not _asked.answered:
        answer({"error": message})


def confirm(question: str) -> bool:
    """Whether a person agrees; programs say so by an option."""
    return not _asked.json and typer.confirm(question)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def progress_of(what: str) -> Report:
    """Log how far a stage is and the time left, at most every ten seconds."""
    return paced(lambda text: logging.getLogger("cxr").info("%s: %s", what, text), pause_seconds=10)


def pairs(options: list[str], name: str) -> dict[str, str]:
    """Values of a repeatable option, by name; raises `InputError` where one is not name=value."""
    wrong = next((option for option in options if "=" not in option.strip("=")), None)
    if wrong is not None:
        raise InputError(f"{name}: found `{wrong}`, expected name=value")
    return dict(option.split("=", 1) for option in options)
