"""The page of the library: every public function and class of the method, with the first sentence of what it says."""

import ast
from collections.abc import Iterator
from pathlib import Path

from cxrlib.publishing.about import plain
from cxrlib.study import PACKAGE

ROOMS = ("films", "generators", "classifiers", "evaluation", "intake", "reading")


def api_lists() -> dict[str, str]:
    """Markdown lists by room, and of the ground floor as `ground`; read from the source, so that nothing is loaded."""
    files = {f"api_{room}": sorted((PACKAGE / room).rglob("*.py")) for room in ROOMS}
    files["api_ground"] = [file for file in sorted(PACKAGE.glob("*.py")) if file.stem != "cli"]
    return {name: "\n".join(line for file in found for line in _module(file)) for name, found in files.items()}


def _module(file: Path) -> Iterator[str]:
    """A definition list's entry for a module, and one for each thing in it that others may call."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"]
    if public:
        dotted = ".".join(("cxrlib", *file.relative_to(PACKAGE).with_suffix("").parts))
        yield f"\n`{dotted}`\n: {_first_sentence(tree)}\n"
        for node in public:
            arguments = f"({', '.join(_arguments(node))})" if isinstance(node, ast.FunctionDef) else ""
            yield f"  - `{node.name}{arguments}`: {_first_sentence(node)}"


def _arguments(node: ast.FunctionDef) -> Iterator[str]:
    """Names of arguments, those to be given by name after a star."""
    given = node.args
    yield from (argument.arg for argument in [*given.posonlyargs, *given.args])
    if given.kwonlyargs:
        yield from ("*", *(argument.arg for argument in given.kwonlyargs))


def _first_sentence(node: ast.Module | ast.FunctionDef | ast.ClassDef) -> str:
    paragraph = (ast.get_docstring(node) or "").split("\n\n")[0]
    return plain(paragraph).replace("*", "\\*").replace("$", "\\$")
