"""Small cells of published tables: counts of fewer than five patients are hidden, and can't be worked out either."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxrlib.errors import InputError

SMALLEST_CELL = 5
SMALL, WITHHELD = f"<{SMALLEST_CELL}", "withheld"
HALF_A_PATIENT = 0.5
JOINED = " or "
VIEWS = "PA|AP|LL|RL|LAT|LATERAL|SUPINE|ERECT|UPRIGHT|STANDING|SITTING|PORTABLE|BEDSIDE|OTHER"


def suppress_small_cells(
    table: pd.DataFrame, columns: Sequence[str], *, patients: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A copy of `table` whose counts in `columns` give nobody away: 1 to 4 become "<5"; 0 and 5 or more stay numbers.

    Readers may know the sums of rows and columns (of these columns) from elsewhere. So further counts become
    "withheld", the smallest first, until no hidden one follows from the sums, even by combining them: for each, linear
    programming finds the least and the greatest value that fits, and these must differ. Where that can't be had, all
    counts are hidden.

    Where `columns` count films, `patients` (same rows and columns) gives the patients behind each count, and these
    decide. Missing counts (NaN) stay as they are and count as 0. Raises `InputError` for counts that are not whole
    numbers of 0 or more, and for `patients` of another shape.
    """
    counts = _counts(table, columns)
    behind = counts if patients is None else _counts(patients, columns)
    if behind.shape != counts.shape:
        raise InputError(f"small cells: {behind.shape[0]} rows of patients for {counts.shape[0]} rows of counts")
    small = (behind > 0) & (behind < SMALLEST_CELL)
    withheld = _further_cells(counts, small, table[list(columns)].notna().to_numpy())
    shown = table.copy()
    for index, name in enumerate(columns):
        values = shown[name].astype(object).to_numpy(copy=True)
        values[withheld[:, index]] = WITHHELD
        values[small[:, index]] = SMALL
        shown[name] = pd.Series(values, index=shown.index, dtype=object)
    return shown


def pooled_levels(
    levels: pd.Series, patients: pd.Series, labels: pd.Series, *, ordered: Sequence[str] = ()
) -> pd.Series:
    """The level of each film, with rare levels joined to others until no count of patients gives anybody away.

    Tables of several chapters are about the same patients, so what one hides another may tell. Instead of hiding cells
    of each table, the levels themselves are made coarser, once for all of them: of every level, within either label and
    over both, the patients who have a film in it, and those who have none, are 0 or at least `SMALLEST_CELL`. A level
    of `ordered` is joined with a neighbour, any other with the next rarest; a joined one has the names of both. Where
    no two levels are left, there is one.
    """
    joined = levels.astype(str)
    while (rare := _rarest_small(joined, patients, labels)) is not None and joined.nunique() > 1:
        others = [level for level in joined.unique() if level != rare]
        if len(near := [level for level in others if _distance(level, rare, ordered) == 1]):
            others = near
        partner = min(others, key=lambda level: (patients[joined == level].nunique(), level))
        both = sorted(
            {*rare.split(JOINED), *partner.split(JOINED)},
            key=lambda name: (ordered.index(name) if name in ordered else len(ordered), name),
        )
        joined = joined.where(~joined.isin([rare, partner]), JOINED.join(both))
    return joined


def standard_views(views: pd.Series) -> pd.Series:
    """Names of views, without what people typed besides: one that is not made of the usual words is `other`, and
    `unknown` is empty."""
    plain = views.astype(str).str.strip()
    known = plain.str.fullmatch(rf"(?:(?:{VIEWS})(?:[ ,/_-]+|$))*", case=False)
    return plain.where(plain.str.lower() != "unknown", "").where(known | (plain.str.lower() == "unknown"), "other")


def few_of_both(patients: pd.Series, labels: pd.Series) -> bool:
    """Whether 1 to 4 patients have films of both labels: those of either label and all of them may not be told then."""
    return is_small((labels.groupby(patients).nunique() > 1).sum())


def hide_pooled(table: pd.DataFrame, columns: Sequence[str], patients: pd.DataFrame, pooled: pd.Series) -> pd.DataFrame:
    """A copy of `table`, a row for each `level`, without the counts of levels that `pooled_levels` joined to others.

    A count that rests on 1 to 4 patients (`patients`, same rows and columns) becomes "<5", its neighbours "withheld";
    all are withheld where they are small together, since their sum may be known from another table.
    """
    shown = table.astype(dict.fromkeys(columns, object))
    groups = [name.split(JOINED) for name in pooled.unique()]
    for levels in (group for group in groups if len(group) > 1):
        rows = table["level"].isin(levels)
        for column in columns:
            small = patients.loc[rows, column].map(is_small)
            told = SMALL if not small.all() else WITHHELD
            shown.loc[rows, column] = np.where(small, told, WITHHELD)
    return shown


