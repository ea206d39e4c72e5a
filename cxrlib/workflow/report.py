"""A whole study: its settings, its lock, and running what is not finished through Snakemake."""

import contextlib
import fcntl
import hashlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from cxrlib.errors import InputError
from cxrlib.files import read_json, remove_leftovers, write_json, write_text
from cxrlib.finished import HARMLESS_KEYS, Standing, is_free, standing
from cxrlib.kept import restore
from cxrlib.reading.events import remove_simulated
from cxrlib.records import differences_between, start_afresh
from cxrlib.reproducibility import available_cores, has_gpu, provenance
from cxrlib.study import REPOSITORY, Study
from cxrlib.units import Unit, wanted_units
from cxrlib.workflow.processes import REPORT, dies_with_its_parent, end_if_the_report_is_gone

logger = logging.getLogger(__name__)

MADE_FOLDERS = (
    "data", "gan", "synthetic", "lungs", "classifier", "explanations", "tables", "figures", "chapters", "logs",
)  # fmt: skip
SECONDS_BETWEEN_LINES = 60
SECONDS_UNTIL_STALLED = 600
SECONDS_TO_END = 10

Say = Callable[[str], None]


def save_settings(study: Study, force: bool = False) -> None:
    """Write `results/<study>/study.yaml`; stop if what is there was made with other settings.

    With `force` all results of the study are removed first, except the readers' answers. A damaged file is written
    again: every record holds the settings of its own stage.
    """
    file = study.results.study_file
    text = _signed(yaml.safe_dump(study.resolved(), sort_keys=False, allow_unicode=True))
    if force:
        study.results.provenance.unlink(missing_ok=True)
        for name in MADE_FOLDERS:
            start_afresh(study.results.root / name)
        _forget_what_follows_from_readings(study)
        shutil.rmtree(study.build_folder, ignore_errors=True)
    elif file.exists():
        stored = stored_settings(file)
        if stored is None:
            logger.warning("%s: damaged; written again", file)
        if stored == study.resolved():
            return
        check_settings(study)
    write_text(file, text)


def check_settings(study: Study) -> None:
    """Raise `InputError` where what is there was made with other settings."""
    stored = stored_settings(study.results.study_file)
    wanted = _as_stored(study.resolved(), stored)
    differences = [line for line in differences_between(stored, wanted) if _matters(line)] if stored else []
    if differences:
        listed = "\n  ".join(differences)
        raise InputError(
            f"{study.results.root}: made with other settings:\n  {listed}\n"
            "Use --force to make the study afresh (readers' answers are kept), or give the study another name."
        )


def _as_stored(wanted: Any, stored: Any) -> Any:
    """The wanted settings without those that are off and that the version which stored the others did not know."""
    if not (isinstance(wanted, dict) and isinstance(stored, dict)):
        return wanted
    return {key: _as_stored(value, stored.get(key)) for key, value in wanted.items() if value or key in stored}


def stored_settings(file: Path) -> dict[str, Any] | None:
    """What the file says; None where it is damaged. Its last line is a hash of the others, but in older versions."""
    try:
        text = file.read_text(encoding="utf-8")
        stored = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return None
    *lines, last = text.splitlines(keepends=True) or [""]
    signed = not last.startswith("# sha256") or text == _signed("".join(lines))
    # The last settings of a study are those of its reading.
    return stored if signed and isinstance(stored, dict) and stored.get("review") else None


def _signed(text: str) -> str:
    return f"{text}# sha256 {hashlib.sha256(text.encode()).hexdigest()}\n"


def _forget_what_follows_from_readings(study: Study) -> None:
    """Simulated answers, and which films are rejected, are made again; what people answered is not, and stays."""
    for folder in study.results.review(study.review.protocol).parent.glob("*/"):
        remove_simulated(folder)
        for pattern in ("simulated-*.json", "rejected.*"):
            for path in folder.glob(pattern):
                path.unlink()


