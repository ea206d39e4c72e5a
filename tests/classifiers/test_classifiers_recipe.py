"""The paper's recipe, pinned part by part: what is frozen when, how fast it learns, and what it learns from."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from cxrlib.checkpoints import load_state
from cxrlib.classifiers import stepping
from cxrlib.classifiers.composition import TrainingFilms
from cxrlib.classifiers.fitting import TrainingRun, fit, one_cycle_learning_rates
from cxrlib.classifiers.network import PixelStatistics
from cxrlib.classifiers.prediction import load_classifier, predict_probabilities
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.classifiers.stepping import Batch, RecordedStepper, Recording, Stepper
from cxrlib.classifiers.training import train_classifier
from cxrlib.errors import InputError
from cxrlib.features import build_network, last_layer
from cxrlib.films.audit import prepare_study
from cxrlib.study import load_study

# The paper's section on the classifier, one line each.
FACTS = {
    "network": "resnet50",
    "weights": "imagenet",
    "image_size": 224,
    "batch_size": 16,
    "frozen_epochs": 5,
    "frozen_learning_rate": 0.001,
    "epochs": 30,
    "maximum_learning_rate": 0.006,
    "horizontal_flip": True,
    "rotation_degrees": 5.0,
    "weights_sha256": None,
}
# What the paper does not say, because this project adds it.
ADDED = {"arms", "doses", "equal_steps", "seeds"}


def test_the_paper_study_is_the_papers_recipe_line_by_line(monkeypatch, tmp_path):
    monkeypatch.setenv("COVIDX_V8B", str(tmp_path))
    monkeypatch.setenv("HOSPITAL_FILMS", str(tmp_path))
    resolved = load_study("paper").resolved()
    recipe = resolved["classifier"]
    assert {key: value for key, value in recipe.items() if key not in ADDED} == FACTS
    assert resolved["synthesis"]["images_per_label"] == 10_000
    assert set(recipe["arms"]) == {
        "baseline", "classical-augmentation", "duplicated", "oversampled", "class-weighted", "threshold-moved",
        "style-matched", "style-matched-spectrum", "synthetic-only", "synthetic-crossfit", "synthetic", "real-crossfit",
        "real-and-synthetic-crossfit", "fine-tuned-crossfit", "source-rule",
    }  # fmt: skip
    assert recipe["doses"] == [10, 25, 50]


def test_learning_rates_of_the_papers_synthetic_arm():
    """35,952 films in batches of 16 for 30 epochs, beside torch's own policy stepping an Adam."""
    steps = 30 * 2247
    optimiser = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=0.001)
    policy = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.006, epochs=30, steps_per_epoch=2247)
    expected = np.empty(steps)
    for step in range(steps):
        expected[step] = optimiser.param_groups[0]["lr"]
        optimiser.step()
        policy.step()
    found = np.array(one_cycle_learning_rates(steps, 0.006))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.max() == pytest.approx(0.006)
    assert found.argmax() == pytest.approx(0.3 * steps, abs=2)


@pytest.fixture(scope="module")
def trained_weights(tmp_path_factory):
    """A network that has learnt something, batch-norm statistics included, as a file under torchvision's names."""
    torch.manual_seed(4)
    network = torchvision.models.shufflenet_v2_x0_5(weights=None)
    network(torch.randn(8, 3, 64, 64))
    file = tmp_path_factory.mktemp("weights") / "shufflenet.safetensors"
    save_file(network.state_dict(), file)
    return file


def two_kinds(films=24):
    """Bright and dark films."""
    labels = np.arange(films) % 2
    noise = np.random.default_rng(0).integers(0, 60, (films, 32, 32))
    return TrainingFilms((noise + 150 * labels[:, None, None]).astype(np.uint8), labels, np.arange(films), films)


def recipe(**changes):
    plain = {"network": "shufflenet_v2_x0_5", "weights": "none", "image_size": 32, "frozen_epochs": 2, "epochs": 2}
    return ClassifierSettings(**(plain | {"batch_size": 8} | changes))


def states_after_each_epoch(settings, folder):
    states = []

    def keep(done, total, facts):
        states.append(load_state(folder / "checkpoint" / "state.safetensors")["network"])

    films = two_kinds()
    fit(TrainingRun(settings, (1,), films, PixelStatistics(0.5, 0.25), folder=folder, progress=keep))
    return states


def test_frozen_epochs_move_nothing_but_the_new_layer_not_even_batch_norm(trained_weights, tmp_path):
    before = build_network("shufflenet_v2_x0_5", str(trained_weights), 2).state_dict()
    first, second, third, _ = states_after_each_epoch(recipe(weights=str(trained_weights)), tmp_path)
    for state in (first, second):
        moved = {name for name in state if not torch.equal(state[name], before[name])}
        assert moved == {"fc.weight", "fc.bias"}
    parameters = {name for name, _ in build_network("shufflenet_v2_x0_5", "none", 2).named_parameters()}
    moved = {name for name in third if not torch.equal(third[name], second[name])}
    assert parameters <= moved
    assert {"conv1.1.running_mean", "conv1.1.running_var", "conv1.1.num_batches_tracked"} <= moved


