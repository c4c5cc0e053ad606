"""The direct path from the bin before to the read-out of signals: known answers, gaps, flows, forecasts."""

import numpy as np
import pytest
import torch
from families import compiled, emission, flowing, readout, recurrent, restarting, small, trained

from cortseq import dynamics, models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.networks.training import bptt, engines, noise
from cortseq.observations.gaussian import GaussianReadout
from cortseq.scoring import audits

D, SHIFT, SD = np.array([0.9, 0.5, -0.3]), np.array([1.0, -2.0, 30.0]), np.array([0.4, 2.0, 0.1])


def build(family, **more):
    return small(family, **{"hidden": 6, **more})


@pytest.fixture(scope="module")
def walks():
    """80 stretches of 25 bins of y_t - m = D (y_{t-1} - m) + sd e_t, from its stationary distribution."""
    rng = np.random.default_rng(0)
    y = [rng.normal(size=(80, 3)) * SD / np.sqrt(1 - D**2)]
    for _ in range(24):
        y.append(D * y[-1] + SD * rng.normal(size=(80, 3)))
    return rec.from_signal(SHIFT + np.stack(y, 1), bin_width=0.5)


@pytest.fixture(scope="module")
def gaps(walks):
    """The same with a fifth of the bins missing."""
    y = walks["signal"].values.copy()
    y[np.random.default_rng(1).random((80, 25)) < 0.2] = np.nan
    return rec.from_signal(y, bin_width=0.5)


def untrained(recording, family="rate", **more):
    data = Data.of(recording)
    model = build(family, **more)
    return model, model.initial(data, 2, 0, np.float64), data


@pytest.mark.parametrize("family", trained())
def test_an_untrained_network_is_the_autoregression(family, walks):
    """Its score is that of the true process but for what estimating 9 numbers from 1920 bins costs."""
    model, params, data = untrained(walks, family)
    found = model.log_prob(params, data)[0, :, 1:]
    before, y = data.y[:, :-1] - SHIFT, data.y[:, 1:] - SHIFT
    truth = (-0.5 * ((y - D * before) / SD) ** 2 - np.log(SD) - 0.5 * np.log(2 * np.pi)).sum(-1)
    assert np.allclose(params["skip"][0], D, atol=0.03)
    assert abs(found.mean() - truth.mean()) < 0.01
    null = emission("gaussian", 3).log_prob({"mean": data.y.mean((0, 1)), "sd": data.y.std((0, 1))}, data.y)
    assert found.mean() - null.mean() == pytest.approx(-0.5 * np.log(1 - D**2).sum(), abs=0.05)


def test_least_squares_are_numpys(gaps):
    _, params, data = untrained(gaps)
    mean, scale = (params[k][0].numpy() for k in ("signal_mean", "signal_scale"))
    pairs = data.valid[:, 1:] & data.valid[:, :-1]
    z = (data.y - mean) / scale
    for n in range(3):
        before, now = z[:, :-1, n][pairs], z[:, 1:, n][pairs]
        (slope, intercept), (square,), *_ = np.polyfit(before, now, 1, full=True)
        assert params["skip"][0, n].item() == pytest.approx(slope, abs=1e-10)
        assert params["readout_bias"][0, n].item() == pytest.approx(intercept, abs=1e-10)
        sd = np.sqrt(square / (len(now) - 2))
        assert params["log_sd"][0, n].exp().item() == pytest.approx(sd, rel=1e-10)


def test_where_the_bin_before_is_missing(gaps):
    """D z_{t-1} is 0 there, and the sd that of the training bins; so at bin 0."""
    model, params, data = untrained(gaps)
    p = {k: v[0].numpy() for k, v in params.items()}
    z = np.where(data.valid[..., None], (data.y - p["signal_mean"]) / p["signal_scale"], 0)
    known = np.zeros((*data.valid.shape, 1), bool)
    known[:, 1:, 0] = data.valid[:, :-1]
    last = np.concatenate([np.zeros((80, 1, 3)), z[:, :-1]], 1)
    eta, sd = p["readout_bias"] + p["skip"] * last, np.where(known, np.exp(p["log_sd"]), 1.0)
    expected = (-0.5 * ((z - eta) / sd) ** 2 - np.log(sd * p["signal_scale"]) - 0.5 * np.log(2 * np.pi)).sum(
        -1
    )
    assert np.allclose(model.log_prob(params, data)[0][data.valid], expected[data.valid], atol=1e-10)
    mean = model.predict(params, data)[0]
    assert np.allclose(mean, p["signal_mean"] + p["signal_scale"] * eta, atol=1e-10)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-4)])
