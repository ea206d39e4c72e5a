"""Importing a DICOM export: which files are films, whose label they get, and that nothing is lost or done twice."""

import bz2
import gzip
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pydicom
import pytest
from dicom_films import Hospital, convert_or_crash, film, ramp, save
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid
from typer.testing import CliRunner

from cxrlib.cli import app
from cxrlib.errors import InputError
from cxrlib.films.folder import read_folder
from cxrlib.films.settings import FolderSource
from cxrlib.intake import dicom
from cxrlib.intake.dicom import import_dicom
from cxrlib.intake.header import FOREIGN_ARCHIVE


@pytest.fixture
def hospital(tmp_path):
    return Hospital(tmp_path)


def coloured() -> Dataset:
    dataset = film(ramp(highest=200, dtype=np.uint8))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.PixelData = dataset.PixelData * 3
    return dataset


def without_pixels() -> Dataset:
    dataset = film(ramp())
    del dataset.PixelData
    return dataset


def coded(name: str, code: str, **attributes) -> Dataset:
    dataset = film(ramp(), **attributes)
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "a view"
    setattr(dataset, name, [item])
    return dataset


LEFT_OUT = {
    "ct": (film(ramp(), Modality="CT"), "another modality than plain radiography"),
    "screen": (
        film(ramp(), Modality="OT", SOPClassUID=SecondaryCaptureImageStorage, BodyPartExamined=None),
        "can't tell whether it shows the chest",
    ),
    "hand": (film(ramp(), BodyPartExamined="HAND"), "another body part than the chest"),
    "coded-skull": (
        coded("AnatomicRegionSequence", "89546000", BodyPartExamined=None),
        "another body part than the chest",
    ),
    "lateral": (film(ramp(), ViewPosition="LL"), "not a frontal view"),
    "coded-lateral": (coded("ViewCodeSequence", "399067008", ViewPosition=None), "not a frontal view"),
    "turned": (film(ramp(), ViewPosition="", PatientOrientation=["A", "F"]), "not a frontal view"),
    "named": (film(ramp(), ViewPosition="", SeriesDescription="Thorax_seitlich"), "not a frontal view"),
    "frames": (film(ramp(), NumberOfFrames="2"), "several frames"),
    "colour": (coloured(), "a colour image"),
    "empty-of-pixels": (without_pixels(), "no pixels"),
    "report": (film(ramp(), Rows=None, Columns=None), "no pixels"),
    "raw": (film(ramp(), PresentationIntentType="FOR PROCESSING"), "raw detector data, not for presentation"),
    "nobody": (film(ramp(), PatientID=""), "no patient id or no image id"),
    "printed": (film(ramp(), BurnedInAnnotation="YES"), "set aside: declares text or a face in its pixels"),
    "face": (film(ramp(), RecognizableVisualFeatures="YES"), "set aside: declares text or a face in its pixels"),
    "huge": (film(ramp(), Rows=30_000), "too many pixels"),
    "flat": (film(np.full((20, 20), 7, np.uint16)), "one grey value only"),
    "all-padding": (film(ramp(), PixelPaddingValue=0, PixelPaddingRangeLimit=4095), "one grey value only"),
    "short": (film(ramp(), Rows=90), "damaged"),
    "deep": (film(ramp(), BitsStored=20), "values of another depth than a film's 8 to 16 bits"),
    "stranger": (film(ramp(), PatientID="P99"), "no label"),
}  # fmt: skip


