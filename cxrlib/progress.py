"""How far a piece of work is and what is left, said no oftener than somebody wants to hear it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

Report = Callable[..., None]


def paced(say: Callable[[str], None], pause_seconds: float) -> Report:
    """A callback `(done, total, facts)` for a stage; `say(text)` is called every `pause_seconds` and at the end.

    The time left follows from what was done since the first call: what an earlier run did took no time in this one.
    """
    first: int | None = None
    started = said = time.monotonic()

    def report(done: int, total: int, facts: Mapping[str, Any] | None = None) -> None:
        nonlocal first, started, said
        now = time.monotonic()
        if first is None:
            first, started = done, now
        if now - said < pause_seconds and done < total:
            return
        said, worked = now, done - first
        told = f", done after {now - started:,.0f} s" if done >= total else ""
        if worked > 0 and done < total:
            told = f", {(now - started) / worked * (total - done):,.0f} s left"
        shown = {name: value for name, value in (facts or {}).items() if value is not None and name != "seconds_left"}
        details = "".join(f", {name} {value}" for name, value in shown.items())
        say(f"{done:,} of {total:,}{told}{details}")

    return report


def part_of(progress: Report | None, before: int, total: int) -> Report | None:
    """A callback for a part of some work, which comes after `before` of `total`."""
    return progress and (lambda done, _: progress(before + done, total))
