"""Paired differences: by hand, against textbook formulas, and by simulation of a few cells of the table.

`python -m benchmarks.calibration` measures all cells; tests/benchmarks/test_calibration.py holds them.
"""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, t, ttest_1samp, ttest_ind

from cortseq import scoring
from cortseq.errors import CortseqError
from cortseq.scoring import blocks
from cortseq.scoring.statistics import (
    Session,
    across_sessions,
    holm,
    over_sessions,
    paired,
    smallest_p,
)


def autoregressive(rng, n, rho):
    x = rng.normal(size=n)
    for i in range(1, n):
        x[i] = rho * x[i - 1] + np.sqrt(1 - rho**2) * x[i]
    return x


# -- one member each: trials -------------------------------------------------------------------------


def test_paired_difference_is_the_ratio_of_sums():
    a, b, n = np.array([-3.0, -2.0, -5.0]), np.array([-4.0, -4.0, -5.0]), np.array([2, 4, 6])
    assert scoring.paired_difference(a, b, n).estimate == pytest.approx(3 / (12 * np.log(2)))


@pytest.mark.parametrize(
    ("a", "n", "words"),
    [
        ([-3.0, np.nan, -5.0], [2, 4, 6], "log_prob_a: a sum of a trial is NaN .*nansum"),
        ([-3.0, -np.inf, -5.0], [2, 4, 6], "log_prob_a: a sum of a trial is NaN or infinity"),
        ([-3.0, -2.0, -5.0], [2, np.nan, 6], "n_spikes: a sum of a trial is NaN"),
        ([-3.0, -2.0, -5.0], 12, "n_spikes: one number for each trial"),
        ([-3.0, -2.0, -5.0], [0, 0, 0], "n_spikes: no spike to divide by"),
    ],
)
def test_sums_that_are_no_numbers_have_no_difference(a, n, words):
    """NaN in one trial left a p-value of 0."""
    with pytest.raises(CortseqError, match=words):
        scoring.paired_difference(a, [-4.0, -4.0, -5.0], n)


def test_the_interval_is_that_of_the_paired_t_test():
    """Equal events in each of 10 trials: the mean of the differences, its standard error, t with 9 degrees."""
    d = np.random.default_rng(0).normal(0.3, 1, 10)
    found = paired(d, np.zeros(10), np.full(10, 4.0))
    low, high = ttest_1samp(d / 4, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.degrees, found.pieces, found.block_trials) == (pytest.approx(9), 10, 1)


def test_the_standard_error_of_a_ratio_follows_its_events():
    """Linearised: residuals d - estimate * n; differences in proportion to the events have no spread."""
    n = np.array([1.0, 2.0, 3.0, 5.0])
    assert paired(0.7 * n, 0 * n, n).standard_error == pytest.approx(0, abs=1e-12)
    d = np.array([1.0, 0.0, 2.0, 2.0])
    residual = d - n * d.sum() / n.sum()
    assert paired(d, 0 * d, n).standard_error == pytest.approx(np.sqrt((residual**2).sum() * 4 / 3) / n.sum())


def test_sign_flip_p_equals_enumeration():
    d = np.array([1.0, 2.0, -0.5, 3.0, 0.7])
    flips = np.array(list(itertools.product([-1, 1], repeat=5)))
    exact = (np.abs(flips @ d) >= d.sum() - 1e-12).mean()
    assert paired(d, np.zeros(5), np.ones(5)).p_value == exact


def test_drawn_sign_flips_come_close_to_enumeration():
    """1000 of the 1024 that there are: p of about .1 has a standard error of .01."""
    d = np.random.default_rng(4).normal(0.5, 1, 11)
    flips = np.array(list(itertools.product([-1, 1], repeat=11)))
    exact = (np.abs(flips @ d) >= abs(d.sum()) - 1e-12).mean()
    found = paired(d, 0 * d, np.ones(11), resamples=1000)
    assert found.pieces == 11 and 0.05 < exact < 0.5
    assert found.p_value == pytest.approx(exact, abs=0.05) and found.p_value != exact


