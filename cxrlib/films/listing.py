"""What a reader finds: the rows of a data set, and the files that can't be used, each with the reason."""

import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cxrlib.films.containment import refusal
from cxrlib.films.manifest import MANIFEST_COLUMNS, validate_manifest

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".gif", ".webp")
# What `cxr import-dicom` leaves beside the images and their labels.
IMPORT_TABLE, CONTACT_SHEETS = "import.csv", "borders"


@dataclass(frozen=True)
class Listing:
    """Rows as in a manifest, their files under `root`, and `unreadable`: {"file", "reason"} of those left out.

    `labels_file` is the table that was read, or `root` where folders are named by label; its hash is an input of the
    prepared images. `unexpected` are files that
    lie among the images though the table does not name them; `expected_by_label` counts what it does name.
    """

    manifest: pd.DataFrame
    root: Path
    labels_file: Path
    unreadable: list[dict[str, str]] = field(default_factory=list)
    unexpected: tuple[str, ...] = ()
    expected_by_label: Mapping[str, int] = field(default_factory=dict)

    @property
    def expected(self) -> int:
        """How many images the table names."""
        return len(self.manifest) + len(self.unreadable)


def make_listing(rows: pd.DataFrame, root: Path, labels_file: Path, unexpected: Collection[str] = ()) -> Listing:
    """Complete the manifest's columns, validate it, and set aside the files that must not or can't be opened."""
    rows = rows.reindex(columns=list(MANIFEST_COLUMNS), fill_value="").reset_index(drop=True)
    rows["age"] = pd.to_numeric(rows["age"], errors="coerce").astype(float)
    refused = {file: reason for file in rows["file"] if (reason := refusal(root, file))}
    unsafe = rows["lung_mask"].map(lambda file: bool(file and refusal(root, file)))
    rows.loc[unsafe, "lung_mask"] = ""
    kept = rows[~rows["file"].isin(refused)].reset_index(drop=True)
    unreadable = [{"file": file, "reason": reason} for file, reason in refused.items()]
    named = rows["label"].value_counts().to_dict()
    return Listing(validate_manifest(kept, str(labels_file)), root, labels_file, unreadable, tuple(unexpected), named)


def is_folder(root: Path) -> bool:
    """False also for names that no system can have."""
    try:
        return root.is_dir()
    except (OSError, ValueError):
        return False


def unlisted_images(root: Path, named: Collection[str]) -> list[str]:
    """Image files under `root`, by their suffix, that are not among the `named` (relative to `root`).

    The contact sheets of a DICOM import are no films, and expected.
    """
    sheets = f"{CONTACT_SHEETS}{os.sep}" if (root / IMPORT_TABLE).is_file() else None
    images = (file for file in files_under(root) if file.lower().endswith(IMAGE_SUFFIXES) and file not in named)
    return [file for file in images if not (sheets and file.startswith(sheets))]


def by_unique_suffix(names: Collection[str], files: Collection[str]) -> dict[str, str]:
    """{name: the file it stands for}: base names, and paths of another machine, by the longest end that they share.

    Only names that fit one file, whatever their case and Unicode's form. `\\` separates folders as `/` does.
    """
    by_base: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for file in files:
        parts = path_parts(file)
        by_base.setdefault(parts[-1] if parts else "", []).append((parts, file))
    found = {}
    for name in names:
        wanted = path_parts(name)
        near = by_base.get(wanted[-1], []) if wanted else []
        fits = [file for parts, file in near if ends_alike(parts, wanted)]
        if len(fits) == 1:
            found[name] = fits[0]
    return found


def ends_alike(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether the shorter of two paths is the end of the longer."""
    shorter = min(len(first), len(second))
    return first[-shorter:] == second[-shorter:]


def path_parts(path: str) -> tuple[str, ...]:
    """Folders and name of a path, of any machine, as they are compared."""
    parts = unicodedata.normalize("NFC", path).casefold().replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", "."))


def files_under(root: Path) -> Iterator[str]:
    """Names of all files below a folder, relative to it and in order. Links to folders are not followed."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        inner = Path(folder).relative_to(root)
        yield from (str(inner / file) for file in sorted(files))


def kind_of(reason: str) -> str:
    """What reasons for leaving files out are counted by: their words before a colon."""
    return reason.partition(":")[0]