@pytest.mark.parametrize(
    "more",
    [{}, {"skip": False}, {"hidden_dropout": 0.2, "input_noise": 0.1}, {"truncate": 8}, {"memory": 3}],
)
@pytest.mark.parametrize("family", compiled())
def test_engines_agree_on_gaps(family, more, dtype, tolerance, gaps):
    from cortseq.networks.training import windows
    from cortseq.networks.training.engines.generic import Generic
    from cortseq.networks.training.engines.graphed import Graphed

    model, data = (
        build(family, **{"input_dropout": 0.0, "hidden_dropout": 0.0, **more}),
        Data.of(gaps, range(20)),
    )
    stacked = model.initial(data, 1, 0, dtype)
    data = model.network(data).given(stacked, data)
    stacked["readout_weight"] += 0.1  # away from the start, where no gradient reaches the cell
    if model.memory:
        data = windows.draw(data, 3, 0, 1)
    found: list = []
    kinds = [
        engines.choose(model.network(data), data, stacked, model.training),
        Generic(model.network(data), data, stacked, model.training),
    ]
    quiet = not more.get("hidden_dropout") and not model.truncate
    for engine in [
        *kinds,
        *([Graphed(model.network(data), data, stacked, model.training, "cpu")] if quiet else []),
    ]:
        p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
        batch = engine.batch(np.arange(9)[None], [noise.Draws(0, 0, 1, 0)])
        loss = bptt.gradient(engine, p, batch)[0]
        found.append((loss, {k: v.grad.numpy() for k, v in p.items() if v.grad is not None}))
    assert kinds[0].name == "compiled" and "skip" not in found[0][1]
    for loss, grads in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=tolerance)
        for name, value in grads.items():
            most = max(np.abs(value).max(), 1e-2)
            assert np.abs(found[0][1][name] - value).max() <= tolerance * most, name


def test_loss_of_an_engine_is_the_score(gaps):
    model, params, data = untrained(gaps)
    data = model.network(data).given(params, data)
    engine = engines.choose(model.network(data), data, params, model.training)
    engine.prepare({k: v[0] for k, v in params.items()})
    loss = engine.loss(engine.batch(np.arange(80)[None]))[0]
    assert loss == pytest.approx(-model.log_prob(params, data)[0][data.valid].sum(), rel=1e-10)


@pytest.mark.parametrize("kind", ["counts", "symbols"])
def test_it_is_idle_where_there_are_no_signals(kind, request):
    recording = request.getfixturevalue(kind)
    with_it, without = (build("rate", skip=s).fit(recording, range(20), range(20, 26)) for s in (True, False))
    assert "skip" not in with_it.params
    assert all(torch.equal(with_it.params[k], without.params[k]) for k in without.params)


def test_a_network_without_it_reads_out_its_state_alone(signal):
    fit = build("rate", skip=False).fit(signal, range(20), range(20, 26))
    data, p = Data.of(signal, [0]), {k: v[0].double() for k, v in fit.params.items()}
    assert "skip" not in fit.params and fit.flow().dim == 6
    eta = torch.from_numpy(fit.states(signal, [0]).values[0]) @ p["readout_weight"].mT + p["readout_bias"]
    expected = p["signal_mean"] + p["signal_scale"] * eta
    assert np.allclose(fit.predict(signal, [0]).values[0], expected, atol=1e-12)
    log_prob = readout("gaussian", 2).log_prob(p, eta, torch.from_numpy(data.y))
    assert np.allclose(fit.log_prob(signal, [0]).values[0], log_prob, atol=1e-12)


def test_a_network_that_sees_states_only_has_none(signal):
    assert "skip" not in build("rate", discretise=3).fit(signal, range(20), range(20, 26)).params


@pytest.mark.parametrize("family", flowing())
def test_the_closed_flow_is_the_mean_recursion_of_generation(family, signal, monkeypatch):
    """Draws replaced by means: what is generated is what the flow says from the start, and `states` are its states."""
    fit = build(family).fit(signal, range(20), range(20, 26), members=2)
    monkeypatch.setattr(GaussianReadout, "draw", lambda self, p, eta, generator: self.mean(p, eta))
    drawn = fit.simulate(1, 8, member=1)
    flow, state = fit.flow(member=1, map="closed"), torch.from_numpy(fit.states(drawn).values[1, 0, 0])
    mean, scale = (fit.params[k][1].double() for k in ("signal_mean", "signal_scale"))
    for t in range(8):
        assert np.allclose(fit.states(drawn).values[1, 0, t], state, atol=1e-9)
        state = flow(state)
        assert np.allclose(drawn["signal"].values[0, t], mean + scale * state[-2:], atol=1e-9)


def test_fixed_point_and_jacobian_of_the_autoregression(walks):
    """z* = d / (1 - D), and D are eigenvalues beside those of the cell."""
    model, params, data = untrained(walks)
    fit = models.base.Fit(
        model, params, {"track": "signal", "observation": "gaussian", "n_features": 3, "support": 0, "n_inputs": 0},
        None,
    )  # fmt: skip
    flow = fit.flow()
    found = dynamics.fixed_points(flow, model.states(params, data)[0].reshape(-1, flow.dim)[:32])
    assert len(found.states) == 1 and flow.dim == 9
    expected = params["readout_bias"][0] / (1 - params["skip"][0])
    assert np.allclose(found.states[0, 6:], expected, atol=1e-6)
    values = torch.linalg.eigvals(torch.func.jacrev(flow.function)(torch.from_numpy(found.states[0])))
    for d in params["skip"][0]:
        assert (values - d).abs().min() < 1e-9


