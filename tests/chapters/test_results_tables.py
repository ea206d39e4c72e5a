"""The tables of a study against its predictions, recomputed."""

import contextlib
import json

import check_results
import numpy as np
import pandas as pd
import pytest
from generated_films import write_generated
from safetensors.torch import save_file
from sklearn import metrics as reference

from cxrlib.chapters.films.tables import table1
from cxrlib.chapters.generators.quality import Seen, _measured, measure_quality
from cxrlib.chapters.generators.sentences import quality_facts
from cxrlib.chapters.results.tables import gather_predictions, make_tables, statements_path
from cxrlib.errors import InputError
from cxrlib.evaluation.comparison import COMPARED, DIFFERENCE
from cxrlib.evaluation.metrics import METRICS
from cxrlib.features import build_network
from cxrlib.films.audit import prepare_study
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS, ROLES
from cxrlib.generators.quality import left_from_right
from cxrlib.generators.training import GeneratorFilms
from cxrlib.records import write_record
from cxrlib.study import load_study

ARMS = ["baseline", "synthetic", "synthetic-crossfit", "oversampled"]


@pytest.fixture(scope="module")
def finished_study(tmp_path_factory, write_study_in):
    """A tiny study with made-up predictions of every model and synthetic films that resemble the hospital's."""
    settings = {"arms": ARMS, "seeds": 2, "network": "shufflenet_v2_x0_5"}
    root = tmp_path_factory.mktemp("tables")
    study = load_study(write_study_in(root, classifier=settings))
    prepare_study(study)
    random = np.random.default_rng(0)
    for arm in ARMS:
        for seed in range(2):
            for fold in study.classifier_folds(arm):
                _write_predictions(study, arm, seed, fold, random)
    hospital = np.load(study.results.images("hospital", 32))
    labels = pd.read_csv(study.results.manifest("hospital"))["label"].to_numpy()
    for label in LABELS:
        for fold in ("all", *study.fold_names):
            write_generated(study, label, fold, hospital[labels == label][:16])
    make_tables(study)
    return study


def test_table_2_agrees_with_scikit_learn_on_the_predictions(finished_study):
    table = pd.read_csv(finished_study.results.table("table2")).query("operating_point == 'fixed'")
    table = table.set_index(["role", "arm"])
    functions = {
        "accuracy": lambda labels, predicted: reference.accuracy_score(labels, predicted),
        **{
            f"{name}_{label}": lambda labels, predicted, function=function, side=side: function(
                labels, predicted, pos_label=side
            )
            for name, function in (
                ("f1", reference.f1_score),
                ("precision", reference.precision_score),
                ("recall", reference.recall_score),
            )
            for label, side in (("positive", 1), ("negative", 0))
        },
    }
    for role in ("validation", "hospital"):
        for arm in ARMS:
            for metric, function in functions.items():
                values = []
                for seed in range(2):
                    rows = _pooled(finished_study, arm, seed).query("role == @role")
                    labels = (rows["label"] == "positive").astype(int)
                    values.append(function(labels, (rows["p_positive"] >= 0.5).astype(int)))
                assert table.loc[(role, arm), metric] == pytest.approx(np.mean(values), abs=1e-9)


def test_every_arm_is_judged_on_all_hospital_films(finished_study):
    table = pd.read_csv(finished_study.results.table("table2_seeds")).query("role == 'hospital'")
    counts = table[["tp", "fn", "fp", "tn"]].sum(axis=1)
    assert len(table) == 16
    assert set(counts) == {len(pd.read_csv(finished_study.results.manifest("hospital")))}


def test_table_1_counts_the_manifests(finished_study):
    table = table1(finished_study).set_index("role")
    assert table.index.tolist() == ["training", "training + synthetic", "validation", "hospital"]
    assert table.loc["training", ["positive_images", "negative_images"]].tolist() == [12, 20]
    assert table.loc["training + synthetic", ["positive_images", "negative_images"]].tolist() == [28, 36]
    hospital = pd.read_csv(finished_study.results.manifest("hospital"))
    assert table.loc["hospital", "patients"] == hospital["patient_id"].nunique()
    assert table["simulated"].all()
    assert (table["unreadable_files"] == 0).all()


