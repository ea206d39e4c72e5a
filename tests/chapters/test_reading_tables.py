"""What readers said, from simulated readers and from people: tables, sentences, the command, and rejected films."""

import hashlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import fields, replace

import nbformat
import numpy as np
import pandas as pd
import pytest
from audited import write_audit
from drawn_reading import drawable_study, prepared_folder
from rich.console import Console
from scipy import stats
from sklearn.metrics import roc_auc_score
from small_reading import answers_to
from typer.testing import CliRunner

from cxrlib.chapters.reading import shown
from cxrlib.chapters.reading import story as reading_story
from cxrlib.chapters.reading.exports import MODALITY, imrmc_rows, imrmc_text, rjafroc_sheets
from cxrlib.chapters.reading.notebook import FACTS, TABLES, open_chapter
from cxrlib.chapters.reading.report import report_readings
from cxrlib.chapters.reading.rows import Group
from cxrlib.chapters.reading.rows import _areas as areas_of
from cxrlib.chapters.reading.sentences import chance_verdict, reading_sentences
from cxrlib.chapters.reading.tables import COLUMNS, StudyReadings, make_reading_tables
from cxrlib.chapters.run import fold_made_up
from cxrlib.chapters.tables import synthetic_flow
from cxrlib.classifiers.composition import compose_training_films
from cxrlib.classifiers.training import _what_decides as what_decides
from cxrlib.classifiers.training import train_classifier
from cxrlib.cli import app
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.films.images import load_synthetic
from cxrlib.films.preparation import prepare_role
from cxrlib.reading.agreement import PEOPLE, PROGRAMS
from cxrlib.reading.compared import compared_path, generators_compared
from cxrlib.reading.protocol import prepare_protocol
from cxrlib.reading.rejection import freeze_rejected
from cxrlib.reading.session import ReadingSession
from cxrlib.reading.simulation import simulate_readings
from cxrlib.study import REPOSITORY, load_study
from cxrlib.units import units, wanted_units
from cxrlib.workflow.report import save_settings

REVIEW = {"films_per_label_and_origin": 4, "repeat_percent": 20, "pairs_per_label": 2, "copy_pairs": 4,
          "practice_films": 1, "simulated_readers": 2}  # fmt: skip
FIGURES_SHOWN = ("reader_accuracy", "reader_steps", "reader_realism", "reader_artefacts", "reading_time")
FIGURES = ("accuracy", "steps", "realism", "artefacts", "time")


@pytest.fixture(scope="module")
def prepared_data(tmp_path_factory, write_study_in):
    return prepared_folder(tmp_path_factory.mktemp("prepared"), write_study_in)


@pytest.fixture
def study(write_tiny_study, prepared_data):
    return drawable_study(write_tiny_study(review=REVIEW), prepared_data)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory, write_study_in, prepared_data):
    """Once for all tests that only look: two simulated readers have read to the end."""
    study = drawable_study(write_study_in(tmp_path_factory.mktemp("simulated"), review=REVIEW), prepared_data)
    simulate_readings(study)
    return study, make_reading_tables(study)


def read_all(study, reader, right=True, tasks=None):
    """A person who is always right about origin and label, or always wrong; wrong ones find no film usable. With
    `tasks`, they stop after so many."""
    protocol = prepare_protocol(study)
    session = ReadingSession(study, protocol, reader)
    while (task := session.current) is not None and (tasks is None or session.done < tasks):
        truth = protocol.truth[task.films[0]]
        origins = ("surely synthetic", "surely real") if right else ("perhaps real", "perhaps synthetic")
        label = truth["label"] if right else {"negative": "positive", "positive": "negative"}[truth["label"]]
        side = "left" if (truth["origin"] == "synthetic") == right else "right"
        given = {"diagnosis": label, "origin": origins[truth["origin"] == "real"], "synthetic_side": side}
        session.answer(task.task_id, answers_to(task, **given, usable="yes" if right else "no"), seconds=3)


def test_simulated_readers_answer_everything_in_the_same_log_and_the_same_again(study):
    record = simulate_readings(study)
    protocol = prepare_protocol(study)
    sessions = [ReadingSession(study, protocol, name) for name in ("simulated1", "simulated2")]
    assert all(session.finished for session in sessions)
    assert record["answers"] == sum(session.total for session in sessions)
    first = make_reading_tables(study).tables["reading_steps"]
    files = sorted((protocol.folder / "events").glob("*.jsonl"))
    before = [file.read_bytes() for file in files]
    assert simulate_readings(study) == record
    assert [file.read_bytes() for file in files] == before, "answers that are there stay"
    files[0].unlink()
    simulate_readings(study)
    pd.testing.assert_frame_equal(make_reading_tables(study).tables["reading_steps"], first)