def test_forecast_of_the_autoregression_is_its_own(walks):
    """h bins ahead: mean m + D^h (y - m), variance sd^2 (1 - D^2h) / (1 - D^2); Monte Carlo."""
    model, params, _ = untrained(walks)
    data = Data.of(walks, range(6))
    p = {k: v[0].numpy() for k, v in params.items()}
    d, sd = p["skip"], np.exp(p["log_sd"])
    z, centre = (data.y - p["signal_mean"]) / p["signal_scale"], p["readout_bias"] / (1 - p["skip"])
    found = model.forecast(params, data, [1, 3], 2000, 0)[0]
    plug = model.plug_in(params, data, [3])[0, :, 3:, 0]
    for i, h in enumerate((1, 3)):
        mean = centre + d**h * (z[:, :-h] - centre)
        for spread, value in ((sd * np.sqrt((1 - d ** (2 * h)) / (1 - d**2)), found[:, h:, i]), (sd, plug)):
            if h == 1 and value is plug:
                continue
            expected = -0.5 * ((z[:, h:] - mean) / spread) ** 2 - np.log(spread * p["signal_scale"])
            expected = (expected - 0.5 * np.log(2 * np.pi)).sum(-1)
            assert np.abs(value - expected).mean() < (1e-4 if h == 1 or value is plug else 0.06)
        error = model.squared_error(params, data, [h])[0, :, h:, 0]
        assert error == pytest.approx(((z[:, h:] - mean) ** 2).mean(-1), rel=1e-3, abs=1e-4)


def test_errors_ahead_are_of_signals_alone(signal, counts):
    fit = build("rate").fit(signal, range(20), range(20, 26), members=2)
    error = fit.squared_error(signal, [1, 5], [26, 27])
    y, valid = signal["signal"].values[[26, 27]], signal["valid"].values[[26, 27]]
    scale = fit.params["signal_scale"][0].numpy()
    expected = (((fit.predict(signal, [26, 27]).values - y) / scale) ** 2).mean(-1)
    assert error[..., 0][:, valid] == pytest.approx(expected[:, valid], rel=1e-3, abs=1e-4)
    assert np.isnan(error[:, :, :4, 1]).all() and np.isfinite(error[:, :, 4:, 1][:, valid[:, 4:]]).all()
    on_counts = build("rate").fit(counts, range(20), range(20, 26))
    with pytest.raises(CortseqError, match="squared errors are of signals"):
        on_counts.squared_error(counts, [1])


@pytest.mark.parametrize("family", recurrent())
def test_neither_origin_nor_unit_changes_a_gain(family, signal):
    moved = rec.from_signal(signal["signal"].values * [3.0, 1e-3] + [-40.0, 7.0], bin_width=0.6)
    a, b = (
        build(family).fit(r, range(20), range(20, 26)).log_prob(r, range(26, 30)).values
        for r in (signal, moved)
    )
    assert np.allclose(a - b, np.log(3e-3), atol=2e-3)


@pytest.mark.parametrize(
    ("family", "more"),
    [(family, {}) for family in recurrent()] + [(family, {"memory": 2}) for family in restarting()],
)
def test_causality(family, more, signal):
    fit = build(family, **more).fit(signal, range(20), range(20, 26))
    assert audits.causality(family, fit, signal, range(26, 30)).passed


def test_under_scheduled_sampling_it_sees_what_was_fed(gaps):
    """Never the teacher: the loss is that of a free run, whose every bin follows from the draw before."""
    from cortseq.networks.training.engines.generic import Generic
    from cortseq.networks.training.strategies import Rollout, Scheduled

    model, data = build("rate", input_dropout=0.0), Data.of(gaps, range(5))
    stacked = model.initial(data, 1, 0, np.float64)
    data = model.network(data).given(stacked, data)
    engine = Generic(
        model.network(data), data, stacked, model.training, strategy=Scheduled(decay="constant", final=0.0)
    )
    engine.prepare({k: v[0] for k, v in stacked.items()})
    batch = engine.batch(np.arange(5)[None], [noise.Draws(0, 0, 1, 0)], progress=0.5)
    *state, first = engine.start(batch)
    rollout = Rollout(engine, batch, 0, 6, *engine._window(batch, 0, 6), first)
    fed, draw = [], rollout._draw
    rollout._draw = lambda t, eta: fed.append(draw(t, eta)) or fed[-1]
    for t in range(5):
        rollout.step(t, state, state[0])
    lasts, valid = rollout.lasts(6), torch.from_numpy(data.valid)
    assert lasts.shape == (5, 6, 3) and lasts[:, 0].isnan().all()
    for t in range(5):
        seen = engine.observation.encode(engine.q, fed[t])
        assert torch.equal(lasts[:, t + 1].isnan().any(-1), ~valid[:, t])
        assert torch.equal(lasts[:, t + 1][valid[:, t]], seen[valid[:, t]])