def test_every_file_is_used_or_left_out_with_its_reason(hospital):
    for name, (dataset, _) in LEFT_OUT.items():
        hospital.add(f"deep/er/{name}", dataset)
    hospital.add("IM0001.dcm", ViewPosition="AP")
    hospital.add("no suffix", Modality="DX", ViewPosition="")
    (hospital.source / "notes.txt").write_text("to do")
    (hospital.source / "nothing").touch()
    expected = {f"deep/er/{name}": reason for name, (_, reason) in LEFT_OUT.items()}
    expected |= {"notes.txt": "not a DICOM file", "nothing": "empty file (0 bytes)"}
    imported = hospital.run()
    found = hospital.private_table()
    assert {name: row["reason"] for name, row in found.items() if row["reason"]} == expected
    assert {name for name, row in found.items() if row["outcome"] == "used"} == {"IM0001.dcm", "no suffix"}
    assert (imported.files, imported.used, imported.view_unknown) == (len(expected) + 2, 2, 1)
    assert sum(imported.skipped.values()) == len(expected)
    rows = hospital.table("import.csv")
    assert len(rows) == imported.files
    assert [sum(row["outcome"] == kind for row in rows) for kind in ("used", "can't tell")] == [2, 1]
    assert sorted(row["reason"] for row in rows if row["outcome"] != "used") == sorted(expected.values())


def test_the_output_is_a_folder_that_the_reader_reads(hospital):
    hospital.write_labels("patient_id,label", "P1,positive", "P2,negative")
    hospital.add("a", PatientID="P1", ViewPosition="AP", PatientAge="104Y", PatientSex="M")
    hospital.add("b", PatientID="P1", PatientAge="", PatientBirthDate="19600318", PatientSex="O")
    hospital.add("c", PatientID="p2 ", PatientAge="011M", StudyDate="")
    hospital.run()
    listing = read_folder(FolderSource(reader="folder", folder=hospital.out))
    assert (listing.unexpected, listing.unreadable) == ((), []), "the contact sheets are expected"
    films = listing.manifest
    assert sorted(zip(films["label"], films["view"], films["sex"], films["age"], strict=True)) == [
        ("negative", "PA", "F", 0.0), ("positive", "AP", "M", 90.0), ("positive", "PA", "", 59.0),
    ]  # fmt: skip
    assert films.groupby("label")["patient_id"].nunique().tolist() == [1, 1]
    assert sorted(row["year"] for row in hospital.table("labels.csv")) == ["", "2020", "2020"]
    assert {path.name for path in hospital.out.iterdir()} == {"images", "borders", "labels.csv", "import.csv"}


def test_a_copy_steps_in_for_a_damaged_file(hospital):
    uid = generate_uid()
    hospital.add("1-damaged", film(ramp(), SOPInstanceUID=uid, Rows=90))
    hospital.add("2-good", SOPInstanceUID=uid)
    hospital.add("3-copy", SOPInstanceUID=uid)
    imported = hospital.run()
    assert (imported.files, imported.used) == (3, 1)
    assert {name: row["reason"] for name, row in hospital.private_table().items()} == {
        "1-damaged": "damaged", "2-good": "", "3-copy": "a copy of another file (same image id)",
    }  # fmt: skip
    assert len({row["image_id"] for row in hospital.table("import.csv")}) == 1


def test_links_are_followed_inside_the_source_only(hospital, tmp_path):
    outside = save(film(ramp(), bits=12), tmp_path / "elsewhere" / "secret.dcm")
    inside = hospital.add("sub/film")
    (hospital.source / "out").symlink_to(outside)
    (hospital.source / "out-folder").symlink_to(outside.parent)
    (hospital.source / "again").symlink_to(inside)
    (hospital.source / "loop").symlink_to(hospital.source)
    (hospital.source / "nowhere").symlink_to(hospital.source / "gone")
    (hospital.source / "self").symlink_to(hospital.source / "self")
    os.mkfifo(hospital.source / "pipe")
    assert hospital.run().used == 1
    assert {name: row["reason"] for name, row in hospital.private_table().items()} == {
        "again": "", "sub/film": "a copy of another file (same image id)", "out": "a link that leads out of the source",
        "out-folder": "a link that leads out of the source", "loop": "a link to a folder, not followed",
        "nowhere": "can't be opened", "self": "can't be opened", "pipe": "not an ordinary file",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Patient ID;Label;Größe", " p1 ;POSITIVE;groß"),
        ("accession_number\tlabel", "acc1\tpositive"),
        ("StudyInstanceUID,label", "1.2.3,positive"),
        ("SOPInstanceUID,label,comment", "1.2.4,positive,x"),
        ("file,label", "sub/IM 1,positive"),
        ("patient_id,accession_number,label", "P1,,positive\nP1,ACC2,negative"),
    ],
)
def test_labels_are_found_by_any_id(hospital, header, row):
    hospital.add("sub/IM 1", StudyInstanceUID="1.2.3", SOPInstanceUID="1.2.4")
    hospital.labels.write_bytes(f"{header}\r\n{row}\r\n".encode("cp1252"))
    assert hospital.run().by_label == {"positive": 1}


