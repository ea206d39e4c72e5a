"""Tables as people read them: every figure is the one of the file it comes from, rounded, with its interval."""

import made_results as made
import numpy as np
import pandas as pd
import pytest

from cxrlib.chapters import tables, words
from cxrlib.chapters.classifiers import shown as classifiers_shown
from cxrlib.chapters.generators import shown as generators_shown
from cxrlib.chapters.results import shown as results_shown
from cxrlib.classifiers.arms import ARMS
from cxrlib.classifiers.settings import ClassifierSettings
from cxrlib.evaluation.metrics import METRICS
from cxrlib.evaluation.paper import paper_conclusions, paper_table2
from cxrlib.study import load_study


def plain(text):
    """Without what keeps a narrow table from breaking it."""
    return text.replace("\u00a0", " ").replace("\u2060", "")


def table2():
    row = {"role": "hospital", "arm": "baseline", "operating_point": "fixed", "seeds": 3}
    for index, metric in enumerate(METRICS):
        value = 0.70 + 0.01 * index
        row |= {metric: value, f"{metric}_low": value - 0.052, f"{metric}_high": value + 0.049}
    other = {**row, "operating_point": "validation", "accuracy": 0.5}
    return pd.DataFrame([row, other, {**row, "role": "validation", "accuracy": 0.9}])


def test_table_two_has_a_row_per_class_and_the_paper_s_beside_it():
    table = results_shown.table_two(table2(), "hospital", paper_table2())
    ours = table.loc[("baseline", "positive")]
    assert plain(ours["accuracy (%)"]) == "70.0 (65–75)"
    assert plain(ours["recall (%)"]) == "75.0 (70–80)"
    assert table.loc[("baseline", "negative"), "recall (%)"].startswith("76.0")
    paper = table.loc[("COVIDx+Synth (the paper)", "positive")]
    assert plain(paper["recall (%)"]).startswith("95.5 (")
    assert paper["F1 (%)"].startswith("89.4")


def test_roles_are_kept_apart():
    table = results_shown.table_two(table2(), "validation")
    assert table["accuracy (%)"].iloc[0].startswith("90.0")
    assert len(table) == 2


def test_public_synthetic_and_hospital_films_are_counted_apart():
    record = {
        "training_images": {"negative": 92, "positive": 52}, "synthetic_images": {"negative": 32, "positive": 30},
        "hospital_images": {"negative": 0, "positive": 2},
    }  # fmt: skip
    table = classifiers_shown.composition({"synthetic": record})
    assert table.loc["synthetic"].tolist() == [60, 32, 0, 20, 30, 2]


def test_differences_are_in_points_and_leave_out_the_baseline():
    table = pd.DataFrame(
        [
            ("hospital", "synthetic", "fixed", "accuracy", 0.021, -0.004, 0.05),
            ("hospital", "synthetic", "validation", "accuracy", 0.5, 0.4, 0.6),
            ("hospital", "baseline", "fixed", "accuracy", 0, 0, 0),
        ],
        columns=["role", "arm", "operating_point", "metric", "difference", "low", "high"],
    )
    shown = results_shown.differences(table, "hospital", ["accuracy"])
    assert shown.index.tolist() == ["synthetic"]
    assert plain(shown.loc["synthetic", "accuracy (points)"]) == "+2.1 (0 to +5)"


def test_settings_are_shown_one_per_row_lists_included():
    table = tables.settings(ClassifierSettings(doses=(10, 25), equal_steps=("synthetic",)))
    assert table.loc["doses", "value"] == "10, 25"
    assert table.loc["equal steps", "value"] == "synthetic"
    assert not {"True", "False", "None", ""} & set(table["value"])


def test_the_other_operating_point_gives_the_other_rows():
    shown = results_shown.table_two(table2(), "hospital", operating_point="validation")
    assert shown["accuracy (%)"].iloc[0].startswith("50.0")
    assert len(shown) == 2


