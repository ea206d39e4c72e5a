"""The primary endpoint: declared in the study file, frozen before a hospital film is opened."""

import hashlib
import json
import logging
from datetime import UTC, datetime
from typing import Any

from cxrlib.errors import InputError
from cxrlib.files import read_json, write_json
from cxrlib.kept import keep, restore
from cxrlib.study import Study

logger = logging.getLogger(__name__)
DECLARED = ("arm", "reference", "measures")


def freeze_endpoint(study: Study) -> dict[str, Any]:
    """Write `endpoint.json`, unless it is there, and return it: what was declared, its SHA-256, when, and whether any
    model had opened the hospital's films by then.

    Until a hospital film is opened the declaration may change. Afterwards another one raises `InputError`, also with
    `--force`: whoever chooses the endpoint after seeing results can always find one that looks well. A study that lacks
    the arms of the usual endpoint has none (`sha256` is empty); one that loses them later keeps what was frozen, and
    one that gets them later has declared too late.
    """
    file, endpoint = study.results.endpoint, study.endpoint
    wanted = endpoint.model_dump(mode="json") if endpoint else dict.fromkeys(DECLARED)
    opened = any(study.results.root.glob("classifier/*/*/*/openings.csv"))
    restore([file])
    if file.exists():
        frozen = read_json(file)
        if endpoint is None or {key: frozen[key] for key in DECLARED} == wanted:
            return frozen
        if opened and frozen["arm"]:
            raise InputError(
                f"{study.file or study.name}: primary_endpoint: found {_in_words(wanted)}, but the hospital's films "
                f"were opened under another one, {_in_words(frozen)}, frozen on {frozen['time'][:10]}. An endpoint "
                "can't be chosen after the results: put the old one back, or give the study another name"
            )
        logger.info("%s: the primary endpoint is declared anew, before any hospital film was opened", file)
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest() if endpoint else ""
    content = wanted | {"sha256": digest, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    write_json(file, content | {"declared_before_opening": not opened})
    keep(file)
    return read_json(file)


def _in_words(declared: dict[str, Any]) -> str:
    if not declared["arm"]:
        return "none"
    return f"{' and '.join(declared['measures'])} of {declared['arm']} against {declared['reference']}"