def _rarest_small(levels: pd.Series, patients: pd.Series, labels: pd.Series) -> str | None:
    """The level of fewest patients among those that give somebody away."""
    groups = [pd.Series(True, index=levels.index), *(labels == label for label in labels.unique())]
    small = {}
    for level in sorted(levels.unique()):
        counts = [(patients[group & (levels == level)].nunique(), patients[group].nunique()) for group in groups]
        if any(is_small(number) or is_small(total - number) for number, total in counts):
            small[level] = counts[0][0]
    return min(small, key=lambda level: (small[level], level), default=None)


def _distance(one: str, other: str, ordered: Sequence[str]) -> int:
    """How many of the ordered names lie between two levels, and one more; a joined level has several."""
    places = [[ordered.index(name) for name in level.split(JOINED) if name in ordered] for level in (one, other)]
    return min((abs(a - b) for a in places[0] for b in places[1]), default=0)


def is_small(patients: float) -> bool:
    """Whether a number of patients is too small to publish anything about them: 1 to 4."""
    return 0 < patients < SMALLEST_CELL


def _counts(table: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Counts as float64 (rows, columns), 0 where missing; raises `InputError`."""
    counts = table[list(columns)].apply(pd.to_numeric, errors="coerce").fillna(0).to_numpy(float)
    wrong = (counts < 0) | (counts % 1 != 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"small cells: column `{columns[column]}`, row {row}: found {counts[row, column]:g}; "
            "expected a count, a whole number of 0 or more"
        )
    return counts


def _further_cells(counts: np.ndarray, small: np.ndarray, present: np.ndarray) -> np.ndarray:
    """bool (rows, columns): which of the counts present have to be withheld besides the small ones."""
    withheld = np.zeros_like(small)
    while True:
        given_away = _first_disclosed(counts, small, withheld)
        if given_away is None:
            return withheld
        row, column = given_away
        line = np.zeros_like(small)
        # Where a hidden cell is alone in its row, only another of the row helps; so too for columns.
        hidden = small | withheld
        alone_in_row, alone_in_column = hidden.sum(axis=1) == 1, hidden.sum(axis=0) == 1
        neither = not (alone_in_row[row] or alone_in_column[column])
        line[row] = alone_in_row[row] or neither
        line[:, column] |= alone_in_column[column] or neither
        helps = alone_in_row[:, None].astype(int) + alone_in_column
        free = present & ~small & ~withheld
        candidates = np.argwhere(line & free if (line & free).any() else free)
        if not len(candidates):
            return withheld
        # An empty cell hides nothing while a filled one is left: it may be known to be empty.
        order = np.stack([counts == 0, -helps, counts], axis=-1)
        chosen = min((*order[tuple(cell)], *cell) for cell in candidates)[order.shape[-1] :]
        withheld[chosen] = True


def _first_disclosed(counts: np.ndarray, small: np.ndarray, withheld: np.ndarray) -> tuple[int, int] | None:
    """The first hidden cell that has a single possible value, given the shown cells and the sums; None if none has."""
    from scipy.optimize import linprog

    hidden = np.argwhere(small | withheld)
    if not len(hidden):
        return None
    rows, columns = counts.shape
    sums = np.zeros((rows + columns, len(hidden)))
    for index, (row, column) in enumerate(hidden):
        sums[row, index] = sums[rows + column, index] = 1
    known = sums @ counts[tuple(hidden.T)]
    least = 0 if (withheld & (counts == 0)).any() else SMALLEST_CELL
    bounds = [_bounds(counts[row, column], bool(small[row, column]), least) for row, column in hidden]
    for index, (row, column) in enumerate(hidden):
        wanted = np.eye(len(hidden))[index]
        ends = [linprog(sign * wanted, A_eq=sums, b_eq=known, bounds=bounds).fun * sign for sign in (1, -1)]
        if ends[1] - ends[0] < HALF_A_PATIENT:
            return int(row), int(column)
    return None


def _bounds(count: float, small: bool, least: int) -> tuple[float, float | None]:
    """What a reader knows of a hidden cell: 1 to 4 if marked small (few patients may have more films), else `least`."""
    if not small:
        return min(least, count), None
    return 1, SMALLEST_CELL - 1 if count < SMALLEST_CELL else None