def test_measures_beyond_table_two_keep_their_own_units_and_mark_a_slope_without_meaning():
    shown = results_shown.ranking(made.table2(["baseline"]), "hospital")
    expected = made.table2(["baseline"]).query("role == 'hospital'").iloc[0]
    assert plain(shown.loc["baseline", "area under ROC"]) == (
        f"{expected.roc_auc:.2f} ({expected.roc_auc_low:.2f}–{expected.roc_auc_high:.2f})"
    )
    wild = made.table2(["baseline"]).assign(calibration_slope=29769.6)
    assert results_shown.probabilities(wild, "hospital").loc["baseline", "calibration slope"] == "beyond 100"


def test_corrected_p_stand_run_by_run_under_their_test():
    table = made.significance(["baseline", "synthetic", "oversampled"])
    table.loc[(table["arm"] == "synthetic") & (table["test"] == "delong"), "p_holm"] = [0.0002, 0.0312, 0.5]
    table = table[~((table["arm"] == "oversampled") & (table["test"] == "mcnemar"))]
    shown = results_shown.significance(table, "hospital")
    assert shown.index.tolist() == ["synthetic", "oversampled"]
    assert shown.loc["synthetic", "area under ROC (DeLong): corrected p, by seed"] == "< 0.001, 0.031, 0.50"
    assert shown.loc["oversampled", "answers (McNemar): corrected p, by seed"] == "–"


def test_recall_at_equal_precision_stands_beside_its_difference():
    columns = ["role", "arm", "precision", "recall", "low", "high"]
    rows = [("hospital", "baseline", 0.8, 0.5, 0.4, 0.6), ("hospital", "synthetic", 0.8, 0.7, 0.6, 0.8)]
    apart = made.differences(["baseline", "synthetic"]).assign(difference=0.2, low=0.1, high=0.3)
    shown = results_shown.equal_precision(pd.DataFrame(rows, columns=columns), apart, "hospital")
    assert plain(shown.loc["synthetic", "recall, positive (%)"]) == "70.0 (60–80)"
    assert plain(shown.loc["synthetic", "difference (points)"]) == "+20.0 (+10 to +30)"
    assert shown.loc["baseline", "difference (points)"] == ""


def test_what_can_be_said_of_the_paper_names_its_counts_and_limits():
    shown = results_shown.paper_conclusions(paper_conclusions()).loc[("hospital (Ulm)", "recall, positive")]
    assert plain(shown["COVIDx (%)"]).startswith("84 of 110: 76.4 (")
    assert plain(shown["COVIDx+Synth (%)"]).startswith("105 of 110: 95.5 (")
    assert shown["verdict"] == "different"


def test_small_subgroups_are_shown_as_such():
    shown = results_shown.subgroups(made.subgroups(), "hospital", "recall_positive", ["baseline", "synthetic"])
    assert shown.loc[("age", "not known")].tolist() == ["<5", "<5", "–", "–"]
    assert plain(shown.loc[("sex", "F"), "recall, positive (%), synthetic"]) == "73.0 (60–85)"
    assert shown.loc[("sex", "F"), "films"] == "90"


def test_attention_stands_beside_the_share_of_area():
    table = made.attention(["baseline"])
    table.loc[2, ["films", "patients", "estimate", "low", "high", "chance", "suppressed"]] = [None] * 6 + [True]
    shown = results_shown.attention(table)
    assert plain(shown.iloc[0]["share of attention (%)"]) == "35.0 (33–37)"
    assert shown.iloc[0]["share of area (%)"] == "33.0"
    assert shown.iloc[0]["before training (%)"] == "21.0"
    assert shown.iloc[2].tolist() == ["<5", "opacities", "–", "–", "–", "–"]


def test_attention_of_each_run_stands_apart_by_answer():
    rows = [
        ("baseline", 0, "positive", "lungs", "right", 9, 0.31, False),
        ("baseline", 0, "positive", "lungs", "wrong", 4, 0.5, True),
        ("baseline", 1, "positive", "lungs", "right", 8, 0.43, False),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["arm", "seed", "label", "region", "answer", "films", "estimate", "suppressed"])
    shown = results_shown.attention_runs(table).loc[("baseline", "positive", "lungs")]
    assert shown["run 1, right"] == "31 (9)"
    assert shown["run 1, wrong"] == "<5"
    assert shown["run 2, right"] == "43 (8)"


