"""A finished stage knows its settings, and what it left."""

import os

import pytest

from cxrlib.errors import InputError
from cxrlib.files import sha256_of, write_json
from cxrlib.records import amend_record, content_of, damage_of, fingerprint, is_finished, write_record


def test_finished_only_with_the_same_settings_and_inputs(tmp_path):
    record = tmp_path / "config.json"
    settings, inputs = {"gan": {"batch_size": 8}, "seed": 1}, {"films": "abc"}
    assert not is_finished(record, settings, inputs)
    write_record(record, settings, inputs, seconds=1.0, images_seen=5)
    assert is_finished(record, settings, inputs)
    assert not is_finished(record, settings, inputs, force=True)
    with pytest.raises(InputError, match=r"settings\.gan\.batch_size: there 8, now 16") as caught:
        is_finished(record, {"gan": {"batch_size": 16}, "seed": 1}, inputs)
    assert "--force" in str(caught.value)
    assert "seed" not in str(caught.value)
    with pytest.raises(InputError, match=r"inputs\.films: there 'abc', now 'abd'"):
        is_finished(record, settings, {"films": "abd"})


def test_a_damaged_record_is_no_record(tmp_path, caplog):
    record = tmp_path / "config.json"
    write_record(record, {}, {}, seconds=1.0, images_seen=5)
    whole = record.read_text()
    for damaged in (whole[: len(whole) // 2], "", whole.replace("5", "6"), "[]", "null"):
        record.write_text(damaged)
        assert not is_finished(record, {}, {})
        assert "config.json" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"X" + data[1:]]
)
def test_a_damaged_file_ends_what_was_finished(tmp_path, damage):
    record, output = tmp_path / "config.json", tmp_path / "predictions.csv"
    output.write_bytes(b"0.25,0.75\n")
    write_record(record, {}, {}, seconds=1.0, outputs=[output])
    assert is_finished(record, {}, {})
    output.write_bytes(damage(output.read_bytes()))
    os.utime(output, (1, 1))
    assert "predictions.csv" in damage_of(record)[0]
    assert not is_finished(record, {}, {})
    assert not record.exists()


def test_the_content_of_a_record_is_not_when_or_how_fast_it_was_made(tmp_path):
    record, output = tmp_path / "config.json", tmp_path / "predictions.csv"
    found = []
    for seconds, text in ((1.0, "0.25"), (2.0, "0.25"), (2.0, "0.75")):
        output.write_text(text)
        write_record(record, {"seed": 1}, {}, seconds, outputs=[output])
        found.append(content_of(record))
    assert found[0] == found[1] != found[2]


def test_a_record_of_an_older_version_takes_over_what_is_there_unless_it_is_damaged(tmp_path):
    record, output = tmp_path / "config.json", tmp_path / "predictions.csv"
    output.write_text("0.25")
    stored = {"settings": {}, "inputs": {}, "seconds": 1.0, "predictions_sha256": sha256_of(output)}
    write_json(record, stored)
    amend_record(record, [output])
    assert is_finished(record, {}, {})
    write_json(record, stored)
    output.write_text("0.26")
    with pytest.raises(InputError, match=r"predictions\.csv: damaged"):
        amend_record(record, [output])


def test_a_fact_added_to_a_record_of_an_older_version_leaves_its_files_to_be_taken_over(tmp_path):
    record, output = tmp_path / "audit.json", tmp_path / "manifest.csv"
    output.write_text("0.25")
    write_json(record, {"settings": {}, "inputs": {}, "seconds": 1.0})
    amend_record(record, films_seen="abc")
    amend_record(record, [output])
    output.write_text("0.26")
    assert "manifest.csv" in damage_of(record)[0]


def test_fingerprints_differ_where_settings_do():
    assert fingerprint({"a": 1}, {}) == fingerprint({"a": 1}, {})
    assert fingerprint({"a": 1}, {}) != fingerprint({"a": 2}, {})
