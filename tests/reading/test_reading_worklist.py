"""What a reading shows: counted, blind, and drawn from the right films."""

import dataclasses
import stat

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn_reading import drawable_study, prepared_folder, write_synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from small_reading import answers_to, as_an_ordinary_user

from cxrlib.artifacts import kept_copy
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.films.held_out import held_out_rows
from cxrlib.films.images import load_image_set, load_manifest
from cxrlib.films.settings import LABELS
from cxrlib.reading.events import read_events
from cxrlib.reading.protocol import load_protocol, prepare_protocol, spaced_order
from cxrlib.reading.session import ReadingSession
from cxrlib.study import load_study

PHANTOMS = {"reader": "phantom", "scanner": "hospital", "negative_patients": 48, "positive_patients": 46}
REVIEW = {"films_per_label_and_origin": 10, "repeat_percent": 10, "practice_films": 6, "pairs_per_label": 6,
          "copy_pairs": 9}  # fmt: skip


@pytest.fixture(scope="module")
def prepared_data(tmp_path_factory, write_study_in):
    return prepared_folder(tmp_path_factory.mktemp("prepared"), write_study_in, data={"hospital": PHANTOMS})


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in, prepared_data):
    file = write_study_in(tmp_path_factory.mktemp("drawn"), data={"hospital": PHANTOMS}, review=REVIEW)
    return drawable_study(file, prepared_data, count=40, flagged=1, flagged_by_pixels=1)


@pytest.fixture(scope="module")
def protocol(study):
    return prepare_protocol(study)


@pytest.fixture
def fresh_study(tmp_path, write_study_in, prepared_data):
    """A study whose reading a test may draw and spoil."""

    def make(synthetic=None, **changes):
        file = write_study_in(tmp_path, **{"data": {"hospital": PHANTOMS}, "review": REVIEW, **changes})
        return drawable_study(file, prepared_data, **{"count": 40, **(synthetic or {})})

    return make


@pytest.fixture(scope="module")
def hospital(study):
    return load_manifest(study, "hospital").set_index("image_id")


def tasks_of(protocol, block, practice="no"):
    """Tasks with the rows of the worklist of their films beside them: left_label, left_origin, …"""
    tasks = protocol.task_list[(protocol.task_list["block"] == block) & (protocol.task_list["practice"] == practice)]
    films = protocol.worklist.set_index("film_id")
    for side in ("left", "right"):
        tasks = tasks.join(films.add_prefix(f"{side}_"), on=f"{side}_film")
    return tasks


def test_block_a_is_balanced_and_its_repeats_come_from_every_label_and_origin(protocol):
    tasks = tasks_of(protocol, "A")
    repeats = tasks[tasks["repeat_of"] != ""]
    firsts = tasks[tasks["repeat_of"] == ""].set_index("task_id")
    cells = ["left_label", "left_origin"]
    assert firsts.groupby(cells).size().tolist() == [10] * 4
    assert firsts["left_image_id"].is_unique
    assert repeats.groupby(cells).size().tolist() == [1] * 4
    again = firsts.loc[repeats["repeat_of"], "left_image_id"].tolist()
    assert repeats["left_image_id"].tolist() == again
    assert not set(repeats["left_film"]) & set(firsts["left_film"])


def test_no_film_is_shown_again_in_practice_or_block_b(protocol):
    practice, pairs = tasks_of(protocol, "A", "yes"), tasks_of(protocol, "B")
    singles = tasks_of(protocol, "A")
    assert len(practice) == 6
    assert set(practice["left_origin"]) == {"real", "synthetic"}
    shown = [
        *singles[singles["repeat_of"] == ""]["left_image_id"], *practice["left_image_id"],
        *pairs["left_image_id"], *pairs["right_image_id"],
    ]  # fmt: skip
    assert len(shown) == len(set(shown)) == 40 + 6 + 24


def test_block_b_has_one_synthetic_film_in_every_pair_on_either_side(protocol):
    pairs = tasks_of(protocol, "B")
    assert pairs["label"].value_counts().to_dict() == {"negative": 6, "positive": 6}
    assert (pairs["left_label"] == pairs["right_label"]).all()
    assert (pairs["left_origin"] != pairs["right_origin"]).all()
    side = np.where(pairs["left_origin"] == "synthetic", "left", "right")
    assert pairs["right_answer"].tolist() == side.tolist()
    assert set(side) == {"left", "right"}


def test_real_films_are_new_to_the_generator_and_of_one_patient_each(protocol, hospital):
    shown = pd.concat([tasks_of(protocol, "A"), tasks_of(protocol, "A", "yes"), tasks_of(protocol, "B")])
    films = pd.concat([shown["left_image_id"], shown["right_image_id"].dropna()])
    real = hospital.reindex(films.unique()).dropna(subset="patient_id")
    assert len(real) == 20 + 3 + 12
    assert set(real["fold"]) == {"fold0"}
    assert real["patient_id"].is_unique


