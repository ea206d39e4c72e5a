"""Figures show what they were given, say where films come from, and stay legible in grey."""

import io

import made_results as made
import numpy as np
import pandas as pd
import pytest
from drawn import overlaps, pixels, texts
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from cxrlib.chapters import sheets, style
from cxrlib.chapters.classifiers import notebook as chapter_four
from cxrlib.chapters.films import figures as films_figures
from cxrlib.chapters.generators import figures as generators_figures
from cxrlib.chapters.results import curves as results_curves
from cxrlib.chapters.results import explanation_figures as results_explanation_figures
from cxrlib.chapters.results import figures as results_figures
from cxrlib.chapters.results import ladder as results_ladder
from cxrlib.chapters.style import arm_look
from cxrlib.errors import InputError
from cxrlib.evaluation.paper import paper_table2

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
    return pd.DataFrame(rows, columns=["role", "arm", "seed", "curve", "x", "y"]).assign(fold="all")


def quality_table():
    rows = [
        (label, name, measure, 0.1, 0.05, 0.2)
        for label in ("negative", "positive") for name in ("a-b", "a-a") for measure in ("kid", "recall", "density")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["label", "comparison", "measure", "estimate", "low", "high"])


def snapshot_table(kid=0.3):
    rows = [(images, kid / images, 0.0, 0.5, 0.8, images == 2) for images in (1, 2, 3)]
    return pd.DataFrame(rows, columns=["images", "kid", "kid_low", "kid_high", "recall", "chosen"])


def variant_table():
    return pd.concat([snapshot_table().assign(variant=name) for name in ("standard", "random-start")])


PAIRS = {"start": {"standard": "public", "random-start": "random"}, "other": {"standard": "a", "missing": "b"}}


def log():
    return pd.DataFrame({"images": [8, 16, 24], "loss": [3.0, 2.0, np.nan]})


CHARTS = {
    "ladder": lambda origin: results_ladder.ladder(made.table2(), origin),
    "plane": lambda origin: results_ladder.plane(made.table2(), origin),
    "curves": lambda origin: results_curves.curves(curve_table(), "hospital", origin, seed_table()),
    "differences": lambda origin: results_figures.differences(difference_table(), "hospital", ["accuracy"], origin),
    "seed_dots": lambda origin: results_figures.seed_dots(seed_table(), "hospital", ["accuracy"], origin),
    "curves_of_all": lambda origin: results_curves.curves(made.curves(), "hospital", origin, made.table2_seeds()),
    "reliability": lambda origin: results_curves.reliability(made.calibration(), "hospital", origin),
    "decision": lambda origin: results_curves.decision_curve(made.decision(), "hospital", origin),
    "dose": lambda origin: results_figures.dose_curve(made.dose(), made.dose_seeds(), "hospital", ["accuracy"], origin),
    "seeds_of_all": lambda origin: results_figures.seed_dots(
        made.table2_seeds(), "hospital", ["accuracy", "mcc"], origin, made.table2()
    ),
    "differences_of_all": lambda origin: results_figures.differences(
        made.differences(), "hospital", ["accuracy"], origin
    ),
    "subgroups": lambda origin: results_figures.subgroups(
        made.subgroups(), "hospital", "recall_positive", ["baseline", "synthetic"], origin
    ),
    "paper_beside": lambda origin: results_figures.paper_beside(made.table2(), paper_table2(), ["accuracy"], origin),
    "attention_shares": lambda origin: results_explanation_figures.attention_shares(made.attention(), origin),
    "no_attention": lambda origin: results_explanation_figures.attention_shares(made.attention().iloc[:0], origin),
    "quality": lambda origin: generators_figures.quality_intervals(
        quality_table(),
        {"a-b": "a to b", "a-a": "a to a"},
        {"kid": "distance", "recall": "recall", "density": "d"},
        origin,
    ),
    "snapshots": lambda origin: generators_figures.snapshot_curves({"negative": snapshot_table()}, origin),
    "no_held_out": lambda origin: generators_figures.snapshot_curves({"negative": snapshot_table(np.nan)}, origin),
    "variants": lambda origin: generators_figures.variant_curves(variant_table(), PAIRS, origin),
    "no_variants": lambda origin: generators_figures.variant_curves(variant_table().iloc[:0], PAIRS, origin),
    "composition": lambda origin: chapter_four.composition(pd.DataFrame([[5, 1, 3, 1]], index=["baseline"]), origin),
    "training": lambda origin: style.training_curves({"a": log()}, "images", {"loss": "loss"}, "films", origin),
    "histograms": lambda origin: films_figures.intensity_histograms({"training": films(3)}, origin),
    "annotated": lambda origin: sheets.annotated_films(films(2), None, None, ["a", "b"], origin),
}


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_prints_where_its_films_come_from_and_can_be_drawn(name):
    figure = CHARTS[name]("simulated films")
    assert "simulated films" in texts(figure)
    assert pixels(figure).std() > 5


