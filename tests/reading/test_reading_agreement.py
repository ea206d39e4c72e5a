"""Events become tidy rows: undo applied, practice out, repeats marked, the first answer kept, strangers left out."""

import json

import pytest
from small_reading import answers_to, small_protocol

from cxrlib.reading.agreement import PEOPLE, PROGRAMS, groups_of, readings
from cxrlib.reading.events import read_events
from cxrlib.reading.rejection import rejected_films
from cxrlib.reading.session import ReadingSession


@pytest.fixture
def protocol(tmp_path):
    return small_protocol(tmp_path / "reading")


def read_all(protocol, reader, tasks=None, **changes):
    """A reader who gives the same answers to everything, or to the first `tasks` tasks."""
    session = ReadingSession(protocol.folder, protocol, reader)
    while session.current is not None and (tasks is None or session.done < tasks):
        session.answer(session.current.task_id, answers_to(session.current, **changes), seconds=4.5)
    return session


def rows_of(protocol):
    return readings(read_events(protocol.folder), protocol)


def test_every_task_but_practice_has_a_row_with_the_truth_beside_the_answer(protocol):
    read_all(protocol, "anna", origin="perhaps synthetic", realism="4", usable="no")
    table = rows_of(protocol)
    scored = protocol.task_list[protocol.task_list["practice"] == "no"]
    assert sorted(table["task_id"]) == sorted(scored["task_id"])
    single = table[table["block"] == "A"]
    assert set(single["step"]) == {3}
    assert set(single["read_origin"]) == {"synthetic"}
    assert set(single["realism"]) == {4}
    truth = protocol.worklist.set_index("film_id")["origin"]
    assert (single["origin"] == single["film_id"].map(truth)).all()
    sides = table[table["block"] == "B"]
    assert set(sides["right_answer"]) == {"right"}
    assert set(sides["answer"]) == {"left"}
    assert set(table["seconds"]) == {4.5}


def test_a_film_shown_again_is_marked_and_tied_to_its_first_showing(protocol):
    read_all(protocol, "anna")
    table = rows_of(protocol)
    (again,) = table[table["repeat"]].to_dict("records")
    wanted = protocol.task_list.set_index("task_id").loc[again["task_id"], "repeat_of"]
    assert again["case_id"] == wanted
    assert (table[~table["repeat"]]["case_id"] == table[~table["repeat"]]["task_id"]).all()


def test_an_answer_taken_back_counts_as_not_given_and_the_next_one_counts(protocol):
    session = read_all(protocol, "anna", tasks=4, realism="1")
    task = session.undo_last()
    assert task.task_id not in set(rows_of(protocol)["task_id"])
    session.answer(task.task_id, answers_to(task, realism="5"), seconds=1)
    table = rows_of(protocol).set_index("task_id")
    assert table.loc[task.task_id, "realism"] == 5
    assert (table.drop(task.task_id)["realism"] == 1).all()


def test_torn_foreign_and_wrong_lines_cost_no_other_answer(protocol):
    session = read_all(protocol, "anna", tasks=5)
    whole = len(rows_of(protocol))
    first = next(event for event in read_events(protocol.folder) if event["event"] == "answer")
    strangers = [
        {**first, "event_id": "a", "task_id": "task9999"},
        {**first, "event_id": "b", "protocol_sha256": "0" * 64},
        {**first, "event_id": "c", "task_id": session.current.task_id, "block": "A", "answers": {"origin": "green"}},
    ]
    with session.path.open("ab") as file:
        file.writelines(json.dumps(event).encode() + b"\n" for event in strangers)
        file.write(b'{"event": "answer", "ta')
    assert len(rows_of(protocol)) == whole == 3


def test_people_and_programs_are_parted(protocol):
    read_all(protocol, "anna")
    read_all(protocol, "simulated1")
    groups = groups_of(rows_of(protocol))
    assert {name: set(part["reader"]) for name, part in groups.items()} == {
        PEOPLE: {"anna"}, PROGRAMS: {"simulated1"}
    }  # fmt: skip
    assert groups_of(rows_of(protocol).head(0)) == {}


def test_more_than_half_of_the_people_reject_a_film_and_programs_have_no_say(protocol):
    def rejected():
        table = rows_of(protocol)
        single = table[(table["block"] == "A") & ~table["simulated"] & ~table["repeat"]]
        return rejected_films(single, protocol)

    read_all(protocol, "simulated1", usable="no")
    assert rejected().empty
    read_all(protocol, "anna", usable="no")
    films = rejected()
    synthetic = protocol.worklist[protocol.worklist["origin"] == "synthetic"].set_index("image_id")
    assert len(films) == 6
    assert (films["label"] == films["image_id"].map(synthetic["label"])).all()
    assert set(films["readers"]) == {1}
    read_all(protocol, "berta", usable="yes")
    assert rejected().empty, "one of two is not more than half"
    read_all(protocol, "carla", usable="no")
    assert set(rejected()["against"]) == {2}
