"""The viewer's JavaScript by itself, in Node: arithmetic of windows and turns, clocks, keys, messages."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cxrlib import reading

NODE = shutil.which("node")
UNITS = Path(__file__).with_name("viewer_units.test.mjs")


@pytest.mark.skipif(NODE is None, reason="no Node.js here; the browser's tests run the same code more slowly")
def test_the_viewers_parts_work_by_themselves(tmp_path):
    for script in Path(reading.__path__[0]).glob("*.js"):
        shutil.copy(script, tmp_path)
    shutil.copy(UNITS, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    command = [NODE, "--test", "--test-reporter=tap", UNITS.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "# pass 12" in done.stdout
