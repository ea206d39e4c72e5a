"""Twelve readers at once: how long each waits for the next film, and how much memory the server takes for each.

`cxr review` runs in a process of its own; readers are web sockets of this one, which answer as fast as they are
answered, each through a whole reading, all at the same time. A wait counts from the answer to the acknowledgement with
the next film on the way. The claim: 300 ms at the 95th percentile, and 60 MB of memory for a reader.

    python benchmarks/reading_server.py
    python benchmarks/reading_server.py --readers 24

Writes benchmarks/results/reading_server.json.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from cxrlib.files import write_json
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY

# A server and a study to read are the same here as in the tests.
sys.path.insert(0, str(REPOSITORY / "tests"))
import conftest
from reading_browser import study_to_read
from served_reading import Server, serving

RESULT = REPOSITORY / "benchmarks" / "results" / "reading_server.json"
GOAL_MS, GOAL_MB = 300, 60


async def read_all(server: Server, name: str, waits: list[float]) -> None:
    """One reader, from the name to the last answer."""
    port = server.root.rstrip("/").rpartition(":")[2]
    headers = {"Cookie": f"cxr-reading-{port}={server.token}", "Origin": server.root.rstrip("/")}
    socket = await websocket_connect(HTTPRequest(server.root.replace("http", "ws", 1) + "talk", headers=headers))

    async def said(*kinds: str) -> dict:
        while True:
            message = await socket.read_message()
            if isinstance(message, str) and (content := json.loads(message))["kind"] in kinds:
                return content

    async def say(**content: object) -> None:
        await socket.write_message(json.dumps(content))

    await say(kind="name", name=name, sure=True)
    await said("reader")
    await say(kind="ready", screen={})
    content = await said("about", "task")
    while content["kind"] == "about":
        answers = {question["name"]: question["choices"][0] for question in content["questions"]}
        await say(kind="about", name=content["name"], answers=answers)
        content = await said("about", "task")
    task = content["task"]
    while task is not None:
        answers = {question["name"]: question["choices"][0] for question in task["questions"] if question["required"]}
        began = time.perf_counter()
        await say(kind="answer", task_id=task["task_id"], answers=answers, seconds=3, submission=task["task_id"])
        await said("stored")
        waits.append(1000 * (time.perf_counter() - began))
        await say(kind="ready", screen={})
        content = await said("task", "finished")
        task = content.get("task")
    socket.close()


async def all_at_once(server: Server, readers: int) -> list[float]:
    waits: list[float] = []
    await asyncio.gather(*(read_all(server, f"reader{number}", waits) for number in range(readers)))
    return waits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=12)
    readers = parser.parse_args().readers
    with tempfile.TemporaryDirectory() as folder:
        study = study_to_read(conftest.write_study, Path(folder))
        with serving(study.file, cwd=folder) as server:
            process = psutil.Process(server.process.pid)
            before = process.memory_info().rss
            waits = asyncio.run(all_at_once(server, readers))
            added = (process.memory_info().rss - before) / readers / 2**20
    facts = {
        "readers": readers,
        "answers": len(waits),
        "wait_ms_median": round(float(np.median(waits)), 1),
        "wait_ms_95th_percentile": round(float(np.quantile(waits, 0.95)), 1),
        "server_mb_before": round(before / 2**20, 1),
        "added_mb_per_reader": round(added, 2),
        # Of the whole machine: much more than its processors means that others were using it.
        "load_average": round(os.getloadavg()[0], 1),
        "goal_ms": GOAL_MS,
        "goal_mb_per_reader": GOAL_MB,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "provenance": provenance(REPOSITORY),
    }
    write_json(RESULT, facts)
    print(json.dumps({name: value for name, value in facts.items() if name != "provenance"}, indent=2))


if __name__ == "__main__":
    main()
