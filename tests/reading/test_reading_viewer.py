"""The widget's half of the reading: what it sends, what it stores, and what it never tells. No browser here."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from reading_browser import study_to_read

from cxrlib.reading.events import current_answers, read_events
from cxrlib.reading.pages import page_before
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.questions import ABOUT
from cxrlib.reading.session import ReadingSession
from cxrlib.reading.viewer import MODULES, ReadingWidget, one_module, open_reading

SEND_ON = {
    "seconds": 4.2,
    "view": [{"window_centre": 127.5, "window_width": 255, "zoom": 1}],
    "screen": {"width": 1280},
}


@pytest.fixture(scope="module")
def made_study(tmp_path_factory, write_study_in):
    return study_to_read(write_study_in, tmp_path_factory.mktemp("viewer"))


@pytest.fixture
def opened(made_study, monkeypatch, request):
    """A reader of this test's own, and a list of (message, buffers) that their browser was sent."""
    sent = []
    monkeypatch.setattr(ReadingWidget, "send", lambda _, content, buffers=None: sent.append((content, buffers or [])))
    reader = request.node.name.removeprefix("test_")[:20].replace("[", "_")
    widget = open_reading(made_study, reader)
    session = told(widget._conversation.session)
    return SimpleNamespace(study=made_study, widget=widget, sent=sent, reader=reader, session=session)


def told(session: ReadingSession) -> ReadingSession:
    """One whose reader has answered what is asked before the films."""
    for name, questions in ABOUT.items():
        session.tell_about(name, {question.name: question.choices[0] for question in questions}, {})
    return session


def say(opened, **content) -> list:
    """What the browser says; returns the messages that come back."""
    del opened.sent[:]
    opened.widget._receive(None, content, [])
    return [message for message, _ in opened.sent]


def answers_to(task) -> dict:
    return {question.name: question.choices[0] for question in task.questions if question.kind == "choice"}


def give_answer(opened, submission="first", **changes) -> list:
    task = opened.session.current
    content = {"task_id": task.task_id, "answers": answers_to(task), "submission": submission, **SEND_ON, **changes}
    return say(opened, kind="answer", **content)


def stored(opened) -> list[dict]:
    events = read_events(prepare_protocol(opened.study).folder)
    return [event for event in events if event["reader"] == opened.reader and event["event"] != "about"]


def test_the_first_task_and_the_next_films_are_sent_ahead(opened):
    task, upcoming = say(opened, kind="ready")
    protocol = prepare_protocol(opened.study)
    films = protocol.film_pixels(opened.study)
    first, second = protocol.tasks(opened.reader)[:2]
    assert (task["kind"], task["task"]["task_id"]) == ("task", first.task_id)
    assert (upcoming["kind"], upcoming["task"]["task_id"]) == ("next", second.task_id)
    assert task["progress"] == {"done": 0, "total": 2, "seconds_left": None, "can_undo": False}
    for (message, buffers), shown in zip(opened.sent, (first, second), strict=True):
        (shape,), (buffer,) = message["films"], buffers
        greys = np.frombuffer(buffer, np.uint8).reshape(shape["height"], shape["width"])
        np.testing.assert_array_equal(greys, films[shown.films[0]])


def test_sixteen_bit_films_are_sent_little_endian(made_study, monkeypatch):
    protocol = prepare_protocol(made_study)
    session = told(ReadingSession(made_study, protocol, "deep"))
    film = np.arange(6, dtype=">u2").reshape(2, 3).astype(np.uint16) * 9999
    widget = ReadingWidget(session, dict.fromkeys(protocol.worklist["film_id"], film))
    sent = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append((content, buffers)))
    widget._receive(None, {"kind": "ready"}, [])
    message, buffers = sent[0]
    assert message["films"] == [{"height": 2, "width": 3, "bits": 16}]
    np.testing.assert_array_equal(np.frombuffer(buffers[0], "<u2"), film.ravel())


def test_other_pixels_than_greys_of_8_or_16_bits_are_a_mistake(made_study):
    protocol = prepare_protocol(made_study)
    film = np.zeros((4, 4), np.float32)
    widget = ReadingWidget(
        told(ReadingSession(made_study, protocol, "wrong")), dict.fromkeys(protocol.worklist["film_id"], film)
    )
    with pytest.raises(TypeError, match="float32"):
        widget._receive(None, {"kind": "ready"}, [])


