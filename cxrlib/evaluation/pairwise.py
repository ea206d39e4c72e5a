"""Which of several is preferred, from judgements of pairs: Bradley & Terry 1952, Biometrika 39, 324."""

import numpy as np

from cxrlib.evaluation.uncertainty import RESAMPLES, Interval, percentile_bounds

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
        if np.allclose(found, before, rtol=1e-9):
            break
    return found


def preferred_to_first(wins: np.ndarray) -> np.ndarray:
    """The chance (..., K) by the model that each is preferred to the first of them; one half for the first itself."""
    found = strengths(wins)
    return found / (found + found[..., :1])


def compare_with_first(preferred: np.ndarray, pairs: np.ndarray, number: int, *, seed: int) -> list[Interval]:
    """For each of `number` things but the first, the chance that it is preferred to the first, with 95 % interval.

    `pairs` int (tasks, 2) are the two that a task shows; `preferred` (readers, tasks) is the one that a reader chose,
    −1 where not answered. Tasks are drawn anew within each pair, and readers where there are several; of n, n − 1 are
    drawn (Rao & Wu 1988), so that the spread of few is not understated.
    """
    readers, tasks = preferred.shape
    won = np.zeros((readers, tasks, number, number))
    reader, task = np.nonzero(preferred >= 0)
    winner = preferred[reader, task]
    won[reader, task, winner, pairs[task].sum(axis=1) - winner] = 1
    random = np.random.default_rng(seed)
    _, kind = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True)
    of_tasks = np.zeros((RESAMPLES, tasks))
    for place in np.unique(kind):
        of_tasks[:, kind == place] = _weights(int((kind == place).sum()), random)
    of_readers = _weights(readers, random) if readers > 1 else np.ones((RESAMPLES, 1))
    drawn = np.einsum("br,bt,rtij->bij", of_readers, of_tasks, won, optimize=True)
    estimates = preferred_to_first(won.sum(axis=(0, 1)))
    bounds = percentile_bounds(preferred_to_first(drawn), (0.0, 1.0))
    return [Interval(float(estimates[k]), float(bounds[k, 0]), float(bounds[k, 1])) for k in range(1, number)]


def _weights(count: int, random: np.random.Generator) -> np.ndarray:
    """How often each of so many counts, (resamples, count)."""
    drawn = max(1, count - 1)
    return random.multinomial(drawn, np.full(count, 1 / count), RESAMPLES) * count / drawn
