"""Nothing is half-written, and a finished stage knows its settings."""

import csv
import os
import re

import pandas as pd
import pytest

from cxrlib import artifacts
from cxrlib.artifacts import unquoted_cell, write_table
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


def test_a_damaged_record_is_no_record(tmp_path, caplog):
    record = tmp_path / "config.json"
    artifacts.write_record(record, {}, {}, seconds=1.0, images_seen=5)
    whole = record.read_text()
    for damaged in (whole[: len(whole) // 2], "", whole.replace("5", "6"), "[]", "null"):
        record.write_text(damaged)
        assert not artifacts.is_finished(record, {}, {})
        assert "config.json" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"X" + data[1:]]
)
def test_a_damaged_file_ends_what_was_finished(tmp_path, damage):
    record, output = tmp_path / "config.json", tmp_path / "predictions.csv"
    output.write_bytes(b"0.25,0.75\n")
    artifacts.write_record(record, {}, {}, seconds=1.0, outputs=[output])
    assert artifacts.is_finished(record, {}, {})
    output.write_bytes(damage(output.read_bytes()))
    os.utime(output, (1, 1))
    assert "predictions.csv" in artifacts.damage_of(record)[0]
    assert not artifacts.is_finished(record, {}, {})
    assert not record.exists()


def test_the_content_of_a_record_is_not_when_or_how_fast_it_was_made(tmp_path):
    record, output = tmp_path / "config.json", tmp_path / "predictions.csv"
    found = []
    for seconds, text in ((1.0, "0.25"), (2.0, "0.25"), (2.0, "0.75")):
        output.write_text(text)
        artifacts.write_record(record, {"seed": 1}, {}, seconds, outputs=[output])
        found.append(artifacts.content_of(record))
    assert found[0] == found[1] != found[2]


def test_a_record_of_an_older_version_takes_over_what_is_there_unless_it_is_damaged(tmp_path):
    record, output = tmp_path / "config.json", tmp_path / "predictions.csv"
    output.write_text("0.25")
    stored = {"settings": {}, "inputs": {}, "seconds": 1.0, "predictions_sha256": artifacts.sha256_of(output)}
    artifacts.write_json(record, stored)
    artifacts.amend_record(record, [output])
    assert artifacts.is_finished(record, {}, {})
    artifacts.write_json(record, stored)
    output.write_text("0.26")
    with pytest.raises(InputError, match=r"predictions\.csv: damaged"):
        artifacts.amend_record(record, [output])


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


FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd|'/C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", "\n=1", "'=1", "''@x")


def test_no_cell_that_people_open_is_a_formula_and_each_reads_back(tmp_path):
    plain = ["-2.5", "+19", "it's", "'quoted'", "a=b", "−0.3", ""]
    write_table(tmp_path / "t.csv", pd.DataFrame({"comment": [*FORMULAS, *plain], "number": range(len(FORMULAS) + 7)}))
    read = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)["comment"]
    assert not any(cell[:1] in tuple("=@\t\n") for cell in read)
    assert list(read[len(FORMULAS) :]) == plain
    assert [unquoted_cell(cell) for cell in read] == [*FORMULAS, *plain]
    in_r = [re.sub(r"^'(?='*[=@\t\n+-])", "", cell) for cell in read]
    assert in_r == [*FORMULAS, *plain]


def test_what_no_text_can_hold_is_left_out(tmp_path):
    write_table(tmp_path / "t.csv", pd.DataFrame({"comment": ["a\0b", "c\ud83dd", "\r=1"]}))
    assert pd.read_csv(tmp_path / "t.csv")["comment"].tolist() == ["ab", "c?d", "'\n=1"]
