"""Numbers and verdicts as words, and where in the tables of results they stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Verdict = Literal["gain", "loss", "no clear difference"]
HEADLINE = "recall_positive"


def verdict(low: float, high: float) -> Verdict:
    """A gain or a loss only where the interval excludes 0."""
    if low > 0:
        return "gain"
    return "loss" if high < 0 else "no clear difference"


def percentage(value: float, low: float, high: float) -> str:
    """`0.7636, …` as `76.4 % [68.1, 83.5]`; without an interval, the value alone."""
    if np.isnan([low, high]).any():
        return f"{100 * value:.1f} %"
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def points(value: float, low: float, high: float) -> str:
    """A difference of fractions in percentage points, `+19.1 points [+10.2, +27.8]`."""
    return f"{signed(value)} points [{signed(low)}, {signed(high)}]"


def signed(fraction: float) -> str:
    """`0.191` as `+19.1`, `-0.02` as `−2.0`."""
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def joined(parts: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


@dataclass(frozen=True)
class Difference:
    """A difference of fractions with its 95 % interval over patients and seeds, and that over patients alone."""

    value: float
    low: float
    high: float
    patients_low: float
    patients_high: float

    @property
    def verdict(self) -> Verdict:
        return verdict(self.low, self.high)

    @property
    def seeds_dominate(self) -> bool:
        """Whether the chance of training adds more variance than the choice of patients has."""
        return self.high - self.low > np.sqrt(2) * (self.patients_high - self.patients_low)

    def __str__(self) -> str:
        return points(self.value, self.low, self.high)


@dataclass(frozen=True)
class Evidence:
    """The tables of results by name, asked one question at a time; what a study lacks is None."""

    tables: Mapping[str, pd.DataFrame]

    def difference(
        self, arm: str, metric: str = HEADLINE, *, reference: str = "baseline", operating_point: str = "fixed"
    ) -> Difference | None:
        """Of two arms on the hospital's films."""
        where = {"arm": arm, "reference": reference, "operating_point": operating_point, "metric": metric}
        return _difference(self.row("contrasts", role="hospital", **where))

    def shift(self, arm: str) -> Difference | None:
        """Of an arm's recall of positives, from validation to hospital."""
        return _difference(self.row("shift", arm=arm, operating_point="fixed", metric=HEADLINE))

    def level(self, arm: str, metric: str = HEADLINE, role: str = "hospital") -> str | None:
        """An arm's figure in per cent, with its interval over patients and seeds."""
        row = self.row("headline", role=role, arm=arm, metric=metric)
        return None if row is None else percentage(row["estimate"], row["low"], row["high"])

    def at_equal_precision(self, arm: str) -> tuple[pd.Series, Difference] | None:
        """The row of an arm and its difference to the baseline; None also where there is nothing to compare."""
        row = self.row("at_equal_precision", role="hospital", arm=arm)
        names = ["difference", "difference_headline_low", "difference_headline_high"]
        names += ["difference_low", "difference_high"]
        if row is None or row[[*names, "precision", "recall"]].isna().any():
            return None
        return row, Difference(*(float(row[name]) for name in names))

    def seeds(self, arm: str) -> int:
        row = self.row("headline", role="hospital", arm=arm, metric=HEADLINE)
        return 0 if row is None else int(row["seeds"])

    def rows(self, table: str, **where: Any) -> pd.DataFrame:
        found = self.tables[table]
        for column, value in where.items():
            found = found[found[column] == value]
        return found

    def row(self, table: str, **where: Any) -> pd.Series | None:
        found = self.rows(table, **where)
        return None if found.empty else found.iloc[0]


def _difference(row: pd.Series | None) -> Difference | None:
    names = ("difference", "headline_low", "headline_high", "low", "high")
    return None if row is None else Difference(*(float(row[name]) for name in names))
