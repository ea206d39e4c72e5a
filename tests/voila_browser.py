"""A study with films to read, the server of its reading, and a browser in front of it."""

import contextlib
import hashlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import check_book
import numpy as np
import pandas as pd
import pytest
from audited import write_audit

from cxrlib.artifacts import write_record
from cxrlib.data.preparation import prepare_role
from cxrlib.data.settings import LABELS, ROLES
from cxrlib.review.protocol import reading_fold
from cxrlib.study import Study, load_study

# 3 films of practice, 12 single ones and one of them again, and 2 pairs each of blocks B and C.
TWENTY_TASKS = {
    "films_per_label_and_origin": 3, "repeat_percent": 8, "practice_films": 3, "pairs_per_label": 1, "copy_pairs": 2,
}  # fmt: skip
REPOSITORY = Path(__file__).resolve().parent.parent


def readable_study(root: Path, write_study_in, **changes) -> Study:
    """A study as it is when the synthetic films are made; its reading has 20 tasks. The synthetic films are noise."""
    study = load_study(write_study_in(root, **{"review": TWENTY_TASKS, **changes}))
    for role in ROLES:
        prepare_role(study, role)
    write_audit(study)
    fold, size = reading_fold(study), study.gan.resolution
    hospital = pd.read_csv(study.results.manifest("hospital"))
    for label in LABELS:
        folder = study.results.synthetic(label, fold)
        folder.mkdir(parents=True)
        draw = np.random.default_rng(LABELS.index(label))
        images = draw.integers(0, 256, (12, size, size), dtype=np.uint8)
        np.save(folder / "images.npy", images)
        manifest = pd.DataFrame({"image_id": [f"{label}-{fold}-{row:06d}" for row in range(12)], "label": label})
        seen = hospital[(hospital["label"] == label) & (hospital["fold"] != fold)]["image_id"].iloc[0]
        facts = {"seed": 0, "truncation": 1.0, "generator_sha256": "0" * 64, "nearest_image_id": seen}
        manifest.assign(**facts, nearest_distance=9.0).to_csv(folder / "manifest.csv", index=False)
        hashes = {"images_sha256": hashlib.sha256(images).hexdigest(), "manifest_sha256": "0"}
        write_record(study.results.synthetic_record(label, fold), {}, {}, 0.0, images=12, **hashes)
    return study


def no_browser() -> None:
    """Skip where there is no Chromium; in CI, fail."""
    if check_book.browser_path() is None:
        reason = f"no Chromium: looked for {', '.join(check_book.BROWSERS)} and in CHROMIUM"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)


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

    def kernels(self) -> list[int]:
        """Process ids of the running kernels."""
        import psutil

        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child.pid for child in children if "ipykernel_launcher" in " ".join(child.cmdline())]


class Reading:
    """The reading on a page, driven with the mouse."""

    def __init__(self, page) -> None:
        self.page = page

    def wait_for(self, reader: str) -> "Reading":
        self.page.get_by_text(f"Reading as {reader}").wait_for(timeout=60_000)
        self.page.get_by_text(re.compile(r"\d+ of \d+ answered")).wait_for()
        return self

    @property
    def done(self) -> int:
        return int(self.page.get_by_text(re.compile(r"\d+ of \d+ answered")).inner_text().split()[0])

    def answer(self) -> None:
        """The first choice of every question, stored."""
        done = self.done
        for question in self.page.locator(".widget-toggle-buttons").all():
            question.locator("button").first.click()
        self.page.get_by_role("button", name="Store and go on").click()
        self.page.get_by_text(f"{done + 1} of").wait_for()
