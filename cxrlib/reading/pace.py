"""Who counts in the rows of all readers, by rules that the protocol states before the first answer; and whether clocks
can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from cxrlib.reading.protocol import Protocol
from cxrlib.reading.settings import ReviewSettings

# A reader with more hasty answers than this in a block has not looked at its films.
MOST_HASTY = 0.10
# How far the clock on the wall and the one that only runs forward may part between two events.
CLOCK_TOLERANCE_SECONDS = 2.0
UNFINISHED, PACE = "unfinished", "implausible pace"
STANDING_COLUMNS = ("reader", "block", "tasks", "answers", "hasty", "counted", "why")


@dataclass(frozen=True)
class Rules:
    """From how much of a block on a reader counts, and how fast an answer is too fast for having looked."""

    finished_percent: int
    shortest_seconds: float

    @classmethod
    def of(cls, protocol: Protocol) -> "Rules":
        """As frozen with the protocol; a protocol of before has the rules that are usual now."""
        frozen = protocol.record.get("counted", {})
        return cls(*(frozen.get(name, ReviewSettings.model_fields[name].default) for name in cls.__annotations__))


def standings(answers: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """How each reader of `answers` (as from `readings`) stands in each block, `STANDING_COLUMNS`.

    `hasty` counts the answers below the rules' `shortest_seconds`; `counted` is "yes" or "no", with `why`.
    """
    rules, rows = Rules.of(protocol), []
    scored = protocol.task_list[protocol.task_list["practice"] == "no"]
    for reader in dict.fromkeys(answers["reader"]):
        for block, tasks in scored.groupby("block").size().items():
            part = answers[(answers["reader"] == reader) & (answers["block"] == block)]
            hasty = int((part["seconds"].astype(float) < rules.shortest_seconds).sum())
            why = ""
            if hasty > MOST_HASTY * len(part):
                why = PACE
            if 100 * len(part) < rules.finished_percent * tasks:
                why = UNFINISHED
            rows.append((reader, block, int(tasks), len(part), hasty, "no" if why else "yes", why))
    return pd.DataFrame(rows, columns=list(STANDING_COLUMNS))


def clock_jumps(events: Sequence[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """(reader, session, seconds) wherever, within a sitting, the clock on the wall went further than time did; below 0
    where it went back. Events without a steady time, from before it was kept, say nothing."""
    last: dict[str, tuple[datetime, float]] = {}
    jumps = []
    for event in events:
        steady = event.get("steady_seconds")
        if not isinstance(steady, int | float) or isinstance(steady, bool):
            continue
        now = (datetime.fromisoformat(event["time"]), float(steady))
        if event["session"] in last:
            before = last[event["session"]]
            jump = (now[0] - before[0]).total_seconds() - (now[1] - before[1])
            if abs(jump) > CLOCK_TOLERANCE_SECONDS:
                jumps.append((event["reader"], event["session"], jump))
        last[event["session"]] = now
    return jumps
