"""What the tables say, in sentences whose numbers and verdicts follow the intervals.

Every number has the interval that its table has, over patients and training runs, and every verdict is one of the table
`verdicts`, which corrects for how many were asked. A film is called positive from a probability of one half upwards,
as in the paper; `threshold` says what another choice changes.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrlib.chapters.results.answer import Rests, answer
from cxrlib.chapters.results.evidence import MOSTLY_RUNS, Evidence
from cxrlib.chapters.results.questions import AT_PRECISION, RANKING, SENSITIVITY, SPECIFICITY
from cxrlib.chapters.words import joined, percentage
from cxrlib.classifiers.arms import EQUAL_STEPS
from cxrlib.films.settings import EXTERNAL

SIGNIFICANCE = 0.05


def make_statements(
    tables: Mapping[str, pd.DataFrame], endpoint: Mapping[str, Any], arm: str | None, rests: Rests
) -> dict[str, str]:
    """Sentences by key, from the tables of results by name (see `cxrlib.chapters.results.tables`).

    `endpoint` is the frozen one, `arm` the one that the answer is about. Those of the answer are explained in
    `cxrlib.chapters.results.answer`. `training_chance`: whether runs or patients make the uncertainty. `shift`: from
    validation to hospital. `gain`: the paper's claim. `class_weighted`: balance by weights. `price`: what happens to
    the negatives. `equal_precision`: sensitivity where arms are equally precise. `threshold`: what a threshold from
    validation changes. `families`: how many verdicts there are. `external`: a second hospital. `steps`: what the number
    of optimiser steps has to do with it. `synthetic_only`, `dose`, `tests`, `source_rule`. `paper`: what the paper's
    own counts allow one to conclude. A sentence about an arm that the study lacks says so.
    """
    found = Evidence(tables)
    return answer(found, endpoint, arm, rests) | {
        "training_chance": _training_chance(found, arm),
        "shift": _shift(found, rests),
        "gain": _gain(found, rests),
        "class_weighted": _class_weighted(found, arm),
        "price": _price(found, arm),
        "equal_precision": _equal_precision(found, arm),
        "threshold": _threshold(found, arm),
        "families": _families(found, endpoint),
        "synthetic_only": _synthetic_only(found),
        "dose": _dose(found, arm),
        "tests": _tests(found, arm),
        "steps": _steps(found, arm),
        "source_rule": _source_rule(found),
        "external": _external(found, arm),
        "paper": _paper(found),
    }


def _training_chance(found: Evidence, arm: str | None) -> str:
    change = found.answer(arm, RANKING)
    runs = found.seeds(arm or "baseline")
    if runs < 2:
        return "Each arm was trained once, so no interval covers the chance of training: another run may differ."
    if change is None:
        return f"Each arm was trained {runs} times, and the intervals cover the chance of training."
    if change.from_runs > MOSTLY_RUNS:
        return (
            f"Most of the uncertainty about how films are ranked ({100 * change.from_runs:.0f} % of the interval's "
            f"squared width) is the chance of training: {runs} runs an arm are few to measure it by."
        )
    return (
        "Most of the uncertainty about how films are ranked comes from which patients were seen, and "
        f"{100 * change.from_runs:.0f} % of the interval's squared width from the {runs} training runs of each arm."
    )


def _shift(found: Evidence, rests: Rests) -> str:
    parts = []
    for metric, name in ((RANKING, "area under the ROC curve"), (SENSITIVITY, "sensitivity")):
        before, after = (found.level("baseline", metric, role) for role in ("validation", "hospital"))
        change = found.shift("baseline", metric)
        if before is None or after is None or change is None:
            return "How far the baseline falls from the tuning films to the hospital's is not known."
        parts.append(f"{name} {before} on the tuning films and {after} on the {rests.kind}, a change of {change}")
    return f"Trained on public films alone, the classifier has {joined(parts)}."


def _gain(found: Evidence, rests: Rests) -> str:
    after, effect = found.level("synthetic", SENSITIVITY), found.answer("synthetic", SENSITIVITY)
    ranking = found.answer("synthetic", RANKING)
    if effect is None or after is None or ranking is None:
        return "What synthetic films of generators trained on all of the hospital's films give was not tried."
    return (
        f"With synthetic films added, as in the paper, sensitivity on the {rests.kind} is {after}, a change of "
        f"{effect} ({effect.judged}); the area under the ROC curve changes by {ranking} ({ranking.judged}). These "
        "generators saw the films under test."
    )


def _class_weighted(found: Evidence, arm: str | None) -> str:
    effect = found.answer("class-weighted", RANKING)
    if effect is None:
        return "Weighting the rarer label in the loss was not tried: the study has no class-weighted arm."
    beside = found.answer(arm, RANKING, reference="class-weighted") if arm else None
    more = f"; compared with that, synthetic films change it by {beside} ({beside.judged})" if beside else ""
    return (
        "Weighting the rarer label in the loss instead changes the area under the ROC curve by "
        f"{effect} ({effect.judged}){more}."
    )


def _price(found: Evidence, arm: str | None) -> str:
    sensitivity, specificity = found.answer(arm, SENSITIVITY), found.answer(arm, SPECIFICITY)
    if sensitivity is None or specificity is None:
        return "What synthetic films cost among the negatives was not tried."
    saw = "saw" if arm == "synthetic" else "never saw"
    return (
        f"At one half, synthetic films of generators that {saw} the films under test change sensitivity by "
        f"{sensitivity} ({sensitivity.judged}) and specificity by {specificity} ({specificity.judged})."
    )


def _equal_precision(found: Evidence, arm: str | None) -> str:
    change = found.answer(arm, AT_PRECISION)
    rows = [found.row("at_equal_precision", role="hospital", arm=name) for name in (arm, "baseline")]
    if arm is None or change is None:
        return "What synthetic films give at equal precision was not tried."
    if any(row is None or row[["precision", "recall"]].isna().any() for row in rows):
        return (
            "At equal precision the arms can't be compared: in some run the baseline calls no film positive, or hardly "
            "any, and then its precision does not exist."
        )
    row, base = rows
    outcome = {
        "gain": "a gain that does not come from calling more films positive",
        "loss": "a loss",
        "no clear difference": "no clear difference, so moving the baseline's threshold might have done as much",
        "no verdict": "no verdict from single runs",
    }[change.verdict]
    return (
        f"When every model's threshold is set to the baseline's precision ({100 * row['precision']:.1f} %), "
        f"{percentage(row['recall'], row['low'], row['high'])} of the positives are found with synthetic films and "
        f"{percentage(base['recall'], base['low'], base['high'])} without: {outcome} ({change})."
    )


def _threshold(found: Evidence, arm: str | None) -> str:
    start = "A film is called positive from a probability of one half upwards, as in the paper"
    sensitivity, specificity = (
        found.answer(arm, metric, operating_point="validation") for metric in (SENSITIVITY, SPECIFICITY)
    )
    if sensitivity is None or specificity is None:
        return f"{start}."
    changes = {"sensitivity": sensitivity, "specificity": specificity}
    parts = [f"{name} changes by {change} ({change.judged})" for name, change in changes.items()]
    return f"{start}; with each model's threshold chosen on tuning films instead, {joined(parts)}."


def _families(found: Evidence, endpoint: Mapping[str, Any]) -> str:
    counts = found.tables["verdicts"]["family"].value_counts()
    others = int(counts.get("secondary", 0))
    if not endpoint["arm"]:
        return f"There is no primary endpoint; all {others} verdicts of this study are corrected as one family"
    first = int(counts.get("primary", 0))
    return (
        f"The primary endpoint has {first} {'measure' if first == 1 else 'measures'}, corrected among themselves; the "
        f"other {others} verdicts are secondary, and corrected as one family"
    )


def _synthetic_only(found: Evidence) -> str:
    area, change = found.level("synthetic-only", RANKING), found.answer("synthetic-only", RANKING)
    if area is None or change is None:
        return "What synthetic films carry by themselves was not tried: the study has no arm without public films."
    ranks = {
        "gain": "it ranks films better than public films alone",
        "loss": "it ranks films worse than public films alone",
        "no clear difference": f"{change.unclear} whether it ranks them better or worse than public films alone",
        "no verdict": "no verdict from single runs",
    }[change.verdict]
    return (
        "Trained on synthetic films alone, by generators that never saw the films under test, the classifier has an "
        f"area under the ROC curve of {area}, a change of {change}: {ranks}."
    )


def _dose(found: Evidence, arm: str | None) -> str:
    """How ranking and sensitivity go with the number of synthetic films."""
    table = found.rows("dose", role="hospital", metric=SENSITIVITY).sort_values("dose_percent")
    if len(table) < 3:
        return "How many synthetic films it takes was not tried: the study has no dose curve."
    parts = [f"{percentage(row.estimate, row.low, row.high)} with {row.dose_percent} %" for row in table.itertuples()]
    smallest = int(table["dose_percent"].iloc[1])
    more = found.answer(arm, RANKING, reference=f"synthetic-dose{smallest}")
    sentence = f"Of the positives, the classifier finds {joined(parts)} of the synthetic films"
    return (
        f"{sentence}; all of them instead of {smallest} % change the area by {more} ({more.judged})."
        if more
        else f"{sentence}."
    )


def _steps(found: Evidence, arm: str | None) -> str:
    """An arm with more films takes more steps of training: what it comes to with no more than the baseline's."""
    equal, real = (f"{name}{EQUAL_STEPS}" for name in (arm, "real-crossfit"))
    change, more = found.answer(equal, RANKING), found.answer(arm, RANKING, reference=equal)
    if change is None or more is None:
        said = "More films mean more steps of training; what synthetic films give without more steps was not tried."
    else:
        said = (
            f"Trained with synthetic films for no more steps than the baseline ({equal}), the area changes by {change} "
            f"({change.judged}); the further steps change it by {more} ({more.judged})."
        )
    own, again = found.answer(equal, RANKING, reference=real), found.answer(arm, RANKING, reference="duplicated")
    if own is not None:
        said += f" Compared with the generators' own films, at as few steps, it changes by {own} ({own.judged})."
    if again is not None:
        said += f" Compared with public films repeated as often (duplicated), it changes by {again} ({again.judged})."
    return said


