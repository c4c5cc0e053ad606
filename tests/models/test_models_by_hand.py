"""Null, floors, chains and regressions against sums written out: missing bins, free runs, forecasts."""

import numpy as np
import pytest
from families import predictors, small
from scipy import stats

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models.chains import chain, encoder


def counts(y, valid=None):
    return rec.from_counts(np.asarray(y), bin_width=0.02, valid=valid)


@pytest.fixture(scope="module")
def lively():
    rng = np.random.default_rng(0)
    return counts(rng.poisson(np.where(np.arange(30)[:, None, None] < 20, 1.0, 4.0), (30, 12, 2)))


def test_the_null_knows_training_trials_only(lively):
    fit = models.Null().fit(lively, range(20), range(20, 30))
    assert np.allclose(fit.params["rate"][0], lively["counts"].values[:20].mean((0, 1)))


def test_what_missing_bins_hold_reaches_no_floor():
    """Missing bins hold 50 spikes, which no estimate may see."""
    rng = np.random.default_rng(1)
    y, valid = rng.poisson(1.0, (30, 12, 2)), rng.random((30, 12)) > 0.3
    clean, dirty = (counts(np.where(valid[..., None], y, hidden), valid) for hidden in (0, 50))
    for name in predictors():
        model = small(name)
        a, b = (model.fit(r, range(20), range(20, 30)) for r in (clean, dirty))
        assert a.params.keys() == b.params.keys()
        assert all(np.allclose(a.params[k], b.params[k]) for k in a.params), name
        assert np.allclose(a.log_prob(clean).values, b.log_prob(dirty).values, equal_nan=True), name


def test_smoothed_counts_carry_on_over_missing_bins():
    y = np.array([[[4.0], [9.0], [2.0], [6.0]]])
    data = Data("counts", y, np.array([[True, False, True, True]]), None, 0.02, 1)
    found = encoder.smoothed(data, 0.75)[0, :, 0] ** 2
    second = 0.75 * 4 + 0.25 * 2
    assert np.allclose(found, [4, 4, second, 0.75 * second + 0.25 * 6])


def test_after_a_missing_bin_a_chain_begins_anew():
    """Labels 0 ? 1 0: bins 0 and 2 follow the start symbol, bin 3 follows label 1."""
    symbols, valid = np.array([[0, 1, 1, 0]]), np.array([[True, False, True, True]])
    table = chain.count(symbols, valid, 2, 1)
    assert table["keys1"].tolist() == [1, 2]  # label 1, the start symbol
    assert table["cells1"].tolist() == [0, 2, 3] and table["counts1"].tolist() == [1, 1, 1]
    assert chain.paths(table, symbols, valid, 2)[1, 0, 2:].tolist() == [1, 0]


def test_after_the_longest_training_trial_the_psth_holds_its_last_bin():
    rng = np.random.default_rng(2)
    rates = np.linspace(0.2, 6.0, 10)[None, :, None]
    fit = models.Psth().fit(counts(rng.poisson(rates, (40, 10, 1))), range(30), range(30, 40))
    longer = counts(rng.poisson(1.0, (2, 13, 1)))
    found = fit.predict(longer).values[0, 0, :, 0]
    assert np.allclose(found[10:], found[9]) and found[9] > 4 > 2 > found[0]


def test_a_random_walk_spreads_with_the_root_of_its_steps(signal):
    fit = models.registry()["persistence"]().fit(signal, range(20), range(20, 26))
    found = fit.model.forecast(fit.params, Data.of(signal, [27]), [1, 4])[0, 0]
    y, sd = signal["signal"].values[27], fit.params["step_sd"][0]
    for i, h in enumerate((1, 4)):
        expected = stats.norm(y[:-h], sd * np.sqrt(h)).logpdf(y[h:]).sum(1)
        assert np.allclose(found[h:, i], expected)


