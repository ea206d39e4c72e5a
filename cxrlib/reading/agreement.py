"""What was answered: one tidy row per reader and task, the truth beside it, from the events of a reading.

Practice is left out, an answer taken back counts as not given, and of several answers of one reader to one task the
first counts. What is not of this protocol (another hash, an unknown task, an answer that is no choice) is left out and
said in the log. People and programs are never put into one table.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cxrlib.errors import InputError
from cxrlib.reading.compared import COMPARED
from cxrlib.reading.events import SIMULATED, current_answers, is_simulated
from cxrlib.reading.protocol import Protocol
from cxrlib.reading.questions import ABOUT, ORIGIN_STEPS, QUESTIONS_OF_ALL, checked_answers
from cxrlib.reading.session import LONGEST_SECONDS
from cxrlib.study import Study

logger = logging.getLogger(__name__)

PEOPLE, PROGRAMS = "readers", "simulated readers"
# In tables of results: all readers of a group together, and what was asked.
ALL = "all"
ORIGIN, SIDES, LABEL = "real or synthetic", "which of two is synthetic", "label"
# Who answered what, and when.
COMMON = (
    "reader", "simulated", "block", "task_id", "case_id", "repeat", "kind", "label", "seconds", "time", "session",
)  # fmt: skip
ANSWERS = (
    "film_id", "origin", "diagnosis", "confidence", "step", "read_origin", "realism", "usable", "artefacts", "comment",
    "right_answer", "answer",
)  # fmt: skip
# What readers told of themselves before the first film.
EXPERIENCE = tuple(question.name for question in ABOUT["experience"])


def simulated_names(study: Study) -> tuple[str, ...]:
    """The names of the study's simulated readers."""
    return tuple(f"{SIMULATED}{number}" for number in range(1, study.review.simulated_readers + 1))


def readings(events: Sequence[dict[str, Any]], protocol: Protocol) -> pd.DataFrame:
    """One row per reader and task, in the order in which they were given; `events` as from `read_events`.

    Columns of every block: reader, simulated, block, task_id, case_id (the task in which the film was first shown),
    repeat, kind (blocks C and D: what the pair is), label, seconds, time, session. Block A: film_id, origin, diagnosis,
    confidence (1–5), step (1 surely synthetic … 6 surely real), read_origin ("real" or "synthetic"), realism (1–5),
    usable ("yes" or "no"), artefacts (list of tag, x, y), comment. Blocks B and C: right_answer (empty where there is
    none), answer. Block D: answer is the generator whose film was chosen, of the two that kind names. What does not
    concern a block is missing there. Last speciality, years and films_a_week, as the reader told, empty where not.
    """
    tasks = {row["task_id"]: row for row in protocol.task_list.to_dict("records")}
    rows = [_row(event, tasks, protocol) for event in current_answers(events)]
    foreign = sum(row is None for row in rows)
    if foreign:
        logger.warning("%s: %d answers are not of this protocol and were left out", protocol.folder, foreign)
    table = pd.DataFrame([row for row in rows if row], columns=[*COMMON, *ANSWERS])
    told = told_of_readers(events)
    return table.assign(
        **{name: [told.get(reader, {}).get(name, "") for reader in table["reader"]] for name in EXPERIENCE}
    )


def told_of_readers(events: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """What each reader said last of himself or herself and of the screen, by question."""
    told: dict[str, dict[str, str]] = {}
    for event in events:
        if event["event"] == "about":
            answers = {name: str(value) for name, value in event["answers"].items()}
            told.setdefault(event["reader"], {}).update(answers)
    return told


def _row(event: Mapping[str, Any], tasks: Mapping[str, Mapping[str, str]], protocol: Protocol) -> dict[str, Any] | None:
    """The row of an answer; empty for practice, None for what is not of this protocol."""
    task = tasks.get(str(event.get("task_id")))
    if task is None or event.get("protocol_sha256") != protocol.sha256:
        return None
    if task["practice"] == "yes":
        return {}
    row = {
        "reader": event["reader"],
        "simulated": is_simulated(event["reader"]),
        "block": task["block"],
        "task_id": task["task_id"],
        "case_id": task["repeat_of"] or task["task_id"],
        "repeat": bool(task["repeat_of"]),
        "kind": task["kind"],
        "label": task["label"],
        "time": event.get("time"),
        "session": event.get("session"),
    }
    try:
        given = checked_answers(QUESTIONS_OF_ALL[task["block"]], event["answers"])
    except InputError:
        return None
    answered = _single(given, task, protocol) if task["block"] == "A" else _pair(given, task, protocol)
    return row | {"seconds": _seconds(event["seconds"])} | answered


def _seconds(value: float) -> float:
    """Time on a film, bounded as it is now when it is stored; not a number where a log holds none that can be one."""
    return float(min(value, LONGEST_SECONDS)) if value > 0 else float("nan")


def _single(given: Mapping[str, Any], task: Mapping[str, str], protocol: Protocol) -> dict[str, Any]:
    step = ORIGIN_STEPS.index(given["origin"]) + 1
    return {
        "film_id": task["left_film"],
        "origin": protocol.truth[task["left_film"]]["origin"],
        "diagnosis": given["diagnosis"],
        "confidence": int(given["confidence"]),
        "step": step,
        "read_origin": "synthetic" if step <= len(ORIGIN_STEPS) // 2 else "real",
        "realism": int(given["realism"]),
        "usable": given["usable"],
        "artefacts": [dict(tag) for tag in given.get("artefacts") or []],
        "comment": given.get("comment") or "",
    }


def _pair(given: Mapping[str, Any], task: Mapping[str, str], protocol: Protocol) -> dict[str, Any]:
    if task["block"] == "D":
        shown = protocol.truth[task[f"{given['more_real']}_film"]]["fold"]
        return {"answer": shown.removeprefix(COMPARED), "confidence": None}
    name = "synthetic_side" if task["block"] == "B" else "same_patient"
    confidence = int(given["confidence"]) if task["block"] == "B" else None
    return {"right_answer": task["right_answer"], "answer": given[name], "confidence": confidence}


def groups_of(answers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of people and those of programs, each where there are any; never both in one table."""
    simulated = answers["simulated"].astype(bool)
    parts = {PEOPLE: answers[~simulated], PROGRAMS: answers[simulated]}
    return {name: part.reset_index(drop=True) for name, part in parts.items() if len(part)}
