"""The recipe, the arms, and a run that ends the same however often it is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch

from cxrlib.classifiers import fitting, stepping, training
from cxrlib.classifiers.composition import TrainingFilms, compose_training_films, drawn_again
from cxrlib.classifiers.fitting import TrainingRun, batches, fit, one_cycle_learning_rates
from cxrlib.classifiers.network import PixelStatistics, pixel_statistics
from cxrlib.classifiers.prediction import load_classifier, predict_probabilities, read_predictions
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.classifiers.training import train_classifier
from cxrlib.errors import InputError
from cxrlib.films.images import load_image_set
from cxrlib.films.manifest import read_manifest_csv
from cxrlib.study import load_study


def test_defaults_are_the_papers_recipe():
    settings = ClassifierSettings()
    assert (settings.network, settings.weights, settings.image_size) == ("resnet50", "imagenet", 224)
    assert (settings.batch_size, settings.frozen_epochs, settings.epochs) == (16, 5, 30)
    assert (settings.frozen_learning_rate, settings.maximum_learning_rate) == (0.001, 0.006)
    assert (settings.rotation_degrees, settings.horizontal_flip) == (5.0, True)


@pytest.mark.parametrize("steps", [1, 7, 300])
def test_one_cycle_policy_is_torchs_own(steps):
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
    policy = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.006, total_steps=steps)
    expected = []
    for _ in range(steps):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        policy.step()
    assert one_cycle_learning_rates(steps, 0.006) == pytest.approx(expected, rel=1e-12)


def test_every_step_uses_the_recipes_rate_betas_and_parameters(prepared_study, monkeypatch):
    steps = []

    class Recorder(torch.optim.Adam):
        def step(self, *arguments, **options):
            (group,) = self.param_groups
            steps.append((group["lr"], tuple(group["betas"]), len(group["params"]), group["weight_decay"]))
            return super().step(*arguments, **options)

    monkeypatch.setattr(torch.optim, "Adam", Recorder)
    run = _run(prepared_study)
    network = fit(run)
    per_epoch = run.steps_per_epoch
    every = len(list(network.parameters()))
    expected = [0.001] * per_epoch + one_cycle_learning_rates(2 * per_epoch, 0.006)
    assert [rate for rate, *_ in steps] == expected
    assert {betas for _, betas, *_ in steps} == {(0.9, 0.999)}
    assert [count for _, _, count, _ in steps] == [2] * per_epoch + [every] * (2 * per_epoch)
    assert {decay for *_, decay in steps} == {0}


def test_draws_differ_within_a_batch_stay_in_range_and_change_with_the_epoch(prepared_study, monkeypatch):
    drawn = []

    def recorded(pixels, angles, flipped):
        drawn.append((angles.clone(), flipped.clone()))
        return pixels

    monkeypatch.setattr(stepping, "augment", recorded)
    run = _run(prepared_study)
    fit(run)
    angles = torch.cat([angles for angles, _ in drawn]).reshape(run.total_epochs, -1)
    flipped = torch.cat([flipped for _, flipped in drawn]).float()
    assert angles.abs().max() <= 5.0
    assert angles.abs().max() > 4.0
    assert len(drawn[0][0].unique()) == len(drawn[0][0])
    assert not torch.equal(angles[0], angles[1])
    assert 0.3 < flipped.mean() < 0.7


def test_last_film_is_never_alone_in_a_batch():
    parts = batches(torch.arange(33), 16)
    assert [len(part) for part in parts] == [16, 17]
    assert torch.equal(torch.cat(parts), torch.arange(33))


def test_a_network_learns_what_can_be_learnt(prepared_study):
    """Bright against dark films: training, normalisation and prediction agree on which output is which."""
    labels = np.arange(64) % 2
    films = np.random.default_rng(0).integers(0, 60, (64, 32, 32)) + 150 * labels[:, None, None]
    films = TrainingFilms(films.astype(np.uint8), labels, np.arange(64), 64)
    recipe = {"network": "shufflenet_v2_x0_5", "epochs": 12, "maximum_learning_rate": 0.003}
    settings = prepared_study.classifier.model_copy(update=recipe)
    statistics = pixel_statistics(films.images)
    network = fit(TrainingRun(settings, (1, "test", 0), films, statistics))
    p_positive = predict_probabilities(network, films.images, statistics)
    assert ((p_positive >= 0.5) == labels).mean() > 0.95


def test_one_seed_starts_every_arm_alike(prepared_study, monkeypatch):
    states = []
    build = fitting.build_classifier

    def recorded(*arguments):
        network = build(*arguments)
        states.append({name: value.clone() for name, value in network.state_dict().items()})
        raise InterruptedError

    monkeypatch.setattr(fitting, "build_classifier", recorded)
    for arm, seed in (("baseline", 0), ("synthetic", 0), ("baseline", 1)):
        with pytest.raises(InterruptedError):
            train_classifier(prepared_study, arm, seed, "all", force=True)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["conv5.0.weight"], states[2]["conv5.0.weight"])


def test_baseline_trains_on_public_films_only(prepared_study):
    films = compose_training_films(prepared_study, "baseline", 0, "all")
    public = load_image_set(prepared_study, "training", 32)
    np.testing.assert_array_equal(films.images, public.images)
    assert films.counts() == {"negative": 20, "positive": 12}
    assert films.synthetic_counts() == {"negative": 0, "positive": 0}


@pytest.mark.parametrize(
    ("arm", "fold", "greys"),
    [
        ("synthetic", "all", {0: 10, 1: 20}),
        ("synthetic-crossfit", "fold0", {0: 30, 1: 40}),
        ("synthetic-crossfit", "fold1", {0: 50, 1: 60}),
    ],
)
def test_synthetic_arms_add_the_films_of_their_own_folds_generators_only(prepared_study, arm, fold, greys):
    films = compose_training_films(prepared_study, arm, 0, fold)
    added, labels = films.images[32:], films.labels[32:]
    assert len(added) == 12
    for label, grey in greys.items():
        assert np.unique(added[labels == label]).tolist() == [grey]
    assert films.synthetic_counts() == {"negative": 6, "positive": 6}
    assert sorted(films.rows) == list(range(44))


def test_oversampled_arm_has_the_synthetic_arms_proportions_from_public_films(prepared_study):
    synthetic = compose_training_films(prepared_study, "synthetic", 0, "all").counts()
    films = compose_training_films(prepared_study, "oversampled", 0, "all")
    found = films.counts()
    assert len(films.images) == 32
    assert set(films.rows) == set(range(32))
    assert found["negative"] == 20
    assert found["positive"] / found["negative"] == pytest.approx(
        synthetic["positive"] / synthetic["negative"], abs=0.03
    )
    other = compose_training_films(prepared_study, "oversampled", 1, "all")
    assert not np.array_equal(films.rows, other.rows)


def test_where_positives_abound_it_is_negatives_that_are_drawn_again():
    labels = np.array([0] * 10 + [1] * 30)
    again = drawn_again(labels, (20, 20), torch.Generator().manual_seed(0))
    assert len(again) == 8
    assert set(labels[again]) == {0}


def test_a_finished_model_predicts_validation_and_hospital_films(prepared_study):
    record = train_classifier(prepared_study, "baseline", 0, "all")
    folder = prepared_study.results.classifier("baseline", 0, "all")
    table = read_predictions(folder / "predictions.csv")
    for role in ("validation", "hospital"):
        manifest = read_manifest_csv(prepared_study.results.manifest(role))
        rows = table[table["role"] == role]
        assert rows["image_id"].tolist() == manifest["image_id"].tolist()
        assert rows["label"].tolist() == manifest["label"].tolist()
    assert record["weights"] == "random weights"
    assert record["training_images"] == {"negative": 20, "positive": 12}
    assert record["steps"] == 6
    log = pd.read_csv(folder / "log.csv")
    assert log["phase"].tolist() == ["frozen", "all", "all"]
    assert not (folder / "checkpoint").exists()

    network, statistics = load_classifier(folder)
    validation = load_image_set(prepared_study, "validation", 32)
    again = predict_probabilities(network, validation.images, statistics)
    np.testing.assert_allclose(again, table.loc[table["role"] == "validation", "p_positive"], atol=1e-5)


def test_a_finished_model_is_not_trained_again(prepared_study, monkeypatch):
    first = train_classifier(prepared_study, "baseline", 0, "all")
    monkeypatch.setattr(training, "fit", None)
    assert train_classifier(prepared_study, "baseline", 0, "all") == first


def test_a_crossfit_model_predicts_the_hospital_films_of_its_fold_only(prepared_study):
    train_classifier(prepared_study, "synthetic-crossfit", 0, "fold1")
    table = read_predictions(prepared_study.results.predictions("synthetic-crossfit", 0, "fold1"))
    manifest = read_manifest_csv(prepared_study.results.manifest("hospital"))
    expected = manifest.loc[manifest["fold"] == "fold1", "image_id"].tolist()
    assert table.loc[table["role"] == "hospital", "image_id"].tolist() == expected
    assert (table["role"] == "validation").sum() == 16


def test_hospital_films_are_opened_once_after_the_last_epoch(prepared_study, monkeypatch):
    events = []
    load = training.load_image_set

    def recorded(study, role, size):
        events.append(role)
        return load(study, role, size)

    monkeypatch.setattr(training, "load_image_set", recorded)
    train_classifier(
        prepared_study, "baseline", 1, "all", force=True, progress=lambda done, total, facts: events.append(done)
    )
    assert events.count("hospital") == 1
    assert events.index("hospital") > events.index(3)


def test_killed_at_any_moment_it_ends_with_the_same_bits(prepared_study, tmp_path):
    """A process that kills itself with SIGKILL after each epoch, started until done, against one that ran through."""
    folder = prepared_study.results.classifier("oversampled", 0, "all")
    shutil.rmtree(folder, ignore_errors=True)
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from cxrlib.classifiers.training import train_classifier
        from cxrlib.study import load_study
        kill = lambda done, total, facts: os.kill(os.getpid(), signal.SIGKILL)
        train_classifier(load_study(sys.argv[1]), "oversampled", 0, "all", progress=kill)
        """)
    )
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        assert len(codes) < 5
        command = [sys.executable, str(script), str(prepared_study.file)]
        codes.append(subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode)
    assert codes == [-signal.SIGKILL] * 3 + [0]
    names = ("model.safetensors", "predictions.csv")
    interrupted = {name: (folder / name).read_bytes() for name in names}
    epochs = pd.read_csv(folder / "log.csv")["epoch"].tolist()
    train_classifier(prepared_study, "oversampled", 0, "all", force=True)
    assert epochs == [1, 2, 3]
    for name in names:
        assert (folder / name).read_bytes() == interrupted[name], name


