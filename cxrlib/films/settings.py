"""Where the images of each role come from: a class of settings for each reader, and `READERS`, which names them."""

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    SerializeAsAny,
    TypeAdapter,
    field_validator,
    model_serializer,
    model_validator,
)

from cxrlib.settings import Settings


def _a_name_that_can_be(folder: Path) -> Path:
    if "\0" in str(folder) or not str(folder).strip():
        raise ValueError(f"found {str(folder)!r}, expected the path of a folder")
    return folder


LABELS = ("negative", "positive")
ROLES = ("training", "validation", "hospital")
EXTERNAL = "external"
EVERY_ROLE = (*ROLES, EXTERNAL)
Label = Literal["negative", "positive"]
# More simulated patients than anyone has hours for are a slip of the keyboard.
Patients = Annotated[int, Field(gt=0, le=100_000)]
Folder = Annotated[Path, AfterValidator(_a_name_that_can_be)]
ColumnName = Annotated[str, Field(min_length=1)]


class Source(Settings):
    """What a reader of films has to be told. A reader is a class of these settings, named in `READERS`."""

    reader: str
    publishable: bool = False

    # `module:function` of what lists the films, as a `Listing`, without decoding one; empty where there are no files.
    listing: ClassVar[str] = ""

    @property
    def simulated(self) -> bool:
        return not self.listing

    @property
    def description(self) -> str:
        """What `cxr check` calls it."""
        raise NotImplementedError

    def dataset(self, unnamed: str) -> str:
        """What tables call it; `unnamed`, unless empty, where the names of its files may not be known."""
        raise NotImplementedError

    def finding_of(self, label: Label) -> str:
        """What all its films of a label show; empty where only a table can say it."""
        raise NotImplementedError


class FilesSource(Source):
    """Films in files under one folder. `part` names the setting that tells two data sets of one folder apart.

    `findings` says what all films of a label show, where no table says it film by film.
    """

    folder: Folder
    findings: dict[Label, str] = Field(default_factory=dict)

    part: ClassVar[str] = ""

    @property
    def description(self) -> str:
        return f"{self.reader} {self.folder}" + (f" with {getattr(self, self.part)}" if self.part else "")

    def dataset(self, unnamed: str) -> str:
        return unnamed or self.folder.name

    def finding_of(self, label: Label) -> str:
        return self.findings.get(label, "")


class PhantomSource(Source):
    """Simulated films of an analytic chest phantom: nothing is downloaded, every fact is known."""

    reader: Literal["phantom"]
    scanner: Literal["public", "hospital"]
    negative_patients: Patients
    positive_patients: Patients
    publishable: bool = True

    @property
    def description(self) -> str:
        return f"films of a simulated chest phantom, {self.scanner} scanner"

    def dataset(self, unnamed: str) -> str:
        return f"chest phantom, {self.scanner} scanner"

    def finding_of(self, label: Label) -> str:
        return "COVID-19, simulated" if label == "positive" else "no finding"


class LabelColumns(Settings):
    """What a table of labels calls its columns; those after `label` may be absent, unless the study file names them."""

    file: ColumnName = "file"
    patient_id: ColumnName = "patient_id"
    label: ColumnName = "label"
    source: ColumnName = "source"
    finding: ColumnName = "finding"
    view: ColumnName = "view"
    sex: ColumnName = "sex"
    age: ColumnName = "age"
    lung_mask: ColumnName = "lung_mask"

    @model_validator(mode="after")
    def _each_column_once(self) -> "LabelColumns":
        names = list(self.model_dump().values())
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            facts = [fact for fact, name in self.model_dump().items() if name == twice]
            raise ValueError(f"column `{twice}` is used for {' and '.join(facts)}; a column has one meaning")
        return self


