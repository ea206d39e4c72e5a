"""Synthetic films that readers rejected: decided once, before any classifier is trained, and left out of training.

A film is rejected if more than half of the people who saw it among the single films called it not usable. Films that
nobody saw, and those of other folds' generators, can't be rejected. Simulated readers have no say.
"""

import logging
import time
from typing import Any

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.files import read_json, sha256_of, write_csv
from cxrlib.films.settings import LABELS
from cxrlib.finished import makes
from cxrlib.reading.agreement import readings
from cxrlib.reading.events import read_events
from cxrlib.reading.protocol import Protocol, prepare_protocol, reading_fold
from cxrlib.records import is_finished, write_record
from cxrlib.study import Study

logger = logging.getLogger(__name__)

RULE = "called not usable by more than half of the people who saw it"


@makes("rejected_films")
def freeze_rejected(study: Study, *, force: bool = False) -> dict[str, Any]:
    """Write `review/<protocol>/rejected.csv` and return its record, `rejected.json`.

    What was decided stays: answers that come later change nothing unless with `force` (classifiers must then be made
    afresh too). Raises `InputError` if `synthesis.exclude_rejected` is off, or if no person has read every single film.
    """
    if not study.synthesis.exclude_rejected:
        raise InputError(f"{study.name}: synthesis.exclude_rejected is false, so no film is left out; set it to true")
    started = time.perf_counter()
    protocol = prepare_protocol(study)
    record = study.results.rejected_record(study.review.protocol)
    inputs = {"protocol_sha256": protocol.sha256}
    if is_finished(record, {"rule": RULE}, inputs, force):
        return read_json(record)
    answers = readings(read_events(protocol.folder), protocol)
    single = answers[(answers["block"] == "A") & ~answers["simulated"].astype(bool) & ~answers["repeat"].astype(bool)]
    given = single.groupby("reader").size()
    _check_finished(study, protocol, given)
    rejected = rejected_films(single, protocol)
    path, fold = study.results.rejected(study.review.protocol), reading_fold(study)
    write_csv(path, rejected, private=True)
    synthetic = single[single["origin"] == "synthetic"]
    facts = {
        "fold": fold,
        "readers": len(given),
        "films_read": {label: _films(synthetic, label) for label in LABELS},
        "films_rejected": {label: int((rejected["label"] == label).sum()) for label in LABELS},
        "rejected_sha256": sha256_of(path),
    }
    write_record(record, {"rule": RULE}, inputs, time.perf_counter() - started, outputs=[path], **facts)
    logger.info("%s: %d synthetic films rejected by %d readers", study.name, len(rejected), len(given))
    return read_json(record)


def _films(single: pd.DataFrame, label: str) -> int:
    return int(single[single["label"] == label]["film_id"].nunique())


def _check_finished(study: Study, protocol: Protocol, given: pd.Series) -> None:
    tasks = protocol.task_list
    films = int(((tasks["block"] == "A") & (tasks["practice"] == "no") & (tasks["repeat_of"] == "")).sum())
    if not (given == films).any():
        most = f"the furthest has read {given.max()} of {films} single films" if len(given) else "nobody has read yet"
        raise InputError(
            f"{study.name}: synthesis.exclude_rejected is true, but {most}; read them (`cxr review {study.name}`) and "
            f"go on with `cxr report {study.name}`, or set exclude_rejected to false"
        )


def rejected_films(single: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """The rejected films: label, fold, image_id, readers (who saw it), against; `single` are first answers of people to
    single films, as from `readings`."""
    rows = []
    for film_id, part in single[single["origin"] == "synthetic"].groupby("film_id"):
        against = int((part["usable"] == "no").sum())
        if 2 * against > len(part):
            film = protocol.truth[str(film_id)]
            rows.append((film["label"], film["fold"], film["image_id"], len(part), against))
    table = pd.DataFrame(rows, columns=["label", "fold", "image_id", "readers", "against"])
    return table.sort_values(["label", "fold", "image_id"]).reset_index(drop=True)