def test_the_smallest_p_is_reached_and_never_passed():
    for n in (2, 5, 8):
        found = paired(np.arange(1.0, n + 1), np.zeros(n), np.ones(n))
        assert found.p_value == found.smallest_p == 2.0 ** (1 - n) == smallest_p(n)
    many = paired(1 + 0.01 * (np.arange(60) % 3), np.zeros(60), np.ones(60), 500, blocks=np.arange(60))
    assert many.p_value >= many.smallest_p == 1 / 501


def test_equivalence_is_two_one_sided_t_tests():
    d = np.random.default_rng(6).normal(0.002, 0.05, 11)
    found = scoring.paired_difference(d, np.zeros(11), np.ones(11))
    bits = d / np.log(2)
    exact = max(
        ttest_1samp(bits, -0.01, alternative="greater").pvalue,
        ttest_1samp(bits, 0.01, alternative="less").pvalue,
    )
    assert found.equivalence(0.01) == pytest.approx(exact)
    far = scoring.paired_difference(-1 - d, np.zeros(11), np.ones(11))  # beyond the margin on the other side
    assert far.equivalence(0.01) > 0.99
    power = (t.ppf(0.975, 10) + t.ppf(0.8, 10)) * bits.std(ddof=1) / np.sqrt(11)
    assert found.detectable == pytest.approx(power)


# -- restarts ----------------------------------------------------------------------------------------


def layout(a):
    """Mean squares of (member, trial) in the two-way layout, one number at a time."""
    m, k = a.shape
    member, trial, grand = a.mean(1), a.mean(0), a.mean()
    noise = sum((a[i, j] - member[i] - trial[j] + grand) ** 2 for i in range(m) for j in range(k))
    return k * member.var(ddof=1), m * trial.var(ddof=1), noise / ((m - 1) * (k - 1))


def test_the_variance_is_that_of_two_way_random_effects():
    """Searle, Casella & McCulloch 1992: Var(mean) = (MS_members + MS_trials - MS_noise) / (M K)."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 1)) + rng.normal(size=(1, 9)) + 0.3 * rng.normal(size=(4, 9))
    found = paired(a, np.zeros(9), np.ones(9))
    members, trials, noise = layout(a)
    of_trials, of_members = trials / 36, (members - noise) / 36
    variance = of_trials + of_members
    assert found.standard_error == pytest.approx(np.sqrt(variance))
    degrees = 1 / ((of_trials / variance) ** 2 / 8 + of_members / variance / 3)
    assert found.degrees == pytest.approx(degrees)
    half = t.ppf(0.975, degrees) * np.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((a.mean() - half, a.mean() + half))
    assert found.p_value >= 2 * t.sf(abs(a.mean()) / np.sqrt(variance), degrees) * (1 - 1e-9)


def test_restarts_of_both_models_count():
    """Trials alike: what is left is a comparison of two groups of members, Welch's t test but for its degrees."""
    rng = np.random.default_rng(2)
    trials = rng.normal(size=8)
    a, b = (trials + rng.normal(size=(m, 1)) for m in (4, 3))
    found = paired(a, b, np.ones(8))
    welch = ttest_ind(a[:, 0], b[:, 0], equal_var=False)
    assert found.estimate / found.standard_error == pytest.approx(welch.statistic)
    assert found.degrees == pytest.approx(welch.df)
    assert found.p_value == pytest.approx(max(welch.pvalue, found.smallest_p))


def test_members_that_differ_by_noise_alone_add_nothing():
    """Where member means differ less than the noise of trials makes them, trials are all there is."""
    rng = np.random.default_rng(3)
    a = rng.normal(size=(3, 9))
    a -= a.mean(1, keepdims=True)
    assert paired(a, np.zeros(9), np.ones(9)).degrees == pytest.approx(8)


def test_two_members_are_a_wide_interval():
    rng = np.random.default_rng(4)
    trials = rng.normal(size=(1, 9))
    two = paired(trials + np.array([[-2.0], [2.0]]), np.zeros(9), np.ones(9))
    assert two.degrees < 1.2 and two.high - two.low > 2 * 12 * two.standard_error * 0.7


# -- blocks ------------------------------------------------------------------------------------------


