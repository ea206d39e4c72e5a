"""Sentences that change when the data do."""

import itertools
import re

import pandas as pd
import pytest
from made_predictions import make_predictions

from cxrlib.chapters.results.statements import ORDER, make_statements
from cxrlib.chapters.wording import joined, percentage, points, verdict
from cxrlib.evaluation import comparison
from cxrlib.evaluation.metrics import METRICS
from cxrlib.evaluation.paper import paper_conclusions
from cxrlib.evaluation.resampled import resample_all
from cxrlib.evaluation.scores import collect_scores
from cxrlib.evaluation.significance import significance

GAIN, LOSS, NONE = (0.12, 0.05, 0.2), (-0.12, -0.2, -0.05), (0.02, -0.03, 0.07)
ARMS = (
    "synthetic", "synthetic-crossfit", "oversampled", "class-weighted", "synthetic-only", "synthetic-dose10",
)  # fmt: skip
EFFECTS = dict.fromkeys(ARMS, GAIN) | {"oversampled": NONE}


def values(effect, patients=None):
    """`patients` is the interval over patients alone; by default the same."""
    low, high = patients or effect[1:]
    return {"difference": effect[0], "headline_low": effect[1], "headline_high": effect[2], "low": low, "high": high}


def tables(contrast=NONE, shift=LOSS, validation=None, equal=NONE, patients=None, seeds=3, p_holm=0.01, **effects):
    """Tables of a study with these differences to the baseline (value, low, high); None leaves an arm out."""
    effects = {**EFFECTS, **{name.replace("_", "-"): effect for name, effect in effects.items()}}
    effects = {arm: effect for arm, effect in effects.items() if effect}
    rows = []
    for arm, effect in effects.items():
        for metric, point in itertools.product(METRICS, ("fixed", "validation")):
            chosen = effect if point == "fixed" else validation or effect
            keys = {"role": "hospital", "arm": arm, "reference": "baseline", "operating_point": point, "metric": metric}
            rows.append(keys | values(chosen, patients))
    for arm, other in itertools.permutations(effects, 2):
        keys = {"role": "hospital", "arm": arm, "reference": other, "operating_point": "fixed"}
        rows.append(keys | {"metric": "recall_positive"} | values(contrast))
    levels = [
        {"role": role, "arm": arm, "metric": metric, "seeds": seeds, "estimate": 0.76, "low": 0.7, "high": 0.8}
        for role in ("validation", "hospital")
        for arm in ("baseline", "source-rule", *effects)
        for metric in METRICS
    ]
    recalls = [
        {"role": "hospital", "arm": arm, "precision": 0.6, "recall": 0.5, "headline_low": 0.4, "headline_high": 0.6,
         **{f"difference_{name}" if name != "difference" else name: value for name, value in values(equal).items()}}
        for arm in ("baseline", *effects)
    ]  # fmt: skip
    doses = [
        {"role": "hospital", "dose_percent": percent, "metric": "recall_positive", "estimate": percent / 200 + 0.3}
        for percent in ((0, 10, 100) if "synthetic-dose10" in effects else ())
    ]
    tests = [
        {"role": "hospital", "arm": arm, "seed": seed, "test": test, "p_holm": p_holm}
        for arm in effects
        for seed in (0, 1)
        for test in ("mcnemar", "delong")
    ]
    shifts = {"arm": "baseline", "operating_point": "fixed", "metric": "recall_positive", **values(shift)}
    columns = ["role", "arm", "reference", "operating_point", "metric", *values(NONE)]
    return {
        "contrasts": pd.DataFrame(rows, columns=columns),
        "headline": pd.DataFrame(levels),
        "shift": pd.DataFrame([shifts]),
        "at_equal_precision": pd.DataFrame(recalls),
        "dose": pd.DataFrame(doses, columns=["role", "dose_percent", "metric", "estimate"]),
        "tests": pd.DataFrame(tests, columns=["role", "arm", "seed", "test", "p_holm"]),
        "paper_conclusions": paper_conclusions(),
    }  # fmt: skip


def sentences(simulated=False, **changes):
    return make_statements(tables(**changes), simulated=simulated)


def test_numbers_are_written_to_one_decimal_with_their_interval():
    assert percentage(0.76364, 0.6812, 0.835) == "76.4 % [68.1, 83.5]"
    assert percentage(0.5, float("nan"), float("nan")) == "50.0 %"
    assert points(0.19091, -0.00001, 0.278) == "+19.1 points [0.0, +27.8]"
    assert points(-0.1, -0.2, -0.05) == "−10.0 points [−20.0, −5.0]"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined(["a"]) == "a"


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.01, 0.2), "gain"),
        ((-0.2, -0.01), "loss"),
        ((-0.1, 0.1), "no clear difference"),
        ((0.0, 0.1), "no clear difference"),
        ((float("nan"), float("nan")), "no clear difference"),
    ],
)
def test_verdict_follows_the_interval(interval, expected):
    assert verdict(*interval) == expected


@pytest.mark.parametrize(("effect", "word"), [(GAIN, "raise"), (LOSS, "lower"), (NONE, "do not clearly change")])
def test_the_answer_follows_the_leak_free_arm(effect, word):
    answer = sentences(synthetic=GAIN, synthetic_crossfit=effect)["answer"]
    assert f"synthetic films {word} the recall" in answer
    assert points(*effect) in answer
    assert points(*GAIN) in answer