def test_labels_may_be_an_excel_table(hospital):
    book = openpyxl.Workbook()
    for row in (["Accession Number", "label"], [1234567, "positive"], ["x-1", "negative"], [None, None]):
        book.active.append(row)
    hospital.labels = hospital.labels.with_suffix(".xlsx")
    book.save(hospital.labels)
    hospital.add("a", AccessionNumber="1234567")
    hospital.add("b", AccessionNumber="X-1", PatientID="P2")
    assert hospital.run().by_label == {"positive": 1, "negative": 1}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["patient_id,label", "P1,sick"], "row 2: label: found `sick`, expected negative or positive"),
        (["person,label", "P1,positive"], "found the columns person, label; expected one `label` and at least"),
        (["patient_id,PatientID,label", "P1,P1,positive"], "patient_id comes twice"),
        (["patient_id,accession_number,label", ",,positive"], "row 2: every id is empty"),
        (["patient_id,label", "P1,positive", "p1,negative"], "rows 2 (positive) and 3 (negative) have the same ids"),
        (["patient_id,label"], "no row under the header"),
        ([], "holds no text"),
        (["patient_id,accession_number,label", "P1,,positive", ",ACC1,negative"],
         "rows 2 (positive) and 3 (negative) match the same film"),
    ],
)  # fmt: skip
def test_unusable_labels_are_refused(hospital, lines, said):
    hospital.add("a")
    hospital.write_labels(*lines)
    with pytest.raises(InputError) as refused:
        hospital.run()
    assert said in str(refused.value)
    assert not (hospital.out / "labels.csv").exists()


def said(hospital: Hospital, **options) -> str:
    return "\n".join(hospital.run(**options).lines(hospital.out))


def test_rows_without_a_film_are_told_from_rows_of_skipped_films(hospital):
    hospital.write_labels("patient_id,label", "P1,positive", "007,negative", "8,negative", "P4,negative")
    hospital.add("a"), hospital.add("b", PatientID="P4", ViewPosition="LL"), hospital.add("c", PatientID="008")
    text = said(hospital)
    assert "2 rows of the labels (3, 4) match no film; 1 of them would, but for leading zeros" in text
    assert "1 row of the labels (5) match only files that were skipped for other reasons" in text


def test_days_tell_films_of_a_patient_apart_and_unused_columns_are_named(hospital):
    hospital.write_labels(
        "PatID;Untersuchungsdatum;Befund;Ward",
        "P1;17.03.2020;negativ;3",
        "P1;2020-04-15;positiv;4",
        "P1;2018-1-1;;5",
    )
    for day in ("20180101", "20200317", "20200415"):
        hospital.add(day, StudyDate=day)
    text = said(hospital)
    labels = {name: (row["reason"] or "used") for name, row in hospital.private_table().items()}
    assert labels == {"20180101": "its label is uncertain or empty", "20200317": "used", "20200415": "used"}
    assert "PatID = patient_id, Untersuchungsdatum = study_date, Befund = label; not used: Ward" in text


def test_days_that_may_be_of_two_months_are_refused(hospital):
    hospital.add("a")
    hospital.write_labels("patient_id,date,label", "P1,03/04/2020,positive")
    with pytest.raises(InputError, match="row 2: date: days such as 3/4 may be one of two months"):
        hospital.run()
    hospital.write_labels("patient_id,date,label", "P1,03/17/2020,positive", "P2,03/04/2020,negative")
    assert hospital.run().used == 1


