"""Tables of labels as hospitals keep them: other names, other words, other spreadsheets."""

import re
import zipfile

import numpy as np
import openpyxl
import pytest
import yaml
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films.folder import read_folder
from cxrlib.films.label_table import read_label_table
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import FolderSource
from cxrlib.study import REPOSITORY, load_study

GERMAN = "Datei;PatID;Befund;Diagnose;Alter\nä1.png;7;Positiv;Grippe;71,5\nb.png;8;negativ;;\n"
GERMAN_COLUMNS = {"file": "Datei", "patient_id": "PatID", "label": "Befund", "finding": "Diagnose", "age": "Alter"}
HEADER = "file,patient_id,label\n"
GERMAN_LABELS = {"positiv": "positive", "negativ": "negative"}


def make_images(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.full((20, 30), 100, np.uint8)).save(folder / name)


def source_of(folder, **settings):
    """As a study file gives it: a JSON-like value, validated."""
    return FolderSource.model_validate({"reader": "folder", "folder": folder, **settings})


def write_workbook(path, rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("notes").append(["not", "read"])
    book.save(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_a_german_spreadsheet_is_read_in_every_dialect_of_csv(tmp_path, encoding, separator):
    make_images(tmp_path, "ä1.png", "b.png")
    text = GERMAN.replace("71,5", '"71,5"').replace(";", separator)
    (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
    manifest = read_folder(source_of(tmp_path, columns=GERMAN_COLUMNS, labels=GERMAN_LABELS)).manifest
    assert list(manifest["file"]) == ["ä1.png", "b.png"]
    assert list(manifest["patient_id"]) == ["7", "8"]
    assert list(manifest["label"]) == ["positive", "negative"]
    assert list(manifest["finding"]) == ["Grippe", ""]
    np.testing.assert_array_equal(manifest["age"], [71.5, np.nan])


def test_a_workbook_gives_what_the_same_csv_gives(tmp_path):
    make_images(tmp_path, "ä1.png", "b.png")
    (tmp_path / "labels.csv").write_text(GERMAN, encoding="utf-8")
    rows = [
        GERMAN.splitlines()[0].split(";"),
        ["ä1.png", 7, "Positiv", "Grippe", 71.5],
        [None],
        ["b.png", 8.0, "negativ"],
    ]
    write_workbook(tmp_path / "labels.xlsx", rows)
    settings = {"columns": GERMAN_COLUMNS, "labels": GERMAN_LABELS}
    from_csv, from_excel = (
        read_folder(source_of(tmp_path, labels_file=name, **settings)).manifest
        for name in ("labels.csv", "labels.xlsx")
    )
    assert from_csv.equals(from_excel)


def test_rows_are_counted_as_the_spreadsheet_shows_them(tmp_path):
    (tmp_path / "labels.csv").write_text("file,patient_id,label\n\na.png,p,positive\n,,\nb.png,,positive\n")
    with pytest.raises(InputError, match=r"labels\.csv: row 5: patient_id is empty"):
        read_folder(source_of(tmp_path))
    write_workbook(tmp_path / "labels.xlsx", [["file", "patient_id", "label"], [], ["a.png", "p", "perhaps"]])
    with pytest.raises(InputError, match=r"labels\.xlsx: row 3: label: found `perhaps`"):
        read_folder(source_of(tmp_path, labels_file="labels.xlsx"))


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("file,PatId,label\n", {"columns": {"patient_id": "PatID"}}, r"no column `PatID` .*; did you mean `PatId`\?"),
        (HEADER, {"columns": {"age": "Alter"}}, r"no column `Alter` \(age\); found file, patient_id, label"),
        (HEADER + "a,p,positv\n", {"labels": GERMAN_LABELS}, r"row 2: .* `positv`.*did you mean `positiv`\?"),
        (HEADER + "a,p,so\nb,p,la\n", {}, r"found `so`.*`labels: \{so: positive\}` \(2 such rows: `la`, `so`\)"),
        ("file;patient_id;label;Alter\na;p;positive;7x\n", {"columns": {"age": "Alter"}}, r"`Alter`\): found `7x`"),
        ("file,patient_id,label,label\n", {}, r"column `label` is there 2 times"),
        (HEADER + "a,p,positive,more\n", {}, r"row 2: 4 cells, but the header has 3"),
        (HEADER + '"a,p,positive\n', {}, r"not valid CSV: unexpected end of data"),
        (HEADER + "a,p,positive\n./a,q,positive\n", {}, r"row 3: `a` is listed twice"),
        (HEADER + "\0a,p,positive\n", {}, r"holds NUL characters"),
        ("\n \n", {}, r"holds no text; expected a header"),
        ("", {}, r"empty file \(0 bytes\)"),
    ],
)
def test_what_is_wrong_with_a_mapped_table_is_said(tmp_path, text, settings, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_folder(source_of(tmp_path, **settings))


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nfile;patient_id;label\na.png;7;1\nb.png;8;0\n",
        "Findings of ward 3\n\nmade 1.4.2020,by hand\nfile,patient_id,label\na.png,7,ja\nb.png,8,nein\n",
        "file|patient_id|label\na.png|7|TRUE\nb.png|8|FALSE\n",
        "file,patient_id,label,note,note\na.png,7,positive,x,y\nb.png,8,negative,,\n",
        "file;patient_id;label\na.png;7;+\nb.png;8;-\nSumme;2;\n",
        "file;patient_id;label\na.png;7;+\nb.png;8;-\n\nLast change by Dr. Who\n",
        "\u00a0file\u200b,patient_id,label\u00a0\na.png,\ufeff7\u00a0,positive\nb.png,8,\u200bnegative\n",
        'file;patient_id;label;text\na.png;7;positive;"one, two, three"\nb.png;8;negative;four, five\n',
        "file,patient_id,label\nC:\\export\\a.png,7,oui\n/data/old/B.PNG,8,non\n",
    ],
)
def test_tables_are_taken_as_they_come(tmp_path, text):
    make_images(tmp_path, "a.png", "b.png")
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    listing = read_folder(source_of(tmp_path))
    assert listing.manifest[["file", "patient_id", "label"]].values.tolist() == [
        ["a.png", "7", "positive"], ["b.png", "8", "negative"],
    ]  # fmt: skip
    assert listing.unreadable == []


