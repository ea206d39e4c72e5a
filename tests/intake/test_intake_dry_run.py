"""A dry run of an import, a hospital's own rules, and labels by folder."""

import csv
import json

import numpy as np
import pytest
from dicom_films import Hospital, ramp
from PIL import Image
from typer.testing import CliRunner

from cxrlib.cli import app
from cxrlib.errors import InputError
from cxrlib.intake.dry_run import dry_run


@pytest.fixture
def hospital(tmp_path):
    return Hospital(tmp_path)


def by_value(plan, field):
    return {value.value: (value.files, value.used, value.why) for value in plan.values if value.field == field}


def outcomes(hospital):
    return {name: row["reason"] for name, row in hospital.private_table().items()}


def test_a_dry_run_says_of_every_value_what_becomes_of_its_films_and_makes_nothing(hospital, tmp_path):
    hospital.write_labels("patient_id,label", "P1,positive", "P2,negative")
    hospital.add("a", SeriesDescription="Thorax pa"), hospital.add("b", PatientID="P2", ViewPosition="LL")
    hospital.add("c", BodyPartExamined="QWERTZ"), hospital.add("d", PatientID="P3"), hospital.add("e", Modality="CT")
    (hospital.source / "readme.txt").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    plan = dry_run(hospital.source, hospital.labels)
    assert sorted(tmp_path.rglob("*")) == before
    assert (plan.files, plan.used, sum(plan.reasons.values())) == (6, 1, 5)
    assert by_value(plan, "view") == {"PA": (4, 1, "1 another modality than plain radiography, 1 can't tell whether "
        "it shows the chest, 1 no label"), "LL": (1, 0, "1 not a frontal view")}  # fmt: skip
    assert by_value(plan, "body_part")["QWERTZ"] == (1, 0, "1 can't tell whether it shows the chest")
    text = "\n".join(plan.lines())
    assert "6 files = 1 that would be used + 5 others" in text
    assert "  QWERTZ  [0 used: 1 can't tell whether it shows the chest]" in text
    assert hospital.run().used == plan.used


def test_without_labels_every_film_of_a_patient_counts(hospital):
    hospital.add("a"), hospital.add("b", PatientID="P9"), hospital.add("c", PatientID="P9", ViewPosition="LL")
    plan = dry_run(hospital.source, None)
    assert (plan.used, plan.reasons) == (2, {"not a frontal view": 1})
    assert "no table of labels was named" in plan.of_the_labels[0]


def test_what_a_dry_run_writes_is_filled_in_and_taken_as_rules(hospital):
    """A body part and a series that nobody knows, and a series that looks like a chest's; kept without naming again."""
    hospital.add("part", BodyPartExamined="QWERTZ"), hospital.add("view", ViewPosition="LL", SeriesDescription="Rtg 17")
    hospital.add("series", BodyPartExamined="HAND", SeriesDescription="=Zeta 4 PA")
    hospital.add("study", SeriesDescription="Thorax pa")
    rules = hospital.labels.with_name("rules.csv")
    command = ["import-dicom", str(hospital.source), "--labels", str(hospital.labels), "--rules", str(rules)]
    done = CliRunner().invoke(app, [*command, "--dry-run", "--json"])
    assert json.loads(done.stdout)["used"] == 1
    decisions = {"QWERTZ": "use", "'=Zeta 4 PA": "use", "Thorax pa": "skip", "Rtg 17": "skip"}
    with open(rules, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["value"] for row in rows} >= set(decisions)
    with open(rules, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "decision": decisions.get(row["value"], "")} for row in rows)
    for options in ({"rules": rules}, {}):
        hospital.run(**options)
        assert outcomes(hospital) == {
            "part": "", "series": "", "view": "left out by a rule of yours", "study": "left out by a rule of yours",
        }  # fmt: skip
    rules.write_text("field,value,decision\nseries,thorax*,\n")
    hospital.run(rules=rules)
    assert outcomes(hospital)["study"] == ""