def test_a_table_may_name_columns_and_words_of_its_own(hospital):
    hospital.add("a"), hospital.add("b", PatientID="P2"), hospital.add("c", PatientID="P3")
    hospital.write_labels("Wer,Was,Befund", "P1,krank,x", "P2,gesund,y", "P3,unklar,z")
    mapped = {"columns": {"patient_id": "Wer", "label": "Was"}, "words": {"krank": "positive", "gesund": "negative"}}
    assert hospital.run(**mapped).by_label == {"positive": 1, "negative": 1}
    with pytest.raises(InputError, match=r"row 2: label: found `krank`.*--word krank=negative"):
        hospital.run(columns=mapped["columns"])


@pytest.mark.parametrize("name", ["IM1", "b/IM1", "C:\\export\\b\\IM1", "/mnt/pacs/b/im1", "B/IM1"])
def test_files_are_known_by_the_end_of_their_path(hospital, name):
    hospital.add("b/IM1"), hospital.add("b/IM2")
    hospital.write_labels("file,label", f"{name},positive")
    assert hospital.run().used == 1
    assert hospital.private_table()["b/IM1"]["outcome"] == "used"


def test_a_name_of_several_files_is_refused(hospital):
    hospital.add("a/IM1"), hospital.add("b/IM1")
    hospital.write_labels("Dateiname,label", "IM1,positive")
    with pytest.raises(InputError, match="row 2: file: `IM1` is the name of 2 files"):
        hospital.run()
    hospital.write_labels("Dateiname,label", "a/IM1,positive")
    assert hospital.run().used == 1


def test_the_table_may_name_the_patient_of_a_film_that_names_none(hospital):
    hospital.add("a", PatientID=""), hospital.add("b", PatientID="")
    hospital.write_labels("file,patient_id,label", "a,P7,positive")
    assert hospital.run().used == 1
    assert {name: row["reason"] for name, row in hospital.private_table().items()} == {
        "a": "", "b": "no patient id or no image id",
    }  # fmt: skip
    hospital.add("c", PatientID="P7")
    hospital.write_labels("file,patient_id,label", "a,P7,positive", "c,P7,positive")
    assert hospital.run().patients == 1


def test_patients_of_several_films_under_one_label_are_counted(hospital):
    hospital.add("a"), hospital.add("b"), hospital.add("c", PatientID="P2")
    hospital.write_labels("patient_id,label", "P1,1", "P2,0")
    assert "1 patients have several films under one label" in said(hospital)


def test_what_a_person_decides_is_kept(hospital):
    """Of two films that the header can't tell and one that is used, one of each is decided the other way."""
    for name in ("frontal", "lateral", "used"):
        hospital.add(name, **({} if name == "used" else {"ViewPosition": "", "SeriesDescription": "Thorax 2 Ebenen"}))
    first = hospital.run()
    assert (first.used, first.sheets["cant-tell"]) == (1, 1)
    assert len(Image.open(next(hospital.key.parent.glob("*.imports/*/cant-tell/*.png"))).getcolors(256)) > 2
    ids = {name: row["image_id"] for name, row in hospital.private_table().items()}
    decisions = hospital.labels.with_name("decisions.csv")
    decisions.write_text(f"image_id,decision\n{ids['frontal']},use\n{ids['lateral']},\n{ids['used']},skip\n")
    for options in ({"decisions": decisions}, {}):
        assert hospital.run(**options).used == 1
        outcomes = {name: row["reason"] for name, row in hospital.private_table().items()}
        assert outcomes == {
            "frontal": "", "lateral": "can't tell whether it is a frontal view",
            "used": "left out by a person's decision",
        }  # fmt: skip
    decisions.write_text(f"image_id,decision\n{ids['used']},perhaps\n")
    with pytest.raises(InputError, match="row 2: decision: found `perhaps`, expected use or skip"):
        hospital.run(decisions=decisions)


