"""Which films each arm trains on, what the source rule says, and how often the holdout was opened."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cxrlib.classifiers import training, without_network
from cxrlib.classifiers.arms import arm_of
from cxrlib.classifiers.calibration import HIGHEST_TEMPERATURE, fit_temperature, youden_threshold
from cxrlib.classifiers.composition import compose_training_films, label_weights, synthetic_share
from cxrlib.classifiers.fitting import epoch_order
from cxrlib.classifiers.network import pixel_statistics
from cxrlib.classifiers.prediction import load_classifier, read_predictions
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.classifiers.stepping import cross_entropy
from cxrlib.classifiers.training import _what_decides as what_decides
from cxrlib.classifiers.training import train_classifier
from cxrlib.errors import InputError
from cxrlib.films.images import load_image_set
from cxrlib.films.settings import LABELS
from cxrlib.workflow.report import save_settings


def with_recipe(study, **changes):
    """The same prepared films under another recipe."""
    changed = study.model_copy(update={"classifier": study.classifier.model_copy(update=changes)})
    changed._root, changed._file = study.root, study.file
    return changed


def test_class_weights_give_the_synthetic_arms_proportions(prepared_study):
    synthetic = compose_training_films(prepared_study, "synthetic", 0, "all").counts()
    films = compose_training_films(prepared_study, "class-weighted", 0, "all")
    counts = np.array([films.counts()[label] for label in LABELS])
    weighted = counts * films.label_weights
    assert counts.tolist() == [20, 12]
    assert sorted(films.rows) == list(range(32))
    assert weighted[1] / weighted[0] == pytest.approx(synthetic["positive"] / synthetic["negative"], rel=1e-12)
    assert weighted.sum() == pytest.approx(32, rel=1e-12)


@pytest.fixture
def flagged_study(prepared_study):
    """The same study, with two of six positive films flagged as copies, while a test lasts."""
    manifest = prepared_study.results.synthetic("positive", "all") / "manifest.csv"
    record = prepared_study.results.synthetic_record("positive", "all")
    before = manifest.read_text(), record.read_text()
    pd.read_csv(manifest).assign(flagged=np.arange(6) < 2).to_csv(manifest, index=False)
    record.write_text(record.read_text().replace("positiveall", "others"))
    yield prepared_study
    manifest.write_text(before[0])
    record.write_text(before[1])


def test_flagged_films_train_no_arm_and_make_another_model(prepared_study, flagged_study):
    synthetic = compose_training_films(flagged_study, "synthetic", 0, "all").synthetic_counts()
    assert synthetic == {"negative": 6, "positive": 4}
    weights = compose_training_films(flagged_study, "class-weighted", 0, "all").label_weights
    assert 12 * weights[1] / (20 * weights[0]) == pytest.approx((12 + 4) / (20 + 6), rel=1e-12)
    drawn = compose_training_films(flagged_study, "oversampled", 0, "all").counts()
    assert drawn["positive"] / drawn["negative"] == pytest.approx((12 + 4) / (20 + 6), abs=0.03)


@pytest.mark.parametrize("arm", ["synthetic", "oversampled", "class-weighted"])
def test_other_flags_are_another_recipe(prepared_study, request, arm):
    before = what_decides(prepared_study, arm, 0, "all")
    study = request.getfixturevalue("flagged_study")
    assert what_decides(study, arm, 0, "all") != before


def test_class_weights_of_the_papers_counts():
    """2,158 positives and 13,794 negatives, made 12,158 and 23,794."""
    labels = np.repeat([0, 1], [13_794, 2_158])
    negative, positive = label_weights(labels, (10_000, 10_000))
    assert synthetic_share(labels, (10_000, 10_000)) == pytest.approx(12_158 / 35_952, rel=1e-12)
    assert positive * 2_158 / (negative * 13_794) == pytest.approx(12_158 / 23_794, rel=1e-12)


def test_weighted_loss_adds_up_to_that_of_all_films():
    """Whatever the batches, the steps of an epoch add up to the weighted loss over all films; gradients likewise."""
    outputs, labels = torch.randn(12, 2, dtype=torch.float64), torch.tensor([0, 0, 0, 1] + [0] * 7 + [1])
    weights = torch.tensor([0.7, 2.5], dtype=torch.float64)
    each = nn.functional.cross_entropy(outputs, labels, reduction="none") * weights[labels]
    batches = [cross_entropy(*part, weights) for part in zip(outputs.split(4), labels.split(4), strict=True)]
    assert float(sum(batches) / 3) == pytest.approx(float(each.mean()), rel=1e-12)
    assert float(cross_entropy(outputs, labels, None)) == pytest.approx(
        float(nn.functional.cross_entropy(outputs, labels)), rel=1e-12
    )


def test_only_the_class_weighted_arm_weighs_its_loss(prepared_study):
    weighing = {
        arm for arm in prepared_study.classifier_arms if arm_of(arm).network
        for fold in prepared_study.classifier_folds(arm)
        if compose_training_films(prepared_study, arm, 0, fold).label_weights
    }  # fmt: skip
    assert weighing == {"class-weighted"}


def test_synthetic_only_has_films_of_its_own_folds_generators_and_no_other(prepared_study):
    films = compose_training_films(prepared_study, "synthetic-only", 0, "fold1")
    assert films.counts() == films.synthetic_counts() == {"negative": 6, "positive": 6}
    greys = {label: np.unique(films.images[films.labels == label]).tolist() for label in (0, 1)}
    assert greys == {0: [50], 1: [60]}


def test_doses_are_parts_of_the_crossfitted_films_and_of_each_other(prepared_study):
    rng = np.random.default_rng(0)
    for label in LABELS:
        images = rng.integers(0, 256, (6, 32, 32), dtype=np.uint8)
        np.save(prepared_study.results.synthetic(label, "fold0") / "images.npy", images)
    known, found = {}, {}
    for arm in ("synthetic-dose17", "synthetic-dose50", "synthetic-crossfit"):
        films = compose_training_films(prepared_study, arm, 0, "fold0")
        added = zip(films.images[32:], films.labels[32:], strict=True)
        found[arm] = {(image.tobytes(), label) for image, label in added}
        known[arm] = films.synthetic_counts()
    assert known["synthetic-dose17"] == {"negative": 1, "positive": 1}
    assert known["synthetic-dose50"] == {"negative": 3, "positive": 3}
    assert found["synthetic-dose17"] < found["synthetic-dose50"] < found["synthetic-crossfit"]
    other = compose_training_films(prepared_study, "synthetic-dose50", 1, "fold0").images[32:]
    assert {image.tobytes() for image in other} != {image for image, _ in found["synthetic-dose50"]}
    for label, grey in (("negative", 30), ("positive", 40)):
        np.save(prepared_study.results.synthetic(label, "fold0") / "images.npy", np.full((6, 32, 32), grey, np.uint8))


@pytest.mark.parametrize("doses", [[0], [100], [25, 10], [10, 10], [-5]])
def test_doses_that_are_no_doses_are_refused(doses):
    with pytest.raises(ValueError, match="whole percentages from 1 to 99"):
        ClassifierSettings.model_validate_json(f'{{"doses": {doses}}}')


def test_doses_without_their_hundred_percent_are_refused():
    with pytest.raises(ValueError, match="lacks synthetic-crossfit"):
        ClassifierSettings(arms=("baseline",), doses=(10,))


def test_arms_seeds_and_folds_of_a_study(prepared_study):
    assert prepared_study.classifier_arms[-4:] == (
        "synthetic-crossfit-equal-steps", "synthetic-only-equal-steps", "synthetic-dose17", "synthetic-dose50",
    )  # fmt: skip
    assert prepared_study.classifier_seeds("baseline") == (0, 1)
    assert prepared_study.classifier_seeds("source-rule") == (0,)
    crossfitted = [arm for arm in prepared_study.classifier_arms if len(prepared_study.classifier_folds(arm)) == 2]
    assert crossfitted == [arm for arm in prepared_study.classifier_arms if arm_of(arm).crossfitted]


def test_generators_are_cross_fitted_for_any_arm_that_needs_them(write_tiny_study):
    from cxrlib.study import load_study

    study = load_study(write_tiny_study(classifier={"arms": ["baseline", "synthetic-only"]}))
    assert study.generator_folds == ("all", "fold0", "fold1")


def test_equal_steps_are_those_of_the_baseline(prepared_study):
    steps, counts = {}, {}
    for arm in ("synthetic-crossfit", "synthetic-only", "synthetic-crossfit-equal-steps", "synthetic-only-equal-steps"):
        films = compose_training_films(prepared_study, arm, 0, "fold0")
        run = training.TrainingRun(prepared_study.classifier, (1,), films, pixel_statistics(films.images))
        steps[arm] = run.steps_per_epoch
        counts[arm] = len(films.rows)
    assert list(steps.values()) == [3, 1, 2, 2]
    assert list(counts.values()) == [44, 12, 44, 12]


@pytest.mark.parametrize(("pool", "films"), [(7, 7), (12, 5), (5, 12), (44, 32)])
def test_epochs_go_on_in_shuffled_passes_that_show_every_film_once(pool, films):
    order = torch.cat([epoch_order(("name",), pool, films, epoch) for epoch in range(20)])
    assert len(order) == 20 * films
    passes = [part for part in order.split(pool) if len(part) == pool]
    assert all(sorted(part.tolist()) == list(range(pool)) for part in passes)
    assert not torch.equal(passes[0], passes[1])


@pytest.mark.parametrize("arms", [["baseline"], ["source-rule"], ["class-weighted"], ["synthetic", "synthetic"]])
def test_equal_steps_are_for_arms_of_the_study_that_train_a_network(arms):
    with pytest.raises(ValueError, match="equal_steps: found"):
        ClassifierSettings(arms=("baseline", "synthetic", "source-rule"), equal_steps=tuple(arms))


def test_a_misspelt_arm_is_told_its_name():
    with pytest.raises(ValueError, match="did you mean `synthetic-crossfit`"):
        ClassifierSettings(arms=("baseline", "synthetic-crosfit"))


def test_source_rule_goes_through_the_same_door(prepared_study):
    record = train_classifier(prepared_study, "source-rule", 0, "all")
    folder = prepared_study.results.classifier("source-rule", 0, "all")
    table = read_predictions(folder / "predictions.csv")
    assert set(table["role"]) == {"validation"}
    assert len(table) == 16
    # Simulated public films are of one scanner: the source tells nothing.
    np.testing.assert_allclose(table["p_positive"], 13 / 34, rtol=1e-12)
    assert record["temperature"] == 1.0
    assert record["threshold_validation"] == 0.5
    assert record["hospital_openings"] == 0
    assert record["steps"] == 0
    assert not (folder / "log.csv").exists()
    assert not (folder / "openings.csv").exists()
    assert train_classifier(prepared_study, "source-rule", 0, "all") == record
    with pytest.raises(InputError, match="seed: found 1, expected 0, the only one"):
        train_classifier(prepared_study, "source-rule", 1, "all")


def test_no_hospital_film_can_have_been_read_before_the_last_epoch(prepared_study):
    """The hospital's array is not there while training runs: any look at it would fail."""
    images = prepared_study.results.images("hospital", 32)
    hidden = images.with_suffix(".hidden")
    images.rename(hidden)

    def bring_back(done, total, facts):
        if done == total:
            hidden.rename(images)

    try:
        record = train_classifier(prepared_study, "class-weighted", 0, "all", progress=bring_back)
    finally:
        if hidden.exists():
            hidden.rename(images)
    assert record["hospital_openings"] == 1
    assert record["label_weights"]["positive"] > 1 > record["label_weights"]["negative"]


