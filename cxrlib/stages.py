"""The one list of what can be done for a study, and the one judge of what is finished.

A `Stage` is a kind of work, a `Unit` one piece of it: the generator of one label and fold, the classifier of one arm,
seed and fold. The command line, the Snakefile, progress, `status`, `verify` and `clean` derive from `STAGES`. Whether a
unit is finished follows from its record: what made it (settings, code, the content of the records before it), and the
hashes of the files that it left.
"""

import contextlib
import fcntl
import functools
import hashlib
import inspect
import json
import logging
import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrlib.artifacts import (
    CHAPTERS,
    amend_record,
    content_of,
    damage_of,
    damaged_outputs,
    read_json,
    read_record,
    sha256_of,
)
from cxrlib.classifiers.arms import arm_of
from cxrlib.errors import InputError
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.study import REPOSITORY, Study

logger = logging.getLogger(__name__)

TYPICAL_PUBLIC_FILMS = 5000
# What may change without making finished films, generators or classifiers obsolete.
HARMLESS_KEYS = (
    "title", "summary", "gan.preset", "gan.comparisons", "gan.comparison_label", "classifier.arms", "classifier.doses",
    "classifier.equal_steps", "classifier.seeds", "review", "synthesis.exclude_rejected",
    *(f"data.{role}.publishable" for role in ROLES),
)  # fmt: skip
# A GPU does the work of so many cores; only how long a scheduler lets a job run depends on it.
GPU_SPEED = 100
SHOWN_CODE = ("cxrlib/evaluation/*.py", "cxrlib/chapters/**/*.py")

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Stage:
    """One kind of work.

    `function` takes the study and the values named by `keys`; it is imported when there is something to do. `before`
    gives the names of the stages whose units come before, or these units. A `derived` stage is made anew whenever
    anything before it, its code or its settings changed; any other stops where its settings or inputs are others, since
    hours of training or readers' answers may rest on what is there. One that reads files `outside` of the study's
    results is always called, since only its function can tell whether they are the same. `effort` is roughly the
    seconds on one core.
    """

    name: str
    help: str
    command: str
    phase: str
    title: str
    function: str
    record: Callable[..., Path]
    before: Callable[..., Iterable["str | Unit"]]
    effort: Callable[..., float]
    keys: tuple[str, ...] = ()
    all_keys: Callable[[Study], Iterable[Key]] = lambda study: [()]
    derived: bool = True
    outside: bool = False
    sources: Callable[..., Iterable[Path]] = lambda study, *key: ()
    outputs: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    log: tuple[str, Callable[[Study, Key], int]] | None = None
    product: Callable[..., Path] | None = None
    tells_progress: bool = True
    gpu: bool = False
    priority: int = 0
    group: str | None = None


@dataclass(frozen=True)
class Resources:
    """What a unit asks a scheduler for; on one machine `gpu_memory_mb` says how many share a GPU."""

    gpu: int
    cores: int
    memory_mb: int
    minutes: int
    gpu_memory_mb: int


@dataclass(frozen=True)
class Standing:
    """Whether a unit is `finished`, `missing`, `damaged` or `obsolete`, and why."""

    word: str
    why: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        return self.word == "finished"


@dataclass(frozen=True)
class Unit:
    """One piece of a stage's work, named by the values of the stage's keys."""

    stage: Stage = field(compare=False)
    key: Key
    stage_name: str

    @property
    def tail(self) -> str:
        return "-".join(str(part) for part in self.key if part != "")

    @property
    def id(self) -> str:
        return "/".join(filter(None, (self.stage.name, self.tail)))

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
            found |= dict.fromkeys(units(study, entry) if isinstance(entry, str) else (entry,))
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
        films = sum(_films_of(study, role) for role in ROLES)
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
    return [Unit(STAGES[stage], tuple(key), stage) for key in STAGES[stage].all_keys(study)]


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
    return Unit(STAGES[stage], key, stage)


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


# The judge


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
    for key in () if unit.stage.derived else HARMLESS_KEYS:
        *parents, last = key.split(".")
        functools.reduce(lambda part, name: part.get(name, {}), parents, settings).pop(last, None)
    return {
        "settings": _digest(settings),
        "sources": _digest([[path.name, sha256_of(path)] for path in sorted(unit.stage.sources(study, *unit.key))]),
        "before": {other.id: content_of(other.record(study)) for other in unit.before(study)},
        "varied": dict(varied or {}),
    }


