"""Every figure of merit of every arm on the same resampled patients.

A patient's films are alike, so films are no independent draws: patients are resampled with replacement, each with all
films (Efron & Tibshirani 1993). A resample is how often each patient was drawn, and a film's weight in it is that of
its patient. All arms and seeds of a role see the same resamples, so that any difference between arms is a paired one,
and seeds that err on the same films don't pass for independent evidence.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cxrlib.evaluation import ranking
from cxrlib.evaluation.calibration import logit, weighted_slopes
from cxrlib.evaluation.metrics import PROBABILITY_METRICS, THRESHOLD_METRICS, metrics_from_counts
from cxrlib.evaluation.scores import OPERATING_POINTS, Scores
from cxrlib.evaluation.uncertainty import RESAMPLES, Interval, bootstrap_bounds

# Resamples handled at once: bounds the memory to a few tens of megabytes.
RESAMPLES_AT_ONCE = 250
# Patients are left out one by one up to this number, and in so many groups beyond it.
MOST_GROUPS = 400
# Shares of films, and the confusion counts of their denominators.
SHARES = {
    "precision_positive": (0, 2), "precision_negative": (1, 3), "recall_positive": (0, 1), "recall_negative": (2, 3),
}  # fmt: skip
AT_PRECISION = "recall_at_precision"
# Columns of the arrays below: (operating point, metric); what has no threshold stands under "any".
QUANTITIES = (
    *((point, metric) for point in OPERATING_POINTS for metric in THRESHOLD_METRICS),
    *(("any", metric) for metric in PROBABILITY_METRICS),
    ("any", AT_PRECISION),
)


@dataclass(frozen=True)
class Figures:
    """Estimates of `QUANTITIES`, and what resampling makes of them."""

    estimates: np.ndarray  # (quantities,), mean over seeds
    over_patients: np.ndarray  # (resamples, quantities), the seeds given
    over_both: np.ndarray  # (resamples, quantities), seeds drawn anew as well: the chance of training is in it
    left_out: np.ndarray  # (groups, quantities), how far leaving out a group of patients moves the estimate
    patients: np.ndarray  # (quantities,), how many patients each rests on

    def minus(self, other: "Figures", *, paired: bool) -> "Figures":
        """The difference; `paired` if both saw the same patients in each resample."""
        moved = self.left_out - other.left_out if paired else np.concatenate((self.left_out, -other.left_out))
        return Figures(
            self.estimates - other.estimates,
            self.over_patients - other.over_patients,
            self.over_both - other.over_both,
            moved,
            np.minimum(self.patients, other.patients),
        )

    def bounds(self, limits: tuple[np.ndarray, np.ndarray], *, with_seeds: bool = False) -> np.ndarray:
        """95 % intervals, (quantities, 2), over patients or over patients and seeds."""
        if not with_seeds:
            return bootstrap_bounds(self.estimates, self.over_patients, self.left_out, self.patients, limits)
        variances = (
            np.nanvar(np.where(np.isnan(values).all(axis=0), 0, values), axis=0)
            for values in (self.over_both, self.over_patients)
        )
        both, alone = variances
        widened = np.divide(both, alone, out=np.ones_like(both), where=alone > 0)
        return bootstrap_bounds(self.estimates, self.over_both, self.left_out, self.patients, limits, widened)


@dataclass(frozen=True)
class Resampled:
    """One arm's figures of merit, seed by seed: as found, for each resample of the patients, with patients left out."""

    arm: str
    found: np.ndarray  # (seeds, quantities)
    values: np.ndarray  # (resamples, seeds, quantities); not a number where a resample lacks a label
    left_out: np.ndarray  # (groups, seeds, quantities)
    patients: np.ndarray  # (quantities,)
    seed_weights: np.ndarray  # (resamples, seeds), see `draw_seeds`

    @property
    def figures(self) -> Figures:
        """The means over seeds."""
        estimates = self.found.mean(axis=0)
        over_both = np.einsum("rs,rsq->rq", self.seed_weights, self.values)
        left_out = self.left_out.mean(axis=1) - estimates
        return Figures(estimates, self.values.mean(axis=1), over_both, left_out, self.patients)


def quantity(metric: str, operating_point: str = "fixed") -> int:
    """The column of a metric; one without a threshold has the same column at every operating point."""
    return QUANTITIES.index((operating_point if metric in THRESHOLD_METRICS else "any", metric))