def test_validation_alone_decides_threshold_and_temperature(prepared_study):
    record = train_classifier(prepared_study, "baseline", 0, "all")
    table = read_predictions(prepared_study.results.predictions("baseline", 0, "all"))
    rows = table[table["role"] == "validation"]
    p_positive, labels = rows["p_positive"].to_numpy(), (rows["label"] == "positive").to_numpy(np.int64)
    assert record["threshold_validation"] == youden_threshold(p_positive, labels)
    # The tiny network hardly tells films apart: no temperature can be estimated, and none is applied.
    assert fit_temperature(p_positive, labels) == HIGHEST_TEMPERATURE
    assert record["temperature"] == 1.0


def test_the_log_is_written_before_the_hospitals_films_are_read(prepared_study, monkeypatch):
    """A crash at the moment of opening leaves the line, with what had been decided; the next model adds its own."""
    folder = prepared_study.results.classifier("oversampled", 1, "all")
    load = training.load_image_set

    def refuse(study, role, size):
        if role == "hospital":
            raise RuntimeError("the power failed")
        return load(study, role, size)

    with monkeypatch.context() as patched:
        patched.setattr(training, "load_image_set", refuse)
        with pytest.raises(RuntimeError, match="the power failed"):
            train_classifier(prepared_study, "oversampled", 1, "all")
    assert not (folder / "predictions.csv").exists()
    (line,) = pd.read_csv(folder / "openings.csv").to_dict("records")
    assert (line["role"], line["films"]) == ("hospital", len(load_image_set(prepared_study, "hospital", 32)))
    record = train_classifier(prepared_study, "oversampled", 1, "all")
    assert line["model_sha256"] == record["model_sha256"]
    assert line["threshold_validation"] == record["threshold_validation"]
    assert line["temperature"] == pytest.approx(record["temperature"], rel=1e-12)
    assert record["hospital_openings"] == 2


