"""What is taken from a network (its eyes, its memory), and what it says further ahead."""

import numpy as np
import pytest
import torch
from families import recurrent, restarting, small, trained

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.networks.training import bptt, engines, noise, windows

GRADIENT, ALL = trained(), recurrent()


def build(family, **more):
    return small(family, **more)


def fitted(family, recording, **more):
    return build(family, **more).fit(recording, range(20), range(20, 26), members=2, seed=0)


# -- the network that sees population states only ---------------------------------------------------


@pytest.mark.parametrize("family", ALL)
def test_a_discretised_network_sees_its_states_only(family, counts):
    """Counts that leave every state as it was change nothing but the score of their own bin."""
    fit = fitted(family, counts, discretise=4)
    data = Data.of(counts, range(26, 30))
    p = {name: value[0] for name, value in fit.params.items()}
    network = fit.model.network(data)
    labels = network.seen(p, data).y
    assert fit.params["input_weight"].shape[-1] == 4 and labels.max() <= 3
    rng, changed = np.random.default_rng(0), 0
    for _ in range(100):
        other = data.y.copy()
        other[tuple(rng.integers(other.shape))] += 1
        moved = Data(data.track, other, data.valid, None, data.bin_width, data.n_features)
        if np.array_equal(network.seen(p, moved).y, labels):
            changed += 1
            assert np.array_equal(fit.model.predict(fit.params, moved), fit.model.predict(fit.params, data))
    assert changed > 10


def test_the_encoder_is_the_chains_and_knows_training_trials_only(counts):
    fit = fitted("rate", counts, discretise=4)
    chain = models.Markov(states=4, order=1).fit(counts, range(20), range(20, 26), seed=0)
    for name in ("decay", "centroids"):
        assert torch.equal(fit.params[name][1], torch.from_numpy(chain.params[name][0]).float())
    other = counts.copy(deep=True)
    other["counts"][26:] = 9
    again = build("rate", discretise=4).fit(other, range(20), range(20, 26), members=2, seed=0)
    assert all(torch.equal(fit.params[k], again.params[k]) for k in fit.params)


@pytest.mark.parametrize("track", ["counts", "signal"])
def test_discretised_in_every_engine(track, request):
    """Compiled, generic and batched with fixed shapes: one loss, one gradient."""
    from cortseq.networks.training.engines.generic import Generic
    from cortseq.networks.training.engines.graphed import Graphed

    data, found = Data.of(request.getfixturevalue(track)), []
    model = build("rate", discretise=5, input_dropout=0.0)
    stacked = model.initial(data, 1, 0, np.float64)
    for engine in (
        engines.choose(model.network(data), data, stacked, model.training),
        Generic(model.network(data), data, stacked, model.training),
        Graphed(model.network(data), data, stacked, model.training, "cpu"),
    ):
        p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
        loss = bptt.gradient(engine, p, engine.batch(np.arange(9)[None]))[0]
        found.append((engine.name, loss, p["input_weight"].grad.numpy()))
    assert [name for name, _, _ in found] == ["compiled", "generic", "graphed"]
    for _, loss, gradient in found[1:]:
        assert loss == pytest.approx(found[0][1], rel=1e-10)
        assert np.allclose(gradient, found[0][2], rtol=1e-9, atol=1e-12)


def test_a_discretised_network_has_an_open_flow_only(counts):
    fit = fitted("rate", counts, discretise=4)
    data = Data.of(counts, [0])
    states, y = fit.states(counts, [0]).values[1, 0], data.y[0, 0]
    after = fit.flow(member=1, map="open", input=y)(torch.tensor(states[0])).numpy()
    assert np.allclose(after, states[1], atol=1e-12)
    for name in ("closed", "sampled"):
        with pytest.raises(CortseqError, match="no derivative"):
            fit.flow(map=name)


def test_on_symbols_discretise_does_nothing(symbols):
    assert np.array_equal(
        fitted("rate", symbols, discretise=4).log_prob(symbols).values, fitted("rate", symbols).log_prob(symbols).values,
        equal_nan=True,
    )  # fmt: skip


