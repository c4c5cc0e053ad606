"""Distributions against scipy, starts against the null, and draws against their mean and spread."""

import numpy as np
import pytest
import torch
from families import readout
from scipy import stats

from cortseq.observations import autoregression, skipped

RNG = np.random.default_rng(0)


def tensor(values):
    return torch.as_tensor(np.asarray(values, float))


def test_poisson_of_small_and_large_counts():
    eta, y = np.array([-1.0, 0.5, 3.0]), np.array([[0, 0, 0], [1, 2, 3], [9, 7, 30]])
    found = readout("poisson", 3).log_prob({}, tensor(eta), tensor(y))
    assert np.allclose(found, stats.poisson.logpmf(y, np.exp(eta)).sum(1))


def test_the_start_is_the_rate_of_valid_bins():
    y, valid = np.ones((4, 10, 2)), np.arange(10) < 5
    start = readout("poisson", 2).start_parameters(y, np.tile(valid, (4, 1)), RNG)
    assert np.allclose(np.exp(start["readout_bias"]), 20.5 / 21)


def test_the_categorical_start_predicts_the_frequencies():
    y = np.array([[0, 0, 0, 1, 2, 2]] * 50)
    start = readout("categorical", 3).start_parameters(y, np.ones(y.shape, bool), RNG)
    mean = readout("categorical", 3).mean({}, tensor(start["readout_bias"]))
    assert np.allclose(mean, [3 / 6, 1 / 6, 2 / 6], atol=0.01)


@pytest.fixture
def gaussian():
    p = {
        "log_sd": [-0.7, 0.4],
        "signal_mean": [5.0, -1.0],
        "signal_scale": [3.0, 0.1],
        "readout_bias": [0.0, 0.0],
    }
    return readout("gaussian", 2), {k: tensor(v) for k, v in p.items()}


def test_gaussian_density_in_the_units_of_the_signal(gaussian):
    observation, p = gaussian
    eta, y = np.array([0.3, -0.5]), RNG.normal([5, -1], [3, 0.1], (6, 2))
    mean, sd = [5 + 3 * 0.3, -1 - 0.1 * 0.5], [3 * np.exp(-0.7), 0.1 * np.exp(0.4)]
    found = observation.log_prob(p, tensor(np.tile(eta, (6, 1))), tensor(y))
    assert np.allclose(found, stats.norm(mean, sd).logpdf(y).sum(1))
    drawn = observation.draw(p, tensor(np.tile(eta, (20_000, 1))), torch.Generator().manual_seed(0)).numpy()
    assert np.allclose(drawn.mean(0), mean, atol=0.03) and np.allclose(drawn.std(0), sd, rtol=0.03)


def test_the_autoregression_predicts_forwards():
    """z_t = 0.9 z_{t-1} + e with steps that are not symmetric in time: exponential e."""
    z = np.zeros((40, 200, 1))
    for t in range(1, 200):
        z[:, t, 0] = 0.8 * z[:, t - 1, 0] + RNG.exponential(1.0, 40) * (RNG.random(40) < 0.2)
    z[:, :3] = 0  # a start far from the stationary law: forwards and backwards differ
    start = {"signal_mean": z.mean((0, 1)), "signal_scale": z.std((0, 1))}
    found = autoregression(z, np.ones(z.shape[:2], bool), start)
    x, y = ((part - start["signal_mean"]) / start["signal_scale"] for part in (z[:, :-1], z[:, 1:]))
    slope, intercept = np.polyfit(x.ravel(), y.ravel(), 1)
    assert found["skip"] == pytest.approx([slope]) and found["readout_bias"] == pytest.approx([intercept])


def test_a_bin_without_a_bin_before_has_the_spread_of_the_signal():
    p = {"skip": tensor([0.9, 0.5]), "log_sd": tensor([-1.0, -0.5])}
    last = tensor([[np.nan, np.nan], [2.0, -1.0]])
    found = skipped(p, tensor([[0.1, 0.2], [0.1, 0.2]]), last)
    assert np.allclose(found, [[0.1, 0.2, 0, 0], [1.9, -0.3, -1.0, -0.5]])


def test_the_components_of_a_mixture_start_apart_about_the_null():
    """Components that were equal would have equal gradients, and stay so."""
    from cortseq.observations import Mixture

    y, valid = RNG.poisson([2.0, 0.5], (20, 10, 2)), np.ones((20, 10), bool)
    start = Mixture(readout("poisson", 2), 3).start_parameters(y, valid, np.random.default_rng(0))
    weights, rates = start["readout_bias"][:3], np.exp(start["readout_bias"][3:].reshape(3, 2))
    assert np.allclose(weights, weights[0]) and np.allclose(rates.mean(0), y.mean((0, 1)), rtol=0.02)
    assert (np.ptp(rates, axis=0) > 0.05 * rates.mean(0)).all()


def test_a_draw_of_a_mixture_is_of_one_of_its_components():
    """Two components of weights 1/4 and 3/4, whose units are high together or low together."""
    from cortseq.observations import Mixture

    mixture = Mixture(readout("poisson", 2), 2)
    eta = np.log([1, 3, 10.0, 12.0, 0.5, 0.2])
    drawn = mixture.draw({}, tensor(np.tile(eta, (8000, 1))), torch.Generator().manual_seed(0)).numpy()
    expected = np.array([10, 12]) / 4 + np.array([0.5, 0.2]) * 3 / 4
    assert np.allclose(drawn.mean(0), expected, rtol=0.06)
    assert np.allclose(mixture.mean({}, tensor(eta)), expected)
    assert np.corrcoef(drawn.T)[0, 1] > 0.7
