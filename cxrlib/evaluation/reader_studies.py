"""Several readers, several films: the analysis of Obuchowski and Rockette with Hillis' degrees of freedom.

The bootstrap over readers and films is too sure of itself with three or four readers. This model is what reviewers of
reader studies ask for: Obuchowski & Rockette 1995, Communications in Statistics – Simulation and Computation 24, 285;
Hillis 2007, Statistics in Medicine 26, 596; for one modality Hillis, Berbaum & Metz 2008, Academic Radiology 15, 647.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from cxrlib.evaluation.uncertainty import CONFIDENCE, Interval

Measure = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ReaderStudy:
    """The mean over readers of one figure of merit, and of what its uncertainty consists.

    `variance` and `covariance` are of the figure over other films, for one reader and for two; `between` is the
    variance of the readers' figures as observed.
    """

    estimate: float
    readers: int
    variance: float
    covariance: float
    between: float

    @property
    def standard_error(self) -> float:
        return float(np.sqrt(self._spread / self.readers))

    @property
    def degrees_of_freedom(self) -> float:
        """Hillis' ddf_H; without end where readers do not differ at all."""
        if self.between <= 0:
            return float("inf")
        return float(self._spread**2 / (self.between**2 / (self.readers - 1)))

    @property
    def _spread(self) -> float:
        return self.between + self.readers * max(self.covariance, 0.0)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """For other readers and other films, within 0 and 1; none can be given for a single reader."""
        if self.readers < 2:
            return Interval(self.estimate, float("nan"), float("nan"))
        reach = stats.t.ppf((1 + confidence) / 2, self.degrees_of_freedom) * self.standard_error
        return Interval(self.estimate, max(0.0, self.estimate - reach), min(1.0, self.estimate + reach))

    def small_sample_interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The same on the scale of log odds, with a reach that holds the truth as often as it says for few readers too.

        Hillis' reach covers down to 91 % for three readers who differ, since their spread is seldom seen as large as it
        is; Student's reach for that part alone, and the normal one for the films' (Graybill & Wang 1980, JASA 75, 869),
        covers up to 98 %. Their mean covers 94 to 97 % (`benchmarks/results/reader_coverage.json`).
        """
        if self.readers < 2 or not 0 < self.estimate < 1:
            return self.interval(confidence)
        tail = (1 + confidence) / 2
        hillis = stats.t.ppf(tail, self.degrees_of_freedom) * self.standard_error
        by_readers = stats.t.ppf(tail, self.readers - 1) ** 2 * self.between / self.readers
        apart = np.sqrt(by_readers + stats.norm.ppf(tail) ** 2 * max(self.covariance, 0.0))
        reach = (hillis + apart) / 2 / (self.estimate * (1 - self.estimate))
        low, high = special.expit(special.logit(self.estimate) + np.array([-reach, reach]))
        return Interval(self.estimate, float(low), float(high))

    def power(self, other: float, *, readers: int, level: float = 0.05) -> float:
        """Probability that so many readers tell a true figure as far from `other` as the one found (two-sided t test;
        Hillis, Obuchowski & Berbaum 2011, Academic Radiology 18, 129)."""
        # What readers truly differ by is what is left of their spread when chance over films is taken out.
        shared = max(self.covariance, 0.0)
        truly = max(0.0, self.between - self.variance + shared)
        planned = ReaderStudy(self.estimate, readers, self.variance, shared, truly + self.variance - shared)
        freedom = planned.degrees_of_freedom
        shift = abs(self.estimate - other) / planned.standard_error
        reach = stats.t.ppf(1 - level / 2, freedom)
        # The other side is that of the opposite shift; `nct.cdf` has no number for it where shifts are large.
        return float(stats.nct.sf(reach, freedom, shift) + stats.nct.sf(reach, freedom, -shift))


def reader_study(measure: Measure, strata: np.ndarray) -> ReaderStudy:
    """Analyse a measure as `over_readers` takes it: `measure(weights)` gives (resamples, readers) from how often each
    film counts, (resamples, films). Covariances are those of the jackknife over films, within `strata` (films,).

    A reader without an answer to a film simply lacks that film. Raises `ValueError` where a reader has no figure.
    """
    films = len(strata)
    found = measure(np.ones((1, films)))[0]
    if np.isnan(found).any():
        raise ValueError("a reader has no figure of merit; leave out readers without answers of every kind")
    left_out = measure(1.0 - np.eye(films))
    # A film without which nothing is left of its kind can't be left out: it moves nothing.
    left_out = np.where(np.isnan(left_out), found, left_out)
    spread = np.atleast_2d(np.cov(left_out.T)) * (films - 1) ** 2 / films
    readers = len(found)
    variance = float(np.diag(spread).mean())
    covariance = float((spread.sum() - np.trace(spread)) / (readers * (readers - 1))) if readers > 1 else 0.0
    between = float(np.var(found, ddof=1)) if readers > 1 else 0.0
    return ReaderStudy(float(found.mean()), readers, variance, covariance, between)
