"""The threshold slider: moving it changes the counts as scikit-learn says, and nothing of it gets into a book."""

import numpy as np
import pandas as pd
import pytest
from IPython.display import Image
from PIL import Image as PillowImage
from sklearn.metrics import confusion_matrix

from cxrlib.artifacts import HEADLESS
from cxrlib.chapters.results.explorer import ThresholdSlider, ThresholdView, threshold_explorer
from cxrlib.errors import InputError
from cxrlib.study import load_study

RANDOM = np.random.default_rng(3)
LABELS = RANDOM.integers(0, 2, 60)
PROBABILITIES = np.round(np.clip(0.35 * LABELS + RANDOM.uniform(0, 0.65, 60), 0, 1), 2)


def predictions():
    table = pd.DataFrame({"label": np.where(LABELS == 1, "positive", "negative"), "p_positive": PROBABILITIES})
    models = (
        ("baseline", 0, "hospital", PROBABILITIES),
        ("baseline", 1, "hospital", 0.0),
        ("synthetic", 0, "hospital", 1.0),
        ("baseline", 0, "validation", 1.0),
    )
    parts = [table.assign(arm=arm, seed=seed, role=role, p_positive=p) for arm, seed, role, p in models]
    return pd.concat(parts, ignore_index=True).assign(fold="all")


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.73, 1.0])
def test_moving_the_slider_changes_the_counts_as_scikit_learn_says(threshold):
    moved = ThresholdSlider(ThresholdView(LABELS, PROBABILITIES, "simulated films"))
    before = moved.picture.value
    moved.slider.value = threshold
    expected = confusion_matrix(LABELS, threshold <= PROBABILITIES, labels=[1, 0])
    np.testing.assert_array_equal(moved.view.counts(threshold), expected)
    (found, missed), (alarms, cleared) = expected
    assert f"<b>{found}</b> of {found + missed} positives" in moved.words.value
    assert f"<b>{missed}</b> missed" in moved.words.value
    assert f"<b>{alarms}</b> of {alarms + cleared} negatives" in moved.words.value
    assert (moved.picture.value != before) == (threshold != 0.5)
    assert bytes(moved.picture.value).startswith(b"\x89PNG")


def test_the_operating_point_lies_on_both_curves():
    view = ThresholdView(LABELS, PROBABILITIES, "simulated films")
    for threshold in (0.2, 0.5, 0.8):
        _, roc, precision_recall = view.figure(threshold).axes
        (tp, fn), (fp, tn) = view.counts(threshold)
        for ax, place in (
            (roc, (fp / (fp + tn), tp / (tp + fn))),
            (precision_recall, (tp / (tp + fn), tp / (tp + fp))),
        ):
            curve, mark = ax.get_lines()
            assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx(place)
            if ax is precision_recall:
                distances = np.hypot(curve.get_xdata() - place[0], curve.get_ydata() - place[1])
                assert distances.min() < 1e-12


def test_films_of_different_folds_are_not_ranked_against_each_other():
    """Two folds of one order, their scores shifted: each has the curve of a perfect ranking."""
    labels, folds = np.tile([0, 0, 1, 1], 2), np.repeat(["fold0", "fold1"], 4)
    p_positive = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    view = ThresholdView(labels, p_positive, "", folds)
    _, roc, _ = view.figure(0.5).axes
    first, first_mark, second, second_mark = roc.get_lines()
    for curve in (first, second):
        assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(1)
    assert [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in (first_mark, second_mark)] == [(0, 0), (1, 1)]
    assert view.counts(0.5).tolist() == [[2, 2], [2, 2]]


def test_headless_there_is_a_picture_and_no_widget_and_live_a_slider(tiny_study_file, monkeypatch):
    study = load_study(tiny_study_file)
    monkeypatch.setenv(HEADLESS, "1")
    shown = threshold_explorer(study, predictions(), "baseline")
    assert isinstance(shown, Image)
    assert np.asarray(PillowImage.open(study.results.figure("threshold")).convert("L")).std() > 5
    monkeypatch.delenv(HEADLESS)
    box = threshold_explorer(study, predictions(), "baseline")
    slider, words, _ = box.children
    (found, missed), _ = confusion_matrix(LABELS, PROBABILITIES >= 0.5, labels=[1, 0])
    assert slider.value == 0.5
    assert f"<b>{found}</b> of {found + missed} positives" in words.value


def test_one_label_only_has_no_curve_to_move_on():
    with pytest.raises(InputError, match=r"found films of the labels \[1\], expected both"):
        ThresholdView(np.ones(5), np.linspace(0, 1, 5), "")
