"""An acknowledged answer is on the disk, whatever happens next; what can't be stored is said."""

import errno
import fcntl
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import hammered_reading
import pytest
from small_reading import answers_to, as_an_ordinary_user, small_protocol

from cxrlib.errors import InputError
from cxrlib.reading.events import current_answers, read_log
from cxrlib.reading.session import ReadingSession


def hammered(how, folder):
    """What every reader was told, by reader: pairs of "stored" or "late" and a task."""
    command = [sys.executable, hammered_reading.__file__, how, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return {reader: [line.split() for line in lines] for reader, lines in json.loads(done.stdout).items()}


def give(session, count=1):
    for _ in range(count):
        session.answer(session.current.task_id, answers_to(session.current), seconds=1)


def test_a_hundred_kills_lose_no_acknowledged_answer(tmp_path):
    told = hammered("killed", tmp_path)["anna"]
    stored = [task for kind, task in told if kind == "stored"]
    events, problems = read_log(tmp_path)
    standing = Counter(event["task_id"] for event in current_answers(events))
    assert len(stored) > hammered_reading.KILLS
    assert problems == []
    assert max(standing.values()) == 1
    assert set(stored) <= set(standing)
    assert len(stored) == len(set(stored))
    # An answer may have been stored just before its acknowledgement was cut off: at most one at each kill.
    assert len(set(standing) - set(stored)) <= hammered_reading.KILLS


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """The folder of a reading of several readers at once, and what each was told."""
    folder = tmp_path_factory.mktemp("at-once")
    return folder, hammered("readers", folder)


def test_eight_readers_at_once_lose_and_mix_nothing(at_once):
    folder, told = at_once
    events, problems = read_log(folder)
    assert problems == []
    standing = [event for event in current_answers(events) if event["reader"] in hammered_reading.READERS]
    assert len(standing) == 1600
    for reader in hammered_reading.READERS:
        own = [event for event in standing if event["reader"] == reader]
        assert [["stored", event["task_id"]] for event in own] == told[reader]
        assert len(own) == hammered_reading.TASKS
        singles = [event for event in own if event["block"] == "A"]
        assert all(event["answers"]["comment"] == f"{reader}:{event['task_id']}" for event in singles)


def test_three_windows_of_one_reader_store_one_answer_to_each_task(at_once):
    folder, told = at_once
    stored = [task for kind, task in told["in three windows"] if kind == "stored"]
    answers = [event for event in read_log(folder)[0] if event["event"] == "answer"]
    own = [event["task_id"] for event in answers if event["reader"] == "in three windows"]
    assert len(own) == len(set(own)) == hammered_reading.TASKS
    assert sorted(own) == sorted(stored)


def test_a_full_disk_is_said_and_what_it_took_in_part_is_taken_back(tmp_path):
    session = ReadingSession(tmp_path, small_protocol(tmp_path), "anna")
    give(session)
    before = session.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
        with pytest.raises(InputError, match=r"could not be stored.*counts as not given"):
            give(session)
        assert session.path.read_bytes() == before
        assert session.done == 1
        with pytest.raises(InputError, match=r"^The pause could not be noted .* Your answers are safe"):
            session.pause()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    give(session)
    assert session.done == 2
    assert len(current_answers(read_log(tmp_path)[0])) == 2


def test_an_undo_that_the_disk_refuses_is_said_as_that_and_the_answer_stands(tmp_path, monkeypatch):
    session = ReadingSession(tmp_path, small_protocol(tmp_path), "anna")
    give(session, 4)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cxrlib.reading.session.append_durably", full)
    with pytest.raises(InputError, match=r"^The last answer could not be taken back .*It stands as it was") as refused:
        session.undo_last()
    assert "stored" not in str(refused.value)
    assert session.done == 4
    monkeypatch.undo()
    session.undo_last()
    assert session.done == 3


def test_a_disk_without_any_room_is_said(tmp_path):
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tiny], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        session = ReadingSession(tiny, small_protocol(tiny, films=400), "anna")
        with pytest.raises(InputError, match=os.strerror(errno.ENOSPC)):
            give(session, 400)
        done = session.done
        assert done > 10
        assert ReadingSession(tiny, session.protocol, "anna").done == done
        assert read_log(tiny)[1] == []
    finally:
        subprocess.run(["umount", tiny], check=True)


@pytest.fixture
def open_folder():
    """A folder that every account may enter, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="reading-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_can_not_be_written_is_said_and_the_answer_can_be_sent_again(open_folder):
    with as_an_ordinary_user():
        protocol = small_protocol(open_folder)
        give(ReadingSession(open_folder, protocol, "anna"))
        session = ReadingSession(open_folder, protocol, "anna")
        (open_folder / "events").chmod(0o500)
        with pytest.raises(InputError, match=r"could not be stored.*may be sent again.*[Mm]ake room") as refused:
            give(session)
        assert str(open_folder) not in str(refused.value)
        assert session.done == 1
        assert ReadingSession(open_folder, protocol, "anna").done == 1
        (open_folder / "events").chmod(0o700)
        give(session)
        assert session.done == 2


def test_answers_and_truth_can_be_read_by_their_owner_only(tmp_path):
    session = ReadingSession(tmp_path / "reading", small_protocol(tmp_path / "reading"), "anna")
    give(session)
    assert stat.S_IMODE(session.path.parent.stat().st_mode) == 0o700
    files = list(session.path.parent.iterdir())
    assert len(files) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_the_disk_has_the_line_and_the_name_before_the_answer_is_acknowledged(tmp_path, monkeypatch):
    """Every write is followed by an fsync of the file, and a new name by one of its folder, in that order."""
    calls = []
    write, fsync = os.write, os.fsync

    def kind_of(handle):
        return "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"

    monkeypatch.setattr(
        "cxrlib.reading.durable.os.write", lambda handle, data: calls.append("write") or write(handle, data)
    )
    monkeypatch.setattr(
        "cxrlib.reading.durable.os.fsync", lambda handle: calls.append(kind_of(handle)) or fsync(handle)
    )
    session = ReadingSession(tmp_path, small_protocol(tmp_path), "anna")
    calls.clear()
    give(session, 2)
    assert calls == ["folder", "write", "file", "write", "file"]


def test_where_a_drive_keeps_data_in_memory_it_is_told_to_write_them(tmp_path, monkeypatch):
    """As on macOS, whose fsync does not empty the drive's memory."""
    calls = []
    fsync = os.fsync
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda handle, command: calls.append(command) or fsync(handle))
    session = ReadingSession(tmp_path, small_protocol(tmp_path), "anna")
    calls.clear()
    give(session, 2)
    assert calls == [51, 51, 51]

    def refuses(*_):
        raise OSError(errno.ENOTSUP, "not on this file system")

    monkeypatch.setattr(fcntl, "fcntl", refuses)
    give(session)
    assert session.done == 3
