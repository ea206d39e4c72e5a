"""Everything that only a GPU can prove, in one command; on a CPU the same path at a small size.

    python benchmarks/campaign.py --pack results/public --size 256 --films films.npy        once, where the films are
    python benchmarks/campaign.py --films films.npy --minutes 9 --out FOLDER                where the GPU is

It needs torch and numpy only (cxrlib from this checkout, nothing installed). Each part writes its answer when it is
finished and is not done again, so that the command may be given again until all is done: checks of every path against
the CPU in float32; seconds per 1,000 images by batch and by switch (TF32, cuDNN's search, CUDA graphs, how torch
compiles), beside stylegan2-ada-pytorch with `--peer CHECKOUT` (which needs the project's packages); synthesis with
storage; the classifier's step; and training of both labels for what is left of the minutes, with sheets of films.
What fails says why, and the rest is done. `campaign.md` in the folder tells all of it. No file is larger than 16 MB;
what training goes on from lies in FOLDER-state.
"""

import argparse
import csv
import functools
import json
import platform
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cxrlib.efficientnet_lite import EfficientNetLite
from cxrlib.generators.drawing import make_films
from cxrlib.generators.losses import path_lengths, r1_penalty
from cxrlib.generators.networks import make_discriminator, make_generator
from cxrlib.generators.stepping import Networks, Stepper, new_networks, tensor_float_products

MOST_FILM_BYTES, MOST_FILE_BYTES = 40_000_000, 16_000_000
LABELS = ("negative", "positive")
RECIPE = {
    "latent_dim": 512, "mapping_layers": 8, "channel_max": 512, "eigenfilms": False, "modulation": "demodulated",
    "batch_size": 8, "learning_rate": 0.002, "discriminator_learning_rate": 0.002, "r1_weight": 10.0,
    "r1_interval_steps": 16, "path_length_weight": 2.0, "path_length_interval_steps": 4, "feature_matching_weight": 0.0,
    "style_mixing_probability": 0.9, "ema_half_life_images": 10_000, "ema_warmup": 0.1, "adaptive_target": None,
    "augmentations": ("brightness", "contrast", "translation", "cutout"), "horizontal_flips": False,
}  # fmt: skip
# Root mean square differences that are let pass, as shares of the spread of the values compared.
TOLERANCES = {"float32": 2e-3, "bfloat16": 0.05}


def settings_for(side: int, **changes: Any) -> SimpleNamespace:
    small = {"latent_dim": 32, "mapping_layers": 2, "channel_max": 16} if side <= 64 else {}
    base = 16_384 if side > 64 else 512
    return SimpleNamespace(**RECIPE | small | {"resolution": side, "channel_base": base} | changes)


