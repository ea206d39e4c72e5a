"""An attacker solves every count that is published of private roles, and finds no 1 to 4 patients."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from cxrlib.chapters.films import sentences, shown
from cxrlib.chapters.films.shortcuts import shortcuts
from cxrlib.chapters.films.tables import demographics, flow, table1
from cxrlib.chapters.results.tables import _facts_of_films
from cxrlib.evaluation.scores import collect_scores
from cxrlib.evaluation.subgroups import KIND, levels, subgroup_table
from cxrlib.evaluation.suppression import JOINED, SMALL, SMALLEST_CELL, WITHHELD
from cxrlib.files import sha256_of, write_csv, write_json
from cxrlib.films.images import load_manifest
from cxrlib.films.manifest import MANIFEST_COLUMNS
from cxrlib.films.settings import LABELS
from cxrlib.films.shortcuts import fit_source_rule
from cxrlib.study import load_study

PRIVATE = ("hospital", "external")
SEXES = {"female": "F", "male": "M"}
# Rare levels next to common ones, spelt as people spell them, and ties in which any order of joining may end.
RARE = {
    "view": {"PA": 29, "AP": 24, "LL": 12, "AP supine": 12, "RL": 3, "unknown": 3, "": 10, "AP Zimmer 3": 1, "PA ": 2},
    "source": {"ward A": 35, "ward B": 30, "ward C": 14, "Station 7 Prof. Zwiebel": 1, "north": 2, "ward D": 14},
    "sex": {"F": 44, "M": 49, "": 3},
    "age": {"20": 3, "50": 33, "70": 30, "85": 27, "": 3},
    "finding": {"COVID-19": 40, "normal": 24, "Lipoid": 28, "Pneumothorax": 2, "": 2},
}


def manifest_of(role, random):
    """Films of a role; of a private one 96 patients with rare facts, three of them with films of both labels."""
    private, rows = role in PRIVATE, []
    facts = {name: random.permutation(np.repeat(list(counts), list(counts.values()))) for name, counts in RARE.items()}
    for patient in range(96 if private else 16):
        label = LABELS[patient % 2]
        labels = [label] * (1 + patient % 3 // 2) + ([LABELS[1 - patient % 2]] if private and patient < 3 else [])
        told = {name: values[patient] for name, values in facts.items()}
        told = told if private else {"source": ("south", "north")[patient % 2]}
        rows += [{"patient_id": f"{role}-{patient}", "label": of_film, **told} for of_film in labels]
    table = pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS), dtype=object).fillna("")
    return table.assign(image_id=[f"{role} {row}" for row in range(len(rows))], age=pd.to_numeric(table["age"]))


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_study_in):
    """A study as its preparation leaves it; of either private role two positive films could not be read."""
    root, random = tmp_path_factory.mktemp("attacked"), np.random.default_rng(3)
    roles = ("training", "validation", *PRIVATE)
    source = {role: {"reader": "folder", "folder": str(root), "publishable": role not in PRIVATE} for role in roles}
    made = load_study(write_study_in(root, data={**source, "folds": 2}))
    hashes = {}
    for role in roles:
        table, lost = manifest_of(role, random), 2 if role in PRIVATE else 0
        write_csv(made.results.manifest(role), table)
        np.save(made.results.images(role, 32), random.integers(0, 255, (len(table), 32, 32)).astype(np.uint8))
        by_label = {label: int((table["label"] == label).sum()) for label in LABELS}
        named = by_label | {"positive": by_label["positive"] + lost}
        hashes[role] = {"manifest_sha256": sha256_of(made.results.manifest(role))}
        record = {
            "images_used": len(table),
            "by_label": by_label,
            "expected_by_label": named,
            **hashes[role],
        }
        write_json(made.results.data_record(role), record | {"unreadable": [{"file": "a", "reason": "damaged"}] * lost})
    write_json(made.results.audit_record, {"inputs": hashes, "excluded": {role: [] for role in roles}})
    return made


@pytest.fixture(scope="module")
def told(study):
    """Every table that is published with counts of a private role, by role."""
    tables = {
        "table1": table1(study), "flow": flow(study), "demographics": demographics(study), "shortcut": shortcuts(study)
    }  # fmt: skip
    found = {}
    for role in PRIVATE:
        answers = load_manifest(study, role)[["image_id", "patient_id", "label"]]
        answers = answers.assign(role=role, arm="baseline", seed=0, fold="all", threshold_validation=0.5)
        p_positive = np.random.default_rng(0).uniform(size=len(answers))
        scores = collect_scores(answers.assign(p_positive=p_positive, p_calibrated=p_positive), role)
        groups = subgroup_table(scores, _facts_of_films(study, role), seed=0, resamples=20, private=True)
        found[role] = {name: table[table["role"] == role] for name, table in tables.items()} | {"subgroups": groups}
    return found


class Attacker:
    """What is known of one trait of the patients: unknowns are patients with positive films only, with negative films
    only, and with both, of each level, and films of each level and label."""

    def __init__(self, levels):
        self.levels = list(levels)
        self.rows, self.low, self.high = [], [], []
        for level, label in product(self.levels, LABELS):
            self.know(self.films(label, level) - self.patients(level, label=label), 0, np.inf)

    def unit(self, place):
        return np.eye(5 * len(self.levels))[place]

    def patients(self, *levels, label=None):
        kinds = {None: (0, 1, 2), "positive": (0, 2), "negative": (1, 2), "both": (2,)}[label]
        return sum(self.unit(5 * self.levels.index(level) + kind) for level in levels for kind in kinds)

    def films(self, label, *levels):
        return sum(self.unit(5 * self.levels.index(level) + 3 + (label == "negative")) for level in levels)

    def know(self, row, low, high):
        self.rows.append(row)
        self.low.append(low)
        self.high.append(high)

    def read(self, row, cell):
        """A printed cell: a number, `<5`, or nothing."""
        if str(cell) == SMALL:
            self.know(row, 1, SMALLEST_CELL - 1)
        elif not pd.isna(cell) and str(cell) != WITHHELD:
            self.know(row, float(cell), float(cell))

    def range_of(self, row):
        known = LinearConstraint(np.array(self.rows), self.low, self.high)
        ends = []
        for sign in (1, -1):
            found = milp(sign * row, constraints=known, integrality=np.ones(len(row)), bounds=Bounds(0, 400))
            assert found.success, "the counts that are told contradict each other"
            ends.append(round(sign * found.fun))
        return ends


def attack(study, role, variable, told):
    """Everything that the tables say of one trait, and each cell with the range it must lie in."""
    manifest = load_manifest(study, role)
    name = {"finding": KIND}.get(variable, variable)
    facts = _facts_of_films(study, role)
    raw = levels(facts)[name] if variable != "source" else manifest["source"].replace("", "not known")
    printed = told["demographics"].query("variable == @variable")["level"].replace(SEXES)
    attacker = Attacker(sorted({*raw, *printed}))
    everything = attacker.levels
    row = told["table1"].iloc[0]
    for label in LABELS:
        attacker.read(attacker.patients(*everything, label=label), row[f"{label}_patients"])
        attacker.read(attacker.films(label, *everything), row[f"{label}_images"])
    attacker.read(attacker.patients(*everything), row["patients"])
    attacker.read(attacker.patients(*everything, label="both"), row["patients_both"])
    for row in told["demographics"].query("variable == @variable").itertuples():
        level = SEXES.get(row.level, row.level)
        for label in LABELS:
            attacker.read(attacker.patients(level, label=label), getattr(row, f"patients_{label}"))
            films = getattr(row, f"films_{label}")
            attacker.read(attacker.films(label, level), films if films != SMALL else None)
    pooled = told["subgroups"].query("subgroup == @name")
    numbered = pooled_names(facts, manifest) if variable == "source" else {}
    for row in pooled.itertuples():
        names = [numbered.get(part, part) for part in row.level.split(JOINED)]
        attacker.read(attacker.patients(*names), row.patients)
        attacker.read(sum(attacker.films(label, *names) for label in LABELS), row.films)
        attacker.read(attacker.films("positive", *names), row.positives)
    if variable == "source":
        read_source_rule(study, told, attacker)
    cells = [{"label": "both"}, *({"label": label} for label in (None, *LABELS))]
    wanted = [attacker.patients(*everything, label="both")]
    wanted += [attacker.patients(level, **cell) for level in everything for cell in cells]
    return [attacker.range_of(cell) for cell in wanted]


def pooled_names(facts, manifest):
    """What `source 1` … stand for: whoever knows the hospital's wards knows it by their sizes."""
    values = manifest["source"].str.strip().replace("", "not known")
    known = values[values != "not known"].value_counts()
    order = sorted(known.index, key=lambda value: (-known[value], value))
    return {f"source {number}": value for number, value in enumerate(order, 1)}


