"""What readings say, against published intervals and counts by hand."""

import pandas as pd
import pytest
from scipy.stats import beta

from cxrlib.review.agreement import accuracy_table, confusion, exact_interval, in_words, readings

WORKLIST = pd.DataFrame(
    [("f1", "positive", "real"), ("f2", "positive", "synthetic"), ("f3", "negative", "synthetic")],
    columns=["film_id", "label", "origin"],
)


def event(film, diagnosis, origin, realism="3", reader="anna", time="2024-01-01T00:00:00+00:00"):
    answers = {"diagnosis": diagnosis, "origin": origin, "realism": realism}
    return {"event": "answer", "event_id": film + reader + time, "time": time, "reader": reader, "task_id": film,
            "block": "A", "practice": False, "films": [film], "answers": answers, "seconds": 2.0}  # fmt: skip


EVENTS = [
    event("f1", "positive", "surely real", "5"),
    event("f2", "negative", "perhaps synthetic", "2"),
    event("f3", "negative", "perhaps real", "4"),
]


@pytest.mark.parametrize(("right", "total"), [(0, 10), (4, 20), (20, 20), (81, 263)])
def test_exact_interval_agrees_with_the_beta_distribution(right, total):
    low = 0.0 if right == 0 else beta.ppf(0.025, right, total - right + 1)
    high = 1.0 if right == total else beta.ppf(0.975, right + 1, total - right)
    assert exact_interval(right, total) == pytest.approx((low, high), abs=1e-9)


def test_without_observations_nothing_is_excluded():
    assert exact_interval(0, 0) == (0.0, 1.0)


def test_six_steps_become_two_answers_and_truth_stands_beside_them():
    table = readings(EVENTS, WORKLIST).set_index("film_id")
    assert table.loc["f1", ["read_origin", "origin", "origin_step"]].tolist() == ["real", "real", 6]
    assert table.loc["f2", ["read_origin", "origin", "origin_step"]].tolist() == ["synthetic", "synthetic", 3]
    assert table.loc["f3", ["read_origin", "origin", "origin_step"]].tolist() == ["real", "synthetic", 4]


def test_the_first_answer_counts_and_films_off_the_list_do_not():
    later = event("f1", "negative", "surely synthetic", time="2024-01-02T00:00:00+00:00")
    table = readings([*EVENTS, later, event("f9", "positive", "surely real")], WORKLIST)
    assert len(table) == 3
    assert table.set_index("film_id").loc["f1", "read_label"] == "positive"


def test_accuracy_counts_right_answers_per_reader_and_over_all():
    others = [event("f1", "negative", "surely real", reader="berta")]
    table = accuracy_table(readings(EVENTS + others, WORKLIST)).set_index(["reader", "question"])
    assert table.loc[("anna", "real or synthetic"), "right"] == 2
    assert table.loc[("anna", "label"), "right"] == 2
    assert table.loc[("all readers", "label"), ["right", "films"]].tolist() == [2, 4]


def test_confusion_has_a_row_for_each_truth():
    table = confusion(readings(EVENTS, WORKLIST)).set_index("truth")
    assert table.loc["synthetic", ["read as real", "read as synthetic"]].tolist() == [1, 1]
    assert table.loc["real", "mean realism (1–5)"] == 5


def test_no_readings_yet():
    nothing = readings([], WORKLIST)
    assert in_words(nothing) == "There are no readings yet."
    assert accuracy_table(nothing).empty
    assert confusion(nothing).empty


def test_in_words():
    text = in_words(readings(EVENTS, WORKLIST))
    assert text.startswith(
        "One reader has given 3 answers: right about real or synthetic in 67 % (95 % interval 9 to 99"
    )
