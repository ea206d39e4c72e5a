"""`cxr doctor`: what this machine has of what a study needs, and what to do about the rest."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from cxrlib.films.settings import FilesSource
from cxrlib.networks import NETWORKS
from cxrlib.reproducibility import available_cores, find_browser, has_gpu
from cxrlib.study import Study
from cxrlib.wings import WINGS
from cxrlib.workflow.report import asked_of_torch

GIGABYTE = 1e9
FREE_DISK, FREE_MEMORY, CORES = 5, 4, 2
PROXIES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
# Where programs of Python, pip and git look for the certificate of a proxy that opens connections.
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")


State = Literal["ok", "look", "missing"]


@dataclass(frozen=True)
class Finding:
    """One thing: `ok`, to `look` at, or `missing`, without which a study can't run; and what to do about it."""

    what: str
    state: State
    found: str
    todo: str = ""


def examine(study: Study | None = None, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Everything that a study needs or may use; with a study, its own films and weights too."""
    yield _system()
    yield _python()
    yield from _wings()
    yield from _room(study.root if study else Path.cwd())
    yield _gpu()
    if study:
        yield from _films(study)
        yield _weights(study)
    yield _browser()
    yield from _proxy(environment)
    yield _slurm()


def as_lines(findings: list[Finding]) -> list[str]:
    """What was found, one line each, and below it what to do."""
    lines = []
    for one in findings:
        lines.append(f"{one.state:<8}{one.what:<12}{one.found}")
        lines += [f"{'':<20}{one.todo}"] if one.todo else []
    missing = sum(one.state == "missing" for one in findings)
    lines.append(f"\n{missing} missing: see above what to do" if missing else "\nNothing is missing.")
    return lines


def _finding(what: str, found: str, todo: str = "", state: State = "look") -> Finding:
    """Something in order, unless there is something to do about it."""
    return Finding(what, state if todo else "ok", found, todo)


def _system() -> Finding:
    system, machine = platform.system(), platform.machine()
    todo = ""
    if system == "Windows":
        todo = "work inside WSL 2, where this is Linux"
    elif (system, machine) == ("Darwin", "x86_64"):
        todo = "torch is not built for Intel Macs any more; use the container, or Linux"
    return _finding("system", f"{system} {machine}", todo, "missing")


def _python() -> Finding:
    bare = sys.prefix == sys.base_prefix and "CONDA_PREFIX" not in os.environ
    todo = "no virtual environment; `make report` makes one, `python -m venv .venv` too" if bare else ""
    return _finding("Python", f"{platform.python_version()} in {sys.prefix}", todo)


def _wings() -> Iterator[Finding]:
    for wing, modules in WINGS.items():
        lacking = [name for name in modules if not name.startswith("cxrlib") and importlib.util.find_spec(name) is None]
        todo = f"pip install 'cxrlib[{wing}]'" if lacking else ""
        yield _finding(f"[{wing}]", f"without {', '.join(lacking)}" if lacking else "installed", todo)


def _room(folder: Path) -> Iterator[Finding]:
    """Disk, memory and cores."""
    free = shutil.disk_usage(folder).free / GIGABYTE
    todo = f"a study takes up to {FREE_DISK} GB here; `cxr clean NAME` frees checkpoints" if free < FREE_DISK else ""
    yield _finding("disk", f"{free:.0f} GB free where results go", todo)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGABYTE
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text(encoding="utf-8").strip()).isdigit():
        total = min(total, int(text) / GIGABYTE)
    few = "fewer jobs at a time: `cxr report NAME --cores 1`" if total < FREE_MEMORY else ""
    yield _finding("memory", f"{total:.0f} GB", few)
    cores = available_cores()
    slow = "the demo takes a quarter of an hour on two cores, and longer here" if cores < CORES else ""
    yield _finding("cores", str(cores), slow)


def _gpu() -> Finding:
    asked = _said("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    if not asked and not has_gpu():
        return _finding("GPU", "none; the demo and public-small need none, public and paper take days without one")
    reason, version = asked_of_torch(), importlib.metadata.version("torch")
    todo = f"{reason}. Does the driver suit torch {version}? See `nvidia-smi`" if reason else ""
    found = "; ".join(asked.splitlines()) or "no answer from nvidia-smi"
    return _finding("GPU", f"{found} (name, memory, driver)", todo)


def _said(*command: str) -> str:
    """What a program prints; nothing if it is not there, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _films(study: Study) -> Iterator[Finding]:
    for role in study.roles:
        for source in study.data.sources(role):
            found, todo = "simulated", ""
            if isinstance(source, FilesSource):
                found = str(source.folder)
                if not source.folder.is_dir():
                    found, todo = f"no folder {found}", f"put the films there, or change {study.file}"
                elif not os.access(source.folder, os.R_OK | os.X_OK):
                    found, todo = f"{found} can't be read", "ask for the right to read it"
            yield _finding(role, found, todo, "missing")


def _weights(study: Study) -> Finding:
    settings = study.classifier
    if settings.weights != "imagenet" or NETWORKS[settings.network].weights_name.startswith("package"):
        return _finding("weights", "nothing to download")
    home = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch")) / "hub" / "checkpoints"
    stem = settings.network.replace("_", "")
    files = [re.sub(r"[_.]", "", file.name) for file in home.iterdir()] if home.is_dir() else []
    if any(file.startswith(stem) for file in files):
        return _finding("weights", f"{settings.network} in {home}")
    todo = f"they are downloaded once, by the first classifier; without network, put torchvision's file into {home}"
    return _finding("weights", f"{settings.network}: not here yet", todo)


def _browser() -> Finding:
    found = find_browser()
    todo = "" if found else "any browser shows the book; Chromium is needed for `make pdf` and for tests of pages"
    return _finding("browser", found or "no Chromium found", todo)


def _proxy(environment: Mapping[str, str]) -> Iterator[Finding]:
    proxy = next((environment[name] for name in PROXIES if environment.get(name)), "")
    given = {name: environment[name] for name in CERTIFICATES if environment.get(name)}
    for name, file in given.items():
        if not Path(file).is_file():
            todo = f"point {name} to your certificate, or unset it"
            yield _finding("proxy", f"{name}: no file {file}", todo, "missing")
            return
    if not proxy:
        yield _finding("proxy", "none")
        return
    host = urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname or "not readable"
    found = f"{host}; {', '.join(given) or 'no certificate of its own'}"
    todo = "if downloads fail with CERTIFICATE_VERIFY_FAILED: export SSL_CERT_FILE=/path/own.pem PIP_CERT=/path/own.pem"
    yield _finding("proxy", found, "" if given else todo)


def _slurm() -> Finding:
    if not shutil.which("sbatch"):
        return _finding("Slurm", "none; jobs run on this machine")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return _finding("Slurm", "there, but not for Snakemake", "pip install snakemake-executor-plugin-slurm")
    todo = "put your partitions into profiles/slurm/config.yaml, then `cxr report NAME --profile profiles/slurm`"
    return Finding("Slurm", "ok", "there", todo)
