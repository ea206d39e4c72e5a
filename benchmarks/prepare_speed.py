"""How fast films are prepared (decoded, resized, written) on all cores, beside the same work in one process.

Both are `read_films` on the same files, taking turns within each round, so that a busy machine slows both; starting the
other processes counts. The limit is what the machine itself gives: as many processes as cores, started beforehand, each
with its share of the films and nothing to agree on. The claim: on k cores at least 0.85 k times as fast as one. And
16,000 films prepared as a study does it, with their manifest and hashes, stay below 3 GB of memory.

    python benchmarks/prepare_speed.py                       films of CXR_DATA/public, or simulated ones without it
    python benchmarks/prepare_speed.py --films 2000 --pixels 2048 --rounds 3

Writes benchmarks/results/prepare_speed.json and .md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import yaml
from PIL import Image

from cxrlib.files import write_json, write_text
from cxrlib.films.film_reading import FilmJob, ReaderProcess, read_films
from cxrlib.films.images import placed_array
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import PhantomSource
from cxrlib.reproducibility import available_cores, provenance
from cxrlib.study import REPOSITORY, load_study

RESULTS = REPOSITORY / "benchmarks" / "results"
TARGET_SHARE_OF_CORES, TARGET_GB = 0.85, 3.0
DIFFERENT_FILMS = 400
LIMITS = f"""\
Limits: the files lie in the system's cache, so no disk is measured; there are {DIFFERENT_FILMS} different films, under
many names. Other programs lower the ratios, since one process finds a free core more often than several do: the load is
how many wanted a core when a round began."""


def make_films(folder: Path, count: int, pixels: int) -> str:
    """JPEGs of `pixels` a side and labels.csv in `folder`; returns what they are."""
    films = _real_films(pixels) if "CXR_DATA" in os.environ else _simulated_films(pixels)
    lines = ["file,patient_id,label"]
    for number in range(count):
        if number < DIFFERENT_FILMS:
            next(films).save(folder / f"{number:05d}.jpg", quality=90)
        else:
            os.link(folder / f"{number % DIFFERENT_FILMS:05d}.jpg", folder / f"{number:05d}.jpg")
        lines.append(f"{number:05d}.jpg,p{number},{('negative', 'positive')[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return f"{'real' if 'CXR_DATA' in os.environ else 'simulated'} films as JPEG, {pixels} x {pixels} pixels"


def _real_films(pixels: int):
    for file in sorted((Path(os.environ["CXR_DATA"]) / "public").rglob("*.jpg"))[::15][:DIFFERENT_FILMS]:
        with Image.open(file) as image:
            yield image.convert("L").resize((pixels, pixels), Image.Resampling.BICUBIC)


def _simulated_films(pixels: int):
    half = DIFFERENT_FILMS // 2
    source = PhantomSource(reader="phantom", scanner="public", negative_patients=half, positive_patients=half)
    for row in phantom_manifest(source, "training", 0).to_dict("records"):
        film = Image.fromarray(phantom_film(source, 0, row, 224).image)
        yield film.resize((pixels, pixels), Image.Resampling.BICUBIC)


def prepare(folder: Path, count: int, size: int, processes: int) -> float:
    """Seconds by the clock, as a study does it."""
    with placed_array(folder / "images.npy", (size, size)) as array:
        job = FilmJob(str(folder), (("images", size, str(array.path), array.offset),))
        started = time.perf_counter()
        reasons = read_films(job, rows_of(count), processes=processes)
        seconds = time.perf_counter() - started
    assert not any(film for film, _ in reasons), "a film of the benchmark could not be read"
    return seconds


def prepare_at_the_limit(folder: Path, count: int, size: int, processes: int) -> float:
    """Seconds by the clock of processes that are ready and share nothing."""
    bounds = [count * number // processes for number in range(processes + 1)]
    with placed_array(folder / "images.npy", (size, size)) as array, ExitStack() as running:
        job = FilmJob(str(folder), (("images", size, str(array.path), array.offset),))
        workers = [running.enter_context(closing(ReaderProcess(job))) for _ in range(processes)]
        for worker in workers:
            worker.read(0, rows_of(1))
        with ThreadPoolExecutor(processes) as pool:
            started = time.perf_counter()
            list(pool.map(lambda w, a, b: w.read(a, rows_of(count)[a:b]), workers, bounds[:-1], bounds[1:]))
            return time.perf_counter() - started


def rows_of(count: int) -> list[tuple[str, str]]:
    return [(f"{number:05d}.jpg", "") for number in range(count)]


def measure(folder: Path, options: argparse.Namespace) -> pd.DataFrame:
    """One row per round: films per second in each way, the ratios to one process, and what it cost."""
    count, size, cores = options.films, options.size, available_cores()
    prepare(folder, min(count, 500), size, 1)
    rounds = []
    for number in range(options.rounds):
        found = {"load": os.getloadavg()[0]}
        ways = [("one", prepare, 1), ("all", prepare, cores), ("limit", prepare_at_the_limit, cores)]
        for name, way, processes in ways[number % 3 :] + ways[: number % 3]:
            found[f"{name}_films_per_s"] = count / way(folder, count, size, processes)
        found["ratio"] = found["all_films_per_s"] / found["one_films_per_s"]
        found["limit_ratio"] = found["limit_films_per_s"] / found["one_films_per_s"]
        found["share_of_limit"] = found["all_films_per_s"] / found["limit_films_per_s"]
        rounds.append(found)
    return pd.DataFrame(rounds)


def peak_gb(folder: Path, size: int) -> float:
    """Most memory that preparing the folder as a study's training films takes: this process and all its helpers."""
    source = {"reader": "folder", "folder": str(folder)}
    values = yaml.safe_load((REPOSITORY / "studies" / "demo.yaml").read_text(encoding="utf-8"))
    values["name"], values["data"]["training"] = "speed", source

    values["classifier"]["image_size"] = size
    file = folder / "studies" / "speed.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    command = [sys.executable, __file__, "--prepare-study", str(file)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def prepare_study(file: str) -> None:
    prepare_role(load_study(file), "training")
    own, helper = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sys.stdout.write(str((own + helper * available_cores()) * 1024 / 1e9))


