"""Sentences that change when the data do."""

import pandas as pd
import pytest

from cxrlib.evaluation.metrics import METRICS
from cxrlib.evaluation.statements import make_statements, percentage, points, verdict

GAIN, LOSS, NONE = (0.12, 0.05, 0.2), (-0.12, -0.2, -0.05), (0.02, -0.03, 0.07)


def sentences(synthetic=GAIN, crossfit=GAIN, oversampled=NONE, contrast=NONE, shift=LOSS, simulated=False):
    """Statements of a study with these differences (value, low, high); None leaves an arm out."""
    effects = {"synthetic": synthetic, "synthetic-crossfit": crossfit, "oversampled": oversampled}
    effects = {arm: effect for arm, effect in effects.items() if effect}
    table2 = [
        {
            "role": role,
            "arm": arm,
            "operating_point": "fixed",
            **{f"{metric}{end}": 0.76 for metric in METRICS for end in ("", "_low", "_high")},
        }
        for role in ("validation", "hospital")
        for arm in ("baseline", *effects)
    ]
    differences = [
        {"role": "hospital", "arm": arm, "operating_point": "fixed", "metric": metric, **_values(effect)}
        for arm, effect in effects.items()
        for metric in METRICS
    ]
    pairs = [("synthetic-crossfit", "synthetic"), ("synthetic-crossfit", "oversampled"), ("synthetic", "oversampled")]
    contrasts = [
        {
            "role": "hospital",
            "arm": arm,
            "reference": other,
            "operating_point": "fixed",
            "metric": "recall_positive",
            **_values(contrast),
        }
        for arm, other in pairs
        if {arm, other} <= effects.keys()
    ]
    columns = ["role", "arm", "operating_point", "metric", "difference", "low", "high"]
    shifts = {"arm": "baseline", "operating_point": "fixed", "metric": "recall_positive", **_values(shift)}
    tables = {
        "table2": pd.DataFrame(table2),
        "differences": pd.DataFrame(differences, columns=columns),
        "contrasts": pd.DataFrame(contrasts, columns=[*columns, "reference"]),
        "shift": pd.DataFrame([shifts]),
    }
    return make_statements(tables, simulated=simulated)


def test_numbers_are_written_to_one_decimal_with_their_interval():
    assert percentage(0.76364, 0.6812, 0.835) == "76.4 % [68.1, 83.5]"
    assert points(0.19091, -0.00001, 0.278) == "+19.1 points [0.0, +27.8]"
    assert points(-0.1, -0.2, -0.05) == "−10.0 points [−20.0, −5.0]"


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((0.01, 0.2), "gain"),
        ((-0.2, -0.01), "loss"),
        ((-0.1, 0.1), "no clear difference"),
        ((0.0, 0.1), "no clear difference"),
    ],
)
def test_verdict_follows_the_interval(interval, expected):
    assert verdict(*interval) == expected


@pytest.mark.parametrize(("effect", "word"), [(GAIN, "raise"), (LOSS, "lower"), (NONE, "do not clearly change")])
def test_the_answer_follows_the_leak_free_arm(effect, word):
    answer = sentences(synthetic=GAIN, crossfit=effect)["answer"]
    assert f"synthetic films {word} the recall" in answer
    assert points(*effect) in answer
    assert points(*GAIN) in answer


def test_every_piece_changes_with_its_own_data():
    before = sentences()
    changes = {
        "shift": sentences(shift=NONE),
        "gain": sentences(synthetic=LOSS),
        "leakage": sentences(crossfit=NONE),
        "rebalancing": sentences(oversampled=GAIN),
        "price": sentences(crossfit=LOSS),
    }
    for key, after in changes.items():
        assert after[key] != before[key], key
        assert after["answer_long"] != before["answer_long"], key


def test_leakage_is_named_where_the_contrast_shows_it():
    assert "is leakage" in sentences(contrast=LOSS)["leakage"]
    assert "removing the leak makes no clear difference" in sentences(contrast=NONE)["leakage"]


def test_a_loss_is_never_called_a_gain():
    found = sentences(synthetic=LOSS, crossfit=LOSS, oversampled=LOSS, contrast=LOSS, shift=LOSS)
    assert all("gain" not in text.replace("again", "") for text in found.values())


@pytest.mark.parametrize("missing", ["synthetic", "crossfit", "oversampled"])
def test_a_missing_arm_is_said_to_be_missing(missing):
    found = sentences(**{missing: None})
    key = {"synthetic": "gain", "crossfit": "leakage", "oversampled": "rebalancing"}[missing]
    assert "not tried" in found[key]
    assert "nan" not in found["answer_long"].lower()


def test_without_any_synthetic_arm_the_answer_says_so():
    found = sentences(synthetic=None, crossfit=None, oversampled=None)
    assert "no arm with synthetic films" in found["answer"]


def test_simulated_films_are_called_simulated():
    assert "simulated hospital films" in sentences(simulated=True)["answer"]
    assert "All films are simulated" in sentences(simulated=True)["answer_long"]
    assert "simulated" not in sentences(simulated=False)["answer_long"]


def _values(effect):
    return dict(zip(("difference", "low", "high"), effect, strict=True))
