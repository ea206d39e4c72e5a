"""Roles of several sources, and a second hospital: ids kept apart, files found where they lie, copies between them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from film_folders import films_of, make_folder
from PIL import Image

from cxrlib.check import check_study
from cxrlib.errors import InputError
from cxrlib.films.audit import audit_study, check_before, prepare_study
from cxrlib.films.images import load_image_set, load_manifest, load_masks
from cxrlib.films.phantom import phantom_film
from cxrlib.films.preparation import prepare_role, read_role, source_problems
from cxrlib.study import load_study


@pytest.fixture
def data(tmp_path):
    """The training films lie in two folders whose files have the same names; a second hospital is named."""
    return {
        "training": [
            make_folder(tmp_path / "first", {f"{n}.png": film for n, film in enumerate(films_of("t", 6).values())}, 1),
            make_folder(tmp_path / "second", {f"{n}.png": film for n, film in enumerate(films_of("u", 5).values())}, 2),
        ],
        "validation": make_folder(tmp_path / "val", films_of("v", 6), 3),
        "hospital": make_folder(tmp_path / "clinic", films_of("h", 36), 4),
        "external": make_folder(tmp_path / "other", films_of("e", 8), 5),
    }


@pytest.fixture
def study(data, write_tiny_study):
    return load_study(write_tiny_study(data=data))


def test_films_of_all_sources_are_those_of_their_files(study, tmp_path):
    seen = []
    record = prepare_role(study, "training", progress=lambda done, total: seen.append((done, total)))
    films = load_image_set(study, "training", 32, audited=False)
    assert films.manifest["image_id"].tolist() == [f"1/{n}.png" for n in range(6)] + [f"2/{n}.png" for n in range(5)]
    assert films.manifest["source"].tolist() == ["first"] * 6 + ["second"] * 5
    for folder, start, count in (("first", 0, 6), ("second", 6, 5)):
        for number in range(count):
            with Image.open(tmp_path / folder / f"{number}.png") as plain:
                expected = np.asarray(plain.resize((32, 32), Image.Resampling.BILINEAR), float)
            found = films.images[start + number].astype(float)
            assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.5
    assert load_masks(study, "training", 32, "lungs", audited=False).any(axis=(1, 2)).all()
    assert seen[-1] == (11, 11)
    assert (record["files_expected"], record["images_used"], record["patients"]) == (11, 11, 11)
    assert record["expected_by_label"] == {"negative": 6, "positive": 5}
    assert len(record["inputs"]["sources"]) == 2


def test_a_damaged_file_is_left_out_of_its_own_source(study, tmp_path):
    (tmp_path / "second" / "0.png").write_bytes(b"damaged")
    (tmp_path / "first" / "5.png").unlink()
    record = prepare_role(study, "training")
    manifest = load_image_set(study, "training", 32, audited=False).manifest
    known = {f"{source}/{number}.png" for source, films in ((1, 6), (2, 5)) for number in range(films)}
    assert known - set(manifest["image_id"]) == {"1/5.png", "2/0.png"}
    assert len(manifest) == 9
    assert record["missing"] == 1
    assert len(record["unreadable"]) == 2


def test_an_id_that_two_sources_know_is_refused_before_anything_is_written(study, tmp_path):
    labels = tmp_path / "second" / "labels.csv"
    labels.write_text(labels.read_text().replace("u-p3", "t-p3"))
    for refuse in (lambda: prepare_role(study, "training"), lambda: check_before(study)):
        with pytest.raises(InputError, match="1 of its patient ids are also in") as error:
            refuse()
        assert "t-p3" not in str(error.value)
        assert "prefix" in str(error.value)
    assert not study.results.data("training").exists()


def test_a_source_given_twice_is_refused(data, write_tiny_study):
    data["training"][1] = data["training"][0]
    problems = source_problems(load_study(write_tiny_study(data=data)))
    assert any("the same images as data.training" in problem for problem in problems)


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ([], "found an empty list"),
        ([{"reader": "folder", "folder": "a"}, {"reader": "folder", "foldr": "b"}], r"training\.2\.foldr: unknown key"),
        (
            [
                {"reader": "folder", "folder": "a"},
                {"reader": "phantom", "scanner": "public", "negative_patients": 1, "positive_patients": 1},
            ],
            "training: found simulated and real films",
        ),
    ],
)  # fmt: skip
def test_faults_of_a_list_of_sources_are_told_with_their_place(training, expected, write_tiny_study):
    with pytest.raises(InputError, match=expected):
        load_study(write_tiny_study(data={"training": training}))


def test_a_role_is_private_if_one_of_its_sources_is(data, write_tiny_study):
    data["training"][0]["publishable"] = True
    assert "training" in load_study(write_tiny_study(data=data)).private_roles
    data["training"][1]["publishable"] = True
    assert "training" not in load_study(write_tiny_study(data=data)).private_roles


def test_a_list_of_one_is_the_source_itself(data, write_tiny_study):
    alone = load_study(write_tiny_study(data=data | {"training": data["training"][0]}))
    prepare_role(alone, "training")
    listed = load_study(write_tiny_study(data=data | {"training": data["training"][:1]}))
    stamp = listed.results.manifest("training").stat().st_mtime_ns
    prepare_role(listed, "training")
    assert listed.results.manifest("training").stat().st_mtime_ns == stamp


def test_copies_between_sources_of_a_role_count_once(study, tmp_path):
    shutil.copyfile(tmp_path / "first" / "2.png", tmp_path / "second" / "3.png")
    audit = prepare_study(study)
    assert audit["excluded"]["training"] == ["2/3.png"]
    assert len(load_manifest(study, "training")) == 10


def test_copies_between_sources_of_the_hospital_are_reported(data, write_tiny_study, tmp_path):
    data["hospital"] = [data["hospital"], make_folder(tmp_path / "annex", films_of("x", 10), 6)]
    study = load_study(write_tiny_study(data=data))
    # One and the same label, and so perhaps fold; whichever fold it is.
    shutil.copyfile(tmp_path / "clinic" / "h4.png", tmp_path / "annex" / "x4.png")
    audit = prepare_study(study)
    assert audit["excluded"]["hospital"] == []
    assert audit["pairs"] == [{"role_a": "hospital", "role_b": "hospital", "kind": "same-file", "pairs": 1}]


@pytest.mark.parametrize(
    ("role", "folder", "file"), [("training", "second", "1.png"), ("hospital", "clinic", "h2.png")]
)
def test_the_second_hospital_loses_its_copies_and_nobody_else_does(study, tmp_path, role, folder, file):
    shutil.copyfile(tmp_path / folder / file, tmp_path / "other" / "e3.png")
    audit = prepare_study(study)
    assert {name: ids for name, ids in audit["excluded"].items() if ids} == {"external": ["e3.png"]}
    assert "e3.png" not in set(load_manifest(study, "external")["image_id"])
    (row,) = pd.read_csv(study.results.duplicates).to_dict("records")
    assert (row["role_a"], row["role_b"], row["dropped"]) == (role, "external", "external")


def test_a_patient_of_two_hospitals_ends_the_study(study, tmp_path):
    labels = tmp_path / "other" / "labels.csv"
    labels.write_text(labels.read_text().replace("e-p3", "h-p3"))
    with pytest.raises(InputError, match=r"data\.external: 1 of its patients also have films in data\.hospital"):
        check_before(study)
    for role in study.roles:
        prepare_role(study, role)
    with pytest.raises(InputError, match=r"data\.external: 1 of its patients"):
        audit_study(study)


def test_check_tells_every_source_and_role(study):
    said = "\n".join(str(part) for part in check_study(study) if isinstance(part, str))
    assert said.count("training: folder") == 2
    assert "external: folder" in said


def test_films_too_small_for_a_private_book_are_told_before_anything_is_made(study, write_tiny_study):
    private = study.data.hospital.model_copy(update={"publishable": False})
    hidden = study.model_copy(update={"data": study.data.model_copy(update={"hospital": private})})
    hidden._root = study.root
    check_before(hidden)
    with pytest.raises(InputError, match=r"kept at 32 pixels a side.*gan\.resolution"):
        check_before(hidden, book=True)
    assert any("takes 64 pixels a side" in str(part) for part in check_study(hidden))


def test_simulated_sources_have_patients_of_their_own(write_tiny_study):
    part = {"reader": "phantom", "negative_patients": 4, "positive_patients": 4}
    training = [{**part, "scanner": "public"}, {**part, "scanner": "hospital"}]
    study = load_study(write_tiny_study(data={"training": training}))
    prepare_role(study, "training")
    films = load_image_set(study, "training", 32, audited=False)
    assert films.manifest["patient_id"].nunique() == 16
    assert films.manifest["source"].nunique() == 2
    for row in (0, len(films) - 1):
        facts = films.manifest.iloc[row].to_dict()
        source = study.data.source_of("training", facts["image_id"])
        assert source.scanner == ("public" if row == 0 else "hospital")
        np.testing.assert_array_equal(films.images[row], phantom_film(source, study.seed, facts, 32).image)
    assert read_role(study, "training") == []
    assert json.loads(study.results.data_record("training").read_text())["simulated"]