def test_a_chain_of_order_2_runs_freely_with_two_labels_of_past():
    """x_t = x_{t-1} xor x_{t-2}: after three labels nothing is left to chance."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, (400, 12))
    for t in range(2, 12):
        x[:, t] = x[:, t - 1] ^ x[:, t - 2]
    symbols = rec.from_symbols(list(x), n_symbols=2)
    fit = models.Markov(order=2).fit(symbols, range(300), range(300, 400))
    drawn = fit.simulate(200, 12)["symbols"].values
    right = drawn[:, 2:] == drawn[:, 1:-1] ^ drawn[:, :-2]
    assert right.mean() > 0.97


def test_a_chain_of_states_counts_its_rates_as_parameters(lively):
    fit = models.Markov(states=4, order=0).fit(lively, range(20), range(20, 30))
    assert fit.card["parameters"] == 3 + 4 * 2


def test_a_hidden_chain_runs_forwards():
    """Three states in a circle: a spike of unit 0, then of 1, then of 2."""
    params = {
        "initial": np.array([[1.0, 0, 0]]),
        "transition": np.array([[[0.02, 0.96, 0.02], [0.02, 0.02, 0.96], [0.96, 0.02, 0.02]]]),
        "rate": 6 * np.eye(3)[None] + 1e-6,
    }
    model = models.Hmm(states=3)
    one = {k: v[0] for k, v in params.items()}
    shape = {"track": "counts", "observation": "poisson", "support": 0, "n_features": 3}
    drawn = model.simulate(one, shape, 300, 8, np.random.default_rng(0)).argmax(2)
    assert (drawn[:, 0] == 0).mean() > 0.9 and ((drawn[:, 1:] - drawn[:, :-1]) % 3 == 1).mean() > 0.8


def test_members_simulate_with_random_numbers_of_their_own(lively):
    fit = models.Hmm(states=1).fit(lively, range(20), range(20, 30), members=2)
    a, b = (fit.simulate(5, 10, member=m)["counts"].values for m in range(2))
    assert np.array_equal(fit.params["rate"][0], fit.params["rate"][1]) and not np.array_equal(a, b)


@pytest.fixture(scope="module")
def coupled():
    """Channel 0 drives channel 1, not the other way round; noises are independent."""
    rng = np.random.default_rng(4)
    matrix = np.array([[0.5, 0.0], [0.8, 0.3]])  # to, from
    z = np.zeros((60, 60, 2))
    for t in range(1, 60):
        z[:, t] = z[:, t - 1] @ matrix.T + rng.normal(0, [1.0, 0.5], (60, 2))
    return rec.from_signal(z, bin_width=0.1), matrix


def test_couplings_go_from_column_to_row(coupled):
    recording, matrix = coupled
    fit = models.Glm(history=1).fit(recording, range(40), range(40, 50))
    p = {k: v[0] for k, v in fit.params.items()}
    scale = p["signal_scale"]
    found = fit.model.couplings(p)[0]  # (from, to) of standardised channels
    assert np.allclose(found.T * scale[:, None] / scale, matrix, atol=0.05)


def test_forecasts_of_coupled_channels_are_correlated(coupled):
    """Two bins ahead: mean A^2 y, covariance S + A S A'."""
    recording, _ = coupled
    fit = models.Glm(history=1).fit(recording, range(40), range(40, 50))
    p = {k: v[0] for k, v in fit.params.items()}
    scale = p["signal_scale"]
    a = fit.model.couplings(p)[0].T * scale[:, None] / scale
    noise = np.diag((p["sd"] * scale) ** 2)
    covariance = noise + a @ noise @ a.T
    assert abs(covariance[0, 1]) > 0.3 * np.sqrt(covariance[0, 0] * covariance[1, 1])
    y = recording["signal"].values[55]
    found = fit.model.forecast(fit.params, Data.of(recording, [55]), [2])[0, 0, :, 0]
    one = fit.predict(recording, [55]).values[0, 0]  # E[y_t | y_{t-1}]
    for t in (5, 20):
        ahead = one[t] - a @ (y[t - 1] - one[t - 1])  # with the expectation of bin t - 1 in its place
        assert found[t] == pytest.approx(stats.multivariate_normal(ahead, covariance).logpdf(y[t]), abs=1e-6)


def test_the_residual_sd_of_a_regression_counts_its_parameters():
    """Noise on 20 channels and few bins: residuals of the training bins are too small by n - df over n."""
    from cortseq.models.regressors import residual_sd

    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(80, 40)), rng.normal(size=(3, 80))
    design = np.column_stack([np.ones(80), x])
    beta = np.linalg.lstsq(design, y.T, rcond=None)[0]
    p = {"weight": beta[1:].T, "bias": beta[0]}
    residual = y.T - design @ beta
    expected = np.sqrt((residual**2).sum(0) / (80 - 41))
    assert np.allclose(residual_sd(p, x, y, 0.0), expected)
    assert expected.mean() == pytest.approx(1, abs=0.2) and residual.std() < 0.8


def test_spikes_of_missing_bins_are_no_events(lively):
    masked = lively.copy(deep=True)
    masked["valid"].values[:, 5:] = False
    assert Data.of(masked).n_events().sum() == lively["counts"].values[:, :5].sum()


def test_a_state_without_a_spike_of_a_unit_still_expects_some():
    """Unit 1 is silent in one of two states: its rate there is shrunk towards the mean, and never 0."""
    state = np.tile([0, 0, 1, 1], (30, 3))[..., None]
    y = np.where(state == 0, [6, 0], [0, 5]) + np.zeros((30, 12, 2), int)
    fit = models.Markov(states=2).fit(counts(y), range(20), range(20, 30))
    assert fit.params["rate"].min() > 1e-5 and fit.params["rate"].max() == pytest.approx(6, abs=0.3)


def test_the_prior_of_a_hidden_state_is_worth_so_many_bins_of_all():
    """(spikes + 10 m) / (bins + 10), m the rate of all bins."""
    from cortseq.observations.poisson import Poisson
    from cortseq.observations.states import CountStates

    emission = CountStates(Poisson(2), prior=10.0)
    emission.pool({"sums": np.array([[30.0, 10.0, 20.0]])})  # spikes of two units, bins
    found = emission.maximise({"sums": np.array([[30.0, 0.0, 5.0], [0.0, 10.0, 15.0]])})["rate"]
    assert np.allclose(found, [[(30 + 15) / 15, 5 / 15], [15 / 25, (10 + 5) / 25]])
