"""Tables of the films: Table 1, from files found to films used, shortcuts, shift, and who the patients are."""

import logging
import time
from collections import Counter
from typing import Any

import pandas as pd

from cxrlib.chapters.films.appearance import film_map, films_by_measure
from cxrlib.chapters.films.shortcuts import border_weights, shortcuts
from cxrlib.classifiers.arms import arm_of
from cxrlib.evaluation.subgroups import AGE_BANDS, age_bands
from cxrlib.evaluation.suppression import WITHHELD, few_of_both, hide_pooled, is_small, pooled_levels, standard_views
from cxrlib.files import read_json, write_csv, write_json, write_table
from cxrlib.films.covidx import labels_path, read_labels
from cxrlib.films.findings import KINDS, NO_FINDING, NOT_KNOWN, kinds_of, known_findings
from cxrlib.films.images import load_manifest
from cxrlib.films.listing import kind_of
from cxrlib.films.settings import EXTERNAL, LABELS, CovidxSource
from cxrlib.films.shortcuts import fit_source_rule
from cxrlib.finished import makes
from cxrlib.records import write_record
from cxrlib.study import Study

logger = logging.getLogger(__name__)

SEXES = {"F": "female", "M": "male"}
COMMON_VIEWS = 4
HIDDEN_PATIENTS = ("negative_patients", "patients_both")
MOST_NAMED = 5


@makes("film_tables")
def make_film_tables(study: Study, *, force: bool = False) -> dict[str, Any]:
    """Write the tables of Chapter 1 and return their record, `tables/films.json`.

    In `tables/`: table1, flow, demographics, shortcut, shift_films and, where a role is read from a COVIDx tree,
    covidx_labels (.csv). Beside the films, since a point there is a patient's film: `data/film_map.csv` and
    `data/border_weights.json`. Shares lie in [0, 1]. The record says which region counted as border and how alike
    films of a role are. Raises `InputError` if the films were not prepared and audited.
    """
    started = time.perf_counter()
    record = study.results.films_record
    tables = {
        "table1": table1(study),
        "flow": flow(study),
        "demographics": demographics(study),
        "shortcut": shortcuts(study),
        "shift_films": films_by_measure(study),
        "covidx_labels": covidx_labels(study),
    }
    for name, table in tables.items():
        if len(table):
            write_table(study.results.table(name), table)
    points, neighbours = film_map(study)
    write_csv(study.results.film_map, points)
    weights, border = border_weights(study)
    write_json(study.results.border_weights, weights)
    seconds = time.perf_counter() - started
    made = sorted(name for name, table in tables.items() if len(table))
    outputs = [*map(study.results.table, made), study.results.film_map, study.results.border_weights]
    write_record(record, {}, {}, seconds, outputs=outputs, tables=made, border=border, neighbours=neighbours,
                 private_roles=list(study.private_roles), negatives=negatives_named(study))  # fmt: skip
    logger.info("tables of the films: made in %.1f s", seconds)
    return read_json(record)


def negatives_named(study: Study) -> dict[str, dict[str, int]]:
    """Of roles that may be published, the commonest findings of negative films that are findings, in films."""
    named = {}
    for role in filter(study.publishable, study.roles):
        manifest = load_manifest(study, role)
        findings = known_findings(study, role, manifest)[manifest["label"] == "negative"]
        told = findings[~kinds_of(findings).isin(["", NO_FINDING])].value_counts()
        named[role] = {str(name): int(count) for name, count in told.head(MOST_NAMED).items()}
    return named


