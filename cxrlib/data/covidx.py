"""Reader of a COVIDx V8B tree (Wang et al. 2020): the official label files beside the folders `train` and `test`."""

from pathlib import Path
from typing import Literal

import pandas as pd

from cxrlib.data.listing import Listing, make_listing
from cxrlib.data.settings import LABELS, CovidxSource
from cxrlib.errors import InputError


def read_labels(path: Path) -> pd.DataFrame:
    """An official label file as columns patient_id, file, label, source.

    Lines hold `patient file label source`, separated by spaces, and are read from the right: 943 patient ids of V8B
    contain a space (`COVID 1 COVID(1).png positive sirm`). Raises `InputError` naming file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected an official label file of COVIDx V8B") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read: {error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.strip().rsplit(" ", 3)
        if len(fields) != 4 or fields[2] not in LABELS:
            raise InputError(
                f"{path}: line {number}: found `{line.strip()}`, expected `patient file label source` with the label "
                f"{' or '.join(LABELS)}"
            )
        rows.append(fields)
    table = pd.DataFrame(rows, columns=["patient_id", "file", "label", "source"], dtype=str)
    twice = table["file"][table["file"].duplicated()]
    if len(twice):
        raise InputError(f"{path}: `{twice.iloc[0]}` is listed twice ({len(twice)} such files); list each image once")
    return table


def labels_path(folder: Path, split: Literal["train", "test"]) -> Path:
    return folder / f"{split}_COVIDx8B.txt"


def read_covidx(source: CovidxSource) -> Listing:
    """List one split of COVIDx V8B; no pixel is decoded.

    Raises `InputError` for a missing folder or label file and, unless `allow_missing`, for images that the label file
    names but the folder lacks; with it, they are counted among the unreadable files.
    """
    root = Path(source.folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a COVIDx V8B tree with train/, test/ and label files")
    labels_file = labels_path(root, source.split)
    table = read_labels(labels_file)
    table["file"] = source.split + "/" + table["file"]
    listing = make_listing(table.assign(image_id=table["file"]), root, labels_file)
    missing = [problem["file"] for problem in listing.unreadable if problem["reason"] == "missing"]
    if missing and not source.allow_missing:
        raise InputError(
            f"{root / source.split}: {len(missing):,} of the {len(table):,} images in {labels_file.name} are missing, "
            f"the first is {missing[0]}; add them, or set `allow_missing: true` to go on without them"
        )
    return listing
