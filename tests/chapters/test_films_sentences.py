"""Sentences of Chapter 1 change when the data do, and its films are those of the study or say that they are not."""

import numpy as np
import pandas as pd
import pytest
from audited import write_audit
from PIL import Image

from cxrlib.chapters.films import exhibits as films_exhibits
from cxrlib.chapters.films import sentences as film_facts
from cxrlib.chapters.films import shown as films_shown
from cxrlib.films.images import load_image_set
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import ROLES
from cxrlib.study import load_study


def shortcut(**areas):
    """Rows of both shortcuts in every role: nothing is given away, save where `role_shortcut_where=(area, …)`."""
    kinds = [("majority", "training"), *((n, w) for n in ("source", "borders") for w in ("training", "own"))]
    rows = []
    for role in ROLES:
        for name, learned_on in kinds:
            if role == "training" and learned_on == "own":
                continue
            area, low, high = areas.get(f"{role}_{name}_{learned_on}", (0.5, 0.45, 0.55))
            row = {"role": role, "shortcut": name, "learned_on": learned_on, "films": 100, "known_source": 100}
            rows.append(row | {"accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9, "roc_auc": area,
                               "roc_auc_low": low, "roc_auc_high": high})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ((0.97, 0.95, 0.99), "predicts nearly every label"),
        ((0.80, 0.75, 0.85), "often predicts the label"),
        ((0.60, 0.52, 0.68), "predicts the label better than chance"),
        ((0.56, 0.48, 0.64), "does not clearly predict the label better than chance"),
        ((0.40, 0.32, 0.48), "predicts the opposite label"),
    ],
)
def test_what_borders_tell_follows_the_interval(area, words):
    told = film_facts.borders_sentence(shortcut(hospital_borders_training=area), "hospital")
    assert words in told.split(";")[0]
    assert f"{area[0]:.2f}, {area[1]:.2f} to {area[2]:.2f}" in told
    assert "does not clearly predict the label" in told.split(";")[1]


def test_the_verdict_on_shortcuts_follows_training_and_hospital():
    none = film_facts.shortcut_verdict(shortcut())
    assert none.startswith("Neither of these two shortcuts is seen")
    found = film_facts.shortcut_verdict(shortcut(training_source_training=(1, 1, 1)))
    assert found.startswith("A network can learn much of the label")
    assert "not seen to hold at the hospital" in found
    carried = {"training_source_training": (1, 1, 1), "hospital_borders_training": (0.7, 0.6, 0.8)}
    assert "still holds at the hospital" in film_facts.shortcut_verdict(shortcut(**carried))
    weak = film_facts.shortcut_verdict(shortcut(training_borders_training=(0.6, 0.55, 0.65)))
    assert weak.startswith("Something about the label can be read")


def test_sources_that_training_lacks_are_not_judged_by_its_rule():
    table = shortcut()
    assert "predicts 80.0 % (70 to 90 %) of the labels" in film_facts.source_sentence(table, "hospital")
    table.loc[table["role"] == "hospital", "known_source"] = 0
    assert film_facts.source_sentence(table, "hospital").startswith(
        "No hospital film is from a source that training has"
    )
    table.loc[table["role"] == "hospital", "known_source"] = 40
    assert "it knows the sources of 40 of them)" in film_facts.source_sentence(table, "hospital")


def test_covidx_is_told_in_the_numbers_of_its_label_files(real_films, tmp_path, write_study_in):
    from cxrlib.chapters.films.tables import covidx_labels
    from cxrlib.files import write_csv

    covidx = {"reader": "covidx", "folder": str(real_films / "covidx8b"), "split": "test", "allow_missing": True}
    facts = covidx_labels(load_study(write_study_in(tmp_path, data={"validation": covidx})))
    write_csv(tmp_path / "facts.csv", facts)
    told = film_facts.covidx_sentence(pd.read_csv(tmp_path / "facts.csv"))
    assert "2,158 positive and 13,794 negative training films of 14,968 patients" in told
    assert "the paper's 14,978 is the sum over labels, in which 10 patients with films of both count twice" in told
    assert "98.15 % of these films and on 100.00 % of the 400 of the official test list" in told
    assert film_facts.covidx_sentence(None).startswith("This study uses no COVIDx data")