def test_a_sheet_says_it_for_every_row_and_leaves_a_note_where_films_may_not_be_shown():
    rows = [
        sheets.FilmRow("hospital · positive", films(3), "real films"),
        sheets.FilmRow("hospital · negative", None, "real films"),
        sheets.FilmRow("synthetic · positive", films(9), "synthetic films"),
    ]
    figure = sheets.film_sheet(rows, films_per_row=4)
    assert texts(figure).count("real films") == 2
    assert "synthetic films" in texts(figure)
    assert "these films may not be shown in a published book" in texts(figure)
    assert sum(len(ax.images) for ax in figure.axes) == 2


def test_a_sheet_shows_the_pixels_it_was_given():
    bright, dark = np.full((1, 8, 8), 250, np.uint8), np.full((1, 8, 8), 5, np.uint8)
    row = sheets.FilmRow("two", np.concatenate([bright, dark]), "synthetic films")
    mosaic = sheets.film_sheet([row], films_per_row=2).axes[0].images[0].get_array()
    assert mosaic[20, 20] == 250
    assert mosaic[20, -20] == 5


def test_a_sheet_without_rows_is_an_error():
    with pytest.raises(InputError, match="no row"):
        sheets.film_sheet([])


def test_outlines_are_drawn_only_where_masks_are_known():
    masks = np.zeros((2, 16, 16), bool)
    masks[:, 4:10, 4:10] = True
    empty = np.zeros_like(masks)
    with_lungs = sheets.annotated_films(films(2), masks, empty, ["a", "b"], "simulated films")
    assert "lungs" in texts(with_lungs)
    assert "ground-glass opacity" not in texts(with_lungs)
    without = sheets.annotated_films(films(2), None, None, ["a", "b"], "simulated films")
    assert pixels(with_lungs).shape == pixels(without).shape
    assert "lungs" not in texts(without)


def test_differences_are_drawn_in_points_without_the_baseline():
    ax = results_figures.differences(difference_table(), "hospital", ["accuracy"], "").axes[0]
    interval, point = ax.get_lines()[1:3]
    np.testing.assert_allclose(interval.get_xdata(), [-1, 11])
    np.testing.assert_allclose(point.get_xdata(), [5])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["synthetic", "oversampled"]


def test_curve_is_the_mean_over_seeds_and_its_band_reaches_from_lowest_to_highest():
    ax = results_curves.curves(curve_table(), "hospital", "").axes[0]
    line = ax.get_lines()[0]
    at = np.argmin(np.abs(line.get_xdata() - 0.2))
    assert line.get_ydata()[at] == pytest.approx(0.61)
    band = ax.collections[0].get_paths()[0].vertices
    heights = band[np.isclose(band[:, 0], 0.2)][:, 1]
    assert heights.min() == pytest.approx(0.60)
    assert heights.max() == pytest.approx(0.62)


def test_confusion_matrix_shows_counts_and_shares_of_the_true_label():
    figure = Figure()
    results_figures.draw_confusion(figure.subplots(), np.array([[84, 26], [9, 214]]), "baseline")
    shown = texts(figure)
    assert "84\n76 %" in shown
    assert "214\n96 %" in shown


def test_lines_differ_by_style_and_marker_and_not_by_colour_alone():
    looks = [arm_look(arm) for arm in ("source-rule", "synthetic-dose10", *made.MAIN_ARMS)]
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
    with style.drawing(1, 1, 2.0):
        assert mpl.rcParams["axes.grid"]
    assert (mpl.rcParams["font.size"], mpl.rcParams["axes.grid"]) == before


@pytest.mark.parametrize("name", CHARTS)
def test_no_text_lies_on_another_or_is_too_small_to_read(name):
    figure = CHARTS[name]("simulated films")
    assert overlaps(figure) == []
    small = {text.get_text() for text in figure.findobj(Text) if text.get_fontsize() < 8} - {"simulated films"}
    assert {text for text in small if text.strip()} == set()


def test_curves_of_all_arms_stand_each_beside_the_baseline():
    figure = results_curves.curves(made.curves(), "hospital", "", made.table2_seeds(), made.MAIN_ARMS)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert titles == list(made.MAIN_ARMS[1:])
    areas = made.table2_seeds().query("role == 'hospital' and arm == 'class-weighted'")["roc_auc"].mean()
    assert any(f"class-weighted  {areas:.3f}" in text for text in texts(figure))
    some = results_curves.curves(made.curves(), "hospital", "", arms=("baseline", "synthetic"))
    assert len(some.axes) == 2


