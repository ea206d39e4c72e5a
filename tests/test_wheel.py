"""A wheel by itself, far from any checkout, runs a study up to its book."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")  # fmt: skip
    for name in filter(lambda name: name and (ROOT / name).is_file(), files):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True)
    return next(folder.glob("cxrlib-*.whl"))


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """A command in an empty folder, by an environment that has the wheel, and what it depends on from this one."""
    place = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / ".venv")], check=True)
    python = place / ".venv" / "bin" / "python"
    purelib = sysconfig.get_path("purelib", vars={"base": str(place / ".venv")})
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True)
    # Later on the path than the wheel, so that this checkout's own package is not found.
    Path(purelib, "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def running(*arguments):
        command = [str(place / ".venv" / "bin" / "cxr"), *map(str, arguments)]
        return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)

    return place, running


def test_it_holds_the_study_and_nothing_of_the_workshop(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    taken = ("notebooks/05_results.ipynb", "book/index.md", "studies/demo.yaml", "profiles/slurm/config.yaml")
    for name in (*taken, "_config.yml", "benchmarks/results/public-small/found.md"):
        assert f"cxrlib/share/{name}" in names
    data = {path.relative_to(ROOT) for path in (ROOT / "cxrlib").rglob("*.*") if path.suffix not in (".py", ".pyc")}
    assert {str(path) for path in data} <= names
    assert {"cxrlib/workflow/Snakefile", "cxrlib/publishing/checklists.csv", "cxrlib/commands/commands.csv"} <= names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "setup"))]


def test_the_studies_that_come_with_it_put_their_results_here(run):
    place, cxr = run
    done = cxr("report", "demo", "--dry-run")
    assert done.returncode == 0, done.stderr
    done = cxr("status", "demo", "--json")
    assert f'"folder": "{place / "results" / "demo"}"' in done.stdout, done.stdout[:500] + done.stderr


def test_a_study_runs_up_to_its_book(run, write_study_in):
    place, cxr = run
    write_study_in(place)
    done = cxr("report", "tiny", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    index = place / "_build" / "tiny" / "html" / "index.html"
    assert "A tiny study" in index.read_text(encoding="utf-8")
    provenance = (place / "results" / "tiny" / "provenance.json").read_text(encoding="utf-8")
    assert '"commit": "not a git checkout"' in provenance
    assert str(ROOT) not in provenance
