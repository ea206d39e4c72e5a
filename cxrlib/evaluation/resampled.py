"""Every figure of merit of every arm on the same resampled patients.

A patient's films are alike, so films are no independent draws: patients are resampled with replacement, each with all
films (Efron & Tibshirani 1993). A resample is how often each patient was drawn, and a film's weight in it is that of
its patient. All arms and seeds of a role see the same resamples, so that any difference between arms is a paired one,
and seeds that err on the same films don't pass for independent evidence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrlib.evaluation import ranking
from cxrlib.evaluation.calibration import logit, weighted_slopes
from cxrlib.evaluation.metrics import PROBABILITY_METRICS, THRESHOLD_METRICS, metrics_from_counts
from cxrlib.evaluation.runs import p_values, spread_of_runs, widened
from cxrlib.evaluation.scores import OPERATING_POINTS, Scores
from cxrlib.evaluation.uncertainty import RESAMPLES, Interval, bootstrap_bounds, divided, wilson_interval

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
SHARE_COLUMNS = tuple(k for k, (_, metric) in enumerate(QUANTITIES) if metric in ("accuracy", *SHARES))

Limits = tuple[Any, Any]


@dataclass(frozen=True)
class Intervals:
    """Estimates with the one interval that each has, each (quantities,)."""

    estimates: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_values: np.ndarray  # that the quantity is 0, which is of use for differences
    from_runs: np.ndarray  # the share of the interval's squared width that training runs add to patients, 0 to 1


@dataclass(frozen=True)
class Resampled:
    """An arm's figures of merit, or the differences of two arms', seed by seed.

    `found` are the figures as measured, `values` those of each resample of the patients (not a number where a resample
    lacks a label), `left_out` how far the mean over seeds moves when a group of patients is left out, and `patients`
    how many patients a figure rests on. Seeds with the same name in `runs` share a generator, and count as one run.
    """

    seeds: tuple[int, ...]
    runs: tuple[int, ...]  # of each seed
    found: np.ndarray  # (seeds, quantities)
    values: np.ndarray  # (resamples, seeds, quantities)
    left_out: np.ndarray  # (groups, quantities)
    patients: np.ndarray  # (quantities,)

    @classmethod
    def of_draws(
        cls, seeds: tuple[int, ...], runs: tuple[int, ...], values: np.ndarray, resamples: int, patients: np.ndarray
    ) -> "Resampled":
        """From `values` (rows of `draws`, seeds, quantities)."""
        found, drawn, left_out = values[0], values[1 : resamples + 1], values[resamples + 1 :]
        return cls(seeds, runs, found, drawn, left_out.mean(axis=1) - found.mean(axis=0), patients)

    @property
    def estimates(self) -> np.ndarray:
        """The means over seeds, (quantities,)."""
        return self.found.mean(axis=0)

    @property
    def number_of_runs(self) -> int:
        return len(set(self.runs))

    def minus(self, other: "Resampled", *, same_patients: bool) -> "Resampled":
        """The difference, seed by seed: equal seeds share their random start. What has one seed alone, such as a rule
        in which nothing is drawn, is compared with every seed of the other. `same_patients` if both saw the same
        resamples."""
        both = [part.seeds for part in (self, other)]
        seeds = max(both, key=len) if min(map(len, both)) == 1 else tuple(seed for seed in both[0] if seed in both[1])
        mine, theirs = ([part.index(seed) if len(part) > 1 else 0 for seed in seeds] for part in both)
        moved = self.left_out - other.left_out if same_patients else np.concatenate((self.left_out, -other.left_out))
        runs = [tuple(part.runs[k] for k in rows) for part, rows in ((self, mine), (other, theirs))]
        alone = min(len(self.seeds), len(other.seeds)) == 1
        return Resampled(
            seeds,
            (max if alone else min)(runs, key=lambda names: len(set(names))),
            self.found[mine] - other.found[theirs],
            self.values[:, mine] - other.values[:, theirs],
            moved,
            np.minimum(self.patients, other.patients),
        )

    def over_patients(self, limits: Limits = (-np.inf, np.inf)) -> np.ndarray:
        """95 % intervals, (quantities, 2), over patients, the runs given."""
        return bootstrap_bounds(self.estimates, self.values.mean(axis=1), self.left_out, self.patients, limits)

    def intervals(self, limits: Limits = (-np.inf, np.inf), shares: Sequence[int] = ()) -> Intervals:
        """95 % intervals over patients and runs; over patients alone with a single run, and then without p.

        `limits` are the lowest and the highest value possible, each a number or (quantities,). Where all films are
        answered correctly, or none, no resample can differ, and a share of films (the columns `shares`) has Wilson's
        interval for as many independent answers as there are patients.
        """
        estimates, alone = self.estimates, self.over_patients(limits)
        for column in shares:
            estimate, number = estimates[column], int(self.patients[column])
            if estimate in (0, 1) and number and np.ptp(alone[column]) == 0:
                interval = wilson_interval(number * int(estimate), number)
                alone[column] = interval.low, interval.high
        known = alone, *spread_of_runs(*self._by_run()), self.number_of_runs
        lowest, highest = (np.broadcast_to(limit, len(alone)) for limit in limits)
        low, high = np.clip(widened(estimates, *known, (lowest == 0) & (highest == 1)).T, lowest, highest)
        wider = divided(np.ptp(alone, axis=1), high - low, 1.0)
        return Intervals(
            estimates, low, high, p_values(estimates, *known, self.patients), 1 - np.minimum(wider, 1) ** 2
        )

    def _by_run(self) -> tuple[np.ndarray, np.ndarray]:
        """`found` and `values` as means over the seeds of each run."""
        if self.number_of_runs == len(self.seeds):
            return self.found, self.values
        rows = [[k for k, name in enumerate(self.runs) if name == run] for run in dict.fromkeys(self.runs)]
        found = np.stack([self.found[k].mean(axis=0) for k in rows])
        return found, np.stack([self.values[:, k].mean(axis=1) for k in rows], axis=1)


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
    stacked = {arm: np.concatenate(parts[arm]) for arm in scores}
    return {
        arm: Resampled.of_draws(found.seeds, found.runs, stacked[arm], resamples, prepared[arm].patients_behind())
        for arm, found in scores.items()
    }


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


def ratios_of(
    rows: np.ndarray, seeds: tuple[int, ...], runs: tuple[int, ...], top: np.ndarray, bottom: np.ndarray, *,
    seed: int, resamples: int = RESAMPLES,
) -> Resampled:  # fmt: skip
    """Sums of `top` over sums of `bottom`, both (seeds, films, quantities), seed by seed and resample by resample: net
    benefit, say, or the share of positives in a bin.

    `rows` (films,) are the patients, as whole numbers from 0. Not a number where a resample has no film in the
    denominator.
    """
    patients, parts = int(rows.max()) + 1, []
    sums = []
    for values in (top, bottom):
        by_patient = np.zeros((len(values), patients, values.shape[-1]))
        for run, of_run in zip(by_patient, values, strict=True):
            np.add.at(run, rows, of_run)
        sums.append(by_patient)
    for times in draws(patients, resamples, np.random.default_rng(seed)):
        upper, lower = (np.einsum("rp,spq->rsq", times, values, optimize=True) for values in sums)
        parts.append(divided(upper, lower))
    behind = (sums[1] > 0).sum(axis=1).min(axis=0)
    return Resampled.of_draws(seeds, runs, np.concatenate(parts), resamples, behind)


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
        left_out = np.arange(start, min(start + RESAMPLES_AT_ONCE, patients, MOST_GROUPS))
        yield (groups != left_out[:, None]).astype(float)


class _Prepared:
    """What of one arm's scores does not depend on the resample, worked out once."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        parts = np.unique(scores.folds, return_inverse=True)[1]
        self.orders = [ranking.ranked(scores.labels, p, parts) for p in scores.p_positive]
        self.logits = logit(scores.p_positive)
        # Confusion counts of each patient, (seeds, patients, 4).
        self.counts = {}
        for point in OPERATING_POINTS:
            cell = 2 * (1 - scores.labels) + (1 - scores.predicted(point))
            self.counts[point] = np.stack([_patient_sums(scores, (cell == k).astype(float)) for k in range(4)], axis=-1)
        raw, scaled = (p - scores.labels for p in (scores.p_positive, scores.p_calibrated))
        errors = {"brier": raw**2, "brier_calibrated": scaled**2, "calibration_in_the_large": raw}
        self.errors = {metric: _patient_sums(scores, error) for metric, error in errors.items()}
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
        for metric, errors in self.errors.items():
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
        for metric in ("brier", "brier_calibrated", "calibration_in_the_large"):
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


def _patient_sums(scores: Scores, values: np.ndarray) -> np.ndarray:
    """Sums over each patient's rows, (seeds, rows) to (seeds, patients)."""
    return np.stack([np.bincount(scores.patients, row, minlength=len(scores.patient_ids)) for row in values])
