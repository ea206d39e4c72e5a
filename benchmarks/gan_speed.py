"""How long a generator's training takes per 1,000 images: this trainer beside stylegan2-ada-pytorch, in one run.

Both train the same kind of networks (StyleGAN2 with skip outputs, residual discriminator) of the same resolution,
batch, channels and latents, on the same simulated films and with the same augmentations, and every step counts:
discriminator, generator, moving average, R1 every 16 steps, path lengths every 4, style mixing with probability 0.9.
The peer's steps are taken by its own loss and networks, from a checkout named on the command line; the loop around them
is written here, since its own needs CUDA. On a CPU the peer uses its reference operations, as its code does there. What
differs is part of what is compared: this trainer makes one set of films for both phases of a step, where the
peer makes two. This trainer shows its discriminator three bands of
detail beside the film.

They take turns, in an order that alternates, so that a busy machine slows both alike; ratios are taken within rounds.
Beside the time on the clock stands the processors' time, to which other people's work on the machine does not add.

Precision: float32 in both on a CPU. On a GPU this trainer computes its blocks in bfloat16; the peer computes its four
highest resolutions in float16, as its own presets do, and nothing in it is compiled by torch.

    git clone https://github.com/NVlabs/stylegan2-ada-pytorch PEER
    python benchmarks/gan_speed.py PEER                                        64², two cores
    python benchmarks/gan_speed.py PEER --resolution 256 --channel-base 16384 --channel-max 512 --batch 32 \\
        --device cuda --kimg 2                                                 on a GPU
"""

import argparse
import copy
import os
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource
from cxrlib.generators.diffaugment import augment
from cxrlib.generators.settings import GanSettings
from cxrlib.generators.stepping import Networks, Stepper, average_decay, new_networks
from cxrlib.reproducibility import provenance, random_generator
from cxrlib.study import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"
WAYS = ("this trainer", "stylegan2-ada-pytorch")
INTERVAL_STEPS = 16


def simulated_films(count: int, size: int) -> Tensor:
    """Phantom films, uint8 (count, size, size)."""
    source = PhantomSource(reader="phantom", scanner="public", negative_patients=count - 1, positive_patients=1)
    manifest = phantom_manifest(source, "training", 1)
    return torch.from_numpy(np.stack([phantom_film(source, 1, row, size).image for row in manifest.to_dict("records")]))


def recipe(options: argparse.Namespace) -> GanSettings:
    return GanSettings(
        resolution=options.resolution, latent_dim=512, mapping_layers=8, channel_base=options.channel_base,
        channel_max=options.channel_max, batch_size=options.batch, r1_weight=10.0, r1_interval_steps=INTERVAL_STEPS,
        path_length_weight=2.0, path_length_interval_steps=4, style_mixing_probability=0.9,
    )  # fmt: skip


class ThisTrainer:
    """Steps of the project's own training."""

    def __init__(self, settings: GanSettings, films: Tensor) -> None:
        networks = Networks(**new_networks(films, settings, ("benchmark",)))
        self.stepper = Stepper(networks, films, settings, ("benchmark",))

    def step(self, step: int) -> None:
        self.stepper.step(step, 0)
        self.stepper.sums = {}