def resample_all(
    scores: dict[str, Scores], *, seed: int, resamples: int = RESAMPLES, reference: str = "baseline"
) -> dict[str, Resampled]:
    """All arms of one role on the same resamples.

    The arms must be of the same films (`collect_scores` sees to that). `recall_at_precision` is each arm's best recall
    at a precision no lower than the reference arm's at threshold 0.5 (mean over its seeds), in the same resample; not
    a number without that arm, or where it calls no film positive.
    """
    if not scores:
        return {}
    prepared = {arm: _Prepared(found) for arm, found in scores.items()}
    # The reference first: the others need its precision.
    arms = sorted(prepared, key=lambda arm: arm != reference)
    patients = len(next(iter(scores.values())).patient_ids)
    parts: dict[str, list[np.ndarray]] = {arm: [] for arm in arms}
    for times in draws(patients, resamples, np.random.default_rng(seed)):
        precision = np.full(len(times), np.nan)
        for arm in arms:
            values, ladders = prepared[arm].figures(times)
            if arm == reference:
                called = prepared[arm].calls_any(times)
                found = values[..., quantity("precision_positive")].mean(axis=1)
                precision = np.where(called, found, np.nan)
            for number, steps in enumerate(ladders):
                values[:, number, quantity(AT_PRECISION)] = ranking.recall_at_precision(steps, precision)
            parts[arm].append(values)
    return {arm: _resampled(arm, prepared[arm], np.concatenate(parts[arm]), resamples, seed) for arm in scores}


def _resampled(arm: str, prepared: "_Prepared", values: np.ndarray, resamples: int, seed: int) -> Resampled:
    found, drawn, left_out = values[0], values[1 : resamples + 1], values[resamples + 1 :]
    weights = draw_seeds(resamples, values.shape[1], seed, arm)
    return Resampled(arm, found, drawn, left_out, prepared.patients_behind(), weights)


def answer_intervals(
    labels: np.ndarray, predicted: np.ndarray, patients: np.ndarray, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """`THRESHOLD_METRICS` of one set of answers with 95 % intervals over patients; all three arrays are (rows,).

    `patients` are any ids. Resamples that lack a label do not count.
    """
    people, rows = np.unique(np.asarray(patients).astype(str), return_inverse=True)
    answers = 2 * (1 - np.asarray(labels)) + (1 - np.asarray(predicted))
    counts = np.zeros((len(people), 4))
    np.add.at(counts, (rows, answers), 1)
    sums = np.concatenate([times @ counts for times in draws(len(people), resamples, np.random.default_rng(seed))])
    values = metrics_from_counts(sums)
    values[(sums[:, :2].sum(axis=1) == 0) | (sums[:, 2:].sum(axis=1) == 0)] = np.nan
    found, drawn, left_out = values[0], values[1 : resamples + 1], values[resamples + 1 :] - values[0]
    bounds = bootstrap_bounds(found, drawn, left_out, _patients_of_answers(counts[None]))
    return {name: Interval(float(found[k]), *map(float, bounds[k])) for k, name in enumerate(THRESHOLD_METRICS)}


def draw_seeds(resamples: int, seeds: int, *names: int | str) -> np.ndarray:
    """Weights of training seeds in each resample, (resamples, seeds), each row with sum 1.

    Seeds are drawn with replacement and the weights' deviations from 1/S are widened by √(S / (S − 1)) (Rao & Wu
    1988): the plain bootstrap of S runs shows only (S − 1)/S of their variance, half of it with two seeds. Each arm
    draws its own, as each was trained by itself. With one seed the chance of training can't be seen: all weights are 1.
    """
    if seeds == 1:
        return np.ones((resamples, 1))
    random = np.random.default_rng([zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names])
    times = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)
    return 1 / seeds + np.sqrt(seeds / (seeds - 1)) * (times - 1) / seeds