def test_a_checkpoint_of_other_settings_is_refused_and_stays_as_it_is(prepared_study, tmp_path):
    fit(_run(prepared_study, folder=tmp_path, fingerprint={"settings": {"epochs": 2}}))
    path = tmp_path / "checkpoint" / "state.safetensors"
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"checkpoint of other settings.*\n.*settings\.epochs: there 2, now 3\n.*--force"
    ):
        fit(_run(prepared_study, folder=tmp_path, fingerprint={"settings": {"epochs": 3}}))
    assert path.read_bytes() == before


def test_finished_with_other_settings_says_which(prepared_study):
    train_classifier(prepared_study, "baseline", 0, "all")
    changed = prepared_study.model_copy(
        update={"classifier": prepared_study.classifier.model_copy(update={"epochs": 9})}
    )
    changed._root = prepared_study.root
    with pytest.raises(InputError, match=r"settings\.classifier\.epochs: there 2, now 9"):
        train_classifier(changed, "baseline", 0, "all")


@pytest.mark.parametrize(
    ("arm", "seed", "fold", "message"),
    [
        ("basline", 0, "all", "arm: found `basline`, expected one of"),
        ("baseline", 2, "all", "seed: found 2, expected 0 to 1"),
        ("synthetic-crossfit", 0, "all", "has models for: fold0, fold1"),
    ],
)
def test_a_model_that_the_study_lacks_is_refused(prepared_study, arm, seed, fold, message):
    with pytest.raises(InputError, match=message):
        train_classifier(prepared_study, arm, seed, fold)


