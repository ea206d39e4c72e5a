"""What a person decided of films that a header or a picture left in doubt."""

from pathlib import Path

from cxrlib.errors import InputError
from cxrlib.films.label_table import read_label_table

USE_OR_SKIP = {"use": True, "used": True, "yes": True, "skip": False, "skipped": False, "no": False}


def read_decisions(file: Path) -> dict[str, bool]:
    """{image id: whether it is used} of a table with the columns `image_id` and `decision` (use or skip).

    Raises `InputError` for a table without them, and for another decision.
    """
    table = read_label_table(file.parent, file.name)
    if not {"image_id", "decision"} <= set(table.columns):
        raise InputError(f"{file}: found the columns {', '.join(table.columns)}; expected image_id and decision")
    decided = table[table["decision"] != ""]
    wrong = decided.index[~decided["decision"].str.lower().isin(USE_OR_SKIP)]
    if len(wrong):
        raise InputError(
            f"{file}: row {wrong[0]}: decision: found `{decided['decision'][wrong[0]]}`, expected use or skip"
        )
    return dict(zip(decided["image_id"], decided["decision"].str.lower().map(USE_OR_SKIP), strict=True))
