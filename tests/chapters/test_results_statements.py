"""Sentences that change when the data do, and are never stronger than their intervals."""

import itertools
import re

import pandas as pd
import pytest
from made_predictions import make_predictions

from cxrlib.chapters.results import shown
from cxrlib.chapters.results.answer import Rests, outcome
from cxrlib.chapters.results.evidence import Difference, Evidence, points, signed
from cxrlib.chapters.results.questions import questions, verdict_table
from cxrlib.chapters.results.statements import make_statements
from cxrlib.chapters.words import counted, joined, percentage
from cxrlib.evaluation import comparison
from cxrlib.evaluation.metrics import METRICS
from cxrlib.evaluation.paper import paper_conclusions
from cxrlib.evaluation.resampled import resample_all
from cxrlib.evaluation.scores import collect_scores
from cxrlib.evaluation.settings import EndpointSettings
from cxrlib.evaluation.significance import significance

GAIN, LOSS, NONE = (0.12, 0.05, 0.2, 1e-6), (-0.12, -0.2, -0.05, 1e-6), (0.02, -0.03, 0.07, 0.4)
ARM, RESTS = "synthetic-crossfit", Rests(519, 310, False)
ARMS = (
    "synthetic", ARM, "oversampled", "class-weighted", "synthetic-only", "real-crossfit", "real-and-synthetic-crossfit",
)  # fmt: skip
DOSES = ("synthetic-dose10",)
ENDPOINT = {
    "arm": ARM, "reference": "baseline", "measures": ["roc_auc", "balanced_accuracy"], "declared_before_opening": True,
}  # fmt: skip


def tables(changes=None, arms=ARMS, runs=3, area=(0.8, 0.75, 0.85), endpoint=True, from_runs=0.2, recall=0.5):
    """Tables of a study in which no question has a clear answer, but those in `changes`, as {(arm, reference, metric)
    or (arm, reference, metric, point): (difference, low, high, p)}."""
    changes = {key if len(key) == 4 else (*key, "fixed"): value for key, value in (changes or {}).items()}
    rows = []
    for arm, reference in itertools.permutations(("baseline", *arms, *DOSES), 2):
        for metric, point in itertools.product(comparison.COMPARED, ("fixed", "validation")):
            effect = changes.get((arm, reference, metric, point), NONE)
            numbers = dict(zip(("difference", "low", "high", "p_value"), effect, strict=True))
            keys = {"role": "hospital", "arm": arm, "reference": reference, "operating_point": point, "metric": metric}
            rows.append(keys | numbers | {"from_runs": from_runs, "runs": runs})
    contrasts = pd.DataFrame(rows)
    if runs < 2:
        contrasts["p_value"] = float("nan")
    levels = [
        {"role": role, "arm": arm, "operating_point": point, "runs": runs, "seeds": runs}
        | {
            f"{metric}{end}": value
            for metric in METRICS
            for end, value in zip(("", "_low", "_high"), area, strict=True)
        }
        for role in ("validation", "hospital")
        for arm in ("baseline", "source-rule", *arms)
        for point in ("fixed", "validation")
    ]
    recalls = [
        {"role": "hospital", "arm": arm, "precision": 0.6, "recall": recall, "low": 0.4, "high": 0.6}
        for arm in ("baseline", *arms)
    ]
    doses = [("hospital", percent, "recall_positive", 0.3 + percent / 200, 0.2, 0.9) for percent in (0, 10, 100)]
    tests = [("hospital", arm, seed, test, 0.01) for arm in arms for seed in (0, 1) for test in ("mcnemar", "delong")]
    shifts = [{"arm": "baseline", "metric": m, "difference": -0.2, "low": -0.3, "high": -0.1, "from_runs": 0.1}
              for m in ("roc_auc", "recall_positive")]  # fmt: skip
    declared = EndpointSettings() if endpoint and ARM in arms else None
    return {
        "contrasts": contrasts,
        "verdicts": verdict_table(contrasts, questions(["baseline", *arms], list(DOSES), declared)),
        "table2": pd.DataFrame(levels),
        "shift": pd.DataFrame(shifts),
        "at_equal_precision": pd.DataFrame(recalls),
        "dose": pd.DataFrame(doses, columns=["role", "dose_percent", "metric", "estimate", "low", "high"]),
        "tests": pd.DataFrame(tests, columns=["role", "arm", "seed", "test", "p_holm"]),
        "paper_conclusions": paper_conclusions(),
    }


def sentences(changes=None, rests=RESTS, arms=ARMS, declared=ENDPOINT, **more):
    arm = next((arm for arm in (ARM, "synthetic") if arm in arms), None)
    return make_statements(tables(changes, arms, **more), declared, arm, rests)