class FolderSource(FilesSource):
    """A folder with images and a table of labels, CSV or Excel (.xlsx).

    `columns` maps the manifest's names to the table's (`patient_id: PatID`), `labels` the table's words to the two
    labels (`positiv: positive`); upper and lower case are the same.
    """

    reader: Literal["folder"]
    labels_file: str = "labels.csv"
    columns: LabelColumns = LabelColumns()
    labels: dict[str, Label] = Field(default_factory=dict)

    listing: ClassVar[str] = "cxrlib.films.folder:read_folder"
    part: ClassVar[str] = "labels_file"

    @field_validator("labels_file")
    @classmethod
    def _labels_lie_inside(cls, name: str) -> str:
        path = PurePosixPath(name.replace("\\", "/"))
        if not name.strip() or "\0" in name or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"found {name!r}, expected the name of a table inside the folder, such as labels.csv")
        return name

    @field_validator("labels")
    @classmethod
    def _one_meaning_per_word(cls, labels: dict[str, Label]) -> dict[str, Label]:
        meanings: dict[str, str] = {}
        for word, label in labels.items():
            if meanings.setdefault(word.casefold(), label) != label:
                raise ValueError(f"`{word}` is both negative and positive; upper and lower case are the same")
        return labels


class CovidxSource(FilesSource):
    """A COVIDx V8B tree: the official label files beside the folders `train` and `test`."""

    reader: Literal["covidx"]
    split: Literal["train", "test"]
    allow_missing: bool = False

    listing: ClassVar[str] = "cxrlib.films.covidx:read_covidx"
    part: ClassVar[str] = "split"

    @property
    def description(self) -> str:
        return f"COVIDx V8B, {self.split} split, in {self.folder}"

    def dataset(self, unnamed: str) -> str:
        return f"COVIDx V8B ({self.split} split)"


# A new reader is an entry here: its settings, which name the function that lists its films.
READERS: dict[str, type[Source]] = {"phantom": PhantomSource, "folder": FolderSource, "covidx": CovidxSource}


def _source(value: Any) -> Source:
    if isinstance(value, Source):
        return value
    reader = value.get("reader") if isinstance(value, dict) else None
    if not isinstance(reader, str) or reader not in READERS:
        found = "none" if reader is None else f"`{reader}`"
        raise ValueError(f"reader: found {found}, expected one of: {', '.join(READERS)}")
    return READERS[reader].model_validate_json(json.dumps(value))


_SEVERAL = TypeAdapter(tuple[Annotated[Source, PlainValidator(_source)], ...])


def _sources(value: Any) -> Source | tuple[Source, ...]:
    return _SEVERAL.validate_python(tuple(value)) if isinstance(value, list | tuple) else _source(value)


Sources = Annotated[Source | tuple[Source, ...] | None, SerializeAsAny(), PlainValidator(_sources)]


class DataSettings(Settings):
    """The roles of a study and the number of patient-disjoint folds of the hospital's films.

    Each role is read from one source, or from several. `external` is a second hospital, to which nothing is fitted; a
    study may do without it.
    """

    training: Sources
    validation: Sources
    hospital: Sources
    external: Sources = None
    folds: int = Field(default=5, ge=2, le=20)

    @property
    def roles(self) -> tuple[str, ...]:
        return ROLES if self.external is None else (*ROLES, EXTERNAL)

    def sources(self, role: str) -> tuple[Any, ...]:
        """Where a role's films come from; where these are several, `source_of` says which one a film is from."""
        given = getattr(self, role)
        return given if isinstance(given, tuple) else (given,)

    def source_of(self, role: str, image_id: str) -> Any:
        """The source of a film: of several, ids begin with its number and a slash."""
        sources = self.sources(role)
        return sources[0] if len(sources) == 1 else sources[int(image_id.partition("/")[0]) - 1]

    def simulated(self, role: str) -> bool:
        return self.sources(role)[0].simulated

    def publishable(self, role: str) -> bool:
        """Whether all sources of a role may be shown."""
        return all(source.publishable for source in self.sources(role))

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, serialise: Any) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if name != EXTERNAL or value is not None}

    @model_validator(mode="after")
    def _simulated_or_real(self) -> "DataSettings":
        for role in self.roles:
            kinds = {source.simulated for source in self.sources(role)}
            if not kinds:
                raise ValueError(f"{role}: found an empty list, expected a source")
            if len(kinds) > 1:
                raise ValueError(f"{role}: found simulated and real films; the films of one role are of one kind")
        return self

    @model_validator(mode="after")
    def _folds_need_patients(self) -> "DataSettings":
        if self.simulated("hospital"):
            sources = self.sources("hospital")
            fewest = min(sum(getattr(source, f"{label}_patients") for source in sources) for label in LABELS)
            if self.folds > fewest:
                raise ValueError(
                    f"folds: {self.folds} folds need at least {self.folds} hospital patients of each label, "
                    f"but one label has {fewest}; lower `folds` or add patients"
                )
        return self
