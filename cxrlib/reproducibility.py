"""Seeds, device, and the facts that a reader needs to repeat a run."""

import functools
import hashlib
import importlib.metadata
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

REPORTED_PACKAGES = (
    "cxrlib", "torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "jupyter-book", "papermill",
    "snakemake",
)  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def find_browser() -> str:
    """Path of Chromium or a browser of its family: what `CHROMIUM` names, else one on the path; empty without any."""
    candidates = (os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS))
    return next((path for path in candidates if path and Path(path).exists()), "")


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seed_for(*parts: Any) -> int:
    """A seed in [0, 2**63) for this purpose; equal parts give equal seeds, on every machine."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def random_generator(device: "torch.device | str", *parts: Any) -> "torch.Generator":
    """A torch generator seeded by its purpose.

    Training draws from a fresh one per step, named by the step, so that a resumed run needs no saved random state.
    """
    import torch

    return torch.Generator(device=device).manual_seed(seed_for(*parts))


def pick_device() -> "torch.device":
    """The first GPU where there is one that torch can use, else the CPU; why not is logged, once a process."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    _warn(why_no_gpu())
    return torch.device("cpu")


@functools.cache
def _warn(reason: str) -> None:
    """Once a process for each reason."""
    if reason:
        logger.warning("%s", reason)


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA or an Apple GPU, whatever torch makes of it."""
    nvidia = any(Path(place).exists() for place in ("/dev/nvidia0", "/proc/driver/nvidia/gpus"))
    return nvidia or (platform.system(), platform.machine()) == ("Darwin", "arm64")


def why_no_gpu() -> str:
    """Why a GPU that this machine has is not used; empty where it is used, and where there is none.

    Apple's is not: it has no numbers of 64 bits, which losses and predictions here are computed with.
    """
    import torch

    if torch.backends.mps.is_available():
        return "THE GPU OF THIS MAC IS NOT USED: Metal lacks 64-bit numbers, which this study needs; on the CPU"
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not has_gpu():
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300]
        return f"THE GPU OF THIS MACHINE IS NOT USED: torch {torch.__version__} says: {reason}; on the CPU"
    return ""


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Inside, a CPU gives the same bits every time: fixed number of threads, deterministic algorithms."""
    import torch

    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    # Filling fresh memory only guards code that reads what it never wrote; it costs a tenth of a small step.
    fresh: Any = torch.utils.deterministic
    fill_before, fresh.fill_uninitialized_memory = fresh.fill_uninitialized_memory, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        fresh.fill_uninitialized_memory = fill_before
        torch.set_num_threads(threads_before)


def provenance(repository: Path) -> dict[str, Any]:
    """Commit, versions and hardware, as printed on the book's last page."""
    # An installed package may lie inside somebody else's checkout.
    checkout = (repository / ".git").exists()
    return {
        "commit": (checkout and _git(repository, "rev-parse", "HEAD")) or "not a git checkout",
        "uncommitted_changes": checkout and bool(_git(repository, "status", "--porcelain")),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in REPORTED_PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processor_cores": available_cores(),
        "gpu": _gpu(),
    }


def _git(repository: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
