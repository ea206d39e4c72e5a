"""What holds for all readers: the model of Obuchowski and Rockette, and beside it readers and films drawn anew."""

import numpy as np

from cxrlib.evaluation.reader_studies import Measure, reader_study
from cxrlib.evaluation.readers import SIGNIFICANCE, exact_interval, over_readers
from cxrlib.evaluation.uncertainty import Interval


def over_all(measure: Measure, strata: np.ndarray, *, seed: int) -> dict[str, float]:
    """Columns of a row of all readers: estimate; low, high (95 %) and inner_low, inner_high (90 %) by the model, for
    small samples; standard_error, degrees_of_freedom; bootstrap_low, bootstrap_high.

    Readers of whom nothing can be said, since films of a kind are missing, leave only the bootstrap. Where no reader
    errs and none differs, the interval is the exact one over films.
    """
    films = len(strata)
    readers = measure(np.ones((1, films))).shape[1]
    drawn = over_readers(measure, strata, readers, seed=seed)
    row = {"bootstrap_low": drawn.interval.low, "bootstrap_high": drawn.interval.high}
    try:
        study = reader_study(measure, strata)
    except ValueError:
        return _bounds(drawn.interval, drawn.inner) | row
    if study.standard_error == 0:
        right = round(study.estimate * films)
        return _bounds(exact_interval(right, films), exact_interval(right, films, 1 - 2 * SIGNIFICANCE)) | row
    facts = {"standard_error": study.standard_error, "degrees_of_freedom": study.degrees_of_freedom}
    return _bounds(study.small_sample_interval(), study.small_sample_interval(1 - 2 * SIGNIFICANCE)) | facts | row


def _bounds(outer: Interval, inner: Interval) -> dict[str, float]:
    outer_ends = {"estimate": outer.estimate, "low": outer.low, "high": outer.high}
    return outer_ends | {"inner_low": inner.low, "inner_high": inner.high}
