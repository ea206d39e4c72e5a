"""`cxr start`: what it sees, what it asks, and what it writes."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from dicom_films import film, save
from PIL import Image

from cxrlib import start as starting
from cxrlib.errors import InputError
from cxrlib.intake.proposal import is_dicom_source
from cxrlib.start import Answers, start
from cxrlib.study import REPOSITORY, load_study

SMALL = """\
  training: {reader: phantom, scanner: public, negative_patients: 12, positive_patients: 12}
  validation: {reader: phantom, scanner: public, negative_patients: 6, positive_patients: 6}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty place to work in, with few simulated films for the public roles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(starting, "SIMULATED", SMALL)
    return tmp_path


def write_pictures(folder, count=40):
    for number in range(count):
        label = ("Normal", "COVID")[number % 2]
        (folder / label).mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(values).save(folder / label / f"{number}.png")


def write_export(folder, words, count=40):
    """DICOM films, and a list of findings beside them in words of the hospital's own."""
    lines = ["PatID;Befund"]
    for number in range(count):
        values = np.random.default_rng(number).integers(0, 4095, (40, 40), dtype=np.uint16)
        save(film(values, bits=12, PatientID=f"P{number}"), folder / "export" / f"IM{number}")
        lines.append(f"P{number};{words[number % 2]}")
    (folder / "befunde.csv").write_text("\n".join(lines))


def said(*arguments):
    return "\n".join(part for part in start(*arguments) if isinstance(part, str))


def test_pictures_in_folders_by_label_need_no_answer(place):
    write_pictures(place / "films")
    text = said(place / "films", Answers(), None)
    assert "pictures; labels by the folders that films lie in" in text
    assert "hospital: ready, but folders name no patients, so each film counts as one" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("  cxr ")] == [
        "report",
        "review",
        "publish",
    ]
    file = place / "studies" / "our-hospital.yaml"
    study = load_study("our-hospital")
    assert (study.data.sources("hospital")[0].folder, study.publishable("hospital")) == (place / "films", False)
    assert study.data.simulated("training")
    assert file.read_text().count("#") > 20, "comments say what may be changed"
    changed = file.read_text().replace("title: ", "title: Our own ")
    file.write_text(changed)
    assert "our-hospital.yaml: as it was" in said(place / "films", Answers(), None)
    assert file.read_text() == changed


def no_check(*_, **__):
    yield from ()
    return []


@pytest.mark.parametrize(
    ("memory_gb", "proposed"),
    [(80, "256 pixels, resnet50"), (16, "256 pixels, resnet50"), (8, "128 pixels, resnet50"),
     (4, "64 pixels, shufflenet_v2_x0_5"), (None, "64 pixels, shufflenet_v2_x0_5")],
)  # fmt: skip
def test_size_and_cost_follow_from_the_memory_of_the_gpu(place, monkeypatch, memory_gb, proposed):
    """With a stand-in for what torch says of this machine's GPU."""
    write_pictures(place / "films")
    monkeypatch.setattr(starting, "check_with_page", no_check)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: memory_gb is not None)
    gpu = SimpleNamespace(total_memory=int((memory_gb or 0) * 1e9))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)
    text = said(place / "films", Answers(), None)
    assert f"written; {proposed}, 2 folds" in text
    minutes = int(re.search(r"about ([\d,]+) min here", text)[1].replace(",", ""))
    study = load_study("our-hospital")
    assert study.classifier.image_size == (224 if "resnet50" in proposed else 64)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    without = re.search(r"about ([\d,]+) min here", said(place / "films", Answers(), None))[1]
    if "resnet50" in proposed:
        assert minutes * 5 < int(without.replace(",", "")), "the same study without the GPU"
    else:
        assert minutes == int(without.replace(",", ""))


def test_only_what_nobody_can_see_is_asked(place):
    write_export(place, ("auffällig", "o.B."))
    questions = []

    def ask(question, usual):
        questions.append(question)
        answers = {
            "Name": "klinik",
            "What does `auffällig`": "positive",
            "What does `o.B.`": "negative",
            "Folder of": "",
        }
        return next(answer for start_, answer in answers.items() if question.startswith(start_))

    text = said(place / "export", Answers(), ask)
    assert len(questions) == 4
    assert "40 films of 40 patients: 20 negative, 20 positive" in text
    assert "klinik may run" in text
    assert "--word auffällig=positive --word o.B.=negative --look" in text.replace("'", "")
    assert load_study("klinik").data.sources("hospital")[0].folder == place / "klinik-films"


def test_without_a_person_what_is_missing_is_named_with_its_option(place):
    write_export(place, ("auffällig", "o.B."), count=2)
    with pytest.raises(InputError, match=r"nobody knows what these labels mean: `auffällig`, `o.B.`; say"):
        said(place / "export", Answers(), None)
    (place / "second.csv").write_text("patient_id,label\nP0,positive\n")
    with pytest.raises(InputError, match=r"--labels: missing; found .*befunde.csv, .*second.csv"):
        said(place / "export", Answers(), None)
    with pytest.raises(InputError, match="--name: found `Our Hospital`"):
        said(place / "export", Answers(name="Our Hospital"), None)
    with pytest.raises(InputError, match="expected the folders training and validation"):
        said(place / "export", Answers(labels=place / "second.csv", public=place), None)
    assert not (place / "studies").exists()


def test_the_name_of_another_study_is_refused_before_anything_is_imported(place):
    write_export(place, ("positiv", "negativ"), count=2)
    (place / "studies").mkdir()
    (place / "studies" / "demo.yaml").write_text((REPOSITORY / "studies" / "demo.yaml").read_text())
    with pytest.raises(InputError, match="describes other films; choose another --name"):
        said(place / "export", Answers(name="demo"), None)
    assert not (place / "demo-films").exists()


def test_a_path_may_have_any_characters(place):
    write_pictures(place / 'Dr. "Ö" films')
    said(place / 'Dr. "Ö" films', Answers(), None)
    assert load_study("our-hospital").data.sources("hospital")[0].folder == place / 'Dr. "Ö" films'


def test_free_text_is_no_label(place):
    write_export(place, ("positiv", "negativ"), count=30)
    lines = ["PatID;Befund", *(f"P{number};Infiltrat Nr. {number}" for number in range(30))]
    (place / "befunde.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="`Befund` holds 30 different texts"):
        said(place / "export", Answers(labels=place / "befunde.csv"), None)


def test_a_covidx_tree_serves_both_public_roles(tmp_path):
    (tmp_path / "train_COVIDx9A.txt").touch()
    lines = starting.public_data(tmp_path)
    assert "split: train" in lines
    assert "split: test" in lines


def test_a_folder_without_films_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(InputError, match="neither DICOM files nor pictures"):
        is_dicom_source(tmp_path)
    with pytest.raises(InputError, match="no such folder or archive"):
        is_dicom_source(tmp_path / "gone")
