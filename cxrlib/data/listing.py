"""What a reader finds: the rows of a data set, and the files that can't be used, each with the reason."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cxrlib.data.manifest import MANIFEST_COLUMNS, validate_manifest


@dataclass(frozen=True)
class Listing:
    """Rows as in a manifest, their files under `root`, and `unreadable`: {"file", "reason"} of those left out.

    `labels_file` is the table that was read; its hash is an input of the prepared images.
    """

    manifest: pd.DataFrame
    root: Path
    labels_file: Path
    unreadable: list[dict[str, str]] = field(default_factory=list)


def make_listing(rows: pd.DataFrame, root: Path, labels_file: Path) -> Listing:
    """Complete the manifest's columns, validate it, and set aside the files that must not or can't be opened."""
    rows = rows.reindex(columns=list(MANIFEST_COLUMNS), fill_value="").reset_index(drop=True)
    rows["age"] = pd.to_numeric(rows["age"], errors="coerce").astype(float)
    refused = {file: reason for file in rows["file"] if (reason := refusal(root, file))}
    unsafe = rows["lung_mask"].map(lambda file: bool(file and refusal(root, file)))
    rows.loc[unsafe, "lung_mask"] = ""
    kept = rows[~rows["file"].isin(refused)].reset_index(drop=True)
    unreadable = [{"file": file, "reason": reason} for file, reason in refused.items()]
    return Listing(validate_manifest(kept, str(labels_file)), root, labels_file, unreadable)


def refusal(root: Path, file: str) -> str:
    """Why a file named in a table is not opened; empty if it may be.

    Names that lead out of the data folder are never followed, whether by `..`, an absolute path or a link.
    """
    path = Path(file)
    if not file or "\0" in file:
        return "no file name"
    if path.is_absolute() or ".." in path.parts:
        return "refused: leads out of the data folder"
    whole = root / path
    try:
        if not whole.resolve().is_relative_to(root.resolve()):
            return "refused: a link that leads out of the data folder"
        if not whole.exists():
            return "missing"
        if not whole.is_file():
            return "not a file"
        return "empty file (0 bytes)" if whole.stat().st_size == 0 else ""
    except (OSError, RuntimeError, ValueError) as error:
        return f"can't be opened: {error}"