def against_baseline(**effects):
    return {(ARM, "baseline", metric): effect for metric, effect in effects.items()}


TRADE = against_baseline(recall_positive=(0.34, 0.1, 0.6, 0.004), recall_negative=(-0.25, -0.5, -0.02, 0.04))


def test_numbers_are_written_to_one_decimal_with_their_interval():
    assert percentage(0.76364, 0.6812, 0.835) == "76.4 % [68.1, 83.5]"
    assert percentage(0.5, float("nan"), float("nan")) == "50.0 %"
    assert points(0.19091, -0.00001, 0.278) == "+19.1 points [0.0, +27.8]"
    assert points(-0.1, -0.2, -0.05) == "−10.0 points [−20.0, −5.0]"
    assert points(-0.1, float("nan"), float("nan")) == "−10.0 points"
    assert str(Difference("roc_auc", 0.1, float("nan"), float("nan"), 0.5, "no verdict")) == "+0.10"
    assert signed(-0.123, 2, 1) == "−0.12"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined(["a"]) == "a"
    assert (counted(1, "film"), counted(2000, "film")) == ("1 film", "2,000 films")


@pytest.mark.parametrize(
    ("changes", "expected", "words"),
    [
        ({}, "can't tell", "Can't tell"),
        (against_baseline(roc_auc=GAIN), "better", "Yes: with synthetic films the classifier ranks"),
        (against_baseline(roc_auc=LOSS), "worse", "No: with synthetic films the classifier does worse"),
        (against_baseline(roc_auc=GAIN, balanced_accuracy=LOSS), "worse", "does worse"),
        (against_baseline(balanced_accuracy=GAIN), "moved", "not clearly ranked better"),
        (TRADE, "trade", "No: specificity is traded for sensitivity (sensitivity +34.0 points [+10.0, +60.0]"),
        (against_baseline(roc_auc=(0.12, 0.01, 0.2, 0.04)), "can't tell", "Can't tell"),
    ],
)
def test_the_verdict_tells_a_better_ranking_from_a_moved_threshold(changes, expected, words):
    assert outcome(Evidence(tables(changes)), ARM, "baseline") == expected
    found = sentences(changes)
    assert found["answer"].startswith(found["verdict"])
    assert words in found["verdict"]
    assert ("ranks the hospital's films better" in found["answer"]) == (expected == "better")


def test_no_arm_is_praised_over_a_baseline_no_better_than_chance_and_that_is_said_first():
    found = sentences(against_baseline(roc_auc=GAIN), area=(0.54, 0.47, 0.6))
    assert found["answer"].startswith("First of all: trained on public films alone")
    assert "0.54 [0.47, 0.60]" in found["weak_baseline"]
    assert "with hardly beats chance" in found["verdict"]
    assert "Yes" not in found["answer"]
    assert sentences()["weak_baseline"] == ""


def test_single_runs_give_no_verdict_in_words():
    found = sentences(against_baseline(roc_auc=GAIN), runs=1)
    assert found["verdict"].startswith("No verdict: each arm was trained once")
    assert "(no verdict)" in found["primary"]
    assert "trained once" in found["training_chance"]
    assert not re.search(r"\b(clear gain|clear loss|Yes)\b", " ".join(found.values()))


def test_the_answer_has_its_parts_in_order():
    found = sentences()
    keys = ("verdict", "primary", "own_films", "leakage", "rebalancing", "rests")
    assert found["answer"] == " ".join(found[key] for key in keys)
    assert "declared before any hospital film was opened" in found["primary"]
    assert "519 films of 310 patients of one hospital and 3 training runs" in found["rests"]
    late = sentences(declared=ENDPOINT | {"declared_before_opening": False})
    assert "after the hospital's films had been opened" in late["primary"]
    none = sentences(declared=dict.fromkeys(ENDPOINT), endpoint=False)
    assert "declares no primary endpoint" in none["primary"]


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (GAIN, "adds something"),
        (LOSS, "the films themselves serve better"),
        (NONE, "it is not clear whether the generator"),
    ],
)
def test_what_the_generator_adds_to_its_own_films(effect, words):
    text = sentences({(ARM, "real-crossfit", "roc_auc"): effect})["own_films"]
    assert words in text
    assert f"{signed(effect[0], 2, 1)} [" in text
    assert "Both kinds of film together" in text


