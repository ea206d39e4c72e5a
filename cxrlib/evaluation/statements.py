"""What the tables say, in sentences whose numbers and verdicts follow the intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

Verdict = Literal["gain", "loss", "no clear difference"]
HEADLINE = "recall_positive"


def verdict(low: float, high: float) -> Verdict:
    """A gain or a loss only where the interval excludes 0."""
    if low > 0:
        return "gain"
    return "loss" if high < 0 else "no clear difference"


def percentage(value: float, low: float, high: float) -> str:
    """`0.7636, …` as `76.4 % [68.1, 83.5]`."""
    return f"{100 * value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def points(value: float, low: float, high: float) -> str:
    """A difference of fractions in percentage points, `+19.1 points [+10.2, +27.8]`."""
    return f"{_signed(value)} points [{_signed(low)}, {_signed(high)}]"


@dataclass(frozen=True)
class Difference:
    """A difference of fractions with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        return verdict(self.low, self.high)

    def __str__(self) -> str:
        return points(self.value, self.low, self.high)


def make_statements(tables: Mapping[str, pd.DataFrame], *, simulated: bool) -> dict[str, str]:
    """Sentences by key, from the tables of results by name (see `cxrlib.tables.results`), at threshold 0.5.

    `shift`: from validation to hospital. `gain`: the paper's claim. `leakage`: what stays when no generator saw the
    films under test. `rebalancing`: what oversampling gives. `price`: what happens to the negatives. `answer`: one
    sentence. `answer_long`: all of it. A sentence about an arm that the study lacks says so. `simulated` says which
    kind of films the sentences are about.
    """
    table2, differences, contrasts, shift = (
        tables[name][tables[name]["operating_point"] == "fixed"]
        for name in ("table2", "differences", "contrasts", "shift")
    )
    films = "simulated hospital films" if simulated else "hospital's films"
    effects = {
        arm: _difference(differences, role="hospital", arm=arm, metric=HEADLINE)
        for arm in ("synthetic", "synthetic-crossfit", "oversampled")
    }
    sentences = {
        "shift": _shift(table2, shift, films),
        "gain": _gain(table2, effects["synthetic"], films),
        "leakage": _leakage(effects, _contrast(contrasts, "synthetic-crossfit", "synthetic")),
        "rebalancing": _rebalancing(effects, contrasts),
        "price": _price(differences),
    }
    sentences["answer"] = _answer(effects, differences, films)
    scope = (
        "All films are simulated: this shows how the study works, not how well it works on patients."
        if simulated
        else "Intervals are 95 %, from resampling patients; they do not cover other hospitals or other generators."
    )
    order = ("answer", "shift", "gain", "leakage", "rebalancing", "price")
    sentences["answer_long"] = " ".join([*(sentences[key] for key in order), scope])
    return sentences


def _shift(table2: pd.DataFrame, shift: pd.DataFrame, films: str) -> str:
    before, after = (_estimate(table2, role, "baseline", HEADLINE) for role in ("validation", "hospital"))
    change = _difference(shift, arm="baseline", metric=HEADLINE)
    if before is None or after is None or change is None:
        return "How far the baseline falls from validation to the hospital is not known: the study has no baseline."
    outcome = {
        "loss": "it loses recall between the two",
        "gain": "it gains recall between the two",
        "no clear difference": "no clear difference",
    }[change.verdict]
    return (
        f"Trained on public films alone, the classifier finds {before} of the positives at validation and {after} "
        f"among the {films}: {outcome}, {change}."
    )


def _gain(table2: pd.DataFrame, effect: Difference | None, films: str) -> str:
    after = _estimate(table2, "hospital", "synthetic", HEADLINE)
    if effect is None or after is None:
        return "What synthetic films of generators trained on all of the hospital's films give was not tried."
    outcome = {"gain": "a gain", "loss": "a loss", "no clear difference": "no clear difference"}[effect.verdict]
    return (
        f"With synthetic films added, as in the paper, it finds {after} of the positives among the {films}, {outcome} "
        f"of {effect}; but these generators saw the films under test."
        if effect.verdict != "no clear difference"
        else f"With synthetic films added, as in the paper, it finds {after} of the positives among the {films}: "
        f"{outcome}, {effect}; and these generators saw the films under test."
    )


