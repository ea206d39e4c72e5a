"""The one judge of what is finished, and the one way to make a unit.

Whether a unit is finished follows from its record: what made it (settings, code, the content of the records before
it), and the hashes of the files that it left.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib
import inspect
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from cxrlib.errors import InputError
from cxrlib.files import read_json, sha256_of
from cxrlib.films.settings import EVERY_ROLE
from cxrlib.records import amend_record, content_of, damage_of, damaged_outputs, read_record
from cxrlib.stages import STAGES
from cxrlib.study import Study
from cxrlib.units import Unit, units, wanted_units

logger = logging.getLogger(__name__)

MOST_NAMED = 5
# What may change without making finished films, generators or classifiers obsolete.
HARMLESS_KEYS = (
    "title", "summary", "about", "gan.preset", "gan.comparisons", "gan.comparison_label", "gan.seeds",
    "gan.second_judge", "gan.second_judge_weights", "classifier.arms", "classifier.doses", "classifier.equal_steps",
    "classifier.seeds", "review", "synthesis.exclude_rejected",
    *(f"data.{role}.{key}" for role in EVERY_ROLE for key in ("publishable", "findings")),
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """Whether a unit is `finished`, `missing`, `damaged` or `obsolete`, and why."""

    word: str
    why: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        return self.word == "finished"


def phase_seconds(study: Study) -> dict[str, tuple[int, float]]:
    """Jobs done, and seconds of work per phase, added up over jobs (which may have run side by side)."""
    found: dict[str, tuple[int, float]] = {}
    for unit in wanted_units(study, ["book"]):
        jobs, seconds = found.get(unit.stage.phase, (0, 0.0))
        record = unit.record(study)
        more = read_json(record).get("seconds", 0.0) if record.exists() and not damage_of(record) else None
        found[unit.stage.phase] = (jobs + (more is not None), seconds + (more or 0.0))
    return found


def standing(study: Study, unit: Unit, *, thorough: bool = False, varied: Mapping[str, Any] | None = None) -> Standing:
    """Whether a unit is finished. Its files are compared by size and time, and hashed where these changed, or where
    `thorough`. `varied` are arguments beside the keys, such as a notebook's parameters; None takes any."""
    record = unit.record(study)
    if not record.exists():
        return Standing("missing")
    try:
        stored = read_record(record)
    except InputError as error:
        return Standing("damaged", (str(error),))
    damaged = damaged_outputs(record, stored, thorough=thorough)
    if damaged:
        return Standing("damaged", tuple(damaged))
    if "made_with" not in stored:
        return Standing("obsolete", ("made by an older version, or outside of a study; it will be looked at",))
    now, then = made_with(study, unit, varied), stored["made_with"]
    if varied is None:
        now = now | {"varied": then.get("varied")}
    read = then.get("before", {})
    changed = [
        *(f"{name} changed" for name in ("settings", "sources", "varied") if then.get(name) != now[name]),
        *(f"{name} changed" for name, content in now["before"].items() if read.get(name) != content),
        *(f"{name} is not read any more" for name in read if name not in now["before"]),
    ]
    return Standing("obsolete", tuple(changed)) if changed else Standing("finished")


def made_with(study: Study, unit: Unit, varied: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a unit is made with: settings, source files, arguments, and the content of the records that it reads."""
    settings = study.resolved()
    # Who the authors are concerns the book alone.
    derived: tuple[str, ...] = () if unit.stage.name == "book" else ("about",)
    for key in derived if unit.stage.derived else HARMLESS_KEYS:
        *parents, last = key.split(".")
        found = functools.reduce(lambda part, name: part.get(name, {}), parents, settings)
        for part in found if isinstance(found, list) else [found]:
            part.pop(last, None)
    code = [[path.name, sha256_of(path)] for path in sorted(unit.stage.sources(study, *unit.key))]
    return {
        "settings": _digest(settings),
        "sources": _digest([*code, *_outside(study, unit)]),
        "before": {other.id: content_of(other.record(study)) for other in unit.before(study)},
        "varied": dict(varied or {}),
    }


def _outside(study: Study, unit: Unit) -> list[str]:
    """What tells whether files outside of the study's results are the same, e.g. by their sizes and times."""
    if not unit.stage.outside:
        return []
    module, name = unit.stage.outside.split(":")
    try:
        seen = getattr(importlib.import_module(module), name)(study, *unit.key)
    except (InputError, OSError) as error:
        seen = str(error)
    return [seen] if seen else []


def makes(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function the one that makes a stage: judged before, locked meanwhile, and signed off afterwards.

    Finished, it returns the record (or the stage's product) at once; another process that makes the same is waited
    for; what it reads must be intact. All front doors, notebooks among them, go through here.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def make(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
            study = given.pop("study")
            unit = Unit(name, tuple(given.pop(key) for key in STAGES[name].keys))
            # Of several processes of one training the first is responsible; names that a study lacks are refused below.
            if os.environ.get("RANK", "0") != "0" or unit not in units(study, name):
                return function(*args, **kwargs)
            varied = {key: value for key, value in given.items() if key not in ("force", "progress") and value}
            with only_maker(study, unit):
                refuse_damaged(study, unit)
                if given["force"] or not standing(study, unit, varied=varied).finished:
                    _make(study, unit, function, bound, varied)
            product = unit.stage.product
            return product(study, *unit.key) if product else read_json(unit.record(study))

        return make

    return decorate


def _make(
    study: Study, unit: Unit, function: Callable[..., Any], bound: inspect.BoundArguments, varied: Mapping[str, Any]
) -> None:
    made = made_with(study, unit, varied)
    record = unit.record(study)
    damaged = damage_of(record)
    if damaged:
        logger.warning("%s; made again", "; ".join(damaged))
    bound.arguments["force"] = bool(bound.arguments["force"] or unit.stage.derived or damaged)
    function(*bound.args, **bound.kwargs)
    # What was not there before, the function made for itself.
    made["before"] = {
        other.id: made["before"][other.id] or content_of(other.record(study)) for other in unit.before(study)
    }
    found = [path for pattern in unit.stage.outputs for path in record.parent.glob(pattern)]
    amend_record(record, found, made_with=made)


def refuse_damaged(study: Study, unit: Unit) -> None:
    """Raise `InputError` where what a unit reads is not what was written, or not there though the unit can't make it
    for itself; says what makes it."""
    said = []
    for other in unit.before(study):
        record = other.record(study)
        missing = other.name in unit.stage.needs and not record.exists()
        damaged = [f"{record.parent}: nothing finished there"] if missing else damage_of(record)
        said += [f"{'; '.join(damaged)}: run `{other.command(study)}` first"] if damaged else []
    if said:
        more = [f"and {len(said) - MOST_NAMED} more; `cxr report` makes all"] if len(said) > MOST_NAMED else []
        raise InputError("\n  ".join((f"{unit.title}: it reads missing or damaged files", *said[:MOST_NAMED], *more)))


@contextlib.contextmanager
def only_maker(study: Study, unit: Unit) -> Iterator[None]:
    """Be the only process that makes a unit; waits, saying so, for another. The kernel gives the lock back however
    this process ends."""
    path = unit.lock(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("%s: another process is making it; waiting until it is done", unit.title)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_running(study: Study, unit: Unit) -> bool:
    """Whether a process, here or on a node that shares the folder, is making it now."""
    path = unit.lock(study)
    if not path.exists():
        return False
    with open(path, "a", encoding="utf-8") as lock:
        return not is_free(lock)


def is_free(lock: TextIO) -> bool:
    """Whether no process holds this lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