def test_an_interrupted_simulation_goes_on_and_its_answers_are_those_it_would_have_given(study, monkeypatch):
    original, given = ReadingSession.answer, []

    def answer(self, *args, **kwargs):
        if len(given) == 7:
            raise KeyboardInterrupt
        given.append(args[0])
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(ReadingSession, "answer", answer)
        with pytest.raises(KeyboardInterrupt):
            simulate_readings(study)
    simulate_readings(study)
    resumed = make_reading_tables(study).tables
    simulate_readings(study, force=True)
    for name, table in make_reading_tables(study).tables.items():
        pd.testing.assert_frame_equal(table, resumed[name])


def test_force_and_fewer_simulated_readers_never_touch_people(study, write_tiny_study):
    simulate_readings(study)
    read_all(study, "anna")
    events = prepare_protocol(study).folder / "events"
    (own,) = events.glob("anna-*.jsonl")
    before = own.read_bytes()
    simulate_readings(study, force=True)
    save_settings(study, force=True)
    assert not list(events.glob("simulated*.jsonl"))
    assert own.read_bytes() == before
    fewer = load_study(write_tiny_study(review=REVIEW | {"simulated_readers": 0}))
    assert own.read_bytes() == before
    assert set(fewer.review.model_dump()) == set(study.review.model_dump())


def test_answers_of_programs_that_the_study_has_no_more_are_not_counted(study, write_tiny_study):
    simulate_readings(study)
    fewer = load_study(write_tiny_study(review=REVIEW | {"simulated_readers": 1}))
    assert set(make_reading_tables(fewer).answers["reader"]) == {"simulated1"}
    simulate_readings(fewer)
    assert not list((prepare_protocol(fewer).folder / "events").glob("simulated2*.jsonl"))


def test_simulated_readers_tell_films_apart_as_well_as_their_model_says(simulated):
    _, found = simulated
    single = found.answers[found.answers["block"] == "A"]
    agree = (single["diagnosis"] == single["label"]).mean()
    assert 0.6 < agree < 1, "d′ of the diagnosis is about two"
    marks = [mark for tags in single["artefacts"] for mark in tags]
    assert {mark["x"] is None for mark in marks} == {True, False}


def test_tables_agree_with_counts_by_hand_and_with_scikit_learn(simulated):
    _, found = simulated
    table = found.tables["reading_accuracy"].set_index(["reader", "question", "measure"])
    answers = found.groups[PROGRAMS]
    single = answers[(answers["block"] == "A") & ~answers["repeat"]]
    for reader, part in single.groupby("reader"):
        row = table.loc[(reader, "real or synthetic", "accuracy")]
        assert row["right"] == (part["read_origin"] == part["origin"]).sum()
        assert row["answers"] == 16
        area = roc_auc_score(part["origin"] == "real", part["step"])
        assert table.loc[(reader, "real or synthetic", "auc"), "estimate"] == pytest.approx(area)
        found_synthetic = part[part["origin"] == "synthetic"]["read_origin"] == "synthetic"
        assert table.loc[(reader, "real or synthetic", "sensitivity"), "estimate"] == found_synthetic.mean()
    everyone = table.loc[("all", "real or synthetic", "accuracy")]
    assert everyone["low"] < everyone["estimate"] < everyone["high"]
    assert everyone["estimate"] == pytest.approx((single["read_origin"] == single["origin"]).mean())
    steps = found.tables["reading_steps"]
    assert steps[steps["reader"] != "all"]["answers"].sum() == steps[steps["reader"] == "all"]["answers"].sum()
    assert {name: tuple(part.columns) for name, part in found.tables.items()} == COLUMNS


def test_tables_hold_no_name_and_no_id(study):
    read_all(study, "anna.k@hospital")
    read_all(study, "berta", right=False)
    protocol = make_reading_tables(study).protocol
    secrets = {"anna", "berta", *protocol.worklist["film_id"], *protocol.worklist["image_id"],
               *protocol.task_list["task_id"]}  # fmt: skip
    for name in COLUMNS:
        text = study.results.table(name).read_text(encoding="utf-8")
        assert not [secret for secret in secrets if secret in text], name
        assert PROGRAMS not in text


