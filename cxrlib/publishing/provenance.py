"""What the book's last page says: code, machine, versions, seeds, and how long each stage took."""

from typing import Any

from cxrlib.files import read_json, write_json
from cxrlib.finished import phase_seconds
from cxrlib.publishing.about import lines_of_table
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY, Study

MACHINE = {
    "commit": "commit",
    "uncommitted_changes": "changes not committed",
    "system": "system",
    "processor": "processor",
    "processor_cores": "processor cores",
    "gpu": "GPU",
}


def provenance_sentences(study: Study) -> dict[str, str]:
    """Values and Markdown tables for the page `provenance.md`, from the study's settings and records.

    `provenance.json`, written when the results were made or else now, comes first; where this machine or its code
    differ, a second column says with what the book was built.
    """
    now = provenance(REPOSITORY)
    if not study.results.provenance.exists():
        write_json(study.results.provenance, now)
    then = read_json(study.results.provenance)
    return {
        "seed": str(study.seed),
        "classifier_seeds": str(study.classifier.seeds),
        "machine": _facts({MACHINE[key]: (then.get(key), now[key]) for key in MACHINE}),
        "versions": _facts(_versions(then, now)),
        "durations": _durations(study),
    }


def _versions(then: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    packages = {name: (then["packages"].get(name), version) for name, version in now["packages"].items()}
    return {"Python": (then.get("python"), now["python"]), **packages}


def _facts(facts: dict[str, tuple[Any, Any]]) -> str:
    """A table of facts with one column, or with two where results and book were made in different circumstances."""
    if all(then == now for then, now in facts.values()):
        return lines_of_table(["fact", "value"], [[name, _said(now)] for name, (_, now) in facts.items()])
    rows = [[name, _said(then), _said(now)] for name, (then, now) in facts.items()]
    return lines_of_table(["fact", "when results were made", "when the book was built"], rows)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str("unknown" if value is None else value)
    return f"`{text[:12]}`" if len(text) == 40 and text.isalnum() else text


def _durations(study: Study) -> str:
    found = {phase: done for phase, done in phase_seconds(study).items() if phase != "book"}
    rows = [[phase, str(jobs), duration(seconds)] for phase, (jobs, seconds) in found.items()]
    return lines_of_table(["stage", "jobs", "time"], rows, align="---:")


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s` or `2 h 05 min`."""
    total = round(seconds)
    if total < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60:02d} s"
    return f"{total // 3600} h {total % 3600 // 60:02d} min"
