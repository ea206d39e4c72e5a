"""The rooms of the house: imports run one way, and light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "cxrlib"
STAGES = {"generators", "classifiers", "reading"}
GROUND_FLOOR = {
    "errors", "settings", "artifacts", "stages", "units", "finished", "reproducibility", "checkpoints", "study",
    "features", "networks", "efficientnet_lite", "endpoint",
}  # fmt: skip
ALLOWED = {
    "films": GROUND_FLOOR | {"films"},
    "intake": GROUND_FLOOR | {"films", "intake"},
    **{stage: GROUND_FLOOR | {"films", stage} for stage in STAGES},
    # A wing: it plans its size with the formulas that analyse it.
    "reading": GROUND_FLOOR | {"films", "reading", "evaluation"},
    "evaluation": {"errors", "evaluation"},
    "errors": set(),
    "settings": set(),
    "artifacts": {"errors"},
    "reproducibility": set(),
    "checkpoints": {"errors", "artifacts"},
    "features": {"errors", "reproducibility", "checkpoints", "artifacts", "networks"},
    "networks": set(),
    "efficientnet_lite": {"errors", "artifacts"},
    "study": {"errors", "settings", "artifacts"},
    "stages": {"errors", "artifacts", "study"},
    "units": {"errors", "stages", "study"},
    "finished": {"errors", "artifacts", "stages", "study", "units"},
    "endpoint": {"errors", "artifacts", "study"},
}
# Settings and registries, which the study itself reads.
LIGHT = {"settings.py", "arms.py"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(file: Path) -> list[str]:
    """Dotted names of the project's modules that a file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            if node.module == "cxrlib":
                names += [f"cxrlib.{alias.name}" for alias in node.names]
            elif node.module and node.module.startswith("cxrlib."):
                names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.startswith("cxrlib")]
    return names


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imported(file):
        target = name.split(".")[1]
        if file.name in LIGHT:
            light = target in {"settings", "networks"} or name.split(".")[-1] == "arms"
            assert light, f"{file}: settings import only the base and names, found {name}"
        elif room in ("study", "stages", "units", "finished") and f"{name.split('.')[-1]}.py" in LIGHT:
            continue
        elif room in ALLOWED:
            assert target in ALLOWED[room], f"{file}: {room} must not import {name}"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_drawer_for_odds_and_ends(file):
    assert file.stem not in {"utils", "helpers", "common", "misc"}


@pytest.mark.parametrize("module", ["cxrlib", "cxrlib.cli", "cxrlib.study", "cxrlib.stages", "cxrlib.workflow.report"])
def test_light_modules_load_nothing_heavy(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