def test_random_networks_settle_their_statistics_but_no_weight_while_frozen(tmp_path):
    first, second, *_ = states_after_each_epoch(recipe(), tmp_path)
    moved = {name for name in second if not torch.equal(first[name], second[name])}
    weights = {name for name, _ in build_network("shufflenet_v2_x0_5", "none", 2).named_parameters()}
    assert weights & moved == {"fc.weight", "fc.bias"}
    assert "conv1.1.running_mean" in moved


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121", "convnext_tiny"])
def test_networks_go_through_both_phases(name):
    settings = recipe(network=name, frozen_epochs=1, epochs=1, batch_size=4)
    films = two_kinds(8)
    network = fit(TrainingRun(settings, (1,), films, PixelStatistics(0.5, 0.25)))
    fresh = build_network(name, "none", 2, seed=0).state_dict()
    assert last_layer(network)[1].out_features == 2
    assert network.state_dict().keys() == fresh.keys()
    p_positive = predict_probabilities(network, films.images, PixelStatistics(0.5, 0.25))
    assert p_positive.shape == (8,)
    assert ((p_positive > 0) & (p_positive < 1)).all()


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "convnext_tiny"])
def test_one_grey_channel_answers_like_three_equal_ones(name, tmp_path):
    """To 1e-5 of the largest answer; in double precision, so that only the summing of the weights is compared."""
    torch.manual_seed(2)
    colour = torchvision.models.get_model(name, weights=None)
    save_file(colour.state_dict(), tmp_path / "colour.safetensors")
    grey = build_network(name, str(tmp_path / "colour.safetensors"), 2)
    answers = []
    for network in (colour, grey):
        parent, _, child = last_layer(network)[0].rpartition(".")
        setattr(network.get_submodule(parent), child, nn.Identity())
    film = torch.randn(2, 1, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        answers = [colour.double().eval()(film.expand(-1, 3, -1, -1)), grey.double().eval()(film)]
    assert (answers[0] - answers[1]).abs().max() < 1e-5 * answers[0].abs().max()
    assert answers[0].abs().max() > 0


def test_weights_file_is_checked_by_its_sha256(prepared_study, trained_weights):
    true = hashlib.sha256(trained_weights.read_bytes()).hexdigest()
    for digest, refused in ((true, False), ("0" * 64, True)):
        study = prepared_study.model_copy(update={"classifier": recipe(
            weights=str(trained_weights), weights_sha256=digest, arms=("baseline",), frozen_epochs=1, epochs=1,
        )})  # fmt: skip
        study._root = prepared_study.root
        if refused:
            with pytest.raises(InputError, match=f"found a file of SHA-256 {true}, expected 0000"):
                train_classifier(study, "baseline", 3, "all", force=True)
        else:
            record = train_classifier(study, "baseline", 3, "all", force=True)
            assert record["inputs"]["weights"] == true
    with pytest.raises(ValueError, match=r"weights_sha256: found with weights: none"):
        ClassifierSettings(weights="none", weights_sha256="0" * 64)


def test_model_with_the_weights_of_another_network_is_refused(prepared_study):
    train_classifier(prepared_study, "baseline", 0, "all")
    folder = prepared_study.results.classifier("baseline", 0, "all")
    kept = (folder / "model.safetensors").read_bytes()
    save_file(build_network("resnet18", "none", 2).state_dict(), folder / "model.safetensors")
    try:
        with pytest.raises(InputError, match=r"model\.safetensors: these weights can't be read or don't fit"):
            load_classifier(folder)
    finally:
        (folder / "model.safetensors").write_bytes(kept)


def test_a_diverging_run_stops_with_its_last_checkpoint_intact(tmp_path):
    """Learns for an epoch, then meets a rate no network survives."""
    films = two_kinds()
    settings = recipe(frozen_epochs=1, epochs=2, maximum_learning_rate=1e30)
    run = TrainingRun(settings, (1,), films, PixelStatistics(0.5, 0.25), folder=tmp_path, fingerprint="one")
    with pytest.raises(InputError) as caught:
        fit(run)
    said = str(caught.value)
    assert "epoch 2 of 3: " in said
    assert "step " in said
    assert "of 3 (learning rate " in said
    assert "the checkpoint of epoch 1 is intact" in said
    assert "Lower `classifier.maximum_learning_rate`" in said
    state = load_state(tmp_path / "checkpoint" / "state.safetensors")
    assert state["epochs_done"] == 1
    assert all(value.isfinite().all() for value in state["network"].values())
    assert pd.read_csv(tmp_path / "log.csv")["epoch"].tolist() == [1]
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "log.csv"}