def test_rules_have_patterns_and_never_make_a_lateral_film_frontal(hospital):
    hospital.add("a", SeriesDescription="XK 1", ViewPosition="LL"), hospital.add("b", SeriesDescription="XK-2 links")
    hospital.add("c", Modality="ES")
    rules = hospital.labels.with_name("rules.csv")
    rules.write_text("field,value,decision\nseries,xk*,use\nseries,*links,skip\nmodality,ES,use\n")
    hospital.run(rules=rules)
    assert outcomes(hospital) == {
        "a": "can't tell whether it is a frontal view", "b": "left out by a rule of yours", "c": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "said"),
    [("name,value\nx,y", "expected field, value and decision"),
     ("field,value,decision\ncolour,red,use", "row 2: found"),
     ("field,value,decision\nview,PA,perhaps", "and use or skip"),
     ("field,value,decision\nview,PA,use\nview,pa,skip", "row 3: view `pa` is to be used and skipped")],
)  # fmt: skip
def test_rules_that_are_none_are_refused(hospital, lines, said):
    hospital.add("a")
    rules = hospital.labels.with_name("rules.csv")
    rules.write_text(lines)
    with pytest.raises(InputError, match=said):
        hospital.run(rules=rules)


def test_a_person_may_use_a_film_that_words_left_out(hospital):
    hospital.add("a", ViewPosition="LL"), hospital.add("b")
    assert hospital.run().sheets["left-out"] == 1
    image = hospital.private_table()["a"]["image_id"]
    decisions = hospital.labels.with_name("decisions.csv")
    decisions.write_text(f"image_id,decision\n{image},use\n")
    assert hospital.run(decisions=decisions).used == 2


def test_folders_named_by_label_stand_for_a_table(hospital):
    """DICOM files and pictures of several kinds; a picture's patient is not known, and said so."""
    hospital.add("x/positiv/deep/1"), hospital.add("x/negativ/2", PatientID="P2"), hospital.add("x/3", PatientID="P3")
    film = ramp(dtype=np.uint8, highest=200)
    for name, picture in {
        "negativ/a.png": Image.fromarray(film),
        "negativ/b.tif": Image.fromarray(ramp(dtype=np.uint16)),
        "positiv/c.jpg": Image.merge("RGB", [Image.fromarray(film)] * 3),
        "positiv/d.png": Image.merge("RGB", [Image.fromarray(film), *[Image.new("L", film.shape[::-1])] * 2]),
        "d.png": Image.fromarray(film),
    }.items():
        picture.save(hospital.source / "x" / name)
    hospital.labels = None
    imported = hospital.run()
    assert imported.by_label == {"negative": 3, "positive": 2}
    assert imported.patients == 5
    reasons = outcomes(hospital)
    assert {name: reason for name, reason in reasons.items() if reason} == {
        "x/3": "no label", "x/d.png": "no label", "x/positiv/d.png": "a colour image",
    }  # fmt: skip
    assert "4 films name no patient, and count as one patient each" in "\n".join(imported.of_the_labels)
    for row in hospital.table("labels.csv"):
        with Image.open(hospital.out / row["file"]) as drawn:
            assert (drawn.mode, drawn.size) == ("L", (80, 60))
            assert drawn.getextrema() == (0, 255)


def test_pictures_beside_dicom_files_are_found_by_a_table(hospital):
    hospital.write_labels("file,patient_id,label", "a.png,P7,positive", "IM1,P1,negative")
    hospital.add("sub/IM1")
    Image.fromarray(ramp(dtype=np.uint8, highest=200)).save(hospital.source / "sub" / "a.png")
    (hospital.source / "b.png").write_bytes(b"no picture")
    assert hospital.run().by_label == {"negative": 1, "positive": 1}
    assert outcomes(hospital)["b.png"] == "no label"


def test_without_folders_of_both_labels_a_table_is_asked_for(hospital):
    hospital.add("0/a"), hospital.add("1/b"), hospital.add("positive/c")
    hospital.labels = None
    with pytest.raises(InputError, match=r"no folders named by label \(found 0, 1, positive\)"):
        hospital.run()
    assert hospital.run(words={"0": "negative"}).by_label == {"negative": 1, "positive": 1}
