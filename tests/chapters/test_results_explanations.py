"""What the classifiers of a finished study looked at: numbers recomputed, films withheld where they must be."""

import json

import numpy as np
import pandas as pd
import pytest

from cxrlib.chapters.results.attention import ATTENTION_COLUMNS, RUN_COLUMNS, _interval
from cxrlib.chapters.results.explanations import FAILURES_SHOWN, explain_study, shown_arm
from cxrlib.classifiers.explanation import attention_maps, attention_stage, mass_inside
from cxrlib.classifiers.prediction import load_classifier, predict_probabilities, read_predictions
from cxrlib.errors import InputError
from cxrlib.files import read_json
from cxrlib.films.images import load_image_set, load_masks
from cxrlib.study import load_study


@pytest.fixture(scope="module")
def study(trained_study):
    return trained_study


def shown(study):
    folder = study.results.explanations_record.parent
    return pd.read_csv(folder / "films.csv"), np.load(folder / "films.npy"), np.load(folder / "maps.npy")


def test_share_inside_the_lungs_is_that_of_the_maps_recomputed(study):
    table = pd.read_csv(study.results.table("attention"))
    assert table.columns.tolist() == list(ATTENTION_COLUMNS)
    assert table["arm"].unique().tolist() == list(study.classifier.arms)[:-1]
    films = load_image_set(study, "hospital", 32)
    masks = load_masks(study, "hospital", 32, "lungs")
    shares = []
    for seed in study.classifier_seeds("baseline"):
        network, statistics = load_classifier(study.results.classifier("baseline", seed, "all"))
        answers = (predict_probabilities(network, films.images, statistics) >= 0.5).astype(int)
        stage, _ = attention_stage(network, study.classifier.network, 32)
        shares.append(mass_inside(attention_maps(network, stage, films.images, statistics, answers), masks))
    for label, value in (("negative", 0), ("positive", 1)):
        row = table[(table["arm"] == "baseline") & (table["region"] == "lungs") & (table["label"] == label)].iloc[0]
        chosen = np.array(shares)[:, films.labels == value]
        known = np.isfinite(chosen).any(axis=0)
        assert row["films"] == known.sum()
        assert row["estimate"] == pytest.approx(np.nanmean(chosen[:, known], axis=1).mean(), abs=1e-4)
        assert row["chance"] == pytest.approx(masks[films.labels == value][known].mean())
        assert row["low"] <= row["estimate"] <= row["high"]


def test_attention_is_as_unsure_as_its_runs_are_apart():
    """Runs that give 31 and 43 % of their attention to every film: the films alone would make that a sure 37 %."""
    patients, shares = np.repeat(np.arange(30), 2), np.full((2, 60), 0.31)
    shares[1] = 0.43
    shares[0, :5] = np.nan
    estimate, low, high = _interval(shares, patients, (0, 1), 1)
    assert estimate == pytest.approx(0.37)
    assert low < 0.31
    assert high > 0.43
    estimate, low, high = _interval(np.where(np.isnan(shares), np.nan, 0.31), patients, (0, 1), 1)
    assert (low, high) == (pytest.approx(estimate), pytest.approx(0.31))


def test_attention_is_told_apart_by_answer_and_run_beside_an_untrained_network(study):
    table = pd.read_csv(study.results.table("attention_runs"))
    assert table.columns.tolist() == list(RUN_COLUMNS)
    assert set(table["arm"]) == {"untrained", *(arm for arm in study.classifier.arms if arm != "source-rule")}
    lungs = table[(table["region"] == "lungs") & (table["arm"] == "baseline")]
    films = load_image_set(study, "hospital", 32)
    masks = load_masks(study, "hospital", 32, "lungs")
    network, statistics = load_classifier(study.results.classifier("baseline", 1, "all"))
    p_positive = predict_probabilities(network, films.images, statistics)
    stage, _ = attention_stage(network, "shufflenet_v2_x0_5", 32)
    maps = attention_maps(network, stage, films.images, statistics, (p_positive >= 0.5).astype(int))
    shares, right = mass_inside(maps, masks), (p_positive >= 0.5) == films.labels
    for row in lungs[lungs["seed"] == 1].dropna(subset="estimate").itertuples():
        chosen = (right == (row.answer == "right")) & (films.manifest["label"] == row.label).to_numpy()
        assert row.films == chosen.sum()
        assert row.empty_maps == np.isnan(shares[chosen]).sum()
        assert row.estimate == pytest.approx(np.nanmean(shares[chosen]), abs=1e-6)
    assert lungs.dropna(subset="films").groupby(["seed", "label"])["films"].sum().max() <= len(films)
    main = pd.read_csv(study.results.table("attention"))
    assert main["untrained"].between(0, 1).all()
    assert (main["empty_maps"] >= 0).all()