def test_differences_are_those_of_table_2(finished_study):
    keys = ["role", "arm", "operating_point"]
    table = pd.read_csv(finished_study.results.table("table2")).set_index(keys)
    differences = pd.read_csv(finished_study.results.table("differences"))
    assert differences.columns.tolist() == [*keys[:2], *DIFFERENCE]
    assert set(differences["arm"]) == set(ARMS) - {"baseline"}
    assert set(differences["metric"]) == set(COMPARED)
    for row in differences[differences["metric"].isin(METRICS)].itertuples():
        ours, base = (table.loc[(row.role, arm, row.operating_point), row.metric] for arm in (row.arm, "baseline"))
        assert row.difference == pytest.approx(ours - base, abs=1e-9)


def test_all_tables_and_statements_are_there_and_name_no_film(finished_study):
    ids = set()
    for role in ROLES:
        manifest = pd.read_csv(finished_study.results.manifest(role), dtype=str)
        ids |= set(manifest["image_id"]) | set(manifest["patient_id"])
    for name in json.loads(finished_study.results.tables_record.read_text())["tables"]:
        table = pd.read_csv(finished_study.results.table(name), dtype=str)
        assert len(table) or name.startswith("dose"), name
        assert not ids & set(table.to_numpy().ravel()), name
    statements = json.loads(statements_path(finished_study).read_text())
    assert {"answer", "verdict", "primary", "shift", "gain", "leakage", "rebalancing", "price"} <= set(statements)
    assert "simulated" in statements["answer"]


def test_temperature_and_threshold_of_each_model_reach_the_tables(finished_study):
    """A threshold of 0.3 chosen on validation counts by 0.3, and temperature 2 halves the log-odds."""
    predictions = gather_predictions(finished_study)
    rows = predictions.query("arm == 'baseline' and seed == 1 and role == 'hospital'")
    assert (rows["threshold_validation"] == 0.3).all()
    p, calibrated = rows["p_positive"].clip(1e-12, 1 - 1e-12), rows["p_calibrated"]
    np.testing.assert_allclose(np.log(calibrated / (1 - calibrated)), np.log(p / (1 - p)) / 2, atol=1e-9)
    table = pd.read_csv(finished_study.results.table("table2_seeds"))
    chosen = table.query("role == 'hospital' and arm == 'baseline' and seed == 1 and operating_point == 'validation'")
    positive = rows["label"] == "positive"
    assert chosen["tp"].item() == int((positive & (rows["p_positive"] >= 0.3)).sum())
    assert chosen["brier_calibrated"].item() == pytest.approx(np.mean((calibrated - positive) ** 2), abs=1e-12)


def test_finished_tables_are_not_made_again_and_changed_predictions_are_noticed(finished_study):
    stamp = finished_study.results.table("table2").stat().st_mtime_ns
    make_tables(finished_study)
    assert finished_study.results.table("table2").stat().st_mtime_ns == stamp
    path = finished_study.results.predictions("baseline", 0, "all")
    before = path.read_text()
    path.write_text(before.replace("0.", "0.0", 1))
    with pytest.raises(InputError, match=r"baseline/seed0/all/predictions.csv: damaged[^`]*`cxr train-classifier"):
        make_tables(finished_study)
    path.write_text(before)


@contextlib.contextmanager
def other_predictions(study, arm, seed, table):
    """Predictions that a model made, as far as anybody can tell."""
    path, record = study.results.predictions(arm, seed, "all"), study.results.classifier_record(arm, seed, "all")
    before = path.read_text(), record.read_text()
    table.to_csv(path, index=False)
    facts = {key: value for key, value in json.loads(before[1]).items() if key not in ("outputs", "sha256")}
    record.write_text(json.dumps(facts))
    yield
    path.write_text(before[0])
    record.write_text(before[1])


def test_missing_predictions_are_all_named(finished_study):
    hidden = [finished_study.results.predictions(arm, 1, "all") for arm in ("baseline", "oversampled")]
    for path in hidden:
        path.rename(path.with_suffix(".hidden"))
    try:
        with pytest.raises(InputError) as caught:
            make_tables(finished_study)
        for arm in ("baseline", "oversampled"):
            assert f"{arm}/seed1/all/predictions.csv: missing" in str(caught.value)
    finally:
        for path in hidden:
            path.with_suffix(".hidden").rename(path)


def test_predictions_of_another_study_are_refused(finished_study):
    path = finished_study.results.predictions("baseline", 0, "all")
    table = pd.read_csv(path)
    other = table.assign(image_id="x" + table["image_id"].astype(str))
    with (
        other_predictions(finished_study, "baseline", 0, other),
        pytest.raises(InputError, match=r"of which 0 are among the study's"),
    ):
        make_tables(finished_study, force=True)


