"""The log of the holdout: which finished model opened the hospital's films, when, and what was decided before."""

import csv
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxrlib.files import append_log
from cxrlib.kept import keep, restore

OTHER_FOLDS = "hospital, other folds"
logger = logging.getLogger(__name__)


def record_opening(
    path: Path, model_sha256: str, films: int, role: str, *, threshold_validation: float, temperature: float
) -> None:
    """Add a line to the log and wait until the disk has it; to be called before the role's films are read."""
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "model_sha256": model_sha256,
        "role": role,
        "films": films,
        "threshold_validation": threshold_validation,
        "temperature": temperature,
    }
    _append(path, row)
    logger.info("%s: %d %s films are opened, after the last epoch, to be predicted once", path.parent, films, role)


def record_training_use(path: Path, films: int) -> None:
    """Add a line that so many hospital films, of patients outside the fold, are read to learn from; no model is there
    yet, nothing is decided, and no film under test is among them."""
    empty = dict.fromkeys(("model_sha256", "role", "films", "threshold_validation", "temperature"), "")
    facts = {"role": OTHER_FOLDS, "films": films}
    _append(path, {"time": datetime.now(UTC).isoformat(timespec="seconds"), **empty, **facts})
    logger.info("%s: %d hospital films of other folds are opened, to be learned from", path.parent, films)


def _append(path: Path, row: Mapping[str, Any]) -> None:
    restore([path])
    append_log(path, row, durable=True)
    keep(path)


def count_openings(path: Path) -> int:
    """How often the hospital's films under test were opened by models of this arm, seed and fold."""
    restore([path])
    if not path.exists():
        return 0
    with open(path, newline="", encoding="utf-8") as file:
        return sum(row["role"] == "hospital" for row in csv.DictReader(file))
