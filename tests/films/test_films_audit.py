"""The audit: no patient in two roles, copies left out everywhere, other exclusions mean other results."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from film_folders import films_of, make_folder
from PIL import Image, ImageOps

from cxrlib.errors import InputError
from cxrlib.films.audit import DUPLICATE_COLUMNS, audit_study, prepare_study
from cxrlib.films.images import films_identity, load_image_set, load_manifest, load_masks
from cxrlib.films.manifest import read_manifest_csv
from cxrlib.films.phantom import phantom_film, phantom_manifest
from cxrlib.films.preparation import prepare_role
from cxrlib.films.search.whole import COPY_CORRELATION
from cxrlib.films.settings import PhantomSource
from cxrlib.study import load_study


@pytest.fixture
def data(tmp_path):
    """Three folders of distinct films and patients."""
    return {
        "training": make_folder(tmp_path / "public", films_of("t", 10), 1),
        "validation": make_folder(tmp_path / "val", films_of("v", 6), 2),
        "hospital": make_folder(tmp_path / "clinic", films_of("h", 24), 3),
    }


@pytest.fixture
def study(data, write_tiny_study):
    return load_study(write_tiny_study(data=data))


def copy(study, file, role, other_file, other_role):
    """Put one role's file in the place of another role's."""
    source = study.data.sources(role)[0].folder / file
    shutil.copyfile(source, study.data.sources(other_role)[0].folder / other_file)


def test_without_copies_nothing_is_left_out(study):
    audit = prepare_study(study)
    assert audit["excluded"] == {"training": [], "validation": [], "hospital": []}
    assert audit["pairs"] == []
    assert audit["used"]["hospital"] == {
        "images_used": 24, "by_label": {"negative": 12, "positive": 12}, "patients": 24,
    }  # fmt: skip
    assert pd.read_csv(study.results.duplicates).columns.tolist() == list(DUPLICATE_COLUMNS)
    assert load_image_set(study, "hospital", 32).manifest.equals(read_manifest_csv(study.results.manifest("hospital")))


def test_the_public_copy_is_dropped_everywhere_and_the_hospital_stays_whole(study):
    copy(study, "h3.png", "hospital", "t1.png", "training")
    copy(study, "h4.png", "hospital", "v2.png", "validation")
    copy(study, "v5.png", "validation", "t7.png", "training")
    audit = prepare_study(study)
    assert audit["excluded"] == {"training": ["t1.png", "t7.png"], "validation": ["v2.png"], "hospital": []}
    pairs = pd.read_csv(study.results.duplicates).set_index("image_id_a")
    assert (pairs["kind"] == "same-file").all()
    assert pairs.loc["t1.png", ["role_b", "image_id_b", "dropped"]].tolist() == ["hospital", "h3.png", "training"]
    assert pairs.loc["v2.png", ["role_b", "image_id_b", "dropped"]].tolist() == ["hospital", "h4.png", "validation"]
    every = load_image_set(study, "training", 32, audited=False)
    masks = load_masks(study, "training", 32, "lungs", audited=False)
    kept = load_image_set(study, "training", 32)
    rows = np.flatnonzero(~every.manifest["image_id"].isin(["t1.png", "t7.png"]))
    assert len(every) == 10
    np.testing.assert_array_equal(kept.images, every.images[rows])
    np.testing.assert_array_equal(load_masks(study, "training", 32, "lungs"), masks[rows])
    assert kept.manifest["image_id"].tolist() == every.manifest["image_id"].iloc[rows].tolist()
    assert load_manifest(study, "training").equals(kept.manifest)
    assert audit["used"]["training"]["images_used"] == len(kept) == 8
    assert audit["used"]["training"]["patients"] == 8
    assert len(load_image_set(study, "hospital", 32)) == 24


def test_another_exclusion_is_another_identity(study):
    prepare_study(study)
    before = films_identity(study, "training", 32)
    record = json.loads(study.results.audit_record.read_text())
    with (study.data.training.folder / "t1.png").open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="--force"):
        prepare_study(study)
    copy(study, "h3.png", "hospital", "t1.png", "training")
    audit = prepare_study(study, force=True)
    after = films_identity(study, "training", 32)
    assert before["excluded_sha256"] != after["excluded_sha256"]
    assert audit["excluded_sha256"]["hospital"] == record["excluded_sha256"]["hospital"]


def test_a_second_audit_changes_nothing_and_an_interrupted_one_is_not_finished(study, monkeypatch):
    first = prepare_study(study)
    written = study.results.audit_record.stat().st_mtime_ns
    assert audit_study(study) == first
    assert study.results.audit_record.stat().st_mtime_ns == written
    with monkeypatch.context() as broken:
        broken.setattr("cxrlib.films.audit.find_copies", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            audit_study(study, force=True)
    with pytest.raises(InputError, match="run `cxr check tiny` first"):
        load_image_set(study, "training", 32)
    again = audit_study(study)
    assert again["excluded_sha256"] == first["excluded_sha256"]


def test_films_prepared_anew_have_to_be_audited_anew(study):
    prepare_study(study)
    labels = study.data.training.folder / "labels.csv"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]) + "\n")
    prepare_role(study, "training", force=True)
    with pytest.raises(InputError, match="prepared anew since the audit; run `cxr check tiny --force`"):
        load_manifest(study, "training")
    assert len(load_manifest(study, "hospital")) == 24


@pytest.mark.parametrize("publishable", [False, True])
def test_a_patient_in_two_roles_is_refused_and_all_are_listed(tmp_path, write_tiny_study, data, publishable):
    shared = {f"x{n}.png": (f"h-p{n}", "positive") for n in range(1, 6, 2)}
    data["validation"] = make_folder(tmp_path / "other", films_of("v", 6) | shared, 5)
    for source in data.values():
        source["publishable"] = publishable
    study = load_study(write_tiny_study(data=data))
    with pytest.raises(
        InputError, match=r"data\.hospital: 3 of its patients also have films in data\.validation"
    ) as said:
        prepare_study(study)
    assert ("h-p1, h-p3, h-p5" in str(said.value)) == publishable
    assert str(study.results.shared_patients) in str(said.value)
    listed = pd.read_csv(study.results.shared_patients)
    assert listed["patient_id"].tolist() == ["h-p1", "h-p3", "h-p5"]
    assert not study.results.audit_record.exists()


def test_copies_that_leave_a_label_empty_are_refused(study):
    for number in (1, 3, 5):
        copy(study, f"h{number}.png", "hospital", f"v{number}.png", "validation")
    with pytest.raises(InputError, match=r"data\.validation: without the 3 copies .* no positive film is left"):
        prepare_study(study)
    assert not study.results.audit_record.exists()
    assert len(pd.read_csv(study.results.duplicates)) == 3


def test_simulated_films_are_compared_by_their_pixels(tiny_study_file, monkeypatch):
    study = load_study(tiny_study_file)
    audit = prepare_study(study)
    assert audit["excluded"] == {"training": [], "validation": [], "hospital": []}
    steps = []
    audit_study(study, force=True, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1]
    copied = read_manifest_csv(study.results.manifest("training"))["image_id"][4]
    original = phantom_manifest(study.data.hospital, "hospital", study.seed).to_dict("records")[2]

    def film(source, seed, row, size):
        if row["image_id"] == copied:
            source, row = study.data.hospital, original
        return phantom_film(source, seed, row, size)

    monkeypatch.setattr("cxrlib.films.preparation.phantom_film", film)
    prepare_role(study, "training", force=True)
    audit = audit_study(study, force=True)
    assert audit["excluded"]["training"] == [copied]


def test_near_duplicates_are_dropped_between_roles_and_reported_between_patients(tmp_path, write_tiny_study):
    """Films of a phantom, saved as files, each copy under another patient's id: cropped and recompressed or inverted in
    another role, mirrored or both in its own."""
    source = PhantomSource(reader="phantom", scanner="hospital", negative_patients=16, positive_patients=16)
    rows = phantom_manifest(source, "hospital", 4).drop_duplicates("patient_id").to_dict("records")
    films = [Image.fromarray(phantom_film(source, 4, row, 128).image) for row in rows[:28]]
    parts = {"training": films[:4], "validation": films[4:8], "hospital": films[8:]}
    parts["training"] += [parts["hospital"][2].crop((6, 6, 122, 124)), ImageOps.invert(ImageOps.mirror(films[1]))]
    parts["validation"] += [ImageOps.invert(parts["hospital"][5])]
    parts["hospital"] += [ImageOps.mirror(parts["hospital"][0])]
    data = {"folds": 2}
    for role, pictures in parts.items():
        folder = tmp_path / role
        folder.mkdir()
        lines = ["file,patient_id,label"]
        for number, picture in enumerate(pictures):
            picture.save(folder / f"{number}.jpg", quality=60)
            lines.append(f"{number}.jpg,{role}{number},{'positive' if number % 2 else 'negative'}")
        (folder / "labels.csv").write_text("\n".join(lines) + "\n")
        data[role] = {"reader": "folder", "folder": str(folder)}
    study = load_study(write_tiny_study(data=data, classifier={"image_size": 128}))
    seen = []
    audit = prepare_study(study, progress=lambda what: lambda done, total: seen.append((what, done, total)))
    steps = [(done, total) for what, done, total in seen if what == "audit"]
    assert steps == sorted(steps)
    assert steps[-1][0] == steps[-1][1] == 2 * (6 + 5 + 21), "each film's file, then each queried film"
    assert audit["excluded"] == {"training": ["4.jpg", "5.jpg"], "validation": ["4.jpg"], "hospital": []}
    pairs = pd.read_csv(study.results.duplicates, keep_default_na=False)
    assert (pairs["kind"] == "near-duplicate").all()
    assert pairs["correlation"].between(COPY_CORRELATION, 1).all()
    found = pairs[["role_a", "image_id_a", "role_b", "image_id_b", "dropped"]].to_numpy().tolist()
    assert sorted(found) == [
        ["hospital", "20.jpg", "hospital", "0.jpg", ""],
        ["training", "4.jpg", "hospital", "2.jpg", "training"],
        ["training", "5.jpg", "training", "1.jpg", "training"],
        ["validation", "4.jpg", "hospital", "5.jpg", "validation"],
    ]


def test_one_file_under_two_patients_of_a_public_role_counts_once(study):
    copy(study, "t2.png", "training", "t4.png", "training")
    audit = prepare_study(study)
    assert audit["excluded"]["training"] == ["t4.png"]
    assert audit["pairs"] == [{"role_a": "training", "role_b": "training", "kind": "same-file", "pairs": 1}]