def test_the_first_step_that_fails_is_named(monkeypatch):
    """A loss that is no number at the third step, whatever the later ones are."""
    taken = []
    plain = stepping.cross_entropy

    def broken(outputs, labels, weights):
        taken.append(len(labels))
        return plain(outputs, labels, weights) * (float("nan") if len(taken) == 3 else 1.0)

    monkeypatch.setattr(stepping, "cross_entropy", broken)
    settings = recipe(frozen_epochs=1, epochs=1, batch_size=4)
    with pytest.raises(InputError, match=r"epoch 1 of 2: the loss of step 3 of 6 \(learning rate 0\.001\)"):
        fit(TrainingRun(settings, (1,), two_kinds(), PixelStatistics(0.5, 0.25)))


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    """One step an epoch: its loss is still finite, what it makes of the weights is not."""
    settings = recipe(frozen_epochs=0, epochs=1, batch_size=24, maximum_learning_rate=1e45)
    with pytest.raises(InputError, match=r"epoch 1 of 1: a weight after step 1 of 1 .*; nothing was written"):
        fit(TrainingRun(settings, (1,), two_kinds(), PixelStatistics(0.5, 0.25), folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_answers_that_are_no_numbers_are_refused():
    network = build_network("shufflenet_v2_x0_5", "none", 2)
    with torch.no_grad():
        last_layer(network)[1].bias.fill_(float("nan"))
    with pytest.raises(InputError, match="found 24 of 24 probabilities that are no numbers"):
        predict_probabilities(network, two_kinds().images, PixelStatistics(0.5, 0.25))


class ReplayedOnCpu(RecordedStepper):
    """Stands in for the GPU: a replay takes an ordinary step on the recorded tensors and writes the recorded loss."""

    def warm_up(self, batch):
        return Stepper.step(self, batch)

    def record(self, batch):
        loss = torch.empty(())
        return Recording(batch, loss, lambda: loss.copy_(Stepper.step(self, batch)))


def test_recorded_steps_are_the_ordinary_ones():
    """Same losses and weights, over batches of the recorded size and a last one of another."""
    films, results = two_kinds(), []
    for kind in (Stepper, ReplayedOnCpu):
        network = build_network("shufflenet_v2_x0_5", "none", 2, seed=1)
        stepper = kind(
            network, list(network.parameters()), torch.from_numpy(films.images), torch.from_numpy(films.labels),
            PixelStatistics(0.5, 0.25), (0.8, 1.2),
        )  # fmt: skip
        generator, losses = torch.Generator().manual_seed(3), []
        for size in (6, 6, 6, 6, 6, 4, 6, 6):
            rows = torch.randint(24, (size,), generator=generator)
            angles = torch.rand(size, generator=generator) * 10 - 5
            rate = torch.rand((), generator=generator) * 0.01
            losses.append(float(stepper.step(Batch(rows, angles, angles > 0, rate))))
        results.append((losses, network.state_dict()))
    (expected, weights), (found, others) = results
    assert found == pytest.approx(expected, rel=1e-5)
    for name, value in weights.items():
        torch.testing.assert_close(others[name], value, rtol=1e-3, atol=1e-5)


def test_weighted_and_equal_steps_go_on_bit_for_bit_after_a_kill(tmp_path, write_study_in, write_synthetic_films):
    """Two arms, each killed by SIGKILL after its second epoch of three, against the same without interruption."""
    arms = ["baseline", "synthetic", "class-weighted"]
    changes = {"network": "shufflenet_v2_x0_5", "equal_steps": ["synthetic"], "epochs": 2, "arms": arms}
    study = load_study(write_study_in(tmp_path, classifier=changes, synthesis={"images_per_label": 6}))
    prepare_study(study)
    for label, grey in (("negative", 10), ("positive", 20)):
        write_synthetic_films(study, label, "all", grey, 6)
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, sys
        from cxrlib.classifiers.training import train_classifier
        from cxrlib.study import load_study
        def kill(done, total, facts):
            if done == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        for arm in ("class-weighted", "synthetic-equal-steps"):
            train_classifier(load_study(sys.argv[1]), arm, 0, "all", progress=kill)
        """)
    )
    codes = []
    while not codes or codes[-1] == -signal.SIGKILL:
        assert len(codes) < 4
        command = [sys.executable, str(script), str(study.file)]
        codes.append(subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode)
    assert codes == [-signal.SIGKILL] * 2 + [0]
    for arm in ("class-weighted", "synthetic-equal-steps"):
        folder = study.results.classifier(arm, 0, "all")
        interrupted = [(folder / name).read_bytes() for name in ("model.safetensors", "predictions.csv")]
        record = train_classifier(study, arm, 0, "all", force=True)
        assert [(folder / name).read_bytes() for name in ("model.safetensors", "predictions.csv")] == interrupted
        assert record["films_per_epoch"] == 32
        assert record["hospital_openings"] == 2