def _tests(found: Evidence, arm: str | None) -> str:
    table = found.rows("tests", role="hospital", arm=arm)
    if arm is None or table.empty:
        return "No arm with synthetic films was tested against the baseline."
    parts = []
    for test, words in (
        ("mcnemar", "the share of right answers (McNemar's exact test)"),
        ("delong", "the area under the ROC curve (DeLong's test by patient)"),
    ):
        p_values = table.loc[table["test"] == test, "p_holm"]
        if len(p_values):
            parts.append(f"{words} in {int((p_values < SIGNIFICANCE).sum())} of {len(p_values)}")
    runs = "runs" if table["seed"].nunique() > 1 else "run"
    return (
        f"Between the {runs} of {arm} and of baseline with the same seed, these differ at the 5 % level after Holm's "
        f"correction over all arms and runs: {joined(parts)}. McNemar's test asks about accuracy alone: where "
        "sensitivity rises as specificity falls, accuracy may stay as it is and p be near 1, and that is no verdict "
        "on either of them. And each test is about two given runs, not about what another training would bring"
    )


def _source_rule(found: Evidence) -> str:
    rule, baseline = (found.level(arm, "accuracy", "validation") for arm in ("source-rule", "baseline"))
    if rule is None:
        return "How far the source alone gives the label away was not tried."
    return (
        f"A rule that looks at nothing but where a film comes from is right on {rule} of the tuning films; the "
        f"baseline on {baseline}."
    )


