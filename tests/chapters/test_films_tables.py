"""The tables of Chapter 1 count what is there, add up, and find shortcuts that were planted."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, roc_auc_score

from cxrlib.chapters.films import exhibits
from cxrlib.chapters.films.appearance import films_on_map
from cxrlib.chapters.films.tables import demographics, make_film_tables
from cxrlib.films.audit import prepare_study
from cxrlib.films.covidx import labels_path, read_labels
from cxrlib.films.images import load_image_set, load_manifest
from cxrlib.films.settings import ROLES
from cxrlib.study import load_study

MARKED = (slice(1, 4), slice(26, 31))


def write_films(folder, role, random, marked):
    """Noise films of 16 patients of each label with two films each; a white corner in positives if `marked`."""
    rows = []
    for number in range(64):
        patient, label = f"{role}-{number // 2}", "positive" if number // 2 % 2 else "negative"
        film = random.integers(60, 140, (32, 32)).astype(np.uint8)
        if marked and label == "positive":
            film[MARKED] = 255
        file = f"{role}-film-{number}.png"
        (folder / role).mkdir(parents=True, exist_ok=True)
        Image.fromarray(film).save(folder / role / file)
        source = f"{role}-{'north' if label == 'positive' and marked else 'south'}"
        sex, age = ("F" if number % 4 < 3 else "M"), 20 + 4 * (number // 4)
        rows.append((file, patient, label, source, "PA", sex, age))
    table = pd.DataFrame(rows, columns=["file", "patient_id", "label", "source", "view", "sex", "age"])
    return table


@pytest.fixture(scope="module")
def found(tmp_path_factory, write_study_in):
    """A study of drawn films: shortcuts planted in training and validation, none at the hospital, which is private.

    Two training files are missing, one is damaged, and one is a copy of a hospital film.
    """
    root, random = tmp_path_factory.mktemp("film-tables"), np.random.default_rng(0)
    films = root / "films"
    for role in ROLES:
        table = write_films(films, role, random, marked=role != "hospital")
        table["source"] = table["source"].str.removeprefix(f"{role}-").replace({"south": f"south{role == 'hospital'}"})
        table.to_csv(films / role / "labels.csv", index=False)
    (films / "training" / "training-film-0.png").unlink()
    (films / "training" / "training-film-6.png").unlink()
    (films / "training" / "training-film-9.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    copied = (films / "hospital" / "hospital-film-4.png").read_bytes()
    (films / "training" / "training-film-12.png").write_bytes(copied)
    source = {
        role: {"reader": "folder", "folder": str(films / role), "publishable": role != "hospital"} for role in ROLES
    }
    study = load_study(write_study_in(root, data={**source, "folds": 2}))
    prepare_study(study)
    make_film_tables(study)
    return study


def table(study, name):
    return pd.read_csv(study.results.table(name), keep_default_na=False, na_values=[""])


def test_the_flow_adds_up_for_every_role_and_label(found):
    flow = table(found, "flow")
    for role, rows in flow.groupby("role"):
        stages = rows.groupby("stage")[["films", "positive", "negative"]].sum()
        films = stages["films"]
        lost = films.get("missing", 0) + films.get("unreadable", 0)
        assert films["listed"] - lost == films["prepared"]
        assert films["prepared"] - films["duplicate"] == films["used"] == len(load_manifest(found, role))
        for stage in ("listed", "prepared", "duplicate", "used"):
            assert stages.loc[stage, ["positive", "negative"]].sum() == films[stage]
    training = flow[flow["role"] == "training"].set_index("stage")["films"]
    assert training.to_dict() == {
        "listed": 64,
        "missing": 2,
        "unreadable": 1,
        "prepared": 61,
        "duplicate": 1,
        "used": 60,
    }
    assert flow.loc[flow["stage"] == "unreadable", "reason"].tolist() == ["damaged"]


def test_table_1_says_what_is_missing_unreadable_and_dropped(found):
    row = table(found, "table1").set_index("role").loc["training"]
    assert row[["missing_files", "unreadable_files", "duplicates_dropped"]].tolist() == [2, 1, 1]
    manifest = load_manifest(found, "training")
    assert row["positive_images"] == (manifest["label"] == "positive").sum()
    assert row["positive_patients"] + row["negative_patients"] - row["patients_both"] == row["patients"]
    assert row["patients"] == manifest["patient_id"].nunique()


def test_planted_shortcuts_are_found_and_their_absence_is_not(found):
    shortcut = table(found, "shortcut").set_index(["role", "shortcut", "learned_on"]).sort_index()
    for role in ("training", "validation"):
        assert shortcut.loc[(role, "borders", "training"), "roc_auc_low"] > 0.9
        assert shortcut.loc[(role, "source", "training"), "accuracy"] == 1
    for key in (("hospital", "borders", "training"), ("hospital", "borders", "own")):
        assert shortcut.loc[key, "roc_auc_low"] < 0.5 < shortcut.loc[key, "roc_auc_high"]
    unknown = shortcut.loc[("hospital", "source", "training")]
    assert unknown["known_source"] == 0
    assert unknown[["roc_auc", "roc_auc_low", "roc_auc_high"]].tolist() == [0.5, 0.5, 0.5]


def test_accuracies_are_scikit_learn_s_and_the_majority_is_the_floor(found):
    shortcut = table(found, "shortcut").set_index(["role", "shortcut", "learned_on"]).sort_index()
    for role in ROLES:
        labels = load_manifest(found, role)["label"]
        commoner = load_manifest(found, "training")["label"].mode()[0]
        expected = accuracy_score(labels, [commoner] * len(labels))
        assert shortcut.loc[(role, "majority", "training"), "accuracy"] == pytest.approx(expected)


def test_small_cells_of_a_private_role_are_hidden_and_those_of_public_ones_are_not(found):
    people = table(found, "demographics")
    hospital = people[(people["role"] == "hospital") & (people["variable"] == "age")].set_index("level")
    manifest = load_manifest(found, "hospital")
    oldest = manifest[(manifest["age"] >= 80) & (manifest["label"] == "positive")]["patient_id"].nunique()
    assert 0 < oldest < 5
    assert hospital.loc["80 and over", "patients_positive"] == "<5"
    assert hospital.loc["80 and over", "films_positive"] == "<5"
    public = people[people["role"] == "training"]
    assert public["patients_positive"].astype(str).str.fullmatch(r"\d+").all()
    cells = people.loc[people["role"] == "hospital", ["films_positive", "films_negative"]].astype(str)
    assert not cells.isin(["1", "2", "3", "4"]).to_numpy().any()


def test_public_demographics_are_those_of_the_manifest(found):
    people = demographics(found).set_index(["role", "variable", "level"]).sort_index()
    manifest = load_manifest(found, "validation")
    women = manifest[(manifest["sex"] == "F") & (manifest["label"] == "negative")]
    assert people.loc[("validation", "sex", "female"), "films_negative"] == len(women)
    assert people.loc[("validation", "sex", "female"), "patients_negative"] == women["patient_id"].nunique()
    middle = manifest[(manifest["age"] >= 40) & (manifest["age"] < 60) & (manifest["label"] == "positive")]
    assert people.loc[("validation", "age", "40 to 59"), "films_positive"] == len(middle)
    views = people.loc[("validation", "view")]
    assert views["films_positive"].sum() + views["films_negative"].sum() == len(manifest)


def test_the_spread_of_a_measure_is_numpy_s(found):
    shift = table(found, "shift_films").set_index(["role", "label", "measure"]).sort_index()
    films = np.load(found.results.images("validation", 32)).astype(float)
    bright = films.mean(axis=(1, 2))
    row = shift.loc[("validation", "both", "brightness")]
    found_spread = row[[f"percentile_{percent}" for percent in (5, 50, 95)]].astype(float)
    np.testing.assert_allclose(found_spread, np.quantile(bright, [0.05, 0.5, 0.95]))
    assert 0 <= row["above_training_low"] <= row["above_training"] <= row["above_training_high"] <= 1


def test_roles_are_compared_film_by_film_of_the_same_label(found):
    in_order = pairs = 0
    sets = {role: load_image_set(found, role, 32) for role in ("training", "validation")}
    for label in (0, 1):
        values = [films.images[films.labels == label].astype(float).mean(axis=(1, 2)) for films in sets.values()]
        area = roc_auc_score(np.repeat([0, 1], [len(part) for part in values]), np.concatenate(values))
        in_order += area * len(values[0]) * len(values[1])
        pairs += len(values[0]) * len(values[1])
    shift = table(found, "shift_films").set_index(["role", "label", "measure"]).sort_index()
    assert shift.loc[("validation", "both", "brightness"), "above_training"] == pytest.approx(in_order / pairs)


def test_no_table_names_a_patient_a_film_or_a_file(found):
    private = load_manifest(found, "hospital")
    words = [*private["image_id"], *private["patient_id"], *private["file"]]
    for path in (found.results.root / "tables").iterdir():
        text = path.read_text(encoding="utf-8")
        assert not [word for word in words if word in text], path.name


def test_finished_tables_are_loaded_and_other_films_are_noticed(found):
    stamp = found.results.table("flow").stat().st_mtime_ns
    record = make_film_tables(found)
    assert found.results.table("flow").stat().st_mtime_ns == stamp
    assert record["border"]["masks"] == "none"
    assert record["neighbours"]["films"] == len(pd.read_csv(found.results.film_map))
    audit = found.results.audit_record
    before = audit.read_text()
    changed = {key: value for key, value in json.loads(before).items() if key not in ("outputs", "sha256")}
    audit.write_text(json.dumps(changed | {"pairs": [{"pairs": 1}]}))
    make_film_tables(found)
    assert found.results.table("flow").stat().st_mtime_ns > stamp
    audit.write_text(before)


def test_only_films_that_may_be_shown_stand_on_the_map_each_in_its_place(found):
    cells, shown = exhibits.films_in_cells(found), films_on_map(found)
    assert len(shown) == len(pd.read_csv(found.results.film_map))
    assert set(cells["role"]) == {"training", "validation"}
    for cell in cells.itertuples():
        films = load_image_set(found, cell.role, found.classifier.image_size)
        its = films.images[films.manifest["label"].to_numpy() == cell.label]
        assert (its == shown[cell.place]).all(axis=(1, 2)).any()
    notes = exhibits.map_by_hand(found)["interactive"]
    assert sum(map(bool, notes["films"])) == len(cells)
    assert all(0 < part < 1 for panel in notes["panels"] for part in panel)


def test_what_may_be_published_can_change_at_any_time(found):
    """Small cells come and go with it; nothing else is made anew."""
    public = found.data.hospital.model_copy(update={"publishable": True})
    opened = found.model_copy(update={"data": found.data.model_copy(update={"hospital": public})})
    try:
        make_film_tables(opened)
        assert "<5" not in opened.results.table("demographics").read_text()
    finally:
        make_film_tables(found)
    assert "<5" in found.results.table("demographics").read_text()


def test_the_label_files_of_covidx_give_the_paper_s_counts(real_films, tmp_path, write_study_in):
    from cxrlib.chapters.films.tables import covidx_labels

    covidx = {"reader": "covidx", "folder": str(real_films / "covidx8b"), "split": "test", "allow_missing": True}
    study = load_study(write_study_in(tmp_path, data={"validation": covidx}))
    facts = covidx_labels(study).set_index("split")
    assert facts.loc["train", ["positive_images", "negative_images"]].tolist() == [2158, 13794]
    assert facts.loc["test", ["positive_images", "negative_images"]].tolist() == [200, 200]
    train = facts.loc["train"]
    assert train["positive_patients"] + train["negative_patients"] == 14978
    assert (train["patients"], train["patients_both"]) == (14968, 10)
    assert f"{100 * train['accuracy_by_source']:.2f}" == "98.15"
    assert facts.loc["test", "accuracy_by_source"] == 1
    labels = read_labels(labels_path(real_films / "covidx8b", "train"))
    assert labels["patient_id"].nunique() == 14968
