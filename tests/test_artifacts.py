"""Nothing is half-written, and a finished stage knows its settings."""

import csv

import pytest

from cxrlib import artifacts
from cxrlib.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), artifacts.atomic_path(path) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path):
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="can't be written"):
        artifacts.write_text(tmp_path / "results" / "study.yaml", "text")


def test_finished_only_with_the_same_settings_and_inputs(tmp_path):
    record = tmp_path / "config.json"
    settings, inputs = {"gan": {"batch_size": 8}, "seed": 1}, {"films": "abc"}
    assert not artifacts.is_finished(record, settings, inputs)
    artifacts.write_record(record, settings, inputs, seconds=1.0, images_seen=5)
    assert artifacts.is_finished(record, settings, inputs)
    assert not artifacts.is_finished(record, settings, inputs, force=True)
    with pytest.raises(InputError, match=r"settings\.gan\.batch_size: there 8, now 16") as caught:
        artifacts.is_finished(record, {"gan": {"batch_size": 16}, "seed": 1}, inputs)
    assert "--force" in str(caught.value)
    assert "seed" not in str(caught.value)
    with pytest.raises(InputError, match=r"inputs\.films: there 'abc', now 'abd'"):
        artifacts.is_finished(record, settings, {"films": "abd"})


def test_a_damaged_record_is_named(tmp_path):
    record = tmp_path / "config.json"
    record.write_text('{"settings": ')
    with pytest.raises(InputError, match=r"config\.json"):
        artifacts.is_finished(record, {}, {})


def test_a_torn_log_line_is_dropped_before_going_on(tmp_path):
    log = tmp_path / "log.csv"
    for images in (10, 20, 30):
        artifacts.append_log(log, {"images": images, "loss": 0.5})
    with open(log, "a") as file:
        file.write("40")
    artifacts.trim_log(log, lambda row: int(row["images"]) <= 20)
    artifacts.append_log(log, {"images": 30, "loss": 0.25})
    with open(log, newline="") as file:
        assert [row["images"] for row in csv.DictReader(file)] == ["10", "20", "30"]


def test_fingerprints_differ_where_settings_do():
    assert artifacts.fingerprint({"a": 1}, {}) == artifacts.fingerprint({"a": 1}, {})
    assert artifacts.fingerprint({"a": 1}, {}) != artifacts.fingerprint({"a": 2}, {})
