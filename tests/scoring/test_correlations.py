"""Correlations of expected with recorded counts, against numpy's and a known answer."""

import numpy as np
import pytest

from cortseq.scoring.correlations import NAMES, Correlations


@pytest.fixture
def counts():
    rng = np.random.default_rng(5)
    rate = np.exp(rng.normal(-1, 0.8, (400, 7)))
    return rate, rng.poisson(rate).astype(float)


def collected(expected, recorded, parts=3):
    pairs = Correlations(expected.shape[1])
    for some in np.array_split(np.arange(len(expected)), parts):
        pairs.add(expected[some], recorded[some])
    return pairs.found()


def test_equal_numpys(counts):
    expected, y = counts
    found = collected(expected, y)
    each = np.array([np.corrcoef(expected[:, n], y[:, n])[0, 1] for n in range(7)])
    assert found["unit_r"] == pytest.approx(each.mean(), abs=1e-12)
    assert found["unit_r_weighted"] == pytest.approx(np.average(each, weights=y.sum(0)), abs=1e-12)
    assert found["population_r"] == pytest.approx(np.corrcoef(expected.sum(1), y.sum(1))[0, 1], abs=1e-12)
    active = [np.corrcoef(e, c)[0, 1] for e, c in zip(expected, y, strict=True) if c.any() and np.ptp(c)]
    assert found["spatial_r"] == pytest.approx(np.mean(active), abs=1e-12)


def test_how_bins_are_cut_does_not_matter(counts):
    assert collected(*counts, parts=1) == pytest.approx(collected(*counts, parts=40), abs=1e-12)


def test_true_rates_reach_what_they_expect_of_themselves():
    rng = np.random.default_rng(1)
    rate = rng.gamma(2.0, 0.5, (40_000, 3))
    found = collected(rate, rng.poisson(rate).astype(float))
    assert found["unit_r"] == pytest.approx(found["unit_r_expected"], abs=0.01)
    assert found["unit_r_expected"] == pytest.approx(np.sqrt(0.5 / 1.5), abs=0.01)  # V = .5, mean = 1


def test_they_ignore_the_size_of_a_prediction(counts):
    expected, y = counts
    found, scaled = collected(expected, y), collected(10 * expected, y)
    assert [found[name] for name in NAMES[:4]] == pytest.approx([scaled[name] for name in NAMES[:4]])
    assert scaled["unit_r_expected"] > found["unit_r_expected"]


def test_a_constant_prediction_has_none(counts):
    _, y = counts
    assert all(np.isnan(value) for value in collected(np.ones_like(y), y).values())


def test_silent_units_do_not_count(counts):
    expected, y = counts
    more = np.column_stack([y, np.zeros(len(y))]), np.column_stack([expected, expected[:, 0]])
    assert collected(more[1], more[0])["unit_r"] == pytest.approx(collected(expected, y)["unit_r"])
