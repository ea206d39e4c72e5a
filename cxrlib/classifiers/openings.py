"""The log of the holdout: which finished model opened the hospital's films, when, and what was decided before."""

import csv
import logging
from datetime import UTC, datetime
from pathlib import Path

from cxrlib.files import append_log
from cxrlib.kept import keep, restore

COLUMNS = ("time", "model_sha256", "role", "films", "threshold_validation", "temperature")
OTHER_FOLDS = "hospital, other folds"
logger = logging.getLogger(__name__)


def record_opening(
    path: Path, model_sha256: str, films: int, role: str, *, threshold_validation: float, temperature: float
) -> None:
    """Add a line to the log and wait until the disk has it; to be called before the role's films are read."""
    _append(path, model_sha256, role, films, threshold_validation, temperature)
    logger.info("%s: %d %s films are opened, after the last epoch, to be predicted once", path.parent, films, role)


def record_training_use(path: Path, films: int) -> None:
    """Add a line that so many hospital films, of patients outside the fold, are read to learn from; no model is there
    yet, nothing is decided, and no film under test is among them."""
    _append(path, "", OTHER_FOLDS, films, "", "")
    logger.info("%s: %d hospital films of other folds are opened, to be learned from", path.parent, films)


def _append(path: Path, *values: object) -> None:
    restore([path])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append_log(path, dict(zip(COLUMNS, (now, *values), strict=True)), durable=True)
    keep(path)


def count_openings(path: Path) -> int:
    """How often the hospital's films under test were opened by models of this arm, seed and fold."""
    restore([path])
    if not path.exists():
        return 0
    with open(path, newline="", encoding="utf-8") as file:
        return sum(row["role"] == "hospital" for row in csv.DictReader(file))