def test_block_c_shows_what_was_flagged_beside_the_film_that_it_is_near_to_by_what_flagged_it(study, protocol):
    pairs = tasks_of(protocol, "C")
    flagged = pairs[pairs["kind"] == "flagged"]
    assert len(flagged) == 4
    for label in LABELS:
        manifest = pd.read_csv(study.results.synthetic(label, "fold0") / "manifest.csv").set_index("image_id")
        by_features, by_pixels = f"{label}-fold0-000000", f"{label}-fold0-000001"
        expected = {
            frozenset((by_features, manifest.loc[by_features, "nearest_feature_id"])),
            frozenset((by_pixels, manifest.loc[by_pixels, "nearest_image_id"])),
        }
        own = flagged[flagged["label"] == label]
        assert {frozenset(pair) for pair in zip(own["left_image_id"], own["right_image_id"], strict=True)} == expected


def test_too_few_flagged_films_are_filled_up_with_the_nearest_that_were_not_shown(study, protocol):
    pairs = tasks_of(protocol, "C")
    assert (pairs["kind"] == "nearest").sum() == 9 - 4
    before = pd.concat([tasks_of(protocol, "A"), tasks_of(protocol, "A", "yes"), tasks_of(protocol, "B")])
    shown = {*before["left_image_id"], *before["right_image_id"]}
    for label, count in (("negative", 3), ("positive", 2)):
        manifest = pd.read_csv(study.results.synthetic(label, "fold0") / "manifest.csv")
        free = manifest[~manifest["flagged"] & ~manifest["image_id"].isin(shown)].sort_values("feature_distance")
        own = pairs[(pairs["kind"] == "nearest") & (pairs["label"] == label)]
        synthetic = own["left_image_id"].where(own["left_origin"] == "synthetic", own["right_image_id"])
        assert set(synthetic) == set(free["image_id"].head(count))


def test_controls_of_block_c_are_of_one_patient_and_of_two(study, protocol, hospital):
    pairs = tasks_of(protocol, "C")
    patients = [pairs[f"{side}_image_id"].map(hospital["patient_id"]).rename(side) for side in ("left", "right")]
    same = patients[0] == patients[1]
    assert (same == (pairs["kind"] == "same patient")).all()
    assert pairs["kind"].value_counts()[["same patient", "different patients"]].tolist() == [4, 4]
    wanted = {"same patient": "yes", "different patients": "no", "flagged": "", "nearest": ""}
    assert (pairs["right_answer"] == pairs["kind"].map(wanted)).all()
    films = load_image_set(study, "hospital", 32)
    row_of = {image_id: row for row, image_id in enumerate(films.manifest["image_id"])}
    coarse = films.images.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))
    for pair in pairs[pairs["kind"] == "different patients"].itertuples():
        folds = hospital.loc[[pair.left_image_id, pair.right_image_id], "fold"].tolist()
        assert sorted(folds) == ["fold0", "fold1"]
        new, near = (pair.left_image_id, pair.right_image_id)[:: 1 if folds[0] == "fold0" else -1]
        candidates = hospital[(hospital["label"] == pair.label) & (hospital["fold"] == "fold1")].index
        distance = {film: ((coarse[row_of[film]] - coarse[row_of[new]]) ** 2).mean() for film in candidates}
        # Nearest, up to how a film is shrunk to the coarse grid.
        assert distance[near] <= sorted(distance.values())[2]


def test_every_reader_practises_first_and_comes_to_block_c_last(protocol):
    for reader in ("anna", "berta", "anna.k@hospital"):
        tasks = protocol.tasks(reader)
        assert [(task.block, task.practice) for task in tasks] == (
            [("A", True)] * 6 + [("A", False)] * 44 + [("B", False)] * 12 + [("C", False)] * 17
        )
        assert {len(task.films) for task in tasks if task.block == "A"} == {1}
        assert {len(task.films) for task in tasks if task.block != "A"} == {2}


