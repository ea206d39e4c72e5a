"""What the locked packages may be used under, and a bill of materials of them (CycloneDX 1.5, JSON).

Licences are those that the installed packages state, so no network is needed. Known advisories are looked up only if
`pip-audit` is installed, which asks the Python Packaging Advisory Database.
"""

import importlib.metadata as metadata
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from cxrlib.errors import InputError
from cxrlib.files import write_text
from cxrlib.study import REPOSITORY
from cxrlib.wings import WINGS

LOCK, BILL = REPOSITORY / "requirements.lock", REPOSITORY / "sbom.cdx.json"
# The GNU GPL and its like, but not the LGPL, and not a choice that names another licence beside it.
COPYLEFT = re.compile(r"(?<![L\w])A?GPL|(?<!Lesser )(?<!Library )General Public License|Affero", re.I)
CHOICE = re.compile(r"\bor\b|/|dual", re.I)
# Stated wrongly or not at all by the package, right by its own LICENSE file.
SEEN = {
    "docutils": "Public Domain, BSD and PSF; GPL for one editor file that is not installed",
    "cuda-toolkit": "NVIDIA proprietary; an empty package that names others",
}
LONGEST_NAME = 120


def locked(text: str) -> dict[str, str]:
    """Name and version of every locked package that this system needs."""
    lines = (line.split(" \\")[0].strip() for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line))
    wanted = [Requirement(line) for line in lines]
    here = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": "dev"})]
    return {_canonical(one.name): str(one.specifier).removeprefix("==") for one in here}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(name: str) -> str:
    """What an installed package says of its licence: the expression, the classifiers, or the first line of its text."""
    if name in SEEN:
        return SEEN[name]
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return ""
    facts = package.metadata
    classified = [entry.split(" :: ")[-1] for entry in facts.get_all("Classifier") or [] if entry.startswith("License")]
    stated = facts.get("License-Expression") or "; ".join(classified) or (facts.get("License") or "").split("\n")[0]
    return (stated or _first_line(package))[:LONGEST_NAME].strip()


def _first_line(package: metadata.Distribution) -> str:
    """The first line of the licence that lies among a package's files."""
    files = [file for file in package.files or [] if file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING"))]
    lines = (files[0].read_text(encoding="utf-8") if files else "").split("\n")
    return next((line.strip(" #") for line in lines if line.strip(" #")), "")


def licence_problems(licences: dict[str, str], runtime: set[str]) -> list[str]:
    """Packages used at run time under the GPL alone, or under a licence that nobody states."""
    problems = []
    for name in sorted(runtime & licences.keys()):
        licence = licences[name]
        if not licence:
            problems.append(f"{name}: states no licence, or is not installed; look at it and add it to SEEN")
        elif COPYLEFT.search(licence) and not CHOICE.search(licence) and name not in SEEN:
            problems.append(f"{name}: {licence}, which may not be needed at run time; use another package")
    return problems


def runtime_packages(root: str = "cxrlib") -> set[str]:
    """Everything that the package and its wings need, and what that needs; not what developers need besides."""
    found: set[str] = set()
    asked = [Requirement(line) for line in metadata.requires(root) or []]
    waiting = [
        Requirement(f"{one.name}{one.specifier}")
        for one in asked
        if one.marker is None or any(one.marker.evaluate({"extra": wing}) for wing in ("", *WINGS))
    ]
    while waiting:
        one = waiting.pop()
        name = _canonical(one.name)
        if name in found or (one.marker is not None and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            waiting += [Requirement(line) for line in metadata.requires(name) or [] if "extra ==" not in line]
        except metadata.PackageNotFoundError:
            continue
    return found


def bill_of_materials(packages: dict[str, str], licences: dict[str, str]) -> dict[str, Any]:
    """A CycloneDX document of the locked packages."""
    components = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
            **({"licenses": [{"license": {"name": licences[name]}}]} if licences.get(name) else {}),
        }
        for name, version in sorted(packages.items())
    ]
    subject = {"type": "application", "name": "cxrlib"}
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": subject},
            "components": components}  # fmt: skip


def audit(lock: Path = LOCK, bill: Path = BILL) -> list[str]:
    """Write the bill of materials beside the lock; raises `InputError` for licences that may not be used.

    Returns what to tell: how many packages, and whether advisories were looked up.
    """
    packages = locked(lock.read_text(encoding="utf-8"))
    licences = {name: licence_of(name) for name in packages}
    write_text(bill, json.dumps(bill_of_materials(packages, licences), indent=1) + "\n")
    problems = licence_problems(licences, runtime_packages())
    if problems:
        raise InputError("\n".join([f"{lock}: licences:", *problems]))
    said = f"{len(packages)} packages, none under the GPL alone at run time; bill of materials: {bill}"
    return [said, _advisories(lock)]


def _advisories(lock: Path) -> str:
    if importlib.util.find_spec("pip_audit") is None:
        return "advisories: not looked up; install pip-audit to do so"
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", "--requirement"]
    done = subprocess.run([*command, str(lock)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{lock}: advisories:\n{(done.stdout + done.stderr).strip()[-4000:]}")
    return "advisories: none known"


def main() -> None:
    """Print the audit; end with its problem."""
    try:
        sys.stdout.write("\n".join(audit()) + "\n")
    except InputError as error:
        raise SystemExit(f"audit: {error}") from None


if __name__ == "__main__":
    main()