def test_people_are_never_counted_together_with_simulated_readers(study):
    simulate_readings(study)
    alone = make_reading_tables(study)
    read_all(study, "anna")
    found = make_reading_tables(study)
    for name, table in found.tables.items():
        rows = table[table["readers"] == PROGRAMS].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, alone.tables[name], check_dtype=False)
    own = found.tables["reading_accuracy"]
    row = own[(own["readers"] == PEOPLE) & (own["measure"] == "accuracy")].iloc[0]
    assert (row["right"], row["answers"]) == (16, 16)
    story = reading_story.ReadingStory(study, found.groups, found.tables)
    assert story.readers == PEOPLE
    assert "not shown here" in story.facts()["beside"]
    assert story.facts()["who"].startswith("One reader has")


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.52, 0.71, 0.55, 0.69), "more often than chance"),
        ((0.505, 0.58, 0.51, 0.57), "more often than chance, though by less than 10 points"),
        ((0.20, 0.45, 0.22, 0.43), "less often than chance"),
        ((0.44, 0.56, 0.45, 0.55), "the two are equivalent"),
        ((0.30, 0.70, 0.33, 0.67), "does not mean that there is none"),
        ((0.395, 0.52, 0.399, 0.51), "does not mean that there is none"),
    ],
)
def test_words_about_chance_follow_both_intervals(interval, expected):
    said = chance_verdict(*interval)
    assert expected in said
    assert ("equivalent" in said and "too wide" not in said) == (expected == "the two are equivalent")


def test_sentences_change_with_what_was_answered(study):
    read_all(study, "anna")
    found = make_reading_tables(study)
    told = reading_sentences(found.tables, PEOPLE, len(found.answers))
    assert "100 %" in told["origin"]
    assert "more often than chance" in told["origin"]
    assert "in 100 % (95 % interval" in told["label"]
    assert told["agreement"] == "With a single reader there is no agreement to measure."
    read_all(study, "berta", right=False)
    found = make_reading_tables(study)
    both = reading_sentences(found.tables, PEOPLE, len(found.answers))
    assert "50 %" in both["origin"]
    assert "does not mean that there is none" in both["origin"]
    assert "Fleiss' κ −1.00" in both["agreement"]
    assert both["who"].startswith("Two readers have given")


def test_simulated_readers_are_named_wherever_they_are_shown(simulated):
    study, found = simulated
    story = reading_story.ReadingStory(study, found.groups, found.tables)
    assert "simulated readers" in story.said
    assert "a program made up" in story.facts()["who"]
    for name in FIGURES:
        texts = [text.get_text() for text in story.figure(name).findobj(lambda part: hasattr(part, "get_text"))]
        assert any("simulated readers" in text for text in texts), name
    for show in ("readers_accuracy", "readers_realism", "readers_agreement", "readers_pairs"):
        table = getattr(shown, show)(story.tables[TABLE_OF[show]], story.readers)
        assert len(table)
        assert table.index.name == PROGRAMS


TABLE_OF = {"readers_accuracy": "reading_accuracy", "readers_realism": "reading_realism",
            "readers_agreement": "reading_agreement", "readers_pairs": "reading_pairs"}  # fmt: skip


def test_without_readings_everything_says_so(study):
    found = make_reading_tables(study)
    story = reading_story.ReadingStory(study, found.groups, found.tables)
    for name in FIGURES:
        texts = [text.get_text() for text in story.figure(name).findobj(lambda part: hasattr(part, "get_text"))]
        assert "no readings yet" in texts
    assert story.facts()["who"] == "There are no readings yet."
    for show, table in TABLE_OF.items():
        assert getattr(shown, show)(story.tables[table], story.readers).empty
    printed = printed_report(study)
    assert "no readings yet" in printed
    assert "cxr review tiny" in printed


def printed_report(study, csv=None):
    console = Console(width=140, record=True, file=io.StringIO())
    for part in report_readings(study, csv):
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
    return console.export_text()


def test_the_command_prints_a_summary_and_exports_every_answer(study, tmp_path):
    simulate_readings(study)
    read_all(study, "anna")
    printed = printed_report(study, tmp_path / "csv")
    assert "Two simulated readers, whose answers a program made up" in printed
    assert "One reader has given" in printed
    assert "anna: " in printed
    answers = pd.read_csv(tmp_path / "csv" / "reading_answers.csv")
    assert len(answers) == len(make_reading_tables(study).answers)
    assert set(answers["reader"]) == {"anna", "simulated1", "simulated2"}
    marks = [mark for text in answers["artefacts"].dropna() for mark in json.loads(text)]
    assert {"tag", "x", "y"} == set(marks[0])
    assert answers["film"].dropna().str.startswith("film").all()
    extra = ["reading_answers", "codebook", "imrmc_readers", "imrmc_simulated_readers"]
    assert sorted(path.stem for path in (tmp_path / "csv").glob("*.csv")) == sorted([*COLUMNS, *extra])
    codebook = pd.read_csv(tmp_path / "csv" / "codebook.csv")
    assert codebook["column"].tolist() == answers.columns.tolist()
    told = json.loads(CliRunner().invoke(app, ["readings", str(study.file), "--json"]).stdout)
    assert set(told) == set(COLUMNS)
    assert {row["readers"] for row in told["reading_accuracy"]} == {"readers", "simulated readers"}


