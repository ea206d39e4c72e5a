"""The lock, the conda environment and the package ask for the same things."""

import fnmatch
import itertools
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def locked_versions() -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==(\S+)", LOCK, flags=re.MULTILINE):
        found.setdefault(name.lower().replace("_", "-"), []).append(Version(version))
    return found


def test_every_dependency_is_locked_at_a_version_that_fits():
    locked = locked_versions()
    for text in [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            assert requirement.extras == set(PROJECT["optional-dependencies"]) - {"dev"}, "dev has every wing"
            continue
        versions = locked.get(requirement.name.lower(), [])
        assert versions, f"{requirement.name} is not in requirements.lock; run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), f"{text}: locked at {versions}"


def test_the_lock_holds_names_versions_and_hashes_only():
    assert not re.search(r"https?:|--(index|extra-index|find-links)|@ file", LOCK)
    for line in LOCK.splitlines():
        assert re.match(r"(#|\s+--hash=sha256:[0-9a-f]{64}|[A-Za-z0-9._-]+(\[.*\])?==|\s*$)", line), line


def test_torch_and_torchvision_come_as_ordinary_wheels():
    for name in ("torch", "torchvision"):
        for version in locked_versions()[name]:
            assert version.local is None, f"{name}=={version} is a special build"


def test_conda_gets_the_same():
    *conda, pip = ENVIRONMENT["dependencies"]
    named = {"torch": "pytorch", "opencv-python-headless": "py-opencv"}
    wings = [PROJECT["optional-dependencies"][wing] for wing in ("dicom", "reading", "publish")]
    asked = [Requirement(text) for text in itertools.chain(PROJECT["dependencies"], *wings)]
    expected = {(named.get(one.name, one.name), str(one.specifier)) for one in asked}
    found = {(one.name, str(one.specifier)) for one in map(Requirement, [*conda, *pip["pip"]])}
    assert found - expected == {("python", ">=3.11"), ("pip", ""), ("make", ""), ("setuptools", ">=77")}
    assert expected <= found


def commands(*variables: str) -> str:
    """What `make setup` would do."""
    command = ["make", "--dry-run", "--always-make", "setup", "VENV=/nowhere", *variables]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def kept(*variables: str) -> str:
    """The part of the lock that is installed from it."""
    filtering = next(line for line in commands(*variables).splitlines() if line.startswith("awk "))
    command = shlex.split(filtering.split(" > ")[0])
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_without_cuda_all_but_torch_is_as_locked():
    assert kept() == LOCK
    without = kept("CPU=1")
    gone = {name for name in locked_versions() if not re.search(rf"^{re.escape(name)}==", without, flags=re.MULTILINE)}
    assert {"torch", "torchvision", "triton", "nvidia-cublas"} <= gone
    assert all(re.match(r"(torch|torchvision|triton|(cuda|nvidia)-.*)$", name) for name in gone)
    packages, rest = (len(re.findall(r"^[A-Za-z0-9]", text, flags=re.MULTILINE)) for text in (LOCK, without))
    assert packages == rest + sum(len(locked_versions()[name]) for name in gone)
    assert "--torch-backend cpu --no-deps torch==" in commands("CPU=1")
    assert "--torch-backend" not in commands()


def test_the_hub_s_proxy_is_locked_by_versions_and_hashes_only():
    asked = json.loads((ROOT / "hub" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    lock = json.loads((ROOT / "hub" / "package-lock.json").read_text(encoding="utf-8"))
    own, *packages = lock["packages"].values()
    assert own["dependencies"] == asked
    assert lock["packages"]["node_modules/configurable-http-proxy"]["version"] == asked["configurable-http-proxy"]
    for package in packages:
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/=]{88}", package["integrity"]), package
        assert "resolved" not in package


def docker_steps() -> list[tuple[str, str]]:
    """(instruction, what it says) of the Dockerfile, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "containers" / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return re.findall(r"^([A-Z]+) (.+)$", re.sub(r"\s*\\\n\s*", " ", text), flags=re.MULTILINE)


def apptainer_parts() -> dict[str, str]:
    text = (ROOT / "containers" / "cxr.def").read_text(encoding="utf-8")
    return dict(re.findall(r"^%(\w+)\n((?:    .*\n?)+)", text, flags=re.MULTILINE))


def devcontainer() -> dict:
    return json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))


def recipes() -> dict[str, list[str]]:
    """What each recipe runs, command by command, as somebody with a shell would type it."""
    docker = " && ".join(said for kind, said in docker_steps() if kind == "RUN")
    apptainer = apptainer_parts()["post"].strip().replace("\n", " && ")
    scripts = {"docker": docker, "apptainer": apptainer, "devcontainer": devcontainer()["postCreateCommand"]}
    return {name: [part.strip() for part in script.split("&&")] for name, script in scripts.items()}


@pytest.mark.parametrize("name", ["docker", "apptainer", "devcontainer"])
def test_a_recipe_sets_up_from_the_lock_by_hashes_and_runs_no_program_that_it_lacks(name):
    installed = {word for command in recipes()[name] if "install" in command for word in command.split()}
    for command in recipes()[name]:
        program = command.split()[0]
        # Debian's own, that of the package manager, what it installed, or what the set-up makes.
        assert program in {"rm", "cd", "apt-get", *installed, "/opt/venv/bin/pip"} or name == "devcontainer", command
    (setup,) = (command for command in recipes()[name] if command.startswith("make setup"))
    variables = [word.replace("${CPU}", "1") for word in shlex.split(setup.replace("{{ CPU }}", "1"))[2:]]
    done = commands(*variables)
    assert "--require-hashes --no-deps -r" in done
    assert "requirements.lock" in done


def test_what_recipes_copy_is_there_and_not_left_out():
    copied = [said.split() for kind, said in docker_steps() if kind in ("COPY", "ADD")]
    copied += [line.split() for line in apptainer_parts()["files"].splitlines()]
    assert copied
    for *sources, _ in copied:
        assert all((ROOT / source).exists() for source in sources)
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    needed = ("Makefile", "pyproject.toml", "requirements.lock", "setup.py", "cxrlib", "studies", "notebooks", "book")
    assert not [path for path in needed for pattern in left_out if fnmatch.fnmatch(path, pattern)]


def test_containers_run_the_command_line_as_somebody_else_than_root():
    docker = dict(docker_steps())
    assert docker["USER"] not in ("root", "0")
    assert json.loads(docker["ENTRYPOINT"]) == [*PROJECT["scripts"]]
    assert "exec cxr" in apptainer_parts()["runscript"]
    assert devcontainer()["remoteUser"] != "root"


def test_every_recipe_has_the_python_that_everything_is_tested_on():
    images = [said for kind, said in docker_steps() if kind == "FROM"]
    images += re.findall(r"^From: (.+)$", (ROOT / "containers" / "cxr.def").read_text(), flags=re.MULTILINE)
    images.append(devcontainer()["image"])
    assert len(images) == 3
    assert all("python:3.11" in image for image in images)


def test_the_workflow_tests_every_supported_python_and_runs_what_there_is():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert jobs["test"]["continue-on-error"] == "${{ matrix.python == '3.14' }}", "nobody has run it"
    steps = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for step in steps:
        program, *words = step.split()
        if program == "make":
            assert re.search(rf"^{words[0]}:", makefile, flags=re.MULTILINE), step
        else:
            assert (ROOT / words[0]).is_file(), step


def test_codemeta_says_what_the_package_says():
    facts = json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
    assert (facts["name"], facts["version"], facts["description"]) == (
        PROJECT["name"], PROJECT["version"], PROJECT["description"],
    )  # fmt: skip
    assert facts["license"].endswith(f"/{PROJECT['license']}")


def test_the_citation_names_the_version_and_licence_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert "2112.07529" in citation["references"][0]["url"]
