"""Worker processes for files that nobody can trust: one that crashes or hangs a decoder costs that file only."""

import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from cxrlib.reproducibility import available_cores

Item = TypeVar("Item")

MEMORY_BYTES = 6 * 2**30
# Loaded once, in the process that workers are forked from, so that a new worker costs milliseconds.
LOADED_ONCE = ["cxrlib.intake.header", "cxrlib.intake.pixels", "cxrlib.intake.borders", "pydicom.pixels"]


@dataclass(frozen=True)
class Lost:
    """What comes back for an item whose worker ended: `slow` if it ran out of time, else it crashed."""

    slow: bool
    detail: str


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    item: Any


def run_isolated(
    function: Callable[[Item], Any], items: Iterable[Item], seconds_per_item: int, workers: int = 0
) -> Iterator[tuple[Item, Any]]:
    """Yield (item, result) as they come, from one process a core (or `workers`); at most one item each is in flight.

    An item that takes longer than `seconds_per_item`, or whose process dies, yields (item, `Lost`). An exception that
    `function` raises is raised here. `function` must be importable by name. The workers are silent: nothing that a
    decoder writes to its standard output reaches the terminal.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED_ONCE)
    remaining = iter(items)
    running: list[_Worker] = []

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, function, seconds_per_item), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours, None)

    def feed(worker: _Worker) -> None:
        """Give a worker its next item, and a new worker in place of one that died; dismiss it if none is left."""
        for item in remaining:
            if not worker.process.is_alive():
                worker.connection.close()
                worker = start()
            worker.item = item
            with contextlib.suppress(BrokenPipeError):  # it died this moment: `wait` finds that out
                worker.connection.send(item)
            running.append(worker)
            return
        _dismiss(worker)

    try:
        for _ in range(workers or available_cores()):
            item = next(remaining, None)
            if item is None:
                break
            worker = start()
            worker.item = item
            worker.connection.send(item)
            running.append(worker)
        while running:
            ready = wait([worker.connection for worker in running])
            for worker in [worker for worker in running if worker.connection in ready]:
                running.remove(worker)
                result, item = _receive(worker, seconds_per_item), worker.item
                if isinstance(result, BaseException):
                    _dismiss(worker)
                    raise result
                feed(worker)
                yield item, result
    finally:
        for worker in running:
            worker.process.kill()
            _dismiss(worker)


def _receive(worker: _Worker, seconds: int) -> Any:
    try:
        return worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode or 0
        if code == -signal.SIGALRM:
            return Lost(slow=True, detail=f"took longer than {seconds} s")
        return Lost(slow=False, detail=f"the decoder crashed (exit code {code})")


def _dismiss(worker: _Worker) -> None:
    worker.connection.close()
    worker.process.join()


def _serve(connection: Connection, function: Callable[[Any], Any], seconds: int) -> None:
    """A worker's life: items in, results out, until the other end closes, even if by being killed."""
    _be_quiet_and_modest()
    for module in LOADED_ONCE:  # before the clock runs, should the process that was forked not have them
        importlib.import_module(module)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process even inside a decoder's C code
    while True:
        try:
            item = connection.recv()
        except (EOFError, OSError):
            return
        signal.alarm(seconds)
        try:
            result = function(item)
        except Exception as error:
            result = error
        signal.alarm(0)
        try:
            connection.send(result)
        except OSError:
            return


def _be_quiet_and_modest() -> None:
    """No output, no warnings (they may quote a patient), no Ctrl-C (the parent has it), and a limit of memory."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    warnings.simplefilter("ignore")
    logging.disable()
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has such a limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
