"""The contract every family keeps, on every track."""

import inspect
import itertools

import numpy as np
import pytest
import torch
from families import LEFT_OUT, applicable, flowing, recurrent, small, with_setting

from cortseq import models
from cortseq import recording as rec
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.networks.network import Network, before
from cortseq.observations import TRACKS, names


@pytest.fixture(params=list(models.registry()))
def family(request):
    return request.param


def fitted(family, recording, **more):
    model = applicable(family, recording, **more)
    return model.fit(recording, train=range(20), valid=range(20, 26), members=2, seed=0)


def test_shapes_and_finite_scores(family, any_recording):
    fit = fitted(family, any_recording)
    trials = range(26, 30)
    log_prob, mean = fit.log_prob(any_recording, trials).values, fit.predict(any_recording, trials).values
    valid = any_recording["valid"].values[26:30]
    assert log_prob.shape == (fit.card["members"], *valid.shape) and log_prob.dtype == np.float64
    assert np.array_equal(np.isfinite(log_prob), np.broadcast_to(valid, log_prob.shape))
    assert np.isfinite(mean[:, valid]).all() and mean.shape[3] == fit.card["n_features"]
    if rec.track(any_recording) == "symbols":
        assert np.allclose(mean[:, valid].sum(-1), 1, atol=1e-6)


def test_saved_and_loaded_is_the_same(family, any_recording, tmp_path):
    fit = fitted(family, any_recording)
    fit.save(tmp_path / "fold0.safetensors")
    again = models.load(tmp_path / "fold0.safetensors")
    assert np.array_equal(
        fit.log_prob(any_recording).values, again.log_prob(any_recording).values, equal_nan=True
    )
    assert again.model == fit.model and len(again.curves) == len(fit.curves)


def test_no_bin_sees_itself_or_the_future(family, any_recording):
    fit = fitted(family, any_recording)
    kind = rec.track(any_recording)
    for s in (0, 1, 3):
        other = any_recording.copy(deep=True)
        y = other[kind].values
        y[:, s:] = (y[:, s:] + 1) % 3 if kind == "symbols" else y[:, s:] + 2
        assert np.array_equal(
            fit.predict(any_recording).values[:, :, : s + 1],
            fit.predict(other).values[:, :, : s + 1],
            equal_nan=True,
        )
        assert np.array_equal(
            fit.log_prob(any_recording).values[..., :s], fit.log_prob(other).values[..., :s], equal_nan=True
        )


def test_probabilities_of_all_sequences_sum_to_one(family, symbols):
    fit = fitted(family, symbols)
    every = [np.array(s) for s in itertools.product(range(3), repeat=3)]
    same = rec.from_symbols(every, n_symbols=3).assign_coords(trial=np.zeros(27, int))  # place in the session
    total = sum(np.exp(row.sum()) for row in fit.log_prob(same).values[0])
    assert abs(total - 1) < 1e-6


@pytest.mark.parametrize("observation", names("counts"))
def test_probabilities_of_all_counts_sum_to_one(family, observation):
    """Two units, low rates: p(y_1 | y_0) summed over all y_1 up to 20 spikes is 1, and its mean is the prediction."""
    rng = np.random.default_rng(0)
    low = rec.from_counts(rng.poisson(0.3, (30, 8, 2)), bin_width=0.02, observation=observation)
    fit = fitted(family, low)
    grid = np.array([[[1, 0], pair] for pair in itertools.product(range(21), repeat=2)])
    every = rec.from_counts(grid, bin_width=0.02, observation=observation)
    every = every.assign_coords(trial=np.zeros(len(grid), int))  # place in the session
    p = np.exp(fit.log_prob(every).values[0, :, 1])
    assert abs(p.sum() - 1) < 1e-6
    assert np.allclose(p @ grid[:, 1], fit.predict(every).values[0, 0, 1], atol=1e-5)


@pytest.mark.parametrize("observation", names("counts"))
@pytest.mark.parametrize("family", recurrent())
def test_a_mixture_keeps_the_contract(family, observation, counts):
    """Scores, predictions, draws, saving aside: the read-out of a mixture in every cell, and in its flows."""
    recording = rec.with_observation(counts, observation)
    fit = fitted(family, recording, mixture=2)
    assert np.isfinite(fit.log_prob(recording).values).all() and fit.predict(recording).values.shape[3] == 3
    assert rec.observation(fit.simulate(3, 5)) == observation
    if not fit.model.has_flow:
        return
    states = torch.tensor(fit.states(recording, [0]).values[1, 0])
    mean = fit.predict(recording, [0]).values[1, 0, 2]
    closed, held = fit.flow(member=1, map="closed"), fit.flow(member=1, map="open", input=mean)
    assert torch.allclose(closed(states[2]), held(states[2]), atol=1e-12)
    drawn = fit.flow(member=1, map="sampled")
    assert drawn(states[2]).shape == states[2].shape and drawn(states).shape == states.shape
    jacobian = torch.func.jacrev(closed.function)(states[2])
    step = 1e-6 * torch.eye(len(jacobian), dtype=torch.float64)[0]
    slope = (closed(states[2] + step) - closed(states[2] - step)) / 2e-6
    assert torch.allclose(jacobian[:, 0], slope, atol=1e-6)