def test_rows_without_a_clear_label_are_left_out_and_counted(tmp_path):
    make_images(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "labels.csv").write_text("file,patient_id,label\na.png,7,positive\nb.png,8,unklar\nc.png,9,\n")
    listing = read_folder(source_of(tmp_path))
    assert list(listing.manifest["file"]) == ["a.png"]
    assert [row["reason"] for row in listing.unreadable] == ["uncertain or no label"] * 2
    assert listing.unexpected == ()


def test_a_workbook_is_read_as_it_is_shown(tmp_path):
    """A cover sheet comes first; the ids are numbers whose zeros are only a format."""
    make_images(tmp_path, "a.png")
    book = openpyxl.Workbook()
    book.active.append(["Findings", "2020"])
    sheet = book.create_sheet("Daten")
    sheet.append(["file", "patient_id", "label"])
    sheet.append(["a.png", 7, True])
    sheet["B2"].number_format = "0000"
    book.save(tmp_path / "labels.xlsx")
    manifest = read_folder(source_of(tmp_path, labels_file="labels.xlsx")).manifest
    assert manifest[["patient_id", "label"]].values.tolist() == [["0007", "positive"]]


def test_an_open_document_spreadsheet_is_read(tmp_path):
    make_images(tmp_path, "a.png")
    cells = [["file", "patient_id", "label"], ["a.png", "07", "positiv"]]
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>' for cell in row
        )
        + "</table:table-row>"
        for row in cells
    )
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    with zipfile.ZipFile(tmp_path / "labels.ods", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
        archive.writestr(
            "content.xml",
            f"<office:document-content{names}><office:body><office:spreadsheet>"
            f'<table:table table:name="one">{rows}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    manifest = read_folder(source_of(tmp_path, labels_file="labels.ods")).manifest
    assert manifest[["patient_id", "label"]].values.tolist() == [["07", "positive"]]
    (tmp_path / "labels.xls").write_bytes(b"no workbook" * 100)
    with pytest.raises(InputError, match="not a readable Excel workbook"):
        read_folder(source_of(tmp_path, labels_file="labels.xls"))


def test_a_table_of_other_names_is_told_how_to_be_mapped(tmp_path):
    (tmp_path / "labels.csv").write_text("Dateiname;PatID;Befund\na;1;0\n")
    with pytest.raises(InputError, match=r"columns: \{file: Dateiname, patient_id: PatID, label: Befund\}"):
        read_folder(source_of(tmp_path))


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"file,patient_id,label\n\x81\x8d\n")
    with pytest.raises(InputError, match=r"not text in UTF-8, UTF-16 or Windows-1252"):
        read_label_table(tmp_path, "labels.csv")
    write_workbook(tmp_path / "labels.csv", [["file"]])
    with pytest.raises(InputError, match=r"an Excel workbook by its content; let its name end in \.xlsx"):
        read_label_table(tmp_path, "labels.csv")
    (tmp_path / "labels.xlsx").write_text("file,patient_id,label\n")
    with pytest.raises(InputError, match="not a readable Excel workbook"):
        read_label_table(tmp_path, "labels.xlsx")


@pytest.mark.parametrize(
    ("hospital", "said"),
    [
        ({"columns": {"patient": "PatID"}}, "columns.patient: unknown key; did you mean `patient_id`?"),
        ({"columns": {"file": "x", "label": "x"}}, "columns: column `x` is used for file and label"),
        ({"labels": {"ja": "postive"}}, "labels.ja: found 'postive'; input should be 'negative' or 'positive'"),
        ({"labels": {"Ja": "positive", "ja": "negative"}}, "labels: `ja` is both negative and positive"),
        ({"labels": {True: "positive"}}, "labels: found the key True, which YAML reads from an unquoted yes"),
        ({"labels_file": "../labels.csv"}, "labels_file: found '../labels.csv', expected the name of a table"),
        ({"folder": 5}, "folder: found 5"),
    ],
)
def test_a_wrong_mapping_in_a_study_file_is_said(write_tiny_study, hospital, said):
    file = write_tiny_study(data={"hospital": {"reader": "folder", "folder": "films", **hospital}})
    with pytest.raises(InputError) as caught:
        load_study(file)
    assert f"data.hospital.{said}" in str(caught.value)


def test_numbers_as_labels_can_be_mapped(tmp_path, write_tiny_study):
    make_images(tmp_path / "films", "a.png")
    (tmp_path / "films" / "labels.csv").write_text("file,patient_id,label\na.png,p,1\n")
    hospital = {"reader": "folder", "folder": str(tmp_path / "films"), "labels": {1: "positive", 0: "negative"}}
    study = load_study(write_tiny_study(data={"hospital": hospital}))
    assert list(read_folder(study.data.hospital).manifest["label"]) == ["positive"]


def test_the_record_accounts_for_every_file(tmp_path, write_tiny_study):
    folder = tmp_path / "films"
    names = [f"{number}.png" for number in range(12)]
    make_images(folder, *names, "stranger.png", "mask.png")
    (folder / "0.png").unlink()
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:50])
    (folder / "2.png").write_bytes(b"")
    lines = [
        f"{name},p{n},{('negative', 'positive')[n % 2]},{'mask.png' if n == 5 else ''}" for n, name in enumerate(names)
    ]
    (folder / "labels.csv").write_text("\n".join(["file,patient_id,label,lung_mask", *lines]))
    study = load_study(write_tiny_study(data={"hospital": {"reader": "folder", "folder": str(folder)}}))
    record = prepare_role(study, "hospital")
    assert (record["files_expected"], record["missing"], record["unexpected"]) == (12, 1, 1)
    assert record["reasons"] == {"missing": 1, "empty file (0 bytes)": 1, "damaged": 1}
    assert record["files_expected"] == record["images_used"] + sum(record["reasons"].values())


def test_the_book_s_example_of_a_mapping_is_valid_and_reads_such_a_table(tmp_path, write_tiny_study, monkeypatch):
    page = (REPOSITORY / "book" / "own-data.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "labels_file" in block)
    monkeypatch.setenv("HOSPITAL_FILMS", str(tmp_path / "films"))
    study = load_study(write_tiny_study(data=yaml.safe_load(example)))
    make_images(tmp_path / "films", "1.png")
    rows = [["Datei", "PatID", "Befund", "Alter", "Arzt"], ["1.png", 12345, "positiv", 71, "M."]]
    write_workbook(tmp_path / "films" / "Befunde.xlsx", rows)
    (row,) = read_folder(study.data.hospital).manifest.to_dict("records")
    assert (row["file"], row["patient_id"], row["label"], row["age"]) == ("1.png", "12345", "positive", 71)
