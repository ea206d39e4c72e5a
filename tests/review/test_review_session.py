"""An acknowledged answer is on the disk, whatever happens next."""

import json
import subprocess
import sys

import pytest

from cxrlib.errors import InputError
from cxrlib.review.session import ReadingSession, append_durably, read_events

FILMS = ["film0001", "film0002", "film0003"]
ANSWER = {"diagnosis": "positive", "origin": "perhaps real", "realism": "4", "seconds": 3.21}


def session(folder, reader="anna", films=FILMS):
    return ReadingSession(folder, reader, films, "abc")


def test_every_answer_becomes_one_line_and_the_next_film_follows(tmp_path):
    sitting = session(tmp_path)
    assert sitting.current == "film0001"
    sitting.answer(**ANSWER)
    assert sitting.current == "film0002"
    (line,) = sitting.path.read_text().splitlines()
    event = json.loads(line)
    assert (event["reader"], event["film_id"], event["diagnosis"]) == ("anna", "film0001", "positive")
    assert event["protocol_sha256"] == "abc"


def test_a_new_sitting_goes_on_at_the_first_film_without_an_answer(tmp_path):
    session(tmp_path).answer(**ANSWER)
    again = session(tmp_path)
    assert (again.current, again.done, again.total) == ("film0002", 1, 3)
    assert session(tmp_path, "berta").current == "film0001"


def test_the_end_is_reached_and_nothing_more_is_accepted(tmp_path):
    sitting = session(tmp_path)
    for _ in FILMS:
        sitting.answer(**ANSWER)
    assert sitting.current is None
    with pytest.raises(InputError, match="every film"):
        sitting.answer(**ANSWER)
    assert len(read_events(tmp_path)) == 3


@pytest.mark.parametrize("change", [{"diagnosis": None}, {"origin": "maybe"}, {"realism": "6"}])
def test_an_answer_that_is_no_choice_is_refused_and_not_stored(tmp_path, change):
    sitting = session(tmp_path)
    with pytest.raises(InputError, match=next(iter(change))):
        sitting.answer(**{**ANSWER, **change})
    assert sitting.done == 0
    assert read_events(tmp_path) == []


@pytest.mark.parametrize("reader", ["", "../x", "Anna B", "a" * 40, "-a"])
def test_a_reader_s_name_can_not_leave_the_folder(tmp_path, reader):
    with pytest.raises(InputError, match="reader"):
        session(tmp_path, reader)


def test_a_torn_line_is_left_out_and_logged(tmp_path, caplog):
    sitting = session(tmp_path)
    sitting.answer(**ANSWER)
    with sitting.path.open("a") as file:
        file.write('{"event": "answer", "film_')
    assert [event["film_id"] for event in read_events(tmp_path)] == ["film0001"]
    assert "torn" in caplog.text
    assert session(tmp_path).current == "film0002"


def test_a_folder_that_can_not_be_written_is_said_and_the_answer_can_be_sent_again(tmp_path):
    (tmp_path / "events").write_text("a file where the folder should be")
    sitting = ReadingSession(tmp_path / "other", "anna", FILMS, "abc")
    sitting.folder = tmp_path
    with pytest.raises(InputError, match="can't be stored"):
        sitting.answer(**ANSWER)
    assert sitting.current == "film0001"
    (tmp_path / "events").unlink()
    sitting.answer(**ANSWER)
    assert sitting.current == "film0002"


def test_what_a_full_disk_took_only_in_part_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "events" / "a.jsonl"
    append_durably(path, "first\n")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("cxrlib.review.session.os.fsync", full)
        with pytest.raises(InputError, match="No space left"):
            append_durably(path, "second\n")
    append_durably(path, "third\n")
    assert path.read_text() == "first\nthird\n"


def test_no_acknowledged_answer_is_lost_when_the_process_is_killed(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from cxrlib.review.session import ReadingSession
sitting = ReadingSession(Path({str(tmp_path)!r}), "anna", {FILMS!r}, "abc")
sitting.answer(**{ANSWER!r})
sitting.answer(**{ANSWER!r})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert [event["film_id"] for event in read_events(tmp_path)] == FILMS[:2]