def test_other_programs_find_the_areas_of_the_book_in_what_is_exported(study, tmp_path):
    simulate_readings(study)
    read_all(study, "anna", tasks=5)
    printed_report(study, tmp_path)
    rows = pd.read_csv(tmp_path / "imrmc_simulated_readers.csv")
    truth = rows[rows["readerID"] == "truth"].set_index("caseID")["score"]
    table = make_reading_tables(study).tables["reading_accuracy"].query("measure == 'auc' and readers == @PROGRAMS")
    book = table.set_index("reader")["estimate"]
    sheets = pd.read_excel(tmp_path / "rjafroc_simulated_readers.xlsx", sheet_name=None, keep_default_na=False,
                           engine="openpyxl")  # fmt: skip
    assert list(sheets) == ["Truth", "FP", "TP"]
    for number, (reader, part) in enumerate(rows[rows["readerID"] != "truth"].groupby("readerID"), start=1):
        assert roc_auc_score(part["caseID"].map(truth), part["score"]) == pytest.approx(book[reader], abs=5e-5)
        false, true = (sheets[name][sheets[name]["ReaderID"].astype(int) == number] for name in ("FP", "TP"))
        scores = [*false["FP_Rating"], *true["TP_Rating"]]
        assert roc_auc_score([0] * len(false) + [1] * len(true), scores) == pytest.approx(book[reader], abs=5e-5)
    assert sheets["Truth"]["Paradigm"].tolist()[:3] == ["ROC", "FCTRL", ""]
    assert sheets["Truth"]["LesionID"].is_monotonic_increasing
    text = (tmp_path / "simulated_readers.imrmc").read_text().splitlines()
    assert text[1:6] == ["N0: 8", "N1: 8", "NR: 2", "NM: 1", "BEGIN DATA:"]
    assert not (tmp_path / "imrmc_readers.csv").exists(), "nobody who counts has read"


def test_exports_keep_the_rules_of_the_programs_that_read_them():
    """Those that iMRMC 4 and RJafroc 2 state and check: whole numbers, one truth a case, text where a list stands."""
    answers = sixty_films().replace({"reader": {"reader 1": "Kern, Anna", "reader 2": "-1"}})
    answers = answers.drop(index=0)  # a film that not everybody has answered
    head, lines = imrmc_text(imrmc_rows(answers)).split("BEGIN DATA:\n")
    assert head.splitlines()[1:] == ["N0: 30", "N1: 30", "NR: 3", "NM: 1"]
    fields = [line.split(",") for line in lines.splitlines()]
    assert {len(row) for row in fields} == {4}
    table = pd.DataFrame(fields, columns=["reader", "case", "modality", "score"])
    table[["reader", "case", "score"]] = table[["reader", "case", "score"]].astype(int)
    truth, given = table[table["reader"] == -1], table[table["reader"] != -1]
    assert sorted(truth["case"]) == list(range(1, 61))
    assert truth["score"].value_counts().to_dict() == {0: 30, 1: 30}
    assert (set(given["reader"]), set(given["modality"]), len(given)) == ({1, 2, 3}, {MODALITY}, 179)
    assert not given.duplicated(["reader", "case"]).any()

    sheets = rjafroc_sheets(answers)
    truth, false, true = sheets["Truth"], sheets["FP"], sheets["TP"]
    assert list(truth) == ["CaseID", "LesionID", "Weight", "ReaderID", "ModalityID", "Paradigm"]
    assert list(false) == ["ReaderID", "ModalityID", "CaseID", "FP_Rating"]
    assert list(true) == ["ReaderID", "ModalityID", "CaseID", "LesionID", "TP_Rating"]
    assert truth["CaseID"].is_unique
    assert truth["CaseID"].dtype.kind == "i"
    assert set(truth["ReaderID"]) == {"1, 2, 3"}
    assert [*truth["Paradigm"][:2]] == ["ROC", "FCTRL"]
    assert all(isinstance(value, str) for name in ("ReaderID", "ModalityID") for value in false[name])
    diseased = set(truth[truth["LesionID"] == 1]["CaseID"])
    healthy = set(truth["CaseID"]) - diseased
    assert (set(true["CaseID"]), set(false["CaseID"])) == (diseased, healthy)
    assert (len(true), len(false)) == (3 * len(diseased), 3 * len(healthy)), "every reader has rated every case"
    assert (set(true["LesionID"]), len(truth)) == ({1}, 59)


@pytest.fixture
def excluding(write_tiny_study, prepared_data):
    file = write_tiny_study(review=REVIEW, synthesis={"exclude_rejected": True})
    return drawable_study(file, prepared_data)