def table1(study: Study) -> pd.DataFrame:
    """Images and patients of each role by label, the paper's Table 1, and what is missing from it.

    `patients` are distinct; patients with films of both labels (`patients_both`) count once there, but under either
    label, so that the sum over labels exceeds it by them. Where these are 1 to 4 patients of a role that may not be
    published, they and the patients of negative films are left empty.
    """
    rows = []
    for role in study.roles:
        manifest = load_manifest(study, role)
        record = read_json(study.results.data_record(role))
        row: dict[str, Any] = {"dataset": _dataset_name(study, role), "role": role}
        row |= _counts(manifest)
        if not study.publishable(role) and few_of_both(manifest["patient_id"], manifest["label"]):
            row |= {"negative_patients": None, "patients_both": None}
        missing = _reasons(record).get("missing", 0)
        row["missing_files"] = missing
        row["unreadable_files"] = len(record["unreadable"]) - missing
        row["duplicates_dropped"] = record["images_used"] - len(manifest)
        row["simulated"] = study.data.simulated(role)
        rows.append(row)
        if role == "training" and any(arm_of(arm).synthetic and arm_of(arm).public for arm in study.classifier.arms):
            made = study.synthesis.images_per_label
            more = {f"{label}_images": row[f"{label}_images"] + made for label in LABELS}
            rows.append(row | {"dataset": f"{row['dataset']} + synthetic", "role": "training + synthetic"} | more)
    return pd.DataFrame(rows).astype(dict.fromkeys(HIDDEN_PATIENTS, "Int64"))


def flow(study: Study) -> pd.DataFrame:
    """From the films that the labels name to those used: columns role, stage, reason, films, positive, negative.

    Stages are listed, missing, unreadable (one row per reason), prepared, duplicate, used; what is lost between listed
    and used adds up. Labels are empty where the record does not say whose film was left out, and before the last stage
    where they would tell the labels of 1 to 4 films that were, of a role that may not be published.
    """
    rows = []
    for role in study.roles:
        record = read_json(study.results.data_record(role))
        manifest = load_manifest(study, role)
        used = {label: int((manifest["label"] == label).sum()) for label in reversed(LABELS)}
        prepared = {label: record["by_label"][label] for label in reversed(LABELS)}
        listed = record["images_used"] + len(record["unreadable"])
        named = record.get("expected_by_label") or ({} if record["unreadable"] else record["by_label"])
        rows.append((role, "listed", "", listed, named.get("positive"), named.get("negative")))
        for reason, count in _reasons(record).items():
            stage = "missing" if reason == "missing" else "unreadable"
            rows.append((role, stage, "" if stage == "missing" else reason, count, None, None))
        rows.append((role, "prepared", "", record["images_used"], *prepared.values()))
        dropped = {label: prepared[label] - used[label] for label in used}
        rows.append((role, "duplicate", "", sum(dropped.values()), *dropped.values()))
        lost = [stage.get(label, 0) - used[label] for stage in (named, prepared) for label in used if stage]
        if not study.publishable(role) and any(map(is_small, lost)):
            rows = [(*row[:4], None, None) if row[0] == role else row for row in rows]
        rows.append((role, "used", "", len(manifest), *used.values()))
    table = pd.DataFrame(rows, columns=["role", "stage", "reason", "films", "positive", "negative"])
    return table.astype({"positive": "Int64", "negative": "Int64"})


def _reasons(record: dict[str, Any]) -> dict[str, int]:
    """How many files were left out for each kind of reason, most frequent first; a kind names no file."""
    return dict(Counter(kind_of(problem["reason"]) for problem in record["unreadable"]).most_common())


def demographics(study: Study) -> pd.DataFrame:
    """Age, sex and view of the patients, and the kind of finding, by role and label: films and patients.

    Columns role, variable, level, films_positive, films_negative, patients_positive, patients_negative. Of roles that
    may not be published, cells of fewer than five patients are hidden. A patient with several films counts once in a
    level, at the age of each film.
    """
    parts = [
        _characteristics(study, role, variable, levels)
        for role in study.roles
        for variable, levels in _levels(study, role).items()
    ]
    return pd.concat(parts, ignore_index=True)