def save_provenance(study: Study) -> None:
    """Write where and with what the study's first work is done; a later machine is named beside it in the book."""
    path = study.results.provenance
    try:
        read_json(path)
    except InputError:
        if path.exists():
            logger.warning("%s: damaged; written again", path)
        write_json(path, provenance(REPOSITORY))


def _matters(difference: str) -> bool:
    key = difference.partition(":")[0]
    return not any(key == harmless or key.startswith(f"{harmless}.") for harmless in HARMLESS_KEYS)


@contextlib.contextmanager
def only_one_report(study: Study) -> Iterator[None]:
    """Hold the study's lock; its jobs hold a share of a second one, so that both are free only when nobody writes.

    The kernel gives them back however a process ends. Jobs of a report that was killed end by themselves; they are
    given a few seconds.
    """
    study.results.root.mkdir(parents=True, exist_ok=True)
    with open(study.results.root / ".lock", "w") as lock, open(study.results.root / ".jobs", "w") as jobs:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{study.results.root}: another report of this study is running; wait for it") from None
        until = time.monotonic() + SECONDS_TO_END
        while not is_free(jobs):
            if time.monotonic() > until:
                raise InputError(f"{study.results.root}: jobs of an earlier report are still running; wait for them")
            time.sleep(0.1)
        remove_leftovers(study.results.root)
        restore(study.results.unique)
        yield


@contextlib.contextmanager
def a_job_of(study: Study) -> Iterator[None]:
    """Hold a share of the second lock while a job writes; a job of a report on this machine holds it to its end."""
    study.results.root.mkdir(parents=True, exist_ok=True)
    with open(study.results.root / ".jobs", "w") as jobs:
        fcntl.flock(jobs, fcntl.LOCK_SH)
        if end_if_the_report_is_gone():
            # What closes this second descriptor is the kernel, when no thread of the process is left.
            os.dup(jobs.fileno())
        yield


def plan(study: Study, targets: Iterable[str]) -> tuple[list[Unit], dict[Unit, Standing]]:
    """The units wanted for the targets, and those of them to be made or looked at, with why: whatever is not finished,
    and what reads it."""
    wanted = wanted_units(study, targets)
    waiting: dict[Unit, Standing] = {}
    for unit in wanted:
        found = standing(study, unit)
        if found.finished and any(other in waiting for other in unit.before(study)):
            waiting[unit] = Standing(found.word, ("what it reads is made before",))
        elif not found.finished:
            waiting[unit] = found
    return wanted, waiting


def run(study: Study, targets: Sequence[str], cores: int, extra: Sequence[str], say: Say) -> int:
    """Make what is not finished; `say(text)` gets one line per finished job, with the time left. Returns how many
    jobs there were.

    Raises `InputError` with the end of the failed job's log.
    """
    wanted, waiting = plan(study, targets)
    for line in (line for found in waiting.values() if found.word == "damaged" for line in found.why):
        say(f"  {line}; will be made again")
    say(f"{study.name}: {len(waiting)} jobs to do, {len(wanted) - len(waiting)} done")
    if not waiting:
        return 0
    if any(unit.stage.gpu for unit in waiting) and has_gpu() and (reason := asked_of_torch()):
        say(f"  {reason}")
    for unit in wanted:
        stamp = unit.stamp(study)
        if unit in waiting:
            stamp.unlink(missing_ok=True)
        else:
            # All as old as each other, so that Snakemake runs nothing but what the library asks for.
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
            os.utime(stamp, (1, 1))
    log_path = study.results.root / "logs" / "snakemake.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = snakemake_command(study, [unit.stamp(study) for unit in waiting], cores, extra)
    started = time.time()
    with open(log_path, "w", encoding="utf-8") as log, _ended_politely():
        log.write(f"{shlex.join(command)}\n")
        log.flush()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=study.root,
            env={**os.environ, REPORT: str(os.getpid())}, start_new_session=True, preexec_fn=dies_with_its_parent,
        )  # fmt: skip
        try:
            _follow(study, wanted, list(waiting), process, say)
        finally:
            _end(process)
    if process.returncode != 0:
        raise InputError(_why_it_failed(study, log_path, started))
    return len(waiting)


