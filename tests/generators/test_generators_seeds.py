"""Several generators of a label and fold: a source of chance of their own, and nothing new where there is one."""

import numpy as np
import pandas as pd
import pytest
from audited import write_audit
from generated_films import write_generated

from cxrlib.chapters.results.tables import gather_predictions
from cxrlib.classifiers.composition import compose_training_films
from cxrlib.classifiers.prediction import PREDICTION_COLUMNS
from cxrlib.errors import InputError
from cxrlib.evaluation.comparison import contrasts, table2
from cxrlib.evaluation.resampled import resample_all
from cxrlib.evaluation.scores import collect_scores
from cxrlib.films.images import load_manifest
from cxrlib.films.preparation import prepare_role
from cxrlib.films.settings import LABELS
from cxrlib.generators.settings import fold_of, start_of
from cxrlib.generators.training import generator_films, train_generator
from cxrlib.records import write_record
from cxrlib.study import load_study
from cxrlib.units import units

ARMS = ["baseline", "oversampled", "synthetic-crossfit"]


def study_of(write_study_in, folder, generators=2, runs=4, **gan):
    classifier = {"arms": ARMS, "seeds": runs, "network": "shufflenet_v2_x0_5"}
    return load_study(write_study_in(folder, classifier=classifier, gan={"seeds": generators, **gan}))


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    """Films of each generator have a grey level of their own."""
    study = study_of(write_study_in, tmp_path_factory.mktemp("seeds"))
    for role in study.roles:
        prepare_role(study, role)
    write_audit(study)
    for number, fold in enumerate(study.generated_folds):
        for label in LABELS:
            write_generated(study, label, fold, np.full((8, 32, 32), 10 * number + 5, np.uint8))
    return study


def test_names_of_one_generator_stay_and_further_ones_have_a_number(write_study_in, tmp_path):
    one = study_of(write_study_in, tmp_path, generators=1, initialise_from="public", public_images=96)
    assert one.generator_folds == ("public", "all", "fold0", "fold1")
    assert {one.generators_of("synthetic-crossfit", seed, "fold0") for seed in range(4)} == {"fold0"}
    two = study_of(write_study_in, tmp_path, generators=2, initialise_from="public", public_images=96)
    # No classifier learns from a second generator of all patients here, so none is trained.
    further = ("public-generator2", "fold0-generator2", "fold1-generator2")
    assert two.generator_folds == (*one.generator_folds, *further)
    assert two.generated_folds == ("all", "fold0", "fold1", *further[1:])
    assert [two.generators_of("synthetic-crossfit", seed, "fold0") for seed in range(3)] == [
        "fold0",
        "fold0-generator2",
        "fold0",
    ]
    assert two.generators_of("oversampled", 1, "all") == "all"
    assert (start_of("fold0-generator2"), fold_of("fold0-generator2")) == ("public-generator2", "fold0")
    (unit,) = [unit for unit in units(two, "generator") if unit.key == ("positive", "fold1-generator2", "")]
    assert "generator/positive-public-generator2" in {other.id for other in unit.before(two)}


def test_each_generator_needs_a_run(write_study_in, tmp_path):
    with pytest.raises(InputError, match=r"gan\.seeds: found 3 generators .* classifier\.seeds: 2"):
        study_of(write_study_in, tmp_path, generators=3, runs=2)


def test_runs_take_turns_with_the_generators(study):
    greys = {}
    for seed in range(4):
        films = compose_training_films(study, "synthetic-crossfit", seed, "fold1")
        greys[seed] = int(films.images[films.public : films.public + films.synthetic].mean())
        names = {unit.id for unit in _unit(study, seed).before(study) if unit.stage.name == "synthetic"}
        assert names == {
            f"synthetic/{label}-{study.generators_of('synthetic-crossfit', seed, 'fold1')}" for label in LABELS
        }
    places = [study.generated_folds.index(name) for name in ("fold1", "fold1-generator2")]
    assert list(greys.values()) == [10 * place + 5 for place in places] * 2


def test_the_second_generator_sees_the_same_films_and_becomes_another(study):
    films = [generator_films(study, "positive", fold).training for fold in ("fold1", "fold1-generator2")]
    assert films[0].manifest["image_id"].tolist() == films[1].manifest["image_id"].tolist()
    assert "fold1" not in set(films[0].manifest["fold"])
    records = [train_generator(study, "positive", fold) for fold in ("fold1", "fold1-generator2")]
    assert records[0]["generator_sha256"] != records[1]["generator_sha256"]
    # A record knows nothing of how many generators there are: one more leaves the others as they are.
    assert "seeds" not in records[0]["settings"]["gan"]


def test_intervals_count_generators_and_not_the_runs_that_share_them(study):
    random = np.random.default_rng(0)
    for unit in units(study, "classifier"):
        _write_predictions(study, *unit.key, random)
    scores = collect_scores(gather_predictions(study), "hospital")
    resampled = {"hospital": resample_all(scores, seed=1, resamples=40)}
    table = table2(resampled)
    assert dict(zip(table["arm"], table["runs"], strict=True)) == {
        "baseline": 4, "oversampled": 4, "synthetic-crossfit": 2,
    }  # fmt: skip
    assert set(table["seeds"]) == {4}
    found = contrasts(resampled, [("synthetic-crossfit", "baseline"), ("oversampled", "baseline")])
    assert found.groupby("arm")["runs"].unique().map(list).to_dict() == {"synthetic-crossfit": [2], "oversampled": [4]}


def _unit(study, seed):
    return next(unit for unit in units(study, "classifier") if unit.key == ("synthetic-crossfit", seed, "fold1"))


def _write_predictions(study, arm, seed, fold, random):
    parts = []
    for role in ("validation", "hospital"):
        films = load_manifest(study, role)
        films = films if fold == "all" or role == "validation" else films[films["fold"] == fold]
        p = np.clip(0.5 + 0.2 * (films["label"] == "positive") + random.normal(0, 0.2, len(films)), 0, 1)
        parts.append(films[["image_id", "patient_id", "label"]].assign(role=role, p_positive=p))
    path = study.results.predictions(arm, seed, fold)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.concat(parts)[list(PREDICTION_COLUMNS)].to_csv(path, index=False)
    facts = {"temperature": 1.0, "threshold_validation": 0.5}
    write_record(study.results.classifier_record(arm, seed, fold), {}, {}, 1.0, **facts)