def shift(above):
    names = ("brightness", "contrast", "sharpness", "noise")
    rows = [("hospital", "both", name, *above.get(name, (0.5, 0.4, 0.6))) for name in names]
    columns = ["role", "label", "measure", "above_training", "above_training_low", "above_training_high"]
    return pd.DataFrame(rows, columns=columns)


def test_the_shift_is_told_by_what_tells_roles_apart_the_strongest_first():
    assert film_facts.shift_sentence(shift({}), "hospital").startswith("No measure separates")
    told = film_facts.shift_sentence(shift({"noise": (0.8, 0.7, 0.9), "brightness": (0.05, 0.03, 0.08)}), "hospital")
    assert "darker in 95 of 100 pairs (92 to 97) and noisier in 80 of 100 pairs (70 to 90)" in told
    assert "sharp" not in told


def table1(**changes):
    row = {"missing_files": 0, "unreadable_files": 0, "duplicates_dropped": 0, "patients_both": 0, "dataset": "d"}
    row |= {"positive_images": 5, "negative_images": 6, "positive_patients": 3, "negative_patients": 4, "patients": 7}
    return pd.DataFrame([row | {"role": role, "simulated": True} | changes.get(role, {}) for role in ROLES])


def test_what_is_missing_is_said_role_by_role():
    assert film_facts.missing_sentence(table1()).startswith("Nothing is missing")
    told = film_facts.missing_sentence(
        table1(validation={"missing_files": 84}, hospital={"unreadable_files": 2, "duplicates_dropped": 1})
    )
    assert "of the tuning films, 84 are missing" in told
    assert "of the hospital films, 2 are unreadable and 1 is dropped as copies" in told


def test_patients_of_both_labels_are_told_and_few_private_ones_not_counted():
    assert "3 in hospital" in film_facts.both_labels_sentence(table1(hospital={"patients_both": 3}))
    assert film_facts.both_labels_sentence(table1()).startswith("No patient")
    told = film_facts.both_labels_sentence(table1(hospital={"patients_both": None}))
    assert "fewer than five in hospital" in told


def test_the_border_is_described_by_what_is_known_of_lungs():
    border = {"cells": 512, "grid": 32, "lung_share": {"hospital": 0.0206}}
    known = {"all": "known in every film", "some": "in some films only", "none": "No lungs are outlined"}
    for masks, words in known.items():
        told = film_facts.region_sentence(border | {"masks": masks})
        assert words in told
        assert "50 % of the film" in told
    assert "2.06 % (hospital)" in film_facts.region_sentence(border | {"masks": "some"})


@pytest.fixture
def study_with_copies(tmp_path, write_study_in):
    """Folders of real-looking films; one training film is a copy of a hospital film; only hospital lungs are known."""
    random = np.random.default_rng(0)
    for role in ROLES:
        folder = tmp_path / "films" / role
        folder.mkdir(parents=True)
        rows = []
        for number in range(24):
            film = Image.fromarray(random.integers(0, 256, (48, 48)).astype(np.uint8))
            film.save(folder / f"{number}.png")
            lungs = np.zeros((48, 48), np.uint8)
            lungs[10:30, 8 : 20 + number % 3] = 255
            Image.fromarray(lungs).save(folder / f"mask-{number}.png")
            mask = f"mask-{number}.png" if role == "hospital" else ""
            rows.append((f"{number}.png", f"{role}-{number}", ("negative", "positive")[number % 2], mask))
        pd.DataFrame(rows, columns=["file", "patient_id", "label", "lung_mask"]).to_csv(
            folder / "labels.csv", index=False
        )
    (tmp_path / "films" / "training" / "3.png").write_bytes((tmp_path / "films" / "hospital" / "5.png").read_bytes())

    def made(**publishable):
        folders = {role: {"reader": "folder", "folder": str(tmp_path / "films" / role)} for role in ROLES}
        data = {role: {**folders[role], "publishable": publishable.get(role, True)} for role in ROLES}
        return load_study(write_study_in(tmp_path, data={**data, "folds": 2}))

    return made