def test_an_arm_without_the_hospitals_films_is_refused(finished_study):
    path = finished_study.results.predictions("oversampled", 1, "all")
    with (
        other_predictions(finished_study, "oversampled", 1, pd.read_csv(path).query("role == 'validation'")),
        pytest.raises(InputError, match=r"oversampled/seed1: predictions of 0 hospital films"),
    ):
        make_tables(finished_study, force=True)


def test_a_model_without_its_temperature_is_refused(finished_study):
    record = finished_study.results.classifier_record("baseline", 0, "all")
    before = record.read_text()
    facts = json.loads(before)
    for name in ("temperature", "outputs", "sha256"):
        del facts[name]
    record.write_text(json.dumps(facts))
    try:
        with pytest.raises(InputError, match=r"config\.json: found no 'temperature'; train this classifier again"):
            make_tables(finished_study, force=True)
    finally:
        record.write_text(before)


def test_the_check_from_outside_agrees_and_notices_a_changed_figure(finished_study):
    root = finished_study.results.root
    assert check_results.check_table2(root) == []
    assert check_results.check_differences(root) == []
    path = finished_study.results.table("table2")
    before = path.read_text()
    table = pd.read_csv(path)
    table.loc[table.index[-1], "mcc"] += 1e-6
    table.to_csv(path, index=False)
    try:
        (problem,) = check_results.check_table2(root)
        assert "oversampled validation mcc: table" in problem
        assert any("mcc: difference" in problem for problem in check_results.check_differences(root))
    finally:
        path.write_text(before)


def test_quality_finds_copies_of_hospital_films_nearer_than_public_ones(finished_study, monkeypatch):
    monkeypatch.setattr("cxrlib.generators.lungs.STEPS", 2)
    measure_quality(finished_study)
    table = pd.read_csv(finished_study.results.table("quality"))
    columns = ["label", "fold", "comparison", "measure", "estimate", "low", "high", "images_each"]
    assert table.columns.tolist() == [*columns, "hospital_films", "features"]
    assert table["fold"].unique().tolist() == ["all", "fold0", "fold1"]
    assert len(table) == 2 * 3 * 3 * 7
    assert (table.groupby(["label", "fold"])["images_each"].nunique() == 1).all()
    assert (table["low"] <= table["high"]).sum() == table["estimate"].notna().sum()
    for _, rows in table.query("fold == 'all'").groupby("label"):
        found = rows.set_index(["measure", "comparison"])["estimate"]
        for distance in ("kid", "frechet"):
            assert found[distance, "synthetic-hospital"] < found[distance, "public-hospital"]
            assert found[distance, "hospital-halves"] < found[distance, "public-hospital"]
        for share in ("precision", "recall", "coverage"):
            # A ball to the fifth of nine films is wide: public films may well lie in it.
            assert found[share, "synthetic-hospital"] > 0.9 * found[share, "hospital-halves"] > 0.6
            assert found[share, "synthetic-hospital"] > found[share, "public-hospital"]
    by_pixels = table["measure"] == "sides"
    assert table.loc[~by_pixels, "features"].str.contains("efficientnet_lite0, ImageNet weights").all()
    assert (table.loc[by_pixels, "features"] == "pixels, brought to 16").all()
    assert not set(pd.read_csv(finished_study.results.manifest("hospital"))["patient_id"]) & set(
        table.astype(str).stack()
    )


