"""The log of a reading: what is taken from it, what is left out and said, and that nothing in it stops a reading."""

import json
import shutil
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_reading import answers_to, small_protocol

from cxrlib.errors import InputError
from cxrlib.reading.events import (
    checked_reader,
    current_answers,
    encode_event,
    people_have_answered,
    person,
    read_events,
    read_log,
    reader_slug,
    remove_simulated,
)
from cxrlib.reading.session import ReadingSession

NAMES = st.text(min_size=1, max_size=12).filter(lambda name: _accepted(name))


def _accepted(name):
    try:
        return bool(checked_reader(name))
    except InputError:
        return False


def give(session, count=1):
    for _ in range(count):
        session.answer(session.current.task_id, answers_to(session.current), seconds=1)


@pytest.fixture
def protocol(tmp_path):
    return small_protocol(tmp_path)


@pytest.fixture
def session(protocol):
    """A sitting with three answers."""
    session = ReadingSession(protocol.folder, protocol, "anna.k@hospital")
    give(session, 3)
    return session


@pytest.mark.parametrize("name", ["anna", "anna.k@hospital", "Anna", "dr smith", "Jürgen", "../anna", "读者", "a" * 64])
def test_names_of_hub_users_can_read_and_their_files_stay_in_the_folder(protocol, name):
    session = ReadingSession(protocol.folder, protocol, name)
    give(session)
    assert session.path.parent == protocol.folder / "events"
    assert session.path.is_file()
    assert ReadingSession(protocol.folder, protocol, name).done == 1
    assert [event["reader"] for event in read_events(protocol.folder)] == [name, name]


@pytest.mark.parametrize("name", ["", " anna", "anna\n", "an\x00na", "a" * 65, "ü" * 33, None, 7, "\u202eanna"])
def test_what_can_be_no_name_is_refused(protocol, name):
    with pytest.raises(InputError, match="reader: found"):
        ReadingSession(protocol.folder, protocol, name)


@given(NAMES, NAMES)
@example("anna-1", "anna=2d1")
@example("Anna", "anna")
@example("a.b", "a_b")
@settings(max_examples=100, deadline=None)
def test_different_readers_have_different_files_even_where_case_does_not_count(first, second):
    same = unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)
    assert (reader_slug(first).casefold() == reader_slug(second).casefold()) == same
    assert not set(reader_slug(first)) - set("abcdefghijklmnopqrstuvwxyz0123456789_=")
    assert len(reader_slug(first)) <= 192


def test_a_name_typed_in_two_ways_is_one_reader(protocol):
    give(ReadingSession(protocol.folder, protocol, "Ren\u00e9"))
    assert ReadingSession(protocol.folder, protocol, "Rene\u0301").done == 1


def test_readers_with_names_alike_do_not_see_each_other(protocol):
    give(ReadingSession(protocol.folder, protocol, "anna"), 3)
    for other in ("anna-1", "Anna", "ann", "anna_"):
        assert ReadingSession(protocol.folder, protocol, other).done == 0


def test_a_line_torn_anywhere_costs_that_line_only_and_is_set_aside(session):
    whole = session.path.read_bytes()
    ends = [0, *[place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]]
    for cut in {*range(ends[-2], len(whole) + 1, 31), len(whole) - 1, *ends}:
        session.path.write_bytes(whole[:cut])
        lines = sum(end <= cut for end in ends[1:])
        events, problems = read_log(session.folder)
        assert len(events) == lines
        assert [problem.reason for problem in problems] == (["torn: the line has no end"] if cut not in ends else [])
        again = ReadingSession(session.folder, session.protocol, session.reader)
        assert again.done == max(lines - 1, 0)
        torn = session.path.with_name(f"{session.path.name}.torn")
        assert (
            (torn.read_bytes() == whole[max(end for end in ends if end <= cut) : cut] + b"\n")
            if cut not in ends
            else True
        )
        assert torn.exists() == (cut not in ends)
        assert read_log(session.folder)[1] == []
        torn.unlink(missing_ok=True)
        give(again)
        again.path.unlink()


def test_a_line_that_another_window_is_just_writing_is_left_alone_by_those_who_only_look(session):
    whole = session.path.read_bytes()
    session.path.write_bytes(whole[:-5])
    before = session.path.read_bytes()
    read_log(session.folder)
    assert session.path.read_bytes() == before
    assert list(session.path.parent.glob("*.torn")) == []


FOREIGN = [
    (b"not json\n", "not JSON"),
    (b"\xff\xfe\n", "not JSON"),
    (b"[" * 5000 + b"\n", "not JSON"),
    (b"[1, 2]\n", "header"),
    (b'{"event": "answer"}\n', "header"),
    (b"\x00" * 100 + b"\n", "not JSON"),
]


