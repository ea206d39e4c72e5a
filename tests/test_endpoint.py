"""The primary endpoint is declared before results, and stays."""

import pytest

from cxrlib.endpoint import freeze_endpoint
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.study import load_study

ARMS = ["baseline", "synthetic", "synthetic-crossfit"]
OTHER = {"arm": "synthetic", "measures": ["recall_positive"]}


@pytest.fixture
def declare(write_study_in, tmp_path):
    """A study with this endpoint in a folder that keeps its results."""

    def load(endpoint=None, arms=ARMS):
        more = {"primary_endpoint": endpoint} if endpoint else {}
        return load_study(write_study_in(tmp_path, classifier={"arms": arms}, **more))

    return load


def open_hospital_films(study):
    path = study.results.openings("baseline", 0, "all")
    path.parent.mkdir(parents=True)
    path.write_text("time,role\n2026-01-01,hospital\n", encoding="utf-8")


def test_it_is_frozen_with_its_hash_and_stays_as_it_is(declare):
    frozen = freeze_endpoint(declare())
    assert (frozen["arm"], frozen["reference"]) == ("synthetic-crossfit", "baseline")
    assert frozen["measures"] == ["roc_auc", "balanced_accuracy"]
    assert len(frozen["sha256"]) == 64
    assert frozen["declared_before_opening"]
    study = declare()
    open_hospital_films(study)
    assert freeze_endpoint(study) == frozen == read_json(study.results.endpoint)


def test_it_may_change_until_a_hospital_film_is_opened_and_never_after(declare):
    first = freeze_endpoint(declare())
    study = declare(OTHER)
    second = freeze_endpoint(study)
    assert second["sha256"] != first["sha256"]
    open_hospital_films(study)
    with pytest.raises(InputError, match=r"opened under another one, recall_positive of synthetic against baseline"):
        freeze_endpoint(declare())
    assert freeze_endpoint(declare(OTHER)) == second


def test_a_declaration_after_the_results_is_marked(declare):
    study = declare()
    open_hospital_films(study)
    assert not freeze_endpoint(study)["declared_before_opening"]


def test_a_study_may_lose_the_endpoints_arm_but_not_choose_another(declare):
    frozen = freeze_endpoint(declare())
    study = declare(arms=["baseline", "oversampled"])
    open_hospital_films(study)
    assert study.endpoint is None
    assert freeze_endpoint(study) == frozen


def test_arms_that_are_not_trained_are_refused(declare):
    with pytest.raises(InputError, match=r"primary_endpoint: found synthetic, not among the study's arms"):
        declare(OTHER, arms=["baseline", "oversampled"])


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ({"arm": "baseline"}, "expected two arms"),
        ({"measures": ["roc_auc", "roc_auc"]}, "expected each measure once"),
        ({"measures": []}, "at least 1 item"),
    ],
)
def test_an_endpoint_that_measures_nothing_is_refused(declare, endpoint, message):
    with pytest.raises(InputError, match=message):
        declare(endpoint)
