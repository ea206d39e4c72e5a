"""Small cells are hidden, and no sum gives them back: every table is attacked by trying all that fits."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cxrlib.errors import InputError
from cxrlib.evaluation.suppression import SMALLEST_CELL, pooled_levels, standard_views, suppress_small_cells

COLUMNS = ["negative", "positive"]
AGES = ["under 40", "40 to 59", "60 to 79", "80 and over"]


def table(*rows):
    return pd.DataFrame(list(rows), columns=[*COLUMNS, "neutral"][: len(rows[0])])


def fits(shown, true):
    """Every table of two columns that agrees with what is shown and with the true sums of rows and columns."""

    def agrees(cell, value):
        return 1 <= value <= 4 if cell == "<5" else value >= 0 if cell == "withheld" else value == cell

    rows = [
        [(left, sum(right) - left) for left in range(sum(right) + 1) if agrees(cells[0], left)]
        for cells, right in zip(shown, true, strict=True)
    ]
    rows = [[row for row in possible if agrees(cells[1], row[1])] for possible, cells in zip(rows, shown, strict=True)]
    for chosen in product(*rows):
        if sum(row[0] for row in chosen) == sum(row[0] for row in true):
            yield chosen


@pytest.mark.parametrize("count", range(8))
def test_one_to_four_are_hidden_and_other_counts_shown(count):
    shown = suppress_small_cells(table((count, 30), (40, 50)), COLUMNS)
    assert shown["negative"][0] == ("<5" if 1 <= count < SMALLEST_CELL else count)


def test_a_table_without_small_cells_stays_as_it_is():
    original = table((10, 0), (7, 5)).assign(role=["training", "hospital"])
    shown = suppress_small_cells(original, COLUMNS)
    assert shown.to_dict() == original.to_dict()


def test_a_hidden_cell_does_not_follow_from_the_sums():
    original = table((3, 30), (40, 50), (20, 60))
    shown = suppress_small_cells(original, COLUMNS)
    assert shown["negative"][0] == "<5"
    assert (shown == "withheld").to_numpy().sum() >= 3
    possible = {rows[0][0] for rows in fits(shown.to_numpy().tolist(), original.to_numpy().tolist())}
    assert len(possible) > 1
    assert original["negative"][0] == 3, "the table given stays as it is"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=3))
def test_no_attack_by_sums_finds_a_hidden_count_among_filled_cells(rows):
    original = table(*rows)
    shown = suppress_small_cells(original, COLUMNS)
    cells = [cell for row in shown.to_numpy().tolist() for cell in row]
    assert not any(isinstance(cell, int) and 1 <= cell < SMALLEST_CELL for cell in cells)
    if not any(isinstance(cell, int) for cell in cells):
        return  # everything is hidden; more can't be done
    true = original.to_numpy().tolist()
    agreeing = list(fits(shown.to_numpy().tolist(), true))
    assert tuple(map(tuple, true)) in agreeing
    for number, cell in enumerate(cells):
        row, column = divmod(number, 2)
        if cell == "<5":
            assert len({candidate[row][column] for candidate in agreeing}) > 1


def test_patients_decide_where_films_are_counted():
    films = table((12, 30), (40, 50))
    patients = table((3, 20), (30, 40))
    shown = suppress_small_cells(films, COLUMNS, patients=patients)
    assert shown["negative"][0] == "<5"
    assert suppress_small_cells(films, COLUMNS)["negative"][0] == 12


def test_missing_counts_stay_missing():
    shown = suppress_small_cells(pd.DataFrame({"negative": [None, 2.0], "positive": [7.0, 30.0]}), COLUMNS)
    assert pd.isna(shown["negative"][0])
    assert shown["negative"][1] == "<5"


@pytest.mark.parametrize("count", [-1, 0.5])
def test_what_is_no_count_is_refused(count):
    with pytest.raises(InputError, match=r"column `negative`, row 1: found .*expected a count"):
        suppress_small_cells(table((10, 10), (count, 10)), COLUMNS)


def test_no_more_is_hidden_than_a_single_small_cell_needs():
    """A small cell needs one other in its row, one in its column, and the one where those meet."""
    original = table((27, 11), (60, 20), (83, 20), (13, 2), (77, 7))
    shown = suppress_small_cells(original, COLUMNS)
    hidden = shown[COLUMNS].isin(["<5", "withheld"])
    assert hidden.to_numpy().sum() == 4
    assert shown.loc[[0, 1, 2]].to_numpy().tolist() == original.loc[[0, 1, 2]].to_numpy().tolist()


def attacked(table):
    """The smallest and greatest number of patients that each kind of patient can have, given all that is printed.

    A kind is a combination of label and of one level per variable; `table` has columns variable, level, label and
    patients, as printed for one set of patients, each with a single film.
    """
    variables = {name: sorted(rows["level"].unique()) for name, rows in table.groupby("variable")}
    kinds = list(product(sorted(table["label"].unique()), *variables.values()))
    printed, known = [], []
    for row in table.itertuples():
        place = 1 + list(variables).index(row.variable)
        printed.append([kind[0] == row.label and kind[place] == row.level for kind in kinds])
        known.append(row.patients)
    ends = []
    for variable, levels in variables.items():
        for label, level in product(sorted(table["label"].unique()), levels):
            place = 1 + list(variables).index(variable)
            wanted = np.array([kind[0] == label and kind[place] == level for kind in kinds], float)
            ends.append([sign * linprog(sign * wanted, A_eq=printed, b_eq=known).fun for sign in (1, -1)])
    return np.array(ends).round(6)


@pytest.mark.parametrize("seed", range(6))
def test_who_solves_all_tables_at_once_finds_no_cell_of_one_to_four(seed):
    """Levels of several tables over the same patients, joined in one place: every count is 0 or 5 and more."""
    random = np.random.default_rng(seed)
    count = 90
    facts = pd.DataFrame(
        {
            "patient_id": [f"p{number}" for number in range(count)],
            "label": random.choice(["positive", "negative"], count, p=[0.4, 0.6]),
            "age": random.choice(AGES, count, p=[0.4, 0.35, 0.22, 0.03]),
            "source": random.choice(["ward A", "ward B", "Station 7 Prof. Zwiebel"], count, p=[0.5, 0.48, 0.02]),
            "sex": random.choice(["F", "M", "not known"], count, p=[0.5, 0.46, 0.04]),
        }
    )
    rows = []
    for name, ordered in (("age", AGES), ("source", ()), ("sex", ())):
        levels = pooled_levels(facts[name], facts["patient_id"], facts["label"], ordered=ordered)
        assert set(levels.index) == set(facts.index)
        for (label, level), group in facts.groupby(["label", levels]):
            rows.append((name, level, label, group["patient_id"].nunique()))
    ends = attacked(pd.DataFrame(rows, columns=["variable", "level", "label", "patients"]))
    assert not ((ends[:, 0] == ends[:, 1]) & (ends[:, 0] > 0) & (ends[:, 0] < SMALLEST_CELL)).any()
    assert (ends[:, 1] >= SMALLEST_CELL).any()


def test_a_rare_age_is_joined_with_its_neighbour_and_a_rare_word_with_the_next_rarest():
    patients = pd.Series([f"p{number}" for number in range(60)])
    labels = pd.Series(["positive", "negative"] * 30)
    ages = pd.Series(["under 40"] * 10 + ["40 to 59"] * 28 + ["60 to 79"] * 20 + ["80 and over"] * 2)
    found = pooled_levels(ages, patients, labels, ordered=AGES)
    assert set(found) == {"under 40", "40 to 59", "60 to 79 or 80 and over"}
    words = pd.Series(["a"] * 30 + ["b"] * 18 + ["c"] * 11 + ["d"])
    assert set(pooled_levels(words, patients, labels)) == {"a", "b", "c or d"}


def test_who_is_left_out_of_a_level_is_counted_too():
    """All but two patients have a film of the first view: these two would follow from the total."""
    views = pd.Series(["AP"] * 40 + ["PA"] * 40)
    patients = pd.Series([f"p{number}" for number in (*range(40), *range(2, 42))])
    assert pooled_levels(views, patients, pd.Series(["positive"] * 80)).nunique() == 1


def test_words_that_people_type_into_a_view_are_not_printed():
    typed = pd.Series(
        ["PA", "ap supine", "AP, portable", "lateral", "", "AP Zimmer 3 Huber", "Station 7", "apart", " PA", "Unknown"]
    )
    assert standard_views(typed).tolist() == [
        "PA",
        "ap supine",
        "AP, portable",
        "lateral",
        "",
        "other",
        "other",
        "other",
        "PA",
        "",
    ]
