"""`cxr start`: from a hospital's folder to a study file that `cxr check` accepts, in one command.

It looks, proposes, and asks only what nobody can see in the files; every answer is an option as well, so that it also
runs without a person.
"""

import re
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import RenderableType

from cxrlib.check import as_record
from cxrlib.check_page import check_with_page
from cxrlib.errors import InputError
from cxrlib.files import write_text
from cxrlib.films.settings import LABELS
from cxrlib.films.table_words import UNCERTAIN
from cxrlib.intake.dicom import import_dicom
from cxrlib.intake.outcome import Imported
from cxrlib.intake.proposal import (
    Table,
    describe_table,
    has_class_folders,
    is_dicom_source,
    public_data,
    quoted,
    tables_of_labels,
)
from cxrlib.reproducibility import available_cores
from cxrlib.stages import films_of
from cxrlib.study import REPOSITORY, Study, load_study
from cxrlib.units import GPU_SPEED, all_units

# A question, and the answer that counts if nobody gives another one.
Ask = Callable[[str, str], str]

TEMPLATE = REPOSITORY / "studies" / "hospital-template.yaml"
FIRST_REPORT, WHOLE_STUDY = "# THE FIRST REPORT.", "It needs a GPU.\n"
SIMULATED = """\
  # Simulated films, until you have public ones: the page "Your hospital's data" says where these come from.
  training: {reader: phantom, scanner: public, negative_patients: 400, positive_patients: 200}
  validation: {reader: phantom, scanner: public, negative_patients: 100, positive_patients: 100}
"""
# The largest generators for so much memory of a GPU, in GB; below the last, or without a GPU, the first report's.
PRESETS_BY_GPU_GB = ((14, "256px-hundreds"), (6, "128px-hundreds"))
# Patients of the rarer label from which five folds are worth their generators.
PATIENTS_FOR_FIVE_FOLDS = 50
# About what a finished generator, its checkpoint included, takes by its resolution, and a network by its name.
GENERATOR_MB = {64: 5, 128: 450, 256: 600, 512: 900}
NETWORK_MB = {"resnet50": 95, "resnet18": 45, "densenet121": 29}
BOOK_MB = 40
USUAL_NAME = "our-hospital"
FILMS_LOOKED_AT_PER_MINUTE = 60
OWN_FILMS = """\
  # Your own films. As long as publishable is false, no pixel of them is shown.
"""


@dataclass(frozen=True)
class Answers:
    """What a person may say beforehand; everything else is found out or asked."""

    name: str = ""
    labels: Path | None = None
    films: Path | None = None
    public: Path | None = None
    key: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    rules: Path | None = None


def start(
    source: Path, given: Answers, ask: Ask | None, progress: Callable[[str], Any] | None = None
) -> Generator[RenderableType, None, dict[str, Any]]:
    """Import the films if they are DICOM files, write `studies/NAME.yaml`, check it, and say what comes next.

    Gives what a person should read, as it is known, and in the end what `cxr check --json` says. Without `ask`, what
    can't be known is an `InputError` that names the option. Run again, it goes on; a study file that somebody changed
    is used as it is, never overwritten.
    """
    name = given.name or (ask("Name of the study (small letters, digits, hyphens)", USUAL_NAME) if ask else USUAL_NAME)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise InputError(f"--name: found `{name}`, expected small letters, digits and hyphens")
    dicom = is_dicom_source(source)
    films = given.films or source.resolve().parent / f"{name}-films"
    _refuse_other_study(name, films if dicom else source)
    table = _table(source, given, ask)
    words = {**given.words, **_meanings(table, ask)}
    by = f"{table.file.name}: {', '.join(f'{own} = {kind}' for kind, own in table.columns.items())}" if table else ""
    yield f"{source}: {'DICOM files' if dicom else 'pictures'}; labels by {by or 'the folders that films lie in'}"
    public = _public(given, ask)
    imported = None
    if dicom:
        imported = import_dicom(
            source, table.file if table else None, films, key_file=given.key, columns=given.columns, words=words,
            rules=given.rules, progress=progress,
        )  # fmt: skip
        yield "\n".join(imported.lines(films))
        if not imported.used:
            raise InputError(f"{source}: no film was used; the reasons are above and in {films / 'import.csv'}")
        hospital = _folder(films.resolve())
    else:
        hospital = _pictures(source, table, words)
    rarer = min(imported.by_label.get(label, 0) for label in LABELS) if imported else 0
    file, new = _write_study(name, public, hospital, folds=5 if rarer >= PATIENTS_FOR_FIVE_FOLDS else 2)
    study = load_study(name)
    yield (
        f"\n{file}: {'written' if new else 'as it was'}; {study.gan.resolution} pixels, {study.classifier.network}, "
        f"{study.data.folds} folds\n"
    )
    verdicts = yield from check_with_page(study, progress=progress)
    again = _import_command(source, given, table, words, films)
    yield "\n".join(["\nNext", *_next_commands(study, again, imported)])
    return as_record(study, verdicts) | {"file": file}


