"""A small reading without a study: a frozen protocol of 18 tasks whose films are only names."""

import contextlib
import hashlib
import os
from pathlib import Path

import pandas as pd

from cxrlib.reading.protocol import Protocol
from cxrlib.reading.worklist import FILM_COLUMNS, TASK_COLUMNS

NOBODY = 65534


def small_protocol(folder: Path, films: int = 12) -> Protocol:
    """2 practice films, `films` single ones of which one is shown twice, 3 pairs each of blocks B and C."""
    rows, tasks = [], []

    def film(origin):
        label = ("negative", "positive")[len(rows) % 2]
        rows.append((f"film{len(rows):04d}", label, origin, "fold0", f"image{len(rows)}", ""))
        return rows[-1][0]

    def task(block, shown, practice="no", repeat_of="", answer=""):
        left, right = [*shown, ""][:2]
        tasks.append((f"task{len(tasks):04d}", block, practice, repeat_of, "kind", "positive", left, right, answer))
        return tasks[-1][0]

    for origin in ("real", "synthetic"):
        task("A", [film(origin)], practice="yes")
    singles = [task("A", [film(("real", "synthetic")[number % 2])]) for number in range(films)]
    task("A", [film("real")], repeat_of=singles[0])
    for block in "BC":
        for _ in range(3):
            task(block, [film("real"), film("synthetic")], answer="right" if block == "B" else "")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "protocol.yaml"
    record.write_text("protocol: small\n")
    worklist, task_list = pd.DataFrame(rows, columns=FILM_COLUMNS), pd.DataFrame(tasks, columns=TASK_COLUMNS)
    return Protocol(folder, worklist, task_list, hashlib.sha256(record.read_bytes()).hexdigest(), 7, {})


def answers_to(task, **changes) -> dict:
    """The first choice of every question that must be answered, with some changed where the task has them."""
    answers = {question.name: question.choices[0] for question in task.questions if question.required}
    return {**answers, **{name: value for name, value in changes.items() if name in answers}}


@contextlib.contextmanager
def as_an_ordinary_user():
    """The superuser may write anywhere; to see a refusal it has to be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