def _external(found: Evidence, arm: str | None) -> str:
    """At a second hospital, to which nothing was fitted; without verdicts, as no question was asked beforehand."""
    base = found.level("baseline", RANKING, EXTERNAL)
    if base is None:
        return "The study names no second hospital."
    start = f"At a second hospital, to which nothing was fitted, the area under the ROC curve is {base} with baseline"
    where = {"role": EXTERNAL, "reference": "baseline", "operating_point": "fixed", "metric": RANKING}
    change = found.difference(arm=arm, **where)
    if change is None:
        return f"{start}."
    start += f" and {found.level(arm, RANKING, EXTERNAL)} with {arm}, a change of {change}"
    own = found.difference(arm="real-crossfit", **where)
    more = f"; with the first hospital's films themselves (real-crossfit) it changes by {own}" if own else ""
    return f"{start}{more}. The study asked nothing about this hospital beforehand, so these intervals are no verdicts."


def _paper(found: Evidence) -> str:
    """From the paper's own counts, of its hospital films."""
    parts = []
    for metric, words in (
        ("recall_positive", "positives"),
        ("recall_negative", "negatives"),
        ("accuracy", "films"),
    ):
        row = found.row("paper_conclusions", dataset="test", metric=metric)
        outcome = {
            "different": "more than chance, however the errors overlap",
            "not different": "no more than chance allows, however the errors overlap",
            "undecided": "which may or may not be chance, depending on how the errors overlap",
        }[row["verdict"]]
        parts.append(
            f"{row['right']} instead of {row['right_reference']} of its {row['films']} {words}, {outcome} (exact "
            f"McNemar p from {_p(row['p_lowest'])} to {_p(row['p_highest'])})"
        )
    return (
        f"The paper's model with synthetic films was right on {joined(parts)}. That is for one run of each model, "
        "films treated as independent, and generators that saw the films; its counts can't separate a gain from "
        "leakage or balance."
    )


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "below 0.0001"