def test_an_interval_that_leaves_zero_out_is_not_yet_a_verdict():
    """Among so many questions one of forty has such an interval by chance."""
    text = sentences({("synthetic", "baseline", "recall_positive"): (0.2, 0.01, 0.4, 0.04)})["gain"]
    assert "not clear among so many questions" in text
    assert "clear gain" not in text
    leak = sentences({(ARM, "synthetic", "roc_auc"): (-0.08, -0.14, -0.02, 0.67)})["leakage"]
    assert "among so many questions it is not clear whether that leak matters" in leak
    assert "among so many" not in sentences({(ARM, "synthetic", "roc_auc"): NONE})["leakage"]


def test_every_piece_changes_with_its_own_data():
    before = sentences()
    changes = {
        "gain": {("synthetic", "baseline", "recall_positive"): LOSS},
        "leakage": {(ARM, "synthetic", "roc_auc"): LOSS},
        "rebalancing": {(ARM, "oversampled", "roc_auc"): GAIN},
        "class_weighted": {("class-weighted", "baseline", "roc_auc"): LOSS},
        "price": against_baseline(recall_negative=LOSS),
        "equal_precision": against_baseline(recall_at_precision=GAIN),
        "threshold": {(ARM, "baseline", "recall_positive", "validation"): LOSS},
        "synthetic_only": {("synthetic-only", "baseline", "roc_auc"): LOSS},
        "dose": {(ARM, "synthetic-dose10", "roc_auc"): GAIN},
        "primary": against_baseline(balanced_accuracy=LOSS),
    }
    for key, change in changes.items():
        assert sentences(change)[key] != before[key], key
    assert sentences(from_runs=0.9)["training_chance"] != before["training_chance"]
    assert "comes from which patients were seen" in before["training_chance"]


def test_steps_are_told_apart_from_films():
    assert "was not tried" in make_statements(tables(arms=(ARM,)), ENDPOINT, ARM, RESTS)["steps"]
    equal, real = f"{ARM}-equal-steps", "real-crossfit-equal-steps"
    changes = {(equal, "baseline", "roc_auc"): GAIN, (ARM, "duplicated", "roc_auc"): LOSS}
    found = tables(changes, arms=(ARM, "duplicated", equal, real))
    asked = set(found["verdicts"][["arm", "reference"]].itertuples(index=False, name=None))
    assert {(equal, "baseline"), (real, "baseline"), (ARM, equal), (equal, real), (ARM, "duplicated")} <= asked
    said = make_statements(found, ENDPOINT, ARM, RESTS)["steps"]
    assert f"no more steps than the baseline ({equal}), the area changes by +0.12 [+0.05, +0.20] (a clear gain)" in said
    assert "the further steps change it by +0.02" in said
    assert "(duplicated), it changes by −0.12 [−0.20, −0.05] (a clear loss)" in said


def test_each_dose_has_its_interval():
    assert "35.0 % [20.0, 90.0] with 10 %" in sentences()["dose"]


def test_equal_precision_says_when_the_gain_may_be_a_matter_of_the_threshold():
    assert "moving the baseline's threshold might have done as much" in sentences()["equal_precision"]
    gain = sentences(against_baseline(recall_at_precision=GAIN))
    assert "does not come from calling more films positive" in gain["equal_precision"]
    assert "can't be compared" in sentences(recall=float("nan"))["equal_precision"]


def test_mcnemar_never_stands_alone_beside_a_verdict_on_recall():
    assert "McNemar's test asks about accuracy alone" in sentences()["tests"]


@pytest.mark.parametrize(
    ("missing", "key"),
    [
        ("synthetic", "gain"), ("synthetic", "leakage"), ("oversampled", "rebalancing"),
        ("class-weighted", "class_weighted"), ("synthetic-only", "synthetic_only"), ("real-crossfit", "own_films"),
    ],
)  # fmt: skip
def test_a_missing_arm_is_said_to_be_missing(missing, key):
    found = sentences(arms=tuple(arm for arm in ARMS if arm != missing))
    assert "not tried" in found[key]
    assert not re.search(r"\bnan\b|None", " ".join(found.values()))


def test_without_any_synthetic_arm_the_answer_says_so():
    found = sentences(arms=("oversampled",), declared=dict.fromkeys(ENDPOINT))
    assert "no arm with synthetic films" in found["answer"]


def test_prose_says_how_many_generators_there_are():
    found = tables(runs=2)
    assert "the generators were trained once" in make_statements(found, ENDPOINT, ARM, RESTS)["rests"]
    found["table2"]["seeds"] = 4
    said = make_statements(found, ENDPOINT, ARM, Rests(519, 310, False, 2))["rests"]
    assert "4 training runs of each arm; its runs share 2 generators" in said
    assert "generators" not in make_statements(found, ENDPOINT, None, Rests(519, 310, False, 2))["rests"]