def test_archives_are_opened_wherever_they_lie(hospital, tmp_path):
    """A ZIP in a folder, a tar, a gzipped file, and two that can't be opened; run twice, the result is the same."""
    film_file = save(film(ramp(), bits=12, PatientID="P1"), tmp_path / "one")
    other = save(film(ramp(), bits=12, PatientID="P2"), tmp_path / "two")
    hospital.write_labels("patient_id,label", "P1,positive", "P2,negative", "P3,negative")
    (hospital.source / "deep").mkdir()
    with zipfile.ZipFile(hospital.source / "deep" / "a.zip", "w") as archive:
        archive.write(film_file, "../../PAT/IM1")
        archive.writestr("notes.txt", "to do")
    with tarfile.open(hospital.source / "b.tar.gz", "w:gz") as archive:
        archive.add(other, "IM2")
    (hospital.source / "c.dcm.gz").write_bytes(
        gzip.compress(save(film(ramp(), PatientID="P3"), tmp_path / "c").read_bytes())
    )
    (hospital.source / "bad.zip").write_bytes(b"PK no archive")
    for _ in range(2):
        assert hospital.run().used == 3
        outcomes = {name: row["reason"] for name, row in hospital.private_table().items()}
        assert {name for name, reason in outcomes.items() if not reason} == {
            "deep/a.zip!/../../PAT/IM1", "b.tar.gz!/IM2", "c.dcm.gz!/c.dcm",
        }  # fmt: skip
        assert outcomes["bad.zip"].startswith("an archive that can't be opened")
        assert outcomes["deep/a.zip"] == outcomes["b.tar.gz"] == "an archive: its files are counted one by one"
        assert outcomes["deep/a.zip!/notes.txt"] == "not a DICOM file"
    assert not list(hospital.key.parent.glob("*.imports/*/unpacked")), "nothing unpacked is left behind"


def test_archives_within_archives_and_other_packers_are_told(hospital, tmp_path):
    """A ZIP in a ZIP in a tar, bzip2 and xz; a quarter of a gzipped file; and kinds that nobody opens here."""
    one = save(film(ramp(), bits=12, PatientID="P1"), tmp_path / "one")
    hospital.write_labels("patient_id,label", "P1,positive", "P2,negative", "P3,negative", "P4,negative")
    inner, middle = tmp_path / "inner.zip", tmp_path / "middle.ZIP"
    for target, content in ((inner, one), (middle, inner)):
        with zipfile.ZipFile(target, "w") as archive:
            archive.write(content, content.name)
    with tarfile.open(hospital.source / "a.txz", "w:xz") as archive:
        archive.add(middle, "middle.ZIP")
    for name, patient, compress in (("b.dcm.bz2", "P2", bz2.compress), ("c.dcm.xz", "P3", lzma.compress)):
        content = save(film(ramp(), bits=12, PatientID=patient), tmp_path / name).read_bytes()
        (hospital.source / name).write_bytes(compress(content))
    whole = gzip.compress(save(film(ramp(), bits=12, PatientID="P4"), tmp_path / "four").read_bytes())
    (hospital.source / "broken.gz").write_bytes(whole[:20] + b"\xff" * 40 + whole[60:])
    for name in ("d.7z", "e.rar", "f.tar.zst", "g.iso"):
        (hospital.source / name).write_bytes(b"whatever it holds")
    assert hospital.run().used == 3
    outcomes = {name: row["reason"] for name, row in hospital.private_table().items()}
    assert outcomes["a.txz!/middle.ZIP!/inner.zip!/one"] == ""
    assert outcomes["broken.gz"].startswith("an archive that can't be opened")
    assert {outcomes[name] for name in ("d.7z", "e.rar", "f.tar.zst", "g.iso")} == {FOREIGN_ARCHIVE}


def write_index(folder: Path, *names: str) -> None:
    """A DICOMDIR of these paths, as bare as the reading allows."""
    index = film(ramp(2, 2))
    index.file_meta.MediaStorageSOPClassUID = index.SOPClassUID = "1.2.840.10008.1.3.10"
    index.DirectoryRecordSequence = [Dataset() for _ in names]
    with pydicom.config.disable_value_validation():
        for record, name in zip(index.DirectoryRecordSequence, names, strict=True):
            record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", name.split("/")
        save(index, folder / "DICOMDIR")


