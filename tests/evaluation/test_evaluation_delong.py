"""DeLong's test: published numbers, the definition written out, the bootstrap, and p-values under the null."""

import numpy as np
import pandas as pd
import pytest
from made_predictions import make_predictions
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from cxrlib.evaluation.delong import contributions, delong_test, variance
from cxrlib.evaluation.scores import collect_scores
from cxrlib.evaluation.significance import delong, holm, mcnemar, significance

# Albumin, total protein, K-G score and benefit of 43 patients: the example of DeLong, DeLong & Clarke-Pearson (1988).
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""


def test_the_published_example_comes_out():
    """SAS/STAT user's guide, PROC LOGISTIC, "Comparing Receiver Operating Characteristic Curves": areas, standard
    errors, both contrasts, and chi-square 2.5340 with p 0.2817 for all three curves."""
    table = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4)
    labels, patients = table[:, 3].astype(int), np.arange(len(table))
    tests = {"albumin": table[:, 0], "protein": table[:, 1], "score": 10 - table[:, 2]}
    found = {name: contributions(labels, values, patients, len(table)) for name, values in tests.items()}
    areas = {name: (round(part.auc, 4), round(variance(part) ** 0.5, 4)) for name, part in found.items()}
    assert areas == {"albumin": (0.7366, 0.0927), "protein": (0.6478, 0.1000), "score": (0.7258, 0.1028)}
    albumin, protein = (delong_test(found[name], found["score"]) for name in ("albumin", "protein"))
    assert (round(albumin.difference, 4), round(albumin.standard_error, 4), round(albumin.p_value, 4)) == (
        0.0108, 0.0953, 0.9102,
    )  # fmt: skip
    assert (round(protein.difference, 4), round(protein.standard_error, 4), round(protein.p_value, 4)) == (
        -0.078, 0.1046, 0.4561,
    )  # fmt: skip
    between = variance(found["albumin"], found["protein"])
    shared = (albumin.standard_error**2 + protein.standard_error**2 - between) / 2
    covariance = [[albumin.standard_error**2, shared], [shared, protein.standard_error**2]]
    differences = np.array([albumin.difference, protein.difference])
    chi_square = differences @ np.linalg.solve(covariance, differences)
    assert (round(chi_square, 4), round(stats.chi2.sf(chi_square, 2), 4)) == (2.5340, 0.2817)


def clustered(random, patients=60, noise=0.4, label_varies=False):
    """Labels, two classifiers' scores and patients of films, one to four a patient, alike within a patient."""
    films = random.integers(1, 5, patients)
    who = np.repeat(np.arange(patients), films)
    labels = (who % 2) if not label_varies else random.integers(0, 2, len(who))
    truth = 0.8 * labels + random.normal(0, 0.8, patients)[who]
    both = [truth + random.normal(0, 0.5, patients)[who] + random.normal(0, noise, len(who)) for _ in range(2)]
    return labels, np.round(both, 1), who


def obuchowski_by_pairs(labels, first, second, who):
    """Variance of the difference from all pairs of films, sums within patients: Obuchowski (1997), word by word."""
    kernels = []
    for scores in (first, second):
        x, y = scores[labels == 1], scores[labels == 0]
        kernels.append((x[:, None] > y).astype(float) + (x[:, None] == y) / 2)
    kernel = kernels[0] - kernels[1]
    theta, (m, n) = kernel.mean(), kernel.shape
    patients = np.unique(who)
    v10 = [(kernel.mean(axis=1) - theta)[who[labels == 1] == one].sum() for one in patients]
    v01 = [(kernel.mean(axis=0) - theta)[who[labels == 0] == one].sum() for one in patients]
    with_positive, with_negative = (len(np.unique(who[labels == label])) for label in (1, 0))
    s10 = with_positive / ((with_positive - 1) * m) * np.square(v10).sum()
    s01 = with_negative / ((with_negative - 1) * n) * np.square(v01).sum()
    s11 = len(patients) / (len(patients) - 1) * np.dot(v10, v01)
    return theta, s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("label_varies", [False, True])
@pytest.mark.parametrize("by_patient", [False, True])
def test_the_variance_is_that_of_the_definition(label_varies, by_patient):
    labels, (first, second), who = clustered(np.random.default_rng(0), label_varies=label_varies)
    who = who if by_patient else np.arange(len(labels))
    found = delong_test(*(contributions(labels, scores, who, who.max() + 1) for scores in (first, second)))
    difference, expected = obuchowski_by_pairs(labels, first, second, who)
    assert found.difference == pytest.approx(roc_auc_score(labels, first) - roc_auc_score(labels, second), abs=1e-12)
    assert found.difference == pytest.approx(difference, abs=1e-12)
    assert found.standard_error**2 == pytest.approx(expected, rel=1e-9)


