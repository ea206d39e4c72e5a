"""Tables of chapter 1: films, folds, files left out, copies, patients, shortcuts."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxrlib.chapters.films.tables import HIDDEN_PATIENTS
from cxrlib.chapters.words import with_interval
from cxrlib.evaluation.paper import paper_table1
from cxrlib.evaluation.suppression import WITHHELD, suppress_small_cells
from cxrlib.files import read_json
from cxrlib.films.listing import kind_of
from cxrlib.films.settings import EVERY_ROLE, LABELS
from cxrlib.study import Study

SHORTCUT_NAMES = {"majority": "commoner label", "source": "source", "borders": "borders"}
WHERE_LEARNED = {"training": ", of training", "own": ", of its own"}


def load_films(study: Study) -> dict[str, pd.DataFrame]:
    """The tables of the films by name, as `make_film_tables` wrote them."""
    made = read_json(study.results.films_record)["tables"]
    tables = {name: pd.read_csv(study.results.table(name), keep_default_na=False, na_values=[""]) for name in made}
    tables["flow"] = tables["flow"].astype({"positive": "Int64", "negative": "Int64", "reason": object})
    tables["flow"]["reason"] = tables["flow"]["reason"].fillna("")
    tables["table1"] = tables["table1"].astype(dict.fromkeys(HIDDEN_PATIENTS, "Int64"))
    return tables


def films(table1: pd.DataFrame) -> pd.DataFrame:
    """Table 1 of the films as read: films and patients by label, and what is not there; a column per role."""
    shown = table1[table1["role"].isin(EVERY_ROLE)].set_index("role")
    rows = {"data set": shown["dataset"], "films are": shown["simulated"].map({True: "simulated", False: "real"})}
    names = {f"{label}_images": f"{label} films" for label in reversed(LABELS)}
    names |= {f"{label}_patients": f"patients with {label} films" for label in reversed(LABELS)}
    names |= {"patients": "patients", "missing_files": "missing files", "unreadable_files": "unreadable files"}
    names |= {"duplicates_dropped": "copies left out"}
    rows |= {name: shown[column].map(lambda n: WITHHELD if pd.isna(n) else f"{n:,}") for column, name in names.items()}
    return pd.DataFrame(rows).T


def paper_films() -> pd.DataFrame:
    """The paper's own Table 1: images of each data set by label."""
    names = {"dataset": "data set", "positive_images": "positive films", "negative_images": "negative films"}
    return paper_table1().rename(columns=names).set_index("data set")


def unreadable(study: Study, records: Mapping[str, Mapping[str, Any]], most: int = 10) -> pd.DataFrame:
    """Files that are not used, with the reason, from the data records by role; at most so many of each role by name.

    A role that may not be published gives the number of files per kind of reason instead of their names.
    """
    rows: list[tuple[str, str, str]] = []
    for role, record in records.items():
        entries = record["unreadable"]
        if study.publishable(role):
            rows += [(role, entry["file"], entry["reason"]) for entry in entries[:most]]
            rows += [(role, f"and {len(entries) - most:,} more", "")] if len(entries) > most else []
        else:
            reasons = Counter(kind_of(entry["reason"]) for entry in entries)
            rows += [(role, f"{count} not named", reason) for reason, count in sorted(reasons.items())]
    return pd.DataFrame(rows, columns=["role", "file", "reason"])


def copies(audit: Mapping[str, Any]) -> pd.DataFrame:
    """How many pairs of copies the audit found, by roles and kind, from its record."""
    rows = [(pair["role_a"], pair["role_b"], pair["kind"].replace("-", " "), pair["pairs"]) for pair in audit["pairs"]]
    return pd.DataFrame(rows, columns=["one film in", "the other in", "kind", "pairs"])


def patients(demographics: pd.DataFrame) -> pd.DataFrame:
    """Age, sex, finding and view by role and label, as films (patients); a level that no film has is left out."""
    filled = demographics.copy()
    names = [f"{kind}_{label}" for kind in ("films", "patients") for label in LABELS]
    filled[names] = filled[names].astype(str).replace(r"\.0$", "", regex=True)
    table = {}
    for role in dict.fromkeys(filled["role"]):
        rows = filled[filled["role"] == role].set_index(["variable", "level"])
        for label in reversed(LABELS):
            table[(role, label)] = rows[f"films_{label}"] + " (" + rows[f"patients_{label}"] + ")"
    order = list(dict.fromkeys(zip(filled["variable"], filled["level"], strict=True)))
    order.sort(key=lambda pair: (["age", "sex", "finding", "view"].index(pair[0]), pair[1] in ("not known", "other")))
    shown = pd.DataFrame(table).reindex(order).fillna("0 (0)")
    shown = shown[(shown != "0 (0)").any(axis=1)]
    shown.index.names, shown.columns.names = ("", "films (patients)"), ("", "")
    return shown


def views(demographics: pd.DataFrame) -> pd.DataFrame:
    """Films of each role by view; a count that is hidden is left out."""
    rows = demographics[demographics["variable"] == "view"].copy()
    counts = rows[[f"films_{label}" for label in LABELS]].apply(pd.to_numeric, errors="coerce").fillna(0)
    rows["films"] = counts.sum(axis=1)
    table = rows.pivot_table(index="role", columns="level", values="films", aggfunc="sum", sort=False).fillna(0)
    last = [name for name in ("other", "not known") if name in table]
    return table[[*sorted(set(table) - set(last), reverse=True), *last]].loc[:, lambda found: found.sum() > 0]


def shortcuts(table: pd.DataFrame) -> pd.DataFrame:
    """What each shortcut gets right, in per cent with intervals, and how well it ranks."""
    shown = pd.DataFrame(
        {
            "role": table["role"],
            "rule": table["shortcut"].map(SHORTCUT_NAMES)
            + table["learned_on"].map(WHERE_LEARNED).where(table["shortcut"] != "majority", ""),
        }
    )
    names = {"accuracy": "accuracy (%)", "recall_positive": "recall, pos. (%)", "recall_negative": "recall, neg. (%)"}
    for metric, name in names.items():
        intervals = table[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float)
        shown[name] = [with_interval(*values) for values in intervals]
    areas = table[["roc_auc", "roc_auc_low", "roc_auc_high"]].to_numpy(float)
    shown["area under ROC"] = [f"{area:.2f}\u00a0({low:.2f}–\u2060{high:.2f})" for area, low, high in areas]
    return shown.set_index(["role", "rule"])


def folds(study: Study, manifest: pd.DataFrame) -> pd.DataFrame:
    """The hospital's folds: patients and films of each label; small numbers are hidden if it may not be published."""
    grouped = manifest.groupby("fold")
    table = pd.DataFrame({"patients": grouped["patient_id"].nunique()})
    for label in reversed(LABELS):
        table[f"{label} films"] = grouped["label"].agg(lambda labels, label=label: (labels == label).sum())
    if study.publishable("hospital"):
        return table
    films = [f"{label} films" for label in reversed(LABELS)]
    by_label = manifest.groupby(["fold", "label"])["patient_id"].nunique().unstack(fill_value=0)
    patients = by_label.rename(columns=lambda label: f"{label} films").reindex(columns=films, fill_value=0)
    shown = suppress_small_cells(table, films, patients=patients)
    return suppress_small_cells(shown, ["patients"])
