"""The table of a data set: one row per image, checked by a schema; and its patient-disjoint folds."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.films.settings import LABELS
from cxrlib.reproducibility import seed_for

if TYPE_CHECKING:
    import pandera.pandas as pandera

MANIFEST_COLUMNS = (
    "image_id", "file", "patient_id", "label", "source", "finding", "view", "sex", "age", "lung_mask", "fold",
)  # fmt: skip
TEXT_COLUMNS = tuple(column for column in MANIFEST_COLUMNS if column != "age")


@lru_cache
def manifest_schema() -> "pandera.DataFrameSchema":
    """Columns, types and ranges of a manifest; absent facts are empty text, an absent age is NaN."""
    import pandera.pandas as pandera

    # Files are checked by meaning, not by existence: a manifest must stay readable without its images.
    inside = pandera.Check(_inside_root, element_wise=True, error="a relative path inside the data folder")
    filled = pandera.Check.str_length(min_value=1, error="not empty")
    fold = pandera.Check.str_matches(r"^(|fold\d+)$", error="empty or fold0, fold1, …")
    checks = {
        "image_id": [filled],
        "file": [inside],
        "patient_id": [filled],
        "label": [pandera.Check.isin(LABELS, error=f"one of {', '.join(LABELS)}")],
        "sex": [pandera.Check.isin(("", "F", "M"), error="F, M or empty")],
        "lung_mask": [inside],
        "fold": [fold],
    }
    columns = {
        name: pandera.Column(str, checks.get(name), coerce=True, unique=name == "image_id") for name in TEXT_COLUMNS
    }
    age_range = pandera.Check.in_range(0, 120, error="years from 0 to 120")
    columns["age"] = pandera.Column(float, age_range, coerce=True, nullable=True)
    return pandera.DataFrameSchema({name: columns[name] for name in MANIFEST_COLUMNS}, strict=True, ordered=True)


def validate_manifest(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """The manifest with its columns' types set; raises `InputError` naming column, row and value of each problem."""
    import pandera.pandas as pandera

    try:
        checked = manifest_schema().validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise InputError(f"{where}: not a valid manifest:\n{_listed(error.failure_cases)}") from None
    folds_of_patient = checked.groupby("patient_id")["fold"].nunique()
    straddling = list(folds_of_patient.index[folds_of_patient > 1])
    if straddling:
        raise InputError(
            f"{where}: patient {straddling[0]} has images in several folds ({len(straddling)} such patients); "
            "each patient's images belong to one fold"
        )
    return checked


def read_manifest_csv(path: Path) -> pd.DataFrame:
    """A manifest from disk, validated; raises `InputError` if the file is missing, damaged or not a manifest."""
    table = read_text_table(path)
    if "finding" not in table and "source" in table:
        # Films simulated before findings were kept: they have none, so there is no need to make them again.
        table.insert(table.columns.get_loc("source") + 1, "finding", "")
    return validate_manifest(table, str(path)).reset_index(drop=True)


def read_text_table(path: Path) -> pd.DataFrame:
    """A CSV file with every cell as text, empty where absent; `age` as a number."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a table with one row per image") from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a readable CSV table: {' '.join(str(error).split())}") from None
    if "age" in table:
        numbers = pd.to_numeric(table["age"].str.strip().replace("", None), errors="coerce")
        wrong = table.index[numbers.isna() & (table["age"].str.strip() != "")]
        if len(wrong):
            raise InputError(f"{path}: row {wrong[0] + 2}: age: found `{table['age'][wrong[0]]}`, expected years")
        table["age"] = numbers.astype(float)
    return table


def assign_folds(manifest: pd.DataFrame, folds: int, seed: int) -> pd.DataFrame:
    """Fill `fold` with fold0 … so that no patient straddles folds and labels spread evenly over images.

    Deterministic in `seed`. Raises `InputError` where a label has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    problem = fold_problem(manifest, folds)
    if problem:
        raise InputError(problem)
    patients = manifest["patient_id"].to_numpy()
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed_for(seed, "folds") % 2**32)
    fold = pd.Series("", index=manifest.index)
    for number, (_, test) in enumerate(splitter.split(patients, manifest["label"].to_numpy(), patients)):
        fold.iloc[test] = f"fold{number}"
    assigned = manifest.assign(fold=fold)
    if assigned.groupby("fold")["label"].nunique().min() < len(LABELS):
        raise InputError(f"folds: {folds} folds leave one fold with a single label; lower `data.folds`")
    return assigned


def fold_problem(manifest: pd.DataFrame, folds: int) -> str:
    """Why this manifest can't be split into so many folds; empty if it can."""
    for label in LABELS:
        patients = manifest.loc[manifest["label"] == label, "patient_id"].nunique()
        if patients < folds:
            return (
                f"folds: {folds} folds need at least {folds} hospital patients of each label, but {label} has "
                f"{patients}; lower `data.folds` or add patients"
            )
    return ""


def _inside_root(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return not path.startswith(("/", "\\")) and ".." not in parts and not parts[0].endswith(":")


def _listed(failures: pd.DataFrame) -> str:
    """At most ten problems, one a line."""
    lines = []
    for failure in failures.head(10).itertuples():
        row = "" if pd.isna(failure.index) else f", row {int(failure.index) + 1}"
        lines.append(f"  {failure.column}{row}: found {failure.failure_case!r}; expected: {failure.check}")
    more = len(failures) - len(lines)
    return "\n".join(lines + ([f"  and {more} more"] if more else []))
