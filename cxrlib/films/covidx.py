"""Reader of a COVIDx tree (Wang et al. 2020): the official label files beside the folders `train` and `test`.

Made for V8B, which the paper uses. Later versions differ in the names of their lists (`train_COVIDx9A.txt`,
`train_COVIDx_CXR-3B.txt`), in the words for labels (`normal`, `pneumonia`, `COVID-19` in those that end in A), and may
have another column behind.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.films.containment import Refused, decode_text, open_inside, read_table_bytes
from cxrlib.films.decoding import UnreadableImage, check_ends
from cxrlib.films.images import in_parallel
from cxrlib.films.listing import Listing, files_under, is_folder, make_listing
from cxrlib.films.settings import LABELS, CovidxSource

# Reasons that speak of a file's length; all others mean that it can't be read.
WRONG_SIZE = ("empty file", "cut short")
NAMED_EXAMPLES = 3
# V8B and CXR-3 have two classes. V9A has three, of which other pneumonia is no COVID-19, as in V8B.
LABEL_WORDS = {
    "positive": "positive", "covid-19": "positive", "covid": "positive",
    "negative": "negative", "normal": "negative", "pneumonia": "negative",
}  # fmt: skip
# Where the films of each source are had from, by their owners' instructions.
SOURCES = {
    "rsna": "RSNA Pneumonia Detection Challenge, on Kaggle",
    "ricord": "MIDRC-RICORD-1C, The Cancer Imaging Archive",
    "sirm": "COVID-19 Radiography Database, on Kaggle",
    "cohen": "COVID-19 Image Data Collection (ieee8023/covid-chestxray-dataset), on GitHub",
    "fig1": "Figure 1 COVID-19 Chest X-ray Dataset (agchung), on GitHub",
    "actmed": "Actualmed COVID-19 Chest X-ray Dataset (agchung), on GitHub",
    "bimcv": "BIMCV-COVID19+, Valencia",
}


@dataclass(frozen=True)
class CovidxComparison:
    """One split of a COVIDx tree beside its official list.

    `table` is the list (patient_id, file, label, source). `problems` are by kind and file, with the reason where there
    is one: `missing` are files of the list that are not there; `unreadable` and `wrong size` are there but no whole
    image files, as far as header and end mark tell; `unexpected` lie in the split's folder without being in the list.
    Names of files are relative to the split's folder.
    """

    folder: Path
    split: str
    table: pd.DataFrame
    problems: dict[str, dict[str, str]]

    @property
    def present(self) -> pd.DataFrame:
        """Rows of the list whose files are there, whether readable or not."""
        return self.table[~self.table["file"].isin(list(self.problems["missing"]))]

    def summary(self) -> str:
        """A few lines for a reader: what the list says, what is there, and the first files of each kind of problem."""
        present = self.present
        by_label = ", ".join(
            f"{(present['label'] == label).sum():,} of {(self.table['label'] == label).sum():,} {label}"
            for label in reversed(LABELS)
        )
        there = f"{len(present):,} of {len(self.table):,} images present ({by_label})"
        lines = [f"{self.folder / self.split}: {there}", f"  the list: {_described(self.table)}"]
        return "\n".join(lines + [f"  {kind}: {_listed(files)}" for kind, files in self.problems.items()])


def compare_with_lists(source: CovidxSource) -> CovidxComparison:
    """Compare one split of a COVIDx tree with its official list; headers and ends of files are read, no pixel is.

    Raises `InputError` for a missing folder or label file, never for what the comparison finds.
    """
    root = _root(source)
    table = read_labels(labels_path(root, source.split))
    problems: dict[str, dict[str, str]] = {"missing": {}, "unreadable": {}, "wrong size": {}}
    files = [f"{source.split}/{file}" for file in table["file"]]
    for file, reason in zip(table["file"], in_parallel(lambda file: _problem(root, file), files), strict=True):
        if reason == "missing":
            problems["missing"][file] = ""
        elif reason:
            problems["wrong size" if reason.startswith(WRONG_SIZE) else "unreadable"][file] = reason
    problems["unexpected"] = dict.fromkeys(_unexpected(root, source.split, set(table["file"])), "")
    return CovidxComparison(root, source.split, table, problems)


def patient_counts(table: pd.DataFrame) -> dict[str, Any]:
    """Patients of a list: `by_label` {label: patients}, `distinct`, and `both_labels`, who have images of each.

    The 14,978 "unique patients" of Schaudt et al. 2021 are the sum over labels; 10 of them are counted twice.
    """
    labels_of_patient = table.groupby("patient_id")["label"].nunique()
    by_label = {label: int(table.loc[table["label"] == label, "patient_id"].nunique()) for label in LABELS}
    return {
        "by_label": by_label,
        "distinct": len(labels_of_patient),
        "both_labels": int((labels_of_patient > 1).sum()),
    }


def read_labels(path: Path) -> pd.DataFrame:
    """An official label file as columns patient_id, file, label, source.

    Lines hold `patient file label source`, separated by spaces, and are read from the right: 943 patient ids of V8B
    contain a space (`COVID 1 COVID(1).png positive sirm`). Raises `InputError` naming file and line.
    """
    rows = []
    text = decode_text(read_table_bytes(path.parent, path.name), str(path))
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        row = _fields(line.strip())
        if row is None:
            raise InputError(
                f"{path}: line {number}: found `{line.strip()[:200]}`, expected `patient file label source` with the "
                f"label {' or '.join(LABELS)}"
            )
        rows.append(row)
    table = pd.DataFrame(rows, columns=["patient_id", "file", "label", "source"], dtype=str)
    twice = table["file"][table["file"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: `{twice.iloc[0]}` is listed twice ({len(twice)} such files); list each image once")
    return table


def _fields(line: str) -> list[str] | None:
    """Patient, file, label and source of a line, whose label is the last but one word, or the one before; else None."""
    for place in (-2, -3):
        words = line.split(" ")
        if len(words) >= 2 - place and words[place].casefold() in LABEL_WORDS and all(words[place - 1 :]):
            patient, label = " ".join(words[: place - 1]).strip(), LABEL_WORDS[words[place].casefold()]
            return [patient, words[place - 1], label, words[place + 1]] if patient else None
    return None


def labels_path(folder: Path, split: Literal["train", "test"]) -> Path:
    """The official list of a split: that of V8B where it is, else the only one of another version."""
    usual = folder / f"{split}_COVIDx8B.txt"
    others = [*sorted(folder.glob(f"{split}_COVIDx*.txt")), *sorted(folder.glob(f"{split}.txt"))]
    if len(others) > 1:  # lists of two classes end in B, those of three in A
        others = [path for path in others if path.stem.endswith("B")]
    return usual if usual.exists() or len(others) != 1 else others[0]


def read_covidx(source: CovidxSource) -> Listing:
    """List one split of COVIDx V8B; no pixel is decoded.

    Raises `InputError` for a missing folder or label file and, unless `allow_missing`, for images that the label file
    names but the folder lacks or holds empty; with it, they are counted among the unreadable files.
    """
    root = _root(source)
    labels_file = labels_path(root, source.split)
    table = read_labels(labels_file)
    unexpected = [f"{source.split}/{file}" for file in _unexpected(root, source.split, set(table["file"]))]
    table["file"] = source.split + "/" + table["file"]
    listing = make_listing(table.assign(image_id=table["file"]), root, labels_file, unexpected)
    if not source.allow_missing:
        _refuse_partial(listing, table, root / source.split)
    return listing


def _refuse_partial(listing: Listing, table: pd.DataFrame, folder: Path) -> None:
    """Files that are missing, or were made but never filled, speak of an unfinished download."""
    names = {
        kind: [problem["file"] for problem in listing.unreadable if problem["reason"].startswith(kind)]
        for kind in ("missing", "empty file")
    }
    of_all = f" of the {listing.expected:,} images in {listing.labels_file.name}"
    problems = [
        f"{len(files):,}{of_all} are {kind.removesuffix(' file')}, the first is {files[0]}"
        for kind, files in names.items()
        if files
    ]
    if problems:
        raise InputError(
            f"{folder}: {'; '.join(problems)}; add them, or set `allow_missing: true` to go on without them"
            + _whose(table, names)
        )


def _whose(table: pd.DataFrame, names: dict[str, list[str]]) -> str:
    """Which sources the absent files are of, and where those are had from."""
    absent = table[table["file"].isin([file for files in names.values() for file in files])]
    counts = absent["source"].value_counts().items()
    return "".join(f"\n  {count:,} of {name}: {SOURCES.get(name, 'unknown')}" for name, count in counts)


def _root(source: CovidxSource) -> Path:
    root = Path(source.folder)
    if not is_folder(root):
        raise InputError(f"{root}: no such folder; expected a COVIDx V8B tree with train/, test/ and label files")
    return root


def _unexpected(root: Path, split: str, listed: set[str]) -> tuple[str, ...]:
    return tuple(file for file in files_under(root / split) if file not in listed)


def _problem(root: Path, file: str) -> str:
    """Why a file is no whole image, as far as its header and end tell; empty if it seems to be one."""
    try:
        with open_inside(root, file) as opened:
            check_ends(opened)
    except (Refused, UnreadableImage) as error:
        return str(error)
    return ""


def _described(table: pd.DataFrame) -> str:
    patients = patient_counts(table)
    images = ", ".join(f"{(table['label'] == label).sum():,} {label}" for label in reversed(LABELS))
    text = f"{len(table):,} images ({images}) of {patients['distinct']:,} patients"
    if patients["both_labels"]:
        total = sum(patients["by_label"].values())
        text += f", {patients['both_labels']:,} of them with both labels"
        text += f" (counted under each label, as Schaudt et al. 2021 do, {total:,})"
    return text


def _listed(files: dict[str, str]) -> str:
    """`84: a.png, b.png, c.png and 81 more`, with reasons where there are any."""
    if not files:
        return "none"
    named = [f"{file} ({reason})" if reason else file for file, reason in list(files.items())[:NAMED_EXAMPLES]]
    more = f" and {len(files) - len(named):,} more" if len(files) > len(named) else ""
    return f"{len(files):,}: {', '.join(named)}{more}"
