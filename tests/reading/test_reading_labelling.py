"""Real films alone get labels: two readers, what they see differently, and the table that a study file takes."""

import json

import numpy as np
import pandas as pd
import pytest
from dicom_films import Hospital, ramp
from PIL import Image
from reading_browser import SCREEN, Reader, chromium, require_chromium
from served_reading import serving
from small_reading import answers_to
from typer.testing import CliRunner

from cxrlib.cli import app
from cxrlib.errors import InputError
from cxrlib.evaluation.agreement import agreement_of_two
from cxrlib.films.folder import read_folder
from cxrlib.films.settings import FolderSource
from cxrlib.reading.events import people_have_answered
from cxrlib.reading.labelling import RealFilms, load_labelling, prepare_adjudication, prepare_labelling
from cxrlib.reading.pages import page_before
from cxrlib.reading.questions import UNCLEAR
from cxrlib.reading.session import ReadingSession
from cxrlib.reading.settling import adjudication, settle, stand_of
from cxrlib.reading.welcome import Desk, Guest

FILMS = 20


@pytest.fixture
def films(tmp_path):
    """A folder of films, two of a patient, half as wide as high, with a table of them."""
    rows = []
    for number in range(FILMS):
        Image.new("L", (20, 40), 40 + number).save(tmp_path / f"film{number:02d}.png")
        rows.append((f"film{number:02d}.png", f"patient{number // 2}", 30 + number, "positive"))
    table = pd.DataFrame(rows, columns=["file", "patient_id", "age", "label"])
    table.to_csv(tmp_path / "films.csv", index=False)
    return tmp_path


def label_all(protocol, reader, said=lambda file: "negative", tasks=None):
    """A reader of every film, or of so many tasks; `said(file)` is what he or she sees."""
    session = ReadingSession(protocol.folder, protocol, reader)
    while (task := session.current) is not None and (tasks is None or session.done < tasks):
        file = protocol.truth[task.films[0]]["image_id"]
        session.answer(task.task_id, answers_to(task) | {"label": said(file)}, seconds=2)


def of_the_first(number):
    """Positive the first so many films, negative the others."""
    return lambda file: "positive" if int(file[4:6]) < number else "negative"


def test_readers_who_agree_give_a_table_that_a_study_file_takes(films):
    protocol = prepare_labelling(films)
    for reader in ("anna", "berta"):
        label_all(protocol, reader, of_the_first(8))
    said = "\n".join(settle(films, "films.csv"))
    assert "readers, anna, berta: Cohen's κ 1.00" in said
    assert "12 negative, 8 positive, 0 can't be told (left out); settled 20 by readers alike, 0 by adjudication" in said
    table = read_folder(FolderSource(reader="folder", folder=films)).manifest
    assert table["label"].value_counts().to_dict() == {"negative": 12, "positive": 8}
    written = pd.read_csv(films / "labels.csv")
    assert written["age"].tolist() == list(range(30, 30 + FILMS)), "what else was known of a film stays beside it"
    assert "\n".join(settle(films, "films.csv")) == said, "the labelling may write its own table again"


def test_films_that_readers_see_differently_wait_for_somebody_else(films):
    protocol = prepare_labelling(films)
    label_all(protocol, "anna", of_the_first(8))
    label_all(protocol, "berta", of_the_first(11))
    said = list(settle(films, "films.csv"))
    assert any(line.startswith("3 films were labelled differently or by nobody; 3 of them are open") for line in said)
    assert not (films / "labels.csv").exists()
    told = json.loads(CliRunner().invoke(app, ["settle", str(films), "--json"]).stdout)
    assert told["readers"] == {"anna": FILMS, "berta": FILMS}
    assert (told["open"], "written" in told) == (3, False)
    assert 0 < told["agreement"][0]["estimate"] < 1
    again = adjudication(films)
    assert sorted(film["image_id"] for film in again.truth.values()) == ["film08.png", "film09.png", "film10.png"]
    label_all(again, "carla", lambda file: {"film08.png": "positive", "film09.png": UNCLEAR}.get(file, "negative"))
    said = "\n".join(settle(films, "films.csv"))
    assert "decided by: carla" in said
    assert "10 negative, 9 positive, 1 can't be told (left out); settled 17 by readers alike, 3 by adjudication" in said
    written = pd.read_csv(films / "labels.csv").set_index("file")
    assert written.loc[["film08.png", "film10.png"], "label"].tolist() == ["positive", "negative"]
    assert "film09.png" not in written.index
    assert written["settled_by"].value_counts().to_dict() == {"readers alike": 17, "adjudication": 2}