def _refuse_other_study(name: str, films: Path) -> None:
    """Refuse the name of a study of other films before anything is imported."""
    file = Path("studies") / f"{name}.yaml"
    if file.exists():
        folders = [getattr(source, "folder", None) for source in load_study(str(file)).data.sources("hospital")]
        if films.resolve() not in folders:
            raise InputError(f"{file}: exists already and describes other films; choose another --name")


def _table(source: Path, given: Answers, ask: Ask | None) -> Table | None:
    """The table of labels that is named, the only one that fits, or the one a person chooses; None for folders."""
    if given.labels:
        return describe_table(given.labels, given.columns, given.words)
    folder = source if source.is_dir() else source.parent
    found = tables_of_labels([folder, folder.parent], given.columns, given.words)
    if len(found) == 1:
        return found[0]
    if not found and has_class_folders(source, given.words):
        return None
    names = ", ".join(str(table.file) for table in found) or "none"
    if ask is None:
        raise InputError(f"--labels: missing; found {names} beside the films; name the table of labels")
    return describe_table(Path(ask(f"Table of labels (found {names})", "")), given.columns, given.words)


def _meanings(table: Table | None, ask: Ask | None) -> dict[str, str]:
    """What a person says of words for labels that nobody knows."""
    found: dict[str, str] = {}
    allowed = (*LABELS, UNCERTAIN)
    for word in table.unknown if table else ():
        if ask is None:
            listed = ", ".join(f"`{word}`" for word in table.unknown) if table else ""
            raise InputError(
                f"{table.file if table else ''}: nobody knows what these labels mean: {listed}; say it with --word, "
                f"e.g. --word '{word}=negative' (or positive, or uncertain)"
            )
        answer = ask(f"What does `{word}` mean: {', '.join(allowed)}", UNCERTAIN)
        if answer not in allowed:
            raise InputError(f"`{word}`: found `{answer}`, expected {', '.join(allowed)}")
        found[word] = answer
    return found


def _public(given: Answers, ask: Ask | None) -> str:
    """The study file's lines for the public roles."""
    folder = given.public
    if folder is None and ask:
        said = ask("Folder of public films (nothing: simulated ones until you have some)", "")
        folder = Path(said) if said else None
    return public_data(folder.resolve()) if folder else SIMULATED


def _folder(folder: Path, more: str = "") -> str:
    return f"  hospital: {{reader: folder, folder: {quoted(folder)}{more}, publishable: false}}\n"


def _pictures(source: Path, table: Table | None, words: Mapping[str, str]) -> str:
    """The study file's lines for films that are pictures already."""
    if table is None:
        own = f", labels: {_mapping(words)}" if words else ""
        return _folder(source.resolve(), own)
    if table.file.resolve().parent != source.resolve():
        raise InputError(f"{table.file}: lies outside of {source}; put the table into the folder of the pictures")
    columns = {kind: name for kind, name in table.columns.items() if kind in ("file", "patient_id", "label")}
    absent = [kind for kind in ("file", "patient_id", "label") if kind not in columns]
    if absent:
        raise InputError(f"{table.file}: no column of {' and '.join(absent)}; name it with --column {absent[0]}=NAME")
    labels = {word: label for word, label in words.items() if label in LABELS}
    more = f", labels_file: {quoted(table.file.name)}, columns: {_mapping(columns)}"
    return _folder(source.resolve(), more + (f", labels: {_mapping(labels)}" if labels else ""))