def test_rejected_films_are_left_out_of_training_and_of_nothing_else(excluding):
    with pytest.raises(InputError, match="reject-films"):
        load_synthetic(excluding, "positive", "fold0", 32, rejected=False)
    simulate_readings(excluding)
    with pytest.raises(InputError, match="nobody has read yet"):
        freeze_rejected(excluding)
    read_all(excluding, "anna", right=False)
    record = freeze_rejected(excluding)
    assert record["films_rejected"] == record["films_read"] == {"negative": 4, "positive": 4}
    worklist = prepare_protocol(excluding).worklist
    for label in ("negative", "positive"):
        every, kept = (load_synthetic(excluding, label, "fold0", 32, rejected=wanted) for wanted in (True, False))
        gone = set(every.manifest["image_id"]) - set(kept.manifest["image_id"])
        seen = set(worklist[(worklist["origin"] == "synthetic") & (worklist["label"] == label)]["image_id"])
        assert len(gone) == 4
        assert gone <= seen
        rows = every.manifest["image_id"].isin(kept.manifest["image_id"]).to_numpy()
        np.testing.assert_array_equal(kept.images, every.images[rows])
    flow = synthetic_flow(excluding).set_index("label")
    assert flow["made"].tolist() == [8, 8]
    assert flow["rejected"].tolist() == flow["used"].tolist() == [4, 4]


