"""The test of Markov order against scipy, and its calibration."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, kstest

from cortseq.errors import CortseqError
from cortseq.scoring.order import markov_order_test

P = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]])


def draw(rng, n, length):
    x = np.zeros((n, length), int)
    for t in range(1, length):
        x[:, t] = (rng.random((n, 1)) > P[x[:, t - 1]].cumsum(1)[:, :-1]).sum(1)
    return list(x)


def test_statistic_is_the_g_of_contingency_tables():
    """Order 0 is one table (before, after); order 1 is one such table for each label between."""
    x = draw(np.random.default_rng(0), 6, 200)
    pairs, triples = np.zeros((3, 3)), np.zeros((3, 3, 3))
    for s in x:
        np.add.at(pairs, (s[:-1], s[1:]), 1)
        np.add.at(triples, (s[1:-1], s[:-2], s[2:]), 1)
    for order, tables in ((0, [pairs]), (1, triples)):
        ours = markov_order_test(x, 3, order, resamples=1)
        theirs = [chi2_contingency(t, correction=False, lambda_="log-likelihood") for t in tables]
        assert ours.statistic == pytest.approx(sum(t.statistic for t in theirs))
        assert ours.degrees_of_freedom == sum(t.dof for t in theirs)


def test_pairs_across_trials_are_not_counted():
    alternating = [np.array([0, 0]), np.array([1, 1])] * 20
    assert markov_order_test(alternating, 2, 0, resamples=1).statistic == pytest.approx(40 * 2 * np.log(2))


def test_a_wrong_order_is_rejected_and_the_right_one_is_not():
    x = draw(np.random.default_rng(1), 10, 300)
    assert markov_order_test(x, 3, 0, resamples=199).p_value == 1 / 200
    right = markov_order_test(x, 3, 1, resamples=199)
    assert right.p_value > 0.01 and right.p_chi2 > 0.01
    assert markov_order_test(x, 3, 1, resamples=199) == right


def calibration(runs, resamples):
    rng = np.random.default_rng(2)
    return [markov_order_test(draw(rng, 10, 30), 3, 1, resamples, seed=i) for i in range(runs)]


def test_p_values_are_uniform_under_the_null():
    """Rare words: the bootstrap holds its level."""
    p = np.array([r.p_value for r in calibration(150, 49)])
    assert kstest(p - 0.01, "uniform").pvalue > 0.01  # middle of the steps of 1/50
    assert abs((p <= 0.1).mean() - 0.1) < 3 * np.sqrt(0.09 / 150)


@pytest.mark.slow
def test_p_values_are_uniform_where_those_of_chi_squared_are_not():
    """500 runs (C04) of 10 trials x 30 labels: many of the 27 words are rare."""
    runs = calibration(500, 199)
    assert kstest([r.p_value - 0.0025 for r in runs], "uniform").pvalue > 0.01
    assert kstest([r.p_chi2 for r in runs], "uniform").pvalue < 0.01


@pytest.mark.parametrize(
    ("sequences", "m", "order", "message"),
    [
        ([np.array([0, 1])], 2, 1, "no sequence has 3 labels"),
        ([np.array([0, 5, 1])], 2, 0, "outside the alphabet"),
        ([np.zeros(99, int)], 50, 3, "too many"),
    ],
)
def test_what_cannot_be_tested_is_refused(sequences, m, order, message):
    with pytest.raises(CortseqError, match=message):
        markov_order_test(sequences, m, order)