class Peer:
    """Steps of stylegan2-ada-pytorch: its networks and loss, in the order of its training loop."""

    def __init__(self, settings: GanSettings, films: Tensor) -> None:
        from training.loss import StyleGAN2Loss
        from training.networks import Discriminator, Generator

        self.settings, self.films = settings, films
        self.random = random_generator(films.device, "benchmark")
        half = 4 if films.is_cuda else 0
        blocks = {
            "channel_base": settings.channel_base, "channel_max": settings.channel_max, "num_fp16_res": half,
            "conv_clamp": 256 if half else None,
        }  # fmt: skip
        shape = {"c_dim": 0, "img_resolution": settings.resolution, "img_channels": 1}
        mapping = {"num_layers": settings.mapping_layers}
        generator = Generator(z_dim=512, w_dim=512, mapping_kwargs=mapping, synthesis_kwargs=blocks, **shape)
        discriminator = Discriminator(epilogue_kwargs={"mbstd_group_size": 4}, **blocks, **shape)
        self.networks = {"G": generator, "D": discriminator}
        for network in self.networks.values():
            network.train().requires_grad_(False).to(films.device)
        self.average = copy.deepcopy(generator).eval()
        self.loss = StyleGAN2Loss(
            films.device, generator.mapping, generator.synthesis, discriminator, self._augment, style_mixing_prob=0.9,
            r1_gamma=settings.r1_weight, pl_weight=settings.path_length_weight,
        )  # fmt: skip
        self.intervals = {"G": settings.path_length_interval_steps, "D": settings.r1_interval_steps}
        self.optimisers = {}
        for name, network in self.networks.items():
            ratio = self.intervals[name] / (self.intervals[name] + 1)
            self.optimisers[name] = torch.optim.Adam(
                network.parameters(), settings.learning_rate * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, fused=True
            )

    def _augment(self, films: Tensor) -> Tensor:
        return augment(films, self.settings.augmentations, self.random)

    def step(self, step: int) -> None:
        batch, device = self.settings.batch_size, self.films.device
        rows = torch.randint(len(self.films), (batch,), generator=self.random, device=device)
        real = self.films[rows].unsqueeze(1).float() / 127.5 - 1
        for name, network in self.networks.items():
            for kind, interval in (("main", 1), ("reg", self.intervals[name])):
                if step % interval == 0:
                    self._phase(name + kind, network, self.optimisers[name], real, interval)
        with torch.no_grad():
            kept = average_decay((step + 1) * batch, batch, self.settings.ema_half_life_images, 0.05)
            pairs = zip(self.average.parameters(), self.networks["G"].parameters(), strict=True)
            for averaged, current in pairs:
                averaged.lerp_(current, 1 - kept)

    def _phase(
        self, name: str, network: torch.nn.Module, optimiser: torch.optim.Optimizer, real: Tensor, interval: int
    ) -> None:
        latents = torch.randn(len(real), 512, generator=self.random, device=real.device)
        none = torch.empty(len(real), 0, device=real.device)
        network.requires_grad_(True)
        self.loss.accumulate_gradients(name, real, none, latents, none, sync=True, gain=interval)
        network.requires_grad_(False)
        for parameter in network.parameters():
            if parameter.grad is not None:
                torch.nan_to_num(parameter.grad, nan=0, posinf=1e5, neginf=-1e5, out=parameter.grad)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(ways: dict[str, Callable[[int], None]], options: argparse.Namespace) -> pd.DataFrame:
    """Seconds per 1,000 images, and the machine's operations per second: one row per round, columns (clock or
    processor, way) and (speed, products)."""
    periods = max(1, round(options.kimg * 1000 / options.batch / INTERVAL_STEPS))
    steps = periods * INTERVAL_STEPS
    device, rows = torch.device(options.device), []
    for number in range(options.rounds + 1):
        found = {("speed", "products"): products_per_second(device)}
        for name in WAYS if number % 2 else WAYS[::-1]:
            settle(device)
            clock, processor = time.perf_counter(), time.process_time()
            # The first round warms up, which needs no more than one step of each kind.
            for step in range(steps if number else INTERVAL_STEPS):
                ways[name](step)
            settle(device)
            thousands = steps * options.batch / 1000
            found["clock", name] = (time.perf_counter() - clock) / thousands
            found["processor", name] = (time.process_time() - processor) / thousands
            found["speed", "products"] = max(found["speed", "products"], products_per_second(device))
        rows.append(found)
    return pd.DataFrame(rows[1:])


def summary(rounds: pd.DataFrame) -> list[str]:
    """Rows of the table: medians over rounds, and the range of the ratios within rounds."""
    lines = []
    for kind in ("clock", "processor"):
        ours, theirs = (rounds[kind, way] for way in WAYS)
        ratio = ours / theirs
        lines.append(
            f"| {kind} | {ours.median():.1f} ({ours.min():.1f}–{ours.max():.1f}) "
            f"| {theirs.median():.1f} ({theirs.min():.1f}–{theirs.max():.1f}) "
            f"| {ratio.median():.2f} ({ratio.min():.2f}–{ratio.max():.2f}) |"
        )
    return lines