def test_the_agreement_is_that_of_both_first_answers(films):
    protocol = prepare_labelling(films)
    label_all(protocol, "anna", of_the_first(8))
    label_all(protocol, "berta", of_the_first(11))
    table = stand_of(films).agreement.set_index(["between", "readers", "coefficient"])["estimate"]
    first = [1] * 8 + [0] * 12
    expected = agreement_of_two(first, [1] * 11 + [0] * 9, 3, seed=0)
    for name in ("agreement", "Cohen's κ", "Gwet's AC1"):
        assert table["readers", "anna, berta", name] == pytest.approx(expected[name].estimate)
    assert table["readers", "anna, berta", "agreement"] == pytest.approx(17 / 20)
    assert table["first and second answer", "anna", "agreement"] == 1


def test_who_has_not_finished_does_not_count(films):
    protocol = prepare_labelling(films)
    label_all(protocol, "anna", of_the_first(8))
    label_all(protocol, "berta", of_the_first(11), tasks=FILMS // 2)
    said = list(settle(films, "films.csv"))
    assert said[0] == "anna: 20 of 20 films"
    assert "It takes 2 readers" in said[-1]
    with pytest.raises(InputError, match="1 of at least 2 readers"):
        adjudication(films)


def test_what_is_being_decided_on_stays_when_a_third_reader_comes_through(films):
    protocol = prepare_labelling(films)
    for reader, number in (("anna", 8), ("berta", 9)):
        label_all(protocol, reader, of_the_first(number))
    label_all(adjudication(films), "carla", lambda file: "positive")
    label_all(protocol, "dora", of_the_first(10))
    assert len(adjudication(films).truth) == 1
    assert "1 of them are open" in "\n".join(settle(films, "films.csv"))
    assert prepare_adjudication(films, []).truth


def test_a_reader_is_led_by_nothing_and_sees_films_in_their_own_proportions(films):
    protocol = prepare_labelling(films)
    assert set(protocol.worklist["label"]) == {""}
    sent = []
    guest = Guest(Desk(lambda: (protocol, RealFilms(films, protocol))), lambda content, _: sent.append(content), "anna")
    guest.receive({"kind": "ready", "screen": {}})
    while sent[-1]["kind"] == "about":
        answers = {question["name"]: question["choices"][0] for question in sent[-1]["questions"]}
        guest.receive({"kind": "about", "name": sent[-1]["name"], "answers": answers})
    shown = next(content for content in sent if content["kind"] == "task")
    assert shown["films"] == [{"height": 40, "width": 20, "bits": 8}]
    assert "film0" not in str(sent)
    assert "synthetic" not in str(sent)
    assert [question["name"] for question in shown["task"]["questions"]] == ["label", "confidence", "comment"]
    page = page_before(protocol.tasks("anna")[0], protocol.tasks("anna"))
    assert "Others label the same films" in " ".join(page["lines"])
    assert page["lines"][2].startswith(f"{FILMS + 2} films, one at a time")
    assert page["lines"][2].endswith("This takes about 7 minutes.")
    for file in films.glob("*.png"):
        file.unlink()
    guest.receive({"kind": "ready", "screen": {}})
    assert sent[-1]["kind"] == "trouble"
    assert "can't be opened that was there" in sent[-1]["text"]


def test_films_that_can_not_be_opened_are_left_out_until_they_are_mended(films):
    (films / "film03.png").write_bytes(b"no film")
    (films / "film04.png").rename(films / "elsewhere.png")
    protocol = prepare_labelling(films)
    assert protocol.record["left_out"] == {"film03.png": "not an image file", "film04.png": "missing"}
    (films / "elsewhere.png").rename(films / "film04.png")
    assert list(prepare_labelling(films).record["left_out"]) == ["film03.png"]


def test_other_films_than_those_that_were_read_are_refused(films):
    protocol = prepare_labelling(films)
    label_all(protocol, "anna", tasks=1)
    assert people_have_answered(protocol.folder)
    Image.new("L", (64, 64), 9).save(films / "film03.png")
    with pytest.raises(InputError, match=r"other films or settings.*put films and table back"):
        prepare_labelling(films)
    assert load_labelling(films).sha256 == protocol.sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(columns="patient_id"), "no column `patient_id`; found file, age"),
        (lambda table: table.assign(patient_id=["", *table["patient_id"][1:]]), "row 2: patient_id is empty"),
        (lambda table: pd.concat([table, table.head(1)]), "row 22: `film00.png` is listed twice"),
        (lambda table: table.assign(file="gone.png").head(1), "none of its 1 films can be opened"),
    ],
)
def test_a_table_that_will_not_do_is_said_and_nothing_is_begun(films, change, said):
    change(pd.read_csv(films / "films.csv")).to_csv(films / "films.csv", index=False)
    with pytest.raises(InputError, match=said):
        prepare_labelling(films)
    assert not (films / "labelling" / "protocol.yaml").exists()


def test_a_table_of_labels_that_is_there_already_is_kept(films):
    (films / "labels.csv").write_text("file,patient_id,label\n")
    protocol = prepare_labelling(films)
    for reader in ("anna", "berta"):
        label_all(protocol, reader)
    with pytest.raises(InputError, match="there is a table already"):
        list(settle(films, "films.csv"))
    assert (films / "labels.csv").read_text() == "file,patient_id,label\n"


