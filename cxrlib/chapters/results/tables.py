"""The tables of results, from the predictions of every model."""

import itertools
import time
from pathlib import Path
from typing import Any

import pandas as pd

from cxrlib.chapters.results.answer import Rests
from cxrlib.chapters.results.questions import headline_arm, questions, verdict_table
from cxrlib.chapters.results.statements import make_statements
from cxrlib.chapters.tables import synthetic_flow
from cxrlib.classifiers.arms import DOSE_PREFIX, arm_of, dose_arm
from cxrlib.classifiers.calibration import calibrated
from cxrlib.classifiers.prediction import read_predictions
from cxrlib.endpoint import freeze_endpoint
from cxrlib.errors import InputError
from cxrlib.evaluation import comparison, paper
from cxrlib.evaluation.probabilities import decision_curves, reliability_table
from cxrlib.evaluation.resampled import resample_all
from cxrlib.evaluation.scores import collect_scores
from cxrlib.evaluation.significance import significance
from cxrlib.evaluation.subgroups import KIND, subgroup_table
from cxrlib.files import read_json, write_json, write_table
from cxrlib.films.findings import NOT_KNOWN, kinds_of, known_findings
from cxrlib.films.images import load_manifest
from cxrlib.finished import makes
from cxrlib.records import write_record
from cxrlib.reproducibility import seed_for
from cxrlib.study import Study


@makes("tables")
def make_tables(study: Study, *, force: bool = False) -> dict[str, Any]:
    """Write the tables of results and their sentences, and return their record.

    In `tables/`: those of `result_tables`, synthetic_flow, statements.json and, last, tables.json. Raises
    `InputError`, naming every table of predictions that is missing.
    """
    started = time.perf_counter()
    record = study.results.tables_record
    tables = result_tables(study, gather_predictions(study))
    tables["synthetic_flow"] = synthetic_flow(study)
    for name, table in tables.items():
        write_table(study.results.table(name), table)
    hospital = load_manifest(study, "hospital")
    rests = Rests(len(hospital), hospital["patient_id"].nunique(), study.simulated, study.gan.seeds)
    arm = headline_arm(_judged_arms(study), study.endpoint)
    write_json(statements_path(study), make_statements(tables, freeze_endpoint(study), arm, rests))
    outputs = [*map(study.results.table, tables), statements_path(study)]
    write_record(record, {}, {}, time.perf_counter() - started, outputs=outputs, tables=sorted(tables))
    return read_json(record)