def _levels(study: Study, role: str) -> dict[str, pd.Series]:
    """The level of each film, as an ordered category, per variable."""
    manifest = load_manifest(study, role)
    finding = kinds_of(known_findings(study, role, manifest)).replace("", NOT_KNOWN)
    view = manifest["view"] if study.publishable(role) else standard_views(manifest["view"])
    view = view.where(view != "", NOT_KNOWN)
    common = [name for name in view.value_counts().index if name not in (NOT_KNOWN, "other")]
    # Of private roles all, as in the tables of results: two ways of joining levels would tell what either hides.
    common = common[:COMMON_VIEWS] if study.publishable(role) else common
    view = view.where(view.isin([*common, NOT_KNOWN]), "other")
    return {
        "age": age_bands(manifest["age"]).astype(pd.CategoricalDtype([*(band for _, band in AGE_BANDS), NOT_KNOWN])),
        "sex": manifest["sex"].map(SEXES).fillna(NOT_KNOWN).astype(pd.CategoricalDtype([*SEXES.values(), NOT_KNOWN])),
        "finding": finding.astype(pd.CategoricalDtype([*KINDS, NOT_KNOWN])),
        "view": view.astype(pd.CategoricalDtype([*common, *(["other"] if "other" in set(view) else []), NOT_KNOWN])),
    }


def _characteristics(study: Study, role: str, variable: str, levels: pd.Series) -> pd.DataFrame:
    manifest = load_manifest(study, role)
    keys = {"role": role, "variable": variable, "level": list(levels.cat.categories)}
    films, patients = pd.DataFrame(keys), pd.DataFrame(keys)
    for label in reversed(LABELS):
        of_label = manifest["label"] == label
        grouped = manifest[of_label].groupby(levels[of_label], observed=False)["patient_id"]
        films[label] = grouped.size().to_numpy()
        patients[label] = grouped.nunique().to_numpy()
    names = list(reversed(LABELS))
    if not study.publishable(role):
        ordered = () if variable == "finding" else list(levels.cat.categories)[:-1]
        pooled = pooled_levels(levels, manifest["patient_id"], manifest["label"], ordered=ordered)
        films, patients = (hide_pooled(counts, names, patients, pooled) for counts in (films, patients))
    table = films.rename(columns={name: f"films_{name}" for name in names})
    for name in names:
        table[f"patients_{name}"] = patients[name]
    if not study.publishable(role) and few_of_both(manifest["patient_id"], manifest["label"]):
        table["patients_negative"] = WITHHELD
    return table


def covidx_labels(study: Study) -> pd.DataFrame:
    """What the official label files of COVIDx V8B say by themselves, whatever images are there: a row per split.

    Empty unless a role is read from such a tree. `accuracy_by_source` is that of the rule learned from the sources of
    the train split.
    """
    sources = [source for role in study.roles for source in study.data.sources(role)]
    folders = {source.folder for source in sources if isinstance(source, CovidxSource)}
    for folder in sorted(folders):
        paths = {split: labels_path(folder, split) for split in ("train", "test")}
        if all(path.is_file() for path in paths.values()):
            tables = {split: read_labels(path) for split, path in paths.items()}
            positive = {split: (table["label"] == "positive").to_numpy(int) for split, table in tables.items()}
            rule, rows = fit_source_rule(tables["train"]["source"], positive["train"]), []
            for split, table in tables.items():
                right = (rule.predict(table["source"]) >= 0.5) == positive[split]
                rows.append({"split": split, **_counts(table), "accuracy_by_source": float(right.mean())})
            return pd.DataFrame(rows)
    return pd.DataFrame()


def _counts(films: pd.DataFrame) -> dict[str, int]:
    """Images and patients by label, distinct patients, and those with films of both."""
    patients = {label: set(films.loc[films["label"] == label, "patient_id"]) for label in reversed(LABELS)}
    return {
        **{f"{label}_images": int((films["label"] == label).sum()) for label in patients},
        **{f"{label}_patients": len(found) for label, found in patients.items()},
        "patients": len(set.union(*patients.values())),
        "patients_both": len(set.intersection(*patients.values())),
    }


def _dataset_name(study: Study, role: str) -> str:
    names = {"hospital": "the hospital's own films", EXTERNAL: "another hospital's films"}
    unnamed = "" if study.publishable(role) else names.get(role, f"own {role} films")
    return " + ".join(dict.fromkeys(source.dataset(unnamed) for source in study.data.sources(role)))
