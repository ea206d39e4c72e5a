"""A tiny study whose report is killed at random moments: `python hammered_study.py FOLDER SIGKILLS SIGTERMS`.

Prints, as JSON, how often a process outlived its report, how often the lock was free while one lived, how often a
finished model was made again, and whether the predictions are those of a study that nobody killed. What was finished
and is no model (tables, chapters, the book) is removed now and then, so that their making, too, is killed.
"""

import contextlib
import fcntl
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import toys
from conftest import write_study

from cxrlib.artifacts import CHAPTERS
from cxrlib.study import load_study

SECONDS_TO_END = 10
MADE_AGAIN = ("tables/tables.json", "tables/quality.json", "chapters/01_data.json", "chapters/05_results.ipynb")


def start(study):
    command = [sys.executable, "-m", "cxrlib.cli", "report", str(study.file), "--cores", "2"]
    return subprocess.Popen(
        command, env=toys.ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=study.root
    )


def finish(study):
    process = start(study)
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(output)
    return output


def is_free(path):
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def alive(processes):
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            # One that is ending has no memory any more, and can't write.
            if process.memory_info().rss > 0:
                found.append(process)
    return found


def holders(path):
    """Ids of the processes that hold a lock on a file; one that waits for it, or has not asked yet, writes nothing."""
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    inode = path.stat().st_ino
    return {int(row[4]) for row in rows if row[1] == "FLOCK" and int(row[5].rpartition(":")[2]) == inode}


def kill(study, process, number):
    """End a report; how many processes outlived it, and whether the lock was free while a job lived that held it."""
    below = psutil.Process(process.pid).children(recursive=True)
    lock = study.results.root / ".jobs"
    jobs = [child for child in below if child.pid in holders(lock)] if lock.exists() else []
    process.send_signal(number)
    freed_early, until = 0, time.monotonic() + SECONDS_TO_END
    while time.monotonic() < until and (process.poll() is None or alive(below)):
        free = is_free(lock)
        freed_early |= int(free and bool(alive(jobs)))
        time.sleep(0.02)
    process.communicate()
    return len(alive(below)), freed_early


def made_ready(root):
    """A study of its own, with small chapters, so that kills fall on everything."""
    study = load_study(write_study(root, classifier={"arms": ["baseline", "synthetic"]}))
    toys.register()
    for name in CHAPTERS:
        figure = {**toys.FIGURE["figure"], "name": f"fig-{name}"}
        toys.write_chapter(root, name, captions={**toys.FIGURE, "figure": figure})
    return study


def hammer(root, kills, terms):
    began = time.monotonic()
    whole, study = made_ready(root / "whole"), made_ready(root / "killed")
    finish(whole)
    seconds = time.monotonic() - began
    told, moments = Counter(), random.Random(2021)
    signals = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    moments.shuffle(signals)
    for number in signals:
        before, process = toys.models(study), start(study)
        try:
            process.wait(moments.uniform(1, seconds / 4))
            told["reports that ended before they were killed"] += 1
            process.communicate()
        except subprocess.TimeoutExpired:
            outlived, freed_early = kill(study, process, number)
            told[number.name] += 1
            told["outlived"] += outlived
            told["freed early"] += freed_early
        told["made again"] += sum(toys.models(study).get(path) != at for path, at in before.items())
        print(dict(told), file=sys.stderr, flush=True)
        if study.build_folder.joinpath("book.json").exists():
            for path in moments.sample([study.results.root / name for name in MADE_AGAIN], 2):
                path.unlink(missing_ok=True)
            shutil.rmtree(study.build_folder / "html", ignore_errors=True)
    before = toys.models(study)
    finish(study)
    told["made again"] += sum(toys.models(study).get(path) != at for path, at in before.items())
    told["temporary files"] = sum(1 for path in study.results.root.rglob(".*-????????????*") if path.is_file())
    same = toys.predictions(study) == toys.predictions(whole) and len(toys.predictions(whole)) == 2
    return {**told, "same predictions": same, "the book is there": (study.build_folder / "html/index.html").is_file(),
            "minutes": round((time.monotonic() - began) / 60, 1)}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(hammer(Path(sys.argv[1]), *map(int, sys.argv[2:4])), indent=2), flush=True)