def makes(name: str) -> Callable[[Callable], Callable]:
    """Make a function the one that makes a stage: judged before, locked meanwhile, and signed off afterwards.

    Finished, it returns the record (or the stage's product) at once; another process that makes the same is waited
    for; what it reads must be intact. All front doors, notebooks among them, go through here.
    """

    def decorate(function: Callable) -> Callable:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def make(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
            study = given.pop("study")
            unit = Unit(STAGES[name], tuple(given.pop(key) for key in STAGES[name].keys), name)
            # Of several processes of one training the first is responsible; names that a study lacks are refused below.
            if os.environ.get("RANK", "0") != "0" or unit not in units(study, name):
                return function(*args, **kwargs)
            varied = {key: value for key, value in given.items() if key not in ("force", "progress") and value}
            with only_maker(study, unit):
                refuse_damaged(study, unit)
                if given["force"] or unit.stage.outside or not standing(study, unit, varied=varied).finished:
                    _make(study, unit, function, bound, varied)
            product = unit.stage.product
            return product(study, *unit.key) if product else read_json(unit.record(study))

        return make

    return decorate


def _make(
    study: Study, unit: Unit, function: Callable, bound: inspect.BoundArguments, varied: Mapping[str, Any]
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
    """Raise `InputError` where a file that a unit reads is not what was written; says what makes it again."""
    said = []
    for other in unit.before(study):
        damaged = damage_of(other.record(study))
        said += [*damaged, f"  run `{other.command(study)}`"] if damaged else []
    if said:
        raise InputError("\n  ".join((f"{unit.title}: it reads damaged files", *said)))


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
    with open(path, encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


# What the stages need, how much work they are, and what they are called


def _films_of(study: Study, role: str) -> int:
    record = study.results.data_record(role)
    try:
        return read_json(record)["images_used"] if record.exists() else TYPICAL_PUBLIC_FILMS
    except (InputError, KeyError):
        return TYPICAL_PUBLIC_FILMS


def _synthetic_folds(study: Study) -> list[str]:
    return [fold for fold in study.generator_folds if fold != "public"]


def _synthetic_of(study: Study, fold: str) -> list[Unit]:
    return [Unit(STAGES["synthetic"], (label, fold), "synthetic") for label in LABELS]


def _generator_keys(study: Study) -> Iterator[Key]:
    yield from ((label, fold, "") for fold in study.generator_folds for label in LABELS)
    yield from study.generator_variants


def _before_generator(study: Study, label: str, fold: str, variant: str) -> Iterator[str | Unit]:
    yield "audit"
    if study.gan.initialise_from == "public" and fold != "public" and variant != "random-start":
        yield Unit(STAGES["generator"], (label, "public", ""), "generator")


def _generator_images(study: Study, key: Key) -> int:
    return study.gan.public_images if key[1] == "public" else study.gan.total_images


def _generator_effort(study: Study, *key: Any) -> float:
    images, side = _generator_images(study, key), study.gan.resolution / 64
    snapshots = max(1, images / study.gan.checkpoint_images)
    return 5 + images * side**2 * study.gan.channel_base / 1024 / 43 + snapshots * side**2


def _synthetic_effort(study: Study, *_: Any) -> float:
    pixels = (study.gan.resolution / 64) ** 2 * study.gan.channel_base / 1024
    return 4 + study.synthesis.images_per_label * pixels / 500


def _rejected(study: Study) -> list[str]:
    return ["rejected_films"] if study.synthesis.exclude_rejected else []


def _classifier_keys(study: Study) -> Iterator[Key]:
    for arm in study.classifier_arms:
        for seed in study.classifier_seeds(arm):
            yield from ((arm, seed, fold) for fold in study.classifier_folds(arm))


def _before_classifier(study: Study, arm: str, seed: int, fold: str) -> Iterator[str | Unit]:
    """All arms are trained and judged on audited films; some learn from synthetic ones, or count them."""
    yield "audit"
    if study.synthetic_folds(arm):
        yield from _synthetic_of(study, fold)
        yield from _rejected(study)
    yield from (Unit(STAGES["classifier"], model, "classifier") for model in study.models_before(arm, seed))


def _classifier_epochs(study: Study, key: Key) -> int:
    return study.classifier.frozen_epochs + study.classifier.epochs


def _classifier_effort(study: Study, arm: str, seed: int, fold: str) -> float:
    recipe = arm_of(arm)
    if not recipe.network:
        return 2
    films = _films_of(study, "training")
    if not recipe.equal_steps:
        films = films * recipe.public + 2 * study.synthesis.images_per_label * recipe.added_percent // 100
    return 4 + _classifier_epochs(study, ()) * films * (study.classifier.image_size / 64) ** 2 / 450


def code(*patterns: str) -> list[Path]:
    """Source files of the repository."""
    found = {path for pattern in patterns for path in REPOSITORY.glob(pattern)}
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def _chapter_sources(study: Study, name: str) -> Iterator[Path]:
    homes = (study.root / "notebooks", REPOSITORY / "notebooks")
    yield from [path for path in (home / f"{name}.ipynb" for home in homes) if path.is_file()][:1]
    yield from code("cxrlib/**/*.py")
    if "simulated_readings" in CHAPTERS[name]:
        # Answers that came in since the last report make such a chapter anew.
        yield from study.results.reading(study.review.protocol).event_files()


def _book_sources(study: Study) -> Iterator[Path]:
    own = [path for path in (study.root / "book").rglob("*") if path.is_file()]
    yield from own or code("book/**/*")
    yield from (path for path in (study.root / "_config.yml", REPOSITORY / "_config.yml") if path.is_file())
    yield from code("cxrlib/publishing/*.py")


def _readers(study: Study) -> list[Key]:
    return [()] if study.review.simulated_readers else []


_STAGES = (
    Stage(
        "data",
        "Read, check and resize the films of one role.",
        "prepare", "data", "films", "cxrlib.films.preparation:prepare_role", derived=False, outside=True,
        keys=("role",), all_keys=lambda study: [(role,) for role in ROLES], before=lambda study, role: (),
        record=lambda study, role: study.results.data_record(role), effort=lambda study, role: 5,
        outputs=("manifest.csv", "*.npy"), group="films",
    ),
    Stage(
        "audit",
        "Search the prepared films for patients and copies that more than one role has.",
        "audit", "data", "audit · copies", "cxrlib.films.audit:audit_study", derived=False,
        before=lambda study: ["data"], record=lambda study: study.results.audit_record, effort=lambda study: 5,
        outputs=("duplicates.csv",), group="films",
    ),
    Stage(
        "generator",
        "Train the generator of one label and fold, or a variant of it for a comparison.",
        "train-gan", "generators", "generator", "cxrlib.generators.training:train_generator",
        derived=False, keys=("label", "fold", "variant"), all_keys=_generator_keys, before=_before_generator,
        record=lambda study, *key: study.results.generator_record(*key), effort=_generator_effort,
        outputs=("*.safetensors", "log.csv", "snapshots.csv", "samples.png"),
        spare=("checkpoint/*", "samples-*.png", "tensorboard/*"), log=("images", _generator_images), gpu=True,
        priority=10,
    ),
    Stage(
        "synthetic",
        "Make the synthetic films of one label and fold.",
        "synthesise", "synthetic films", "synthesis", "cxrlib.generators.synthesis:synthesise",
        derived=False, keys=("label", "fold"),
        all_keys=lambda study: [(label, fold) for fold in _synthetic_folds(study) for label in LABELS],
        before=lambda study, label, fold: ["audit", Unit(STAGES["generator"], (label, fold, ""), "generator")],
        record=lambda study, *key: study.results.synthetic_record(*key), effort=_synthetic_effort,
        outputs=("images.npy", "manifest.csv", "real_distances.csv"), gpu=True, priority=20,
    ),
    Stage(
        "simulated_readings",
        "Let the study's simulated readers answer, for demonstration; without any, remove what they answered.",
        "simulate-readings", "tables", "simulated readers",
        "cxrlib.reading.simulation:simulate_readings", derived=False, all_keys=_readers,
        before=lambda study: ["audit", "synthetic"], effort=lambda study: 3, group="closing",
        record=lambda study: study.results.simulated_record(study.review.protocol, study.review.simulated_readers),
    ),
    Stage(
        "rejected_films",
        "Decide, once and for all, which synthetic films readers rejected (synthesis.exclude_rejected: true).",
        "reject-films", "tables", "films that readers rejected",
        "cxrlib.reading.rejection:freeze_rejected", derived=False,
        all_keys=lambda study: [()] if study.synthesis.exclude_rejected else [],
        before=lambda study: ["audit", "synthetic"], effort=lambda study: 1, outputs=("rejected.csv",),
        record=lambda study: study.results.rejected_record(study.review.protocol), group="closing",
        tells_progress=False,
    ),
    Stage(
        "classifier",
        "Train one classifier and predict validation and hospital films.",
        "train-classifier", "classifiers", "classifier",
        "cxrlib.classifiers.training:train_classifier", derived=False, keys=("arm", "seed", "fold"),
        all_keys=_classifier_keys, before=_before_classifier,
        record=lambda study, *key: study.results.classifier_record(*key), effort=_classifier_effort,
        outputs=("model.safetensors", "sources.csv", "threshold.json", "log.csv", "predictions.csv"),
        spare=("checkpoint/*",), log=("epoch", _classifier_epochs), gpu=True,
    ),
    Stage(
        "film_tables",
        "Count and measure the audited films: Table 1, the flow of films, shortcuts, shift.",
        "film-tables", "tables", "tables of the films", "cxrlib.chapters.films.tables:make_film_tables",
        before=lambda study: ["audit"], record=lambda study: study.results.films_record, effort=lambda study: 10,
        sources=lambda study: code(*SHOWN_CODE, "cxrlib/films/shortcuts.py", "cxrlib/films/appearance.py"),
        group="closing",
        tells_progress=False,
    ),
    Stage(
        "quality",
        "Measure how near synthetic films are to real ones, beside real against real.",
        "measure-quality", "tables", "quality of the synthetic films",
        "cxrlib.chapters.generators.quality:measure_quality", before=lambda study: ["audit", "synthetic"],
        record=lambda study: study.results.quality_record, effort=lambda study: 10, gpu=True,
        sources=lambda study: code("cxrlib/generators/*.py", "cxrlib/chapters/generators/*.py"),
        tells_progress=False,
    ),
    Stage(
        "comparisons",
        "Compare the generator with those trained from a random start or without augmentation.",
        "compare-generators", "tables", "comparison of generators",
        "cxrlib.chapters.generators.comparisons:compare_generators",
        all_keys=lambda study: [()] if study.gan.comparisons else [], gpu=True,
        before=lambda study: ["audit", *(Unit(STAGES["generator"], key, "generator") for key in (
            (study.gan.comparison_label, "all", ""), *study.generator_variants))],
        record=lambda study: study.results.comparisons_record, effort=lambda study: 15,
        sources=lambda study: code("cxrlib/generators/*.py", "cxrlib/chapters/generators/*.py"),
        tells_progress=False,
    ),
    Stage(
        "tables",
        "Compute every table of the results from the predictions.",
        "tables", "tables", "tables", "cxrlib.chapters.results.tables:make_tables",
        before=lambda study: ["audit", "synthetic", "classifier"], record=lambda study: study.results.tables_record,
        effort=lambda study: 10, sources=lambda study: code(*SHOWN_CODE), group="closing",
        tells_progress=False,
    ),
    Stage(
        "explanations",
        "Find out what the classifiers looked at: maps for the figures, and shares of attention inside the lungs.",
        "explain", "tables", "what the classifiers looked at",
        "cxrlib.chapters.results.explanations:explain_study", gpu=True,
        before=lambda study: ["audit", "synthetic", "classifier"], effort=lambda study: 15,
        record=lambda study: study.results.explanations_record,
        sources=lambda study: code(
            "cxrlib/classifiers/explanation.py", "cxrlib/chapters/results/explanations.py",
            "cxrlib/chapters/results/attention.py",
        ),
    ),
    Stage(
        "chapter",
        "Run one notebook headless and keep the executed copy.",
        "chapter", "chapters", "chapter", "cxrlib.chapters.run:run_chapter", keys=("name",),
        all_keys=lambda study: [(name,) for name in CHAPTERS], effort=lambda study, name: 12, group="closing",
        before=lambda study, name: ["audit", *CHAPTERS[name]], sources=_chapter_sources,
        record=lambda study, name: study.results.chapter_record(name),
        product=lambda study, name: study.results.chapter(name),
        tells_progress=False,
    ),
    Stage(
        "book",
        "Build the Jupyter Book from the executed chapters.",
        "build-book", "book", "book", "cxrlib.publishing.book:build_book",
        before=lambda study: ["tables", "chapter"], record=lambda study: study.build_folder / "book.json",
        effort=lambda study: 15, sources=_book_sources, group="closing",
        product=lambda study: study.build_folder / "html" / "index.html",
        tells_progress=False,
    ),
)  # fmt: skip
STAGES = {stage.name: stage for stage in _STAGES}
PHASES = tuple(dict.fromkeys(stage.phase for stage in _STAGES))