def report(rounds: pd.DataFrame, gigabytes: float, what: str, options: argparse.Namespace) -> str:
    cores, median = available_cores(), rounds.median()

    def spread(column: str) -> str:
        return f"{median[column]:.2f} ({rounds[column].min():.2f} to {rounds[column].max():.2f})"

    return f"""# Preparing films

{options.films:,} {what}, to {options.size} x {options.size}; {cores} cores.
Medians and ranges of {options.rounds} rounds.

| | films per second | beside one process |
| --- | --- | --- |
| one process | {median["one_films_per_s"]:,.0f} | 1 |
| all cores | {median["all_films_per_s"]:,.0f} | {spread("ratio")} |
| the limit of the machine | {median["limit_films_per_s"]:,.0f} | {spread("limit_ratio")} |
| goal, {TARGET_SHARE_OF_CORES} x cores | | {TARGET_SHARE_OF_CORES * cores:.2f} |

- All cores reach {spread("share_of_limit")} of the limit.
- Most memory while a role of these films is prepared, helpers included: {gigabytes:.2f} GB (goal: below {TARGET_GB:g}).
- Load when the rounds began: {rounds["load"].min():.1f} to {rounds["load"].max():.1f}.

{LIMITS}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=16_000)
    parser.add_argument("--pixels", type=int, default=224, help="side of the files' films")
    parser.add_argument("--size", type=int, default=224, help="side of the prepared films")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--prepare-study", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare_study:
        return prepare_study(options.prepare_study)
    with tempfile.TemporaryDirectory() as folder:
        what = make_films(Path(folder), options.films, options.pixels)
        rounds = measure(Path(folder), options)
        gigabytes = peak_gb(Path(folder), options.size)
    text = report(rounds, gigabytes, what, options)
    facts = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "films": what, **provenance(REPOSITORY)}
    found = {"rounds": json.loads(rounds.to_json(orient="records")), "peak_gb": gigabytes}
    write_json(RESULTS / "prepare_speed.json", {"settings": vars(options), **facts, **found})
    made = f"\n{facts['date']}, commit {facts['commit'][:12]}, {facts['processor']}, Python {facts['python']}.\n"
    write_text(RESULTS / "prepare_speed.md", text + made)
    sys.stdout.write(text + made)


if __name__ == "__main__":
    main()