def asked_of_torch() -> str:
    """`why_no_gpu` by a process of its own, since torch is slow to load and holds a GPU that it has looked at."""
    code = "from cxrlib.reproducibility import why_no_gpu; print(why_no_gpu())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def snakemake_command(study: Study, stamps: Iterable[Path], cores: int, extra: Sequence[str]) -> list[str]:
    """The command that makes these stamps. `extra` goes to Snakemake, e.g. `--profile profiles/slurm`."""
    return [
        sys.executable, "-m", "snakemake", *map(str, stamps), "--snakefile", str(Path(__file__).parent / "Snakefile"),
        "--directory", str(study.root), "--cores", str(cores or available_cores()), "--config", f"study={study.file}",
        "--rerun-triggers", "mtime", "--rerun-incomplete", "--nolock", "--keep-going", *extra,
    ]  # fmt: skip


@contextlib.contextmanager
def _ended_politely() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: by way of `finally`."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Snakemake and all below it, which share a session; it cancels what it has submitted to a cluster."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _follow(
    study: Study, wanted: Sequence[Unit], waiting: Sequence[Unit], process: subprocess.Popen[bytes], say: Say
) -> None:
    """Report jobs as they finish, and at least one line a minute, until Snakemake ends."""
    finished = [unit for unit in wanted if unit not in waiting]
    before = {unit: unit.share_done(study) for unit in waiting}
    started = last_line = last_move = time.monotonic()
    shares: dict[Unit, float] = {}
    while True:
        ended = process.poll() is not None
        now = {unit: 1.0 if unit.stamp(study).exists() else unit.share_done(study) for unit in waiting}
        last_move, shares = (last_move if now == shares else time.monotonic()), now
        efforts = {unit: unit.effort(study) for unit in waiting}  # anew, since the first jobs tell how large others are
        left = sum(efforts[unit] * (1 - shares[unit]) for unit in waiting)
        done = sum(efforts[unit] * (shares[unit] - before[unit]) for unit in waiting)
        told = _time_left(time.monotonic() - started, done, left, time.monotonic() - last_move)
        for unit in waiting:
            if shares[unit] == 1.0 and unit not in finished:
                finished.append(unit)
                say(f"[{len(finished)}/{len(wanted)}] {unit.title}{told}")
                for warning in read_json(unit.record(study)).get("warnings", []):  # a generator's signs of collapse
                    say(f"  warning: {unit.title}: {warning}")
                last_line = time.monotonic()
        if time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
            say(f"[{len(finished)}/{len(wanted)}] {100 * done / ((done + left) or 1):.0f} % of the work done{told}")
            last_line = time.monotonic()
        if ended:
            return
        time.sleep(0.5)


def _time_left(seconds: float, done: float, left: float, since_move: float) -> str:
    if since_move > SECONDS_UNTIL_STALLED:
        return f" · nothing has moved for {since_move / 60:.0f} min; the queue, and logs/snakemake.log, may say why"
    # The first jobs are small and say little of the large ones.
    if seconds < 60 or done < 0.02 * (done + left):
        return ""
    return f" · about {max(1, round(seconds / done * left / 60))} min left"


def _why_it_failed(study: Study, snakemake_log: Path, started: float) -> str:
    """The message of a job that failed in this run; without one, the end of its log, or of Snakemake's own."""
    said_by_snakemake = snakemake_log.read_text(encoding="utf-8", errors="replace").splitlines()
    failed = [
        log
        for log in sorted(snakemake_log.parent.rglob("*.log"), key=lambda path: path.stat().st_mtime)
        if log.stat().st_mtime >= started
        and any(str(log) in line and "check log" in line for line in said_by_snakemake)
    ]
    log = failed[0] if failed else snakemake_log
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = next((number for number, line in enumerate(lines) if line.startswith("cxr: ")), None)
    if said is not None:
        return "\n".join(lines[said:]).removeprefix("cxr: ")
    tail = "\n".join(f"  {line}" for line in lines[-12:])
    return f"{study.name}: a stage failed; the end of {os.path.relpath(log, study.root)}:\n{tail}"