class Counter(TorchDispatchMode):
    """Counts operations of matrix products and convolutions, and bytes that these and all other operations touch."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes_of_products = self.bytes_of_all = 0

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        result = call(*args, **(kwargs or {}))
        if call.is_view:
            return result
        touched = [value for value in tree_leaves((args, kwargs, result)) if isinstance(value, Tensor)]
        size = sum(value.numel() * value.element_size() for value in touched)
        self.bytes_of_all += size
        if call.overloadpacket in flop_registry:
            self.operations += flop_registry[call.overloadpacket](*args, **(kwargs or {}), out_val=result)
            self.bytes_of_products += size
        return result


def count(step: Callable[[int], None], batch: int) -> Counter:
    """Per 1,000 images, regularisers at their share."""
    with Counter() as counter:
        for number in range(INTERVAL_STEPS):
            step(number)
    for name in ("operations", "bytes_of_products", "bytes_of_all"):
        setattr(counter, name, getattr(counter, name) / INTERVAL_STEPS / batch * 1000)
    return counter


def floor_rows(ways: dict[str, Callable[[int], None]], rounds: pd.DataFrame, options: argparse.Namespace) -> list[str]:
    """What the machine could do at best, and how far each way is from it."""
    speed = rounds["speed", "products"].max()
    lines = [
        "| | 10¹² operations | GB touched by products | by all | floor, processor s | processor s, × floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    factors = {}
    for name in WAYS:
        counter = count(ways[name], options.batch)
        floor = counter.operations / speed
        factors[name] = rounds["processor", name].median() / floor
        lines.append(
            f"| {name} | {counter.operations / 1e12:.2f} | {counter.bytes_of_products / 1e9:.0f} "
            f"| {counter.bytes_of_all / 1e9:.0f} | {floor:.1f} | {factors[name]:.1f} |"
        )
    lines += [
        "",
        "All per 1,000 images. The floor is the time of the operations of convolutions and matrix products alone, at "
        f"{speed / 1e9:.0f} GFLOP/s: the most that a product of two 1,024 × 1,024 float32 matrices or a 3×3 "
        "convolution of 64 feature maps at 32² reached, forward or backward, on one thread, tried before and after "
        f"every turn (its range {rounds['speed', 'products'].min() / 1e9:.0f} to "
        f"{speed / 1e9:.0f}).",
    ]  # fmt: skip
    if min(factors.values()) < 1:
        lines += ["", "A floor lies above what was measured, so it is none: this machine was never free enough for a "
                  "product at its full speed. Measure again when it is quiet."]  # fmt: skip
    return lines


def products_per_second(device: torch.device) -> float:
    """Floating-point operations per second on one thread, the best of 20: of a large matrix product or of a convolution
    as the networks have, there or back, whichever is faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    matrix = torch.ones(1024, 1024, device=device)
    maps = torch.ones(16, 64, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    once = 2 * maps.numel() * 64 * 9

    def back() -> None:
        torch.ops.aten.convolution_backward(
            maps, maps, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, False]
        )

    kinds = (
        (2 * 1024**3, lambda: matrix @ matrix),
        (once, lambda: torch.conv2d(maps, weight, padding=1)),
        (2 * once, back),
    )
    now = time.perf_counter if device.type == "cuda" else time.process_time
    fastest = 0.0
    for operations, call in kinds:
        for _ in range(20):
            settle(device)
            began = now()
            for _ in range(4):
                call()
            settle(device)
            fastest = max(fastest, 4 * operations / (now() - began))
    torch.set_num_threads(threads)
    return fastest


def heading(options: argparse.Namespace) -> str:
    facts = provenance(REPOSITORY)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    changed = " with uncommitted changes" if facts["uncommitted_changes"] else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · commit {facts['commit'][:12]}{changed} · {facts['processor']}, "
        f"{facts['processor_cores']} cores · GPU {facts['gpu']} · torch {facts['packages']['torch']}, Python "
        f"{facts['python']} · load average before {load} · device {options.device}, {options.threads} threads"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", type=Path, help="checkout of stylegan2-ada-pytorch")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channel-base", type=int, default=2048)
    parser.add_argument("--channel-max", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--kimg", type=float, default=0.25, help="thousands of images per round and way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--write", action="store_true", help=f"add to {RESULTS.name}/gan_speed.md")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if not (options.peer / "training" / "loss.py").is_file():
        sys.exit(f"{options.peer}: no training/loss.py there; expected a checkout of stylegan2-ada-pytorch")
    sys.path.insert(0, str(options.peer.resolve()))
    # The peer was written for torch 1.7 and warns about what newer versions prefer.
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    torch.utils.deterministic.fill_uninitialized_memory = False
    title, settings = heading(options), recipe(options)
    films = simulated_films(256, options.resolution).to(options.device)
    torch.manual_seed(0)
    ways = {WAYS[0]: ThisTrainer(settings, films).step, WAYS[1]: Peer(settings, films).step}
    rounds = measure(ways, options)
    blocks = "bfloat16 and float16 blocks" if options.device == "cuda" else "float32"
    text = "\n".join([
        title, "",
        f"{options.resolution}², batch {options.batch}, channel base {options.channel_base}, channel maximum "
        f"{options.channel_max}, {blocks}; {options.rounds} rounds of {options.kimg:g} kimg; medians and ranges:", "",
        "| seconds of | this trainer, s/kimg | stylegan2-ada-pytorch, s/kimg | ratio |",
        "| --- | ---: | ---: | ---: |", *summary(rounds), "", *floor_rows(ways, rounds, options), "",
    ])  # fmt: skip
    sys.stdout.write(text)
    if options.write:
        with open(RESULTS / "gan_speed.md", "a", encoding="utf-8") as file:
            file.write(f"\n{text}")


if __name__ == "__main__":
    main()
