"""What the guard can't find, and how often it misses what it looks for, as measured on real films."""

from functools import cache
from pathlib import Path
from typing import Any

from cxrlib.files import read_json

MEASURED = Path(__file__).with_name("limits.json")
BEYOND = (
    "ids that are drawn as pixels (an axis label, a burnt-in name), translated, abbreviated, split, or in letters "
    "that look alike",
    "a small number that is an id and that nothing calls one, or many where ids are numbers from one on",
    "films of fewer than 48 pixels a side, changed in several ways at once, or hidden in other pictures' noise",
    "films written as something else that a book is full of: words, prose, hashes",
    "what may be concluded from statistics together with what a reader knows from elsewhere",
)


@cache
def measured() -> list[dict[str, Any]]:
    """The last run of `benchmarks/guard_recall.py` at 64 pixels, the fewest that films may have: for each kind of
    change films shown and missed, pages and false alarms."""
    return read_json(MEASURED)["sizes"]["64"]["kinds"]


def summary() -> str:
    """One sentence: how often films are missed as they are, and at worst."""
    plain = next(kind for kind in measured() if kind["kind"] == "as it is")
    worst = max(measured(), key=lambda kind: kind["missed"] / kind["shown"])
    pages, alarms = (sum(kind[name] for kind in measured()) for name in ("pages", "false"))
    return (
        f"On real films the search missed {_share(plain)} shown as they are, at worst {_share(worst)} "
        f"({worst['kind']}), and took others for private ones on {alarms} of {pages} pages."
    )


def limits_text() -> str:
    """Markdown for the book's page."""
    return "\n".join(f"- {line}" for line in limits_lines())


def limits_lines() -> list[str]:
    """For the moment of publishing: the summary, kinds of change under which films are missed, and what is not seen."""
    missed = [kind for kind in measured() if kind["missed"]]
    rates = ", ".join(f"{kind['kind']} {_share(kind)}" for kind in missed)
    return [
        summary(),
        f"Missed by kind of change: {rates or 'none'}.",
        *(f"Not looked for: {what}." for what in BEYOND),
    ]


def _share(kind: dict[str, Any]) -> str:
    return f"{kind['missed']} of {kind['shown']}"
