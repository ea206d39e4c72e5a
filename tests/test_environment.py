"""The lock, the conda environment and the package ask for the same things."""

import itertools
import json
import re
import tomllib
from pathlib import Path

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
    assert f"python{PROJECT['requires-python']}" in conda
    assert pip == {"pip": ["--requirement requirements.lock"]}


def test_the_hub_s_proxy_is_locked_by_versions_and_hashes_only():
    asked = json.loads((ROOT / "hub" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    lock = json.loads((ROOT / "hub" / "package-lock.json").read_text(encoding="utf-8"))
    own, *packages = lock["packages"].values()
    assert own["dependencies"] == asked
    assert lock["packages"]["node_modules/configurable-http-proxy"]["version"] == asked["configurable-http-proxy"]
    for package in packages:
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/=]{88}", package["integrity"]), package
        assert "resolved" not in package


def test_the_citation_names_the_version_and_licence_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert "2112.07529" in citation["references"][0]["url"]