def test_another_model_of_the_same_cell_is_a_second_opening(prepared_study):
    before = train_classifier(prepared_study, "synthetic-dose50", 0, "fold1")
    other = with_recipe(prepared_study, rotation_degrees=0.0)
    after = train_classifier(other, "synthetic-dose50", 0, "fold1", force=True)
    log = pd.read_csv(prepared_study.results.openings("synthetic-dose50", 0, "fold1"))
    assert before["hospital_openings"] == 1
    assert after["hospital_openings"] == 2
    assert log["model_sha256"].tolist() == [before["model_sha256"], after["model_sha256"]]
    assert before["model_sha256"] != after["model_sha256"]
    manifest = load_image_set(prepared_study, "hospital", 32).manifest
    assert set(log["films"]) == {int((manifest["fold"] == "fold1").sum())}


def test_a_study_made_afresh_keeps_its_openings(write_tiny_study):
    from cxrlib.study import load_study

    study = load_study(write_tiny_study())
    folder = study.results.classifier("baseline", 0, "all")
    for file in (folder / "checkpoint" / "state.safetensors", folder / "config.json", folder / "openings.csv"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    save_settings(study, force=True)
    assert [path.name for path in folder.iterdir()] == ["openings.csv"]


def test_public_statistics_normalise_every_arm(prepared_study):
    public = pixel_statistics(load_image_set(prepared_study, "training", 32).images)
    record = train_classifier(prepared_study, "synthetic-only", 0, "fold0")
    assert (record["pixel_mean"], record["pixel_std"]) == (public.mean, public.std)
    _, statistics = load_classifier(prepared_study.results.classifier("synthetic-only", 0, "fold0"))
    assert statistics == public


def test_one_label_only_is_refused_before_training(prepared_study, monkeypatch):
    load = training.load_image_set

    def without_positives(study, role, size):
        films = load(study, role, size)
        return films.select(films.labels == 0)

    with monkeypatch.context() as patched:
        patched.setattr(without_network, "load_image_set", without_positives)
        patched.setattr(training, "fit", None)
        with pytest.raises(InputError, match="validation: found 8 films, none of them positive"):
            train_classifier(prepared_study, "synthetic", 1, "all")
    negatives = load_image_set(prepared_study, "training", 32)
    negatives = negatives.manifest[negatives.labels == 0]
    monkeypatch.setattr("cxrlib.classifiers.composition.load_manifest", lambda study, role: negatives)
    with pytest.raises(InputError, match="arm `baseline`: found 20 training films, none of them positive"):
        compose_training_films(prepared_study, "baseline", 0, "all")
