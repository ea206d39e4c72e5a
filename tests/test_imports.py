"""The rooms of the house: imports run one way, and light modules stay light."""

import re
import subprocess
import sys

import house
import pytest
from house import FLOORS, ONLY, PACKAGE, dotted_name, floor_of, imported, room_of

ROOMS = [room for floor in FLOORS for room in floor]
MODULES = house.modules()


def test_every_module_has_a_room():
    assert {room_of(dotted_name(file)) for file in MODULES} == set(ROOMS)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_run_one_way(file):
    room = room_of(dotted_name(file))
    for name in imported(file):
        other = room_of(name)
        assert other == room or floor_of(other) < floor_of(room), f"{file}: {room} must not import {name}"
        assert other in {room, *ONLY.get(room, ROOMS)}, f"{file}: {room} must not import {name}"


def test_the_picture_in_contributing_is_drawn_from_the_imports():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert house.picture() in text, "draw it again: python tests/house.py --picture"


def test_the_journeys_in_contributing_name_what_is_there_in_at_most_ten_steps():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for start in ("**A film, from its file to a figure:**", "**A number, from a prediction to a sentence:**"):
        journey = text.split(start)[1].split("\n\n")[0]
        assert 5 <= len(re.split("→", journey)) <= 10
        for module, name in re.findall(r"`([\w/]+)\.([A-Za-z_]+)`", journey):
            if name not in ("csv", "py"):
                source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
                assert re.search(rf"^(def|class) {name}\b", source, flags=re.MULTILINE), f"{module}.{name}"


def test_what_chapters_show_of_code_is_the_method():
    for notebook, lines in house.notebook_lines().items():
        assert lines["display, seen"] == 0, f"{notebook}: tag cells that only display with `hide-input`"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_drawer_for_odds_and_ends(file):
    assert file.stem not in {"utils", "helpers", "common", "misc"}


@pytest.mark.parametrize("module", ["cxrlib", "cxrlib.cli", "cxrlib.study", "cxrlib.stages", "cxrlib.workflow.report"])
def test_light_modules_load_nothing_heavy(module):
    code = f"import {module}, sys; print([m for m in ('torch', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