def test_reliability_shows_the_bins_as_they_are_and_the_scaled_ones_with_intervals():
    ax = results_curves.reliability(made.calibration(["baseline"]), "hospital", "").axes[0]
    _, raw, *upright, scaled = ax.get_lines()
    assert raw.get_ydata() == pytest.approx(0.5 + (raw.get_xdata() - 0.5) * 0.5)
    assert scaled.get_ydata() == pytest.approx(scaled.get_xdata())
    assert len(upright) == 10
    assert upright[0].get_ydata() == pytest.approx([0, 0.15])


def test_the_ladder_orders_arms_by_their_rung_and_the_plane_starts_at_the_baseline():
    table = made.table2(("synthetic-crossfit", "oversampled", "baseline"))
    ax = results_ladder.ladder(table, "simulated films").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["baseline", "oversampled", "synthetic-crossfit"]
    assert ax.get_xlim()[1] < 1.5, "areas are told as they are, in prose as in figures"
    rungs = [text.get_text() for text in ax.texts]
    assert rungs == ["nothing of the hospital", "another balance or threshold", "its films by way of a generator"]
    plane = results_ladder.plane(table, "simulated films").axes[0]
    row = table.query("role == 'hospital' and arm == 'baseline'").iloc[0]
    start = 100 * row["recall_negative"], 100 * row["recall_positive"]
    assert [arrow.xyann for arrow in plane.texts] == [pytest.approx(start)] * 2