def _mapping(values: Mapping[str, str]) -> str:
    """A mapping as YAML writes it in one line."""
    return yaml.safe_dump(dict(values), default_flow_style=True, allow_unicode=True, width=10_000).strip()


def _write_study(name: str, public: str, hospital: str, folds: int) -> tuple[Path, bool]:
    """Write `studies/NAME.yaml` from the template, its comments included; (file, whether it is new).

    A file that is there stays as it is: a person may have changed it.
    """
    file = Path("studies") / f"{name}.yaml"
    if file.exists():
        return file, False
    text = TEMPLATE.read_text(encoding="utf-8")
    data = re.search(r"^  training: .*?^  # A second hospital", text, re.MULTILINE | re.DOTALL)
    if data is None:
        raise AssertionError(f"{TEMPLATE}: the lines of data are not where they were")
    head = (
        f"# Written by `cxr start`; change what you like. `cxr show {name}` prints every setting, defaults included.\n"
        f"name: {name}\n"
    )
    text = re.sub(r"\A.*?^name: hospital-template\n", lambda _: head, text, flags=re.MULTILINE | re.DOTALL)
    text = text.replace(data[0], f"{public}{OWN_FILMS}{hospital}  # A second hospital")
    text = text.replace("  folds: 2\n", f"  folds: {folds}\n").replace("<your-name>", name)
    preset = _preset()
    if preset:
        before, rest = text.split(FIRST_REPORT)
        whole = re.sub(r"^# ?", "", rest.split(WHOLE_STUDY)[1], flags=re.MULTILINE)
        text = before + "# For this machine's GPU.\n" + whole.replace("preset: 256px-hundreds", f"preset: {preset}")
    file.parent.mkdir(exist_ok=True)
    write_text(file, text)
    return file, True


def _preset() -> str:
    """The generators that this machine's GPU holds; empty without one, where the first report's small ones stay."""
    import torch

    if not torch.cuda.is_available():
        return ""
    memory_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
    return next((preset for least, preset in PRESETS_BY_GPU_GB if memory_gb >= least), "")


def _import_command(
    source: Path, given: Answers, table: Table | None, words: Mapping[str, str], films: Path
) -> list[str]:
    """What to type to import again, with every answer."""
    options: list[tuple[str, Any]] = [("--labels", table.file if table else None), ("--out", films)]
    options += [("--key", given.key), ("--rules", given.rules)]
    options += [("--column", f"{kind}={name}") for kind, name in given.columns.items()]
    options += [("--word", f"{word}={label}") for word, label in words.items()]
    named = [text for option, value in options if value is not None for text in (option, str(value))]
    return ["cxr", "import-dicom", str(source), *named]


def _next_commands(study: Study, again: list[str], imported: Imported | None) -> Iterator[str]:
    """The three commands that come next, and what each costs."""
    minutes, megabytes = _cost(study)
    if imported:
        looking = -(-imported.used // FILMS_LOOKED_AT_PER_MINUTE)
        yield f"  {shlex.join([*again, '--look'])}\n      you decide on doubtful films: about {looking} min of a person"
    yield f"  cxr report {study.name}\n      the first book: about {minutes:,} min here, {megabytes:,} MB of disk"
    if not imported:
        yield f"  cxr review {study.name}\n      radiologists read real and synthetic films: about 20 min of each"
    yield f"  cxr publish {study.name}\n      a copy without private films: a minute, and a person who signs"


def _cost(study: Study) -> tuple[int, int]:
    """Minutes of work on this machine, and megabytes of disk, both about."""
    units = all_units(study)
    gpu = bool(_preset())
    seconds = [unit.effort(study) / (GPU_SPEED if gpu and unit.stage.gpu else available_cores()) for unit in units]
    kinds = [unit.name for unit in units]
    films = sum(films_of(study, role) for role in study.roles) * sum(size**2 for size in study.image_sizes)
    synthetic = kinds.count("synthetic") * study.synthesis.images_per_label * study.gan.resolution**2
    models = kinds.count("generator") * GENERATOR_MB.get(study.gan.resolution, max(GENERATOR_MB.values()))
    models += kinds.count("classifier") * NETWORK_MB.get(study.classifier.network, 2)
    return max(1, round(sum(seconds) / 60)), max(1, round((films + synthetic) / 1e6 + models + BOOK_MB))
