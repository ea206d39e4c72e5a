"""Preparing a role from end to end."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrlib.errors import InputError
from cxrlib.files import sha256_of
from cxrlib.films import preparation
from cxrlib.films.images import load_image_set, load_masks, load_synthetic
from cxrlib.films.manifest import MANIFEST_COLUMNS, assign_folds, read_manifest_csv, validate_manifest
from cxrlib.films.preparation import check_sources, prepare_role
from cxrlib.study import load_study


def make_films(folder, patients=12, films_each=2, seed=0):
    """A folder of random films, of even patients positive, and of every third film a lung mask."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["file,patient_id,label,lung_mask"]
    for number in range(patients * films_each):
        patient = number // films_each
        Image.fromarray(random.integers(0, 255, (50, 40), dtype=np.uint8)).save(folder / f"{number}.png")
        mask = ""
        if number % 3 == 0:
            mask = f"mask{number}.png"
            Image.fromarray(np.ones((50, 40), bool)).save(folder / mask)
        lines.append(f"{number}.png,p{patient},{'positive' if patient % 2 == 0 else 'negative'},{mask}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return {"reader": "folder", "folder": str(folder)}


@pytest.fixture
def folder_study(tmp_path, write_tiny_study):
    """A study whose hospital is a folder of films, at two sizes."""
    hospital = make_films(tmp_path / "clinic")
    return load_study(write_tiny_study(data={"hospital": hospital, "folds": 3}, classifier={"image_size": 48}))


def test_simulated_films_are_prepared_with_masks_and_folds(tiny_study_file):
    study = load_study(tiny_study_file)
    seen = []
    record = prepare_role(study, "hospital", progress=lambda done, total: seen.append((done, total)))
    films = load_image_set(study, "hospital", 32, audited=False)
    assert seen[-1] == (len(films), len(films))
    assert len(seen) == len(films)
    assert tuple(films.manifest.columns) == MANIFEST_COLUMNS
    assert record["images_found"] == record["images_used"] == len(films) >= 32
    assert record["patients"] == 32
    assert record["simulated"]
    assert record["unreadable"] == []
    assert record["by_label"] == films.manifest["label"].value_counts().to_dict()
    assert record["images_sha256"]["32"] == sha256_of(study.results.images("hospital", 32))
    assert record["manifest_sha256"] == sha256_of(study.results.manifest("hospital"))
    opacities = load_masks(study, "hospital", 32, "opacities", audited=False)
    np.testing.assert_array_equal(opacities.any(axis=(1, 2)), films.labels == 1)
    assert load_masks(study, "hospital", 32, "lungs", audited=False).shape == films.images.shape
    folds = films.manifest.groupby("patient_id")["fold"].nunique()
    assert folds.max() == 1
    assert set(films.manifest["fold"]) == {"fold0", "fold1"}
    assert films.manifest.groupby("fold")["label"].nunique().min() == 2


def test_films_of_a_folder_are_those_of_plain_pil(folder_study):
    record = prepare_role(folder_study, "hospital")
    assert record["lung_masks"] == 8
    assert not record["simulated"]
    for size in (32, 48):
        films = load_image_set(folder_study, "hospital", size, audited=False)
        for row, image in zip(films.manifest["file"], films.images, strict=True):
            with Image.open(folder_study.data.hospital.folder / row) as plain:
                np.testing.assert_array_equal(image, plain.resize((size, size), Image.Resampling.BILINEAR))
        lungs = load_masks(folder_study, "hospital", size, "lungs", audited=False)
        np.testing.assert_array_equal(lungs.all(axis=(1, 2)), films.manifest["lung_mask"] != "")
    assert load_masks(folder_study, "hospital", 32, "opacities", audited=False) is None


def test_unreadable_films_are_listed_counted_and_left_out(folder_study):
    folder = folder_study.data.hospital.folder
    (folder / "3.png").write_bytes(b"")
    (folder / "4.png").write_bytes(b"not a film")
    (folder / "5.png").unlink()
    record = prepare_role(folder_study, "hospital")
    reasons = {problem["file"]: problem["reason"] for problem in record["unreadable"]}
    assert reasons == {"3.png": "empty file (0 bytes)", "4.png": "not an image file", "5.png": "missing"}
    assert (record["images_found"], record["images_used"]) == (24, 21)
    films = load_image_set(folder_study, "hospital", 32, audited=False)
    assert len(films) == 21
    assert not films.manifest["file"].isin(reasons).any()
    with Image.open(folder / films.manifest["file"].iloc[-1]) as last:
        np.testing.assert_array_equal(films.images[-1], last.resize((32, 32), Image.Resampling.BILINEAR))


@pytest.mark.parametrize(
    ("lost", "said"),
    [("positive", "12 usable images, but none is positive"), ("most", "3 folds need at least 3 hospital patients")],
)
def test_a_role_that_damage_made_useless_is_refused_and_leaves_nothing(folder_study, lost, said):
    folder = folder_study.data.hospital.folder
    for line in (folder / "labels.csv").read_text().splitlines()[1:]:
        name, patient, label, _ = line.split(",")
        if label == "positive" and (lost == "positive" or patient not in ("p0", "p2")):
            (folder / name).write_bytes(b"damaged")
    with pytest.raises(InputError, match=said):
        prepare_role(folder_study, "hospital")
    assert list(folder_study.results.data("hospital").iterdir()) == []


def test_a_mask_that_cannot_be_read_counts_as_none(folder_study, caplog):
    (folder_study.data.hospital.folder / "mask3.png").write_bytes(b"damaged")
    record = prepare_role(folder_study, "hospital")
    films = load_image_set(folder_study, "hospital", 32, audited=False)
    lungs = load_masks(folder_study, "hospital", 32, "lungs", audited=False)
    assert record["lung_masks"] == (films.manifest["lung_mask"] != "").sum() == 7
    np.testing.assert_array_equal(lungs.any(axis=(1, 2)), films.manifest["lung_mask"] != "")
    assert "lung masks left out: 1 not an image file" in caplog.text
    assert "mask3" not in caplog.text


def test_a_second_call_changes_nothing_and_is_quick(tiny_study_file):
    study = load_study(tiny_study_file)
    first = prepare_role(study, "validation")
    written = study.results.images("validation", 32).stat().st_mtime_ns
    started = time.perf_counter()
    assert prepare_role(study, "validation") == first
    assert time.perf_counter() - started < 0.5
    assert study.results.images("validation", 32).stat().st_mtime_ns == written


def test_the_same_study_gives_the_same_bits(tmp_path, write_study_in):
    records = []
    for name in ("one", "two"):
        study = load_study(write_study_in(tmp_path / name))
        records.append(prepare_role(study, "hospital"))
    assert records[0]["images_sha256"] == records[1]["images_sha256"]
    assert records[0]["manifest_sha256"] == records[1]["manifest_sha256"]


def test_other_settings_are_refused_by_name_and_forced_on_demand(tmp_path, write_tiny_study):
    prepare_role(load_study(write_tiny_study()), "validation")
    other = load_study(write_tiny_study(seed=8))
    with pytest.raises(InputError, match=r"settings\.seed: there 7, now 8"):
        prepare_role(other, "validation")
    assert prepare_role(other, "validation", force=True)["settings"]["seed"] == 8
    with pytest.raises(InputError, match=r"settings\.image_sizes: there \[32\], now \[32, 40\]"):
        prepare_role(load_study(write_tiny_study(seed=8, classifier={"image_size": 40})), "validation")


def test_changed_films_are_noticed(folder_study):
    prepare_role(folder_study, "hospital")
    with (folder_study.data.hospital.folder / "0.png").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match=r"inputs\.files_sha256"):
        prepare_role(folder_study, "hospital")


