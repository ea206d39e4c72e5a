"""Several readers and films: published numbers, closed forms, and whether intervals hold what they promise."""

import numpy as np
import pytest
from scipy import stats
from simulated_reader_studies import CRITERIA, covered

from cxrlib.evaluation.reader_studies import ReaderStudy, reader_study
from cxrlib.evaluation.readers import areas_by_reader, means_by_reader


# Five radiologists, 114 patients, two ways of imaging (Van Dyke et al. 1993), as R packages analyse them: mean area,
# variance and covariance of areas, spread of the readers' areas; standard error, degrees of freedom, 95 % interval.
@pytest.mark.parametrize(
    ("parts", "error", "freedom", "low", "high"),
    [
        ((0.8970370, 0.00101410, 0.000483962, 0.003082629), 0.0331736, 12.74465, 0.8252236, 0.9688505),
        ((0.9408374, 0.00059047, 0.000204188, 0.001304602), 0.0215664, 12.71019, 0.8941378, 0.9875369),
    ],
)
def test_the_published_example_is_reproduced(parts, error, freedom, low, high):
    estimate, variance, covariance, between = parts
    study = ReaderStudy(estimate, 5, variance, covariance, between)
    assert study.standard_error == pytest.approx(error, abs=5e-7)
    assert study.degrees_of_freedom == pytest.approx(freedom, abs=5e-4)
    found = study.interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-6)


def test_covariances_of_shares_are_those_of_a_closed_form():
    """Of means over films the jackknife gives the usual covariance of means, whatever the readers have in common."""
    right = np.random.default_rng(2).integers(0, 2, (4, 30)).astype(float)
    right[1] = right[0]
    study = reader_study(means_by_reader(right), np.zeros(30))
    expected = np.cov(right) / 30
    assert study.variance == pytest.approx(np.diag(expected).mean())
    assert study.covariance == pytest.approx((expected.sum() - np.trace(expected)) / 12)
    assert study.between == pytest.approx(right.mean(axis=1).var(ddof=1))


def test_variances_of_areas_are_delong_s():
    random = np.random.default_rng(4)
    real = np.repeat([True, False], 60)
    steps = np.searchsorted(CRITERIA, random.normal(np.where(real, 0.5, -0.5), 1, (1, 120)))
    study = reader_study(areas_by_reader(steps, real, 6), real)
    greater = (steps[0, real][:, None] > steps[0, ~real]) + 0.5 * (steps[0, real][:, None] == steps[0, ~real])
    delong = greater.mean(axis=1).var(ddof=1) / 60 + greater.mean(axis=0).var(ddof=1) / 60
    assert study.variance == pytest.approx(delong, rel=0.03)


def test_a_reader_without_films_of_a_kind_is_no_reader_of_the_study():
    steps = np.array([[0, 5, -1, -1], [0, 1, 4, 5]])
    with pytest.raises(ValueError, match="no figure of merit"):
        reader_study(areas_by_reader(steps, np.array([True, True, False, False]), 6), np.zeros(4))


def test_more_readers_tell_more_and_readers_who_are_alike_are_worth_less():
    study = ReaderStudy(0.65, 3, 0.002, 0.0006, 0.003)
    powers = [study.power(0.5, readers=readers) for readers in (3, 5, 10)]
    assert powers == sorted(powers)
    assert study.power(0.65, readers=5) == pytest.approx(0.05)
    alike = ReaderStudy(0.65, 3, 0.002, 0.0018, 0.003)
    assert alike.power(0.5, readers=10) < study.power(0.5, readers=10)


def test_the_interval_of_three_unlike_readers_holds_the_truth():
    assert 0.90 < covered(3, 40, 0.4, 300)["small_sample_interval"] < 0.99


def test_the_small_sample_interval_stays_within_0_and_1_and_is_hillis_where_there_are_many():
    near = ReaderStudy(0.97, 3, 0.001, 0.0004, 0.0012)
    assert near.interval().high == 1, "cut off"
    found = near.small_sample_interval()
    assert 0.6 < found.low < 0.97 < found.high < 1
    # By hand, with the standard error of the logit from the delta method.
    hillis = stats.t.ppf(0.975, near.degrees_of_freedom) * near.standard_error
    apart = np.hypot(stats.t.ppf(0.975, 2) * np.sqrt(0.0012 / 3), stats.norm.ppf(0.975) * np.sqrt(0.0004))
    reach = (hillis + apart) / 2 / (0.97 * 0.03)
    assert np.log([found.low / (1 - found.low), found.high / (1 - found.high)]) == pytest.approx(
        np.log(0.97 / 0.03) + np.array([-reach, reach])
    )
    many = ReaderStudy(0.6, 100, 1e-4, 1e-5, 1e-4)
    assert many.small_sample_interval().low == pytest.approx(many.interval().low, abs=1e-4)
    certain = ReaderStudy(1.0, 3, 0.0, 0.0, 0.0)
    assert (certain.small_sample_interval().low, certain.small_sample_interval().high) == (1, 1)


@pytest.mark.long
@pytest.mark.parametrize("differ", [0.0, 0.4], ids=["alike", "unlike"])
@pytest.mark.parametrize(("readers", "films"), [(3, 40), (3, 200), (5, 100), (10, 40), (10, 200)])
def test_intervals_hold_the_truth_as_often_as_they_say(readers, films, differ):
    draws = 1500 if films < 200 else 500
    margin = 3 * (0.95 * 0.05 / draws) ** 0.5
    assert 0.93 - margin < covered(readers, films, differ, draws)["small_sample_interval"] < 0.97 + margin