def draws(patients: int, resamples: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each patient counts, in blocks (at most 250, patients).

    First each patient once; then the resamples; then everybody but one patient, or but one of 400 groups of patients
    where there are more of them.
    """
    yield np.ones((1, patients))
    for start in range(0, resamples, RESAMPLES_AT_ONCE):
        block = min(RESAMPLES_AT_ONCE, resamples - start)
        drawn = random.integers(0, patients, size=(block, patients))
        flat = drawn + patients * np.arange(block)[:, None]
        yield np.bincount(flat.ravel(), minlength=block * patients).reshape(block, patients).astype(float)
    groups = np.arange(patients) % MOST_GROUPS
    for start in range(0, min(patients, MOST_GROUPS), RESAMPLES_AT_ONCE):
        block = np.arange(start, min(start + RESAMPLES_AT_ONCE, patients, MOST_GROUPS))
        yield (groups != block[:, None]).astype(float)


class _Prepared:
    """What of one arm's scores does not depend on the resample, worked out once."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self.orders = [ranking.ranked(scores.labels, p) for p in scores.p_positive]
        self.logits = logit(scores.p_positive)
        self.counts = {point: _patient_counts(scores, point) for point in OPERATING_POINTS}
        errors = [(p - scores.labels) ** 2 for p in (scores.p_positive, scores.p_calibrated)]
        self.squared_errors = [_patient_sums(scores, error) for error in errors]
        self.films = _patient_sums(scores, np.ones((1, len(scores.labels))))

    def figures(self, times: np.ndarray) -> tuple[np.ndarray, list[ranking.Ladder]]:
        """All `QUANTITIES` but the last, (resamples, seeds, quantities), for patients drawn so many times; and each
        seed's ladder, of which the last is made."""
        values = np.full((len(times), len(self.scores.seeds), len(QUANTITIES)), np.nan)
        for number, point in enumerate(OPERATING_POINTS):
            sums = np.einsum("rp,spc->rsc", times, self.counts[point], optimize=True)
            metrics = metrics_from_counts(sums)
            values[..., number * len(THRESHOLD_METRICS) : (number + 1) * len(THRESHOLD_METRICS)] = metrics
        weights = times[:, self.scores.patients]
        ladders = [ranking.ladder(order, weights) for order in self.orders]
        for seed, steps in enumerate(ladders):
            values[:, seed, quantity("roc_auc")] = ranking.roc_auc(steps)
            values[:, seed, quantity("average_precision")] = ranking.average_precision(steps)
            slopes = weighted_slopes(self.scores.labels, self.logits[seed], weights)
            values[:, seed, quantity("calibration_slope")] = slopes
        for metric, errors in zip(("brier", "brier_calibrated"), self.squared_errors, strict=True):
            values[..., quantity(metric)] = (times @ errors.T) / (times @ self.films.T)
        positive = weights @ self.scores.labels
        values[(positive == 0) | (positive == weights.sum(axis=1))] = np.nan
        return values, ladders

    def calls_any(self, times: np.ndarray) -> np.ndarray:
        """Whether every seed calls at least one film positive at threshold 0.5, (resamples,)."""
        called = self.counts["fixed"][..., [0, 2]].sum(axis=-1)
        return (times @ called.T > 0).all(axis=1)

    def patients_behind(self) -> np.ndarray:
        """How many patients each of `QUANTITIES` rests on, (quantities,): of both labels, the rarer one's."""
        counts = self.counts["fixed"]
        number = np.full(len(QUANTITIES), _rarer_label(counts))
        for metric in ("brier", "brier_calibrated"):
            number[quantity(metric)] = counts.shape[1]
        for point in OPERATING_POINTS:
            columns = [quantity(metric, point) for metric in THRESHOLD_METRICS]
            number[columns] = _patients_of_answers(self.counts[point])
        return number


def _patients_of_answers(counts: np.ndarray) -> np.ndarray:
    """How many patients each of `THRESHOLD_METRICS` rests on, from confusion counts (seeds, patients, 4).

    A share rests on those who have a film in its denominator, in the seed that has fewest; what mixes both labels, on
    those of the rarer label.
    """
    number = dict.fromkeys(THRESHOLD_METRICS, _rarer_label(counts)) | {"accuracy": counts.shape[1]}
    for metric, cells in SHARES.items():
        number[metric] = int((counts[..., list(cells)].sum(axis=-1) > 0).sum(axis=1).min())
    return np.array([number[metric] for metric in THRESHOLD_METRICS])


def _rarer_label(counts: np.ndarray) -> int:
    return int(min((counts[0][:, cells].sum(axis=1) > 0).sum() for cells in ([0, 1], [2, 3])))


def _patient_counts(scores: Scores, operating_point: str) -> np.ndarray:
    """Confusion counts of each patient, (seeds, patients, 4)."""
    cell = 2 * (1 - scores.labels) + (1 - scores.predicted(operating_point))
    return np.stack([_patient_sums(scores, (cell == number).astype(float)) for number in range(4)], axis=-1)


def _patient_sums(scores: Scores, values: np.ndarray) -> np.ndarray:
    """Sums over each patient's rows, (seeds, rows) to (seeds, patients)."""
    return np.stack([np.bincount(scores.patients, row, minlength=len(scores.patient_ids)) for row in values])