def test_a_dicomdir_decides_which_files_count(hospital):
    """Names on a CD lose their case and gain an ending; what lies beside them is not opened, and no path leads out."""
    for name in ("PAT/im1", "pat2/IM2.dcm", "stray"):
        hospital.add(name)
    write_index(hospital.source, "PAT/IM1", "PAT2/IM2", "PAT3/GONE", "../labels.csv")
    hospital.source /= "DICOMDIR"
    hospital.run()
    assert {name: row["reason"] for name, row in hospital.private_table().items()} == {
        "DICOMDIR": "DICOMDIR, an index of other files", "PAT/im1": "", "pat2/IM2.dcm": "",
        "stray": "not named by the DICOMDIR", "PAT3/GONE": "named by the DICOMDIR, but not there",
        "../labels.csv": "named by the DICOMDIR, but outside of its folder",
    }  # fmt: skip
    hospital.source.write_bytes(b"")
    with pytest.raises(InputError, match=r"not a readable DICOMDIR.*name its folder instead"):
        hospital.run()


@pytest.mark.parametrize("name", ["export.zip", "DICOMDIR"])
def test_a_source_may_be_an_archive_or_a_dicomdir(hospital, name):
    hospital.add("PAT/IM1")
    source = hospital.source / name
    if name == "DICOMDIR":
        write_index(hospital.source, "PAT/IM1")
    else:
        with zipfile.ZipFile(source, "w") as archive:
            archive.write(hospital.source / "PAT" / "IM1", "IM1")
    hospital.source = source
    assert hospital.run().used == 1


def test_numbers_that_a_spreadsheet_shortened_are_refused(hospital):
    hospital.add("a")
    hospital.write_labels("Accession No.,label", "1.23457E+11,positive")
    with pytest.raises(InputError, match=r"row 2: accession_number: found `1\.23457E.11`, a number that a spreadsheet"):
        hospital.run()


def test_a_decoder_that_crashes_or_hangs_costs_its_own_file_only(hospital, monkeypatch):
    for name in ("a", "crash", "hang", "torn", "z"):
        hospital.add(name)
    monkeypatch.setattr(dicom, "convert_file", convert_or_crash)
    imported = hospital.run(seconds_per_file=5)
    assert imported.used == 2
    assert {name: row["reason"] for name, row in hospital.private_table().items()} == {
        "a": "", "z": "", "crash": "damaged: the decoder crashed", "torn": "damaged: the decoder crashed",
        "hang": "damaged: the decoder took too long",
    }  # fmt: skip
    assert len(list((hospital.out / "images").iterdir())) == 2


@pytest.mark.parametrize("lost", ["gone", "another"])
def test_without_its_key_a_finished_import_is_left_alone(hospital, lost):
    hospital.run()
    before = {path: path.read_bytes() for path in hospital.out.rglob("*") if path.is_file()}
    assert before
    hospital.key.unlink()
    if lost == "another":
        hospital.key.write_text("fedcba9876543210" * 4)
        hospital.key.chmod(0o600)
    with pytest.raises(InputError, match=r"nothing was changed") as caught:
        hospital.run()
    assert "key" in str(caught.value)
    assert {path: path.read_bytes() for path in hospital.out.rglob("*") if path.is_file()} == before
    assert hospital.key.exists() == (lost == "another")


def test_the_umask_decides_who_may_read_what_is_made(hospital):
    before = os.umask(0o077)
    try:
        hospital.run()
    finally:
        os.umask(before)
    for path in hospital.out.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_run_decodes_nothing_and_changes_nothing(hospital, monkeypatch):
    for number in range(3):
        hospital.add(f"{number}")
    hospital.add("bad", film(ramp(), Rows=90))
    hospital.run()
    before, times = hospital.content(), {p: p.stat().st_mtime_ns for p in (hospital.out / "images").iterdir()}

    def decode_nothing(function, items, *_):
        assert not list(items)
        return []

    monkeypatch.setattr(dicom, "run_isolated", decode_nothing)
    hospital.run()
    assert hospital.content() == before
    assert {p: p.stat().st_mtime_ns for p in (hospital.out / "images").iterdir()} == times