def test_missing_upstream_says_what_to_run(tmp_path, write_study_in):
    study = load_study(write_study_in(tmp_path))
    with pytest.raises(InputError, match=r"training films are not prepared; run `cxr check tiny`"):
        train_classifier(study, "baseline", 0, "all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_positive": ["0.1", "nan"]}, "line 3: p_positive: found .*expected a number from 0 to 1"),
        ({"p_positive": ["0.1", "2"]}, "line 3: p_positive"),
        ({"label": ["negative", "maybe"]}, "line 3: found role and label"),
    ],
)
def test_damaged_predictions_are_refused(tmp_path, change, message):
    columns = {"image_id": ["a", "b"], "patient_id": ["1", "2"], "role": ["hospital"] * 2, "label": ["negative"] * 2}
    pd.DataFrame(columns | {"p_positive": ["0.1", "0.2"]} | change).to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(InputError, match=message):
        read_predictions(tmp_path / "predictions.csv")


def test_record_names_its_inputs(prepared_study):
    train_classifier(prepared_study, "synthetic-crossfit", 0, "fold1")
    record = json.loads(prepared_study.results.classifier_record("synthetic-crossfit", 0, "fold1").read_text())
    assert record["inputs"]["synthetic positive"]["manifest"] == "positivefold1"
    assert record["inputs"]["weights"] == "none"


def _run(study, **options):
    films = compose_training_films(study, "baseline", 0, "all")
    return TrainingRun(study.classifier, (study.seed, "classifier", 0), films, PixelStatistics(0.5, 0.25), **options)