@pytest.mark.parametrize("more", [{"memory": 2}, {"strategy": {"kind": "scheduled"}}])
def test_settings_that_discretise_excludes(more):
    with pytest.raises(CortseqError, match="discretise"):
        build("rate", discretise=4, **more)


# -- the network of limited memory ------------------------------------------------------------------


def restarted(fit, data, k, member=0):
    """Brute force: every prediction from a recording that holds its last k bins only."""
    out = np.empty(data.y.shape[:2])
    model = fit.model.model_copy(update={"memory": None, "execution": "generic"})
    for t in range(out.shape[1]):
        cut = data.at((slice(None), slice(max(0, t - k), t + 1)))
        out[:, t] = model.log_prob(fit.params, cut)[member][:, -1]
    return out


@pytest.mark.parametrize("family", ALL)
def test_recall_against_brute_force(family, any_recording):
    fit = fitted(family, any_recording)
    data = Data.of(any_recording, range(26, 30))
    memories = [1, 3, 30]
    found = fit.model.recall(fit.params, data, memories)
    for k, row in zip(memories, found, strict=True):
        assert np.allclose(row[1][data.valid], restarted(fit, data, k, 1)[data.valid], atol=1e-10)
    assert np.allclose(
        found[2][:, data.valid], fit.model.log_prob(fit.params, data)[:, data.valid], atol=1e-10
    )


@pytest.mark.parametrize("family", restarting())
def test_memory_of_a_whole_trial_is_the_full_network(family, any_recording):
    """Bit for bit, as trained and as scored; a shorter one is another network."""
    n_time = any_recording.sizes["time"]
    full, long, short = (fitted(family, any_recording, memory=k) for k in (None, n_time, 2))
    assert all(torch.equal(full.params[k], long.params[k]) for k in full.params)
    assert np.array_equal(
        full.log_prob(any_recording).values, long.log_prob(any_recording).values, equal_nan=True
    )
    assert not np.array_equal(
        full.log_prob(any_recording).values, short.log_prob(any_recording).values, equal_nan=True
    )
    data = Data.of(any_recording, range(26, 30))
    assert np.allclose(
        short.model.log_prob(short.params, data)[1][data.valid], restarted(short, data, 2, 1)[data.valid]
    )


@pytest.mark.parametrize("execution", ["auto", "generic"])
def test_the_loss_of_all_windows_is_that_of_the_k_bin_predictor(execution, headed_recording):
    data = Data.of(headed_recording, range(12))
    model = build("rate", memory=3, execution=execution, input_dropout=0.0)
    stacked = model.initial(data, 1, 0, np.float64)
    cut = windows.ending(data, 3, *np.nonzero(data.valid))
    assert cut.n_events().sum() == data.n_events().sum() and (cut.scored.sum(1) == 1).all()
    engine = engines.choose(model.network(cut), cut, stacked, model.training)
    p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
    loss = bptt.gradient(engine, p, engine.batch(np.arange(len(cut.y))[None]))[0]
    assert engine.name == ("compiled" if execution == "auto" else "generic")
    assert loss == pytest.approx(-model.log_prob(stacked, data)[0][data.valid].sum(), rel=1e-10)


def test_windows_of_an_epoch(counts):
    data = Data.of(counts)
    a, b, c = (windows.draw(data, 7, 0, epoch) for epoch in (1, 1, 2))
    assert np.array_equal(a.y, b.y) and not np.array_equal(a.y, c.y)
    assert len(a.y) == len(c.y) == 40 * 16 * windows.COST / 8
    last = a.scored.argmax(1)
    assert (a.valid.sum(1) == last + 1).all() and last.max() == 7


def test_a_short_memory_is_learned_for_itself():
    """A label that repeats the one three bins before: three bins suffice, two tell nothing."""
    rng = np.random.default_rng(0)
    head = rng.integers(0, 2, (200, 3))
    recording = rec.from_symbols(list(np.tile(head, (1, 5))), n_symbols=2)
    loss = {}
    for k in (2, 3):
        model = models.Rate(hidden=16, epochs=60, memory=k, input_dropout=0.0)
        fit = model.fit(recording, range(120), range(120, 150), seed=1)
        loss[k] = -fit.log_prob(recording, range(150, 200)).values[0][:, 3:].mean() / np.log(2)
    assert loss[2] > 0.9 and loss[3] < 0.1