def test_changes_of_source_and_labels_are_taken_up(hospital):
    hospital.write_labels("patient_id,label", "P1,positive", "P2,negative")
    hospital.add("a"), hospital.add("b", PatientID="P2"), hospital.add("c", PatientID="P3")
    assert hospital.run().used == 2
    (hospital.source / "a").unlink()
    hospital.write_labels("patient_id,label", "P2,positive", "P3,negative")
    assert hospital.run().by_label == {"positive": 1, "negative": 1}
    names = {row["file"] for row in hospital.table("labels.csv")}
    assert {f"images/{path.name}" for path in (hospital.out / "images").iterdir()} == names
    (hospital.out / "images" / Path(names.pop()).name).unlink()
    hospital.run()
    assert len(list((hospital.out / "images").iterdir())) == 2


def test_places_within_each_other_and_folders_of_others_are_refused(hospital, tmp_path):
    hospital.add("a")
    for out, said in (
        (hospital.source / "films", "choose a folder apart from the export"),
        (tmp_path, "choose a folder apart from the export"),
        (hospital.labels, "not a folder"),
    ):
        with pytest.raises(InputError, match=said):
            import_dicom(hospital.source, hospital.labels, out, key_file=hospital.key)
    with pytest.raises(InputError, match="no such folder"):
        import_dicom(tmp_path / "no", hospital.labels, hospital.out, key_file=hospital.key)
    hospital.out.mkdir()
    (hospital.out / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="choose an empty folder"):
        hospital.run()
    assert [path.name for path in hospital.out.iterdir()] == ["thesis.txt"]


def test_an_import_without_a_film_says_why_and_fails(hospital):
    hospital.add("a", Modality="CT")
    options = ["--labels", hospital.labels, "--out", hospital.out, "--key", hospital.key]
    done = CliRunner().invoke(app, ["import-dicom", *map(str, [hospital.source, *options])])
    assert "1 file = 0 used + 1 skipped" in done.stdout
    assert "another modality than plain radiography" in done.stdout
    assert isinstance(done.exception, InputError)
    assert "no film was used" in str(done.exception)


def test_killed_at_any_moment_it_goes_on_to_the_same_result(tmp_path):
    hospital, reference = Hospital(tmp_path / "a"), Hospital(tmp_path / "b")
    generator = np.random.default_rng(0)
    for number in range(24):
        pixels = generator.integers(0, 4096, (900, 1100), dtype=np.uint16)
        dataset = film(pixels, bits=12, **({"Rows": 901} if number % 6 == 5 else {}))
        hospital.add(f"{number:02d}", dataset), reference.add(f"{number:02d}", dataset)
    reference.key = hospital.key
    command = [sys.executable, "-m", "cxrlib.cli", "import-dicom", str(hospital.source), "--labels",
               str(hospital.labels), "--out", str(hospital.out), "--key", str(hospital.key)]  # fmt: skip
    finished: dict[Path, int] = {}
    for images in (0, 4, 12):
        kill_after(command, hospital, images)
        assert not (hospital.out / "labels.csv").exists()
        for path in pictures(hospital):
            Image.open(path).load()
        again = [path for path, modified in finished.items() if path.stat().st_mtime_ns != modified]
        assert len(again) <= os.cpu_count(), "at most what was in the workers' hands is done again"
        finished = {path: path.stat().st_mtime_ns for path in pictures(hospital)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "24 files = 20 used + 4 skipped" in done.stdout
    assert reference.run().used == 20
    files = hospital.content(), reference.content()
    assert files[0] == files[1]
    unchanged = sum(path.stat().st_mtime_ns == modified for path, modified in finished.items())
    assert unchanged >= len(finished) - os.cpu_count()


def pictures(hospital: Hospital) -> list[Path]:
    return sorted((hospital.out / "images").glob("[0-9a-f]*.png"))


def kill_after(command: list[str], hospital: Hospital, images: int) -> None:
    """Start the command and kill it with all its workers as soon as there are so many pictures."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(pictures(hospital)) < images or not hospital.key.exists():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
