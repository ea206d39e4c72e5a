"""How fast a classifier trains: this trainer, the usual way, and the limit, in one run and taking turns.

(a) this trainer: films as uint8 on the device, turned and mirrored there, one grey channel, channels-last;
(b) the usual way: an ImageFolder of files, a DataLoader with workers, torchvision's transforms film by film, three
    channels, eager mode, Adam and OneCycleLR as their manuals show them;
(c) the limit: nothing but the optimiser step of (a), on films that lie ready as normalised tensors.

The files of (b) have the network's size already, so that it need not shrink them. Every round trains one epoch in each
way, in an order that rotates, so that a busy machine slows all of them alike; ratios are taken within rounds. Beside
the time on the clock stands the processors' time, worker processes included: a study trains one classifier per core,
side by side, and there it is what counts; nor does other people's work on the machine add to it.

    python benchmarks/classifier_speed.py shufflenet_v2_x0_5:64:1024 resnet18:64:256 --rounds 5
    python benchmarks/classifier_speed.py resnet50:224:4096 --device cuda --workers 16     on a GPU
    python benchmarks/classifier_speed.py --quality 4          the same recipe, both ways, on validation films
    python benchmarks/classifier_speed.py --memory             36,000 films of 224 x 224 pixels
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
import torchvision
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn
from torchvision import transforms

from cxrlib.classifiers import arms
from cxrlib.classifiers.composition import TrainingFilms, compose_training_films
from cxrlib.classifiers.fitting import TrainingRun, fit, one_cycle_learning_rates, train_epoch
from cxrlib.classifiers.network import as_pixels, build_classifier, normalise, pixel_statistics, start_phase
from cxrlib.classifiers.prediction import predict_probabilities
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.classifiers.stepping import Batch, make_stepper
from cxrlib.features import last_layer
from cxrlib.films.images import ImageSet
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource
from cxrlib.reproducibility import provenance
from cxrlib.study import REPOSITORY, load_study

RESULTS = REPOSITORY / "benchmarks" / "results"
WAYS = ("this trainer", "the usual way", "the limit")
PAPER_FILMS = {"training": 15_952, "synthetic per label": 10_000}


@dataclass(frozen=True)
class Case:
    """A network, the films' size in pixels, and how many of them an epoch has."""

    network: str
    size: int
    films: int

    @classmethod
    def parse(cls, text: str) -> "Case":
        network, size, films = text.split(":")
        return cls(network, int(size), int(films))


