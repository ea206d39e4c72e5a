"""Whether probabilities mean what they say: calibration slope and bins of probabilities."""

import numpy as np
from scipy.special import expit

# Nearer to 0 or 1 than this a probability is as good as certain, and its logit would be infinite.
SMALLEST_PROBABILITY = 1e-12
MOST_STEPS, LONGEST_STEP, CONVERGED = 200, 2.0, 1e-6
BINS = 10


def logit(p_positive: np.ndarray) -> np.ndarray:
    """log(p / (1 − p)) of probabilities clipped to [1e-12, 1 − 1e-12]."""
    p = np.clip(np.asarray(p_positive, dtype=float), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.log(p) - np.log1p(-p)


def weighted_slopes(labels: np.ndarray, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Slopes of many weighted logistic regressions of the labels on one covariate, by Newton's method.

    Of logits of probabilities they are calibration slopes (Cox 1958): 1 is right, below 1 the probabilities are too
    extreme, above 1 too timid. `labels` (rows,) of 0 and 1, `x` (rows,), `weights` (resamples, rows) ≥ 0; gives
    (resamples,), not a number where the estimate does not exist, as where the labels do not overlap (Albert & Anderson
    1984). Steps that lower the likelihood, which is concave, are halved.
    """
    slopes, todo = np.full(len(weights), np.nan), np.flatnonzero(_overlap(labels, x, weights))
    if not len(todo):
        return slopes
    spread = float(np.std(x))
    z, y, left = (x - float(np.mean(x))) / spread, labels.astype(float), weights[todo]
    beta = np.tile(_start(y, z, left.sum(axis=0)), (len(todo), 1))
    step, best = np.zeros_like(beta), np.full(len(todo), -np.inf)
    for _ in range(MOST_STEPS):
        tried = beta + step
        eta = tried[:, :1] + tried[:, 1:] * z
        likelihood = (left * (y * eta - np.logaddexp(0, eta))).sum(axis=1) / left.sum(axis=1)
        worse = likelihood < best - 1e-13
        beta, best = np.where(worse[:, None], beta, tried), np.where(worse, best, likelihood)
        step = np.where(worse[:, None], step / 2, _newton_step(left, y, z, eta))
        done = ~worse & (np.abs(step).max(axis=1) < CONVERGED)
        slopes[todo[done]] = (beta + step)[done, 1] / spread
        todo, left, beta, step, best = (rows[~done] for rows in (todo, left, beta, step, best))
        if not len(todo):
            break
    return slopes


def _start(y: np.ndarray, z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A few plain Newton steps on all resamples together: near the answer of each, (2,)."""
    share = weights @ y / weights.sum()
    beta = np.array([[np.log(share / (1 - share)), 0.0]])
    for _ in range(3):
        step = _newton_step(weights[None], y, z, beta[:, :1] + beta[:, 1:] * z)
        beta = beta + step
    return beta[0]


def _newton_step(w: np.ndarray, y: np.ndarray, z: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Solution of the 2 × 2 Newton equations of each resample, (resamples, 2), no longer than `LONGEST_STEP`."""
    p = expit(eta)
    residual, curvature = w * (y - p), w * p * (1 - p)
    g0, g1 = residual.sum(axis=1), residual @ z
    h00, h01, h11 = curvature.sum(axis=1), curvature @ z, curvature @ (z * z)
    determinant = np.maximum(h00 * h11 - h01**2, 1e-300)
    step = np.stack([(h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant], axis=1)
    return step / np.maximum(1, np.abs(step).max(axis=1, keepdims=True) / LONGEST_STEP)


def _overlap(labels: np.ndarray, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Whether both labels are there and their values of x overlap, which is when a finite slope exists."""
    drawn = weights > 0
    bounds = {}
    for label in (0, 1):
        inside = drawn & (labels == label)
        bounds[label] = np.where(inside, x, np.inf).min(axis=1), np.where(inside, x, -np.inf).max(axis=1)
    both = np.isfinite(bounds[0][0]) & np.isfinite(bounds[1][0])
    return both & (bounds[0][1] > bounds[1][0]) & (bounds[1][1] > bounds[0][0])


def bins_of(p_positive: np.ndarray) -> np.ndarray:
    """The bin of each film by rising probability, 0 to `BINS` − 1, about equally many films in each.

    Equal numbers, not equal widths: no bin is so small that its share is noise, or that it tells of single patients.
    Films of equal probability stay together, so some bins may be empty.
    """
    edges = np.quantile(p_positive, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, p_positive, side="left")