def test_a_network_that_restarts_has_no_flow_and_no_forecast(counts):
    fit = fitted("rate", counts, memory=2)
    assert not fit.model.has_flow and not fit.model.has_forecast
    with pytest.raises(CortseqError, match="restarts"):
        fit.flow()
    with pytest.raises(CortseqError, match="restarts"):
        fit.model.forecast(fit.params, Data.of(counts), [1], 8, 0)


def test_a_network_that_restarts_runs_freely(symbols):
    """Its samples have its own predictions' entropy."""
    fit = fitted("rate", symbols, memory=2)
    own = fit.simulate(400, 6, seed=3)
    nll, p = -fit.log_prob(own).values[0], fit.predict(own).values[0]
    difference = (nll + (p * np.log(p)).sum(-1)).sum(1)
    assert abs(difference.mean()) < 4 * difference.std() / 20


# -- forecasts --------------------------------------------------------------------------------------


def forgetful(recording, **more):
    """A fitted network without recurrence: a chain of order 1."""
    fit = fitted("rate", recording, leak=1.0, learning_rate=0.05, **more)
    fit.params["recurrent"].zero_()
    return fit


def test_futures_of_a_chain_are_powers_of_its_matrix():
    rng = np.random.default_rng(0)
    steps = np.where(rng.random((40, 12)) < 0.9, 1, 2).cumsum(1)
    recording = rec.from_symbols(list((rng.integers(3, size=(40, 1)) + steps) % 3), n_symbols=3)
    fit = forgetful(recording, hidden=12, epochs=40)
    data = Data.of(recording, range(26, 30))
    every = rec.from_symbols([[0, 0], [1, 0], [2, 0]], n_symbols=3)
    first, chain = fit.predict(every).values[1, 0, 0], fit.predict(every).values[1, :, 1]
    assert np.ptp(chain, axis=0).max() > 0.3
    found = fit.model.forecast(fit.params, data, [1, 2, 4], samples=4096, seed=0)[1]
    for i, h in enumerate((1, 2, 4)):
        power = np.linalg.matrix_power(chain, h)
        exact = np.log([[power[row[t - h], row[t]] for t in range(h, 12)] for row in data.y])
        assert np.abs(found[:, h:, i] - exact).max() < (1e-5 if h == 1 else 0.1)
        unseen = np.log((first @ np.linalg.matrix_power(chain, h - 1))[data.y[:, h - 1]])
        assert np.abs(found[:, h - 1, i] - unseen).max() < (1e-5 if h == 1 else 0.1)
        assert np.isnan(found[:, : h - 1, i]).all()


@pytest.mark.parametrize("family", ALL)
def test_one_bin_ahead_is_the_score(family, any_recording):
    fit = fitted(family, any_recording)
    data = Data.of(any_recording, range(26, 30))
    exact = data.masked(fit.model.log_prob(fit.params, data))
    ahead = fit.model.forecast(fit.params, data, [1, 3], samples=8, seed=0)
    again = fit.model.forecast(fit.params, data, [1, 3], samples=8, seed=0)
    assert np.array_equal(ahead[..., 0], exact, equal_nan=True) and np.array_equal(
        ahead, again, equal_nan=True
    )
    assert np.array_equal(fit.model.plug_in(fit.params, data, [1])[..., 0], exact, equal_nan=True)
    seen = np.isfinite(ahead[..., 1])
    assert np.array_equal(seen, np.broadcast_to(data.valid & (np.arange(data.y.shape[1]) >= 2), seen.shape))


@pytest.mark.parametrize("more", [{}, {"discretise": 4}])
def test_futures_against_simulation(more, counts):
    """From before bin 0 a forecast is the law of free runs, which `simulate` draws on its own."""
    fit = fitted("rate", counts, epochs=30, **more)
    data = Data.of(counts, [0])
    found = fit.model.forecast(fit.params, data, [4], samples=20_000, seed=0)[0, 0, 3, 0]
    own = Data.of(fit.simulate(20_000, 4, seed=1))
    means = fit.model.predict(fit.params, own)[0, :, 3]
    each = (data.y[0, 3] * np.log(means) - means).sum(-1) - torch.lgamma(
        torch.tensor(data.y[0, 3] + 1.0)
    ).sum().item()
    assert found == pytest.approx(np.log(np.exp(each).mean()), abs=0.03)