def simulated_films(count: int, size: int, seed: int, share_positive: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Phantom films, uint8 (count, size, size), and their labels (count,)."""
    positives = round(count * share_positive)
    source = PhantomSource(
        reader="phantom", scanner="public", negative_patients=count - positives, positive_patients=positives
    )
    manifest = phantom_manifest(source, "training", seed)
    images = np.stack([phantom_film(source, seed, row, size).image for row in manifest.to_dict("records")])
    return images, (manifest["label"] == "positive").to_numpy(np.int64)


def write_files(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """One folder per label, as ImageFolder wants them; lossless, so that both ways see the same pixels."""
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = folder / ("negative", "positive")[label] / f"{index:06d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder


def recipe(case: Case, batch: int) -> ClassifierSettings:
    return ClassifierSettings(
        network=case.network, weights="none", image_size=case.size, batch_size=batch, frozen_epochs=0, epochs=1
    )


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class ThisTrainer:
    """Epochs of the project's own training loop."""

    def __init__(self, case: Case, batch: int, images: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        films = TrainingFilms(images, labels, np.arange(len(images)), len(images))
        self.run = TrainingRun(recipe(case, batch), ("benchmark",), films, pixel_statistics(images))
        network = build_classifier(self.run.settings, 0, device)
        resident = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
        self.stepper = make_stepper(
            network, start_phase(network, "all", pretrained=False), *resident, self.run.statistics
        )
        self.rates = one_cycle_learning_rates(self.run.steps_per_epoch, 0.001)
        self.epoch = 0

    def __call__(self) -> None:
        train_epoch(self.stepper, self.rates, self.run, self.epoch)
        self.epoch += 1


class Limit(ThisTrainer):
    """The same optimiser steps on one batch that lies ready."""

    def __init__(self, case: Case, batch: int, images: np.ndarray, labels: np.ndarray, device: torch.device) -> None:
        super().__init__(case, batch, images, labels, device)
        ready = normalise(as_pixels(self.stepper.images[:batch]), self.run.statistics)
        self.stepper.films_of = lambda given: ready
        rows = torch.arange(batch, device=device)
        self.batch = Batch(rows, rows.float(), rows > 0, torch.tensor(0.001, device=device))
        self.steps = len(images) // batch

    def __call__(self) -> None:
        for _ in range(self.steps):
            self.stepper.step(self.batch)


class UsualWay:
    """The same recipe as most would write it."""

    def __init__(
        self, case: Case, batch: int, folder: Path, statistics: tuple[float, float], device: torch.device, workers: int,
        seed: int = 0, epochs: int = 1, rate: float = 0.001,
    ) -> None:  # fmt: skip
        mean, std = statistics
        self.transform = transforms.Compose([
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(5, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.ToTensor(),
            transforms.Normalize([mean] * 3, [std] * 3),
        ])  # fmt: skip
        torch.manual_seed(seed)
        films = torchvision.datasets.ImageFolder(str(folder), self.transform)
        self.loader = torch.utils.data.DataLoader(
            films, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0,
            pin_memory=device.type == "cuda", drop_last=len(films) % batch == 1,
        )  # fmt: skip
        self.device = device
        self.network = torchvision.models.get_model(case.network, weights=None)
        parent, _, child = last_layer(self.network)[0].rpartition(".")
        new = nn.Linear(last_layer(self.network)[1].in_features, 2)
        setattr(self.network.get_submodule(parent), child, new)
        self.network.to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=rate)
        self.policy = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=rate, total_steps=max(1, epochs) * len(self.loader), cycle_momentum=False
        ) if epochs else None  # fmt: skip

    def __call__(self) -> None:
        self.network.train()
        total = 0.0
        for films, labels in self.loader:
            outputs = self.network(films.to(self.device, non_blocking=True))
            loss = nn.functional.cross_entropy(outputs, labels.to(self.device, non_blocking=True))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            if self.policy:
                self.policy.step()
            total += loss.item()

    @torch.inference_mode()
    def predict(self, images: np.ndarray, statistics: tuple[float, float]) -> np.ndarray:
        self.network.eval()
        plain = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize([statistics[0]] * 3, [statistics[1]] * 3)]
        )
        films = torch.stack([plain(Image.fromarray(image).convert("RGB")) for image in images])
        outputs = torch.cat([self.network(part.to(self.device)) for part in films.split(64)])
        return outputs.double().softmax(1)[:, 1].cpu().numpy()


def measure(case: Case, options: argparse.Namespace) -> pd.DataFrame:
    """Seconds per film: one row per round, columns (clock or processor, way)."""
    device = torch.device(options.device)
    images, labels = simulated_films(min(case.films, 128), case.size, seed=1)
    images, labels = (np.resize(array, (case.films, *array.shape[1:])) for array in (images, labels))
    found = pixel_statistics(images)
    statistics = found.mean, found.std
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), images, labels)
        ways: dict[str, Callable[[], None]] = {
            WAYS[0]: ThisTrainer(case, options.batch, images, labels, device),
            WAYS[1]: UsualWay(case, options.batch, files, statistics, device, options.workers, epochs=0),
            WAYS[2]: Limit(case, options.batch, images, labels, device),
        }
        rounds = [_round(ways, number, case.films, options.batch, device) for number in range(options.rounds + 1)]
    # The first round warms up: worker processes start, recordings are made.
    return pd.DataFrame(rounds[1:])