def read_source_rule(study, told, attacker):
    """The rule was learned on public films: its answers are known, and its shares are counts of sources."""
    training = load_manifest(study, "training")
    rule = fit_source_rule(training["source"], (training["label"] == "positive").to_numpy(int))
    (row,) = told["shortcut"].query("shortcut == 'source' and learned_on == 'training'").to_dict("records")
    shown_sources = [level for level in attacker.levels if row["known_source"] and rule.knows([level])[0]]
    if shown_sources:
        attacker.read(sum(attacker.films(label, *shown_sources) for label in LABELS), row["known_source"])
    called = [level for level in attacker.levels if rule.predict([level])[0] >= 0.5]
    total = told["table1"].iloc[0]["positive_images"]
    if row["known_source"]:
        attacker.read(attacker.films("positive", *called), round(row["recall_positive"] * total))


@pytest.mark.parametrize("variable", RARE)
@pytest.mark.parametrize("role", PRIVATE)
def test_no_cell_of_one_to_four_patients_follows_from_all_that_is_told(study, told, role, variable):
    found = attack(study, role, variable, told[role])
    assert [ends for ends in found if ends[0] == ends[1] and 0 < ends[0] < SMALLEST_CELL] == []
    assert any(high >= SMALLEST_CELL for _, high in found)


def test_of_few_films_that_were_left_out_no_label_is_told(told):
    rows = told["hospital"]["flow"].set_index("stage")
    assert rows.loc["unreadable", "films"] == 2
    assert rows.loc[["listed", "prepared", "duplicate"], ["positive", "negative"]].isna().all(axis=None)
    assert rows.loc["used", ["positive", "negative"]].notna().all()


def test_few_patients_of_both_labels_are_hidden_wherever_they_follow(study, tmp_path):
    write_csv(tmp_path / "table1.csv", table1(study))
    table = pd.read_csv(tmp_path / "table1.csv").astype(dict.fromkeys(("negative_patients", "patients_both"), "Int64"))
    assert table.set_index("role").loc["hospital", ["negative_patients", "patients_both"]].isna().all()
    assert shown.films(table).loc["patients with negative films", "hospital"] == "withheld"
    assert "fewer than five in hospital" in sentences.both_labels_sentence(table)
