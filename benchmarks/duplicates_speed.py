"""How long the search for copies takes: 500 queried films among 16,000, from prepared arrays of 224 pixels.

The films are real ones where CXR_DATA is set, else simulated; what is lacking to 16,000 are blends of two, which
look like chests and are nobody's copy. Copies of every tenth queried film are planted, cropped, brightened, mirrored or
recompressed. The claim: under a minute on two cores, hashes included. Other programs make the clock slower, so the
seconds of the processors are given beside it.

    python benchmarks/duplicates_speed.py
    python benchmarks/duplicates_speed.py --films 2000 --queries 100 --rounds 1

Writes benchmarks/results/duplicates_speed.md.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from cxrlib.files import write_text
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.search.whole import Copy, Sieve, confirm
from cxrlib.films.settings import PhantomSource
from cxrlib.reproducibility import available_cores, provenance
from cxrlib.study import REPOSITORY

RESULT = REPOSITORY / "benchmarks" / "results" / "duplicates_speed.md"
GOAL_SECONDS, EVERY, SIMULATED = 60, 10, 400
READING = (
    "Processor seconds are those of all cores together: where nothing else runs, the clock shows between their share "
    "per core and all of them."
)
STAGES = ("hashes", "sieve", "alignment")


def real_films(folder: str, size: int) -> Iterator[np.ndarray]:
    table = pd.read_csv(Path(os.environ["CXR_DATA"]) / folder / "labels.csv")
    for file in table["file"]:
        with Image.open(Path(os.environ["CXR_DATA"]) / folder / file) as film:
            yield np.asarray(film.convert("L").resize((size, size), Image.Resampling.BILINEAR))


def simulated_films(scanner: str, size: int) -> Iterator[np.ndarray]:
    half = SIMULATED // 2
    source = PhantomSource(reader="phantom", scanner=scanner, negative_patients=half, positive_patients=half)
    for row in phantom_manifest(source, scanner, 0).to_dict("records"):
        yield phantom_film(source, 0, row, size).image


def filled(films: Iterator[np.ndarray], count: int, random: np.random.Generator, path: Path) -> np.ndarray:
    """uint8 (count, S, S) on disk: the films, then blends of two of them, weighted 0.4 to 0.6."""
    first = next(films)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(count, *first.shape))
    array[0], known = first, 1
    for film in films:
        if known == count:
            break
        array[known] = film
        known += 1
    for number in range(known, count):
        one, other = random.choice(known, 2, replace=False)
        weight = random.uniform(0.4, 0.6)
        array[number] = weight * array[one] + (1 - weight) * array[other]
    return array


def plant(targets: np.ndarray, queries: np.ndarray, random: np.random.Generator) -> dict[int, int]:
    """Put changed copies of every tenth queried film in places drawn at random: {query row: target row}."""
    rows = range(0, len(queries), EVERY)
    places = dict(zip(rows, random.choice(len(targets), len(rows), replace=False).tolist(), strict=True))
    margin, far = round(0.05 * queries.shape[1]), queries.shape[1] - round(0.05 * queries.shape[1])
    changes = (
        lambda film: film.crop((margin, margin, far, far)),
        lambda film: film.point(lambda grey: min(255, int(1.15 * grey + 25))),
        ImageOps.mirror,
        lambda film: film,
    )
    for number, (query, place) in enumerate(places.items()):
        file = io.BytesIO()
        changed = changes[number % len(changes)](Image.fromarray(queries[query]))
        changed.resize(queries.shape[1:]).save(file, "JPEG", quality=60)
        targets[place] = np.asarray(Image.open(file))
    return places


def search(targets: np.ndarray, queries: np.ndarray) -> tuple[dict[str, tuple[float, float]], list[Copy], int]:
    """Seconds by the clock and of the processors of each stage; the copies; the pairs that the sieve let pass."""
    spent = {}

    def now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    start = now()
    sieve = Sieve([targets, queries])
    spent["hashes"], start = now() - start, now()
    (pairs,) = sieve.search(queries)
    spent["sieve"], start = now() - start, now()
    copies = confirm(targets, queries, pairs)
    spent["alignment"] = now() - start
    return {stage: tuple(seconds) for stage, seconds in spent.items()}, copies, len(pairs)


def report(rounds: pd.DataFrame, facts: dict[str, object], options: argparse.Namespace) -> str:
    lines = [
        "# Searching copies of films",
        "",
        f"{options.queries:,} queried films among {options.films:,} ({facts['films']}), {options.size} pixels, "
        f"{available_cores()} cores; {options.rounds} rounds: the fastest (median, slowest).",
        "",
        "| stage | seconds by the clock | of the processors |",
        "| --- | --- | --- |",
    ]
    for stage in (*STAGES, "all"):
        cells = []
        for kind in ("clock", "processor"):
            seconds = rounds[f"{stage}_{kind}"]
            cells.append(f"{seconds.min():.1f} ({seconds.median():.1f}, {seconds.max():.1f})")
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    last = rounds.iloc[-1]
    lines += [
        f"| goal | below {GOAL_SECONDS} | |",
        "",
        f"The sieve let {last['passed']:,.0f} of {options.films * options.queries:,} pairs pass. "
        f"Of {last['planted']:.0f} planted copies {last['found']:.0f} were found, and {last['others']:.0f} other pairs "
        "were taken for copies.",
        "",
        f"Load when the rounds began: {rounds['load'].min():.1f} to {rounds['load'].max():.1f}. {READING}",
        "",
        f"{facts['date']}, commit {str(facts['commit'])[:12]}, {facts['processor']}, Python {facts['python']}, "
        f"numpy {facts['numpy']}, scipy {facts['scipy']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=16_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    random, real = np.random.default_rng(2021), "CXR_DATA" in os.environ
    with tempfile.TemporaryDirectory() as folder:
        public = real_films("public", options.size) if real else simulated_films("public", options.size)
        own = real_films("case_reports", options.size) if real else simulated_films("hospital", options.size)
        targets = filled(public, options.films, random, Path(folder) / "targets.npy")
        queries = filled(own, options.queries, random, Path(folder) / "queries.npy")
        planted = plant(targets, queries, random)
        rounds = []
        for _ in range(options.rounds):
            found: dict[str, float] = {"load": os.getloadavg()[0]}
            spent, copies, passed = search(targets, queries)
            for number, kind in enumerate(("clock", "processor")):
                found |= {f"{stage}_{kind}": spent[stage][number] for stage in STAGES}
                found[f"all_{kind}"] = sum(seconds[number] for seconds in spent.values())
            right = {copy.query for copy in copies if planted.get(copy.query) == copy.target}
            found |= {
                "passed": passed,
                "planted": len(planted),
                "found": len(right),
                "others": len(copies) - len(right),
            }
            rounds.append(found)
    made = provenance(REPOSITORY)
    facts = {"films": f"{'real' if real else 'simulated'} films and blends of them", "commit": made["commit"]}
    facts |= {"date": datetime.now(UTC).isoformat(timespec="minutes"), "processor": made["processor"]}
    facts |= {"python": made["python"], "numpy": made["packages"]["numpy"], "scipy": made["packages"]["scipy"]}
    text = report(pd.DataFrame(rounds), facts, options)
    write_text(RESULT, text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
