"""What nobody can make again comes back when it is damaged or gone."""

import json
import stat

import pytest
from damages import DAMAGES

from cxrlib.artifacts import kept_copy
from cxrlib.kept import keep, loss_of, restore

TEXT = "time,model_sha256\n2026-01-01,abc\n"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "openings.csv"
    path.write_text(TEXT)
    keep(path)
    return path


@pytest.mark.parametrize("damage", [*DAMAGES.values(), None])
def test_a_damaged_or_missing_file_is_named_and_comes_back(log, damage, caplog):
    log.unlink() if damage is None else log.write_bytes(damage(TEXT.encode()))
    assert "openings.csv: " in loss_of(log)
    restore([log])
    assert (log.read_text(), loss_of(log)) == (TEXT, "")
    assert "openings.csv" in caplog.text


def test_a_line_that_was_added_before_a_process_was_killed_stays(log):
    log.write_text(TEXT + "2026-01-02,def\n")
    restore([log])
    assert log.read_text().count("\n") == 3
    log.write_text(TEXT + "2026-0")
    restore([log])
    assert log.read_text() == TEXT


@pytest.mark.parametrize("damage", DAMAGES.values())
def test_a_damaged_copy_harms_nothing_and_is_made_again(log, damage):
    copy = kept_copy(log)
    copy.write_bytes(damage(copy.read_bytes()))
    restore([log])
    assert log.read_text() == TEXT
    assert json.loads(copy.read_text())["text"] == TEXT


def test_the_copy_of_a_private_file_is_private(log):
    log.chmod(0o600)
    keep(log)
    log.unlink()
    restore([log])
    assert {stat.S_IMODE(path.stat().st_mode) for path in (log, kept_copy(log))} == {0o600}