def test_p_values_are_uniform_under_the_null_by_patient_and_too_small_by_film():
    random = np.random.default_rng(1)
    p_values = {True: [], False: []}
    for _ in range(1000):
        labels, (first, second), who = clustered(random)
        for by_patient, found in p_values.items():
            clusters = who if by_patient else np.arange(len(labels))
            parts = [contributions(labels, scores, clusters, clusters.max() + 1) for scores in (first, second)]
            found.append(delong_test(*parts).p_value)
    assert stats.kstest(p_values[True], "uniform").pvalue > 0.01
    assert 0.03 < np.mean(np.array(p_values[True]) < 0.05) < 0.07
    assert np.mean(np.array(p_values[False]) < 0.05) > 0.10


def test_equal_rankings_have_p_one_and_impossible_ones_none():
    labels, who = np.array([0, 0, 1, 1]), np.arange(4)
    good, same, bad = (
        contributions(labels, np.array(scores), who, 4)
        for scores in ([0.1, 0.2, 0.8, 0.9], [0.0, 0.3, 0.6, 0.7], [0.9, 0.8, 0.2, 0.1])
    )
    assert (delong_test(good, same).p_value, delong_test(good, same).statistic) == (1, 0)
    assert np.isnan(delong_test(good, bad).p_value)
    alone = contributions(np.array([0, 0, 1]), np.array([0.1, 0.5, 0.3]), np.arange(3), 3)
    assert np.isnan(variance(alone))


@pytest.mark.parametrize(("first", "second"), [(12, 3), (0, 5), (7, 7), (0, 0)])
def test_mcnemar_is_that_of_statsmodels(first, second):
    right = np.array([True] * first + [False] * second + [True] * 9 + [False] * 4)
    other = np.array([False] * first + [True] * second + [True] * 9 + [False] * 4)
    expected = statsmodels_mcnemar([[9, first], [second, 4]], exact=True)
    statistic, p_value = mcnemar(right, other)
    assert p_value == pytest.approx(min(expected.pvalue, 1), abs=1e-12)
    assert statistic == expected.statistic


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, np.nan])) == pytest.approx([0.03, 0.06, 0.06, np.nan], nan_ok=True)


def test_every_arm_is_tested_on_every_seed_and_corrected_within_role_and_test():
    predictions = make_predictions(arms=("baseline", "synthetic", "oversampled"), better=0.1)
    scores = {role: collect_scores(predictions, role) for role in ("validation", "hospital")}
    table = significance(scores)
    assert len(table) == 2 * 2 * 2 * 2
    for _, family in table.groupby(["role", "test"]):
        assert len(family) == 4
        np.testing.assert_allclose(family["p_holm"], holm(family["p_value"]))
    row = table.query("role == 'hospital' and arm == 'synthetic' and seed == 1").set_index("test")
    hospital = scores["hospital"]
    right = [(hospital[arm].p_positive[1] >= 0.5) == hospital[arm].labels for arm in ("synthetic", "baseline")]
    cells = [[int(((right[0] == a) & (right[1] == b)).sum()) for b in (1, 0)] for a in (1, 0)]
    assert row.loc["mcnemar", "p_value"] == pytest.approx(statsmodels_mcnemar(cells, exact=True).pvalue, abs=1e-12)
    by_film = delong(hospital["synthetic"], hospital["baseline"], 1, by_patient=False)
    assert row.loc["delong", "p_value_films"] == by_film.p_value
    assert row.loc["delong", "p_value"] != by_film.p_value


def test_an_arm_with_several_models_per_film_has_delong_but_no_mcnemar():
    predictions = make_predictions(patients=30)
    twice = [
        predictions.query("arm == 'synthetic' and role == 'validation'").assign(fold=name) for name in ("f0", "f1")
    ]
    twice[1]["p_positive"] = twice[1]["p_positive"] * 0.9
    rest = predictions.query("arm == 'baseline' and role == 'validation'")
    scores = collect_scores(pd.concat([rest, *twice]), "validation")
    assert len(scores["synthetic"].labels) == 2 * len(scores["baseline"].labels)
    table = significance({"validation": scores})
    assert table["test"].unique().tolist() == ["delong"]
    # The same models twice over would be the same ranking, and their doubled films no further evidence.
    copies = [part.assign(p_positive=twice[0]["p_positive"]) for part in twice]
    same = collect_scores(pd.concat([rest, *copies]), "validation")
    single = collect_scores(pd.concat([rest, twice[0]]), "validation")
    assert delong(same["synthetic"], same["baseline"], 0).p_value == pytest.approx(
        delong(single["synthetic"], single["baseline"], 0).p_value, rel=1e-9
    )