def test_simulation_is_a_recording_and_repeats_with_the_seed(family, any_recording):
    fit = fitted(family, any_recording)
    a, b, c = (fit.simulate(5, 7, seed=s) for s in (1, 1, 2))
    assert rec.observations(a).shape[:2] == (5, 7)
    assert a.identical(b) and not a.identical(c)


def test_own_samples_have_the_models_entropy(family, symbols):
    """Mean NLL of own samples = mean entropy of the predictions, within 4 SE (C02)."""
    fit = fitted(family, symbols)
    own = fit.simulate(400, 6, seed=3)
    nll, p = -fit.log_prob(own).values[0], fit.predict(own).values[0]
    entropy = -(p * np.log(p)).sum(-1)
    difference = (nll - entropy).sum(1)
    assert abs(difference.mean()) < 4 * difference.std() / 20


def test_null_of_training_trials_scores_zero_gain_on_itself(counts):
    fit = fitted("null", counts)
    rate = fit.predict(counts).values[0, 0, 0]
    assert np.allclose(rate, counts["counts"].values[:20].mean((0, 1)), atol=0.01)


@pytest.mark.parametrize("family", flowing())
@pytest.mark.parametrize("map_name", ["open", "closed"])
def test_flow_repeats_the_trained_cell(family, map_name, signal):
    """From each visited state, the open map with the recorded input gives the next visited state."""
    fit = fitted(family, signal)
    data = Data.of(signal, [0])
    states = fit.model.states(fit.params, data)[1, 0]
    if map_name == "open":
        for t in range(3):
            flow = fit.flow(member=1, map="open", input=data.y[0, t])
            assert np.allclose(flow(torch.tensor(states[t])).numpy(), states[t + 1], atol=1e-12)
        return
    flow = fit.flow(member=1, map="closed")
    mean = fit.predict(signal, [0]).values[1, 0, 2]
    held = fit.flow(member=1, map="open", input=mean)
    assert np.allclose(
        flow(torch.tensor(states[2])).numpy(), held(torch.tensor(states[2])).numpy(), atol=1e-12
    )
    assert flow.dim == states.shape[1] and flow.map == "closed"


@pytest.mark.parametrize("family", recurrent())
def test_members_as_an_axis_equal_members_one_by_one(family, any_recording):
    """The same code with and without the leading member axis (C01), float64."""
    model = small(family)
    data = Data.of(any_recording, range(4))
    params = {k: v.double() for k, v in model.initial(data, 3, seed=5).items()}
    first = {k: v[0] for k, v in params.items()}
    network = model.network(data)
    x, _, valid = network.tensors(first, data, slice(None), torch.float64)
    last = before(first, x, valid)
    together = network.readout(params, network.scan(params, x.expand(3, *x.shape)), last)
    for m in range(3):
        p = {k: v[m] for k, v in params.items()}
        assert torch.allclose(network.readout(p, network.scan(p, x), last), together[m], atol=1e-12)


