"""Figures of Chapter 1: numbers arrive, nothing private is drawn, texts are legible."""

import numpy as np
import pandas as pd
import pytest
from drawn import drawn_texts, overlaps, pixels, texts

from cxrlib.chapters.films import figures as films_figures
from cxrlib.films.appearance import MEASURES
from cxrlib.films.settings import LABELS, ROLES


def flow_table(films=15952):
    rows = []
    for role in ROLES:
        rows += [
            (role, "listed", "", films, films - 200, 200),
            (role, "missing", "", 84, None, None),
            (role, "unreadable", "damaged", 3, None, None),
            (role, "unreadable", "refused because its name leads elsewhere", 1, None, None),
            (role, "prepared", "", films - 88, films - 288, 200),
            (role, "duplicate", "", 7, 7, 0),
            (role, "used", "", films - 95, films - 295, 200),
        ]
    columns = ["role", "stage", "reason", "films", "positive", "negative"]
    return pd.DataFrame(rows, columns=columns).astype({"positive": "Int64", "negative": "Int64"})


def shortcut_table():
    rows = [
        (role, name, learned_on, 0.8, 0.7, 0.9)
        for role in ROLES
        for name in ("majority", "source", "borders")
        for learned_on in ("training", "own")
    ]
    return pd.DataFrame(rows, columns=["role", "shortcut", "learned_on", "roc_auc", "roc_auc_low", "roc_auc_high"])


def border_weights():
    row, column = np.nonzero(np.pad(np.zeros((24, 24), bool), 4, constant_values=True))
    values = np.linspace(0, 200, len(row))
    cells = {"row": row.tolist(), "column": column.tolist(), "weight": (values - 100).tolist()}
    return {"grid": 32, **cells, "negative": values.tolist(), "positive": values[::-1].tolist()}


def spread_table():
    rows = [
        (role, label, measure, 1.0, 2.0, 3.0, 4.0, 5.0)
        for role in ROLES
        for label in ("both", *LABELS)
        for measure in MEASURES
    ]
    return pd.DataFrame(rows, columns=["role", "label", "measure", *(f"percentile_{n}" for n in (5, 25, 50, 75, 95))])


def views():
    return pd.DataFrame(
        {"PA": [5, 0, 3], "AP": [5, 0, 9], "other": [1, 1, 1], "not known": [0, 9, 0]}, index=list(ROLES)
    )


def points(count=30):
    random = np.random.default_rng(0)
    rows = [(*random.normal(size=2), role, label) for role in ROLES for label in LABELS for _ in range(count)]
    return pd.DataFrame(rows, columns=["x", "y", "role", "label"])


CHARTS = {
    "flow": lambda origin: films_figures.film_flow(flow_table(), origin),
    "shortcuts": lambda origin: films_figures.shortcut_areas(shortcut_table(), origin),
    "borders": lambda origin: films_figures.border_map(border_weights(), True, origin),
    "borders, private": lambda origin: films_figures.border_map(border_weights(), False, origin),
    "appearance": lambda origin: films_figures.appearance(spread_table(), MEASURES, views(), origin),
    "map": lambda origin: films_figures.film_map(points(), (), origin),
    "map, private": lambda origin: films_figures.film_map(points(), ("hospital",), origin),
    "map, all private": lambda origin: films_figures.film_map(points(), ROLES, origin),
}


@pytest.mark.parametrize("name", CHARTS)
def test_every_figure_can_be_drawn_says_its_origin_and_is_legible(name):
    figure = CHARTS[name]("simulated films")
    assert pixels(figure).std() > 5
    assert "simulated films" in texts(figure)
    assert overlaps(figure) == []
    small = {text.get_text() for text in drawn_texts(figure) if text.get_fontsize() < 8} - {"simulated films"}
    assert small == set()


def test_in_words_films_tune_and_in_files_they_validate():
    said = "".join(" ".join(texts(chart("films"))) for chart in CHARTS.values())
    assert "tuning" in said
    assert "validation" not in said


def test_the_flow_shows_every_number_of_the_table():
    shown = "\n".join(texts(films_figures.film_flow(flow_table(), "")))
    for words in (
        "15,952 films",
        "84 missing",
        "3 damaged",
        "15,864 films",
        "15,857 films",
        "15,657 positive, 200 neg.",
    ):
        assert words in shown
    changed = flow_table().assign(films=lambda table: table["films"].where(table["stage"] != "duplicate", 0))
    assert "\n".join(texts(films_figures.film_flow(changed, ""))).count("none") == 3


def test_texts_stay_inside_their_boxes():
    figure = films_figures.film_flow(flow_table(), "")
    pixels(figure)
    for ax in figure.axes:
        boxes = [patch.get_window_extent() for patch in ax.patches if patch.get_window_extent().width > 20]
        for text in ax.texts:
            if not text.get_text():
                continue
            extent = text.get_window_extent()
            assert any(box.x0 <= extent.x0 and extent.x1 <= box.x1 for box in boxes), text.get_text()


def test_no_point_of_a_private_role_is_on_the_map():
    def drawn(private):
        return sum(len(line.get_xdata()) for line in films_figures.film_map(points(), private, "").axes[0].get_lines())

    assert drawn(()) == len(points())
    assert drawn(("hospital",)) == len(points()) - 60
    assert drawn(ROLES) == 0


def test_contours_of_private_films_leave_the_axes_without_names():
    axes = films_figures.film_map(points(), ("hospital",), "").axes
    assert [(len(ax.collections) > 0, ax.get_ylabel(), ax.get_xlabel().strip()) for ax in axes] == [(True, "", "")] * 2


def test_too_few_private_films_have_no_contours_either():
    ax = films_figures.film_map(points(count=6), ("hospital",), "").axes[1]
    assert len(ax.collections) == 0


def test_a_private_border_is_not_drawn():
    hidden = films_figures.border_map(border_weights(), False, "")
    assert all(image.get_array().count() == 0 for ax in hidden.axes[:3] for image in ax.images)
    shown = films_figures.border_map(border_weights(), True, "")
    assert all(image.get_array().count() == 448 for ax in shown.axes[:3] for image in ax.images)


def test_bars_of_views_fill_the_whole_and_are_told_apart_without_colour():
    figure = films_figures.appearance(spread_table(), MEASURES, views(), "")
    bars = next(ax for ax in figure.axes if ax.get_title(loc="left").startswith("view")).patches
    ends = {}
    for bar in bars:
        ends[round(bar.get_y(), 2)] = max(ends.get(round(bar.get_y(), 2), 0), bar.get_x() + bar.get_width())
    np.testing.assert_allclose(list(ends.values()), 100)
    assert len({bar.get_hatch() for bar in bars}) >= 3
