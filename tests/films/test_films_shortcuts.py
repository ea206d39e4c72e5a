"""Shortcuts are found where they were planted, and not where there is none."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cxrlib.evaluation.ranking import separation
from cxrlib.films import shortcuts
from cxrlib.films.covidx import labels_path, read_labels

RING = np.ones((32, 32), bool)
RING[4:-4, 4:-4] = False


def coin_films(count, seed=0, size=32):
    """Noise with a bright middle for positives: what a border rule must not see."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    films = random.integers(60, 140, (count, size, size)).astype(np.uint8)
    middle = slice(size // 4, 3 * size // 4)
    films[:, middle, middle] = np.where(labels[:, None, None] == 1, 220, 40)
    patients = np.array([f"p{number // 2}" for number in random.permutation(count)])
    return films, labels, patients


def border_area(films, labels, patients, region=RING):
    cells = shortcuts.border_cells(films, region)
    part = shortcuts.parts_of_patients(labels, patients, "test")
    p_positive = shortcuts.cross_predict(shortcuts.fit_border_rule, cells, labels, part)
    return separation(labels, p_positive, patients, seed=0, parts=part, resamples=300)


def test_a_marker_in_the_border_of_positives_is_found():
    films, labels, patients = coin_films(200)
    films[np.ix_(labels == 1, range(1, 3), range(27, 30))] = 250
    assert border_area(films, labels, patients).low > 0.9


def test_without_a_marker_nothing_is_found_though_the_middle_gives_the_label_away():
    found = border_area(*coin_films(200))
    assert found.low < 0.5 < found.high
    assert found.high < 0.75


@pytest.mark.parametrize("size", [32, 64, 50])
def test_border_cells_are_means_of_the_film_outside_the_box(size):
    films = np.full((3, size, size), 100, np.uint8)
    films[1] = 200
    cells = shortcuts.border_cells(films, RING)
    assert cells.shape == (3, RING.sum())
    np.testing.assert_allclose(cells, np.array([[100], [200], [100]]) * np.ones((3, RING.sum())), rtol=1e-6)


def test_the_border_rule_is_scikit_learn_s_ridge_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(1)
    cells, labels = random.normal(100, 20, (120, 10)), np.arange(120) % 3 == 0
    cells[labels, 0] += 15
    model = LogisticRegression(C=shortcuts.INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
    reference = make_pipeline(StandardScaler(), model).fit(cells, labels)
    rule = shortcuts.fit_border_rule(cells, labels.astype(int))
    np.testing.assert_allclose(rule.predict(cells), reference.predict_proba(cells)[:, 1], atol=1e-6)


def test_where_all_lungs_are_known_the_border_is_what_lies_outside_them_and_not_between_them():
    lungs = np.zeros((20, 64, 64), np.uint8)
    lungs[:, 20:40, 10:24], lungs[:, 20:40, 40:54] = 1, 1
    region = shortcuts.border_region({"training": lungs, "hospital": lungs})
    assert not region[10:20, 5:27].any()
    expected = np.ones((32, 32), bool)
    expected[10:20, 5:27] = False
    np.testing.assert_array_equal(region, expected)
    assert shortcuts.lung_share_of(region, lungs) == 0


def test_where_some_lungs_are_unknown_the_border_is_a_ring_less_what_known_lungs_reach():
    lungs = np.zeros((20, 64, 64), np.uint8)
    lungs[:10, 0:40, 20:30] = 1
    region = shortcuts.border_region({"training": None, "hospital": lungs})
    assert not region[4:-4, 4:-4].any()
    assert not region[:4, 10:15].any()
    assert region.sum() == RING.sum() - 4 * 5
    assert shortcuts.lung_share_of(RING, lungs) == pytest.approx(4 * 5 / RING.sum())
    assert np.isnan(shortcuts.lung_share_of(RING, np.zeros((2, 64, 64), np.uint8)))


def test_no_patient_is_in_two_parts_and_every_part_has_both_labels():
    _, labels, patients = coin_films(90, seed=3)
    part = shortcuts.parts_of_patients(labels, patients, "test")
    assert len(set(zip(patients, part, strict=True))) == len(set(patients))
    assert all(set(labels[part == number]) == {0, 1} for number in set(part))
    assert shortcuts.parts_of_patients(np.array([0, 0, 1, 1]), np.array(["a", "b", "c", "c"]), "test") is None


def test_the_source_rule_smooths_the_share_of_positives_of_each_source_and_knows_the_prevalence():
    sources = ["rsna"] * 8 + ["sirm"] * 3 + ["both"] * 2 + [""]
    rule = shortcuts.fit_source_rule(sources, np.array([0] * 8 + [1] * 3 + [0, 1] + [1]))
    found = rule.predict(["rsna", "sirm", "both", "ricord", ""])
    np.testing.assert_allclose(found, [1 / 10, 4 / 5, 2 / 4, 6 / 16, 6 / 16], rtol=1e-12)
    assert rule.counts["rsna"] == (8, 0)
    assert rule.knows(["rsna", "ricord", ""]).tolist() == [True, False, False]


def test_a_cross_fitted_rule_of_a_useless_source_tells_nothing():
    labels = np.arange(100) % 3 == 0
    patients = np.arange(100).astype(str)
    part = shortcuts.parts_of_patients(labels, patients, "test")
    sources = np.full(100, "one", dtype=object)
    p_positive = shortcuts.cross_predict(shortcuts.fit_source_rule, sources, labels, part)
    found = separation(labels.astype(int), p_positive, patients, seed=0, parts=part, resamples=50)
    assert (found.estimate, found.low, found.high) == (0.5, 0.5, 0.5)


def test_covidx_is_nearly_solved_by_its_sources(real_films: Path):
    tables = {split: read_labels(labels_path(real_films / "covidx8b", split)) for split in ("train", "test")}
    labels = {split: (table["label"] == "positive").to_numpy(int) for split, table in tables.items()}
    rule = shortcuts.fit_source_rule(tables["train"]["source"], labels["train"])
    right = {
        split: accuracy_score(labels[split], rule.predict(tables[split]["source"]) >= 0.5)
        for split in ("train", "test")
    }
    assert f"{100 * right['train']:.2f}" == "98.15"
    assert right["test"] == 1
    part = shortcuts.parts_of_patients(labels["train"], tables["train"]["patient_id"].to_numpy(), "test")
    sources = tables["train"]["source"].to_numpy()
    crossed = shortcuts.cross_predict(shortcuts.fit_source_rule, sources, labels["train"], part)
    assert f"{100 * accuracy_score(labels['train'], crossed >= 0.5):.2f}" == "98.15"


class TestSeparation:
    def test_estimate_is_scikit_learn_s_area_with_and_without_ties(self):
        random = np.random.default_rng(0)
        labels, values = random.integers(0, 2, 300), random.normal(size=300)
        for given in (values, values.round(0)):
            found = separation(labels, given, np.arange(300), seed=0, resamples=10)
            assert found.estimate == pytest.approx(roc_auc_score(labels, given), abs=1e-12)

    def test_interval_is_that_of_a_plain_bootstrap_over_patients(self):
        random = np.random.default_rng(1)
        patients = np.repeat(np.arange(60), 3)
        labels = np.repeat(random.integers(0, 2, 60), 3)
        values = labels * 0.7 + np.repeat(random.normal(size=60), 3) + random.normal(0, 0.2, 180)
        areas = []
        for _ in range(800):
            rows = np.concatenate([np.flatnonzero(patients == drawn) for drawn in random.integers(0, 60, 60)])
            areas.append(roc_auc_score(labels[rows], values[rows]))
        found = separation(labels, values, patients, seed=0)
        np.testing.assert_allclose([found.low, found.high], np.quantile(areas, [0.025, 0.975]), atol=0.02)
        films_apart = separation(labels, values, np.arange(180), seed=0)
        assert found.high - found.low > 1.4 * (films_apart.high - films_apart.low)

    def test_films_are_compared_within_their_part_only(self):
        labels, parts = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
        values = np.array([0.1, 0.2, 5.1, 5.2])
        assert separation(labels, values, np.arange(4), seed=0, parts=parts, resamples=50).estimate == 1
        assert separation(labels, values, np.arange(4), seed=0, resamples=50).estimate == 0.75

    def test_an_empty_group_has_no_area(self):
        assert np.isnan(separation(np.ones(5), np.arange(5), np.arange(5), seed=0, resamples=20).estimate)
