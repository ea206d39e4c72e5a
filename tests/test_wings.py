"""The core does without its wings, and who lacks one is told which."""

import subprocess
import sys
from pathlib import Path

import pytest

from cxrlib.wings import WINGS, missing_wing

PACKAGE = Path(__file__).resolve().parent.parent / "cxrlib"
OUTSIDE = {
    "chapters", "cli", "commands", "start", "check", "check_page", "workflow",
    *(names[0].split(".")[1] for names in WINGS.values()),
}  # fmt: skip
# The study reads the settings of these wings, which are data and need nothing.
KEPT = ("cxrlib.reading", "cxrlib.reading.settings", "cxrlib.publishing", "cxrlib.publishing.settings")
BLOCK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if any(name == gone or name.startswith(gone + ".") for gone in {gone}) and name not in {kept}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run_without(gone, code, kept=()):
    script = BLOCK.format(gone=tuple(gone), kept=tuple(kept)) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def core_modules():
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in OUTSIDE:
            yield ".".join(("cxrlib", *(part for part in parts if part != "__init__")))


def test_every_module_of_the_core_loads_without_any_wing():
    # captum, which the core uses, brings matplotlib along.
    gone = {name for wing in WINGS.values() for name in wing} - {"matplotlib", "IPython"}
    code = f"import importlib\nfor name in {list(core_modules())}: importlib.import_module(name)"
    done = run_without(gone, code, kept=KEPT)
    assert done.returncode == 0, done.stderr[-1500:]


@pytest.mark.parametrize(
    ("command", "wing"), [(["publish"], "publish"), (["build-book"], "publish"), (["readings"], "reading")]
)
def test_who_lacks_a_wing_is_told_and_nothing_leaves_without_the_guard(tiny_study_file, command, wing):
    before = sorted(tiny_study_file.parent.parent.rglob("*"))
    code = f"from cxrlib.cli import main\nsys.argv = ['cxr', *{command}, {str(tiny_study_file)!r}]\nmain()"
    gone = ("cxrlib.publishing",) if wing == "publish" else ("cxrlib.reading.protocol", "cxrlib.reading.agreement")
    done = run_without(gone, code, KEPT)
    assert done.returncode == 2, done.stderr[-1500:]
    assert f"pip install 'cxrlib[{wing}]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tiny_study_file.parent.parent.rglob("*")) == before


def test_other_missing_modules_are_faults_and_stay_so():
    assert missing_wing(ModuleNotFoundError("No module named 'numpy'", name="numpy")) is None
