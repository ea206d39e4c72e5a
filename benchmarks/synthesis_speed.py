"""How fast synthetic films are made: drawn and stored, drawn only, and the limit, in one run and taking turns.

(a) made: films of seeds of their own, drawn, copied from the device and written into one array on the disk, flushed;
(b) drawn: the same without the disk;
(c) the limit: nothing but the generator's forward pass, over and over on one batch that lies ready on the device.

Every round makes the films in each way, in an order that rotates, so that a busy machine slows all of them alike;
ratios are taken within rounds. Seconds are those of the clock on a GPU, and of the processor on a CPU, where other
people's work would count otherwise. The generator has random weights, since speed does not depend on them.

    python benchmarks/synthesis_speed.py --resolution 64 --channel-base 512 --channel-max 64 --films 400
    python benchmarks/synthesis_speed.py --films 20000 --rounds 3          256 pixels, the paper's size, on a GPU
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from cxrlib.generators.drawing import draw_films, first_batch_size, make_films
from cxrlib.generators.networks import Generator, make_generator
from cxrlib.generators.settings import GanSettings
from cxrlib.generators.stepping import block_dtype
from cxrlib.reproducibility import pick_device, provenance
from cxrlib.study import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results" / "synthesis_speed.md"
AIM_FILMS, AIM_SECONDS = 20_000, 60


def made(generator: Generator, films: int, folder: Path) -> int:
    path = folder / "images.npy"
    shape = (films, generator.resolution, generator.resolution)
    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    batch_size = draw_films(generator, range(films), 1.0, images)
    images.flush()
    with open(path, "rb") as written:
        os.fsync(written.fileno())
    return batch_size


def drawn(generator: Generator, films: int, batch_size: int) -> None:
    for _ in make_films(generator, range(films), 1.0, batch_size):
        pass


@torch.inference_mode()
def limit(generator: Generator, films: int, batch_size: int) -> None:
    device = pick_device()
    latents, noise = generator.to(device).draw(batch_size, torch.Generator(device).manual_seed(0))
    for _ in range(-(-films // batch_size)):
        generator(latents, noise, block_dtype(device))
    if device.type == "cuda":
        torch.cuda.synchronize()


def measured(generator: Generator, films: int, rounds: int) -> tuple[int, dict[str, list[float]]]:
    """Films at a time, and the seconds of every round of each way."""
    seconds: dict[str, list[float]] = {"made": [], "drawn": [], "the limit": []}
    clock = time.perf_counter if pick_device().type == "cuda" else time.process_time
    with tempfile.TemporaryDirectory(dir=REPOSITORY) as name:
        batch_size = made(generator, min(films, first_batch_size(generator)), Path(name))
        ways = {
            "made": lambda: made(generator, films, Path(name)),
            "drawn": lambda: drawn(generator, films, batch_size),
            "the limit": lambda: limit(generator, films, batch_size),
        }
        for way in ways.values():
            way()
        order = list(ways)
        for _ in range(rounds):
            for way in order:
                began = clock()
                ways[way]()
                seconds[way].append(clock() - began)
            order = order[1:] + order[:1]
    return batch_size, seconds


def report(options: argparse.Namespace) -> str:
    keys = ("resolution", "latent_dim", "mapping_layers", "channel_base", "channel_max", "eigenfilms")
    settings = GanSettings(**{key: getattr(options, key) for key in keys})
    torch.manual_seed(0)
    generator = make_generator(settings).eval().requires_grad_(False)
    batch_size, seconds = measured(generator, options.films, options.rounds)
    facts = provenance(REPOSITORY)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    changed = " with uncommitted changes" if facts["uncommitted_changes"] else ""
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · commit {facts['commit'][:7]}{changed} · {facts['processor']}, "
        f"{facts['processor_cores']} cores · GPU {facts['gpu']} · torch {facts['packages']['torch']} · "
        f"load average after {load} · {torch.get_num_threads()} threads",
        "",
        f"{options.films:,} films of {options.resolution}², channel base {options.channel_base}, at most "
        f"{options.channel_max} channels, {batch_size} at a time, {block_dtype(pick_device())}, "
        f"{options.rounds} rounds, seconds of the {'clock' if torch.cuda.is_available() else 'processor'}:",
        "",
        "| way | films/s (median) | seconds (least to most) | of the limit |",
        "| --- | ---: | ---: | ---: |",
    ]
    # The limit draws whole batches.
    whole = -(-options.films // batch_size) * batch_size
    for way, values in seconds.items():
        films = whole if way == "the limit" else options.films
        ratios = [
            (options.films / mine) / (whole / best) for mine, best in zip(values, seconds["the limit"], strict=True)
        ]
        share = "1" if way == "the limit" else f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        lines.append(
            f"| {way} | {films / statistics.median(values):,.1f} | {min(values):.2f} to {max(values):.2f} | {share} |"
        )
    if torch.cuda.is_available() and options.films == AIM_FILMS:
        found = statistics.median(seconds["made"])
        lines += ["", f"Aim: {AIM_FILMS:,} films in under {AIM_SECONDS} s; found {found:.1f} s."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = GanSettings()
    for name in ("resolution", "latent_dim", "mapping_layers", "channel_base", "channel_max"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(defaults, name))
    parser.add_argument("--eigenfilms", action="store_true")
    parser.add_argument("--films", type=int, default=AIM_FILMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, as a study's threads_per_job")
    parser.add_argument("--write", action="store_true", help=f"add to {RESULTS.name}")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = report(options)
    sys.stdout.write(text)
    if options.write:
        with open(RESULTS, "a", encoding="utf-8") as file:
            file.write(f"\n{text}")


if __name__ == "__main__":
    main()