def test_failures_are_the_wrong_answers_most_confident_first(study):
    table, films, maps = shown(study)
    arm = shown_arm(study)
    assert arm == "synthetic-crossfit"
    answers = pd.concat(
        read_predictions(study.results.predictions(arm, 0, fold)).query("role == 'hospital'")
        for fold in study.classifier_folds(arm)
    )
    missed = answers.query("label == 'positive' and p_positive < 0.5")["p_positive"].sort_values()
    alarms = answers.query("label == 'negative' and p_positive >= 0.5")["p_positive"].sort_values(ascending=False)
    for panel, expected in (("false negative", missed), ("false positive", alarms)):
        found = table[table["panel"] == panel]["p_positive"]
        np.testing.assert_allclose(found, expected.head(FAILURES_SHOWN), atol=1e-5)
    assert len(table) == len(films) == len(maps)
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_figure_two_has_a_hospital_positive_and_a_synthetic_one_with_both_answers(study):
    table, films, _ = shown(study)
    chosen = table[table["panel"].isin(["real", "synthetic"])]
    assert chosen["panel"].tolist() == ["real", "synthetic"] * 2
    assert chosen["arm"].unique().tolist() == ["baseline", "synthetic-crossfit"]
    real = films[chosen.index[0]]
    hospital = load_image_set(study, "hospital", 32)
    at = [row for row, film in enumerate(hospital.images) if np.array_equal(film, real)]
    assert hospital.manifest["label"].iloc[at].tolist() == ["positive"]
    given = read_predictions(study.results.predictions("baseline", 0, "all")).set_index("image_id")["p_positive"]
    assert chosen["p_positive"].iloc[0] == pytest.approx(given[hospital.manifest["image_id"].iloc[at[0]]], abs=1e-5)
    assert (chosen["answer"] == np.where(chosen["p_positive"] >= 0.5, "positive", "negative")).all()


def test_it_is_the_same_when_made_again_and_loaded_when_finished(study):
    record = study.results.explanations_record
    before = {path.name: path.read_bytes() for path in record.parent.iterdir() if path != record}
    table = study.results.table("attention").read_bytes()
    done = []
    explain_study(study, progress=lambda *facts: done.append(facts))
    assert done == []
    explain_study(study, force=True, progress=lambda *facts: done.append(facts))
    assert done[-1] == (16, 16)
    assert {path.name: path.read_bytes() for path in record.parent.iterdir() if path != record} == before
    assert study.results.table("attention").read_bytes() == table


def test_no_id_and_no_film_of_a_private_hospital_gets_into_it(study, tmp_path):
    copy = _copy_of(study, tmp_path, private=["hospital"])
    explain_study(copy)
    table, films, _ = shown(copy)
    assert set(table["panel"]) == {"real", "synthetic"}
    assert table.loc[table["panel"] == "real", "source"].unique().tolist() == ["validation"]
    hospital = load_image_set(copy, "hospital", 32)
    secret = {film.tobytes() for film in hospital.images}
    assert not secret & {film.tobytes() for film in films}
    written = (
        copy.results.table("attention").read_text()
        + (copy.results.explanations_record.parent / "films.csv").read_text()
    )
    names = [*hospital.manifest["image_id"], *hospital.manifest["patient_id"]]
    assert not [name for name in names if str(name) in written]


def test_where_every_role_is_private_a_simulated_film_stands_for_the_real_one(study, tmp_path):
    copy = _copy_of(study, tmp_path, private=["training", "validation", "hospital"])
    explain_study(copy)
    table, films, _ = shown(copy)
    real = table[table["panel"] == "real"]
    assert real["source"].unique().tolist() == ["stand-in"]
    assert real["origin"].unique().tolist() == ["simulated"]
    known = [
        film.tobytes()
        for role in ("training", "validation", "hospital")
        for film in load_image_set(copy, role, 32).images
    ]
    assert films[real.index[0]].tobytes() not in known


def test_a_missing_classifier_is_named_with_the_command_that_trains_it(study):
    record = study.results.classifier_record("oversampled", 1, "all")
    hidden = record.rename(record.with_suffix(".hidden"))
    try:
        with pytest.raises(InputError, match=r"train-classifier \S+ --arm oversampled --seed 1 --fold all"):
            explain_study(study)
    finally:
        hidden.rename(record)


def test_a_retrained_classifier_is_noticed(study):
    record = study.results.classifier_record("baseline", 0, "all")
    before = record.read_text()
    record.write_text(json.dumps(read_json(record) | {"model_sha256": "0"}))
    try:
        with pytest.raises(InputError, match="baseline/seed0/all"):
            explain_study(study)
    finally:
        record.write_text(before)


def _copy_of(study, folder, private):
    """The same finished study with films of some roles not publishable."""
    import shutil

    import yaml

    values = yaml.safe_load(study.file.read_text())
    for role in private:
        values["data"][role]["publishable"] = False
    (folder / "studies").mkdir()
    (folder / "studies" / "tiny.yaml").write_text(yaml.safe_dump(values))
    shutil.copytree(study.results.root, folder / "results" / "tiny")
    shutil.rmtree(folder / "results" / "tiny" / "explanations")
    return load_study(folder / "studies" / "tiny.yaml")