def test_a_forecast_is_a_probability(counts):
    """Over all counts of two quiet units three bins ahead it sums to 1."""
    low = rec.from_counts(np.random.default_rng(0).poisson(0.3, (30, 8, 2)), bin_width=0.02)
    fit = forgetful(low)
    grid = np.stack(np.meshgrid(range(11), range(11)), -1).reshape(-1, 1, 2)
    y = np.concatenate([np.ones((len(grid), 2, 2), int), grid], 1)
    data = Data.of(rec.from_counts(y, bin_width=0.02))
    total = np.exp(fit.model.forecast(fit.params, data, [2], samples=256, seed=0)[0, :, 2, 0]).sum()
    assert total == pytest.approx(1, abs=0.02)
    plugged = np.exp(fit.model.plug_in(fit.params, data, [2])[0, :, 2, 0]).sum()
    assert plugged == pytest.approx(1, abs=1e-4)  # a probability, but not that of y_t given its past


@pytest.mark.parametrize("family", ["null", "psth", "drift"])
def test_without_a_past_every_horizon_is_the_score(family, any_recording):
    fit = models.registry()[family]().fit(any_recording, range(20), range(20, 26))
    data = Data.of(any_recording, range(26, 30), fit.model.sees)
    exact = data.masked(fit.model.log_prob(fit.params, data))
    found = fit.model.forecast(fit.params, data, [1, 3], 2, 0)
    assert np.array_equal(found[..., 0], exact, equal_nan=True)
    assert (
        np.array_equal(found[..., 2:, 1], exact[..., 2:], equal_nan=True)
        and np.isnan(found[..., :2, 1]).all()
    )


def test_inputs_are_known_in_futures(counts):
    rng = np.random.default_rng(5)
    recording = counts.assign(inputs=(("trial", "time", "input"), rng.normal(size=(40, 16, 2))))
    fit = fitted("rate", recording)
    fit.params["readout_weight"] *= 10
    data = Data.of(recording, range(26, 30))
    other = Data.of(recording, range(26, 30))
    other.inputs[:, 9] += 20
    a, b = (fit.model.forecast(fit.params, d, [3], 1024, 0)[..., 0] for d in (data, other))
    assert np.abs(a[..., 2:9] - b[..., 2:9]).max() < 0.075 < np.abs(a[..., 9:12] - b[..., 9:12]).max(-1).min()


def test_no_forecast_and_wrong_settings(counts):
    markov = models.Markov(states=3)
    if not markov.has_forecast:
        fit = markov.fit(counts, range(20), range(20, 26))
        with pytest.raises(CortseqError, match="no forecast"):
            markov.forecast(fit.params, Data.of(counts), [1], 8, 0)
    fit = fitted("rate", counts)
    for horizons, samples in (([], 8), ([0], 8), ([1], 1)):
        with pytest.raises(CortseqError, match=r"horizon|futures"):
            fit.model.forecast(fit.params, Data.of(counts), horizons, samples, 0)


def test_noise_reaches_windows(counts):
    """Dropout and noise on the inputs of windows, compiled as generic."""
    data, found = Data.of(counts), []
    cut = windows.draw(data, 3, 0, 1)
    for execution in ("auto", "generic"):
        model = build("rate", memory=3, execution=execution, input_dropout=0.3, hidden_dropout=0.2)
        stacked = model.initial(data, 1, 0, np.float64)
        engine = engines.choose(model.network(cut), cut, stacked, model.training)
        p = {k: v[0].clone().requires_grad_(k not in model.network(data).fixed) for k, v in stacked.items()}
        batch = engine.batch(np.arange(50)[None], [noise.Draws(0, 0, 1, 0)])
        found.append((bptt.gradient(engine, p, batch)[0], p["recurrent"].grad.numpy()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-10)
    assert np.allclose(found[0][1], found[1][1], rtol=1e-8, atol=1e-12)
