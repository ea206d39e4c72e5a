"""What Chapter 5 shows and says, by name."""

from typing import Any

import pandas as pd

from cxrlib.chapters.chapter import Chapter, Drawn, found
from cxrlib.chapters.findings import negatives_sentence
from cxrlib.chapters.results import curves, explanation_figures, explanations, figures, interactive, ladder, shown
from cxrlib.chapters.results.sentences import results_facts
from cxrlib.chapters.results.tables import statements_path
from cxrlib.chapters.style import chosen_rows
from cxrlib.chapters.traces import Source
from cxrlib.chapters.words import joined, origin
from cxrlib.files import read_json
from cxrlib.films.settings import EXTERNAL
from cxrlib.study import Study

PAPER_ARMS = ["baseline", "synthetic", "synthetic-crossfit"]
PAPER_METRICS = ["accuracy", "recall_positive", "recall_negative", "precision_positive"]
MAIN_METRICS = ["accuracy", "recall_positive", "recall_negative", "f1_positive"]
EXTERNAL_METRICS = ["roc_auc", "balanced_accuracy", "recall_positive", "recall_negative"]
DOSE_METRICS = ["recall_positive", "recall_negative", "roc_auc"]


def open_chapter(study: Study) -> Chapter:
    """Chapter 5 of a study."""
    return Chapter(study, FIGURES, TABLES, [facts], NOTES, SOURCES)


def _table(study: Study, name: str) -> pd.DataFrame:
    return pd.read_csv(study.results.table(name))


def _hospital(study: Study) -> str:
    return origin(study, "hospital")


def _shown_arms(study: Study) -> list[str]:
    """The baseline, and the arm that the explanations show."""
    return ["baseline", read_json(study.results.explanations_record)["arm"]]


def _by_belief(study: Study) -> tuple[list[str], list[str]]:
    """Arms whose probabilities clearly rise with the truth at the hospital, and those of which nobody knows: a decision
    that rests on a probability needs at least that."""
    rows = chosen_rows(_table(study, "table2"), "hospital").set_index("arm")["calibration_slope_low"]
    arms = [arm for arm in study.classifier.arms if arm in rows.index]
    return [arm for arm in arms if rows[arm] > 0], [arm for arm in arms if not rows[arm] > 0]


def _external(study: Study) -> Drawn | None:
    """The ladder of a second hospital; None for a study without one."""
    if EXTERNAL not in study.roles:
        return None
    return ladder.ladder(_table(study, "table2"), origin(study, EXTERNAL), EXTERNAL)


def _external_table(study: Study) -> pd.DataFrame:
    if EXTERNAL not in study.roles:
        return pd.DataFrame()
    return shown.differences(_table(study, "differences"), EXTERNAL, EXTERNAL_METRICS)


def _doses(study: Study) -> Drawn | None:
    """None for a study that tried no doses."""
    table = _table(study, "dose")
    if table.empty:
        return None
    return figures.dose_curve(table, _table(study, "dose_seeds"), "hospital", DOSE_METRICS, _hospital(study))


def _table_two(study: Study, role: str) -> pd.DataFrame:
    return shown.table_two(_table(study, "table2"), role, _table(study, "paper_table2"))


def _curves(study: Study, role: str) -> Drawn:
    seeds = _table(study, "table2_seeds")
    return curves.curves(_table(study, "curves"), role, origin(study, role), seeds, study.classifier.arms)