def test_every_piece_changes_with_its_own_data():
    before = sentences()
    changes = {
        "shift": {"shift": NONE},
        "gain": {"synthetic": LOSS},
        "leakage": {"synthetic_crossfit": NONE},
        "rebalancing": {"oversampled": GAIN},
        "class_weighted": {"class_weighted": LOSS},
        "price": {"synthetic_crossfit": LOSS},
        "equal_precision": {"equal": GAIN},
        "threshold": {"validation": LOSS},
        "synthetic_only": {"synthetic_only": LOSS},
        "dose": {"contrast": GAIN},
        "tests": {"p_holm": 0.2},
        "training_chance": {"patients": (0.11, 0.13)},
        "answer": {"synthetic_crossfit": NONE},
    }
    for key, change in changes.items():
        after = sentences(**change)
        assert after[key] != before[key], key
        assert after["answer_long"] != before["answer_long"], key
    assert set(before) == {*ORDER, "answer_long", "paper"}


def test_the_headline_uses_the_interval_over_patients_and_seeds():
    """A gain over patients alone is none once the chance of training counts, and the prose says what dominates."""
    found = sentences(synthetic_crossfit=(0.12, -0.05, 0.3), patients=(0.10, 0.14))
    assert "do not clearly change the recall of positives (+12.0 points [−5.0, +30.0])" in found["answer"]
    assert "Most of this uncertainty is the chance of training" in found["training_chance"]
    assert "[+10.0, +14.0]" in found["training_chance"]
    assert "comes from which patients were seen" in sentences()["training_chance"]
    assert "trained once" in sentences(seeds=1)["training_chance"]


def test_leakage_is_named_where_the_contrast_shows_it_and_what_is_kept():
    assert "is leakage" in sentences(contrast=LOSS)["leakage"]
    assert "removing the leak makes no clear difference" in sentences(contrast=NONE)["leakage"]
    kept = sentences(synthetic=(0.2, 0.1, 0.3), synthetic_crossfit=(0.15, 0.1, 0.2))["leakage"]
    assert "of +20.0 points, +15.0 are kept" in kept
    assert "are kept" not in sentences(synthetic=LOSS)["leakage"]


def test_equal_precision_says_when_the_gain_may_be_a_matter_of_the_threshold():
    assert "moving the baseline's threshold might have done as much" in sentences(equal=NONE)["equal_precision"]
    assert "not owed to calling more films positive" in sentences(equal=GAIN)["equal_precision"]
    lacking = tables()
    lacking["at_equal_precision"].loc[:, "precision"] = float("nan")
    assert "can't be compared" in make_statements(lacking, simulated=False)["equal_precision"]


def test_the_threshold_of_validation_keeps_or_changes_the_verdict():
    assert "the verdict stays" in sentences()["threshold"]
    assert "the verdict becomes: loss" in sentences(validation=LOSS)["threshold"]


def test_a_loss_is_never_called_a_gain():
    found = sentences(**{name.replace("-", "_"): LOSS for name in ARMS}, contrast=LOSS, shift=LOSS, equal=LOSS)
    pieces = {key: text.replace("again", "") for key, text in found.items() if key not in ("paper",)}
    assert [key for key, text in pieces.items() if "gain" in text] == []


@pytest.mark.parametrize(
    ("missing", "key"),
    [
        ("synthetic", "gain"), ("synthetic-crossfit", "leakage"), ("oversampled", "rebalancing"),
        ("class-weighted", "class_weighted"), ("synthetic-only", "synthetic_only"), ("synthetic-dose10", "dose"),
    ],
)  # fmt: skip
def test_a_missing_arm_is_said_to_be_missing(missing, key):
    found = sentences(**{missing.replace("-", "_"): None})
    assert "not tried" in found[key]
    assert not re.search(r"\bnan\b|None", found["answer_long"])


def test_without_any_synthetic_arm_the_answer_says_so():
    found = sentences(**dict.fromkeys((name.replace("-", "_") for name in ARMS), None))
    assert "no arm with synthetic films" in found["answer"]


def test_simulated_films_are_called_simulated():
    assert "simulated hospital films" in sentences(simulated=True)["answer"]
    assert "All films are simulated" in sentences(simulated=True)["answer_long"]
    assert "simulated" not in sentences(simulated=False)["answer_long"]


def test_what_the_paper_shows_and_what_its_counts_can_not():
    text = sentences()["paper"]
    assert "105 instead of 84 of its positives right among 110, more than chance" in text
    assert "308 instead of 298 of all its films right among 333, which may or may not be chance" in text
    assert "p from 0.002 to 0.25" in text


def test_every_number_of_the_prose_stands_in_the_tables():
    """On computed tables: each number between digits is a rounded value of some table, or a count of runs and tests."""
    arms = ("baseline", *ARMS, "source-rule")
    predictions = make_predictions(arms=arms, better=0.05)
    predictions = predictions.query("role == 'validation' or arm != 'source-rule'")
    scores = {role: collect_scores(predictions, role) for role in ("validation", "hospital")}
    resampled = {role: resample_all(found, seed=1, resamples=100) for role, found in scores.items()}
    headline = comparison.headline(resampled)
    percents = {"baseline": 0, "synthetic-dose10": 10, "synthetic-crossfit": 100}
    found = {
        "contrasts": comparison.contrasts(resampled, list(itertools.permutations(arms, 2))),
        "headline": headline,
        "shift": comparison.shift(resampled),
        "at_equal_precision": comparison.at_equal_precision(resampled),
        "dose": comparison.dose(headline, percents),
        "tests": significance(scores),
        "paper_conclusions": paper_conclusions(),
    }
    known = {
        f"{abs(100 * value):.1f}" for table in found.values() for value in table.select_dtypes(float).to_numpy().ravel()
    }
    text = make_statements(found, simulated=False)["answer_long"]
    numbers = set(re.findall(r"\d+\.\d+", text))
    assert len(numbers) > 20
    assert numbers <= known