def result_tables(study: Study, predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Every table of the results by name; values are fractions from 0 to 1, no table names a film or a patient.

    table2, table2_seeds, differences (against the baseline), contrasts (between any two arms), verdicts (the questions
    that were asked beforehand, corrected for their number), shift (hospital against validation), tests,
    at_equal_precision, dose, dose_seeds; curves, calibration, decision; subgroups; and of the paper paper_table1,
    paper_table2, paper_conclusions.
    """
    scores = {role: collect_scores(predictions, role) for role in study.roles[1:]}
    resampled = {
        role: resample_all(found, seed=seed_for(study.seed, "bootstrap", role)) for role, found in scores.items()
    }
    contrasts = comparison.contrasts(resampled, list(itertools.permutations(study.classifier_arms, 2)))
    by_seed, table2 = comparison.table2_seeds(scores, resampled), comparison.table2(resampled)
    doses = _doses(study)
    asked = questions(_judged_arms(study), [arm for arm in doses if arm.startswith(DOSE_PREFIX)], study.endpoint)
    subgroups = [
        subgroup_table(
            found,
            _facts_of_films(study, role),
            seed=seed_for(study.seed, "subgroups", role),
            private=not study.publishable(role),
        )
        for role, found in scores.items()
    ]
    return {
        "table2": table2,
        "table2_seeds": by_seed,
        "contrasts": contrasts,
        "verdicts": verdict_table(contrasts, asked),
        "differences": contrasts[contrasts["reference"] == "baseline"].drop(columns="reference"),
        "shift": comparison.shift(resampled),
        "tests": significance(scores),
        "at_equal_precision": comparison.at_equal_precision(resampled),
        "dose": comparison.dose(table2, doses),
        "dose_seeds": comparison.dose_seeds(by_seed, doses),
        "curves": comparison.curves(scores),
        "calibration": reliability_table(scores, seed=seed_for(study.seed, "bootstrap", "calibration")),
        "decision": decision_curves(scores, seed=seed_for(study.seed, "bootstrap", "decision")),
        "subgroups": pd.concat(subgroups, ignore_index=True),
        "paper_table1": paper.paper_table1(),
        "paper_table2": paper.paper_table2(),
        "paper_conclusions": paper.paper_conclusions(),
    }


def _facts_of_films(study: Study, role: str) -> pd.DataFrame:
    """A role's manifest with the kind of finding; of simulated films it is the label, and left out."""
    manifest = load_manifest(study, role)
    if study.data.simulated(role):
        return manifest
    return manifest.assign(**{KIND: kinds_of(known_findings(study, role, manifest)).replace("", NOT_KNOWN)})


def _judged_arms(study: Study) -> list[str]:
    """The arms that answer for the hospital's films, without the doses."""
    return [arm for arm in study.classifier_arms if arm_of(arm).judges_hospital and not arm.startswith(DOSE_PREFIX)]


def statements_path(study: Study) -> Path:
    """Where the statements of a study's results lie."""
    return study.results.tables_record.parent / "statements.json"


def gather_predictions(study: Study) -> pd.DataFrame:
    """Predictions of every model, one below the other: `arm, seed, fold`, the columns of predictions.csv, and then
    `p_calibrated` and `threshold_validation`, which come from each model's temperature and threshold; where there are
    several generators also `generator_seed`: whose films a run learned from, or its seed where it learned from none.

    The source rule answers for validation films only. Raises `InputError` where predictions are of other films than the
    study's.
    """
    parts = []
    for arm, seed, fold in _models(study):
        table = read_predictions(study.results.predictions(arm, seed, fold))
        keys = pd.DataFrame({"arm": arm, "seed": seed, "fold": fold}, index=table.index)
        facts = _chosen_on_validation(study, arm, seed, fold)
        p_calibrated = calibrated(table["p_positive"].to_numpy(), facts["temperature"])
        more = {"p_calibrated": p_calibrated, "threshold_validation": facts["threshold_validation"]}
        if study.gan.seeds > 1:
            more["generator_seed"] = study.run_of(arm, seed)
        parts.append(pd.concat([keys, table.assign(**more)], axis=1))
    predictions = pd.concat(parts, ignore_index=True)
    for role in study.roles[1:]:
        known = set(load_manifest(study, role)["image_id"].astype(str))
        of_role = predictions[predictions["role"] == role]
        for arm, seed in dict.fromkeys((arm, seed) for arm, seed, _ in _models(study)):
            found = set(of_role.loc[(of_role["arm"] == arm) & (of_role["seed"] == seed), "image_id"])
            if found != known and (found or role == "validation" or arm_of(arm).judges_hospital):
                raise InputError(
                    f"{study.results.classifier(arm, seed, 'all').parent}: predictions of {len(found)} {role} films, "
                    f"of which {len(found & known)} are among the study's {len(known)}; train it again with --force"
                )
    return predictions


def _chosen_on_validation(study: Study, arm: str, seed: int, fold: str) -> dict[str, float]:
    """Temperature and threshold of a model, from its record."""
    record = read_json(study.results.classifier_record(arm, seed, fold))
    try:
        return {name: float(record[name]) for name in ("temperature", "threshold_validation")}
    except KeyError as error:
        file = study.results.classifier_record(arm, seed, fold)
        raise InputError(f"{file}: found no {error}; train this classifier again with --force") from None


def _doses(study: Study) -> dict[str, int]:
    """The arms of the dose curve and their share of the synthetic films, in per cent; empty without such arms."""
    if not study.classifier.doses:
        return {}
    arms = ("baseline", *(dose_arm(percent) for percent in study.classifier.doses), "synthetic-crossfit")
    return {arm: arm_of(arm).synthetic for arm in arms}


def _models(study: Study) -> list[tuple[str, int, str]]:
    return [
        (arm, seed, fold)
        for arm in study.classifier_arms
        for seed in study.classifier_seeds(arm)
        for fold in study.classifier_folds(arm)
    ]