def test_an_answer_is_on_the_disk_before_it_is_acknowledged(opened, monkeypatch):
    on_disk = []

    def send(_, content, buffers=None):
        on_disk.append((content["kind"], len(current_answers(stored(opened)))))

    monkeypatch.setattr(ReadingWidget, "send", send)
    first = opened.session.current
    give_answer(opened)
    assert on_disk == [("stored", 1), ("next", 1)]
    (answer,) = current_answers(stored(opened))
    assert answer["task_id"] == first.task_id
    assert answer["answers"] == answers_to(first)
    assert (answer["seconds"], answer["view"], answer["screen"]) == (4.2, SEND_ON["view"], SEND_ON["screen"])


def test_an_answer_sent_twice_is_stored_once_and_acknowledged_twice(opened):
    task_id = opened.session.current.task_id
    first, *_ = give_answer(opened, "same")
    content = {"task_id": task_id, "answers": {}, "submission": "same", **SEND_ON}
    (again,) = say(opened, kind="answer", **content)
    assert first == again
    assert first["kind"] == "stored"
    assert len(current_answers(stored(opened))) == 1


def test_an_answer_from_another_window_leads_to_the_film_whose_turn_it_is(opened, made_study):
    task = opened.session.current
    other = ReadingSession(made_study, prepare_protocol(made_study), opened.reader)
    other.answer(task.task_id, answers_to(task), seconds=1.0)
    (refused,) = give_answer(opened)
    assert refused["kind"] == "refused"
    assert "already" in refused["text"]
    assert refused["next"] == other.current.task_id
    assert len(current_answers(stored(opened))) == 1


def test_a_refused_answer_is_said_and_may_be_sent_again(opened):
    first = opened.session.current
    (refused,) = give_answer(opened, answers={"diagnosis": "perhaps"})
    assert (refused["kind"], refused["submission"], refused["next"]) == ("refused", "first", first.task_id)
    assert "diagnosis" in refused["text"]
    assert [event["event"] for event in stored(opened)] == ["open"]
    assert give_answer(opened)[0]["kind"] == "stored"


def test_practice_has_feedback_and_the_rest_has_none(opened):
    while (task := opened.session.current) is not None:
        message, *_ = give_answer(opened, task.task_id)
        assert (message["feedback"] is not None) == task.practice
    assert message["next"] is None
    (finished,) = say(opened, kind="ready")
    assert finished["kind"] == "finished"
    assert finished["progress"]["done"] == finished["progress"]["total"] == 18


def test_practice_is_counted_apart_as_the_instructions_say(opened):
    first, _ = say(opened, kind="ready")
    assert "There are 18 tasks in 3 parts" in " ".join(first["task"]["page"]["lines"])
    positions = []
    while opened.session.current is not None:
        message = say(opened, kind="ready")[0]
        positions.append((message["progress"]["done"] + 1, message["progress"]["total"]))
        give_answer(opened, message["task"]["task_id"])
    assert positions == [(1, 2), (2, 2), *((number, 18) for number in range(1, 19))]


def test_undo_takes_back_one_answer_however_often_it_is_pressed(opened):
    for number in range(4):
        give_answer(opened, str(number))
    last, shown = stored(opened)[-1]["task_id"], opened.session.current.task_id
    back, _ = say(opened, kind="undo", next=shown)
    assert (back["task"]["task_id"], back["undone"], back["progress"]["done"]) == (last, True, 1)
    again, _ = say(opened, kind="undo", next=shown)
    assert again["task"]["task_id"] == last
    assert "undone" not in again
    assert [event["event"] for event in stored(opened)] == ["open", *["answer"] * 4, "undo"]
    (refused,) = say(opened, kind="undo", next=last)
    assert "Only the last answer" in refused["text"]


def test_pauses_are_noted_and_a_question_about_life_is_answered(opened):
    assert [say(opened, kind=kind)[0]["kind"] for kind in ("pause", "resume", "ping")] == ["pong"] * 3
    assert [event["event"] for event in stored(opened)] == ["open", "pause", "resume"]
    assert say(opened, kind="nonsense") == []