def _round(
    ways: dict[str, Callable[[], None]], number: int, films: int, batch: int, device: torch.device
) -> dict[tuple[str, str], float]:
    names = list(ways)[number % 3 :] + list(ways)[: number % 3]
    found = {}
    for name in names:
        settle(device)
        clock, processor = time.perf_counter(), processor_seconds()
        ways[name]()
        settle(device)
        done = films // batch * batch if name == WAYS[2] else films
        found["clock", name] = (time.perf_counter() - clock) / done
        found["processor", name] = (processor_seconds() - processor) / done
    return found


def processor_seconds() -> float:
    """Of this process and its workers, on all cores together."""
    top = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (top, *top.children(recursive=True)))


def speed_rows(cases: list[Case], options: argparse.Namespace) -> Iterator[str]:
    for case in cases:
        table = measure(case, options)
        for kind in ("clock", "processor"):
            ours, usual, limit = (table[kind, way] for way in WAYS)
            films = " | ".join(f"{1 / column.median():,.1f}" for column in (ours, usual, limit))
            yield (
                f"| {case.network}, {case.size}², batch {options.batch}, {case.films} × {options.rounds} | {kind} "
                f"| {films} | {_ratio(usual / ours)} | {_ratio(limit / ours)} |"
            )


def _ratio(rounds: pd.Series) -> str:
    return f"{rounds.median():.2f} ({rounds.min():.2f}–{rounds.max():.2f})"


def quality(seeds: int, options: argparse.Namespace) -> str:
    """Accuracy and AUC on validation films of both ways, mean and standard deviation over seeds."""
    case, epochs, rate = Case("shufflenet_v2_x0_5", 64, options.quality_films), 8, 0.006
    images, labels = simulated_films(case.films, case.size, seed=1)
    validation, truth = simulated_films(400, case.size, seed=2)
    found = pd.DataFrame(
        [_both_ways(case, epochs, rate, seed, images, labels, validation, truth) for seed in range(seeds)]
    )
    mean, spread = found.mean(), found.std()
    rows = [
        f"| {way} | {mean[f'{way} accuracy']:.4f} ± {spread[f'{way} accuracy']:.4f} "
        f"| {mean[f'{way} auc']:.4f} ± {spread[f'{way} auc']:.4f} |"
        for way in WAYS[:2]
    ]
    return "\n".join([
        f"{case.network}, {case.size}², random weights, {case.films} simulated films, {epochs} epochs, {seeds} seeds, "
        "400 simulated validation films; mean ± standard deviation over seeds:", "",
        "| way | accuracy | ROC-AUC |", "| --- | ---: | ---: |", *rows,
    ])  # fmt: skip


def _both_ways(
    case: Case, epochs: int, rate: float, seed: int, images: np.ndarray, labels: np.ndarray, validation: np.ndarray,
    truth: np.ndarray,
) -> dict[str, float]:  # fmt: skip
    statistics = pixel_statistics(images)
    films = TrainingFilms(images, labels, np.arange(len(images)), len(images))
    settings = recipe(case, 16).model_copy(update={"epochs": epochs, "maximum_learning_rate": rate})
    network = fit(TrainingRun(settings, ("quality", seed), films, statistics))
    answers = {WAYS[0]: predict_probabilities(network, validation, statistics)}
    with tempfile.TemporaryDirectory() as folder:
        files, pair = write_files(Path(folder), images, labels), (statistics.mean, statistics.std)
        usual = UsualWay(case, 16, files, pair, torch.device("cpu"), 0, seed=seed, epochs=epochs, rate=rate)
        for _ in range(epochs):
            usual()
    answers[WAYS[1]] = usual.predict(validation, pair)
    found = {}
    for way, p_positive in answers.items():
        found[f"{way} accuracy"] = float(((p_positive >= 0.5) == truth).mean())
        found[f"{way} auc"] = float(roc_auc_score(truth, p_positive))
    return found