def pack(results: Path, side: int, file: Path) -> None:
    """Write the hospital's films and labels of a study as one array of (label, film), at most 40 MB."""
    with open(results / "data" / "hospital" / "manifest.csv", newline="", encoding="utf-8") as table:
        labels = [LABELS.index(row["label"]) for row in csv.DictReader(table)]
    films = np.load(results / "data" / "hospital" / f"images-{side}.npy", mmap_mode="r")
    kept = np.linspace(0, len(films) - 1, min(len(films), MOST_FILM_BYTES // (side * side + 1) - 1)).astype(int)
    packed = np.zeros(len(kept), [("label", "u1"), ("film", "u1", (side, side))])
    packed["label"], packed["film"] = np.array(labels)[kept], films[kept]
    np.save(file, packed)


class Campaign:
    """The parts in their order, each done once, within the minutes."""

    def __init__(self, films: np.ndarray, out: Path, minutes: float, peer: Path | None = None, steps: int = 64) -> None:
        self.films, self.out, self.peer, self.steps = films, out, peer, steps
        self.end = time.monotonic() + 60 * minutes
        self.side = films["film"].shape[1]
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.cuda = self.device.type == "cuda"
        out.mkdir(parents=True, exist_ok=True)
        self.parts: dict[str, Callable[[], Any]] = {
            "checks": self.checks, "speed": self.speed, "peer": self.peer_speed, "synthesis": self.synthesis,
            "classifier": self.classifier,
        }  # fmt: skip

    def run(self) -> bool:
        """Do what is not done yet; say whether all is."""
        for name, part in self.parts.items():
            file = self.out / f"{name}.json"
            if file.exists():
                continue
            if time.monotonic() > self.end:
                break
            write_json(file, attempted(part))
        else:
            self.train()
        (self.out / "campaign.md").write_text(self.page(), encoding="utf-8")
        return all((self.out / f"{name}.json").exists() for name in self.parts)

    def stepper(self, films: Tensor | None = None, name: str = "campaign", **changes: Any) -> Stepper:
        compiled = changes.pop("compiled", self.cuda)
        settings = settings_for(self.side, **changes)
        shown = self.some_films(0) if films is None else films
        return Stepper(Networks(**new_networks(shown, settings, (name,))), shown, settings, (name,), compiled=compiled)

    def some_films(self, label: int) -> Tensor:
        return torch.from_numpy(self.films["film"][self.films["label"] == label].copy()).to(self.device)

    def checks(self) -> list[dict[str, Any]]:
        """Every path on this device against the CPU in float32, with equal weights and inputs."""
        torch.manual_seed(1)
        settings = settings_for(self.side)
        generator, discriminator = make_generator(settings), make_discriminator(settings)
        judge = EfficientNetLite("efficientnet_lite0").eval()
        inputs = generator.draw(4, torch.Generator().manual_seed(2))
        films = torch.from_numpy(self.films["film"][:4].copy())[:, None].float() / 127.5 - 1
        paths = {
            "generator": lambda at, dtype: generator(*at(inputs), dtype=dtype),
            "discriminator": lambda at, dtype: discriminator(at(films), dtype),
            "R1": lambda at, dtype: _r1(discriminator, at(films), dtype),
            "path length": lambda at, dtype: _lengths(generator, at(inputs), dtype),
            "judge": lambda at, dtype: judge(at(films).to(dtype).expand(-1, 3, -1, -1)),
            "films": lambda at, dtype: torch.from_numpy(
                next(make_films(generator, [1, 2, 3, 4], 1.0, 4, dtype)).astype(np.float32)),
        }  # fmt: skip
        rows = []
        for name, path in paths.items():
            everything = (generator, discriminator, judge)
            expected = _on(torch.device("cpu"), path, torch.float32, everything) if name != "films" else None
            for dtype in ("float32", "bfloat16"):
                if name == "judge" and dtype == "bfloat16":
                    continue
                found = _on(self.device, path, getattr(torch, dtype), everything)
                expected = found if expected is None else expected
                apart = float((found - expected).square().mean().sqrt() / expected.std().clamp_min(1e-6))
                limit = TOLERANCES[dtype] * (5 if name in ("R1", "path length") else 1)
                rows.append({"path": name, "precision": dtype, "apart": apart, "allowed": limit, "ok": apart <= limit})
        for label in (0, 1):
            stepper = self.stepper(self.some_films(label), LABELS[label], compiled=self.cuda)
            for step in range(2):
                stepper.step(step, 0)
            finite = all(value.isfinite().all() for value in stepper.networks.average.state_dict().values())
            rows.append({"path": f"two steps, {LABELS[label]}", "precision": str(stepper.dtype)[6:], "apart": 0.0,
                         "allowed": 0.0, "ok": bool(finite)})  # fmt: skip
        return rows

    def speed(self) -> list[dict[str, Any]]:
        """Seconds per 1,000 images: by batch, then at batch 8 with one switch changed."""
        ways: dict[str, dict[str, Any]] = {f"batch {batch}": {"batch_size": batch} for batch in (8, 16, 32)}
        ways["path length every 8"] = {"path_length_interval_steps": 8}
        ways["no path length"] = {"path_length_weight": 0.0}
        if self.cuda:
            ways["not compiled"] = {"compiled": False}
            ways["without TF32"] = {"tf32": False}
            ways["cudnn.benchmark"] = {"benchmark": True}
            ways["CUDA graphs"] = {"mode": "reduce-overhead"}
            ways["compiled, max-autotune without graphs"] = {"mode": "max-autotune-no-cudagraphs"}
        return self.timed(ways)

    def timed(self, ways: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """A row for each way that there is time for; one that fails says why."""
        rows = []
        for name, changes in ways.items():
            if time.monotonic() < self.end:
                rows.append({"way": name} | attempted(functools.partial(self._timed, **changes)))
                torch.compiler.reset()
                torch.set_float32_matmul_precision("highest")
                torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = True, False
        return rows

    def _timed(
        self, tf32: bool = True, benchmark: bool = False, mode: str | None = None, **changes: Any
    ) -> dict[str, float]:
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, benchmark
        stepper = self.stepper(**changes | ({"compiled": False} if mode else {}))
        if mode:
            calls = stepper.synthesise, stepper.judge
            stepper.synthesise, stepper.judge = (torch.compile(call, dynamic=False, mode=mode) for call in calls)
        batch = stepper.settings.batch_size
        for step in range(18 if self.cuda else 1):
            stepper.step(step, 0)
        steps, seconds = self.steps, []
        for step in range(16, 16 + steps):
            self._wait()
            began = time.perf_counter()
            torch.compiler.cudagraph_mark_step_begin()
            stepper.step(step, 0)
            self._wait()
            seconds.append(time.perf_counter() - began)
        interval = stepper.settings.path_length_interval_steps
        plain = [value for step, value in enumerate(seconds, 16) if step % interval] or seconds
        return {
            "s_per_1000": 1000 * sum(seconds) / steps / batch,
            "s_per_1000_of_plain_steps": 1000 * float(np.median(plain)) / batch,
        }

    def peer_speed(self) -> dict[str, Any]:
        """stylegan2-ada-pytorch at batch 8 on the same films, by the class of `gan_speed.py`."""
        if self.peer is None:
            return {"not_measured": "no --peer was given"}
        sys.path[:0] = [str(self.peer.resolve()), str(Path(__file__).resolve().parent)]
        try:
            from gan_speed import Peer
        except ImportError as error:
            return {"not_measured": str(error)}
        peer = Peer(settings_for(self.side, latent_dim=512), self.some_films(0))
        for step in range(18):
            peer.step(step)
        self._wait()
        began = time.perf_counter()
        for step in range(16, 80):
            peer.step(step)
        self._wait()
        return {"s_per_1000": 1000 * (time.perf_counter() - began) / 64 / 8}

    def synthesis(self) -> dict[str, float]:
        """Films of so many seeds, drawn and stored."""
        generator, count = make_generator(settings_for(self.side)).eval(), 20_000 if self.cuda else 64
        file = self.state_folder / "drawn.npy"
        stored = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, self.side, self.side))
        began, done = time.perf_counter(), 0
        for films in make_films(generator, range(count), 1.0, 256 if self.cuda else 16):
            stored[done : done + len(films)] = films
            done += len(films)
        stored.flush()
        seconds = time.perf_counter() - began
        file.unlink()
        return {"films": count, "seconds": seconds, "films_per_second": count / seconds}

    def classifier(self) -> dict[str, Any]:
        """Seconds per 1,000 films of a training step at 224 px, batch 16: ResNet-50, or Lite0 without torchvision."""
        try:
            from torchvision.models import resnet50 as build
        except ImportError:
            build = functools.partial(EfficientNetLite, "efficientnet_lite0")
        side = 224 if self.cuda else 64
        network = build().to(self.device, memory_format=torch.channels_last).train()
        optimiser = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
        films = torch.randn(16, 3, side, side, device=self.device).contiguous(memory_format=torch.channels_last)
        target, found = torch.arange(16, device=self.device) % 2, {}
        for precision in (torch.float32, torch.bfloat16) if self.cuda else (torch.float32,):
            steps = 40 if self.cuda else 2
            for step in range(steps + 5 * self.cuda):
                if step == 5 * self.cuda:
                    self._wait()
                    began = time.perf_counter()
                with torch.autocast(self.device.type, precision, enabled=precision != torch.float32):
                    loss = torch.nn.functional.cross_entropy(network(films), target)
                loss.backward()
                optimiser.step()
                optimiser.zero_grad()
            self._wait()
            found[str(precision)[6:]] = 1000 * (time.perf_counter() - began) / steps / 16
        return {"network": build.__name__, "px": side, "s_per_1000": found}

    @property
    def state_folder(self) -> Path:
        folder = self.out.parent / f"{self.out.name}-state"
        folder.mkdir(exist_ok=True)
        return folder

    def train(self) -> None:
        """Both labels in turns until the minutes are over, going on from where the last call ended."""
        steppers, steps = {}, {}
        for number, label in enumerate(LABELS):
            steppers[label], steps[label] = self.stepper(self.some_films(number), label, compiled=self.cuda), 0
            file = self.state_folder / f"{label}.pt"
            if file.exists():
                stored = torch.load(file, map_location=self.device, weights_only=True)
                steps[label] = stored.pop("steps")
                for name, state in stored.items():
                    getattr(steppers[label].networks, name).load_state_dict(state)
        turn = 0
        while turn == 0 or (time.monotonic() < self.end and (self.cuda or turn < self.steps)):
            for label, stepper in steppers.items():
                for _ in range(16 if self.cuda else 1):
                    with tensor_float_products(self.device):
                        stepper.step(steps[label], 0)
                    steps[label] += 1
                stepper.sums = {}
            turn += 1
        for label, stepper in steppers.items():
            parts = vars(stepper.networks)
            torch.save({name: part.state_dict() for name, part in parts.items()} | {"steps": steps[label]},
                       self.state_folder / f"{label}.pt")  # fmt: skip
            films = next(make_films(stepper.networks.average, range(32), 1.0, 32))
            sheet = films.reshape(4, 8, self.side, self.side).swapaxes(1, 2).reshape(4 * self.side, -1)
            write_png(self.out / f"{label}-{steps[label] * stepper.settings.batch_size:07d}.png", sheet)
        write_json(self.out / "training.json", {label: count * RECIPE["batch_size"] for label, count in steps.items()})

    def page(self) -> str:
        """What is done so far, in Markdown."""
        hardware = (
            torch.cuda.get_device_name(0) if self.cuda else f"{platform.machine()}, {torch.get_num_threads()} threads"
        )
        lines = ["# Campaign", "", f"{hardware}; torch {torch.__version__}, Python {platform.python_version()}; "
                 f"commit {commit()}; films of {self.side} px.", ""]  # fmt: skip
        for name in (*self.parts, "training"):
            file = self.out / f"{name}.json"
            lines += [f"## {name.capitalize()}", ""]
            if not file.exists():
                lines += ["Not done yet.", ""]
                continue
            found = json.loads(file.read_text(encoding="utf-8"))
            rows = found if isinstance(found, list) else [found]
            columns = list(dict.fromkeys(name for row in rows for name in row))
            lines += ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
            lines += ["| " + " | ".join(_cell(row.get(name, "")) for name in columns) + " |" for row in rows] + [""]
        return "\n".join(lines)

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def _r1(discriminator: torch.nn.Module, films: Tensor, dtype: torch.dtype) -> Tensor:
    films = films.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(films, dtype).sum(), films)
    return gradient if dtype != torch.float32 else gradient + 0 * r1_penalty(discriminator(films), films).detach()