def _leakage(effects: dict[str, Difference | None], contrast: Difference | None) -> str:
    leaky, fair = effects["synthetic"], effects["synthetic-crossfit"]
    if fair is None:
        return "Whether the gain stands without leakage was not tried: the study has no cross-fitted arm."
    kept = {
        "gain": "there is a gain without leakage",
        "loss": "there is a loss without leakage",
        "no clear difference": "without leakage there is no clear difference",
    }[fair.verdict]
    sentence = f"With generators that never saw the films under test the change is {fair}: {kept}"
    if leaky is None or contrast is None:
        return f"{sentence}."
    leak = {
        "gain": f"and these generators do better than the ones that did see them ({contrast})",
        "loss": f"and part of what the paper's way shows is leakage, or is owed to the films that these generators did "
        f"without ({contrast})",
        "no clear difference": f"and removing the leak makes no clear difference ({contrast})",
    }[contrast.verdict]
    return f"{sentence}, {leak}."


def _rebalancing(effects: dict[str, Difference | None], contrasts: pd.DataFrame) -> str:
    effect = effects["oversampled"]
    if effect is None:
        return "Whether rebalancing alone would do was not tried: the study has no oversampled arm."
    outcome = {
        "gain": "rebalancing alone gives a gain",
        "loss": "rebalancing alone gives a loss",
        "no clear difference": "rebalancing alone makes no clear difference",
    }[effect.verdict]
    sentence = (
        f"Drawing public positives again and again, to the same proportions, changes recall by {effect}: {outcome}"
    )
    arm = "synthetic-crossfit" if effects["synthetic-crossfit"] else "synthetic"
    contrast = _contrast(contrasts, arm, "oversampled")
    if contrast is None:
        return f"{sentence}."
    beyond = {
        "gain": f"and synthetic films give more than it ({contrast})",
        "loss": f"and synthetic films give less than it ({contrast})",
        "no clear difference": f"and synthetic films are not clearly better or worse than it ({contrast})",
    }[contrast.verdict]
    return f"{sentence}, {beyond}."


def _price(differences: pd.DataFrame) -> str:
    for arm, words in (
        ("synthetic-crossfit", "generators that never saw the films under test"),
        ("synthetic", "generators that saw the films under test"),
    ):
        negatives = _difference(differences, role="hospital", arm=arm, metric="recall_negative")
        precision = _difference(differences, role="hospital", arm=arm, metric="precision_positive")
        if negatives is not None and precision is not None:
            return (
                f"The same films, by {words}, change the recall of negatives by {negatives} ({negatives.verdict}) and "
                f"the precision of a positive answer by {precision} ({precision.verdict})."
            )
    return "What synthetic films cost among the negatives was not tried."


def _answer(effects: dict[str, Difference | None], differences: pd.DataFrame, films: str) -> str:
    """What synthetic films do to positives and to negatives, leak-free if the study has it; then the other arms."""
    fair, leaky, rebalanced = (effects[arm] for arm in ("synthetic-crossfit", "synthetic", "oversampled"))
    headline = fair or leaky
    if headline is None:
        return f"This study has no arm with synthetic films, so it does not say what they change on the {films}."
    arm, saw = ("synthetic-crossfit", "never saw") if fair else ("synthetic", "saw")
    negatives = _difference(differences, role="hospital", arm=arm, metric="recall_negative")
    does = {"gain": "raise", "loss": "lower", "no clear difference": "do not clearly change"}
    sentence = f"On the {films}, synthetic films {does[headline.verdict]} the recall of positives ({headline})"
    if negatives is not None:
        sentence += f" and {does[negatives.verdict]} the recall of negatives ({negatives})"
    sentence += f" when their generators {saw} the films under test"
    others = []
    if fair is not None and leaky is not None:
        others.append(f"{leaky} when they did")
    if rebalanced is not None:
        others.append(f"{rebalanced} by rebalancing alone")
    return f"{sentence}; the recall of positives changes by {' and by '.join(others)}." if others else f"{sentence}."


def _signed(fraction: float) -> str:
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def _contrast(contrasts: pd.DataFrame, arm: str, reference: str) -> Difference | None:
    return _difference(contrasts, role="hospital", arm=arm, reference=reference, metric=HEADLINE)


def _difference(table: pd.DataFrame, **where: str) -> Difference | None:
    row = _row(table, where)
    return None if row is None else Difference(float(row["difference"]), float(row["low"]), float(row["high"]))


def _estimate(table2: pd.DataFrame, role: str, arm: str, metric: str) -> str | None:
    row = _row(table2, {"role": role, "arm": arm})
    return None if row is None else percentage(row[metric], row[f"{metric}_low"], row[f"{metric}_high"])


def _row(table: pd.DataFrame, where: dict[str, str]) -> pd.Series | None:
    for column, value in where.items():
        table = table[table[column] == value]
    return None if table.empty else table.iloc[0]