def test_a_failure_halfway_leaves_nothing_that_looks_finished(tiny_study_file, monkeypatch):
    study = load_study(tiny_study_file)
    rendered = []
    whole = preparation.phantom_film

    def break_after_five(*arguments):
        rendered.append(1)
        if len(rendered) > 5:
            raise RuntimeError("power cut")
        return whole(*arguments)

    monkeypatch.setattr(preparation, "phantom_film", break_after_five)
    with pytest.raises(RuntimeError, match="power cut"):
        prepare_role(study, "validation")
    assert not study.results.data_record("validation").exists()
    assert list(study.results.data("validation").iterdir()) == []
    monkeypatch.setattr(preparation, "phantom_film", whole)
    (study.results.data("validation") / ".images-32-left.npy").write_bytes(b"from a killed run")
    prepare_role(study, "validation")
    assert not list(study.results.data("validation").glob(".*"))


def test_images_before_preparation_are_asked_for(tiny_study_file):
    with pytest.raises(InputError, match="training films are not prepared"):
        load_image_set(load_study(tiny_study_file), "training", 32)


def test_checking_sources_lists_every_problem_and_writes_nothing(tmp_path, write_tiny_study):
    make_films(tmp_path / "few", patients=4)
    one_label = tmp_path / "one_label"
    make_films(one_label, patients=1)
    data = {
        "training": {"reader": "covidx", "folder": str(tmp_path / "nowhere"), "split": "train"},
        "validation": {"reader": "folder", "folder": str(one_label)},
        "hospital": {"reader": "folder", "folder": str(tmp_path / "few")},
        "folds": 5,
    }
    study = load_study(write_tiny_study(data=data))
    with pytest.raises(InputError) as caught:
        check_sources(study)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "data.training" in lines[0]
    assert "no such folder" in lines[0]
    assert "data.validation" in lines[1]
    assert "none is negative" in lines[1]
    assert "data.hospital" in lines[2]
    assert "5 folds need at least 5 hospital patients of each label" in lines[2]
    assert not (tmp_path / "results").exists()


def test_one_folder_for_two_roles_is_refused(tmp_path, write_tiny_study):
    source = make_films(tmp_path / "films")
    study = load_study(write_tiny_study(data={"training": source, "hospital": source}))
    with pytest.raises(InputError, match=r"data\.hospital: the same images as data\.training"):
        check_sources(study)


