"""Arms that learn from the hospital's films themselves: whose films, how many, and what is written down of it."""

import shutil
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from cxrlib.classifiers.arms import ARMS, FILMS, Arm, arm_of
from cxrlib.classifiers.calibration import youden_threshold
from cxrlib.classifiers.composition import (
    compose_training_films,
    learned_rows,
    match_amplitudes,
    match_grey_levels,
    repeated,
)
from cxrlib.classifiers.network import augment_strongly
from cxrlib.classifiers.prediction import read_predictions
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.classifiers.training import train_classifier
from cxrlib.classifiers.without_network import moved
from cxrlib.errors import InputError
from cxrlib.films.images import load_image_set, load_manifest
from cxrlib.films.settings import LABELS
from cxrlib.generators.training import generator_films

HOSPITAL_ARMS = [name for name, arm in ARMS.items() if arm.uses_hospital]


@pytest.fixture(scope="module")
def hospital(prepared_study):
    return load_image_set(prepared_study, "hospital", 32)


@contextmanager
def without(folder):
    aside = folder.with_name(f"{folder.name}-aside")
    if folder.exists():
        folder.rename(aside)
    try:
        yield
    finally:
        if aside.exists():
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)


def as_set(images):
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("fold", ["fold0", "fold1"])
def test_the_films_learned_from_are_those_of_the_folds_generators(prepared_study, hospital, fold):
    for label in LABELS:
        rows = learned_rows(prepared_study, fold, label)
        generators = generator_films(prepared_study, label, fold).training
        assert hospital.manifest["image_id"].iloc[rows].tolist() == generators.manifest["image_id"].tolist()
        assert fold not in set(hospital.manifest["fold"].iloc[rows])
        assert set(hospital.manifest["label"].iloc[rows]) == {label}


@pytest.mark.parametrize("arm", [name for name in HOSPITAL_ARMS if ARMS[name].hospital])
def test_no_film_of_the_fold_under_test_is_trained_on(prepared_study, hospital, arm):
    films = compose_training_films(prepared_study, arm, 0, "fold0")
    tested = as_set(hospital.images[(hospital.manifest["fold"] == "fold0").to_numpy()])
    learned = as_set(hospital.images[learned_rows(prepared_study, "fold0")])
    assert not tested & as_set(films.images)
    assert learned <= as_set(films.images)


def test_real_films_are_repeated_to_the_count_of_the_synthetic_ones(prepared_study):
    real = compose_training_films(prepared_study, "real-crossfit", 0, "fold0")
    synthetic = compose_training_films(prepared_study, "synthetic-crossfit", 0, "fold0")
    both = compose_training_films(prepared_study, "real-and-synthetic-crossfit", 0, "fold0")
    assert real.counts() == synthetic.counts() == both.counts()
    assert real.hospital_counts() == synthetic.synthetic_counts() == {"negative": 6, "positive": 6}
    assert both.hospital_counts() == both.synthetic_counts() == {"negative": 3, "positive": 3}
    assert real.synthetic_counts() == synthetic.hospital_counts() == {"negative": 0, "positive": 0}
    assert set(both.images[both.public : both.public + both.synthetic].ravel()) == {30, 40}


def test_repeating_shows_every_film_as_often_as_any_other_but_for_one():
    drawn = repeated(np.arange(5, 12), 17, torch.Generator().manual_seed(1))
    counts = np.bincount(drawn)[5:]
    assert counts.sum() == len(drawn) == 17
    assert set(counts) == {2, 3}
    assert repeated(np.arange(5), 3, torch.Generator()).shape == (3,)


def test_duplicated_films_are_as_many_as_the_synthetic_arm_has(prepared_study):
    films = compose_training_films(prepared_study, "duplicated", 0, "all")
    assert len(films.rows) == len(compose_training_films(prepared_study, "synthetic", 0, "all").rows) == 44
    assert set(np.bincount(films.rows)) == {1, 2}
    assert len(films.images) == 32


@pytest.mark.parametrize("arm", ["style-matched", "style-matched-spectrum"])
def test_a_look_changes_public_films_alone_and_keeps_labels(prepared_study, arm):
    plain, styled = (compose_training_films(prepared_study, name, 0, "fold0") for name in ("baseline", arm))
    again = compose_training_films(prepared_study, arm, 0, "fold0")
    np.testing.assert_array_equal(styled.labels, plain.labels)
    np.testing.assert_array_equal(styled.images, again.images)
    assert (styled.images != plain.images).any(axis=(1, 2)).all()
    assert styled.hospital_counts() == {"negative": 0, "positive": 0}


def test_grey_levels_are_those_of_the_other_film_and_their_order_stays():
    random = np.random.default_rng(0)
    films = random.permuted(np.tile(np.arange(256, dtype=np.uint8), (3, 1)), axis=1).reshape(3, 16, 16)
    other = np.full((1, 16, 16), 40, np.uint8)
    other[0, :4] = 200
    matched = match_grey_levels(films, other, random)
    for film, result in zip(films, matched, strict=True):
        assert np.bincount(result.ravel()).tolist() == np.bincount(other.ravel()).tolist()
        order = np.argsort(film.ravel())
        assert (np.diff(result.ravel()[order].astype(int)) >= 0).all()
    np.testing.assert_array_equal(match_grey_levels(films[:1], films[:1], random), films[:1])


