"""`cxr`: one command per stage, and `cxr report` for all of them. Each command lies in `commands`."""

import csv
import errno
import logging
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from cxrlib.commands.console import answer_error, app, say
from cxrlib.errors import InputError
from cxrlib.wings import missing_wing
from cxrlib.workflow.processes import end_with_the_report


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
    except (InputError, ModuleNotFoundError, OSError) as error:
        told = _told(error)
        if told is None:
            raise
        answer_error(told)
        sys.stderr.write(f"cxr: {told}\n")
        raise SystemExit(2) from None


def _told(error: Exception) -> str | None:
    """What a user is told of an error; None if it is a fault of the program."""
    if isinstance(error, ModuleNotFoundError):
        return missing_wing(error)
    if isinstance(error, OSError):
        # Names that no file can have were typed.
        named = error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
        return f"{str(error.filename)[:80]}: {error.strerror}; name another path" if named else None
    return str(error)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"cxr {version('cxrlib')}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _group_commands() -> None:
    """Give every command its place in the help, and an example, from `commands.csv`."""
    with open(Path(__file__).with_name("commands") / "commands.csv", newline="", encoding="utf-8") as file:
        rows = {row["command"]: row for row in csv.DictReader(file)}
    for command in app.registered_commands:
        name = command.name or str(getattr(command.callback, "__name__", "")).replace("_", "-")
        if name in rows:
            command.rich_help_panel, command.epilog = rows[name]["panel"], f"Example: {rows[name]['example']}"
    app.registered_commands.sort(key=lambda command: str(command.rich_help_panel))


_group_commands()


if __name__ == "__main__":
    main()
