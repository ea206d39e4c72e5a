"""Tests of every arm against the baseline, seed by seed: McNemar's for the answers, DeLong's for the ranking.

p-values answer one question: could chance alone explain so large a difference? They say nothing of its size; the
intervals of `comparison.contrasts` do.

A verdict says which differences may be called a gain or a loss. Whoever asks often will be wrong now and then. The
primary endpoint was named before anything ran; its measures are one family of questions, all others that the book
answers with a verdict are a second one. Within a family p-values are raised by Holm's method (Holm 1979), so that in at
most five studies of a hundred any verdict of the family is wrong.
"""

from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from cxrlib.evaluation.delong import DelongTest, contributions, delong_test
from cxrlib.evaluation.scores import Scores

Verdict = Literal["gain", "loss", "no clear difference", "no verdict"]
LEVEL = 0.05
PRIMARY, SECONDARY = "primary", "secondary"
# Metrics of which less is better.
ERRORS = ("brier", "brier_calibrated")
COLUMNS = ["role", "arm", "reference", "seed", "test", "statistic", "p_value", "p_holm", "p_value_films"]


def significance(scores: dict[str, dict[str, Scores]], reference: str = "baseline") -> pd.DataFrame:
    """One row per role, arm, seed and test.

    `mcnemar` compares right and wrong answers at threshold 0.5, exactly; its statistic is the smaller number of films
    on which only one of the two arms is right. It takes films for independent, and is left out where an arm has
    several models per film (a cross-fitted arm on validation films). `delong` compares areas under the ROC curve and
    sums over patients; its statistic is z, and `p_value_films` is the p of DeLong's own test, which takes films for
    independent. `p_holm` is corrected (Holm 1979) over all arms and seeds of the same role and test.
    """
    rows = []
    for role, arms in scores.items():
        base = arms.get(reference)
        for arm, found in arms.items():
            if base is None or arm == reference:
                continue
            for seed in sorted(set(found.seeds) & set(base.seeds)):
                keys = {"role": role, "arm": arm, "reference": reference, "seed": seed}
                rows += [keys | test for test in _tests(found, base, seed)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    if len(table):
        table["p_holm"] = table.groupby(["role", "test"])["p_value"].transform(holm)
    return table


def mcnemar(right: np.ndarray, right_reference: np.ndarray) -> tuple[int, float]:
    """Exact McNemar test of two boolean arrays: the smaller discordant count and the two-sided p (McNemar 1947)."""
    return mcnemar_counts(int((right & ~right_reference).sum()), int((~right & right_reference).sum()))


def mcnemar_counts(only_first: int, only_second: int) -> tuple[int, float]:
    """The same from the two discordant counts; p is 1 where there are none."""
    smaller, total = min(only_first, only_second), only_first + only_second
    return smaller, float(stats.binomtest(smaller, total).pvalue) if total else 1.0


def delong(found: Scores, reference: Scores, seed: int, *, by_patient: bool = True) -> DelongTest:
    """DeLong's test of one seed; `by_patient=False` is the test that takes films for independent."""
    parts = []
    for scores in (found, reference):
        clusters = scores.patients if by_patient else np.unique(scores.films, return_inverse=True)[1]
        p_positive = scores.p_positive[scores.seeds.index(seed)]
        folds = np.unique(scores.folds, return_inverse=True)[1]
        parts.append(contributions(scores.labels, p_positive, clusters, int(clusters.max()) + 1, folds))
    return delong_test(*parts)


def holm(p_values: pd.Series | np.ndarray) -> np.ndarray:
    """Holm's step-down correction; values that are not numbers stay so and don't count."""
    values = np.asarray(p_values, dtype=float)
    corrected = np.full(len(values), np.nan)
    there = ~np.isnan(values)
    if there.any():
        corrected[there] = multipletests(values[there], method="holm")[1]
    return corrected


def _tests(found: Scores, base: Scores, seed: int) -> list[dict[str, object]]:
    tests: list[dict[str, object]] = []
    if found.one_answer_per_film() and base.one_answer_per_film():
        right = [scores.predicted("fixed")[scores.seeds.index(seed)] == scores.labels for scores in (found, base)]
        statistic, p_value = mcnemar(*right)
        tests.append({"test": "mcnemar", "statistic": statistic, "p_value": p_value})
    by_patient, by_film = (delong(found, base, seed, by_patient=way) for way in (True, False))
    of_areas = {
        "test": "delong",
        "statistic": by_patient.statistic,
        "p_value": by_patient.p_value,
        "p_value_films": by_film.p_value,
    }
    return [*tests, of_areas]


def verdict(difference: float, p_adjusted: float, metric: str = "") -> Verdict:
    """A gain or a loss only below the level; without a p (a single run, or no interval) no verdict at all."""
    if np.isnan(p_adjusted) or np.isnan(difference):
        return "no verdict"
    if p_adjusted >= LEVEL:
        return "no clear difference"
    return "gain" if (difference > 0) != (metric in ERRORS) else "loss"


def with_verdicts(questions: pd.DataFrame) -> pd.DataFrame:
    """Questions (`family`, `metric`, `difference`, `p_value`, …) with `p_adjusted` within the family and `verdict`."""
    adjusted = questions.groupby("family")["p_value"].transform(holm)
    answered = zip(questions["difference"], adjusted, questions["metric"], strict=True)
    return questions.assign(p_adjusted=adjusted, verdict=[verdict(*answer) for answer in answered])
