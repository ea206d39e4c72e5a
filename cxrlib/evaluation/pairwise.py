"""Which of several is preferred, from judgements of pairs: Bradley & Terry 1952, Biometrika 39, 324."""

import numpy as np
from scipy import sparse, special, stats

from cxrlib.evaluation.reader_studies import ReaderStudy
from cxrlib.evaluation.uncertainty import CONFIDENCE, Interval

# Added to both sides of every pair that was compared, so that one that always wins has a strength too.
HALF_A_WIN = 0.5
ROUNDS = 500


def strengths(wins: np.ndarray) -> np.ndarray:
    """Strengths with mean log 0 from `wins` (..., K, K): how often the first was preferred to the second.

    The chance that i is preferred to j is p_i / (p_i + p_j). Found by the iteration of Hunter 2004 (Annals of
    Statistics 32, 384), with half a win added to either side of every pair that was compared.
    """
    compared = (wins + np.swapaxes(wins, -1, -2)) > 0
    wins = wins + HALF_A_WIN * compared
    number, won = wins + np.swapaxes(wins, -1, -2), wins.sum(axis=-1)
    found = np.ones(wins.shape[:-1])
    for _ in range(ROUNDS):
        before, pairs = found, number / (found[..., :, None] + found[..., None, :])
        found = won / np.maximum(pairs.sum(axis=-1), 1e-12)
        found = found / np.exp(np.log(np.maximum(found, 1e-12)).mean(axis=-1, keepdims=True))
        if (np.abs(found - before) <= 1e-9 * found).all():
            break
    return found


def preferred_to_first(wins: np.ndarray) -> np.ndarray:
    """The chance (..., K) by the model that each is preferred to the first of them; one half for the first itself."""
    found = strengths(wins)
    return found / (found + found[..., :1])


def compare_with_first(preferred: np.ndarray, pairs: np.ndarray, number: int) -> list[Interval]:
    """For each of `number` things but the first, the chance that it is preferred to the first, with 95 % interval.

    `pairs` int (tasks, 2) are the two that a task shows; `preferred` (readers, tasks) is the one that a reader chose,
    −1 where not answered. The interval is for other readers and other films; with a single reader, for other films.
    What was compared with the first neither directly nor through others has no estimate, and the interval 0 to 1.
    """
    reader, task = np.nonzero(preferred >= 0)
    winner = preferred[reader, task]
    loser = pairs[task].sum(axis=1) - winner
    wins = np.zeros((number, number))
    np.add.at(wins, (winner, loser), 1)
    _, linked = sparse.csgraph.connected_components(wins, directed=False)
    found = strengths(wins)
    chance = found[:, None] / (found[:, None] + found)
    compared = (wins + wins.T) > 0
    shared = (wins + wins.T + compared) * chance * chance.T
    inverse = np.linalg.pinv(np.diag(shared.sum(axis=1)) - shared)
    intervals = []
    for k in range(1, number):
        if linked[k] != linked[0]:
            intervals.append(Interval(float("nan"), 0.0, 1.0))
            continue
        # How far every answer moves the log odds (one step of Newton's), and the half wins that nobody gave.
        apart = np.subtract.outer(*2 * [inverse[k] - inverse[0]])
        moved = np.zeros(preferred.shape)
        moved[reader, task] = chance[loser, winner] * apart[winner, loser]
        added = HALF_A_WIN * (compared * (chance.T * apart) ** 2).sum()
        intervals.append(_interval(float(chance[k, 0]), moved, float(added)))
    return intervals


def _interval(chance: float, moved: np.ndarray, added: float) -> Interval:
    """From how far each answer moves the log odds of a chance, (readers, tasks), and a variance to be added to that of
    films: by the model of Obuchowski and Rockette, for small samples (`benchmarks/results/pair_coverage.json`). Drawing
    readers and films anew covered 99 % and more.
    """
    readers, tasks = moved.shape
    if tasks < 2:
        return Interval(chance, 0.0, 1.0)
    spread = np.atleast_2d(np.cov(readers * moved)) * tasks
    if readers == 1:
        reach = stats.t.ppf((1 + CONFIDENCE) / 2, tasks - 1) * np.sqrt(spread[0, 0] + added)
        low, high = special.expit(special.logit(chance) + np.array([-reach, reach]))
        return Interval(chance, float(low), float(high))
    variance = np.trace(spread) / readers
    covariance = (spread.sum() - readers * variance) / (readers * (readers - 1))
    between = np.var(readers * moved.sum(axis=1), ddof=1)
    parts = np.array([variance, max(covariance, 0.0) + added, between]) * (chance * (1 - chance)) ** 2
    return ReaderStudy(chance, readers, *parts.tolist()).small_sample_interval()