@pytest.mark.parametrize(("line", "reason"), FOREIGN)
def test_damaged_lines_are_left_out_and_said(session, caplog, line, reason):
    with open(session.path, "ab") as file:
        file.write(line)
    events, problems = read_log(session.folder)
    assert (len(events), len(problems), problems[0].line) == (4, 1, 5)
    assert reason in problems[0].reason
    assert read_events(session.folder) == events
    assert f"{session.path.name}, line 5" in caplog.text
    again = ReadingSession(session.folder, session.protocol, session.reader)
    assert again.done == 3
    give(again)
    assert len(current_answers(read_log(session.folder)[0])) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event": "vote"}, "not an event of a reading"),
        ({"answers": None}, "`answers`"),
        ({"seconds": True}, "`seconds`"),
        ({"practice": 1}, "`practice`"),
        ({"films": "film0001"}, "`films`"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2024-01-01T00:00:00"}, "zone"),
        ({"reader": "berta"}, "another reader"),
        ({"session": "20240101"}, "another reader or session"),
        ({"reader": ""}, "time or reader"),
        ({"protocol_sha256": "0" * 64}, "another protocol"),
        ({}, "there already"),
    ],
)
def test_lines_that_are_no_events_of_this_reader_and_protocol_are_left_out_and_said(session, change, reason):
    event = json.loads(session.path.read_bytes().splitlines()[-1])
    fresh = {"event_id": "f" * 16, "task_id": session.current.task_id} if change else {}
    with open(session.path, "ab") as file:
        file.write(encode_event({**event, **fresh, **change}))
    events, problems = read_log(session.folder)
    assert len(events) == 4
    assert [reason in problem.reason for problem in problems] == [True]
    assert ReadingSession(session.folder, session.protocol, session.reader).done == 3


def test_a_file_that_was_copied_under_another_name_counts_once(session):
    shutil.copy(session.path, session.path.with_name("berta-20240101T000000abcdef01.jsonl"))
    events, problems = read_log(session.folder)
    assert len(events) == 4
    assert len(problems) == 4


def test_a_line_that_is_there_twice_brings_nothing_back_that_was_taken_back(session):
    line = session.path.read_bytes().splitlines(keepends=True)[-1]
    session.undo_last()
    with open(session.path, "ab") as file:
        file.write(line)
    assert len(current_answers(read_log(session.folder)[0])) == 2
    assert ReadingSession(session.folder, session.protocol, session.reader).done == 2


@pytest.mark.parametrize("name", ["simulated", "simulated1", "simulatedanna"])
def test_no_person_reads_under_the_name_of_a_program(name):
    with pytest.raises(InputError, match="programs"):
        person(name)
    assert person("anna.k@hospital") == "anna.k@hospital"


@given(st.binary(max_size=200), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_whatever_gets_into_a_file_a_reading_goes_on(data, place):
    folder = Path(tempfile.mkdtemp())
    try:
        protocol = small_protocol(folder)
        first = ReadingSession(folder, protocol, "anna")
        give(first, 3)
        lines = first.path.read_bytes().splitlines(keepends=True)
        first.path.write_bytes(b"".join([*lines[:place], data, b"\n", *lines[place:]]))
        again = ReadingSession(folder, protocol, "anna")
        assert again.done == 3
        give(again)
        assert len(current_answers(read_log(folder)[0])) == 4
        assert people_have_answered(folder)
    finally:
        shutil.rmtree(folder)


MOVES = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["answer", "undo"]), st.integers(0, 2)), max_size=12)


@given(MOVES)
@settings(max_examples=100, deadline=None)
def test_the_first_answer_stands_until_it_is_taken_back(moves):
    """Against a reader's own notebook: a page per task, written on only where it is blank."""
    events, notebook = [], {}
    for number, (reader, kind, task) in enumerate(moves):
        event = {"event": kind, "event_id": str(number), "reader": reader, "task_id": str(task),
                 "time": f"2024-01-01T00:00:{number:02d}+00:00"}  # fmt: skip
        key = (reader, str(task))
        if kind == "answer":
            notebook.setdefault(key, str(number))
        else:
            event["undoes"] = notebook.pop(key, "none")
        events.append(event)
    standing = current_answers(events)
    assert {(event["reader"], event["task_id"]): event["event_id"] for event in standing} == notebook
    assert [event["time"] for event in standing] == sorted(event["time"] for event in standing)


def test_only_answers_of_people_freeze_a_protocol(protocol):
    simulated = ReadingSession(protocol.folder, protocol, "simulated2")
    give(simulated, 2)
    assert not people_have_answered(protocol.folder)
    looked = ReadingSession(protocol.folder, protocol, "anna")
    looked.pause()
    assert not people_have_answered(protocol.folder)
    give(looked)
    assert people_have_answered(protocol.folder)
    remove_simulated(protocol.folder)
    assert not simulated.path.exists()
    assert looked.path.exists()


def test_no_reading_yet_is_no_problem(tmp_path):
    assert read_log(tmp_path) == ([], [])
    assert not people_have_answered(tmp_path)
    assert current_answers([]) == []
