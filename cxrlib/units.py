"""The pieces of a study's work: each stage for each of its keys, what it reads, and what it asks a scheduler for."""

import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.stages import STAGES, Key, Stage, films_of
from cxrlib.study import Study

# A GPU does the work of so many cores; only how long a scheduler lets a job run depends on it.
GPU_SPEED = 100


@dataclass(frozen=True)
class Resources:
    """What a unit asks a scheduler for; on one machine `gpu_memory_mb` says how many share a GPU."""

    gpu: int
    cores: int
    memory_mb: int
    minutes: int
    gpu_memory_mb: int


@dataclass(frozen=True)
class Unit:
    """One piece of a stage's work, named by the values of the stage's keys."""

    name: str
    key: Key = ()

    @property
    def stage(self) -> Stage:
        return STAGES[self.name]

    @property
    def tail(self) -> str:
        return "-".join(str(part) for part in self.key if part != "")

    @property
    def id(self) -> str:
        return "/".join(filter(None, (self.name, self.tail)))

    @property
    def title(self) -> str:
        parts = [f"seed {part}" if isinstance(part, int) else part for part in self.key if part != ""]
        return " · ".join((self.stage.title, *parts))

    def record(self, study: Study) -> Path:
        return self.stage.record(study, *self.key)

    def stamp(self, study: Study) -> Path:
        """Watched by Snakemake, which may remove it; nothing is read from it."""
        return study.results.root / ".stamps" / self.id

    def lock(self, study: Study) -> Path:
        return study.results.root / ".locks" / self.id.replace("/", "-")

    def arguments(self, study: str) -> list[str]:
        """The words after `cxr` that make it."""
        words = [self.stage.command, study]
        for name, value in zip(self.stage.keys, self.key, strict=True):
            words += [] if value == "" else [value] if name == "name" else [f"--{name}", str(value)]
        return words

    def command(self, study: Study) -> str:
        """What a person types to make it."""
        return shlex.join(["cxr", *self.arguments(called(study))])

    def before(self, study: Study) -> list["Unit"]:
        """The units that this one reads."""
        found: dict[Unit, None] = {}
        for entry in self.stage.before(study, *self.key):
            found |= dict.fromkeys(units(study, entry) if isinstance(entry, str) else (Unit(*entry),))
        return list(found)

    def effort(self, study: Study) -> float:
        return self.stage.effort(study, *self.key)

    def share_done(self, study: Study) -> float:
        """0 to below 1, from the last line of the training log."""
        if self.stage.log is None:
            return 0.0
        column, total = self.stage.log
        try:
            lines = (self.record(study).parent / "log.csv").read_text(encoding="utf-8").splitlines()
            last = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
            return min(float(last[column]) / total(study, self.key), 0.99)
        except (OSError, ValueError, KeyError, IndexError):
            return 0.0

    def resources(self, study: Study) -> Resources:
        films = sum(films_of(study, role) for role in study.roles)
        arrays_mb = films * sum(size**2 for size in study.image_sizes) / 1e6
        side = max(study.image_sizes) / 256
        seconds = self.effort(study) / (GPU_SPEED if self.stage.gpu else 1)
        return Resources(
            gpu=int(self.stage.gpu),
            cores=study.threads_per_job,
            memory_mb=math.ceil(2500 + 3 * arrays_mb),
            minutes=min(15 + math.ceil(seconds / 15), 48 * 60),
            gpu_memory_mb=math.ceil(2000 + 12000 * side**2 + arrays_mb) if self.stage.gpu else 0,
        )


def called(study: Study) -> str:
    """What finds this study on the command line: its name, or its file where that is elsewhere."""
    return study.name if study.file is None or Path.cwd().is_relative_to(study.root) else str(study.file)


def units(study: Study, stage: str) -> list[Unit]:
    """All units of a stage that the study has."""
    return [Unit(stage, tuple(key)) for key in STAGES[stage].all_keys(study)]


def all_units(study: Study) -> list[Unit]:
    """Every unit of a study, each after those that it reads."""
    return wanted_units(study, STAGES)


def unit_of(study: Study, stage: str, key: Key) -> Unit:
    """The unit of this key; raises `InputError` for a value that the study does not have."""
    known = units(study, stage)
    for place, name in enumerate(STAGES[stage].keys):
        allowed = dict.fromkeys(unit.key[place] for unit in known if unit.key[:place] == key[:place])
        if key[place] not in allowed:
            option = "NAME" if name == "name" else f"--{name}"
            listed = ", ".join(str(value) for value in allowed if value != "") or "none"
            raise InputError(f"{option}: found `{key[place]}`, expected one of: {listed}")
    return Unit(stage, key)


def wanted_units(study: Study, targets: Iterable[str]) -> list[Unit]:
    """What has to be finished for these stages, in order."""
    wanted: dict[Unit, None] = {}

    def want(unit: Unit) -> None:
        if unit not in wanted:
            for other in unit.before(study):
                want(other)
            wanted[unit] = None

    for stage in targets:
        for unit in units(study, stage):
            want(unit)
    return list(wanted)
