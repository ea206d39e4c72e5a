"""Figures show what they were given, say where films come from, and stay legible in grey."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from cxrlib import figures
from cxrlib.errors import InputError
from cxrlib.figures.style import LINE_LOOKS

ARMS = ("baseline", "synthetic", "oversampled")


def films(count, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size), dtype=np.uint8)


def seed_table():
    rows = [("hospital", arm, seed, 0.8 + 0.01 * seed, 0.9) for arm in ARMS for seed in range(3)]
    return pd.DataFrame(rows, columns=["role", "arm", "seed", "accuracy", "roc_auc"]).assign(average_precision=0.7)


def difference_table():
    rows = [("hospital", arm, "accuracy", 0.05, -0.01, 0.11) for arm in ARMS[1:]]
    return pd.DataFrame(rows, columns=["role", "arm", "metric", "difference", "low", "high"])


def curve_table():
    points = [(0.0, 0.0), (0.2, 0.6), (1.0, 1.0)]
    rows = [
        ("hospital", arm, seed, curve, x, y + 0.02 * seed * (0 < x < 1))
        for arm in ARMS for seed in range(2) for curve in ("roc", "precision_recall") for x, y in points
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["role", "arm", "seed", "curve", "x", "y"])


def quality_table():
    rows = [(label, name, 0.1, 0.05, 0.2) for label in ("negative", "positive") for name in ("a-b", "a-a")]
    return pd.DataFrame(rows, columns=["label", "comparison", "kid", "kid_low", "kid_high"])


def log():
    return pd.DataFrame({"images": [8, 16, 24], "loss": [3.0, 2.0, np.nan]})


CHARTS = {
    "curves": lambda origin: figures.curves(curve_table(), "hospital", origin, seed_table()),
    "differences": lambda origin: figures.differences(difference_table(), "hospital", ["accuracy"], origin),
    "seed_dots": lambda origin: figures.seed_dots(seed_table(), "hospital", ["accuracy"], origin),
    "confusion": lambda origin: figures.confusion_matrices({"baseline": np.array([[84, 26], [9, 214]])}, origin),
    "quality": lambda origin: figures.quality_intervals(quality_table(), {"a-b": "a to b", "a-a": "a to a"}, origin),
    "composition": lambda origin: figures.composition(pd.DataFrame([[5, 1, 3, 1]], index=["baseline"]), origin),
    "training": lambda origin: figures.training_curves({"a": log()}, "images", {"loss": "loss"}, "films", origin),
    "histograms": lambda origin: figures.intensity_histograms({"training": films(3)}, origin),
    "annotated": lambda origin: figures.annotated_films(films(2), None, None, ["a", "b"], origin),
}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def pixels(figure: Figure) -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with figures.style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_prints_where_its_films_come_from_and_can_be_drawn(name):
    figure = CHARTS[name]("simulated films")
    assert "simulated films" in texts(figure)
    assert pixels(figure).std() > 5


def test_a_sheet_says_it_for_every_row_and_leaves_a_note_where_films_may_not_be_shown():
    rows = [
        figures.FilmRow("hospital · positive", films(3), "real films"),
        figures.FilmRow("hospital · negative", None, "real films"),
        figures.FilmRow("synthetic · positive", films(9), "synthetic films"),
    ]
    figure = figures.film_sheet(rows, films_per_row=4)
    assert texts(figure).count("real films") == 2
    assert "synthetic films" in texts(figure)
    assert "these films may not be shown in a published book" in texts(figure)
    assert sum(len(ax.images) for ax in figure.axes) == 2


def test_a_sheet_shows_the_pixels_it_was_given():
    bright, dark = np.full((1, 8, 8), 250, np.uint8), np.full((1, 8, 8), 5, np.uint8)
    row = figures.FilmRow("two", np.concatenate([bright, dark]), "synthetic films")
    mosaic = figures.film_sheet([row], films_per_row=2).axes[0].images[0].get_array()
    assert mosaic[20, 20] == 250
    assert mosaic[20, -20] == 5


def test_a_sheet_without_rows_is_an_error():
    with pytest.raises(InputError, match="no row"):
        figures.film_sheet([])


def test_outlines_are_drawn_only_where_masks_are_known():
    masks = np.zeros((2, 16, 16), bool)
    masks[:, 4:10, 4:10] = True
    empty = np.zeros_like(masks)
    with_lungs = figures.annotated_films(films(2), masks, empty, ["a", "b"], "simulated films")
    assert "lungs" in texts(with_lungs)
    assert "ground-glass opacity" not in texts(with_lungs)
    without = figures.annotated_films(films(2), None, None, ["a", "b"], "simulated films")
    assert pixels(with_lungs).shape == pixels(without).shape
    assert "lungs" not in texts(without)


def test_differences_are_drawn_in_points_without_the_baseline():
    ax = figures.differences(difference_table(), "hospital", ["accuracy"], "").axes[0]
    interval, point = ax.get_lines()[1:3]
    np.testing.assert_allclose(interval.get_xdata(), [-1, 11])
    np.testing.assert_allclose(point.get_xdata(), [5])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["synthetic", "oversampled"]


def test_curve_is_the_mean_over_seeds_and_its_band_reaches_from_lowest_to_highest():
    ax = figures.curves(curve_table(), "hospital", "").axes[0]
    line = ax.get_lines()[0]
    at = np.argmin(np.abs(line.get_xdata() - 0.2))
    assert line.get_ydata()[at] == pytest.approx(0.61)
    band = ax.collections[0].get_paths()[0].vertices
    heights = band[np.isclose(band[:, 0], 0.2)][:, 1]
    assert heights.min() == pytest.approx(0.60)
    assert heights.max() == pytest.approx(0.62)


def test_confusion_matrix_shows_counts_and_shares_of_the_true_label():
    shown = texts(figures.confusion_matrices({"baseline": np.array([[84, 26], [9, 214]])}, ""))
    assert "84\n76 %" in shown
    assert "214\n96 %" in shown


def test_lines_differ_by_style_and_marker_and_not_by_colour_alone():
    looks = LINE_LOOKS[:5]
    assert len({str(look[1]) for look in looks}) == len(looks)
    assert len({look[2] for look in looks}) == len(looks)
    white_contrast = [1.05 / (0.05 + _luminance(look[0])) for look in looks]
    assert min(white_contrast) > 2.5


def _luminance(colour):
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_the_style_is_left_behind_when_the_figure_is_done():
    import matplotlib as mpl

    before = mpl.rcParams["font.size"], mpl.rcParams["axes.grid"]
    figures.panels(1, 1, 2.0)
    assert (mpl.rcParams["font.size"], mpl.rcParams["axes.grid"]) == before
