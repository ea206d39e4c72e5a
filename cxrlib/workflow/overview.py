"""What a study's folder holds: what is done, running, damaged or obsolete, and what can be freed."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.finished import is_running, standing
from cxrlib.kept import loss_of
from cxrlib.study import Study
from cxrlib.units import Unit, all_units, called
from cxrlib.workflow.report import only_one_report, plan, stored_settings


def status(study: Study) -> dict[str, Any]:
    """For every unit its standing and why, what it costs, where it lies, and the disk that it takes."""
    units = [_described(study, unit) for unit in all_units(study)]
    return {
        "study": study.name,
        "folder": str(study.results.root),
        "bytes": _bytes(study.results.root),
        "bytes_that_clean_frees": spare(study)[1],
        "counts": dict(Counter(unit["standing"] for unit in units)),
        "core_seconds_left": sum(unit["core_seconds"] for unit in units if unit["standing"] != "finished"),
        "units": units,
    }


def _described(study: Study, unit: Unit) -> dict[str, Any]:
    found, asked = standing(study, unit), unit.resources(study)
    return {
        "unit": unit.id,
        "title": unit.title,
        "standing": "running" if is_running(study, unit) else found.word,
        "why": list(found.why),
        "share_done": 1.0 if found.finished else unit.share_done(study),
        "core_seconds": 0 if found.finished else round(unit.effort(study)),
        "asks_for": {"gpu": asked.gpu, "cores": asked.cores, "memory_mb": asked.memory_mb, "minutes": asked.minutes},
        "folder": str(unit.record(study).parent),
        "command": unit.command(study),
    }


def verify(study: Study) -> list[dict[str, str]]:
    """Hash everything that is finished; one entry per damaged file, with the command that makes it again."""
    report = f"cxr report {called(study)}"
    notes = [(study.results.study_file, stored_settings), (study.results.provenance, read_json)]
    found = [
        {"unit": path.name, "problem": f"{path}: damaged", "command": report}
        for path, read in notes
        if path.exists() and not _readable(path, read)
    ]
    found += [
        {"unit": path.name, "problem": loss, "command": report}
        for path in study.results.unique
        if (loss := loss_of(path))
    ]
    for unit in all_units(study):
        judged = standing(study, unit, thorough=True)
        if judged.word == "damaged":
            # Where size and time hide the damage, only force makes it again.
            hidden = standing(study, unit).word != "damaged"
            command = unit.command(study) + " --force" * hidden
            found += [{"unit": unit.id, "problem": line, "command": command} for line in judged.why]
    return found


def _readable(path: Path, read: Callable[[Path], Any]) -> bool:
    try:
        return bool(read(path))
    except InputError:
        return False


def to_do(study: Study, targets: list[str]) -> list[dict[str, Any]]:
    """What a report would make or look at, in order, and why."""
    return [
        {"unit": unit.id, "title": unit.title, "standing": found.word, "why": list(found.why),
         "core_seconds": round(unit.effort(study)), "command": unit.command(study)}
        for unit, found in plan(study, targets)[1].items()
    ]  # fmt: skip


def spare(study: Study) -> tuple[list[Path], int]:
    """Checkpoints and snapshots of finished units, which nothing reads any more, and their bytes."""
    finished = [unit for unit in all_units(study) if unit.stage.spare and standing(study, unit).finished]
    paths = [
        path
        for unit in finished
        for pattern in unit.stage.spare
        for path in sorted(unit.record(study).parent.glob(pattern))
    ]
    return paths, sum(map(_bytes, paths))


def clean(study: Study) -> int:
    """Remove what `spare` names; returns the bytes that are free now."""
    with only_one_report(study):
        paths, freed = spare(study)
        for path in paths:
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError as error:
                raise InputError(f"{path}: can't be removed: {error.strerror}") from None
    return freed


def lines_of_status(found: dict[str, Any]) -> list[str]:
    """What `cxr status` prints."""
    counts = ", ".join(f"{count} {word}" for word, count in found["counts"].items())
    lines = [f"{found['study']}: {counts}", f"{found['folder']}: {megabytes(found['bytes'])}"]
    if found["bytes_that_clean_frees"]:
        lines.append(f"  of which `cxr clean {found['study']}` frees {megabytes(found['bytes_that_clean_frees'])}")
    if found["core_seconds_left"]:
        lines.append(f"still to do: about {max(1, round(found['core_seconds_left'] / 60))} min of one core")
    return [*lines, *_lines_of_units([unit for unit in found["units"] if unit["standing"] != "finished"])]


def lines_of_plan(found: list[dict[str, Any]]) -> list[str]:
    """What `cxr report --dry-run` prints."""
    if not found:
        return ["Nothing to do: everything is finished."]
    minutes = max(1, round(sum(unit["core_seconds"] for unit in found) / 60))
    return [f"{len(found)} jobs would run, at most about {minutes} min of one core:", *_lines_of_units(found)]


def _lines_of_units(found: list[dict[str, Any]]) -> list[str]:
    return [
        line
        for unit in found
        for line in (f"  {unit['standing']:<9} {unit['title']}", *(f"            {why}" for why in unit["why"]))
    ]


def lines_of_damage(found: list[dict[str, str]]) -> list[str]:
    """What `cxr verify` prints."""
    if not found:
        return ["Every finished file is what was written."]
    return [line for entry in found for line in (entry["problem"], f"  repaired by: {entry['command']}")]


def megabytes(size: int) -> str:
    """Bytes as `12.3 MB`."""
    return f"{size / 1e6:,.1f} MB"


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
