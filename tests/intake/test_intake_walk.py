"""A hospital's first hour: 300 mixed films of four vendors' habits, and a findings list in German, kept by hand.

One command leads from there to a study that `cxr check` accepts.
"""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from dicom_films import film, save
from PIL import Image
from typer.testing import CliRunner

from cxrlib.cli import app
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.settings import PhantomSource

FILMS, LATERALS = 300, 30
UTF8 = {"SpecificCharacterSet": "ISO_IR 192"}
# How each vendor's machine describes a frontal film, and a lateral one.
FRONTAL = (
    {"ViewPosition": "", "SeriesDescription": "Thorax p.a. stehend", "BodyPartExamined": "THORAX", "Modality": "CR"},
    {"ViewPosition": "AP SUPINE", "BodyPartExamined": "PORT CHEST", "PhotometricInterpretation": "MONOCHROME1"},
    {
        "ViewPosition": "",
        "BodyPartExamined": "",
        "StudyDescription": "Röntgen Thorax ap Bett",
        "Modality": "DX",
        **UTF8,
    },
    {"ViewPosition": "PA", "BodyPartExamined": "SKULL", "ProtocolName": "ThoraxPA", "PatientOrientation": ["R", "F"]},
)
LATERAL = (
    {"ViewPosition": "", "SeriesDescription": "Thorax seitl. links", "BodyPartExamined": "THORAX", "Modality": "CR"},
    {"ViewPosition": "LEFT LATERAL", "BodyPartExamined": "PORT CHEST"},
    {
        "ViewPosition": "",
        "BodyPartExamined": "",
        "StudyDescription": "Röntgen Thorax seitlich",
        "Modality": "DX",
        **UTF8,
    },
    {"ViewPosition": "PA", "BodyPartExamined": "SKULL", "ProtocolName": "ThoraxLat"},
)
OTHERS = (
    {"SeriesDescription": "Knie links ap", "BodyPartExamined": None, "ViewPosition": "AP"},
    {"SeriesDescription": "BWS ap"},
    {"SeriesDescription": "Chest PA bone suppressed"},
    {"Modality": "CT"},
)
ROWS_PX, COLUMNS_PX = 56, 64


def pixels_of(number: int, attributes: dict, films: list[np.ndarray]) -> np.ndarray:
    values = (4095 / 255 * films[number % len(films)]).astype(np.uint16)
    values = values[:ROWS_PX] + np.uint16(number % 7)
    values = 4095 - np.minimum(values, 4095) if attributes.get("PhotometricInterpretation") == "MONOCHROME1" else values
    return values[:, ::-1] if attributes.get("PatientOrientation") == ["R", "F"] else values


def write_public(folder: Path) -> None:
    """Pictures of noise in the place of public films, which are nobody's copies."""
    folder.mkdir(parents=True)
    lines = ["file,patient_id,label"]
    for number in range(16):
        noise = np.random.default_rng([number, len(folder.name)]).integers(
            0, 256, (ROWS_PX, COLUMNS_PX), dtype=np.uint8
        )
        Image.fromarray(noise).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{folder.name}{number},{('negative', 'positive')[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    place = tmp_path_factory.mktemp("first-hour")
    source = PhantomSource(reader="phantom", scanner="hospital", negative_patients=12, positive_patients=12)
    rows = phantom_manifest(source, "hospital", 5).to_dict("records")
    films = [phantom_film(source, 5, row, COLUMNS_PX).image for row in rows]
    table = ["Befundliste Radiologie;;", ";;", "PatID;Untersuchungsnummer;Befund"]
    for number in range(FILMS):
        kind = LATERAL if number < LATERALS else OTHERS if number < LATERALS + 20 else FRONTAL
        attributes = kind[number % 4]
        ids = {"PatientID": f"{number // 2:05d}", "AccessionNumber": f"U{number}", "StudyDate": "20200401"}
        dataset = film(pixels_of(number, attributes, films), bits=12, **{**attributes, **ids})
        save(dataset, place / "export" / f"geraet{number % 4}" / f"IM{number:04d}")
        table.append(f"{ids['PatientID']};{ids['AccessionNumber']};{'positiv' if number % 3 == 0 else 'negativ'}")
    (place / "befunde.csv").write_bytes("\r\n".join([*table, "Summe;300;"]).encode("cp1252"))
    for role in ("training", "validation"):
        write_public(place / "public" / role)
    command = ["start", place / "export", "--name", "klinik", "--public", place / "public"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        done = CliRunner().invoke(app, [*map(str, command), "--key", str(place / "private" / "key"), "--yes"])
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    with open(next(place.glob("private/key.imports/*/files.csv")), newline="", encoding="utf-8") as file:
        return done.output, {int(row["file"][-4:]): row for row in csv.DictReader(file)}


def test_no_lateral_is_used_no_frontal_is_lost_and_every_file_is_accounted_for(walked):
    printed, files = walked
    outcomes = {number: row["outcome"] for number, row in files.items()}
    assert sorted(outcomes) == list(range(FILMS))
    assert sorted(number for number, outcome in outcomes.items() if outcome == "used") == list(
        range(LATERALS + 20, FILMS)
    )
    assert {files[number]["reason"] for number in range(LATERALS)} == {"not a frontal view"}
    assert "300 files = 250 used + 50 skipped" in printed
    assert "PatID = patient_id, Untersuchungsnummer = accession_number, Befund = label" in printed
    assert "match no film" not in printed


def test_mirrored_films_are_put_right_and_few_films_are_left_to_a_person(walked):
    _, files = walked
    notes = [row["note"] for row in files.values() if row["outcome"] == "used"]
    assert sum("mirrored back" in note for note in notes) == sum(number % 4 == 3 for number in range(50, FILMS))
    assert sum("looks" in note for note in notes) < 0.2 * len(notes)


def test_the_command_ends_with_a_study_that_may_run_and_three_commands_with_their_cost(walked):
    printed, _ = walked
    assert "befunde.csv: PatID = patient_id, Untersuchungsnummer = accession_number, Befund = label" in printed
    assert re.search(r"^  hospital: ready", printed, re.MULTILINE)
    assert "not ready" not in printed
    assert "klinik may run" in printed
    commands = re.findall(r"^  cxr (\S+)", printed, re.MULTILINE)
    assert commands == ["import-dicom", "report", "publish"]
    assert re.search(r"about [\d,]+ min here, [\d,]+ MB of disk", printed)
