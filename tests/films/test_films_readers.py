"""The readers of folders and of COVIDx V8B."""

import numpy as np
import pytest
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.films.covidx import labels_path, read_covidx, read_labels
from cxrlib.films.folder import read_folder
from cxrlib.films.settings import CovidxSource, FolderSource


def make_image(path, value=100, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def make_folder(folder, lines, header="file,patient_id,label"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_text("\n".join([header, *lines]) + "\n")
    return FolderSource(reader="folder", folder=folder)


def test_folder_maps_known_columns_and_ignores_others(tmp_path):
    make_image(tmp_path / "a.png")
    make_image(tmp_path / "masks" / "a.png")
    header = "file,patient_id,label,source,view,sex,age,lung_mask,finding"
    listing = read_folder(make_folder(tmp_path, ["a.png,p1,positive,bimcv,AP,female,71.0,masks/a.png,x"], header))
    (row,) = listing.manifest.to_dict("records")
    assert row == {
        "image_id": "a.png", "file": "a.png", "patient_id": "p1", "label": "positive", "source": "bimcv",
        "finding": "x", "view": "AP", "sex": "F", "age": 71.0, "lung_mask": "masks/a.png", "fold": "",
    }  # fmt: skip


def test_absent_facts_are_empty_and_source_comes_from_location_or_folder(tmp_path):
    for name in ("a.png", "b.png"):
        make_image(tmp_path / "clinic" / name)
    lines = ["a.png,p1,positive,Ulm", "b.png,p2,negative,"]
    manifest = read_folder(make_folder(tmp_path / "clinic", lines, "file,patient_id,label,location")).manifest
    assert list(manifest["source"]) == ["Ulm", "clinic"]
    assert set(manifest["view"]) == set(manifest["sex"]) == {""}
    assert manifest["age"].isna().all()


def test_names_that_lead_out_of_the_folder_are_listed_and_never_read(tmp_path):
    make_image(tmp_path / "secret.png")
    inside = tmp_path / "films"
    make_image(inside / "good.png")
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "inner.png").symlink_to(inside / "good.png")
    (inside / "empty.png").write_bytes(b"")
    (inside / "folder.png").mkdir()
    names = ["good.png", "inner.png", "../secret.png", str(tmp_path / "secret.png"), "link.png", "empty.png",
             "folder.png", "none.png"]  # fmt: skip
    listing = read_folder(make_folder(inside, [f"{name},p{i},negative" for i, name in enumerate(names)]))
    assert list(listing.manifest["file"]) == ["good.png", "inner.png"]
    reasons = {problem["file"]: problem["reason"] for problem in listing.unreadable}
    assert "leads out" in reasons["../secret.png"]
    assert "leads out" in reasons[str(tmp_path / "secret.png")]
    assert "link that leads out" in reasons["link.png"]
    assert reasons["none.png"] == "missing"
    assert reasons["folder.png"] == "not a file"
    assert reasons["empty.png"] == "empty file (0 bytes)"


def test_a_mask_outside_the_folder_is_ignored(tmp_path):
    make_image(tmp_path / "films" / "a.png")
    make_image(tmp_path / "mask.png")
    lines = ["a.png,p1,positive,../mask.png"]
    listing = read_folder(make_folder(tmp_path / "films", lines, "file,patient_id,label,lung_mask"))
    assert list(listing.manifest["lung_mask"]) == [""]


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["a.png,p,grippe"], "file,patient_id,label", r"row 2: label: found `grippe`, expected negative or positive"),
        (["a.png,p"], "file,patient_id", r"no column `label` \(label\); found file, patient_id"),
        (["a.png,p,positive", "a.png,p,positive"], "file,patient_id,label", r"row 3: `a.png` is listed twice"),
        (["a.png,,positive"], "file,patient_id,label", r"row 2: patient_id is empty"),
        (["a.png,p,positive,old"], "file,patient_id,label,age", r"row 2: age: found `old`, expected years"),
        (
            ["a.png,p,positive,300"],
            "file,patient_id,label,age",
            r"row 2: age: found `300`, expected years from 0 to 120",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, lines, header, message):
    make_image(tmp_path / "a.png")
    with pytest.raises(InputError, match=message):
        read_folder(make_folder(tmp_path, lines, header))


