"""The check of licences finds what it has to; the bill of materials names every locked package."""

import json

import pytest
import supply

from cxrlib.errors import InputError

LOCKED = """\
numpy==2.1.0 \\
    --hash=sha256:00
pywin32==311 ; sys_platform == 'win32' \\
    --hash=sha256:00
Ruamel.Yaml==0.18 \\
    --hash=sha256:00
"""


@pytest.mark.parametrize(
    ("licence", "fine"),
    [
        ("GPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("GNU Affero General Public License v3", False),
        ("AGPL-3.0", False),
        ("", False),
        ("LGPL-2.1-or-later", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", True),
        ("MIT or GPL-3.0", True),
        ("Apache-2.0", True),
    ],
)
def test_the_gpl_alone_is_refused_at_run_time_and_elsewhere_it_is_not(licence, fine):
    assert (supply.licence_problems({"a": licence}, {"a"}) == []) == fine
    assert supply.licence_problems({"a": licence}, set()) == []


def test_names_and_versions_of_this_system_are_read_from_the_lock():
    assert supply.locked(LOCKED) == {"numpy": "2.1.0", "ruamel-yaml": "0.18"}


def test_what_is_locked_may_be_used_and_is_in_the_bill(tmp_path):
    said = supply.audit(bill=tmp_path / "sbom.json")
    bill = json.loads((tmp_path / "sbom.json").read_text())
    locked = supply.locked(supply.LOCK.read_text())
    assert {part["name"]: part["version"] for part in bill["components"]} == locked
    assert bill["bomFormat"] == "CycloneDX"
    assert {"torch", "jupyter-book", "numpy"} <= supply.runtime_packages()
    assert f"{len(locked)} packages" in said[0]


def test_a_package_under_the_gpl_stops_the_audit(tmp_path, monkeypatch):
    monkeypatch.setattr(supply, "licence_of", lambda name: "GPL-3.0" if name == "numpy" else "MIT")
    with pytest.raises(InputError, match=r"numpy: GPL-3\.0"):
        supply.audit(bill=tmp_path / "sbom.json")


def test_the_bill_beside_the_lock_is_that_of_the_lock():
    bill = json.loads(supply.BILL.read_text(encoding="utf-8"))
    named = {(part["name"], part["version"]) for part in bill["components"]}
    assert named == set(supply.locked(supply.LOCK.read_text(encoding="utf-8")).items())
