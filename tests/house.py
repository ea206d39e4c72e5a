"""The map of the library, drawn from its imports, and its size: `python tests/house.py` prints both."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import nbformat

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "cxrlib"
# From the top down. A room imports from lower lines; those that share a line don't know each other.
FLOORS = (
    ("cli",),
    ("commands",),
    ("start",),
    ("check_page",),
    ("check",),
    ("workflow",),
    ("chapters.run",),
    ("chapters.classifiers", "chapters.films", "chapters.generators", "chapters.reading", "chapters.results"),
    ("chapters",),
    ("publishing",),
    ("reading",),
    ("generators", "classifiers", "intake", "evaluation"),
    ("films",),
    ("features", "checkpoints", "endpoint"),
    ("finished",),
    ("units",),
    ("stages",),
    ("study", "efficientnet_lite"),
    ("records", "kept"),
    ("artifacts", "files", "stage settings"),
    ("errors", "settings", "networks", "reproducibility", "progress", "wings"),
)
# What is narrower than its line: a wing that looks at other parts' files only, and what knows arrays alone.
ONLY = {
    "publishing": {
        "evaluation",
        "films",
        "finished",
        "units",
        "stages",
        "study",
        "stage settings",
        "artifacts",
        "files",
        "records",
        "kept",
        "errors",
        "reproducibility",
    },
    "evaluation": {"errors"},
    "stage settings": {"settings", "networks"},
}
# Read by the study itself, so that they import nothing heavy: the settings of each stage, and the list of arms.
STAGE_SETTINGS = {"settings", "arms"}
WINGS = ("intake", "reading", "publishing")
TARGETS = {"cxrlib": 22_000, "core": 12_000}
ABOUT = {
    "cli": "`cxr`",
    "commands": "what `cxr` can do, by what it is about",
    "start": "`cxr start`: the first hour in one command",
    "check_page": "what `cxr check` found, as pictures",
    "check": "`cxr check`: may this study run?",
    "workflow": "runs what is not finished, through Snakemake",
    "chapters.run": "executes a notebook for a study",
    "chapters.classifiers": "what Chapter 4 draws and says",
    "chapters.films": "what Chapter 1 computes, draws and says",
    "chapters.generators": "what Chapter 2 computes, draws and says",
    "chapters.reading": "what Chapter 3 computes, draws and says",
    "chapters.results": "what Chapter 5 computes, draws and says",
    "chapters": "what chapters share: words, film sheets, style",
    "publishing": "the book, its guard, what may leave [publish]",
    "reading": "radiologists: protocol, viewer, server [reading]",
    "generators": "networks, losses, step, run, quality, copies",
    "classifiers": "arms, recipe, training, prediction",
    "intake": "DICOM exports in [dicom]",
    "evaluation": "statistics of arrays and tables",
    "films": "manifests, preparation, audit, phantom",
    "features": "networks with their weights",
    "checkpoints": "states of training on disk",
    "endpoint": "the primary endpoint, frozen",
    "finished": "what is finished, and who may make it",
    "units": "the pieces of a stage's work",
    "stages": "the list of work",
    "study": "the study file",
    "efficientnet_lite": "networks with trained eyes",
    "records": "what a finished stage left, by hashes",
    "kept": "second copies of what can't be made again",
    "artifacts": "where every result lies",
    "files": "atomic writes, logs, tables to open",
    "stage settings": "every `settings.py`, and the list of arms",
    "errors": "what a user reads",
    "settings": "the base of all settings",
    "networks": "the table of networks",
    "reproducibility": "seeds, device, versions",
    "progress": "how far a piece of work is",
    "wings": "what the extras bring",
}


def room_of(dotted: str) -> str:
    """The room of a module of the library, e.g. `chapters.films` of `cxrlib.chapters.films.tables`."""
    parts = dotted.split(".")[1:]
    if len(parts) > 1 and parts[-1] in STAGE_SETTINGS and parts[0] != "chapters":
        return "stage settings"
    if parts[0] == "chapters" and len(parts) > 1 and (parts[1] == "run" or (PACKAGE / "chapters" / parts[1]).is_dir()):
        return ".".join(parts[:2])
    return parts[0]


def dotted_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Dotted names of the library's modules that a file imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            if node.module and node.module.split(".")[0] == "cxrlib":
                for alias in node.names:
                    inner = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
                    is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                    names.append(f"{node.module}.{alias.name}" if is_module else node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.split(".")[0] == "cxrlib"]
    return tuple(names)


def modules() -> list[Path]:
    return [file for file in sorted(PACKAGE.rglob("*.py")) if file != PACKAGE / "__init__.py" and file.stat().st_size]


def uses() -> dict[str, set[str]]:
    """The rooms that each room imports."""
    found: dict[str, set[str]] = {room: set() for floor in FLOORS for room in floor}
    for file in modules():
        room = room_of(dotted_name(file))
        found.setdefault(room, set()).update(room_of(name) for name in imported(file))
    return {room: others - {room} for room, others in found.items()}


def floor_of(room: str) -> int:
    """The number of the room's floor, from the ground up."""
    return next(number for number, floor in enumerate(reversed(FLOORS)) if room in floor)


def picture() -> str:
    """The rooms from the top down, each with those that it imports directly and not by way of another."""
    direct = uses()
    below: dict[str, set[str]] = {}
    for floor in reversed(FLOORS):
        for room in floor:
            below[room] = direct[room].union(*(below[other] for other in direct[room]))
    drawn = [f"{'module':<22}{'what it is for':<52}imports, and what these import", ""]
    for floor in FLOORS:
        for room in floor:
            nearest = {o for o in direct[room] if not any(o in below[other] for other in direct[room] - {o})}
            drawn.append(f"{room:<22}{ABOUT[room]:<52}{', '.join(sorted(nearest)) or '–'}")
        drawn.append("")
    return "\n".join(drawn).rstrip()


def lines(files: list[Path]) -> int:
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def sizes() -> dict[str, int]:
    """Lines of Python: of all, of the core, of each room of chapters and of each wing."""
    by_part: dict[str, list[Path]] = {}
    for file in modules():
        part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        by_part.setdefault(part if part in {*WINGS, "chapters"} else "core", []).append(file)
    return {"cxrlib": lines(modules()), **{part: lines(by_part[part]) for part in ("core", "chapters", *WINGS)}}


def notebook_lines() -> dict[str, dict[str, int]]:
    """Lines of each notebook's code: those that show the method or call a stage, imports, and display folded away."""
    counts = {}
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        count = {"method": 0, "imports and opening": 0, "display, seen": 0, "display, folded away": 0}
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type != "code":
                continue
            hidden = {"hide-input", "remove-input"} & set(cell.metadata.get("tags", []))
            opens = re.search(r"^(from|import) |^study = ", cell.source, re.MULTILINE)
            shows = re.search(r"^chapter\.\w+\(", cell.source, re.MULTILINE)
            kind = "display, folded away" if hidden else "display, seen" if shows else "method"
            count["imports and opening" if opens and not hidden else kind] += sum(map(bool, cell.source.splitlines()))
        counts[path.stem] = count
    return counts


if __name__ == "__main__":
    if "--picture" in sys.argv:
        print(picture())
    else:
        for part, number in sizes().items():
            print(f"{part:<12}{number:>7,}" + (f"   target {TARGETS[part]:,}" if part in TARGETS else ""))
        for notebook, found in notebook_lines().items():
            print(f"{notebook:<24}" + ", ".join(f"{number} {kind}" for kind, number in found.items()))