def test_good_sources_pass(folder_study):
    check_sources(folder_study)


def test_folds_keep_patients_together_and_labels_even():
    random = np.random.default_rng(3)
    patients = np.repeat([f"p{number}" for number in range(60)], random.integers(1, 5, 60))
    labels = np.where(random.random(len(patients)) < 0.35, "positive", "negative")
    empty = dict.fromkeys(("file", "source", "finding", "view", "sex", "lung_mask", "fold"), "")
    frame = pd.DataFrame({"patient_id": patients, "label": labels, "age": np.nan, **empty})
    frame["image_id"] = [f"i{number}" for number in range(len(frame))]
    manifest = assign_folds(frame[list(MANIFEST_COLUMNS)], 4, seed=1)
    assert validate_manifest(manifest, "made up").groupby("patient_id")["fold"].nunique().max() == 1
    share = manifest.groupby("fold")["label"].apply(lambda fold: (fold == "positive").mean())
    assert (share - (labels == "positive").mean()).abs().max() < 0.06
    assert manifest.equals(assign_folds(frame[list(MANIFEST_COLUMNS)], 4, seed=1))
    assert not manifest.equals(assign_folds(frame[list(MANIFEST_COLUMNS)], 4, seed=2))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("image_id", "same", "image_id"),
        ("label", "covid", "label, row 1: found 'covid'; expected: one of negative, positive"),
        ("file", "../a.png", "file, row 1: found '../a.png'; expected: a relative path inside"),
        ("sex", "X", "sex, row 1"),
        ("fold", "first", "fold, row 1"),
        ("age", "old", "age"),
    ],
)
def test_a_manifest_that_breaks_the_schema_is_refused(column, value, message):
    row = {"image_id": "a", "file": "a.png", "patient_id": "p", "label": "positive", "source": "s", "finding": "",
           "view": "PA", "sex": "F", "age": 50.0, "lung_mask": "", "fold": ""}  # fmt: skip
    rows = pd.DataFrame([row, {**row, "image_id": "b", "file": "b.png"}])
    rows = rows.astype({column: object})
    rows[column] = [value, value] if column == "image_id" else [value, rows[column][1]]
    with pytest.raises(InputError, match=message):
        validate_manifest(rows, "labels")


def test_a_patient_in_two_folds_is_refused_and_a_manifest_survives_the_disk(tmp_path, tiny_study_file):
    study = load_study(tiny_study_file)
    prepare_role(study, "hospital")
    path = study.results.manifest("hospital")
    manifest = read_manifest_csv(path)
    assert manifest["age"].dtype == float
    assert (manifest["file"] == "").all()
    moved = manifest.assign(patient_id="p0")
    with pytest.raises(InputError, match="patient p0 has images in several folds"):
        validate_manifest(moved, "moved")
    with pytest.raises(InputError, match="no such file"):
        read_manifest_csv(tmp_path / "none.csv")


def test_synthetic_sets_are_read_and_resized(tiny_study_file):
    study = load_study(tiny_study_file)
    with pytest.raises(InputError, match="no synthetic films"):
        load_synthetic(study, "positive", "all", 32)
    folder = study.results.synthetic("positive", "all")
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", np.full((2, 64, 64), 9, np.uint8))
    header = "image_id,label,seed,truncation,generator_sha256,nearest_image_id,nearest_distance"
    (folder / "manifest.csv").write_text(f"{header}\ns0,positive,11,1.0,ab,h1,0.5\ns1,positive,12,1.0,ab,,\n")
    (folder / "audit.json").write_text(json.dumps({}))
    films = load_synthetic(study, "positive", "all", 32)
    assert films.images.shape == (2, 32, 32)
    assert films.images.max() == 9
    assert films.labels.tolist() == [1, 1]
    assert films.manifest["truncation"].tolist() == [1.0, 1.0]


def test_flagged_films_are_left_out_unless_asked_for(tiny_study_file):
    study = load_study(tiny_study_file)
    folder = study.results.synthetic("positive", "all")
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", np.stack([np.full((64, 64), grey, np.uint8) for grey in (1, 2, 3)]))
    header = "image_id,label,seed,truncation,generator_sha256,nearest_image_id,nearest_distance"
    rows = [
        f"s{row},positive,1{row},1.0,ab,h1,0.5,h2,7.25,{flag}" for row, flag in enumerate(("False", "True", "False"))
    ]
    lines = [f"{header},nearest_feature_id,feature_distance,flagged", *rows]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    (folder / "audit.json").write_text(json.dumps({}))
    kept, made = (load_synthetic(study, "positive", "all", 64, flagged=flagged) for flagged in (False, True))
    assert kept.images[:, 0, 0].tolist() == [1, 3]
    assert kept.manifest["image_id"].tolist() == ["s0", "s2"]
    assert made.images[:, 0, 0].tolist() == [1, 2, 3]
    assert made.manifest["flagged"].tolist() == [False, True, False]
    assert made.manifest["feature_distance"].tolist() == [7.25] * 3