FIGURES = {
    "ladder": lambda study: ladder.ladder(_table(study, "table2"), _hospital(study)),
    "external": _external,
    "plane": lambda study: ladder.plane(_table(study, "table2"), _hospital(study)),
    "paper_beside": lambda study: figures.paper_beside(
        _table(study, "table2"), _table(study, "paper_table2"), PAPER_METRICS, _hospital(study), PAPER_ARMS
    ),
    "seeds": lambda study: figures.seed_dots(
        _table(study, "table2_seeds"), "hospital", MAIN_METRICS, _hospital(study), _table(study, "table2")
    ),
    "differences": lambda study: figures.differences(
        _table(study, "differences"), "hospital", MAIN_METRICS, _hospital(study)
    ),
    "curves": lambda study: _curves(study, "hospital"),
    "curves_validation": lambda study: _curves(study, "validation"),
    "reliability": lambda study: curves.reliability(
        _table(study, "calibration"), "hospital", _hospital(study), study.classifier.arms
    ),
    "decision": lambda study: curves.decision_curve(
        _table(study, "decision"), "hospital", _hospital(study), _by_belief(study)[0]
    ),
    "dose": _doses,
    "subgroups": lambda study: figures.subgroups(
        shown.pooled_levels(_table(study, "subgroups")),
        "hospital",
        "recall_positive",
        _shown_arms(study),
        _hospital(study),
    ),
    "failures": lambda study: explanation_figures.attention_gallery(explanations.failure_rows(study)),
    "attention": lambda study: explanation_figures.attention_shares(_table(study, "attention"), _hospital(study)),
    "figure_two": lambda study: explanation_figures.real_and_synthetic(**explanations.figure_two(study)),
}
MISTAKES = "The first seed of {shown_arm} missed {missed} positive films and raised {alarms} false alarms."
FOUND = {
    "paper_beside": lambda study: interactive.beside_the_paper(_table(study, "table2"), _table(study, "paper_table2")),
    "seeds": lambda study: f"{facts(study)['spread']}.",
    "reliability": lambda study: f"{facts(study)['calibration']}.",
    "decision": lambda study: interactive.beneficial(_table(study, "decision"), "hospital", _by_belief(study)[0]),
    "subgroups": lambda study: interactive.across_parts(_table(study, "subgroups"), _shown_arms(study)),
    "failures": lambda study: MISTAKES.format(**facts(study)),
    "attention": lambda study: f"{facts(study)['attention']}.",
}
NOTES = {
    "ladder": lambda study: {
        "finding": interactive.clear_arms(_table(study, "verdicts")),
        "interactive": interactive.ladder(_table(study, "table2"), "hospital"),
    },
    **found(FOUND),
    "plane": lambda study: {"finding": interactive.moved(_table(study, "table2"), "hospital")},
    "differences": lambda study: {"finding": interactive.clear_arms(_table(study, "verdicts"))},
    "curves": lambda study: {"finding": interactive.areas(_table(study, "table2"), "hospital")},
    "curves_validation": lambda study: {"finding": interactive.areas(_table(study, "table2"), "validation")},
}
TABLES = {
    "table2_validation": lambda study: _table_two(study, "validation"),
    "table2_hospital": lambda study: _table_two(study, "hospital"),
    "table2_own_threshold": lambda study: shown.table_two(
        _table(study, "table2"), "hospital", operating_point="validation"
    ),
    "ranking": lambda study: shown.ranking(_table(study, "table2"), "hospital"),
    "paper_conclusions": lambda study: shown.paper_conclusions(_table(study, "paper_conclusions")),
    "differences": lambda study: shown.differences(_table(study, "differences"), "hospital", MAIN_METRICS),
    "external": _external_table,
    "verdicts": lambda study: shown.verdicts(_table(study, "verdicts")),
    "significance": lambda study: shown.significance(_table(study, "tests"), "hospital"),
    "equal_precision": lambda study: shown.equal_precision(
        _table(study, "at_equal_precision"), _table(study, "differences"), "hospital"
    ),
    "probabilities": lambda study: shown.probabilities(_table(study, "table2"), "hospital"),
    "subgroups": lambda study: shown.subgroups(
        shown.pooled_levels(_table(study, "subgroups")), "hospital", "recall_negative", _shown_arms(study)
    ),
    "attention": lambda study: shown.attention(_table(study, "attention")),
    "attention_runs": lambda study: shown.attention_runs(_table(study, "attention_runs")),
}
_FIXED = {"operating_point": "fixed"}
_SHOWN = ("roc_auc", "balanced_accuracy", "recall_positive", "recall_negative")
_ASKED = Source("tables/verdicts.csv")
_SEEDS = Source("tables/table2_seeds.csv", {"role": "hospital", **_FIXED})


def _asked(**where: str) -> Source:
    return Source("tables/verdicts.csv", where)


def _level(*measures: str, role: str = "hospital", **where: str) -> Source:
    return Source("tables/table2.csv", {"role": role, **_FIXED, **where}, measures or _SHOWN)


SOURCES = {
    "weak_baseline": [_level("roc_auc", arm="baseline")],
    "verdict|price": [_asked(reference="baseline", **_FIXED)],
    "threshold": [_asked(reference="baseline", operating_point="validation")],
    "primary": [_asked(family="primary"), _level()],
    "answer": [_ASKED, _level()],
    "own_films": [_asked(reference="real-crossfit")],
    "leakage": [_asked(reference="synthetic")],
    "rebalancing": [_asked(reference="oversampled")],
    "gain": [_asked(arm="synthetic", reference="baseline", **_FIXED), _level("recall_positive", arm="synthetic")],
    "synthetic_only": [_asked(arm="synthetic-only", reference="baseline"), _level("roc_auc", arm="synthetic-only")],
    "class_weighted|training_chance|families|steps": [_ASKED],
    "rests": [Source("tables/table1.csv", {"role": "hospital"})],
    "shift": [Source("tables/shift.csv", {"arm": "baseline", **_FIXED}), _level(arm="baseline"),
              _level(arm="baseline", role="validation")],
    "source_rule": [_level("accuracy", role="validation")],
    "external": [Source("tables/differences.csv", {"role": "external", **_FIXED}), _level(role="external")],
    "dose": [Source("tables/dose.csv", {"role": "hospital"}), _ASKED],
    "equal_precision": [Source("tables/at_equal_precision.csv", {"role": "hospital"}), _asked(reference="baseline")],
    "tests": [Source("tables/tests.csv", {"role": "hospital"})],
    "paper": [Source("tables/paper_conclusions.csv")],
    "attention": [Source("tables/attention.csv")],
    "cells|shown_arm": [Source("explanations/explanations.json")],
    "subgroups|findings": [Source("tables/subgroups.csv", {"role": "hospital"})],
    "negatives": [Source("tables/demographics.csv", {"variable": "finding"})],
    "missed|alarms|spread|calibration|hospital_films|arms": [_SEEDS],
    "runs|left_out": [Source("study.yaml")],
}  # fmt: skip


def facts(study: Study) -> dict[str, Any]:
    """What the chapter says."""
    tables = {name: _table(study, name) for name in ("table2_seeds", "attention", "subgroups")}
    explanations = read_json(study.results.explanations_record)
    _, doubtful = _by_belief(study)
    left_out = f"Left out, since their probabilities do not clearly rise with the truth here: {joined(doubtful)}"
    return (
        {
            "left_out": left_out if doubtful else "No arm is left out",
            "negatives": negatives_sentence(
                pd.read_csv(study.results.table("demographics"), dtype=str, keep_default_na=False),
                read_json(study.results.films_record).get("negatives", {}),
            ),
        }
        | read_json(statements_path(study))
        | results_facts(study, tables, explanations)
    )