def test_nothing_but_greys_and_task_ids_leaves_the_kernel(opened):
    protocol = prepare_protocol(opened.study)
    said = []
    while opened.session.current is not None:
        practice = opened.session.current.practice
        messages = say(opened, kind="ready") + give_answer(opened, opened.session.current.task_id)
        said += [message for message in messages if not (practice and message["kind"] == "stored")]
    state = {name: value for name, value in opened.widget.get_state().items() if name not in ("_esm", "_css")}
    text = json.dumps(said) + json.dumps(state, default=repr)
    secrets = {*protocol.worklist["image_id"], *protocol.worklist["film_id"], protocol.sha256, str(opened.study.root)}
    secrets |= {"flagged", "repeat", "fold", 'origin": "', opened.reader}
    assert not [secret for secret in secrets if secret in text]
    assert set(re.findall(r'"(\w+)":', text)) <= {
        "kind", "task", "task_id", "practice", "questions", "name", "text", "choices", "required", "points", "films",
        "height", "width", "bits", "progress", "done", "total", "seconds_left", "can_undo", "reading", "submission",
        "next", "feedback", "page", "heading", "lines", "button", "keep_window",
        *state, *json.loads(json.dumps(state, default=repr)), *_layout_keys(state),
    }  # fmt: skip


def _layout_keys(state) -> set[str]:
    return {key for value in state.values() if isinstance(value, dict) for key in value}


def test_all_synchronised_values_are_the_program_and_nothing_of_the_reading(opened):
    before = opened.widget.get_state()
    say(opened, kind="ready")
    give_answer(opened)
    assert opened.widget.get_state() == before


def test_reader_and_screen_are_asked_about_once_and_a_new_screen_again(made_study, monkeypatch):
    sent = []
    monkeypatch.setattr(ReadingWidget, "send", lambda _, content, buffers=None: sent.append(content))

    def opened(screen, **answered):
        widget, asked = open_reading(made_study, "asked"), []
        widget._receive(None, {"kind": "ready", "screen": screen}, [])
        while sent[-1]["kind"] == "about":
            asked.append(sent[-1]["name"])
            answers = {question["name"]: question["choices"][0] for question in sent[-1]["questions"]}
            widget._receive(None, {"kind": "about", "name": sent[-1]["name"], "answers": answers}, [])
        return asked

    screen = {"width": 1280, "height": 720, "pixel_ratio": 1}
    assert opened(screen) == ["experience", "display"]
    assert opened(screen) == []
    assert opened(screen | {"width": 1536}) == ["display"]
    told = [event for event in read_events(prepare_protocol(made_study).folder) if event["event"] == "about"]
    assert [event["screen"]["width"] for event in told if event["reader"] == "asked"] == [1280, 1280, 1536]


@pytest.mark.parametrize(
    "content",
    [
        {"kind": "about", "name": "experience", "answers": {"years": "many"}}, {"kind": "about"},
        {"kind": "answer"}, {"kind": "answer", "task_id": ["a"], "answers": 3, "seconds": "x", "view": 5, "screen": 1},
        {"kind": ["answer"]}, {"kind": "undo"}, {}, {"kind": "ready", "screen": "big"},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_a_browser_sends_costs_nothing(opened, content):
    before = stored(opened)
    opened.widget._receive(None, content, [])
    assert stored(opened) == before


def test_pages_stand_before_each_part_and_tell_no_number_of_synthetic_films(made_study):
    tasks = prepare_protocol(made_study).tasks("anybody")
    pages = {task.task_id: page for task in tasks if (page := page_before(task, tasks))}
    assert [page["heading"] for page in pages.values()] == [
        "Before you begin", "Part 1 of 3: single films", "Part 2 of 3: two films, one of them synthetic",
        "Part 3 of 3: two films, one patient?",
    ]  # fmt: skip
    first, *others = pages.values()
    assert "There are 18 tasks in 3 parts: about" in " ".join(first["lines"])
    assert "First come 2 for practice" in " ".join(first["lines"])
    assert "9 films" in " ".join(others[0]["lines"])
    assert others[1]["lines"][0].startswith("Part 1 is done")


def test_the_module_asks_for_nothing_and_every_file_is_in_it():
    text = one_module()
    assert "http" not in text.replace("http://www.w3.org", "")
    assert not re.search(r"^(import|export (?!default))", text, re.MULTILINE)
    assert text.count("export default") == 1
    assert [name for name in MODULES if f"const {name[:-3]} = (() =>" not in text] == []