def test_what_validation_decided_is_a_range_over_an_arm_s_classifiers():
    records = {
        ("baseline", seed, "all"): {"temperature": t, "threshold_validation": p, "hospital_openings": 1}
        for seed, t, p in ((0, 1.5, 0.25), (1, 2.25, 0.25))
    }
    shown = classifiers_shown.decided_on_validation(records).loc["baseline"]
    assert shown["temperature"] == "1.50 to 2.25"
    assert shown["threshold of largest recall sum"] == "0.25"
    assert shown["hospital opened, times"] == shown["classifiers"] == 2
    assert shown["remarks"] == "–"
    records["baseline", 1, "all"]["remarks"] = ["nearly all probabilities are 0 or 1"]
    shown = classifiers_shown.decided_on_validation(records).loc["baseline"]
    assert shown["remarks"] == "nearly all probabilities are 0 or 1 (1 of 2)"


def test_every_arm_has_its_question():
    arms = (*ARMS, "synthetic-dose10")
    table = classifiers_shown.arms(arms)
    assert table.index.tolist() == list(arms)
    assert (table["answers"].str.len() > 20).all()
    assert "10 %" in table.loc["synthetic-dose10", "trains on"]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((0.9534, 0.9, 0.99), "95.3 (90–99)"), ((0.5, np.nan, np.nan), "50.0"), ((np.nan, 0, 1), "–")],
)
def test_intervals_stand_beside_estimates(numbers, text):
    assert plain(words.with_interval(*numbers)) == text


def test_simulated_films_are_called_simulated(tiny_study_file):
    study = load_study(tiny_study_file)
    assert words.origin(study, "hospital") == "simulated films"
    assert "no patient stands behind any of them" in words.origin_sentence(study)


def test_many_hidden_levels_become_one_row():
    levels = [("view", "AP", False), ("view", "PA", True), *[("source", f"place {n}", n > 0) for n in range(6)]]
    table = pd.DataFrame(levels, columns=["subgroup", "level", "suppressed"])
    table = table.assign(role="hospital", arm="baseline", metric="recall_positive")
    pooled = results_shown.pooled_levels(table)
    assert pooled["level"].tolist() == ["AP", "PA", "place 0", "other (5)"]
    assert pooled["suppressed"].tolist() == [False, True, False, True]


def test_quality_sets_each_measure_beside_the_halves_and_names_what_is_not_known():
    rows = [
        ("positive", comparison, measure, *values)
        for comparison, measure, values in (
            ("synthetic-hospital", "kid", (0.06, -0.004, 0.1)),
            ("hospital-halves", "kid", (-0.001, -0.02, 0.02)),
            ("synthetic-hospital", "frechet", (48.2, 45.6, 50.9)),
            ("hospital-halves", "frechet", (36.0, 34.8, 37.8)),
            ("synthetic-hospital", "recall", (float("nan"),) * 3),
            ("hospital-halves", "recall", (0.9, 0.8, 1.0)),
        )
    ]
    table = pd.DataFrame(rows, columns=["label", "comparison", "measure", "estimate", "low", "high"])
    shown = generators_shown.quality(table)
    assert shown.columns.tolist() == ["hospital, one half against the other", "synthetic against hospital"]
    assert shown.index.get_level_values("measure").tolist() == ["kernel distance", "Fréchet distance", "recall"]
    assert shown.loc[("kernel distance", "positive")].tolist() == ["0.00 (−0.02 to 0.02)", "0.06 (0.00 to 0.10)"]
    assert shown.loc[("Fréchet distance", "positive")].tolist() == ["36 (35 to 38)", "48 (46 to 51)"]
    assert shown.loc[("recall", "positive"), "synthetic against hospital"] == "–"


def test_what_rounds_to_nothing_has_no_sign():
    assert plain(results_shown._difference("accuracy", 0.09, -0.001, 0.18)) == "+9.0 (0 to +18)"
    assert plain(results_shown._difference("accuracy", -0.0001, -0.05, 0.001)) == "0.0 (−5 to 0)"
    assert plain(results_shown._difference("accuracy", -0.004, -0.2, 0.106)) == "−0.4 (−20 to +11)"
    assert plain(results_shown._difference("roc_auc", 0.034, -0.06, 0.124)) == "+0.03 (−0.06 to +0.12)"