@given(films=st.integers(1, 60), percent=st.integers(0, 50), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_repeat_comes_well_after_its_first(films, percent, seed):
    firsts = [f"task{number}" for number in range(films)]
    repeats = {f"repeat{number}": f"task{number}" for number in range(films * percent // 100)}
    order = spaced_order(firsts, repeats, np.random.default_rng(seed))
    assert sorted(order) == sorted([*firsts, *repeats])
    between = [order.index(repeat) - order.index(first) - 1 for repeat, first in repeats.items()]
    assert all(tasks >= min(10, films // 3) for tasks in between)
    assert films < 3 or all(between)


def test_repeats_lie_as_two_random_places_do_that_are_far_enough_apart():
    random = np.random.default_rng(5)
    firsts = [f"task{number}" for number in range(40)]
    repeats = {f"repeat{number}": f"task{number}" for number in range(4)}
    orders = [spaced_order(firsts, repeats, random) for _ in range(1000)]
    expected = [later for first in range(44) for later in range(first + 11, 44)]
    for found, wanted in ((repeats.keys(), expected), (repeats.values(), [43 - later for later in expected])):
        places = [order.index(task) for order in orders for task in found]
        assert np.percentile(places, [10, 50, 90]) == pytest.approx(np.percentile(wanted, [10, 50, 90]), abs=1.5)


def test_nothing_that_a_browser_gets_tells_the_truth(study, protocol):
    """The tasks and the names of their films, for two readers, and everything else a session has on display."""
    secrets = {*protocol.worklist["image_id"], "fold0", "fold1", str(study.root), "flagged", "repeat", protocol.sha256}
    for reader in ("anna", "berta"):
        session = ReadingSession(study, protocol, reader)
        sent = [repr(dataclasses.asdict(task)) for task in protocol.tasks(reader)]
        sent += [
            repr(session.current),
            repr(session.upcoming),
            f"{session.done} {session.total} {session.seconds_left}",
        ]
        found = [secret for secret in secrets if any(secret in text for text in sent)]
        assert found == []
    fields = {field for task in protocol.tasks("anna") for field in dataclasses.asdict(task)}
    assert fields == {"task_id", "block", "practice", "films", "questions"}
    # Ids are in random order: neither kind of film is nearer to the beginning of the list than chance has it.
    number = protocol.worklist["film_id"].str.removeprefix("film").astype(int)
    real = number[protocol.worklist["origin"] == "real"]
    spread = np.sqrt(len(number) ** 2 / 12 / len(real))
    assert abs(real.mean() - number.mean()) < 4 * spread


def test_real_and_synthetic_pixels_pass_through_one_pipeline(fresh_study):
    """The same film in both places is shown as the same pixels; all are of one size and depth."""
    study = fresh_study()
    films = load_image_set(study, "hospital", 32)
    for label in LABELS:
        own = films.select((films.manifest["label"] == label).to_numpy())
        write_synthetic(study, label, "fold0", images=own.images, count=len(own))
    protocol = prepare_protocol(study)
    pixels = protocol.film_pixels(study)
    assert {(film.shape, film.dtype.name, film.flags["C_CONTIGUOUS"]) for film in pixels.values()} == {
        ((32, 32), "uint8", True)
    }
    assert set(pixels) == set(protocol.worklist["film_id"])
    row_of = {image_id: row for row, image_id in enumerate(films.manifest["image_id"])}
    for film in protocol.worklist.itertuples():
        if film.origin == "synthetic":
            own = np.flatnonzero((films.manifest["label"] == film.label).to_numpy())
            expected = films.images[own[int(film.image_id.rsplit("-", 1)[1])]]
        else:
            expected = films.images[row_of[film.image_id]]
        np.testing.assert_array_equal(pixels[film.film_id], expected)


def test_flagged_films_are_in_the_random_draw(fresh_study):
    protocol = prepare_protocol(fresh_study({"flagged": 40}))
    singles = tasks_of(protocol, "A")
    assert set(singles[singles["left_origin"] == "synthetic"]["left_flagged"]) == {"yes"}
    assert protocol.record["blocks"]["C"]["pairs"]["flagged"] == 9


def test_without_folds_real_films_are_those_held_out_of_training(fresh_study):
    study = fresh_study(classifier={"arms": ["baseline", "synthetic"]}, gan={"held_out_percent": 40})
    protocol = prepare_protocol(study)
    hospital = load_manifest(study, "hospital")
    held_out = set()
    for label in LABELS:
        films = hospital[hospital["label"] == label]
        held_out |= set(films["image_id"][held_out_rows(study, films)])
    shown = protocol.worklist[protocol.worklist["film_id"].isin(tasks_of(protocol, "A")["left_film"])]
    real = shown[shown["origin"] == "real"]
    assert len(real) >= 20
    assert set(real["image_id"]) <= held_out
    assert "held out" in protocol.record["films"]["real"]


def test_where_nothing_is_held_out_the_protocol_says_so(fresh_study):
    study = fresh_study(classifier={"arms": ["baseline", "synthetic"]}, gan={"held_out_percent": 0})
    assert "may have seen" in prepare_protocol(study).record["films"]["real"]


def test_where_films_are_few_the_blocks_share_them_and_both_numbers_are_on_record(fresh_study):
    study = fresh_study({"count": 9}, review={"films_per_label_and_origin": 10, "pairs_per_label": 6})
    protocol = prepare_protocol(study)
    blocks = yaml.safe_load((protocol.folder / "protocol.yaml").read_text())["blocks"]
    assert blocks["A"]["practice"] == 4
    assert (blocks["A"]["films"], blocks["A"]["films_asked_for"]) == (4 * 5, 40)
    assert (blocks["B"]["pairs"], blocks["B"]["pairs_asked_for"]) == (2 * 3, 12)
    singles = tasks_of(protocol, "A")
    firsts = singles[singles["repeat_of"] == ""]
    assert firsts.groupby(["left_label", "left_origin"]).size().tolist() == [5] * 4


def test_a_handful_of_films_is_read_without_practice(fresh_study):
    blocks = prepare_protocol(fresh_study({"count": 3})).record["blocks"]
    assert (blocks["A"]["practice"], blocks["A"]["films"], blocks["B"]["pairs"]) == (0, 4 * 2, 2 * 1)


def test_the_truth_is_in_files_of_their_owner_only(protocol):
    assert stat.S_IMODE(protocol.folder.stat().st_mode) == 0o700
    files = [path for path in protocol.folder.iterdir() if path.is_file()]
    lists = {"protocol.yaml", "worklist.csv", "tasks.csv"}
    assert {path.name for path in files} == lists | {kept_copy(protocol.folder / name).name for name in lists}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_another_account_is_told_whose_the_reading_is(fresh_study):
    study = fresh_study()
    folder = prepare_protocol(study).folder
    folder.chmod(0)
    try:
        for opened in (prepare_protocol, load_protocol):
            with as_an_ordinary_user(), pytest.raises(InputError, match="account that owns the study"):
                opened(study)
    finally:
        folder.chmod(0o700)


def test_lists_that_were_changed_by_hand_are_put_back_or_refused(fresh_study):
    study = fresh_study()
    protocol = prepare_protocol(study)
    for name in ("worklist.csv", "tasks.csv"):
        path = protocol.folder / name
        before = path.read_text()
        path.write_text(before.replace("positive", "negative", 1))
        assert load_protocol(study).sha256 == protocol.sha256
        assert path.read_text() == before
        kept_copy(path).unlink()
        path.write_text(before.replace("positive", "negative", 1))
        with pytest.raises(InputError, match=f"{name}: not the list"):
            load_protocol(study)
        path.write_text(before)
    kept_copy(protocol.folder / "protocol.yaml").unlink()
    (protocol.folder / "protocol.yaml").write_text("]")
    with pytest.raises(InputError, match="can't be read"):
        load_protocol(study)


def answer_one(study, reader):
    protocol = prepare_protocol(study)
    session = ReadingSession(study, protocol, reader)
    session.answer(session.current.task_id, answers_to(session.current), seconds=1)
    return protocol


def test_answers_freeze_films_and_settings_but_not_what_is_harmless(fresh_study, write_study_in):
    study = fresh_study()
    protocol = answer_one(study, "anna")

    def changed(**review):
        return load_study(write_study_in(study.root, data={"hospital": PHANTOMS}, review={**REVIEW, **review}))

    assert prepare_protocol(changed(simulated_readers=2, planned_readers=9)).sha256 == protocol.sha256
    with pytest.raises(InputError, match="another name"):
        prepare_protocol(changed(pairs_per_label=5))
    assert load_protocol(study).sha256 == protocol.sha256
    assert prepare_protocol(changed(pairs_per_label=5, protocol="second")).sha256 != protocol.sha256
    assert len(read_events(protocol.folder)) == 2


def test_simulated_readers_hold_nothing_up_and_an_unreadable_answer_does(fresh_study):
    study = fresh_study()
    first = answer_one(study, "simulated1")
    write_synthetic(study, "positive", "fold0", count=40, seed=100)
    second = prepare_protocol(study)
    assert first.sha256 != second.sha256
    assert read_events(second.folder) == []
    (second.folder / "events").mkdir(exist_ok=True)
    (second.folder / "events" / "anna-1.jsonl").write_bytes(b'{"event": "answer", "ta')
    write_synthetic(study, "positive", "fold0", count=40, seed=200)
    with pytest.raises(InputError, match="another name"):
        prepare_protocol(study)


def test_a_reader_who_only_looked_freezes_nothing(fresh_study):
    study = fresh_study()
    protocol = prepare_protocol(study)
    ReadingSession(study, protocol, "anna").pause()
    write_synthetic(study, "positive", "fold0", count=40, seed=100)
    assert prepare_protocol(study).sha256 != protocol.sha256
    assert read_json(study.results.synthetic_record("positive", "fold0"))["feature_threshold"] == 0.5
