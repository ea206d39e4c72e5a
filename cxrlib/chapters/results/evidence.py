"""The tables of results, asked one question at a time; what they answer, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxrlib.chapters.words import percentage
from cxrlib.evaluation.metrics import PLAIN
from cxrlib.evaluation.significance import Verdict

# Below this a share that runs add to an interval is not worth a word.
MOSTLY_RUNS = 0.5
MEASURES = {
    "roc_auc": "the area under the ROC curve",
    "balanced_accuracy": "balanced accuracy",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "mcc": "Matthews correlation",
    "recall_positive": "sensitivity",
    "recall_negative": "specificity",
    "recall_at_precision": "sensitivity at the baseline's precision",
    "precision_positive": "the precision of a positive answer",
}


def points(value: float, low: float, high: float) -> str:
    """A difference of fractions in percentage points, `+19.1 points [+10.2, +27.8]`; without an interval, it alone."""
    return f"{signed(value)} points{_interval(low, high)}"


def _interval(low: float, high: float, digits: int = 1, scale: float = 100) -> str:
    if np.isnan([low, high]).any():
        return ""
    return f" [{signed(low, digits, scale)}, {signed(high, digits, scale)}]"


def signed(fraction: float, digits: int = 1, scale: float = 100) -> str:
    """`0.191` as `+19.1`, `-0.02` as `−2.0`."""
    text = f"{scale * fraction:+.{digits}f}"
    return text.strip("+-") if not float(text) else text.replace("-", "−")


def changed(metric: str, difference: float) -> str:
    """A difference without its interval: in points, or as it is where the measure is no share of films."""
    return signed(difference, 2, 1) if metric in PLAIN else f"{signed(difference)} points"


def level_text(metric: str, value: float, low: float, high: float) -> str:
    """A measure with its interval: in per cent, or as it is where it is no share of films."""
    if metric not in PLAIN:
        return percentage(value, low, high)
    text = f"{value:.2f}" if np.isnan([low, high]).any() else f"{value:.2f} [{low:.2f}, {high:.2f}]"
    return text.replace("-", "−")


@dataclass(frozen=True)
class Difference:
    """A difference of two arms with its 95 % interval, over patients and training runs, and the verdict."""

    metric: str
    value: float
    low: float
    high: float
    from_runs: float
    verdict: Verdict

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval by itself leaves 0 out; among many questions that is not enough for a verdict."""
        return self.low > 0 or self.high < 0

    @property
    def judged(self) -> str:
        """The verdict in words that are no stronger than it."""
        if self.verdict == "no clear difference" and self.excludes_zero:
            return "not clear among so many questions"
        return {"gain": "a clear gain", "loss": "a clear loss"}.get(self.verdict, self.verdict)

    @property
    def unclear(self) -> str:
        """How a sentence begins that says what is not clear: the reason too, where the interval leaves 0 out."""
        return "among so many questions it is not clear" if self.excludes_zero else "it is not clear"

    def __str__(self) -> str:
        if self.metric in PLAIN:
            return f"{signed(self.value, 2, 1)}{_interval(self.low, self.high, 2, 1)}"
        return points(self.value, self.low, self.high)


@dataclass(frozen=True)
class Evidence:
    """The tables of results by name, asked one question at a time; what a study lacks is None."""

    tables: Mapping[str, pd.DataFrame]

    def answer(
        self, arm: str | None, metric: str, *, reference: str = "baseline", operating_point: str = "fixed"
    ) -> Difference | None:
        """Of two arms on the hospital's films, with its verdict; None where one is lacking.

        Raises `KeyError` for a question that was not asked beforehand, and so belongs to no family.
        """
        where = {"arm": arm, "reference": reference, "operating_point": operating_point, "metric": metric}
        row = self.row("verdicts", **where)
        if row is None and self.row("contrasts", role="hospital", **where) is not None:
            raise KeyError(f"not among the questions: {where}")
        return None if row is None else _difference(row, row["verdict"])

    def difference(self, **where: Any) -> Difference | None:
        """Of two arms, without a verdict; `where` is a row of contrasts."""
        row = self.row("contrasts", **where)
        return None if row is None else _difference(row, "no verdict")

    def shift(self, arm: str, metric: str) -> Difference | None:
        """From validation to hospital, without a verdict: it is no question of the study's."""
        row = self.row("shift", arm=arm, metric=metric)
        return None if row is None else _difference(row, "no verdict")

    def level(self, arm: str | None, metric: str, role: str = "hospital", operating_point: str = "fixed") -> str | None:
        """An arm's figure with its interval."""
        ends = self.ends(arm, metric, role, operating_point)
        return None if ends is None else level_text(metric, *ends)

    def ends(
        self, arm: str | None, metric: str, role: str = "hospital", operating_point: str = "fixed"
    ) -> tuple[float, float, float] | None:
        """Estimate, low and high of an arm's figure."""
        row = self.row("table2", role=role, arm=arm, operating_point=operating_point)
        return None if row is None else tuple(float(row[f"{metric}{end}"]) for end in ("", "_low", "_high"))

    def seeds(self, arm: str | None) -> int:
        """How many independent runs an arm has: those that share a generator are one."""
        row = self.row("table2", role="hospital", arm=arm)
        return 0 if row is None else int(row["runs"])

    def trained(self, arm: str | None) -> int:
        """How often an arm was trained, whether or not runs share a generator."""
        row = self.row("table2", role="hospital", arm=arm)
        return 0 if row is None else int(row["seeds"])

    def rows(self, table: str, **where: Any) -> pd.DataFrame:
        found = self.tables[table]
        for column, value in where.items():
            found = found[found[column] == value]
        return found

    def row(self, table: str, **where: Any) -> pd.Series | None:
        found = self.rows(table, **where)
        return None if found.empty else found.iloc[0]


def _difference(row: pd.Series, verdict: Verdict) -> Difference:
    numbers = (float(row[name]) for name in ("difference", "low", "high", "from_runs"))
    return Difference(str(row["metric"]), *numbers, verdict)