def memory() -> str:
    """Peak memory of composing the paper's 35,952 films at 224 pixels and training on them, without the network."""
    with tempfile.TemporaryDirectory() as folder:
        _generate(Path(folder) / "training.npy", PAPER_FILMS["training"], 224)
        for label in ("negative", "positive"):
            _generate(Path(folder) / f"{label}.npy", PAPER_FILMS["synthetic per label"], 256)
        command = [sys.executable, __file__, "--memory-of", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return (
        f"{found['films']:,} films of 224² (15,952 public ones, one left out by the audit; 20,000 synthetic ones made "
        f"at 256² and resized): peak {found['peak_gb']:.2f} GB, of which {found['libraries_gb']:.2f} GB are Python and "
        "its libraries, and 1.80 GB the films themselves. A step is taken with a network of two parameters."
    )


def _generate(path: Path, films: int, size: int) -> None:
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (films, size, size))
    noise = np.random.default_rng(0).integers(0, 256, (256, size, size), dtype=np.uint8)
    for start in range(0, films, 256):
        array[start : start + 256] = noise[: films - start]


def memory_of(folder: Path) -> dict[str, float]:
    """Run in a process of its own: what composing and a short epoch take at most."""
    libraries = _peak_gb()
    tables = {
        name: pd.DataFrame({"image_id": [str(row) for row in range(count)], "label": label})
        for name, count, label in (
            ("training", 15_952, "negative"), ("negative", 10_000, "negative"), ("positive", 10_000, "positive"),
        )
    }  # fmt: skip
    tables["training"].loc[::7, "label"] = "positive"

    def mapped(name: str) -> ImageSet:
        return ImageSet(tables[name], np.load(folder / f"{name}.npy", mmap_mode="r"))

    def audited(*_: object) -> ImageSet:
        return mapped("training").select(np.arange(1, 15_952))

    arms.load_image_set = audited
    arms.load_manifest = lambda *_: audited().manifest
    arms.load_synthetic = lambda study, label, *_, **__: mapped(label)
    os.environ["COVIDX_V8B"] = os.environ["HOSPITAL_FILMS"] = str(folder)
    statistics = pixel_statistics(audited().images)
    films = compose_training_films(load_study("paper"), "synthetic", 0, "all")
    films = replace(films, films_per_epoch=640)
    run = TrainingRun(ClassifierSettings(network="resnet18", weights="none", epochs=1), ("memory",), films, statistics)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    stepper = make_stepper(
        network, list(network.parameters()), torch.from_numpy(films.images), torch.from_numpy(films.labels), statistics
    )
    short = [0.001] * run.steps_per_epoch
    train_epoch(stepper, short, run, 0)
    return {"films": len(films.images), "peak_gb": _peak_gb(), "libraries_gb": libraries}


def _peak_gb() -> float:
    """The most memory that was resident since this program started (getrusage would count its parent's too)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


def heading(options: argparse.Namespace) -> str:
    facts = provenance(REPOSITORY)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    changed = " with uncommitted changes" if facts["uncommitted_changes"] else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · commit {facts['commit'][:12]}{changed} · {facts['processor']}, "
        f"{facts['processor_cores']} cores · GPU {facts['gpu']} · torch {facts['packages']['torch']}, torchvision "
        f"{facts['packages']['torchvision']}, Python {facts['python']} · load average before {load} · "
        f"device {options.device}, {options.threads} threads, {options.workers} workers"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", type=Case.parse, help="network:size:films, e.g. resnet50:224:512")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, as a study's threads_per_job")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the usual way")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quality", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--quality-films", type=int, default=600)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=f"add to {RESULTS.name}/classifier_speed.md")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.utils.deterministic.fill_uninitialized_memory = False
    if options.memory_of:
        sys.stdout.write(json.dumps(memory_of(options.memory_of)))
        return
    parts = [heading(options)]
    if options.cases:
        parts.append("\n".join([
            "| network, films × rounds | seconds of | this trainer, films/s | usual way | limit | × usual | of limit |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |", *speed_rows(options.cases, options),
        ]))  # fmt: skip
    if options.quality:
        parts.append(quality(options.quality, options))
    if options.memory:
        parts.append(memory())
    text = "\n\n".join(parts) + "\n"
    sys.stdout.write(text)
    if options.write:
        with open(RESULTS / "classifier_speed.md", "a", encoding="utf-8") as file:
            file.write(f"\n{text}")


if __name__ == "__main__":
    main()