def test_what_readers_rejected_is_decided_once(excluding):
    read_all(excluding, "anna", right=False)
    first = freeze_rejected(excluding)
    read_all(excluding, "berta")
    assert freeze_rejected(excluding) == first
    assert freeze_rejected(excluding, force=True)["films_rejected"] == {"negative": 0, "positive": 0}
    path = excluding.results.rejected(excluding.review.protocol)
    stored = read_json(excluding.results.rejected_record(excluding.review.protocol))["rejected_sha256"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == stored


def test_without_the_setting_nothing_is_rejected(study):
    read_all(study, "anna", right=False)
    every = load_synthetic(study, "positive", "fold0", 32, rejected=False)
    assert len(every) == len(load_synthetic(study, "positive", "fold0", 32))
    with pytest.raises(InputError, match="exclude_rejected is false"):
        freeze_rejected(study)


@pytest.mark.parametrize("readers", ["nobody", "simulated readers", "readers", "readers who have just begun"])
def test_the_cells_on_readings_run_whoever_has_read(study, readers):
    if readers == "simulated readers":
        simulate_readings(study)
    elif readers == "readers":
        read_all(study, "anna", right=False)
    elif readers != "nobody":
        read_all(study, "anna", tasks=2)
        read_all(study, "berta", tasks=4)
    notebook = nbformat.read(REPOSITORY / "notebooks" / "03_synthesis_review.ipynb", as_version=4)
    names = {"study": study, "reader": "", "chapter": replace(open_chapter(study), facts=FACTS[-1:])}
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code" and "{leaks}" not in cell.source]
    begin = next(place for place, source in enumerate(sources) if "protocol = prepare_protocol" in source)
    for source in (sources[1].split("\nstudy = ")[0], *sources[begin:]):
        exec(compile(source, source, "exec"), names)
    assert len(list((study.results.root / "figures").glob("read*.png"))) == 5
    shown_readers = "simulated readers" if readers == "simulated readers" else "readers"
    assert names["chapter"].table("readers_accuracy").index.name == shown_readers


def test_what_simulated_readers_said_is_folded_until_a_person_reads(study):
    """As it lies in the book: nobody need scroll past what a program made up, and nobody's answers are folded away."""

    def folded():
        notebook = nbformat.read(REPOSITORY / "notebooks" / "03_synthesis_review.ipynb", as_version=4)
        fold_made_up(notebook, study)
        return {cell.source for cell in notebook.cells if "hide-cell" in cell.metadata.get("tags", [])}

    simulate_readings(study)
    names = [f'chapter.figure("{name}")' for name in FIGURES_SHOWN]
    names += [f'chapter.table("{name}")' for name in TABLES if name.startswith("readers_")]
    assert folded() == set(names)
    read_all(study, "anna", tasks=3)
    assert folded() == set()


def test_readers_verdict_comes_before_the_classifiers_that_depend_on_it(write_tiny_study):
    settings = {"review": REVIEW, "synthesis": {"exclude_rejected": True}}
    study = load_study(write_tiny_study(**settings))
    (verdict,) = units(study, "rejected_films")
    for arm, waits in (("baseline", False), ("synthetic", True)):
        (classifier,) = [unit for unit in units(study, "classifier") if unit.key == (arm, 0, "all")]
        assert (verdict in classifier.before(study)) == waits, arm
    wanted = wanted_units(study, ["book"])
    assert verdict in wanted
    assert any(unit.record(study).name == "simulated-2.json" for unit in wanted)


def test_classifiers_of_synthetic_films_wait_for_the_verdict_and_depend_on_it(excluding):
    for role in ("training", "validation"):
        prepare_role(excluding, role)
    write_audit(excluding)
    facts = {"images_sha256": "0", "manifest_sha256": "0"}
    for label in ("negative", "positive"):
        excluding.results.synthetic_record(label, "fold0").write_text(json.dumps(facts))
    wanted = (excluding, "synthetic-crossfit", 0, "fold0")
    with pytest.raises(InputError, match="reject-films"):
        train_classifier(*wanted)
    read_all(excluding, "anna", right=False)
    first = freeze_rejected(excluding)["rejected_sha256"]
    assert what_decides(*wanted)[1]["rejected films"] == first
    assert len(compose_training_films(*wanted).images) == 32 + 8, "the public films, and half of the synthetic ones"
    for reader in ("berta", "carla"):
        read_all(excluding, reader)
    freeze_rejected(excluding, force=True)
    assert what_decides(*wanted)[1]["rejected films"] != first
    assert len(compose_training_films(*wanted).images) == 32 + 16
    assert "rejected films" not in what_decides(excluding, "baseline", 0, "all")[1]


def rewrite(session, change):
    """A log as an older program, or a hand, may have left it."""
    lines = [json.loads(line) for line in session.path.read_text().splitlines()]
    session.path.write_text("".join(json.dumps(change(line)) + "\n" for line in lines))


def test_readers_who_are_not_through_have_no_part_in_what_is_said_of_all(study):
    for name, tasks in (("anna", None), ("berta", 4), ("carl", 3), ("dora", 11)):
        read_all(study, name, right=name == "anna", tasks=tasks)
    found = make_reading_tables(study)
    table = found.tables["reading_accuracy"]
    assert "all" not in set(table["reader"]), "one reader is not several"
    who = reading_sentences(found.tables, PEOPLE, len(found.answers))
    assert "Four readers have given" in who["who"]
    assert "(10 of 31 tasks answered)" in who["who"]
    assert "the only reader who counts" in who["who"]
    assert "in 100 %" in who["origin"]
    read_all(study, "emil", right=False)
    found = make_reading_tables(study)
    everyone = found.tables["reading_accuracy"].set_index(["reader", "question", "measure"]).loc["all"]
    assert everyone.loc[("real or synthetic", "accuracy"), "answers"] == 32
    assert everyone.loc[("real or synthetic", "accuracy"), "estimate"] == 0.5
    accuracy = shown.readers_accuracy(found.tables["reading_accuracy"], PEOPLE)
    assert sum("not counted" in name for name in accuracy.index) == 3
    story = reading_story.ReadingStory(study, found.groups, found.tables)
    assert story.single["reader"].nunique() == 2


def test_a_pace_that_nobody_can_look_at_is_said_and_left_out(study):
    read_all(study, "anna")
    read_all(study, "brk", right=False)
    (path,) = (prepare_protocol(study).folder / "events").glob("brk-*.jsonl")
    path.write_text(re.sub(r'"seconds": 3\.0', '"seconds": 0.14', path.read_text()))
    found = make_reading_tables(study)
    rows = found.tables["reading_time"].query("counted == 'no'")
    assert set(rows["why"]) == {"implausible pace"}
    assert rows["hasty"].tolist() == rows["answers"].tolist()
    assert "all" not in set(found.tables["reading_accuracy"]["reader"])
    assert "answers given faster than anybody can look" in reading_sentences(found.tables, PEOPLE, 60)["who"]
    assert "brk: 31 of 31 answers, too fast to have looked" in printed_report(study)


def test_rules_of_counting_are_frozen_with_the_protocol_and_older_readings_go_on(study, write_tiny_study):
    protocol = prepare_protocol(study)
    assert protocol.record["counted"] == {"finished_percent": 90, "shortest_seconds": 1.0}
    read_all(study, "anna", tasks=3)
    changed = load_study(write_tiny_study(review=REVIEW | {"finished_percent": 5}))
    with pytest.raises(InputError, match="answers were given to other films or settings"):
        prepare_protocol(changed)


def sixty_films():
    """Answers of three readers to thirty real and thirty synthetic films."""
    random, rows = np.random.default_rng(15), []
    films = random.normal(size=60)
    for reader, skill in (("reader 1", 0.6), ("reader 2", 0.9), ("reader 3", 1.5)):
        for number, film in enumerate(films):
            looks = (0.5 if number % 2 else -0.5) * skill + 0.7 * film + 0.7 * random.normal()
            step = int(np.searchsorted((-1.2, -0.6, 0.0, 0.6, 1.2), looks)) + 1
            origin, label = ("synthetic", "real")[number % 2], ("negative", "positive")[number // 2 % 2]
            rows.append((reader, "A", f"task{number:04d}", False, origin, label, step))
    return pd.DataFrame(rows, columns=["reader", "block", "case_id", "repeat", "origin", "label", "step"])


def analysed_anew(rows):
    """As `reader_study.R`, by scikit-learn's areas: mean area, standard error, degrees of freedom, interval, areas."""
    truth = rows[rows["readerID"] == "truth"].set_index("caseID")["score"]
    given = rows[rows["readerID"] != "truth"].pivot(index="caseID", columns="readerID", values="score")

    def areas(cases):
        return [roc_auc_score(truth[cases], given.loc[cases, reader]) for reader in given]

    found, number = np.array(areas(given.index)), len(given.columns)
    left_out = np.array([areas(given.index.drop(case)) for case in given.index])
    spread = np.cov(left_out.T) * (len(given) - 1) ** 2 / len(given)
    covariance = max(0.0, spread[~np.eye(number, dtype=bool)].mean())
    total = found.var(ddof=1) + number * covariance
    error, freedom = np.sqrt(total / number), total**2 / (found.var(ddof=1) ** 2 / (number - 1))
    apart = np.hypot(stats.t.ppf(0.975, number - 1) * found.std(ddof=1) / number**0.5, 1.959964 * covariance**0.5)
    reach = (stats.t.ppf(0.975, freedom) * error + apart) / 2 / (found.mean() * (1 - found.mean()))
    logit = np.log(found.mean() / (1 - found.mean()))
    bounds = 1 / (1 + np.exp(-np.array([logit - reach, logit + reach])))
    return [found.mean(), error, freedom, *bounds, *found]


@pytest.mark.parametrize("by", ["scikit-learn", "R"])
def test_three_readers_of_sixty_films_give_the_book_s_numbers_in_other_hands(tmp_path, by):
    answers = sixty_films()
    standing = [(reader, "A", "yes") for reader in answers["reader"].unique()]
    group = Group("readers", answers, 0, pd.DataFrame(standing, columns=["reader", "block", "counted"]))
    rows = list(areas_of(group, group.single))
    book, export = rows[-1], tmp_path / "imrmc_readers.csv"
    imrmc_rows(answers).to_csv(export, index=False)
    if by == "R":
        if shutil.which("Rscript") is None:
            pytest.skip("R is not installed")
        command = ["Rscript", REPOSITORY / "tests" / "reader_study.R", export]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        found = [float(line) for line in done.stdout.split()]
    else:
        found = analysed_anew(pd.read_csv(export))
    named = [book[name] for name in ("estimate", "standard_error", "degrees_of_freedom", "low", "high")]
    assert found == pytest.approx([*named, *(row["estimate"] for row in rows[:-1])], abs=5e-5)


COMPARING = {"comparisons": ["random-start", "no-augmentation"], "initialise_from": "public", "public_images": 24}


@pytest.fixture
def comparing(write_tiny_study, prepared_data):
    """A study whose generators were compared, with the films that they drew."""
    settings = {"review": REVIEW | {"generator_pairs": 10}, "gan": COMPARING}
    study = drawable_study(write_tiny_study(**settings), prepared_data)
    for place, name in enumerate(generators_compared(study)):
        path = compared_path(study, name)
        path.parent.mkdir(parents=True)
        np.save(path, np.full((40, study.gan.resolution, study.gan.resolution), 60 * place, np.uint8))
    return study


def test_readers_choose_between_films_of_two_generators(comparing):
    protocol = prepare_protocol(comparing)
    pairs = [task for task in protocol.tasks("anna") if task.block == "D"]
    assert pairs == protocol.tasks("anna")[-30:], "they come last, since they tell that films are synthetic"
    truth, pixels = protocol.truth, protocol.film_pixels(comparing)
    grey = {"compared:standard": 0, "compared:random-start": 60, "compared:no-augmentation": 120}
    shown = [[truth[film] for film in task.films] for task in pairs]
    assert all(pixels[film["film_id"]][0, 0] == grey[film["fold"]] for both in shown for film in both)
    assert len({film["image_id"] for both in shown for film in both}) == 60, "no film is shown twice"
    left = [both[0]["fold"] < both[1]["fold"] for both in shown]
    assert 0.2 < np.mean(left) < 0.8
    better = ["compared:no-augmentation", "compared:random-start", "compared:standard"]
    for reader, order in (("anna", better), ("berta", better)):
        session = ReadingSession(comparing, protocol, reader)
        while (task := session.current) is not None:
            films = [truth[film]["fold"] for film in task.films]
            side = "left" if task.block != "D" or order.index(films[0]) > order.index(films[1]) else "right"
            session.answer(task.task_id, answers_to(task, more_real=side), seconds=3)
    found = make_reading_tables(comparing)
    rows = found.tables["reading_generators"].query("reader == 'all'").set_index("generator")
    assert rows.loc["random-start", ["shown", "preferred"]].tolist() == [40, 20]
    assert rows.loc["no-augmentation", ["shown", "preferred"]].tolist() == [40, 0]
    assert (rows["high"] < 0.5).all()
    assert rows.loc["no-augmentation", "estimate"] < rows.loc["random-start", "estimate"] < 0.2
    said = reading_sentences(found.tables, PEOPLE, len(found.answers))["generators"]
    assert "a film of random-start is judged more real in" in said
    assert said.count("the standard is ahead") == 2


def test_generators_that_were_not_compared_can_not_be_judged(write_tiny_study, prepared_data):
    study = drawable_study(write_tiny_study(review=REVIEW | {"generator_pairs": 2}), prepared_data)
    with pytest.raises(InputError, match=r"generator_pairs: found 2, but gan\.comparisons is empty"):
        prepare_protocol(study)


def test_simulated_readers_judge_generators_too(comparing):
    simulate_readings(comparing)
    table = make_reading_tables(comparing).tables["reading_generators"]
    assert set(table["reader"]) == {"reader 1", "reader 2", "all"}
    assert (table["low"] <= table["estimate"]).all()


def test_readers_are_told_apart_by_experience_where_two_of_a_kind_have_read(study):
    years = {"anna": "11 or more", "berta": "11 or more", "carl": "0-1", "dora": "0-1", "emil": "2-5"}
    for reader, told in years.items():
        session = ReadingSession(study, prepare_protocol(study), reader)
        more = {"speciality": "radiologist", "years": told, "films_a_week": "10-49"}
        session.tell_about("experience", more, {})
        read_all(study, reader, right=told == "11 or more")
    table = make_reading_tables(study).tables["reading_experience"]
    areas = table[table["measure"] == "auc"].set_index(["about", "told"])
    assert areas["estimate"].to_dict() == {
        ("speciality", "radiologist"): pytest.approx(0.4), ("years", "0-1"): 0, ("years", "11 or more"): 1,
        ("films_a_week", "10-49"): pytest.approx(0.4),
    }  # fmt: skip
    assert areas["number"].to_dict()["years", "0-1"] == 2
    said = printed_report(study)
    assert "by years of reading films 0.00 (" in said
    assert "for the 2 with “11 or more”" in said
    assert "“2-5”" not in said, "one reader of a kind would be known by it"


@pytest.mark.parametrize("text", ["\ud83d lone", "\udc00", "a\x00b", "bell\x07", "line\u2028ok"])
def test_exports_survive_whatever_a_log_holds_and_say_what_they_cleaned(study, tmp_path, text):
    protocol = prepare_protocol(study)
    session = ReadingSession(study, protocol, "anna")
    while session.done < 5:
        session.answer(session.current.task_id, answers_to(session.current, comment=""), seconds=3)
    odd = {"diagnosis": "perhaps", "confidence": "99", "artefacts": 5, "realism": "x" * 5000}

    def damage(event, seen=[]):  # noqa: B006
        seen.append(event)
        if event["event"] == "answer" and len(seen) == 3:
            event["answers"]["comment"] = text
        if event["event"] == "answer" and len(seen) == 4:
            event["seconds"] = 10**400
        if event["event"] == "answer" and len(seen) == 5:
            event["answers"] |= odd
        return event

    rewrite(session, damage)
    printed = printed_report(study, tmp_path / "csv")
    answers = pd.read_csv(tmp_path / "csv" / "reading_answers.csv", keep_default_na=False)
    assert len(answers) == 3, "an answer that is no choice is left out, and no other"
    clean = text if "\u2028" in text else re.sub("[\ud800-\udfff\x00\x07]", "�", text)
    assert clean in set(answers["comment"])
    assert ("is no text: comment of task" in printed) == (clean != text)


def test_a_clock_that_was_set_while_somebody_read_is_noticed(study):
    read_all(study, "anna", tasks=6)
    (path,) = (prepare_protocol(study).folder / "events").glob("anna-*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[4:]:
        line["steady_seconds"] += 20.0  # twenty seconds went by, and the clock on the wall was set back by as much
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "the clock was set back by 20 seconds" in printed_report(study)


def test_what_a_reading_is_made_of_does_not_print_itself():
    """The last line of a cell is shown: the list of films, with files and truth, must not be."""
    found = StudyReadings(*["the film of a patient"] * len(fields(StudyReadings)))
    assert "patient" not in repr(found)