def test_three_readers_are_compared_too_and_the_last_word_is_unanimous(films):
    protocol = prepare_labelling(films)
    for reader, number in (("anna", 8), ("berta", 8), ("carla", 9)):
        label_all(protocol, reader, of_the_first(number))
    assert "Fleiss' κ" in "\n".join(settle(films, "films.csv"))
    again = adjudication(films)
    label_all(again, "dora", lambda file: "positive")
    label_all(again, "emil", lambda file: "negative")
    assert "1 of them are open" in "\n".join(settle(films, "films.csv"))


def served(monkeypatch, *arguments):
    """What `cxr label` would serve: the desk, and the reader."""
    found = []
    monkeypatch.setattr(
        "cxrlib.reading.server.serve_reading", lambda desk, reader, *_, **__: found.append((desk, reader))
    )
    done = CliRunner().invoke(app, ["label", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return found[0]


def test_the_commands_serve_the_films_then_those_in_question_and_settle_them(films, monkeypatch):
    desk, reader = served(monkeypatch, films, "--reader", "anna")
    protocol, pixels = desk.current()
    assert (reader, len(protocol.tasks("anna"))) == ("anna", FILMS + 2)
    assert {pixels[film].shape for film in pixels} == {(40, 20)}
    with pytest.raises(InputError, match="0 of at least 2 readers"):
        served(monkeypatch, films, "--adjudicate")
    for name, number in (("anna", 8), ("berta", 9)):
        label_all(protocol, name, of_the_first(number))
    desk, _ = served(monkeypatch, films, "--adjudicate")
    label_all(desk.current()[0], "anna and berta", lambda file: "positive")
    done = CliRunner().invoke(app, ["settle", str(films)])
    assert done.exit_code == 0
    assert "decided by: anna and berta" in done.output
    assert f"written: {films / 'labels.csv'}" in done.output


def test_films_without_labels_become_a_folder_that_readers_label_and_a_study_takes(tmp_path):
    """By the commands of the book's page, with answers in the place of two radiologists'."""
    hospital = Hospital(tmp_path)
    hospital.add("a"), hospital.add("b", PatientID="P2"), hospital.add("hand", BodyPartExamined="HAND")
    Image.fromarray(ramp(dtype=np.uint8, highest=200)).save(hospital.source / "c.png")
    options = ["import-dicom", hospital.source, "--out", hospital.out, "--key", hospital.key, "--unlabelled"]

    def cxr(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    assert "3 that would be used + 1 others" in cxr(*options, "--dry-run").output
    said = cxr(*options).output
    assert "3 films of 3 patients" in said
    assert "negative" not in said
    assert "1 films name no patient, and count as one patient each" in said
    assert "name the patients in films.csv" in said
    assert list(hospital.table("films.csv")[0]) == ["file", "patient_id", "view", "sex", "age", "year"]
    assert not (hospital.out / "labels.csv").exists()
    protocol = prepare_labelling(hospital.out)
    for reader in ("anna", "berta"):
        label_all(protocol, reader, lambda file: "positive")
    assert "written" in cxr("settle", hospital.out).output
    assert cxr(*options).exit_code == 0, "typed again it changes nothing"
    assert len(read_folder(FolderSource(reader="folder", folder=hospital.out)).manifest) == 3
    with pytest.raises(InputError, match="found beside --labels"):
        hospital.run(unlabelled=True)
    with pytest.raises(InputError, match="add --unlabelled"):
        hospital.run()
    assert (hospital.out / "labels.csv").exists()


@pytest.mark.long
def test_two_readers_and_a_third_in_a_browser(films):
    require_chromium()
    pd.read_csv(films / "films.csv").head(4).to_csv(films / "films.csv", index=False)
    given = {"anna": ["positive", "negative"], "berta": ["positive", "positive"], "carla": [UNCLEAR]}
    with chromium() as browser:
        for options, names in (((), ("anna", "berta")), (("--adjudicate",), ("carla",))):
            with serving(films, *options, command=("-m", "cxrlib.cli", "label")) as server:
                for name in names:
                    page = browser.new_context(viewport=SCREEN).new_page()
                    page.goto(server.address)
                    page.locator("#cxr-reader").fill(name)
                    page.keyboard.press("Enter")
                    page.get_by_role("button", name=f"Begin as {name}").click()
                    reader = Reader(page)
                    reader.turn_pages("reading")
                    assert "synthetic" not in page.locator("body").inner_text().lower()
                    while reader.phase != "finished":
                        reader.answer_task({"label": given[name][reader.position[0] % len(given[name])]})
                    page.context.close()
    said = list(settle(films, "films.csv"))
    assert said[-1] == f"written: {films / 'labels.csv'}"
