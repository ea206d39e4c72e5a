"""Readings by several processes, some of which are killed; a program of its own, so that forking costs milliseconds.

`python hammered_reading.py killed FOLDER` or `… readers FOLDER` prints, as JSON, what every process was told is stored:
`{reader: [task ids]}`, and how often a reader was told that another window had been first.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from small_reading import answers_to, small_protocol

from cxrlib.reading.session import AnsweredElsewhere, ReadingSession

KILLS = 100
MOST_ANSWERS_IN_A_LIFE = 5
LONGEST_WAIT_SECONDS = 0.008
READERS = ("anna", "Anna", "anna-1", "anna.k@hospital", "änna", "anna_k", "simulated1", "carla")
TASKS = 200
WINDOWS = 3


def child(work: Callable[[int], None]) -> tuple[int, int]:
    """Fork a process that works and says so through a pipe; returns its id and the pipe's reading end."""
    out, into = os.pipe()
    process = os.fork()
    if process:
        os.close(into)
        return process, out
    try:
        work(into)
    finally:
        os._exit(0)


def told(out: int, lines: int | None = None) -> list[str]:
    """The next lines that a process said; without a number, everything until its end, in whole lines."""
    said = b""
    while lines is None or said.count(b"\n") < lines:
        some = os.read(out, 1 if lines is not None else 65536)
        if not some:
            break
        said += some
    return [line.decode() for line in said.split(b"\n")[:-1]]


def answer_all(folder: Path, protocol, reader: str, into: int) -> None:
    session = ReadingSession(folder, protocol, reader)
    while (task := session.current) is not None:
        answers = {**answers_to(task), **({"comment": f"{reader}:{task.task_id}"} if task.block == "A" else {})}
        said = f"stored {task.task_id}\n"
        try:
            session.answer(task.task_id, answers, seconds=1.0)
        except AnsweredElsewhere:
            said = f"late {task.task_id}\n"
        os.write(into, said.encode())


def killed_again_and_again(folder: Path) -> dict[str, list[str]]:
    protocol, moments, stored = small_protocol(folder, films=600), random.Random(2021), []
    protocol.tasks("anna")  # So that the children find it worked out.
    for _ in range(KILLS):
        process, out = child(lambda into: answer_all(folder, protocol, "anna", into))
        stored += told(out, moments.randint(0, MOST_ANSWERS_IN_A_LIFE))
        time.sleep(moments.uniform(0, LONGEST_WAIT_SECONDS))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        stored += told(out)
        os.close(out)
    return {"anna": stored}


def readers_at_once(folder: Path) -> dict[str, list[str]]:
    protocol = small_protocol(folder, films=TASKS - 9)
    readers = [*READERS, *["in three windows"] * WINDOWS]
    children = []
    for reader in readers:
        children.append((reader, *child(lambda into, reader=reader: answer_all(folder, protocol, reader, into))))
    said: dict[str, list[str]] = {}
    for reader, process, out in children:
        said.setdefault(reader, []).extend(told(out))
        os.waitpid(process, 0)
    return said


if __name__ == "__main__":
    which = {"killed": killed_again_and_again, "readers": readers_at_once}[sys.argv[1]]
    print(json.dumps(which(Path(sys.argv[2]))))
