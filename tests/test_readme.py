"""Every command of the README is one that there is.

What is cheap is run. What takes long, needs films, people, a GPU or a network is read as far as its program can read it
without doing it: options by the command line, rules by `make --dry-run`, recipes and notebooks by being there.
"""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from test_cli import cxr

from cxrlib import cli

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = ("cxr", "make", "papermill", "torchrun", "tensorboard", "docker", "apptainer", "conda", "pip")
BLOCKS = re.findall(r"^```\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"^```\n.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL))
COMMANDS = sorted({text for text in [*LINES, *INLINE] if text.split()[:1] and text.split()[0] in PROGRAMS} - {"cxr"})
# Done by the tests of the stages, of the reading and of the book, with tiny studies; here the words alone are read.
CHEAP = {"cxr doctor", "cxr --help", "cxr status NAME", "cxr report NAME --dry-run", "cxr verify NAME"}


def test_there_are_commands_and_the_cheap_ones_are_among_them():
    assert len(COMMANDS) > 25
    assert set(COMMANDS) >= CHEAP
    assert all(LINES.count(command) == 1 for command in ("make report", "make test"))


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("cxr")])
def test_the_command_line_takes_it(command, tiny_study_file):
    words = shlex.split(command)[1:]
    if command in CHEAP:
        given = [str(tiny_study_file) if word == "NAME" else word for word in words]
        done = cxr(*given, cwd=tiny_study_file.parent.parent)
        assert done.returncode == 0, done.stderr
        return
    if words[0] != "COMMAND":
        named = typer.main.get_command(cli.app).commands[words[0]]
        # Raises for options and arguments that are missing or unknown; prose may name a command alone.
        assert words[1:] == [] or named.make_context(words[0], words[1:])


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make")])
def test_make_has_a_rule_for_it(command):
    done = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(("cxr", "make"))])
def test_files_and_programs_that_it_names_are_there(command):
    program, *words = shlex.split(command)
    files = [word for word in words if re.search(r"\.(ipynb|yml|def)$|/Dockerfile$", word) and word != "out.ipynb"]
    assert all((ROOT / file).is_file() for file in files)
    assert files or program in ("torchrun", "tensorboard", "pip")
    if program in ("torchrun", "tensorboard", "papermill"):
        assert shutil.which(program, path=str(Path(sys.executable).parent))
    if program == "torchrun":
        arguments = shlex.split(command.partition("cxrlib.cli ")[2])
        typer.main.get_command(cli.app).commands[arguments[0]].make_context(arguments[0], arguments[1:])


def test_paths_that_it_names_are_there():
    named = [text for text in INLINE if re.fullmatch(r"[\w.-]+(/[\w.-]+)+|[A-Z]+\.(md|cff)", text)]
    linked = re.findall(r"\]\(([^):#]+)\)", TEXT)
    made = ("_build/", "results/", ".venv/", "studies/NAME.yaml")
    for path in {path for path in [*named, *linked] if not path.startswith(made)}:
        assert (ROOT / path).exists(), path
