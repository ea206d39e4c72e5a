"""Which task comes next, what is stored of an answer, and what a reader is told."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_reading import answers_to, small_protocol

from cxrlib.errors import InputError
from cxrlib.reading.events import current_answers, read_events
from cxrlib.reading.session import AnsweredElsewhere, ReadingSession


@pytest.fixture
def protocol(tmp_path):
    return small_protocol(tmp_path)


def open_session(protocol, reader="anna"):
    return ReadingSession(protocol.folder, protocol, reader)


def give(session, count=1, seconds=3.2, **changes):
    """Answer the next tasks; the texts given back for practice."""
    feedback = []
    for _ in range(count):
        task = session.current
        feedback.append(session.answer(task.task_id, answers_to(task, **changes), seconds=seconds))
    return feedback


def test_every_answer_becomes_one_line_and_the_next_task_follows(protocol):
    session = open_session(protocol)
    first, second = session.current, session.upcoming
    view = [{"window_centre": 120.5, "window_width": 200.0, "zoom": 1.5}]
    artefacts = [{"tag": "lung texture", "x": 0.25, "y": 0.5}, {"tag": "diaphragm", "x": None, "y": None}]
    answers = {**answers_to(first), "artefacts": artefacts, "comment": "zwei Zeilen\nüber eine Rippe"}
    session.answer(first.task_id, answers, seconds=3.214, view=view, screen={"width": 1280, "height": 720})
    assert session.current == second
    opened, event = map(json.loads, session.path.read_text(encoding="utf-8").splitlines())
    assert opened["event"] == "open"
    assert event["answers"] == answers
    assert (event["event"], event["reader"], event["task_id"]) == ("answer", "anna", first.task_id)
    assert (event["films"], event["seconds"], event["view"]) == (list(first.films), 3.21, view)
    assert event["protocol_sha256"] == protocol.sha256
    assert event["screen"] == {"width": 1280, "height": 720}


def test_a_new_sitting_goes_on_at_the_first_task_without_an_answer(protocol):
    session = open_session(protocol)
    give(session, 2)
    again = open_session(protocol)
    assert (again.current, again.done, again.total) == (session.tasks[2], 2, len(session.tasks))
    assert open_session(protocol, "berta").done == 0


def test_a_reading_comes_to_an_end_and_nothing_more_is_accepted(protocol):
    session = open_session(protocol)
    last = session.tasks[-1]
    give(session, session.total)
    assert session.finished
    assert (session.current, session.upcoming, session.seconds_left) == (None, None, 0)
    with pytest.raises(AnsweredElsewhere):
        session.answer(last.task_id, answers_to(last), seconds=1)
    assert len(current_answers(read_events(protocol.folder))) == session.total


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"diagnosis": None}, "diagnosis"),
        ({"diagnosis": ["positive"]}, "diagnosis"),
        ({"origin": "maybe"}, "origin"),
        ({"realism": 5}, "realism"),
        ({"artefacts": [{"tag": "ghosts"}]}, "artefacts"),
        ({"artefacts": [{"tag": "diaphragm", "x": 1.5, "y": 0.5}]}, "artefacts"),
        ({"artefacts": [{"tag": "diaphragm", "x": 0.5, "y": None}]}, "artefacts"),
        ({"artefacts": [{"tag": "diaphragm", "x": float("nan"), "y": 0.5}]}, "artefacts"),
        ({"artefacts": "diaphragm"}, "artefacts"),
        ({"artefacts": [{"tag": "diaphragm"}] * 1000}, "artefacts"),
        ({"comment": "x" * 2001}, "comment"),
        ({"truth": "real"}, "truth"),
    ],
)
def test_an_answer_that_is_no_choice_is_refused_and_not_stored(protocol, change, name):
    session = open_session(protocol)
    with pytest.raises(InputError, match=name):
        session.answer(session.current.task_id, {**answers_to(session.current), **change}, seconds=1)
    assert session.done == 0
    assert read_events(protocol.folder) == []
    give(session)


@pytest.mark.parametrize(
    "facts",
    [
        {"seconds": -1},
        {"seconds": float("nan")},
        {"seconds": 1, "view": [{"zoom": float("inf")}]},
        {"seconds": 1, "screen": {"agent": "x" * 100_000}},
    ],
)
def test_odd_facts_about_the_screen_are_refused(protocol, facts):
    session = open_session(protocol)
    with pytest.raises(InputError):
        session.answer(session.current.task_id, answers_to(session.current), **facts)
    assert read_events(protocol.folder) == []


def test_half_a_letter_from_a_browser_is_kept(protocol):
    session = open_session(protocol)
    session.answer(session.current.task_id, {**answers_to(session.current), "comment": "\ud83d"}, seconds=1)
    assert current_answers(read_events(protocol.folder))[0]["answers"]["comment"] == "\ud83d"


def test_only_the_task_whose_turn_it_is_can_be_answered(protocol):
    session = open_session(protocol)
    for task_id in (session.upcoming.task_id, "task9999", ""):
        with pytest.raises(InputError, match="load the page"):
            session.answer(task_id, answers_to(session.upcoming), seconds=1)
    assert session.done == 0


def test_of_two_windows_the_first_answer_counts_and_the_second_is_told(protocol):
    first, second = open_session(protocol), open_session(protocol)
    task = first.current
    give(first, origin="surely real")
    with pytest.raises(AnsweredElsewhere, match="first answer counts"):
        second.answer(task.task_id, answers_to(task, origin="surely synthetic"), seconds=1)
    (answer,) = current_answers(read_events(protocol.folder))
    assert answer["answers"]["origin"] == "surely real"
    assert second.current == first.current
    give(second)
    with pytest.raises(AnsweredElsewhere):
        give(first)
    assert len(current_answers(read_events(protocol.folder))) == 2


def test_undo_is_a_new_event_and_the_task_can_be_answered_anew(protocol):
    session = open_session(protocol)
    practice = sum(task.practice for task in session.tasks)
    give(session, practice + 1)
    give(session, origin="surely real")
    before = session.path.read_bytes()
    undone = session.undo_last()
    assert session.path.read_bytes().startswith(before)
    assert session.current == undone == session.tasks[practice + 1]
    assert open_session(protocol).current == undone
    give(session, origin="surely synthetic")
    standing = [event for event in current_answers(read_events(protocol.folder)) if event["task_id"] == undone.task_id]
    assert [event["answers"]["origin"] for event in standing] == ["surely synthetic"]


def test_undo_goes_back_one_answer_and_never_into_practice_or_another_block(protocol):
    session = open_session(protocol)
    with pytest.raises(InputError, match="no answer"):
        session.undo_last()
    for index, task in enumerate(session.tasks):
        give(session)
        following = session.tasks[index + 1] if index + 1 < session.total else task
        assert session.can_undo == (not task.practice and following.block == task.block)
        if session.can_undo:
            assert session.undo_last() == task
            assert not session.can_undo
            with pytest.raises(InputError, match="Only the last"):
                session.undo_last()
            give(session)
        else:
            with pytest.raises(InputError, match="taken back"):
                session.undo_last()


def test_practice_tells_the_truth_and_nothing_else_does(protocol):
    session = open_session(protocol)
    practice = [task for task in session.tasks if task.practice]
    told = give(session, len(practice), origin="surely real", diagnosis="negative")
    for text, task in zip(told, practice, strict=True):
        truth = protocol.truth[task.films[0]]
        assert f"is {truth['origin']}" in text
        assert ("you were right" in text) == (truth["origin"] == "real")
        assert truth["label"] in text
    assert set(give(session, session.total - session.done)) == {None}


def test_time_left_follows_the_reader_s_own_pace_in_each_block(protocol):
    session = open_session(protocol)
    assert session.seconds_left is None
    singles = sum(task.block == "A" for task in session.tasks)
    give(session, singles - 1, seconds=10)
    pairs = session.total - singles
    assert session.seconds_left == pytest.approx(10 + 10 * pairs)
    give(session, 2, seconds=10)
    give(session, seconds=4000)
    give(session, 2, seconds=10)
    assert session.seconds_left == pytest.approx(10 * (session.total - session.done))


def test_pauses_are_noted_and_change_nothing(protocol):
    session = open_session(protocol)
    give(session)
    session.pause()
    again = open_session(protocol)
    again.resume()
    assert [event["event"] for event in read_events(protocol.folder)] == ["open", "answer", "pause", "open", "resume"]
    assert (again.done, again.current) == (1, session.current)


def test_times_of_a_reader_rise_whatever_the_clock_does(protocol, monkeypatch):
    give(open_session(protocol))

    class Earlier:
        @staticmethod
        def now(_):
            return datetime(1999, 1, 1, tzinfo=UTC)

        fromisoformat = staticmethod(lambda text: datetime.fromisoformat(text))

    from datetime import UTC, datetime

    monkeypatch.setattr("cxrlib.reading.session.datetime", Earlier)
    session = open_session(protocol)
    give(session, 3)
    times = [event["time"] for event in read_events(protocol.folder)]
    assert times == sorted(set(times))
    assert open_session(protocol).done == 4


def test_a_protocol_that_was_drawn_anew_is_said_and_nothing_is_stored(protocol):
    session = open_session(protocol)
    record = protocol.folder / "protocol.yaml"
    record.write_text(record.read_text() + "# changed\n")
    with pytest.raises(InputError, match="drawn anew"):
        give(session)
    assert session.done == 0


MOVES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["answer", "again", "undo", "reload"])), max_size=25)


@given(MOVES)
@example([(0, "answer")] * 4 + [(1, "undo"), (2, "reload"), (0, "answer"), (2, "answer"), (2, "undo"), (1, "reload")])
@settings(max_examples=30, deadline=None)
def test_whatever_three_windows_do_what_was_acknowledged_stands(moves):
    """Three windows of one reader answer, send again, undo and reload in any order; a notebook keeps what they were
    told. At the end the log says what the notebook says, and so does a window opened anew."""
    with tempfile.TemporaryDirectory() as folder:
        protocol = small_protocol(Path(folder))
        windows = [open_session(protocol) for _ in range(3)]
        shown = [window.current for window in windows]
        notebook = {}
        for number, (place, move) in enumerate(moves):
            window, task = windows[place], shown[place]
            comment = f"move {number}"
            try:
                if move == "reload":
                    windows[place] = open_session(protocol)
                elif move == "undo":
                    del notebook[window.undo_last().task_id]
                else:
                    said = {**answers_to(task), "comment": comment} if task.block == "A" else answers_to(task)
                    window.answer(task.task_id, said, seconds=1)
                    assert task.task_id not in notebook
                    notebook[task.task_id] = comment if task.block == "A" else None
            except InputError:
                # Refused: nothing may have changed, which the end of the test shows.
                pass
            if move != "again":
                shown[place] = windows[place].current
        standing = {
            event["task_id"]: event["answers"].get("comment") for event in current_answers(read_events(Path(folder)))
        }
        assert standing == notebook
        again = open_session(protocol)
        assert again.done == len(notebook)
        assert again.current == next(task for task in again.tasks if task.task_id not in notebook)
