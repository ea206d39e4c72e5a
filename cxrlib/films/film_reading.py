"""Reading many films: decode, resize and write them, in this process or in one per core.

Threads would not do: small films take about as long inside the interpreter's lock as outside it. The other processes
are started as `python -m cxrlib.films.film_reading`, which loads nothing but numpy and PIL; each writes its films
straight to their places in the arrays, so that no pixel passes through this process.
"""

import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films.containment import Refused, open_inside
from cxrlib.films.decoding import UnreadableImage, decode, decode_mask
from cxrlib.reproducibility import available_cores

FILMS_PER_ORDER = 64
# Starting processes takes up to half a second, so they are started only for more work than this.
WORTH_STARTING_SECONDS = 1.0
TRIAL_SECONDS = 0.05

Row = tuple[str, str]


@dataclass(frozen=True)
class FilmJob:
    """Films below `root`, and the open-ended arrays that take them.

    `arrays` are (kind, size, path, offset): kind "images" or "lungs", size in pixels, and the byte in the file at which
    film 0 begins. Film i of the job is uint8 (size, size) at offset + i * size².
    """

    root: str
    arrays: tuple[tuple[str, int, str, int], ...]


def read_films(
    job: FilmJob, rows: Sequence[Row], *, processes: int = 0, progress: Callable[[int, int], None] | None = None
) -> list[Row]:
    """Put every film into its place; for each row (file, lung mask or "") why film and mask were left out, or "".

    A film that is left out leaves its place in the arrays undefined; a mask that is left out is all 0. With
    `processes` 0 there are as many others as cores, if the work is worth it; with 1 everything happens here. Raises
    `InputError` if another process dies, and `OSError` if the disk is full.
    """
    reasons: list[Row] = []
    processes, started = processes or available_cores(), time.perf_counter()

    def tell(found: Sequence[Sequence[str]]) -> None:
        reasons.extend((film, mask) for film, mask in found)
        if progress:
            progress(len(reasons), len(rows))

    with closing(FilmReader(job)) as reader:
        while len(reasons) < len(rows) and not (processes > 1 and reasons and _worth_others(started, reasons, rows)):
            tell(reader.read(len(reasons), rows[len(reasons) : len(reasons) + 1]))
    if len(reasons) < len(rows):
        with closing(_by_others(job, rows, len(reasons), processes)) as answers:
            for answer in answers:
                tell(answer)
    return reasons


def _worth_others(started: float, reasons: Sequence[Row], rows: Sequence[Row]) -> bool:
    """Whether so much is left that other processes would have it done sooner, their start included."""
    seconds = time.perf_counter() - started
    left = seconds / len(reasons) * (len(rows) - len(reasons))
    return seconds > TRIAL_SECONDS and left > WORTH_STARTING_SECONDS


def _by_others(job: FilmJob, rows: Sequence[Row], first: int, processes: int) -> Generator[list[list[str]], None, None]:
    """What other processes answer about the rows from `first` on, in order; a thread waits for each of them."""
    portion = max(1, min(FILMS_PER_ORDER, (len(rows) - first) // (4 * processes)))
    ready: SimpleQueue[ReaderProcess] = SimpleQueue()

    def answer(start: int) -> list[list[str]]:
        worker = ready.get()
        try:
            return worker.read(start, rows[start : start + portion])
        finally:
            ready.put(worker)

    with ExitStack() as stack:
        for _ in range(processes):
            ready.put(stack.enter_context(closing(ReaderProcess(job))))
        pool = ThreadPoolExecutor(processes)
        stack.callback(pool.shutdown, cancel_futures=True)
        yield from pool.map(answer, range(first, len(rows), portion))


class FilmReader:
    """Reads films into the arrays of a job, which must exist."""

    def __init__(self, job: FilmJob) -> None:
        self._root = Path(job.root)
        self._files = ExitStack()
        self._arrays: dict[tuple[str, int], tuple[BinaryIO, int]] = {
            (kind, size): (self._files.enter_context(io.FileIO(path, "r+b")), offset)
            for kind, size, path, offset in job.arrays
        }
        self._sizes = {kind: [size for other, size in self._arrays if other == kind] for kind, _ in self._arrays}

    def close(self) -> None:
        self._files.close()

    def read(self, start: int, rows: Sequence[Row]) -> list[tuple[str, str]]:
        """Read films `start`, `start` + 1, …; returns why each film and mask was left out, or ""."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return [self._read_row(start + number, *row) for number, row in enumerate(rows)]

    def _read_row(self, index: int, file: str, mask_file: str) -> tuple[str, str]:
        film_reason = self._put(index, "images", file, decode)
        mask_reason = ""
        if "lungs" in self._sizes:
            mask_reason = self._put(index, "lungs", mask_file, decode_mask) if mask_file else ""
            if mask_reason or not mask_file:
                self._write(index, "lungs", [np.zeros((size, size), np.uint8) for size in self._sizes["lungs"]])
        return film_reason, mask_reason

    def _put(self, index: int, kind: str, file: str, decoder: Callable[..., Any]) -> str:
        try:
            with open_inside(self._root, file) as opened:
                images = decoder(opened, self._sizes[kind])
        except (Refused, UnreadableImage) as error:
            return str(error)
        self._write(index, kind, images)
        return ""

    def _write(self, index: int, kind: str, images: Sequence[np.ndarray]) -> None:
        for size, image in zip(self._sizes[kind], images, strict=True):
            file, offset = self._arrays[kind, size]
            file.seek(offset + index * size * size)
            rest = np.ascontiguousarray(image).data.cast("B")
            while rest:
                rest = rest[file.write(rest) :]


class ReaderProcess:
    """Another process with a `FilmReader`; orders and answers are lines of JSON."""

    def __init__(self, job: FilmJob) -> None:
        code = Path(__file__).resolve().parents[2]
        paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cxrlib.films.film_reading"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self._send({"root": job.root, "arrays": job.arrays})

    def read(self, start: int, rows: Sequence[Row]) -> list[list[str]]:
        self._send({"start": start, "rows": rows})
        answer = self._answers.readline()
        if not answer:
            code = self._process.wait()
            raise InputError(
                f"a process that reads films died (exit code {code}) on {rows[0][0]} or one of the {len(rows) - 1} "
                "films after it: memory ran out, or a file is made to break decoders; look at them"
            )
        answer = json.loads(answer)
        if "error" in answer:
            raise OSError(*answer["error"])
        return answer["reasons"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _send(self, value: object) -> None:
        # A process that died is noticed where its answer is read.
        with suppress(BrokenPipeError):
            self._orders.write(json.dumps(value).encode() + b"\n")
            self._orders.flush()


def _serve(orders: BinaryIO, answers: BinaryIO) -> None:
    """What another process does: one answer per order, until the orders end."""
    job = json.loads(orders.readline())
    reader = FilmReader(FilmJob(job["root"], tuple(tuple(array) for array in job["arrays"])))
    for line in orders:
        order = json.loads(line)
        try:
            answer: dict[str, Any] = {"reasons": reader.read(order["start"], order["rows"])}
        except OSError as error:
            answer = {"error": [error.errno, error.strerror]}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    try:
        _serve(sys.stdin.buffer, sys.stdout.buffer)
    except KeyboardInterrupt:
        sys.exit(1)