def test_amplitudes_bring_the_others_mean_and_leave_fine_detail():
    random = np.random.default_rng(0)
    films = random.integers(90, 110, (2, 32, 32), dtype=np.uint8)
    bright = random.integers(140, 160, (1, 32, 32), dtype=np.uint8)
    matched = match_amplitudes(films, bright, random)
    assert matched.mean(axis=(1, 2)) == pytest.approx(bright.mean(), abs=0.5)
    for film, result in zip(films, matched, strict=True):
        fine = [np.fft.rfft2(pixels.astype(float))[8:24, 8:] for pixels in (film, result)]
        np.testing.assert_allclose(np.abs(fine[0]), np.abs(fine[1]), atol=20)
    np.testing.assert_allclose(match_amplitudes(films[:1], films[:1], random), films[:1], atol=1)


def test_strong_augmentation_is_drawn_film_by_film_and_repeats_by_its_seed():
    film = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    originals = torch.from_numpy(np.stack([film] * 24))
    changed = [torch.empty_like(originals) for _ in range(3)]
    before = torch.get_rng_state()
    for images, seed in zip(changed, (5, 5, 6), strict=True):
        augment_strongly(originals, images, seed)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(changed[0], changed[1])
    assert not torch.equal(changed[0], changed[2])
    assert len({image.numpy().tobytes() for image in changed[0]}) > 12
    assert (originals.numpy() == film).all()


def test_a_moved_threshold_becomes_one_half_and_the_order_stays():
    p_positive = np.array([0.0, 0.02, 0.3, 0.31, 0.97, 1.0])
    shifted = moved(p_positive, 0.3)
    np.testing.assert_array_equal(shifted >= 0.5, p_positive >= 0.3)
    assert (np.diff(shifted) > 0).all()
    np.testing.assert_allclose(moved(p_positive, 0.5), p_positive, atol=1e-11)


def test_the_threshold_is_learned_from_other_folds_and_ranks_like_the_baseline(prepared_study):
    # Other tests may have trained it: for this question it is not there.
    trained = prepared_study.results.classifier("baseline", 1, "all")
    with without(trained), pytest.raises(InputError, match="train-classifier tiny --arm baseline --seed 1"):
        train_classifier(prepared_study, "threshold-moved", 1, "fold0")
    train_classifier(prepared_study, "baseline", 0, "all")
    record = train_classifier(prepared_study, "threshold-moved", 0, "fold0")
    base = read_predictions(prepared_study.results.predictions("baseline", 0, "all")).set_index("image_id")
    found = read_predictions(prepared_study.results.predictions("threshold-moved", 0, "fold0")).set_index("image_id")
    manifest = load_manifest(prepared_study, "hospital")
    learned = base.loc[manifest["image_id"].iloc[learned_rows(prepared_study, "fold0")]]
    expected = youden_threshold(learned["p_positive"].to_numpy(), (learned["label"] == "positive").to_numpy(int))
    assert record["hospital_threshold"] == expected
    tested = found[found["role"] == "hospital"]
    assert set(tested.index) == set(manifest.loc[manifest["fold"] == "fold0", "image_id"])
    np.testing.assert_allclose(tested["p_positive"], moved(base.loc[tested.index, "p_positive"], expected), atol=1e-12)
    assert (record["steps"], record["hospital_openings"]) == (0, 1)
    log = pd.read_csv(prepared_study.results.openings("threshold-moved", 0, "fold0"))
    assert log["role"].tolist() == ["hospital, other folds", "hospital"]
    assert log["films"].tolist() == [len(learned), len(tested)]


def test_fine_tuning_goes_on_from_the_baseline_of_its_seed_and_is_logged(prepared_study):
    base = train_classifier(prepared_study, "baseline", 0, "all")
    record = train_classifier(prepared_study, "fine-tuned-crossfit", 0, "fold0")
    assert record["inputs"]["baseline/0/all"]["model"] == base["model_sha256"]
    learned = len(learned_rows(prepared_study, "fold0"))
    assert sum(record["hospital_images"].values()) == sum(record["training_images"].values()) == learned
    assert record["settings"]["classifier"]["frozen_epochs"] == 0
    log = pd.read_csv(prepared_study.results.openings("fine-tuned-crossfit", 0, "fold0"))
    assert log["role"].tolist() == ["hospital, other folds", "hospital"]
    assert record["hospital_openings"] == 1
    logged = pd.read_csv(prepared_study.results.classifier("fine-tuned-crossfit", 0, "fold0") / "log.csv")
    assert set(logged["phase"]) == {"all"}
    assert len(logged) == 5


@pytest.mark.parametrize("arm", ["real-crossfit", "classical-augmentation"])
def test_the_other_arms_go_through_the_same_door(prepared_study, arm):
    fold = prepared_study.classifier_folds(arm)[0]
    record = train_classifier(prepared_study, arm, 0, fold)
    assert record["hospital_openings"] == 1
    log = pd.read_csv(prepared_study.results.openings(arm, 0, fold))
    assert ("hospital, other folds" in set(log["role"])) == arm_of(arm).uses_hospital


def test_an_arm_is_listed_after_the_one_it_goes_on_from():
    with pytest.raises(ValueError, match="list `baseline` before it"):
        ClassifierSettings(arms=("threshold-moved", "baseline"))


def test_an_arm_that_would_learn_from_the_films_under_test_cannot_be_declared():
    with pytest.raises(ValueError, match="has to be cross-fitted"):
        Arm("leak", "films", "a question", FILMS, hospital="once")
