"""Where the images of each role come from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from cxrlib.settings import Settings

LABELS = ("negative", "positive")
ROLES = ("training", "validation", "hospital")
Label = Literal["negative", "positive"]
Role = Literal["training", "validation", "hospital"]


class PhantomSource(Settings):
    """Simulated films of an analytic chest phantom: nothing is downloaded, every fact is known."""

    reader: Literal["phantom"]
    scanner: Literal["public", "hospital"]
    negative_patients: PositiveInt
    positive_patients: PositiveInt
    publishable: bool = True


class FolderSource(Settings):
    """A folder with images and a `labels.csv` of columns `file, patient_id, label` and, where known, `source, view,
    sex, age, lung_mask`."""

    reader: Literal["folder"]
    folder: Path
    labels_file: str = "labels.csv"
    publishable: bool = False


class CovidxSource(Settings):
    """A COVIDx V8B tree: the official label files beside the folders `train` and `test`."""

    reader: Literal["covidx"]
    folder: Path
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