def test_missing_folder_or_table_is_said(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_folder(FolderSource(reader="folder", folder=tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"labels.csv: no such file"):
        read_folder(FolderSource(reader="folder", folder=tmp_path))


def make_covidx(folder, lines, present=()):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test_COVIDx8B.txt").write_text("\n".join(lines) + "\n")
    for name in present:
        make_image(folder / "test" / name)


def covidx(folder, **settings):
    return CovidxSource(reader="covidx", folder=folder, split="test", **settings)


def test_covidx_lines_are_read_from_the_right(tmp_path):
    lines = ["COVID 1 COVID(1).png positive sirm", "7 b.jpg negative rsna", ""]
    make_covidx(tmp_path, lines, ("COVID(1).png", "b.jpg"))
    manifest = read_covidx(covidx(tmp_path)).manifest
    assert list(manifest["patient_id"]) == ["COVID 1", "7"]
    assert list(manifest["file"]) == ["test/COVID(1).png", "test/b.jpg"]
    assert list(manifest["source"]) == ["sirm", "rsna"]


def test_covidx_missing_images_are_refused_with_counts_or_listed(tmp_path):
    make_covidx(tmp_path, ["1 a.png positive sirm", "2 b.png negative rsna", "3 c.png negative rsna"], ("a.png",))
    with pytest.raises(InputError, match=r"2 of the 3 images in test_COVIDx8B.txt are missing, the first is test/b"):
        read_covidx(covidx(tmp_path))
    listing = read_covidx(covidx(tmp_path, allow_missing=True))
    assert len(listing.manifest) == 1
    assert [problem["reason"] for problem in listing.unreadable] == ["missing", "missing"]


@pytest.mark.parametrize("line", ["1 a.png positive", "1 a.png maybe rsna"])
def test_covidx_bad_line_is_named(tmp_path, line):
    make_covidx(tmp_path, ["1 a.png positive sirm", line])
    with pytest.raises(InputError, match=r"line 2: found `1 a.png .*expected `patient file label source`"):
        read_labels(labels_path(tmp_path, "test"))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("test_COVIDx9A.txt", ["7 a.png COVID-19 sirm", "COVID 1 b(1).png pneumonia rsna", "9 c.png normal rsna"]),
        (
            "test_COVIDx_CXR-3B.txt",
            ["7 a.png positive sirm 3", "COVID 1 b(1).png negative rsna 4", "9 c.png negative rsna 5"],
        ),
    ],
)
def test_later_versions_of_covidx_are_read(tmp_path, name, lines):
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    assert labels_path(tmp_path, "test") == tmp_path / name
    table = read_labels(tmp_path / name)
    assert table.to_numpy().tolist() == [
        ["7", "a.png", "positive", "sirm"], ["COVID 1", "b(1).png", "negative", "rsna"],
        ["9", "c.png", "negative", "rsna"],
    ]  # fmt: skip
    with pytest.raises(InputError, match="2 of rsna: RSNA Pneumonia Detection Challenge"):
        read_covidx(CovidxSource(reader="covidx", folder=tmp_path, split="test"))


def test_official_covidx_lists_have_the_paper_s_counts(real_films):
    train, test = (read_labels(labels_path(real_films / "covidx8b", split)) for split in ("train", "test"))
    assert train["label"].value_counts().to_dict() == {"negative": 13_794, "positive": 2_158}
    assert test["label"].value_counts().to_dict() == {"negative": 200, "positive": 200}
    assert train["patient_id"].nunique() == 14_968
    assert train["patient_id"].str.contains(" ").sum() == 943
    assert not set(train["patient_id"]) & set(test["patient_id"])


def test_case_reports_have_the_documented_counts(real_films):
    listing = read_folder(FolderSource(reader="folder", folder=real_films / "case_reports"))
    manifest = listing.manifest
    assert not listing.unreadable
    by_label = {label: set(rows["patient_id"]) for label, rows in manifest.groupby("label")}
    assert manifest["label"].value_counts().to_dict() == {"positive": 422, "negative": 97}
    assert {label: len(patients) for label, patients in by_label.items()} == {"positive": 260, "negative": 60}
    # 260 and 60 patients by label, 312 in all: 8 have films of both.
    assert len(by_label["positive"] & by_label["negative"]) == 8
    assert (manifest["lung_mask"] != "").sum() == 416
    assert (manifest["source"] != "").all()


def test_folders_named_by_label_stand_for_a_table(tmp_path):
    """Without labels.csv; films that lie elsewhere are unexpected, uncertain ones left out and counted, and a word of
    the study's own counts first."""
    for name in ("COVID/1.png", "Normal/deep/2.png", "Normal/3.png", "other/4.png", "5.png", "suspected/6.png"):
        make_image(tmp_path / name)
    listing = read_folder(FolderSource(reader="folder", folder=tmp_path))
    assert listing.manifest.set_index("file")["label"].to_dict() == {
        "COVID/1.png": "positive", "Normal/deep/2.png": "negative", "Normal/3.png": "negative",
    }  # fmt: skip
    assert listing.manifest["patient_id"].is_unique
    assert set(listing.unexpected) == {"other/4.png", "5.png"}
    assert listing.unreadable == [{"file": "suspected/6.png", "reason": "uncertain or no label"}]
    named = FolderSource(reader="folder", folder=tmp_path, labels={"other": "negative"})
    assert len(read_folder(named).manifest) == 4
    with pytest.raises(InputError, match=r"no folders named by label \(found deep\)"):
        read_folder(FolderSource(reader="folder", folder=tmp_path / "Normal"))