def test_suppressed_subgroups_show_a_note_and_no_number():
    figure = results_figures.subgroups(made.subgroups(), "hospital", "recall_positive", ["baseline", "synthetic"], "")
    shown = texts(figure)
    assert shown.count("too few patients to show") == 2
    ax = figure.axes[0]
    at = dict(zip([label.get_text() for label in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    heights = [y for line in ax.get_lines() for y in np.atleast_1d(line.get_ydata())]
    assert min(abs(np.array(heights) - at["age: not known"])) > 0.5
    assert min(abs(np.array(heights) - at["sex: F"])) < 0.2
    assert {"60", "57", "30"} <= set(shown)


def test_decisions_are_drawn_beside_calling_all_or_none_positive():
    ax = results_curves.decision_curve(made.decision(), "hospital", "", ["baseline"]).axes[0]
    names = {line.get_label(): line for line in ax.get_lines()}
    assert list(names) == ["call every film positive", "call none positive", "baseline"]
    assert set(names["call none positive"].get_ydata()) == {0}
    expected = made.decision().query("arm == 'baseline'")["net_benefit"]
    np.testing.assert_allclose(names["baseline"].get_ydata(), expected)


def test_decisions_of_several_arms_stand_each_in_a_panel_beside_the_baseline():
    figure = results_curves.decision_curve(made.decision(), "hospital", "")
    arms = [arm for arm in made.decision()["arm"].unique() if arm not in ("baseline", "treat-all", "treat-none")]
    drawn = [ax for ax in figure.axes if ax.has_data()]
    assert [ax.get_title(loc="left") for ax in drawn] == arms
    assert {len(ax.get_lines()) for ax in drawn} == {4}


def test_the_first_rung_of_the_ladder_stands_below_the_upper_edge():
    ax = results_ladder.ladder(made.table2(["baseline", "oversampled"]), "simulated films").axes[0]
    assert min(text.get_position()[1] for text in ax.texts) > max(ax.get_ylim()[1], ax.get_ylim()[1]) + 0.3


def test_a_mark_is_told_from_others_by_more_than_corners_of_a_disc():
    marks = [arm_look(arm)[2] for arm in made.MAIN_ARMS]
    assert not set("h*H8") & {mark for mark in marks if isinstance(mark, str)}


def test_doses_show_every_run_and_the_interval_of_the_mean():
    ax = results_figures.dose_curve(made.dose(), made.dose_seeds(), "hospital", ["accuracy"], "").axes[0]
    dots = [line for line in ax.get_lines() if line.get_linestyle() == "None" and line.get_marker() == "o"]
    assert len(dots[0].get_xdata()) == 15
    (low, high), *_ = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    assert (low, high) == pytest.approx((53, 66))


def test_differences_at_another_operating_point_are_other_numbers():
    table = made.differences()
    table.loc[table["operating_point"] == "validation", "difference"] += 0.5
    fixed, validation = (
        results_figures.differences(table, "hospital", ["accuracy"], "", point).axes[0].get_lines()[2].get_xdata()[0]
        for point in ("fixed", "validation")
    )
    assert validation - fixed == pytest.approx(50)


def test_the_paper_s_rows_keep_their_numbers_beside_ours():
    figure = results_figures.paper_beside(made.table2(), paper_table2(), ["recall_positive"], "", ["baseline"])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["COVIDx (the paper)", "COVIDx+Synth (the paper)", "baseline"]
    points = [line.get_xdata()[0] for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 1]
    assert points[:2] == pytest.approx([100 * 84 / 110, 100 * 105 / 110])


def test_attention_is_drawn_over_films_and_never_without_leave():
    maps = np.zeros((2, 16, 16), np.float32)
    maps[:, 2:6, 2:6] = 1
    rows = [
        results_explanation_figures.LookedAt(
            "missed", films(2), "real films", ["negative, p = 0.10", "negative, p = 0.20"], maps
        ),
        results_explanation_figures.LookedAt("alarms", films(0), "real films", [], maps[:0]),
        results_explanation_figures.LookedAt("private", None, "real films"),
    ]
    figure = results_explanation_figures.attention_gallery(rows)
    shown = texts(figure)
    assert {"negative, p = 0.10", "there are no such films", "these films may not be shown in a published book"} <= set(
        shown
    )
    assert [len(ax.images) for ax in figure.axes] == [6, 0, 0]
    assert overlaps(figure) == []


def test_figure_two_shows_each_film_plain_and_as_every_arm_saw_it():
    seen = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    cells = {(film, arm): (films(1)[0], seen, f"{arm}: positive") for film in ("hospital film", "synthetic film")
             for arm in ("baseline", "synthetic")}  # fmt: skip
    origins = {"hospital film": "simulated", "synthetic film": "synthetic, after simulated films"}
    figure = results_explanation_figures.real_and_synthetic(cells, origins)
    assert len(figure.axes) == 6
    assert [len(ax.images) for ax in figure.axes] == [1, 2, 2, 1, 2, 2]
    assert {"hospital film", "synthetic film", "simulated", "baseline: positive"} <= set(texts(figure))
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), films(1)[0])
    assert overlaps(figure) == []


def test_the_area_under_a_drawn_precision_recall_curve_is_the_average_precision():
    from sklearn.metrics import average_precision_score, precision_recall_curve

    random = np.random.default_rng(1)
    for p_positive in (random.uniform(0, 1, 80), np.full(80, 0.4)):
        labels = random.integers(0, 2, 80)
        precision, recall, _ = precision_recall_curve(labels, p_positive)
        keys = {"role": "hospital", "arm": "baseline", "seed": 0, "fold": "all", "curve": "precision_recall"}
        table = pd.DataFrame({**keys, "x": recall[::-1], "y": precision[::-1]})
        drawn = results_curves.curves(table, "hospital", "").axes[1].get_lines()[0].get_ydata()
        assert drawn[1:].mean() == pytest.approx(average_precision_score(labels, p_positive), abs=0.02)


def test_the_snapshot_that_was_kept_is_ringed_and_missing_distances_are_said():
    figure = generators_figures.snapshot_curves({"negative": snapshot_table()}, "simulated films")
    rings = [line.get_xdata().tolist() for ax in figure.axes for line in ax.lines if line.get_markersize() > 10]
    assert rings == [[2], [2]]
    assert not any("no film was held out" in text for text in texts(figure))
    assert any("no film was held out" in text for text in texts(CHARTS["no_held_out"]("simulated films")))


def test_only_pairs_of_generators_that_were_trained_are_compared():
    figure = generators_figures.variant_curves(variant_table(), PAIRS, "simulated films")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["start"]
    assert {"public", "random"} <= set(texts(figure))
    assert any("no generators trained another way" in text for text in texts(CHARTS["no_variants"]("simulated films")))


def test_the_names_of_generators_stand_below_their_lines():
    figure = generators_figures.variant_curves(variant_table(), PAIRS, "simulated films")
    figure.canvas.draw()
    for ax in figure.axes:
        assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0


def test_a_strip_holds_every_frame_where_a_slider_looks_for_it():
    random = np.random.default_rng(0)
    walks = {name: random.integers(0, 256, (10, 8, 8), dtype=np.uint8) for name in ("negative", "positive")}
    with Image.open(io.BytesIO(sheets.film_strip(walks, "synthetic films"))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")
        strip = np.asarray(picture)
    columns, size, step, heading = (sheets.STRIP[name] for name in ("columns", "size", "step", "heading"))
    for row, films in enumerate(walks.values()):
        for frame, film in enumerate(films):
            x, y = frame % columns * step, (row * 2 + frame // columns) * step + (row + 1) * heading
            found = Image.fromarray(strip[y : y + size, x : x + size]).resize((8, 8), Image.Resampling.BOX)
            assert np.corrcoef(np.ravel(found), film.ravel())[0, 1] > 0.9