def test_mirrored_films_are_seen_by_the_measure_of_sides(finished_study):
    films = load_image_set(finished_study, "hospital", 32).images
    features = np.random.default_rng(0).normal(size=(len(films) // 2, 4))
    half, plain, mirrored = (
        Seen(features, left_from_right(part)) for part in (films[::2], films[1::2], films[1::2, :, ::-1])
    )
    assert _measured(half, mirrored)["sides"] > 3 * _measured(half, plain)["sides"]


def test_a_second_judge_measures_beside_the_first_and_is_named(finished_study, monkeypatch, tmp_path):
    weights = tmp_path / "chest.safetensors"
    save_file(build_network("shufflenet_v2_x0_5", "none", 2, seed=9).state_dict(), weights)
    gan = finished_study.gan.model_copy(
        update={"second_judge": "shufflenet_v2_x0_5", "second_judge_weights": str(weights)}
    )
    monkeypatch.setattr("cxrlib.generators.lungs.STEPS", 2)
    monkeypatch.setattr("cxrlib.chapters.generators.quality.DRAWS", 3)
    measure_quality(finished_study.model_copy(update={"gan": gan}), force=True)
    table = pd.read_csv(finished_study.results.table("quality"))
    second = table[table["measure"] == "kid_second"]
    assert len(second) == 2 * 3 * 3
    assert second["features"].str.contains(r"^shufflenet_v2_x0_5, weights from chest\.safetensors \(SHA-256 ").all()
    assert not table.loc[table["measure"] == "kid", "features"].str.contains("chest").any()
    assert second["estimate"].notna().all()
    assert not set(second["estimate"]) & set(table.loc[table["measure"] == "kid", "estimate"])
    said = quality_facts(table)["second_judge"]
    assert said.startswith("A second judge (shufflenet_v2_x0_5, weights from chest.safetensors (SHA-256 ")
    alone = quality_facts(table[table["measure"] != "kid_second"])
    assert alone["second_judge"] == "The study names no second judge"


def test_quality_leaves_out_what_too_few_films_can_not_say(finished_study):
    """Half a fold of a label has 4 films: enough for a distance, too few for five neighbours."""
    table = pd.read_csv(finished_study.results.table("quality"))
    few = table[table["images_each"] <= 5]
    assert len(few)
    neighbours = few["measure"].isin(["precision", "recall", "density", "coverage"])
    assert few.loc[neighbours, ["estimate", "low", "high"]].isna().all(axis=None)
    assert few.loc[~neighbours, ["estimate", "low", "high"]].notna().all(axis=None)


def test_quality_compares_with_films_held_out_from_training_where_there_are_enough(finished_study, monkeypatch):
    """The generators of `all` saw half of the hospital's films; those of a fold none of that fold."""
    films = load_image_set(finished_study, "hospital", 32)

    def trained_on(study, label, fold):
        rows = (films.manifest["label"] == label).to_numpy() & (np.arange(len(films)) % 2 == 0)
        return GeneratorFilms(films.select(rows), films.select(~rows))

    monkeypatch.setattr("cxrlib.chapters.generators.quality.generator_films", trained_on)
    read = []

    def features(study, images):
        read.append({film.tobytes() for film in images})
        return np.asarray(images, dtype=float).reshape(len(images), -1)[:, ::37]

    monkeypatch.setattr("cxrlib.chapters.generators.quality.film_features", features)
    monkeypatch.setattr("cxrlib.chapters.generators.quality.DRAWS", 3)
    kinds = {}
    for fewest in (8, 1000):
        monkeypatch.setattr("cxrlib.chapters.generators.quality.FEWEST_UNSEEN_FILMS", fewest)
        measure_quality(finished_study, force=True)
        table = pd.read_csv(finished_study.results.table("quality"))
        kinds[fewest] = table.groupby("fold")["hospital_films"].unique().str.join(" ").to_dict()
    assert kinds[8] == {"all": "held-out", "fold0": "unused", "fold1": "unused"}
    assert kinds[1000] == {"all": "trained-on", "fold0": "unused", "fold1": "unused"}
    assert table.set_index("fold").loc["fold0", "images_each"].max() < len(films) // 4


def _pooled(study, arm, seed):
    return pd.concat([pd.read_csv(study.results.predictions(arm, seed, fold)) for fold in study.classifier_folds(arm)])


def _write_predictions(study, arm, seed, fold, random):
    parts = []
    for role in ("validation", "hospital"):
        manifest = pd.read_csv(study.results.manifest(role), dtype=str, keep_default_na=False)
        if role == "hospital" and fold != "all":
            manifest = manifest[manifest["fold"] == fold]
        p_positive = np.clip(0.4 + 0.2 * (manifest["label"] == "positive") + random.normal(0, 0.2, len(manifest)), 0, 1)
        columns = manifest[["image_id", "patient_id"]]
        parts.append(columns.assign(role=role, label=manifest["label"], p_positive=p_positive))
    path = study.results.predictions(arm, seed, fold)
    path.parent.mkdir(parents=True)
    pd.concat(parts).to_csv(path, index=False)
    facts = {"temperature": 1.0 + seed, "threshold_validation": 0.5 - 0.2 * seed}
    record = study.results.classifier_record(arm, seed, fold)
    write_record(record, {}, {}, 0.0, outputs=[path], **facts)
