"""`cxr review` in a process of its own."""

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def environment(**extra: str) -> dict[str, str]:
    """This process's variables, but for those that a hub around it would set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **extra}


@contextlib.contextmanager
def serving(*arguments: str, command: tuple[str, ...] = ("-m", "cxrlib.cli", "review"), **popen) -> Iterator["Server"]:
    """`cxr review …` in a process of its own; ended by Ctrl-C, which must work."""
    process = subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=environment(), **popen,
    )  # fmt: skip
    server = Server(process)
    try:
        yield server
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, server.said()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        server.close()


class Server:
    """A running `cxr review`: its process and the address it printed."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process, self._lines = process, []
        self._found: queue.Queue = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.address = self._found.get(timeout=120)
        assert self.address, self.said()
        self.root, _, self.token = self.address.partition("?token=")

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.append(line)
            if re.match(r"http://127\.0\.0\.1:\d+/", line):
                self._found.put(line.strip())
        self._found.put("")

    def close(self) -> None:
        self._reading.join()
        self.process.stdout.close()

    def said(self) -> str:
        return "".join(self._lines)
