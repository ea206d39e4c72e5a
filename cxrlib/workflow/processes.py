"""Processes that end with the report that started them, and GPUs handed out to them."""

import contextlib
import ctypes
import fcntl
import getpass
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

# Holds the process id of the report whose job a process is.
REPORT = "CXR_REPORT"
PR_SET_PDEATHSIG = 1
DEVICES = "CUDA_VISIBLE_DEVICES"


def dies_with_its_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere `end_with_the_report` alone sees to it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_if_the_report_is_gone() -> bool:
    """In a job of a report on this machine, kill the whole session, this process too, where that report has ended.

    False in a process that is no such job. A job asks again once it holds the lock.
    """
    report = 0 if "SLURM_JOB_ID" in os.environ else int(os.environ.get(REPORT, 0))
    if report:
        try:
            os.kill(report, 0)
        except (ProcessLookupError, PermissionError):
            os.killpg(os.getpgrp(), signal.SIGKILL)
    return bool(report)


def end_with_the_report() -> None:
    """In a job, watch the report that started it until its end."""
    if end_if_the_report_is_gone():
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    # A report that nobody has waited for can still be asked, but Snakemake in between has died with it.
    while end_if_the_report_is_gone() and os.getppid() == parent:
        time.sleep(0.2)
    os.killpg(os.getpgrp(), signal.SIGKILL)


@contextlib.contextmanager
def one_gpu(memory_mb: int) -> Iterator[None]:
    """Hold a place on a GPU of this machine, as many to each as its memory allows; nothing where a scheduler or the
    user chose the device, or where there is no GPU. Waits while all places are taken."""
    gpus = {} if DEVICES in os.environ else memory_of_gpus()
    if not gpus or not memory_mb:
        yield
        return
    folder = Path(tempfile.gettempdir()) / f"cxr-gpus-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    most = {gpu: max(1, memory // memory_mb) for gpu, memory in gpus.items()}
    # First places first, so that jobs spread over the GPUs.
    places = [(gpu, place) for place in range(max(most.values())) for gpu in gpus if place < most[gpu]]
    said = False
    with contextlib.ExitStack() as held:
        while True:
            for gpu, place in places:
                lock = open(folder / f"{gpu}-{place}", "w")  # noqa: SIM115 (closed below)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lock.close()
                    continue
                held.callback(lock.close)
                os.environ[DEVICES] = gpu
                logger.info("GPU %s, place %d of %d", gpu, place + 1, most[gpu])
                yield
                return
            if not said:
                logger.info("all places on the GPUs are taken; waiting for one")
                said = True
            time.sleep(1)


def memory_of_gpus() -> dict[str, int]:
    """MB of each NVIDIA GPU of this machine, by its number; empty without one."""
    if shutil.which("nvidia-smi") is None:
        return {}
    query = ["nvidia-smi", "--query-gpu=index,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = [line.split(",") for line in done.stdout.splitlines() if line.count(",") == 1]
    return {row[0].strip(): int(row[1]) for row in rows if row[1].strip().isdigit()} if done.returncode == 0 else {}