def test_trials_that_follow_each_other_are_joined_in_blocks():
    slow = np.repeat(np.random.default_rng(5).normal(size=25), 8)  # each value lasts for eight trials
    found = paired(slow, np.zeros(200), np.ones(200), 100)
    assert 8 <= found.block_trials <= 40 and found.pieces == pytest.approx(200 / found.block_trials, abs=1)
    shuffled = np.random.default_rng(6).permutation(slow)
    assert paired(shuffled, np.zeros(200), np.ones(200), 100).block_trials <= 2


def test_blocks_are_cut_in_the_order_of_time():
    slow = np.repeat(np.random.default_rng(7).normal(size=25), 8)
    places = np.random.default_rng(8).permutation(200)
    found = paired(slow[places], np.zeros(200), np.ones(200), 100, order=places)
    assert found.block_trials == paired(slow, np.zeros(200), np.ones(200), 100).block_trials > 2


def test_given_blocks_are_summed():
    rng = np.random.default_rng(9)
    d, n, labels = rng.normal(size=30), rng.integers(1, 5, 30), np.repeat(np.arange(6), 5)
    found = paired(d, np.zeros(30), n, blocks=labels)
    summed = paired(d.reshape(6, 5).sum(1), np.zeros(6), n.reshape(6, 5).sum(1))
    assert (found.pieces, found.block_trials) == (6, 5)
    assert (found.low, found.high, found.p_value) == pytest.approx((summed.low, summed.high, summed.p_value))


def test_trials_without_a_scored_bin_are_no_blocks():
    """Five of eight trials have events: p can be no smaller than 2^-4, and the rest is as without the three."""
    n = np.array([27.0, 0, 0, 0, 12, 53, 72, 57])
    d, kept = n * [2.4, 0, 0, 0, 2.1, 2.5, 2.2, 2.6], n > 0
    found = paired(d, 0 * d, n, order=np.arange(8), folds=np.zeros(8), shortest=1)
    assert (found.pieces, found.smallest_p, found.p_value) == (5, 1 / 16, 1 / 16)
    assert found == paired(d[kept], 0 * d[kept], n[kept])
    in_pairs = np.array([0, 1, 1, 2, 2, 3, 3, 4])  # block 1 has no event
    assert paired(d, 0 * d, n, blocks=in_pairs).pieces == 4
    alone = Session(d, 0 * d, n)
    assert over_sessions([alone]).pieces == 5
    with pytest.raises(CortseqError, match="two trials"):
        paired([1.0, 0.0], [0.0, 0.0], [3, 0])


def test_a_trial_of_silence_is_a_block():
    """No spike, but a probability of it: evidence, unlike a trial without a scored bin."""
    a, b = np.array([-3.0, -0.5, -2.0]), np.array([-4.0, -0.9, -2.5])
    assert paired(a, b, np.array([4, 0, 2])).pieces == 3


def test_integrated_time_of_an_autoregressive_process():
    """(1 + rho) / (1 - rho): 1 for independent values, 4 for rho = .6."""
    rng = np.random.default_rng(10)
    for rho, expected in ((0.0, 1.0), (0.6, 4.0)):
        found = [blocks.integrated_time(autoregressive(rng, 2000, rho)) for _ in range(20)]
        assert np.median(found) == pytest.approx(expected, rel=0.12)


def test_what_blocks_miss_of_the_variance():
    """Blocks of L of an AR(1) process miss 2 rho / (1 - rho^2) / L, by the sum of its autocorrelations."""
    rho, n_blocks, length = 0.6, 40, 50
    lags = np.arange(1, 10**4)
    whole = 1 + 2 * (rho**lags).sum()
    near = lags[lags < length]
    within = 1 + 2 * ((1 - near / length) * rho**near).sum()
    labels, missing = blocks.cut(autoregressive(np.random.default_rng(11), n_blocks * length, rho), length)
    assert labels.tolist() == np.repeat(np.arange(n_blocks), length).tolist()
    assert missing == pytest.approx(1 - within / whole, rel=0.15)