def prepared(study):
    for role in ROLES:
        prepare_role(study, role)
    write_audit(study)
    row = {"role_a": "training", "image_id_a": "3.png", "file_a": "3.png", "role_b": "hospital", "image_id_b": "5.png",
           "file_b": "5.png", "kind": "same-file", "correlation": 1.0, "dropped": "training"}  # fmt: skip
    pd.DataFrame([row]).to_csv(study.results.duplicates, index=False)
    return study


def test_copies_are_shown_side_by_side_only_where_both_roles_may_be(study_with_copies):
    study = prepared(study_with_copies())
    one, other = films_exhibits.copied_films(study)
    np.testing.assert_array_equal(one.films, other.films)
    size = study.classifier.image_size
    wanted = load_image_set(study, "hospital", size, audited=False)
    row = wanted.manifest["image_id"].tolist().index("5.png")
    np.testing.assert_array_equal(other.films[0], wanted.images[row])
    assert (one.captions, other.captions) == (["training"], ["hospital"])
    assert films_exhibits.copied_films(study_with_copies(hospital=False)) == []


def test_figure_one_shows_a_role_whose_lungs_are_known_or_else_simulated_films(study_with_copies):
    study = prepared(study_with_copies())
    outlined = films_exhibits.outlined_films(study)
    assert outlined["titles"] == ["negative (hospital)", "positive (hospital)"]
    assert outlined["films"].shape == outlined["lungs"].shape
    assert outlined["lungs"].any(axis=(1, 2)).all()
    files = [Image.open(study.data.hospital.folder / f"{number}.png") for number in range(24)]
    large = [np.asarray(file.resize(outlined["films"].shape[1:], Image.Resampling.BILINEAR)) for file in files]
    for film in outlined["films"]:
        assert any(np.array_equal(film, other) for other in large)
    private = films_exhibits.outlined_films(study_with_copies(hospital=False))
    assert "simulated" in private["origin"]
    assert private["lungs"].any()


def test_files_of_public_roles_are_named_up_to_a_number(tiny_study_file):
    entries = [{"file": f"{number}.png", "reason": "missing"} for number in range(12)]
    table = films_shown.unreadable(load_study(tiny_study_file), {"training": {"unreadable": entries}})
    assert len(table) == 11
    assert table["file"].iloc[-1] == "and 2 more"


def test_patients_are_told_as_films_and_patients_without_empty_levels():
    rows = [
        ("hospital", "sex", "female", "12", "<5", "10", "<5"),
        ("hospital", "sex", "male", 3, 0, 2, 0),
        ("hospital", "sex", "not known", 0, 0, 0, 0),
        ("hospital", "view", "not known", 4, 9, 4, 9),
        ("hospital", "view", "PA", 4, 9, 4, 9),
    ]
    names = ["films_positive", "films_negative", "patients_positive", "patients_negative"]
    table = pd.DataFrame(rows, columns=["role", "variable", "level", *names])
    shown = films_shown.patients(table)
    assert shown.index.tolist() == [("sex", "female"), ("sex", "male"), ("view", "PA"), ("view", "not known")]
    assert shown.loc[("sex", "female")].tolist() == ["12 (10)", "<5 (<5)"]
    assert films_shown.views(table).loc["hospital"].to_dict() == {"PA": 13, "not known": 13}


def test_what_figures_find_follows_their_numbers():
    said = film_facts.grey_sentence({"training": 115.6, "validation": 110.2, "hospital": 97.0})
    assert said.endswith("is 116 in training, 110 in tuning and 97 in hospital.")
    neighbours = {"films": 900, "count": 10, "features": "x", "same_role": 0.82, "same_role_by_chance": 1 / 3,
                  "same_label": {"training": 0.6}}  # fmt: skip
    assert "10 nearest films of other patients, 82 % are of its own role; chance would give 33 %" in (
        film_facts.neighbours_sentence(neighbours)
    )
