"""A second hospital: prepared, audited and judged like the first, and nothing is fitted to it."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from finished_study import write_synthetic_films

from cxrlib.chapters.results.notebook import open_chapter
from cxrlib.chapters.results.tables import make_tables, statements_path
from cxrlib.chapters.run import _publishable
from cxrlib.classifiers.prediction import read_predictions
from cxrlib.classifiers.training import train_classifier
from cxrlib.films.audit import left_out, prepare_study
from cxrlib.films.images import load_manifest
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import ROLES
from cxrlib.publishing.guard import private_findings
from cxrlib.study import REPOSITORY, load_study
from cxrlib.units import units

EXTERNAL = {"reader": "phantom", "scanner": "hospital", "negative_patients": 9, "positive_patients": 7}
CLASSIFIER = {
    "network": "shufflenet_v2_x0_5", "weights": "none", "image_size": 32, "batch_size": 16, "frozen_epochs": 1,
    "epochs": 1, "seeds": 1, "arms": ["baseline", "threshold-moved", "real-crossfit", "source-rule"],
}  # fmt: skip


def with_external(write_study_in, folder, **changes):
    from conftest import TINY

    few = {"negative_patients": 8, "positive_patients": 8}
    data = {role: TINY["data"][role] | few for role in ROLES} | {"folds": 2, "external": {**EXTERNAL, **changes}}
    return load_study(write_study_in(folder, data=data, classifier=CLASSIFIER, primary_endpoint={
        "arm": "real-crossfit", "reference": "baseline", "measures": ["roc_auc"]}))  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    study = with_external(write_study_in, tmp_path_factory.mktemp("external"))
    prepare_study(study)
    write_synthetic_films(study)
    for unit in units(study, "classifier"):
        train_classifier(study, *unit.key)
    make_tables(study)
    return study


def test_every_model_judges_all_of_it_once_and_says_so_before(study):
    known = load_manifest(study, "external")
    assert set(known["fold"]) == {""}
    for unit in units(study, "classifier"):
        rows = read_predictions(study.results.predictions(*unit.key)).query("role == 'external'")
        if unit.key[0] == "source-rule":
            assert rows.empty
            continue
        assert rows["image_id"].tolist() == known["image_id"].tolist()
        with open(study.results.openings(*unit.key), encoding="utf-8", newline="") as file:
            opened = [row for row in csv.DictReader(file) if row["role"] == "external"]
        assert [int(row["films"]) for row in opened] == [len(known)]
        assert opened[0]["model_sha256"]
        record = json.loads(study.results.classifier_record(*unit.key).read_text())
        assert record["hospital_openings"] == 1
        assert "external" in record["inputs"]


def test_tables_and_chapter_tell_it_beside_the_hospital(study):
    table = pd.read_csv(study.results.table("table2")).query("role == 'external' and operating_point == 'fixed'")
    assert table["arm"].tolist() == ["baseline", "threshold-moved", "real-crossfit"]
    assert (table["roc_auc_low"] <= table["roc_auc"]).all()
    # Where each fold has a model, an area is the mean over models, none of whose scores are ranked against another's.
    parts = [
        read_predictions(study.results.predictions("real-crossfit", 0, fold)).query("role == 'external'")
        for fold in study.fold_names
    ]
    areas = [_area(rows["p_positive"].to_numpy(), (rows["label"] == "positive").to_numpy()) for rows in parts]
    assert table.set_index("arm").loc["real-crossfit", "roc_auc"] == pytest.approx(np.mean(areas))
    said = json.loads(statements_path(study).read_text())["external"]
    assert said.startswith("At a second hospital")
    assert "real-crossfit" in said
    assert f"{np.mean(areas):.2f}" in said
    assert set(pd.read_csv(study.results.table("verdicts"))) & {"role"} == set()
    chapter = open_chapter(study)
    assert chapter.table("external").index.tolist() == ["threshold-moved", "real-crossfit"]
    assert chapter.figure("external") is not None


def test_nothing_that_is_fitted_depends_on_it(study, tmp_path, write_study_in):
    """Another second hospital: models, thresholds and all answers for the hospital stay as they are."""
    other = with_external(write_study_in, tmp_path, negative_patients=6, positive_patients=6)
    prepare_study(other)
    write_synthetic_films(other)
    for key in (("baseline", 0, "all"), ("threshold-moved", 0, "fold1")):
        train_classifier(other, *key)
        both = [json.loads(one.results.classifier_record(*key).read_text()) for one in (study, other)]
        assert both[0]["model_sha256"] == both[1]["model_sha256"]
        answers = [
            read_predictions(one.results.predictions(*key)).query("role != 'external'") for one in (study, other)
        ]
        pd.testing.assert_frame_equal(*answers)


def test_of_two_copies_the_second_hospital_loses_its_own():
    assert left_out("training", "external") == left_out("hospital", "external") == "external"
    assert left_out("training", "hospital") == "training"
    assert left_out("hospital", "hospital") == ""


def test_a_study_without_it_has_no_trace_of_it(write_study_in, tmp_path):
    study = load_study(write_study_in(tmp_path))
    assert study.roles == ("training", "validation", "hospital")
    assert "external" not in json.dumps(study.resolved())
    assert open_chapter(study).figure("external") is None
    assert open_chapter(study).table("external").empty


@pytest.mark.parametrize("chapter", ["01_data", "05_results"])
def test_cells_about_it_are_in_the_book_of_a_study_that_has_it_alone(chapter, write_study_in, tmp_path):
    notebook, found = REPOSITORY / "notebooks" / f"{chapter}.ipynb", []
    for study in (load_study(write_study_in(tmp_path)), with_external(write_study_in, tmp_path)):
        cells = _publishable(notebook, chapter, study, tmp_path).cells
        found.append(sum("external" in cell.metadata.get("tags", []) for cell in cells))
    assert found[0] == 0 < found[1]


def test_it_is_private_unless_the_study_says_otherwise(write_study_in, tmp_path):
    study = with_external(write_study_in, tmp_path, publishable=False)
    assert study.private_roles == ("external",)
    study = load_study(write_study_in(tmp_path, gan={"resolution": 64}, data=study.data.model_dump(mode="json")))
    prepare_role(study, "external")
    page = tmp_path / "book" / "page.html"
    page.parent.mkdir()
    page.write_text("<p>external-p0003 was read twice</p>", encoding="utf-8")
    assert private_findings(study, page.parent)
    page.write_text("<p>somebody was read twice</p>", encoding="utf-8")
    assert not private_findings(study, page.parent)


def _area(p_positive, positive):
    above = p_positive[positive][:, None] - p_positive[~positive][None]
    return ((above > 0) + 0.5 * (above == 0)).mean()
