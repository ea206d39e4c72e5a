"""A whole study: which jobs it has, which are done, and running the rest through Snakemake."""

import contextlib
import csv
import fcntl
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from cxrlib.artifacts import CHAPTERS, read_json, start_afresh, write_json, write_text
from cxrlib.classifiers.arms import arm_of
from cxrlib.errors import InputError
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.reading.events import remove_simulated
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY, Study

logger = logging.getLogger(__name__)

STAGES = ("data", "generators", "synthetic films", "classifiers", "tables", "chapters", "book")
# What may change without making finished films, generators or classifiers obsolete.
HARMLESS_KEYS = (
    "title", "summary", "gan.preset", "gan.comparisons", "gan.comparison_label", "classifier.arms", "classifier.doses",
    "classifier.equal_steps",
    "classifier.seeds", "review",
    *(f"data.{role}.publishable" for role in ROLES),
)  # fmt: skip
TYPICAL_PUBLIC_FILMS = 5000
MADE_FOLDERS = (
    "data",
    "gan",
    "synthetic",
    "lungs",
    "classifier",
    "explanations",
    "tables",
    "figures",
    "chapters",
    "logs",
)


@dataclass(frozen=True)
class Job:
    """One unit of work. `effort` is roughly its seconds on one core, for small studies; it weighs the progress."""

    stage: str
    name: str
    output: Path
    effort: float
    log: Path | None = None
    log_column: str = ""
    log_total: int = 1

    def share_done(self) -> float:
        """0 to 1, from the output's existence or the last line of the training log."""
        if self.output.exists():
            return 1.0
        if self.log is None or not self.log.exists():
            return 0.0
        with open(self.log, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        try:
            return min(float(rows[-1][self.log_column]) / self.log_total, 0.99) if rows else 0.0
        except (TypeError, ValueError, KeyError):
            return 0.0


def jobs_of(study: Study) -> list[Job]:
    """Every job of a study, in the order of the stages."""
    return [*_film_jobs(study), *_reading_jobs(study), *_classifier_jobs(study), *_closing_jobs(study)]


def _film_jobs(study: Study) -> Iterator[Job]:
    results = study.results
    for role in ROLES:
        yield Job("data", f"films · {role}", results.data_record(role), 5)
    yield Job("data", "audit · copies", results.audit_record, 5)
    pixels = (study.gan.resolution / 64) ** 2 * study.gan.channel_base / 1024
    generators = [(label, fold, "") for fold in study.generator_folds for label in LABELS]
    for label, fold, variant in (*generators, *study.generator_variants):
        images = study.gan.public_images if fold == "public" else study.gan.total_images
        snapshots = max(1, images / study.gan.checkpoint_images)
        effort = 5 + images * pixels / 43 + snapshots * (study.gan.resolution / 64) ** 2
        log = results.generator(label, fold, variant) / "log.csv"
        name = " · ".join(filter(None, ("generator", label, fold, variant)))
        yield Job("generators", name, results.generator_record(label, fold, variant), effort, log, "images", images)
        if fold != "public" and not variant:
            effort = 4 + study.synthesis.images_per_label * pixels / 500
            yield Job("synthetic films", f"synthesis · {label} · {fold}", results.synthetic_record(label, fold), effort)


def _reading_jobs(study: Study) -> Iterator[Job]:
    results, review = study.results, study.review
    if review.simulated_readers:
        record = results.simulated_record(review.protocol, review.simulated_readers)
        yield Job("tables", "simulated readers", record, 3)
    if study.synthesis.exclude_rejected:
        yield Job("tables", "films that readers rejected", results.rejected_record(review.protocol), 1)


def _classifier_jobs(study: Study) -> Iterator[Job]:
    results, settings = study.results, study.classifier
    epochs = settings.frozen_epochs + settings.epochs
    record = results.data_record("training")
    public_films = read_json(record)["images_used"] if record.exists() else TYPICAL_PUBLIC_FILMS
    for arm in study.classifier_arms:
        for seed in study.classifier_seeds(arm):
            for fold in study.classifier_folds(arm):
                record = results.classifier_record(arm, seed, fold)
                name = f"classifier · {arm} · seed {seed} · {fold}"
                if not arm_of(arm).network:
                    yield Job("classifiers", name, record, 2)
                    continue
                log = results.classifier(arm, seed, fold) / "log.csv"
                films = _films_per_epoch(study, arm, public_films)
                effort = 4 + epochs * films * (settings.image_size / 64) ** 2 / 450
                yield Job("classifiers", name, record, effort, log, "epoch", epochs)


def _films_per_epoch(study: Study, arm: str, public_films: int) -> int:
    recipe = arm_of(arm)
    if recipe.equal_steps:
        return public_films
    return 2 * study.synthesis.images_per_label * recipe.added_percent // 100 + public_films * recipe.public


def _closing_jobs(study: Study) -> Iterator[Job]:
    results = study.results
    yield Job("tables", "tables of the films", results.films_record, 10)
    yield Job("tables", "quality of the synthetic films", results.quality_record, 10)
    if study.gan.comparisons:
        yield Job("tables", "comparison of generators", results.comparisons_record, 15)
    yield Job("tables", "tables", results.tables_record, 10)
    yield Job("tables", "what the classifiers looked at", results.explanations_record, 15)
    for chapter in CHAPTERS:
        yield Job("chapters", f"chapter {chapter}", results.chapter(chapter), 12)
    yield Job("book", "book", study.build_folder / "html" / "index.html", 15)


def stage_seconds(study: Study) -> dict[str, float]:
    """Seconds of work per stage, added up over jobs (which may have run side by side), from the records."""
    seconds = dict.fromkeys(STAGES, 0.0)
    for job in jobs_of(study):
        if job.output.exists():
            seconds[job.stage] += _seconds_of(study, job)
    return seconds


def _seconds_of(study: Study, job: Job) -> float:
    if job.stage == "book":
        record = study.build_folder / "book.json"
        return read_json(record)["seconds"] if record.exists() else 0.0
    if job.stage == "chapters":
        return read_json(job.output)["metadata"]["cxr"]["seconds"]
    return read_json(job.output)["seconds"]


def save_settings(study: Study, force: bool = False) -> None:
    """Write `results/<study>/study.yaml`; stop if what is there was made with other settings.

    With `force` all results of the study are removed first, except the readers' answers.
    """
    file = study.results.study_file
    text = yaml.safe_dump(study.resolved(), sort_keys=False, allow_unicode=True)
    if force:
        study.results.provenance.unlink(missing_ok=True)
        for name in MADE_FOLDERS:
            start_afresh(study.results.root / name)
        _forget_what_follows_from_readings(study)
        shutil.rmtree(study.build_folder, ignore_errors=True)
    elif file.exists():
        stored = yaml.safe_load(file.read_text(encoding="utf-8"))
        if stored == study.resolved():
            return
        differences = list(_other_settings(stored, study.resolved(), ""))
        if differences:
            listed = "\n  ".join(differences)
            raise InputError(
                f"{study.results.root}: made with other settings:\n  {listed}\n"
                "Use --force to make the study afresh (readers' answers are kept), or give the study another name."
            )
    write_text(file, text)


def _forget_what_follows_from_readings(study: Study) -> None:
    """Simulated answers, and which films are rejected, are made again; what people answered is not, and stays."""
    for folder in study.results.review(study.review.protocol).parent.glob("*/"):
        remove_simulated(folder)
        for pattern in ("simulated-*.json", "rejected.*"):
            for path in folder.glob(pattern):
                path.unlink()


def save_provenance(study: Study) -> None:
    """Write where and with what the study's first work is done; a later machine is named beside it in the book."""
    if not study.results.provenance.exists():
        write_json(study.results.provenance, provenance(REPOSITORY))


def _other_settings(found: object, wanted: object, key: str) -> Iterator[str]:
    if key in HARMLESS_KEYS or found == wanted:
        return
    if isinstance(found, dict) and isinstance(wanted, dict):
        for name in sorted(found.keys() | wanted.keys()):
            yield from _other_settings(found.get(name), wanted.get(name), f"{key}.{name}".lstrip("."))
    else:
        yield f"{key}: there {found!r}, now {wanted!r}"


@contextlib.contextmanager
def only_one_report(study: Study) -> Iterator[None]:
    """Hold the study's lock; the kernel gives it back however this process ends."""
    study.results.root.mkdir(parents=True, exist_ok=True)
    with open(study.results.root / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{study.results.root}: another report of this study is running; wait for it") from None
        yield


def snakemake_command(study: Study, cores: int, extra: Sequence[str]) -> list[str]:
    """The command that makes what is missing. `extra` goes to Snakemake, e.g. `--executor slurm --jobs 50`."""
    return [
        sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
        "--directory", str(study.root), "--cores", str(cores), "--config", f"study={study.file}",
        "--rerun-triggers", "mtime", "--rerun-incomplete", "--nolock", "--keep-going", *extra,
    ]  # fmt: skip


def run_snakemake(study: Study, cores: int, extra: Sequence[str], report_line) -> None:
    """Run the missing jobs; `report_line(text)` gets one line per finished job, with the time left.

    Raises `InputError` with the end of the failed job's log.
    """
    log_path = study.results.root / "logs" / "snakemake.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = snakemake_command(study, cores, extra)
    logger.info("%s", shlex.join(command))
    started = time.time()
    with open(log_path, "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=study.root)
        try:
            _follow(study, process, report_line)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode != 0:
        raise InputError(_why_it_failed(study, log_path, started))


def _follow(study: Study, process: subprocess.Popen, report_line, seconds_between_lines: float = 60) -> None:
    """Report jobs as they finish, and at least one line a minute, until Snakemake ends."""
    jobs = jobs_of(study)
    before = {job.name for job in jobs if job.output.exists()}
    shares_before = {job.name: job.share_done() for job in jobs}
    finished, started, last_line = set(before), time.time(), time.time()
    while True:
        ended = process.poll() is not None
        jobs = jobs_of(study)  # anew, since the first jobs tell how large the later ones are
        total = sum(job.effort for job in jobs)
        shares = {job.name: job.share_done() for job in jobs}
        effort_done = sum(job.effort * shares[job.name] for job in jobs)
        effort_before = sum(job.effort * shares_before[job.name] for job in jobs)
        left = _time_left(time.time() - started, effort_done - effort_before, total - effort_done)
        for job in jobs:
            if shares[job.name] == 1.0 and job.name not in finished:
                finished.add(job.name)
                report_line(f"[{len(finished)}/{len(jobs)}] {job.name}{left}")
                for warning in _warnings(job):
                    report_line(f"  warning: {job.name}: {warning}")
                last_line = time.time()
        if time.time() - last_line > seconds_between_lines:
            report_line(f"[{len(finished)}/{len(jobs)}] {100 * effort_done / total:.0f} % of the work done{left}")
            last_line = time.time()
        if ended:
            return
        time.sleep(1)


def _warnings(job: Job) -> list[str]:
    """What a finished generator warns of: signs of collapse."""
    return read_json(job.output)["warnings"] if job.stage == "generators" else []


def _time_left(seconds: float, effort_done: float, effort_left: float) -> str:
    if seconds < 60 or effort_done <= 0:
        return ""
    return f" · about {max(1, round(seconds / effort_done * effort_left / 60))} min left"


def _why_it_failed(study: Study, snakemake_log: Path, started: float) -> str:
    """The message of a job that failed in this run; without one, the end of its log, or of Snakemake's own."""
    failed = [
        log
        for log in sorted(snakemake_log.parent.glob("*.log"), key=lambda path: path.stat().st_mtime)
        if log != snakemake_log and log.stat().st_mtime >= started and _log_name_failed(log, snakemake_log)
    ]
    log = failed[0] if failed else snakemake_log
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = next((number for number, line in enumerate(lines) if line.startswith("cxr: ")), None)
    if said is not None:
        return "\n".join(lines[said:]).removeprefix("cxr: ")
    tail = "\n".join(f"  {line}" for line in lines[-12:])
    return f"{study.name}: a stage failed; the end of {os.path.relpath(log, study.root)}:\n{tail}"


def _log_name_failed(log: Path, snakemake_log: Path) -> bool:
    lines = snakemake_log.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(log.name in line and "check log" in line for line in lines)
