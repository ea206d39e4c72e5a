"""The one list of what can be done for a study.

A `Stage` is a kind of work: its name and keys, what it reads and leaves, the function that does it, its effort and
resources. The command line, the Snakefile, progress, `status`, `verify` and `clean` derive from `STAGES`; a piece of a
stage is a `Unit` (`units.py`), and whether it is finished is judged in `finished.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrlib.artifacts import CHAPTERS
from cxrlib.classifiers.arms import arm_of
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.films.settings import LABELS
from cxrlib.generators.settings import fold_of, start_of
from cxrlib.study import PACKAGE, REPOSITORY, Study

TYPICAL_PUBLIC_FILMS = 5000
SEARCH_SECONDS_PER_FILM = 0.6
SHOWN_CODE = ("cxrlib/evaluation/*.py", "cxrlib/chapters/**/*.py")

Key = tuple[Any, ...]
Name = tuple[str, Key]


@dataclass(frozen=True)
class Stage:
    """One kind of work.

    `function` takes the study and the values named by `keys`; it is imported when there is something to do. `before`
    gives the stages whose units come before, or single units by stage and key. A `derived` stage is made anew whenever
    anything before it, its code or its settings changed; any other stops where its settings or inputs are others, since
    hours of training or readers' answers may rest on what is there. What it `needs` its function can't make for itself.
    `outside` names a function that tells, cheaply, whether files outside of the study's results are the same. `effort`
    is roughly the seconds on one core.
    """

    name: str
    help: str
    command: str
    phase: str
    title: str
    function: str
    record: Callable[..., Path]
    before: Callable[..., Iterable[str | Name]]
    effort: Callable[..., float]
    keys: tuple[str, ...] = ()
    all_keys: Callable[[Study], Iterable[Key]] = lambda study: [()]
    derived: bool = True
    needs: tuple[str, ...] = ()
    outside: str = ""
    sources: Callable[..., Iterable[Path]] = lambda study, *key: ()
    outputs: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    log: tuple[str, Callable[[Study, Key], int]] | None = None
    product: Callable[..., Path] | None = None
    gpu: bool = False
    priority: int = 0
    group: str | None = None


def films_of(study: Study, role: str) -> int:
    """Films of a role, once prepared; before, a typical number."""
    record = study.results.data_record(role)
    try:
        return read_json(record)["images_used"] if record.exists() else TYPICAL_PUBLIC_FILMS
    except (InputError, KeyError):
        return TYPICAL_PUBLIC_FILMS


def _synthetic_of(study: Study, fold: str) -> list[Name]:
    return [("synthetic", (label, fold)) for label in LABELS]


def _generator_keys(study: Study) -> Iterator[Key]:
    yield from ((label, fold, "") for fold in study.generator_folds for label in LABELS)
    yield from study.generator_variants


def _before_generator(study: Study, label: str, fold: str, variant: str) -> Iterator[str | Name]:
    yield "audit"
    if _starts_from_public(study, fold, variant):
        yield ("generator", (label, start_of(fold), ""))


def _starts_from_public(study: Study, fold: str, variant: str) -> bool:
    return study.gan.initialise_from == "public" and fold_of(fold) != "public" and variant != "random-start"


def _generator_images(study: Study, key: Key) -> int:
    return study.gan.public_images if fold_of(key[1]) == "public" else study.gan.total_images


def _generator_effort(study: Study, *key: Any) -> float:
    images, side = _generator_images(study, key), study.gan.resolution / 64
    snapshots = max(1, images / study.gan.checkpoint_images)
    matched = study.gan.feature_matching_weight and _starts_from_public(study, *key[1:])
    seconds_each = side**2 * study.gan.channel_base / 1024 / 43 + (0.007 if matched else 0)
    return 5 + images * seconds_each + snapshots * side**2


def _synthetic_effort(study: Study, *_: Any) -> float:
    pixels = (study.gan.resolution / 64) ** 2 * study.gan.channel_base / 1024
    return 4 + study.synthesis.images_per_label * pixels / 500


def _rejected(study: Study) -> list[str]:
    return ["rejected_films"] if study.synthesis.exclude_rejected else []


def _classifier_keys(study: Study) -> Iterator[Key]:
    for arm in study.classifier_arms:
        for seed in study.classifier_seeds(arm):
            yield from ((arm, seed, fold) for fold in study.classifier_folds(arm))


def _before_classifier(study: Study, arm: str, seed: int, fold: str) -> Iterator[str | Name]:
    """All arms are trained and judged on audited films; some learn from synthetic ones, or count them."""
    yield "audit"
    if study.synthetic_folds(arm):
        yield from _synthetic_of(study, study.generators_of(arm, seed, fold))
        yield from _rejected(study)
    yield from (("classifier", model) for model in study.models_before(arm, seed))


def _classifier_epochs(study: Study, key: Key) -> int:
    return study.classifier.frozen_epochs + study.classifier.epochs


def _classifier_effort(study: Study, arm: str, seed: int, fold: str) -> float:
    recipe = arm_of(arm)
    if not recipe.network:
        return 2
    films = films_of(study, "training")
    if not recipe.equal_steps:
        films = films * recipe.public + 2 * study.synthesis.images_per_label * recipe.added_percent // 100
    return 4 + _classifier_epochs(study, ()) * films * (study.classifier.image_size / 64) ** 2 / 450


def _book_effort(study: Study) -> float:
    """Films that must not be seen are looked for in every picture."""
    return 15 + SEARCH_SECONDS_PER_FILM * sum(films_of(study, role) for role in study.private_roles)


def code(*patterns: str) -> list[Path]:
    """Source files of the package and of the repository."""
    homes = {True: PACKAGE.parent, False: REPOSITORY}
    found = {path for pattern in patterns for path in homes[pattern.startswith("cxrlib/")].glob(pattern)}
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
    yield from code("cxrlib/publishing/*.py", "benchmarks/results/public-small/*")


def _before_reading(study: Study) -> list[str]:
    return ["audit", "synthetic", *(["comparisons"] if study.review.generator_pairs else [])]


def _readers(study: Study) -> list[Key]:
    return [()] if study.review.simulated_readers else []


_STAGES = (
    Stage(
        "data",
        "Read, check and resize the films of one role.",
        "prepare", "data", "films", "cxrlib.films.preparation:prepare_role", derived=False,
        outside="cxrlib.films.preparation:films_seen",
        keys=("role",), all_keys=lambda study: [(role,) for role in study.roles], before=lambda study, role: (),
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
        all_keys=lambda study: [(label, fold) for fold in study.generated_folds for label in LABELS],
        before=lambda study, label, fold: ["audit", ("generator", (label, fold, ""))],
        record=lambda study, *key: study.results.synthetic_record(*key), effort=_synthetic_effort,
        outputs=("images.npy", "manifest.csv", "real_distances.csv"), gpu=True, priority=20,
    ),
    Stage(
        "simulated_readings",
        "Let the study's simulated readers answer, for demonstration; without any, remove what they answered.",
        "simulate-readings", "tables", "simulated readers",
        "cxrlib.reading.simulation:simulate_readings", derived=False, all_keys=_readers,
        before=_before_reading, effort=lambda study: 3, group="closing",
        record=lambda study: study.results.simulated_record(study.review.protocol, study.review.simulated_readers),
    ),
    Stage(
        "rejected_films",
        "Decide, once and for all, which synthetic films readers rejected (synthesis.exclude_rejected: true).",
        "reject-films", "tables", "films that readers rejected",
        "cxrlib.reading.rejection:freeze_rejected", derived=False,
        all_keys=lambda study: [()] if study.synthesis.exclude_rejected else [],
        before=_before_reading, effort=lambda study: 1, outputs=("rejected.csv",),
        record=lambda study: study.results.rejected_record(study.review.protocol), group="closing",
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
    ),
    Stage(
        "quality",
        "Measure how near synthetic films are to real ones, beside real against real.",
        "measure-quality", "tables", "quality of the synthetic films",
        "cxrlib.chapters.generators.quality:measure_quality", before=lambda study: ["audit", "synthetic"],
        record=lambda study: study.results.quality_record, effort=lambda study: 10, gpu=True,
        sources=lambda study: code("cxrlib/generators/*.py", "cxrlib/chapters/generators/*.py"),
    ),
    Stage(
        "comparisons",
        "Compare the generator with those trained from a random start or without augmentation.",
        "compare-generators", "tables", "comparison of generators",
        "cxrlib.chapters.generators.comparisons:compare_generators",
        all_keys=lambda study: [()] if study.gan.comparisons else [], gpu=True,
        before=lambda study: ["audit", *(("generator", key) for key in (
            (study.gan.comparison_label, "all", ""), *study.generator_variants))],
        record=lambda study: study.results.comparisons_record, effort=lambda study: 15, needs=("generator",),
        sources=lambda study: code("cxrlib/generators/*.py", "cxrlib/chapters/generators/*.py"),
    ),
    Stage(
        "tables",
        "Compute every table of the results from the predictions.",
        "tables", "tables", "tables", "cxrlib.chapters.results.tables:make_tables",
        before=lambda study: ["audit", "synthetic", "classifier"], record=lambda study: study.results.tables_record,
        effort=lambda study: 10, sources=lambda study: code(*SHOWN_CODE), group="closing", needs=("classifier",),
    ),
    Stage(
        "explanations",
        "Find out what the classifiers looked at: maps for the figures, and shares of attention inside the lungs.",
        "explain", "tables", "what the classifiers looked at",
        "cxrlib.chapters.results.explanations:explain_study", gpu=True,
        before=lambda study: ["audit", "synthetic", "classifier"], effort=lambda study: 15,
        record=lambda study: study.results.explanations_record, needs=("classifier",),
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
    ),
    Stage(
        "book",
        "Build the Jupyter Book from the executed chapters.",
        "build-book", "book", "book", "cxrlib.publishing.book:build_book",
        before=lambda study: ["tables", "chapter"], record=lambda study: study.build_folder / "book.json",
        effort=_book_effort, sources=_book_sources, group="closing", log=("share", lambda study, key: 1),
        product=lambda study: study.build_folder / "html" / "index.html",
    ),
)  # fmt: skip
STAGES = {stage.name: stage for stage in _STAGES}