def test_lstm_equals_torch():
    model = models.Lstm(hidden=7)
    rng = np.random.default_rng(0)
    p = {k: torch.from_numpy(v) for k, v in model.start_parameters(3, 0.02, rng).items()}
    p["start"] = torch.from_numpy(rng.normal(size=14))
    theirs = torch.nn.LSTM(3, 7, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(p["input_weight"])
        theirs.weight_hh_l0.copy_(p["recurrent"])
        theirs.bias_ih_l0.copy_(p["bias"])
        theirs.bias_hh_l0.zero_()
    x = torch.randn(4, 9, 3, dtype=torch.float64)
    h0, c0 = model.start(p)
    expected = theirs(x, (h0.expand(1, 4, 7).contiguous(), c0.expand(1, 4, 7).contiguous()))[0]
    assert torch.allclose(Network(model, None).scan(p, x)[:, 1:], expected[:, :-1], atol=1e-6)


def test_leak_one_is_the_vanilla_network_bit_for_bit():
    model = models.Rate(hidden=5, leak=1)
    network, rng = Network(model, None), np.random.default_rng(0)
    p = {k: torch.from_numpy(v) for k, v in model.start_parameters(2, 0.02, rng).items()}
    x = torch.from_numpy(rng.normal(size=(3, 6, 2)))
    h, drive = torch.zeros(3, 5, dtype=torch.float64), network.drive(p, x)
    for t in range(5):
        h = torch.tanh(h @ p["recurrent"].mT + drive[:, t])
        assert torch.equal(network.scan(p, x)[:, t + 1], h)


@pytest.mark.parametrize("hidden", [16, 64, 256, 1024])
def test_dale_starts_balanced_without_an_outlier(hidden, counts):
    model = models.Dale(hidden=hidden)
    for one in (model, models.Stp(hidden=hidden, dale=True)):
        data = Data.of(counts, range(2))
        assert np.isfinite(one.log_prob(one.initial(data, 1, 0), data)).all()
    p = {k: torch.from_numpy(v) for k, v in model.start_parameters(3, 0.02, np.random.default_rng(1)).items()}
    w = model.recurrent_weights(p).numpy()
    assert np.abs(np.diag(w)).max() == 0
    assert (w[:, p["sign"].numpy() > 0] >= 0).all() and (w[:, p["sign"].numpy() < 0] <= 0).all()
    assert np.abs(w.sum(1)).max() < 1e-2 * np.abs(w).sum(1).min()
    assert abs(np.abs(np.linalg.eigvals(w)).max() - 0.9) < 0.01


@pytest.mark.parametrize("family", with_setting("self_connections"))
def test_a_unit_connects_to_itself_where_that_is_asked_for(family, counts):
    for asked in (False, True):
        fit = fitted(family, counts, epochs=10, learning_rate=0.1, self_connections=asked)
        w = fit.model.recurrent_weights(fit.params).numpy()
        diagonal, sign = np.diagonal(w, axis1=1, axis2=2), fit.params["sign"].numpy()
        assert (diagonal * sign > 0).all() if asked else (diagonal == 0).all()


def test_dale_signs_survive_training(counts):
    fit = fitted("dale", counts, epochs=20, learning_rate=0.1)
    w, sign = fit.model.recurrent_weights(fit.params), fit.params["sign"].unsqueeze(-2)
    assert (w * sign >= 0).all()


def test_plasticity_settles_where_theory_says():
    """u* = U (1 + tau_f r) / (1 + U tau_f r), x* = 1 / (1 + u* tau_r r) at a constant rate."""
    model = models.Stp(hidden=4, leak=1)
    p = {k: torch.from_numpy(v) for k, v in model.start_parameters(1, 0.02, np.random.default_rng(0)).items()}
    p["recurrent"], p["bias"] = (
        torch.zeros(4, 4, dtype=torch.float64),
        torch.full((4,), 0.5, dtype=torch.float64),
    )
    state = tuple(torch.as_tensor(v, dtype=torch.float64).expand(4) for v in (0.5, 0.99, 0.01))
    q = model.derive(p)
    for _ in range(2000):
        state = model.step(q, state, p["bias"])
        assert (state[1] <= 1).all() and (0 <= state[2]).all() and (state[2] <= 1).all()
    use, fac, rec_ = torch.sigmoid(p["use_raw"]), p["fac_log"].exp(), p["rec_log"].exp()
    r = 20 * 0.5
    u = use * (1 + fac * r) / (1 + use * fac * r)
    assert torch.allclose(state[1], u, atol=1e-9) and torch.allclose(
        state[2], 1 / (1 + u * rec_ * r), atol=1e-9
    )


def test_reservoir_is_scaled_and_stays_fixed(counts):
    model = small("esn", radius=0.8, leak=0.5)
    start = model.initial(Data.of(counts, range(20)), 2, seed=0)
    fit = fitted("esn", counts, radius=0.8, leak=0.5)
    assert torch.equal(start["recurrent"], fit.params["recurrent"])
    values = np.linalg.eigvals(fit.params["recurrent"][0].double().numpy())
    assert abs(np.abs(0.5 + 0.5 * values).max() - 0.8) < 1e-6


@pytest.mark.parametrize("skip", [True, False])
def test_ridge_readout_equals_sklearn(skip, signal):
    from sklearn.linear_model import Ridge

    from cortseq.networks.families.esn import PENALTIES
    from cortseq.networks.training import convex

    fit = fitted("esn", signal, skip=skip)
    p = {k: v[0] for k, v in fit.params.items()}
    penalty = fit.card["penalties"][0]
    assert penalty in PENALTIES
    data = Data.of(signal, range(20))
    features, y, _ = convex._bins(fit.model.network(data), p, data)
    target = (y.double().numpy() - p["signal_mean"].numpy()) / p["signal_scale"].numpy()
    if skip:  # what the bin before leaves, of the 19 bins of a trial that have one
        target = target.reshape(20, 20, 2)
        target = (target[:, 1:] - p["skip"].numpy() * target[:, :-1]).reshape(-1, 2)
        features = features.reshape(20, 20, -1)[:, 1:].reshape(len(target), -1)
    theirs = Ridge(alpha=penalty * len(features)).fit(features.astype(float), target)
    assert np.allclose(
        theirs.predict(features),
        features @ p["readout_weight"].numpy().T + p["readout_bias"].numpy(),
        atol=2e-3,
    )


def test_signal_differences_do_not_change_with_the_unit(signal):
    scaled = rec.from_signal(signal["signal"].values * 7, bin_width=0.6)
    gains = []
    for r in (signal, scaled):
        a, b = (fitted(f, r).log_prob(r, range(26, 30)).values.sum() for f in ("markov", "null"))
        gains.append(a - b)
    assert np.isclose(*gains, rtol=1e-6)


def test_a_trial_in_two_roles_is_refused(counts):
    with pytest.raises(CortseqError, match=r"both train and valid.*got 3"):
        small("null").fit(counts, [0, 1, 3], [3, 4])


@pytest.mark.parametrize(
    ("train", "valid", "words"),
    [
        (np.arange(30) < 20, [20, 21], "train: a mask is no list of positions"),
        (range(20), np.arange(30) > 20, "valid: a mask is no list of positions"),
        ([0, 1, 29], [-1, 5], "valid: the recording has 40 trials"),
        ([0, 99], [5], "train: the recording has 40 trials"),
        ([3], [0, 1], "train: no bin of these trials was observed"),
        ([0, 1], [3], "valid: no bin of these trials was observed"),
    ],
)
@pytest.mark.parametrize("family", ["null", "rate", "glm"])
def test_trials_that_cannot_be_learned_from_are_refused(counts, family, train, valid, words):
    silent = counts.assign(valid=counts["valid"].copy())
    silent["valid"][3] = False
    with pytest.raises(CortseqError, match=words):
        small(family).fit(silent, train, valid)


def test_a_chain_of_sequences_needs_no_validation():
    fit = models.Markov(order=1).fit_sequences([np.array([0, 1, 0, 1, 1])], n_symbols=2)
    assert np.isfinite(fit.log_prob_sequences([np.array([1, 0])])[0]).all()


@pytest.mark.parametrize("family", ["null", "rate", "glm", "hmm", "psth"])
def test_a_fit_refuses_a_mask_and_no_trial(counts, family):
    fit = fitted(family, counts)
    for ask in (fit.log_prob, fit.predict):
        with pytest.raises(CortseqError, match="trials: a mask"):
            ask(counts, np.arange(30) > 26)
        with pytest.raises(CortseqError, match="trials: there is no trial to predict"):
            ask(counts, [])


def test_one_member_alone_has_its_own_curves(counts):
    fit = small("rate").fit(counts, range(20), range(20, 26), members=3)
    alone = fit.only(1)
    assert alone.curves.equals(fit.curves[fit.curves.member == 1]) and len(alone.curves)
    assert "members 1;" in repr(alone)


def test_a_fit_refuses_another_recording(counts, symbols):
    with pytest.raises(CortseqError, match="the fit is for 3 features of counts"):
        fitted("null", counts).log_prob(symbols)


def test_fits_with_dots_in_their_names_stay_apart(counts, tmp_path):
    for name, model in (("m_0.1", models.Null()), ("m_0.9", models.Psth())):
        model.fit(counts, range(20), range(20, 26)).save(tmp_path / name)
    assert models.load(tmp_path / "m_0.1").model.family == "null"
    assert models.load(tmp_path / "m_0.9.safetensors").model.family == "psth"


def test_the_null_is_the_training_mean(counts, symbols, signal):
    for recording, y in ((counts, "counts"), (signal, "signal")):
        fit = models.Null().fit(recording, range(20), range(20, 26))
        assert np.allclose(
            fit.predict(recording, [0]).values[0, 0, 0], recording[y].values[:20].mean((0, 1)), rtol=1e-12
        )
    learned = symbols["symbols"].values[:20][symbols["valid"].values[:20]]
    frequency = np.bincount(learned) / len(learned)
    fit = models.Null().fit(symbols, range(20), range(20, 26))
    assert np.allclose(fit.predict(symbols, [0]).values[0, 0, 0], frequency, rtol=1e-12)


@pytest.mark.parametrize("family", models.registry())
def test_a_signal_in_other_units_has_the_same_gain(signal, family):
    """y -> a y moves every log-probability by the same constant."""
    model = small(family)
    scaled = signal.copy(deep=True)
    scaled["signal"] = scaled["signal"] * 1e-6
    a, b = (
        m.log_prob(r, range(20, 30)).values
        for r in (signal, scaled)
        for m in [model.fit(r, range(15), range(15, 20))]
    )
    assert np.allclose(b - a, 2 * 6 * np.log(10), atol=1e-3)


def test_a_constant_channel_is_refused(signal):
    flat = signal.copy(deep=True)
    flat["signal"][..., 1] = 3.0
    with pytest.raises(CortseqError, match=r"channel is constant.*got 1"):
        models.Null().fit(flat, range(20), range(20, 26))


# -- forecasts ---------------------------------------------------------------------------------------


def test_horizons_that_are_none_are_refused(family, counts):
    fit = fitted(family, counts)
    for horizons in ([], [0], [1, 0]):
        with pytest.raises(CortseqError, match=r"horizons: .*at least one"):
            fit.model.forecast(fit.params, Data.of(counts, [26]), horizons)


def test_a_forecast_is_exact_or_sampled_as_it_says(family, any_recording):
    """Only a sampled one depends on the seed; all take the same number of samples where nothing is said."""
    more = {"autoregressive": True} if family == "hmm" else {}
    fit = fitted(family, any_recording, **more)
    data = Data.of(any_recording, [26, 27], fit.model.sees)
    one, other = (fit.model.forecast(fit.params, data, [3], samples=8, seed=seed) for seed in (0, 1))
    kind = fit.model.forecasts_on(data.track)
    assert np.array_equal(one, other, equal_nan=True) == (kind != "sampled")
    assert inspect.signature(fit.model.forecast).parameters["samples"].default == 128


# -- inputs ------------------------------------------------------------------------------------------


def driven(recording):
    """The recording with an input that is noise."""
    shape = recording.sizes["trial"], recording.sizes["time"], 1
    u = np.random.default_rng(0).normal(size=shape)
    return recording.assign(inputs=(("trial", "time", "input"), u))


def sees_inputs(family):
    return models.registry()[family].driven


@pytest.mark.parametrize("family", ["glm", "hmm", "rate"])
def test_a_fit_with_inputs_does_without_them_nowhere(family, counts):
    """Neither scored nor run freely: left out in silence they would be taken as their mean."""
    fit = fitted(family, driven(counts))
    assert np.isfinite(fit.log_prob(driven(counts)).values).all()
    with pytest.raises(CortseqError, match="inputs: the fit is for 1 inputs"):
        fit.log_prob(counts)
    with pytest.raises(CortseqError, match="a free run replays inputs"):
        fit.simulate(2, 3)


@pytest.mark.parametrize("track", TRACKS)
def test_an_input_is_seen_from_its_own_bin_on_and_not_before(family, track, request):
    """Bit for bit the same before, in scores and forecasts too; another prediction at its bin."""
    recording = driven(request.getfixturevalue(track))
    fit, trials = fitted(family, recording), range(26, 30)
    for t in (0, 3):
        moved = recording.copy(deep=True)
        moved["inputs"].values[:, t] += 1
        one, other = (fit.predict(r, trials).values for r in (recording, moved))
        scores = [fit.log_prob(r, trials).values[..., :t] for r in (recording, moved)]
        assert np.array_equal(one[:, :, :t], other[:, :, :t], equal_nan=True)
        assert np.array_equal(*scores, equal_nan=True)
        changed = np.nanmax(np.abs(one - other)[:, :, t]) > 0
        assert changed == sees_inputs(family)
        if fit.model.has_forecast and fit.model.forecasts_on(track) != "sampled":
            data = [Data.of(r, trials, fit.model.sees) for r in (recording, moved)]
            ahead = [fit.model.forecast(fit.params, d, [1, 2], samples=4)[:, :, :t] for d in data]
            assert np.array_equal(*ahead, equal_nan=True)


def test_families_leave_out_the_tracks_that_they_say():
    found = {(f, track) for f in models.registry() for track in TRACKS if not small(f).applies(track)}
    assert found == LEFT_OUT
