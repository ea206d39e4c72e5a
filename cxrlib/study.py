"""A study file, validated: one YAML file in, one frozen `Study` out."""

import difflib
import json
import os
import re
import reprlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, PositiveInt, PrivateAttr, ValidationError, model_validator

from cxrlib.artifacts import Results
from cxrlib.classifiers.arms import arm_of
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.errors import InputError
from cxrlib.evaluation.settings import EndpointSettings
from cxrlib.films.settings import READERS, DataSettings
from cxrlib.generators.settings import GanSettings, SynthesisSettings, fold_of, generator_name
from cxrlib.publishing.settings import AboutSettings
from cxrlib.reading.settings import ReviewSettings
from cxrlib.settings import Settings

MAXIMUM_STUDY_BYTES = 100_000
MAXIMUM_ALIASES = 12
PACKAGE = Path(__file__).resolve().parent
# What a wheel takes along of the repository: pages, notebooks, profiles, studies.
SHIPPED = PACKAGE / "share"
REPOSITORY = SHIPPED if SHIPPED.is_dir() else PACKAGE.parent


class Study(Settings):
    """Everything a study is, from the images' whereabouts to the number of seeds. Made by `load_study`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    summary: str = ""
    about: AboutSettings = AboutSettings()
    seed: int = Field(default=2021, ge=0)
    threads_per_job: PositiveInt = 1
    data: DataSettings
    gan: GanSettings = GanSettings()
    synthesis: SynthesisSettings = SynthesisSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    review: ReviewSettings = ReviewSettings()
    primary_endpoint: EndpointSettings = EndpointSettings()

    _root: Path = PrivateAttr(default_factory=Path.cwd)
    _file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _public_start_has_a_budget(self) -> "Study":
        if (self.gan.initialise_from == "public") != (self.gan.public_images > 0):
            raise ValueError(
                f"gan.public_images: found {self.gan.public_images} with initialise_from: {self.gan.initialise_from}; "
                "a start from the public films needs public_images above 0, a random start needs 0"
            )
        return self

    @model_validator(mode="after")
    def _every_generator_has_a_run(self) -> "Study":
        if self.gan.seeds > self.classifier.seeds:
            raise ValueError(
                f"gan.seeds: found {self.gan.seeds} generators of each label and fold, but classifier.seeds: "
                f"{self.classifier.seeds}; each needs a run that learns from its films"
            )
        return self

    @model_validator(mode="after")
    def _endpoint_is_of_arms_that_are_trained(self) -> "Study":
        declared = self.primary_endpoint
        missing = [arm for arm in (declared.arm, declared.reference) if arm not in self.classifier_arms]
        if missing and "primary_endpoint" in self.model_fields_set:
            raise ValueError(
                f"primary_endpoint: found {' and '.join(missing)}, not among the study's arms: "
                f"{', '.join(self.classifier_arms)}"
            )
        return self

    @property
    def endpoint(self) -> EndpointSettings | None:
        """The primary endpoint; none where the file declares none and the study lacks the arms of the usual one."""
        declared = self.primary_endpoint
        return declared if {declared.arm, declared.reference} <= set(self.classifier_arms) else None

    @property
    def root(self) -> Path:
        """The folder that holds `studies/`, `results/` and `_build/`."""
        return self._root

    @property
    def file(self) -> Path | None:
        """The study file, as found."""
        return self._file

    @property
    def results(self) -> Results:
        return Results(self._root / "results" / self.name)

    @property
    def build_folder(self) -> Path:
        return self._root / "_build" / self.name

    @property
    def simulated(self) -> bool:
        """True if any role's films are simulated; every figure then says so."""
        return any(self.data.simulated(role) for role in self.roles)

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that the study has: the three that every study has, and `external` where it names one."""
        return self.data.roles

    @property
    def holdouts(self) -> tuple[str, ...]:
        """The roles that every model judges once, when it is finished."""
        return self.roles[2:]

    def publishable(self, role: str) -> bool:
        """Whether pixels, ids, file names and rows of a role may leave the study's private folders."""
        return self.data.publishable(role)

    @property
    def private_roles(self) -> tuple[str, ...]:
        """The roles of which nothing but counts and statistics may be published."""
        return tuple(role for role in self.roles if not self.publishable(role))

    @property
    def fold_names(self) -> tuple[str, ...]:
        """`fold0`, `fold1`, …: parts of the hospital's patients, each a test set of the cross-fitted arm."""
        return tuple(f"fold{k}" for k in range(self.data.folds))

    @property
    def generator_folds(self) -> tuple[str, ...]:
        """Folds for which each label has a generator: `all`, `fold0`, … and `public` where training starts there; of
        several generators also `fold0-generator2`, …, as far as classifiers learn from them.

        The generator of `fold0` is trained on the hospital's patients *outside* fold 0.
        """
        needed = {fold for arm in self.classifier_arms for fold in self.synthetic_folds(arm)}
        crossfit = self.fold_names if needed & set(self.fold_names) else ()
        start = ("public",) if self.gan.initialise_from == "public" else ()
        learned = {fold for arm in self.classifier_arms if arm_of(arm).synthetic for fold in self.classifier_folds(arm)}
        further = [fold for fold in (*start, "all", *crossfit) if learned and fold in {*start, *learned}]
        numbers = range(1, self.gan.seeds)
        return (*start, "all", *crossfit, *(generator_name(fold, number) for number in numbers for fold in further))

    @property
    def generated_folds(self) -> tuple[str, ...]:
        """The `generator_folds` of which synthetic films are made: all but those that serve as a start."""
        return tuple(fold for fold in self.generator_folds if fold_of(fold) != "public")

    def generators_of(self, arm: str, seed: int, fold: str) -> str:
        """The generators, as in `generator_folds`, whose films a classifier learns from, or only counts."""
        return generator_name(fold, seed % self.gan.seeds) if arm_of(arm).synthetic else fold

    @property
    def generator_variants(self) -> tuple[tuple[str, str, str], ...]:
        """Label, fold and variant of the generators that are trained for comparisons alone."""
        return tuple((self.gan.comparison_label, "all", variant) for variant in self.gan.comparisons)

    @property
    def classifier_arms(self) -> tuple[str, ...]:
        """Every arm that is trained, those that follow from `equal_steps` and `doses` included."""
        return self.classifier.all_arms

    def classifier_seeds(self, arm: str) -> tuple[int, ...]:
        """Seeds for which an arm has a model: all of them, but one where nothing is drawn at random."""
        return tuple(range(self.classifier.seeds)) if arm_of(arm).judges_hospital else (0,)

    def classifier_folds(self, arm: str) -> tuple[str, ...]:
        """Folds for which an arm has a model of its own: those of the hospital if cross-fitted, else `all`."""
        return self.fold_names if arm_of(arm).crossfitted else ("all",)

    def run_of(self, arm: str, seed: int) -> int:
        """The independent run that a seed belongs to: of several generators, seeds that learn from one are one run."""
        return seed % self.gan.seeds if self.gan.seeds > 1 and arm_of(arm).synthetic else seed

    def synthetic_folds(self, arm: str) -> tuple[str, ...]:
        """Folds whose synthetic films have to be made before the arm can be trained; one for each model's fold."""
        return self.classifier_folds(arm) if arm_of(arm).needs_synthetic else ()

    def models_before(self, arm: str, seed: int) -> tuple[tuple[str, int, str], ...]:
        """Arm, seed and fold of the models that have to be finished before the arm's model of this seed can start."""
        before = arm_of(arm).starts_from
        return tuple((before, seed, fold) for fold in self.classifier_folds(before)) if before else ()

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Sizes in pixels at which films are kept."""
        return tuple(sorted({self.gan.resolution, self.classifier.image_size}))

    def resolved(self) -> dict[str, Any]:
        """All settings as plain values, defaults included."""
        return self.model_dump(mode="json")


def load_study(study: str | Path, root: Path | None = None) -> Study:
    """Read and validate a study.

    `study` is a name (`demo` means `studies/demo.yaml`) or the path of a YAML file. `root` is the folder for
    `results/` and `_build/`; by default the folder that holds `studies/`. Raises `InputError`.
    """
    path, root = _locate(study, root)
    try:
        values = _expand(_read_yaml(path), path, "")
    except RecursionError:
        raise InputError(f"{path}: not a study: nested without end") from None
    try:
        loaded = Study.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise InputError(_explain(error, path, values)) from None
    if loaded.name != path.stem:
        raise InputError(f"{path}: name: found `{loaded.name}`, expected `{path.stem}`, the name of the file")
    loaded._root, loaded._file = root, path
    return loaded


class _StudyLoader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types.
    """YAML without what harms a study file: a key given twice hides a mistake, aliases of aliases multiply."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAXIMUM_ALIASES:
                problem = f"found more than {MAXIMUM_ALIASES} aliases; write *{self.peek_event().anchor} out"
                raise yaml.MarkedYAMLError(None, None, problem, self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(None, None, f"found the key `{key.value}` twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(MAXIMUM_STUDY_BYTES + 1)
        if len(content) > MAXIMUM_STUDY_BYTES:
            raise InputError(f"{path}: more than {MAXIMUM_STUDY_BYTES:,} bytes; a study file has a few thousand")
        values = yaml.load(content.decode("utf-8"), Loader=_StudyLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the study file can't be read: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
        # PyYAML lets errors of its conversions through, such as those of a date in month 13.
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: found {type(values).__name__}, expected keys and values such as `name: demo`")
    return values


def _locate(study: str | Path, root: Path | None) -> tuple[Path, Path]:
    text = str(study)
    if text.endswith((".yaml", ".yml")):
        if not _is_file(Path(text)):
            others = [
                place.with_suffix(end) for place in (Path(text), "studies" / Path(text)) for end in (".yaml", ".yml")
            ]
            hint = next((f"; did you mean {file}?" for file in others if _is_file(file)), "")
            raise InputError(f"{text}: no such study file{hint}")
        path = Path(text).resolve()
        return path, root or _home_of(path)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", text):
        raise InputError(f"study `{text}`: expected a name such as `demo` or the path of a .yaml file")
    here = Path.cwd().resolve()
    homes = [folder for folder in (here, *here.parents, REPOSITORY) if (folder / "studies").is_dir()]
    for file in (home / "studies" / f"{text}{ending}" for home in homes for ending in (".yaml", ".yml")):
        if _is_file(file):
            return file, root or _home_of(file)
    known = sorted(file.stem for home in homes[:1] for file in (home / "studies").glob("*.y*ml"))
    near = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise InputError(f"study `{text}`: no studies/{text}.yaml here; {hint}known studies: {', '.join(known) or 'none'}")


def _is_file(path: Path) -> bool:
    """Whether a file is there; of a name that no file can have, it is not."""
    try:
        return path.resolve().is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def _home_of(file: Path) -> Path:
    """The folder for `results/` and `_build/`: that of `studies/`, or for studies that came with the package the
    working directory."""
    return file.parent.parent if file.parent.name == "studies" and file.parent.parent != SHIPPED else Path.cwd()


def _expand(value: Any, path: Path, key: str) -> Any:
    """Replace `${NAME}` in folders by environment variables, and `~` in folders and files of weights by the home
    folder; a relative folder counts from the working directory."""
    if isinstance(value, dict):
        return {_key(name, path, key): _expand(item, path, f"{key}.{name}".lstrip(".")) for name, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, path, key) for item in value]
    if isinstance(value, str) and value.startswith("~/") and key.endswith(("folder", "weights")):
        value = str(Path(value).expanduser())
    if isinstance(value, str) and "${" in value and re.fullmatch(r"data\.\w+\.folder", key):
        for name in re.findall(r"\$\{(\w+)\}", value):
            if name not in os.environ:
                raise InputError(
                    f"{path}: {key}: found `{value}`, but the environment variable {name} is not set; "
                    f"set it to the folder meant, e.g. `make report DATA=…` or `export {name}=…`"
                )
            value = value.replace("${" + name + "}", os.environ[name])
    return value


def _key(name: Any, path: Path, key: str) -> str:
    """A key as text; YAML makes booleans, dates and more of some unquoted words."""
    if isinstance(name, str) or (isinstance(name, int | float) and not isinstance(name, bool)):
        return str(name)
    unquoted = {True: "yes, on or true", False: "no, off or false", None: "null or ~"}
    reason = f", which YAML reads from an unquoted {unquoted[name]}" if name in unquoted else ""
    raise InputError(f"{path}: {key or 'top level'}: found the key {name!r}{reason}; put keys in quotation marks")


def _explain(error: ValidationError, path: Path, values: dict[str, Any]) -> str:
    """All problems of a study file, one line each."""
    return "\n".join(f"{path}: {_explain_one(problem, values)}" for problem in error.errors(include_url=False))


def _explain_one(problem: Any, values: dict[str, Any]) -> str:
    location = problem["loc"]
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
    if problem["type"] == "extra_forbidden":
        known = _known_keys(location[:-1], values)
        near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if problem["type"] == "json_invalid":
        return f"not a study: {problem['ctx']['error']}"
    if problem["type"] == "missing":
        return f"{key}: missing; it has no default"
    if problem["type"] == "value_error":
        return ": ".join(part for part in (key, problem["msg"].removeprefix("Value error, ")) if part)
    return f"{key}: found {reprlib.repr(problem['input'])}; {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _known_keys(parents: tuple[int | str, ...], values: Any) -> list[str]:
    """Keys that the model at this place has; those of a source are its reader's."""
    model: Any = Study
    for name in parents:
        values = values[name]
        model = model.model_fields[name].annotation if isinstance(name, str) else model
        if not isinstance(model, type) and isinstance(values, dict):
            model = READERS[values["reader"]]
    return list(model.model_fields)
