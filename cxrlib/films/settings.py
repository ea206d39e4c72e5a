"""Where the images of each role come from."""

from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from cxrlib.settings import Settings


def _a_name_that_can_be(folder: Path) -> Path:
    if "\0" in str(folder) or not str(folder).strip():
        raise ValueError(f"found {str(folder)!r}, expected the path of a folder")
    return folder


LABELS = ("negative", "positive")
ROLES = ("training", "validation", "hospital")
Label = Literal["negative", "positive"]
Role = Literal["training", "validation", "hospital"]
# More simulated patients than anyone has hours for are a slip of the keyboard.
Patients = Annotated[int, Field(gt=0, le=100_000)]
Folder = Annotated[Path, AfterValidator(_a_name_that_can_be)]
ColumnName = Annotated[str, Field(min_length=1)]


class PhantomSource(Settings):
    """Simulated films of an analytic chest phantom: nothing is downloaded, every fact is known."""

    reader: Literal["phantom"]
    scanner: Literal["public", "hospital"]
    negative_patients: Patients
    positive_patients: Patients
    publishable: bool = True


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


class FolderSource(Settings):
    """A folder with images and a table of labels, CSV or Excel (.xlsx).

    `columns` maps the manifest's names to the table's (`patient_id: PatID`), `labels` the table's words to the two
    labels (`positiv: positive`); upper and lower case are the same.
    """

    reader: Literal["folder"]
    folder: Folder
    labels_file: str = "labels.csv"
    columns: LabelColumns = LabelColumns()
    labels: dict[str, Label] = Field(default_factory=dict)
    publishable: bool = False

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


class CovidxSource(Settings):
    """A COVIDx V8B tree: the official label files beside the folders `train` and `test`."""

    reader: Literal["covidx"]
    folder: Folder
    split: Literal["train", "test"]
    allow_missing: bool = False
    publishable: bool = False


Source = Annotated[PhantomSource | FolderSource | CovidxSource, Field(discriminator="reader")]


class DataSettings(Settings):
    """The three roles of a study and the number of patient-disjoint folds of the hospital's films."""

    training: Source
    validation: Source
    hospital: Source
    folds: int = Field(default=5, ge=2, le=20)

    def source(self, role: Role) -> PhantomSource | FolderSource | CovidxSource:
        return getattr(self, role)

    @model_validator(mode="after")
    def _folds_need_patients(self) -> "DataSettings":
        if isinstance(self.hospital, PhantomSource):
            fewest = min(self.hospital.negative_patients, self.hospital.positive_patients)
            if self.folds > fewest:
                raise ValueError(
                    f"folds: {self.folds} folds need at least {self.folds} hospital patients of each label, "
                    f"but one label has {fewest}; lower `folds` or add patients"
                )
        return self
