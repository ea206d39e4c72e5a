"""A reading is balanced, blind, and the same for ever."""

import pandas as pd
import pytest
from drawn_reading import drawable_study, prepared_folder, write_synthetic

from cxrlib.errors import InputError
from cxrlib.reading.protocol import prepare_protocol, reading_fold
from cxrlib.reading.session import ReadingSession
from cxrlib.study import load_study


@pytest.fixture(scope="module")
def prepared_data(tmp_path_factory, write_study_in):
    return prepared_folder(tmp_path_factory.mktemp("prepared"), write_study_in)


@pytest.fixture
def study(tiny_study_file, prepared_data):
    return drawable_study(tiny_study_file, prepared_data)


def of_block(protocol, block, practice="no"):
    tasks = protocol.task_list
    return tasks[(tasks["block"] == block) & (tasks["practice"] == practice)]


def truth_of(protocol, films):
    return protocol.worklist.set_index("film_id").loc[list(films)].reset_index()


def test_block_a_has_as_many_synthetic_as_real_films_of_each_label(study):
    protocol = prepare_protocol(study)
    tasks = of_block(protocol, "A")
    shown = truth_of(protocol, tasks[tasks["repeat_of"] == ""]["left_film"])
    assert shown.groupby(["label", "origin"]).size().tolist() == [study.review.films_per_label_and_origin] * 4
    assert shown["image_id"].is_unique


def test_real_films_of_blocks_a_and_b_are_of_patients_whom_the_generator_never_saw(study):
    protocol = prepare_protocol(study)
    tasks = protocol.task_list[protocol.task_list["block"] != "C"]
    shown = truth_of(protocol, [film for side in ("left_film", "right_film") for film in tasks[side] if film])
    hospital = pd.read_csv(study.results.manifest("hospital")).set_index("image_id")
    assert reading_fold(study) == "fold0"
    assert set(hospital.loc[shown[shown["origin"] == "real"]["image_id"], "fold"]) == {"fold0"}


def test_ids_say_nothing_about_the_truth(study):
    protocol = prepare_protocol(study)
    assert protocol.worklist["film_id"].str.fullmatch(r"film\d{4}").all()
    assert protocol.worklist["film_id"].is_unique
    assert protocol.worklist["origin"].tolist() != sorted(protocol.worklist["origin"])
    assert protocol.task_list["task_id"].str.fullmatch(r"task\d{4}").all()
    assert protocol.task_list["block"].tolist() != sorted(protocol.task_list["block"])


def test_the_protocol_is_frozen_and_each_reader_has_an_order_of_their_own(study):
    first, again = prepare_protocol(study), prepare_protocol(study)
    assert first.sha256 == again.sha256
    assert first.tasks("anna") == again.tasks("anna")
    assert first.tasks("anna") != first.tasks("berta")
    assert {task.task_id for task in first.tasks("anna")} == set(first.task_list["task_id"])


def test_other_films_are_drawn_before_the_first_answer_but_not_after(study):
    first = prepare_protocol(study)
    write_synthetic(study, "positive", "fold0", seed=100)
    second = prepare_protocol(study)
    assert first.sha256 != second.sha256
    session = ReadingSession(study, second, "anna")
    answers = {question.name: question.choices[0] for question in session.current.questions if question.choices}
    session.answer(session.current.task_id, {**answers, "artefacts": []}, seconds=1.0)
    write_synthetic(study, "positive", "fold0", seed=200)
    with pytest.raises(InputError, match="another name"):
        prepare_protocol(study)


def test_without_synthetic_films_the_message_says_what_to_do(tiny_study_file):
    with pytest.raises(InputError, match="make the synthetic films first"):
        prepare_protocol(load_study(tiny_study_file))
