"""Films that may not be shown are replaced by simulated ones, which say so and are of nobody in the study."""

import numpy as np
import pandas as pd
import pytest
from audited import write_audit

from cxrlib.chapters import exhibits, sheets
from cxrlib.chapters.classifiers import notebook as chapter_four
from cxrlib.chapters.films import exhibits as films_exhibits
from cxrlib.chapters.films import shown as films_shown
from cxrlib.films.images import load_image_set
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.study import load_study


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    """The tiny study with nothing publishable; its films are simulated, so that a stand-in could be one of them."""
    data = {
        role: {"reader": "phantom", "scanner": scanner, "negative_patients": 6, "positive_patients": 6,
               "publishable": False}
        for role, scanner in zip(ROLES, ("public", "public", "hospital"), strict=True)
    }  # fmt: skip
    made = load_study(write_study_in(tmp_path_factory.mktemp("stand-ins"), data=data))
    for role in ROLES:
        prepare_role(made, role)
    write_audit(made)
    return made


def all_films(study, size):
    return np.concatenate([load_image_set(study, role, size).images for role in ROLES])


def is_of_the_study(film, study):
    return any(np.array_equal(film, other) for other in all_films(study, film.shape[0]))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("label", LABELS)
def test_a_private_row_shows_simulated_films_and_says_so(study, role, label):
    row = exhibits.film_row(study, role, label, count=3)
    assert "may not be shown" in row.title
    assert "simulated" in row.origin
    assert row.films.shape == (3, study.gan.resolution, study.gan.resolution)
    assert not any(is_of_the_study(film, study) for film in row.films)


def test_the_augmented_film_is_not_a_private_one(study):
    row = chapter_four.augmented_row(study)
    assert "may not be shown" in row.title
    assert not is_of_the_study(row.films[0], study)


def test_figure_one_outlines_simulated_films(study, monkeypatch):
    monkeypatch.setattr("cxrlib.chapters.films.exhibits.LARGE_PX", study.classifier.image_size)
    outlined = films_exhibits.outlined_films(study)
    assert all("simulated" in title for title in outlined["titles"])
    assert "simulated" in outlined["origin"]
    assert outlined["lungs"].any(axis=(1, 2)).all()
    assert outlined["opacities"][1].any()
    assert not any(is_of_the_study(film, study) for film in outlined["films"])
    sheets.annotated_films(**outlined)


def test_a_publishable_role_shows_its_own_films(study):
    source = study.data.training.model_copy(update={"publishable": True})
    open_study = study.model_copy(update={"data": study.data.model_copy(update={"training": source})})
    row = exhibits.film_row(open_study, "training", "negative", count=3)
    assert row.title == "training · negative"
    assert all(is_of_the_study(film, open_study) for film in row.films)


def test_unreadable_files_of_a_private_role_are_not_named(study):
    entries = [{"file": "Meier.png", "reason": "damaged: Meier.png ends early"}, {"file": "b.png", "reason": "missing"}]
    records = {"hospital": {"unreadable": [*entries, {"file": "c.png", "reason": "missing"}]}}
    table = films_shown.unreadable(study, records)
    assert table["file"].tolist() == ["1 not named", "2 not named"]
    assert table["reason"].tolist() == ["damaged", "missing"]
    assert "Meier" not in table.to_csv()


def test_small_numbers_of_a_private_hospital_s_folds_are_hidden(study):
    rows = [(f"p{number}", "fold0" if number < 9 else "fold1", LABELS[number % 7 == 0]) for number in range(30)]
    manifest = pd.DataFrame(rows, columns=["patient_id", "fold", "label"])
    table = films_shown.folds(study, manifest)
    assert table.loc["fold0", "positive films"] == "<5"
    assert "withheld" in table.to_numpy()
    assert table["patients"].tolist() == [9, 21]
