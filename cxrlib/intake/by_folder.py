"""Labels of an export that has a folder per class, or none at all, in the place of a table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from cxrlib.errors import InputError
from cxrlib.films.class_folders import labels_by_folder
from cxrlib.films.settings import LABELS


@dataclass
class FolderLabels:
    """Labels by the folders in which files lie; a picture without a header is a patient of its own."""

    where: str
    words: Mapping[str, str]
    labels: dict[str, str] = field(default_factory=dict)
    alone: int = 0
    where_patients_go: ClassVar[str] = "a table (--labels)"

    def find_files(self, paths: Iterable[tuple[str, str]]) -> None:
        """`paths` are (path in the source, its pseudonym). Raises `InputError` where no folder is named by a label."""
        pseudonyms = dict(paths)
        try:
            found = labels_by_folder(pseudonyms, self.words, self.where)
        except InputError as error:
            raise InputError(
                f"{error}; or `cxr import-dicom … --unlabelled`, and let readers label the films"
            ) from None
        self.labels = {pseudonyms[path]: label for path, label in found.items()}

    def label_of(self, keys: Mapping[str, str], usable: bool = True) -> tuple[str, str]:
        """(label, patient) of a film; both empty if its folder is named by none."""
        label = self.labels.get(keys["file"], "") if usable else ""
        alone = bool(label) and not keys.get("patient_id")
        self.alone += alone
        return label, keys["file"] if alone else keys.get("patient_id", "") if label else ""

    def lines(self) -> Iterator[str]:
        """What a person should know of where labels came from."""
        labels = list(self.labels.values())
        yield f"labels by folder: {', '.join(f'{labels.count(label):,} {label}' for label in LABELS)}"
        yield from self.lines_of_patients()

    def lines_of_patients(self) -> Iterator[str]:
        """Whether there are films of nobody."""
        if self.alone:
            yield (
                f"{self.alone:,} films name no patient, and count as one patient each: films of one person may be on "
                f"both sides of a test; name the patients in {self.where_patients_go}"
            )


class Unlabelled(FolderLabels):
    """Every film is taken, for readers to label (`cxr label`); what stands for a label till then is never written."""

    where_patients_go: ClassVar[str] = "films.csv"

    def find_files(self, paths: Iterable[tuple[str, str]]) -> None:
        """All of them."""
        self.labels = {pseudonym: LABELS[0] for _, pseudonym in paths}

    def lines(self) -> Iterator[str]:
        """What comes next."""
        yield "no film has a label: let readers give them with `cxr label`, then `cxr settle`"
        yield from self.lines_of_patients()


class NoLabels:
    """In a dry run without labels, every film with a patient would have one."""

    def find_files(self, paths: Iterable[tuple[str, str]]) -> None:
        """Nothing to find."""

    def label_of(self, keys: Mapping[str, str], usable: bool = True) -> tuple[str, str]:
        """(label, patient) of a film with a patient's id."""
        return (LABELS[0], keys["patient_id"]) if usable and keys.get("patient_id") else ("", "")

    def lines(self) -> Iterator[str]:
        """What a person should know."""
        yield "no table of labels was named: every film with a patient's id counts as if it had one"