def test_at_least_three_blocks_and_never_more_than_values():
    ramp = np.arange(30.0)
    assert len(np.unique(blocks.cut(ramp - ramp.mean())[0])) == 3
    assert [len(np.unique(blocks.cut(np.zeros(n), 4)[0])) for n in (2, 3, 8, 40)] == [2, 3, 3, 10]
    assert [blocks.most(n, True) for n in (1, 2, 7, 27, 216)] == [1, 2, 4, 9, 36]
    assert [blocks.most(n, False) for n in (1, 5, 216)] == [1, 5, 216]


# -- folds -------------------------------------------------------------------------------------------


def test_the_variance_between_training_sets_is_that_of_the_corrected_resampled_t():
    """By hand, with unequal events: what trials do not explain of the folds' variance, times 1/3 + 1/2."""
    rng = np.random.default_rng(12)
    fold, n = np.array([0, 1, 2, 1] * 6), rng.integers(1, 4, 24).astype(float)
    d = n * np.array([-2.0, 0.0, 1.5])[fold] + 0.3 * rng.normal(size=24)
    without, found = paired(d, 0 * d, n), paired(d, 0 * d, n, folds=fold)
    of_fold = [d[fold == f].sum() / n[fold == f].sum() for f in range(3)]
    share = [n[fold == f].sum() / n.sum() for f in range(3)]
    trials = without.standard_error**2
    split = (np.var(of_fold, ddof=1) - trials * np.mean(1 / np.array(share))) * (1 / 3 + 1 / 2)
    variance = trials + split
    assert split > trials and found.standard_error == pytest.approx(np.sqrt(variance))
    assert found.split_share == pytest.approx(split / variance)
    degrees = 1 / ((trials / variance) ** 2 / (found.pieces - 1) + split / variance / 2)
    assert found.degrees == pytest.approx(degrees) and found.estimate == without.estimate
    half = t.ppf(0.975, degrees) * np.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((found.estimate - half, found.estimate + half))
    of_t = 2 * t.sf(abs(found.estimate) / np.sqrt(variance), degrees)
    assert found.p_value == pytest.approx(max(of_t, without.p_value))


def test_folds_that_differ_no_more_than_their_trials_add_nothing():
    d = np.tile([1.0, -0.5, 0.3, 0.8], 6)
    fold = np.repeat([0, 1, 2], 8)  # equal means
    assert paired(d, 0 * d, np.ones(24), folds=fold) == paired(d, 0 * d, np.ones(24))
    assert paired(d, 0 * d, np.ones(24), folds=np.zeros(24)).split_share == 0


# -- sessions ----------------------------------------------------------------------------------------


def test_sessions_are_the_unit():
    """Student's t over the sessions' own differences, however long each is."""
    rng = np.random.default_rng(8)
    sizes = (20, 50, 30, 90)
    sessions = [Session(rng.normal(e, 2, (2, k)), np.zeros(k), np.ones(k)) for e, k in enumerate(sizes)]
    found = across_sessions(sessions)
    means = [s.log_prob_a.mean() for s in sessions]
    expected = ttest_1samp(means, 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    with pytest.raises(CortseqError, match="two sessions"):
        across_sessions(sessions[:1])


# -- families of tests -------------------------------------------------------------------------------


def test_holm_by_hand():
    assert np.allclose(holm(np.array([0.01, 0.04, 0.03, np.nan])), [0.03, 0.06, 0.06, np.nan], equal_nan=True)


def test_expected_best_by_enumeration():
    valid, test = np.array([0.3, 0.1, 0.5]), np.array([1.0, 7.0, 4.0])
    for n, found in enumerate(scoring.expected_best(valid, test), 1):
        draws = itertools.product(range(3), repeat=n)
        exact = np.mean([test[max(draw, key=lambda i: valid[i])] for draw in draws])
        assert found == pytest.approx(exact)


# -- promises, by simulation -------------------------------------------------------------------------


def test_equivalence_keeps_its_level_at_the_margin():
    rng = np.random.default_rng(7)
    shown = 0
    for _ in range(400):
        a = 0.01 + rng.normal(0, 0.05, (1, 80)) + rng.normal(0, 0.006, (4, 1))
        shown += paired(a, np.zeros(80), np.ones(80), 10).equivalence(0.01) < 0.05
    assert binomtest(shown, 400, 0.05, alternative="greater").pvalue > 0.001