def _lengths(generator: torch.nn.Module, inputs: tuple[Tensor, list[Tensor]], dtype: torch.dtype) -> Tensor:
    latents, noise = inputs
    styles, normalised = generator.styles(latents)
    styles = styles[:, None].expand(-1, len(noise), -1)
    films = generator.synthesise(styles, normalised, noise, dtype)
    return path_lengths(films, styles, torch.ones_like(films)).detach()


def _on(device: torch.device, path: Callable, dtype: torch.dtype, networks: tuple[torch.nn.Module, ...]) -> Tensor:
    """What a path gives on a device, back on the CPU in float32; products in full precision."""
    for network in networks:
        network.to(device)

    def there(values: Any) -> Any:
        return values.to(device) if isinstance(values, Tensor) else type(values)(map(there, values))

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return path(there, dtype).detach().float().cpu()


def attempted(part: Callable[[], Any]) -> Any:
    """What a part finds, or why it failed, so that the others are done all the same."""
    try:
        return part()
    except (RuntimeError, AssertionError, ImportError, OSError, subprocess.SubprocessError) as error:
        return {"not_measured": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def commit() -> str:
    head = Path(__file__).resolve().parent.parent / ".git"
    if not (head / "HEAD").is_file():
        return "unknown"
    name = (head / "HEAD").read_text(encoding="utf-8").strip()
    branch = head / name.removeprefix("ref: ")
    return branch.read_text(encoding="utf-8")[:12] if branch.is_file() else name[:12]


def write_json(file: Path, values: Any) -> None:
    temporary = file.with_suffix(".part")
    temporary.write_text(json.dumps(values, indent=1), encoding="utf-8")
    temporary.replace(file)


def write_png(file: Path, pixels: np.ndarray) -> None:
    """Grey levels uint8 (H, W) as a PNG, without a library for images; halved until it is small enough."""
    while True:
        height, width = pixels.shape
        rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1).tobytes()
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
        chunks = [
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        ]
        content = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
        if len(content) <= MOST_FILE_BYTES:
            file.write_bytes(content)
            return
        pixels = pixels[::2, ::2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, required=True, help="the prepared films")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--out", type=Path, help="folder for what is found")
    parser.add_argument("--peer", type=Path, help="checkout of stylegan2-ada-pytorch")
    parser.add_argument("--pack", type=Path, metavar="RESULTS", help="prepare the films of this finished study")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=64, help="timed steps of each way")
    asked = parser.parse_args()
    if asked.pack:
        pack(asked.pack, asked.size, asked.films)
        return 0
    films = np.load(asked.films)
    if films.dtype.names != ("label", "film") or asked.out is None:
        print(f"{asked.films}: expected films made by --pack, and --out FOLDER")
        return 2
    finished = Campaign(films, asked.out, asked.minutes, asked.peer, asked.steps).run()
    print("finished" if finished else "give the command again: a part is still to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
