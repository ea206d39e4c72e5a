"""What a reading of a certain size can show, worked out before the first answer.

Two questions: would a reader who can tell synthetic films from real ones be told from one who guesses? And would
readers who can't be shown to be as good as guessing, which takes more than "no difference was found"? Both tests are
exact, on binomial counts; for several readers who differ they are those by which readings are analysed, of the model of
Obuchowski and Rockette.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import binom, norm, t

from cxrlib.evaluation.reader_studies import ReaderStudy

if TYPE_CHECKING:
    from cxrlib.reading.protocol import Protocol

LEVEL = 0.05
MARGIN = 0.10
WANTED_POWER = 0.80
ACCURACIES = (0.6, 0.7, 0.8)
# An assumption: how alike readers judge the same film. 0 is not at all, 1 would make several readers one.
LIKENESS = 0.2
# Assumptions too: by how much readers truly differ, as a standard deviation of the share they get right.
DIFFER = 0.05
UNLIKE = "alike, and differ"
BLOCKS = {"A": "single films", "B": "pairs"}


def chance_power(answers: int, accuracy: float) -> float:
    """Probability that readers with this true accuracy are told from guessing, by the two-sided exact binomial test of
    one half at 5 %, with so many independent answers."""
    most_wrong = _largest_below(binom.cdf(np.arange(answers + 1), answers, 0.5), LEVEL / 2)
    low = binom.cdf(most_wrong, answers, accuracy)
    return float(low + binom.sf(answers - most_wrong - 1, answers, accuracy)) if most_wrong >= 0 else 0.0


def equivalence_power(answers: int, accuracy: float = 0.5, margin: float = MARGIN) -> float:
    """Probability that readers with this true accuracy are shown to be within ±`margin` of guessing, by two one-sided
    exact binomial tests at 5 % each, with so many independent answers (Schuirmann 1987)."""
    counts = np.arange(answers + 1)
    above = binom.sf(counts - 1, answers, 0.5 - margin) <= LEVEL
    below = binom.cdf(counts, answers, 0.5 + margin) <= LEVEL
    return float(binom.pmf(counts[above & below], answers, accuracy).sum())


def told_from_chance(answers: int, power: float = WANTED_POWER) -> float:
    """The smallest true accuracy above one half that is told from guessing with this power; nan if none is."""
    if chance_power(answers, 1.0) < power:
        return float("nan")
    return float(brentq(lambda accuracy: chance_power(answers, accuracy) - power, 0.5, 1.0, xtol=1e-6))


def counted_answers(films: int, readers: int, likeness: float = LIKENESS) -> int:
    """How many independent answers those of several readers to the same films are worth (design effect of Kish 1965,
    with `likeness` the intraclass correlation), rounded down."""
    # A hair more than the quotient, which floating point may put just below a whole number.
    return int(films * readers / (1 + (readers - 1) * likeness) + 1e-9)


def planned_study(films: int, readers: int, accuracy: float) -> ReaderStudy:
    """What an analysis of so many readers would find on average, if they are right this often, judge the same films
    alike (`LIKENESS`) and differ (`DIFFER`)."""
    variance = accuracy * (1 - accuracy) / films
    covariance = LIKENESS * variance
    return ReaderStudy(accuracy, readers, variance, covariance, DIFFER**2 + variance - covariance)


def _row_of_unlike(block: str, readers: int, films: int) -> dict[str, object]:
    """A row of the table by the model of Obuchowski and Rockette."""

    def power(accuracy: float) -> float:
        return planned_study(films, readers, accuracy).power(0.5, readers=readers)

    # Power may fall again towards 1, where two readers can't differ much: the first that is enough is looked for.
    enough = next((share for share in np.arange(0.51, 1.0, 0.01) if power(share) >= WANTED_POWER), None)
    told = brentq(lambda share: power(share) - WANTED_POWER, 0.501, enough) if enough else float("nan")
    guessing = planned_study(films, readers, 0.5)
    reach = t.ppf(1 - LEVEL, guessing.degrees_of_freedom)
    shown = max(0.0, 2 * norm.cdf(MARGIN / guessing.standard_error - reach) - 1)
    counted = int(0.25 / guessing.standard_error**2)
    return _named(block, readers, UNLIKE, films, counted, power, told, float(shown))


def sample_size_table(protocol: "Protocol", planned_readers: int) -> pd.DataFrame:
    """What the blocks A and B can show, for one reader and for all, at best (readers err independently of each other),
    more likely (they err on the same films, `LIKENESS`), and as it will be analysed (they also differ, `DIFFER`).
    Practice and repeats are not counted.

    Columns: block, readers, readers err, films, answers, counted as, three powers to tell an accuracy from chance, the
    accuracy told from chance with power 80 %, and the power to show equivalence with guessing (all fractions).
    """
    tasks = protocol.task_list
    rows = []
    for block, name in BLOCKS.items():
        scored = (tasks["block"] == block) & (tasks["practice"] == "no") & (tasks["repeat_of"] == "")
        films = int(scored.sum())
        if films == 0:
            continue
        rows.append(_row(name, 1, "", films, films))
        if planned_readers > 1:
            rows.append(_row(name, planned_readers, "independently", films, films * planned_readers))
            counted = counted_answers(films, planned_readers)
            rows.append(_row(name, planned_readers, "on the same films", films, counted))
            rows.append(_row_of_unlike(name, planned_readers, films))
    return pd.DataFrame(rows)


def in_words(table: pd.DataFrame) -> list[str]:
    """A sentence for each block of a table as from `sample_size_table`, on its most cautious row."""
    sentences = []
    for name, rows in table.groupby("block", sort=False):
        row = rows.iloc[-1]
        told, shown = row.iloc[-2], row.iloc[-1]
        readers = "1 reader" if row["readers"] == 1 else f"{row['readers']} readers"
        least = "no accuracy" if pd.isna(told) else f"an accuracy of {100 * told:.0f} % or more"
        sentences.append(
            f"{row['films or pairs']} {name}, {readers}: {least} will be told from guessing with a power of "
            f"{100 * WANTED_POWER:.0f} %; readers who guess will be shown to be within ±{100 * MARGIN:.0f} points "
            f"of it with a power of {100 * shown:.0f} %."
        )
    return sentences


def _row(block: str, readers: int, err: str, films: int, counted: int) -> dict[str, object]:
    told, shown = told_from_chance(counted), equivalence_power(counted)
    return _named(block, readers, err or "–", films, counted, lambda share: chance_power(counted, share), told, shown)


def _named(
    block: str, readers: int, err: str, films: int, counted: int, power: Callable[[float], float], told: float,
    shown: float,
) -> dict[str, object]:  # fmt: skip
    """A row under the table's headings."""
    return {
        "block": block,
        "readers": readers,
        "readers err": err,
        "films or pairs": films,
        "answers": films * readers,
        "counted as": counted,
        **{f"power if {accuracy:.0%} are right": power(accuracy) for accuracy in ACCURACIES},
        f"told from chance with power {WANTED_POWER:.0%}": told,
        f"power to show equivalence (±{100 * MARGIN:.0f} points)": shown,
    }


def _largest_below(rising: np.ndarray, limit: float) -> int:
    """Index of the last value that is at most `limit`; -1 if none is."""
    return int(np.searchsorted(rising, limit, side="right")) - 1