def test_a_second_hospital_is_told_without_a_verdict():
    found = tables(against_baseline(roc_auc=GAIN))
    assert make_statements(found, ENDPOINT, ARM, RESTS)["external"] == "The study names no second hospital."
    for name in ("contrasts", "table2"):
        rows = found[name][found[name]["role"] == "hospital"].assign(role="external")
        found[name] = pd.concat([found[name], rows])
    said = make_statements(found, ENDPOINT, ARM, RESTS)["external"]
    assert f"0.80 [0.75, 0.85] with {ARM}, a change of +0.12 [+0.05, +0.20]" in said
    assert "real-crossfit" in said
    assert "no verdicts" in said
    assert "gain" not in said


def test_simulated_films_are_called_simulated():
    simulated = sentences(rests=Rests(519, 310, True))
    assert "519 simulated films" in simulated["answer"]
    assert "on the hospital's simulated films" in simulated["shift"]
    assert "not how well it works on patients" in simulated["answer"]
    assert "simulated" not in sentences()["answer"]


def test_a_question_that_was_not_asked_beforehand_has_no_verdict():
    with pytest.raises(KeyError, match="not among the questions"):
        Evidence(tables()).answer("oversampled", "mcc")


def test_what_the_paper_shows_and_what_its_counts_can_not():
    text = sentences()["paper"]
    assert "105 instead of 84 of its 110 positives, more than chance" in text
    assert "308 instead of 298 of its 333 films, which may or may not be chance" in text
    assert "p from 0.002 to 0.25" in text


@pytest.fixture(scope="module")
def computed():
    """Tables and sentences from predictions."""
    arms = ("baseline", *ARMS, *DOSES, "source-rule")
    predictions = make_predictions(arms=arms, better=0.05, seeds=3)
    predictions = predictions.query("role == 'validation' or arm != 'source-rule'")
    scores = {role: collect_scores(predictions, role) for role in ("validation", "hospital")}
    resampled = {role: resample_all(found, seed=1, resamples=100) for role, found in scores.items()}
    contrasts, table2 = (
        comparison.contrasts(resampled, list(itertools.permutations(arms, 2))),
        comparison.table2(resampled),
    )
    percents = {"baseline": 0, "synthetic-dose10": 10, ARM: 100}
    found = {
        "contrasts": contrasts,
        "verdicts": verdict_table(contrasts, questions(["baseline", *ARMS], list(DOSES), EndpointSettings())),
        "table2": table2,
        "shift": comparison.shift(resampled),
        "at_equal_precision": comparison.at_equal_precision(resampled),
        "dose": comparison.dose(table2, percents),
        "tests": significance(scores),
        "paper_conclusions": paper_conclusions(),
    }
    return found, make_statements(found, ENDPOINT, ARM, Rests(80, 40, False))


def test_every_number_of_the_prose_stands_in_the_tables(computed):
    found, said = computed
    values = [value for table in found.values() for value in table.select_dtypes(float).to_numpy().ravel()]
    known = {f"{abs(scale * value):.{digits}f}" for value in values for scale, digits in ((100, 1), (1, 2))}
    text = " ".join(said[key] for key in said if key != "paper")
    numbers = set(re.findall(r"\d+\.\d+", text))
    assert len(numbers) > 40
    assert numbers <= known | {"0.50"}


def test_prose_and_tables_take_the_same_interval_from_the_same_place(computed):
    """Each difference of the answer, read from the sentence, is that of the table that readers see beside it."""
    found, said = computed
    differences = found["contrasts"].query("reference == 'baseline'").drop(columns="reference")
    table = shown.differences(differences, "hospital", ["recall_positive", "recall_negative", "balanced_accuracy"])
    cell = re.sub(r"[^\d.+−]+", " ", table.loc[ARM, "recall, positive (points)"]).split()
    in_prose = re.search(r"sensitivity by (\S+) points \[(\S+), (\S+)\]", said["price"]).groups()
    rounded = [f"{round(float(end.replace('−', '-'))):+d}".replace("-", "−") for end in in_prose[1:]]
    assert cell == [in_prose[0], *rounded]
    level = shown.ranking(found["table2"], "hospital").loc[ARM, "area under ROC"]
    in_prose = re.search(
        r"area under the ROC curve by \S+ \[\S+ \S+\] to (\S+) \[(\S+), (\S+)\]", said["primary"]
    ).groups()
    assert tuple(re.findall(r"\d\.\d\d", level)) == in_prose


def test_the_answer_on_a_page_has_the_verdict_in_bold_and_every_sentence_once():
    found = sentences(against_baseline(roc_auc=GAIN))
    first, *others = found["answer_page"].split("\n\n")
    assert first == f"**{found['verdict']}**"
    assert len(others) == 3
    assert found["answer_page"].replace("**", "").split() == found["answer"].split()
