"""Hundreds of counts a bin: nothing is held below them, no unit saturates, no family loses to the null."""

import numpy as np
import pytest
import torch
from families import trained

from cortseq import dynamics, models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.models import regression
from cortseq.observations import emission_of

TRAIN, VALID, TEST = range(26), range(26, 33), range(33, 40)


@pytest.fixture(scope="module")
def bright():
    """40 trials of 40 bins; three units of 250 to 980 counts a bin share a slow latent."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 40))
    for t in range(1, 40):
        z[:, t] = 0.9 * z[:, t - 1] + np.sqrt(1 - 0.81) * z[:, t]
    rate = np.clip(550 * np.exp(0.3 * z[..., None] * np.array([1, -1, 0.7])), 300, 900)
    return rec.from_counts(rng.poisson(rate), bin_width=0.02)


def gain(fit, recording):
    """Nats per bin over the null on test trials."""
    null = models.Null().fit(recording, TRAIN, VALID)
    return float(
        (fit.log_prob(recording, TEST).values.mean(0) - null.log_prob(recording, TEST).values[0]).mean()
    )


def newton(x, y):
    """Loss of a Poisson regression of y (bin,) on x (bin, feature) at its minimum, by Newton's method."""
    w = np.zeros(x.shape[1])
    w[0] = np.log(y.mean())
    for _ in range(50):
        mean = np.exp(x @ w)
        w += np.linalg.solve(x.T * mean @ x, x.T @ (y - mean))
    return float(np.exp(x @ w).sum() - y @ (x @ w))


@pytest.mark.parametrize("family", [*trained(), "esn", "glm", "hmm", "markov", "persistence"])
def test_no_family_loses_to_the_null(family, bright):
    """The true rates are worth 53 nats a bin, the last bin's counts in a regression 41."""
    spec = models.registry()[family]
    settings = {"hidden": 12, "epochs": 80, "batch": 8, "iterations": 30, "states": 8, "restarts": 1}
    own = {key: value for key, value in settings.items() if key in spec.model_fields}
    assert gain(spec(**own).fit(bright, TRAIN, VALID), bright) > 35


def test_a_regression_reaches_newtons_minimum(bright):
    """To .1 nats of a sum over 1014 bins, whose loss is six orders of magnitude larger."""
    data = Data.of(bright, TRAIN)
    x = np.sqrt(data.y[:, :-1].reshape(-1, 3).astype(float))
    y = data.y[:, 1:].reshape(-1, 3).T.astype(float)
    loss = emission_of(data).loss
    *_, (weight, bias) = regression.path(loss, x, y, [1.0, 1e-3, 1e-12])
    eta = weight @ x.T + bias[:, None]
    for unit in range(3):
        best = newton(np.c_[np.ones(len(x)), x], y[unit])
        assert loss.value(eta, np.exp(eta), y)[unit] - best < 0.1


def test_low_units_are_seen_as_they_are(bright):
    """Only where some unit is high are there a centre and a scale, and of low units they are 0 and 1."""
    rng = np.random.default_rng(1)
    low = rec.from_counts(rng.poisson(2.0, (40, 10, 3)), bin_width=0.02)
    model = models.Rate(hidden=4)
    assert not {"count_centre", "count_scale"} & set(model.initial(Data.of(low), 1, 0))
    mixed = bright["counts"].values.copy()
    mixed[..., 1] = rng.poisson(2.0, mixed.shape[:2])
    p = model.initial(Data.of(rec.from_counts(mixed, bin_width=0.02)), 1, 0)
    assert p["count_centre"][0, 1] == 0 and p["count_scale"][0, 1] == 1
    assert p["count_centre"][0, 0].item() == pytest.approx(mixed[..., 0].mean(), rel=1e-6)


@pytest.mark.parametrize("mixture", [1, 2])
def test_tangents_of_the_closed_loop_know_the_scale(mixture, bright):
    """Against finite differences of the step."""
    fit = models.Rate(hidden=5, epochs=2, mixture=mixture).fit(bright, TRAIN, VALID)
    flow = fit.flow(map="closed")
    state = torch.from_numpy(fit.states(bright, [33]).values[0, 0, 5])
    assert np.allclose(dynamics.jacobian(flow, state[None])[0], _differences(flow, state), atol=1e-6)
    pushed = flow.push(state, torch.eye(len(state), dtype=torch.float64))[1]
    assert np.allclose(pushed, _differences(flow, state), atol=1e-6)


def _differences(flow, state):
    step = 1e-6 * torch.eye(len(state), dtype=torch.float64)
    return np.stack([((flow(state + d) - flow(state - d)) / 2e-6).numpy() for d in step], -1)
