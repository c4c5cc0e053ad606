"""Fitted networks as dynamical systems: tangents in closed form, recorded inputs, and what is refused."""

import numpy as np
import pytest
import torch
from families import readout, recurrent, small, trained
from untrained import every_recurrent, untrained

from cortseq import dynamics, models, observations
from cortseq import recording as rec
from cortseq.errors import CortseqError

# Settings that change the update rule, beside the small specification of every family with a tangent.
MORE = {
    "rate": [{"leak": 1}, {"leak": 0.3, "nonlinearity": "relu"}, {"layers": 3}],
    "lstm": [{"layers": 2}],
    "gru": [{"layers": 2}],
    "low_rank": [{"nonlinearity": "relu", "leak": 0.3}],
    "dale": [{"leak": 1}],
    "stp": [{"dale": False}, {"leak": 0.4}],
    "esn": [{"leak": 1.0}],
}
WRITTEN = [family for family in recurrent() if small(family).has_tangent]  # a family may do without
EVERY = [(family, more) for family in WRITTEN for more in [{}, *MORE.get(family, [])]]
MAPS = ("open", "closed", "sampled")


def moved(model, recording, seed=0):
    """A fit away from its start: a read-out that feeds back, no state or slope that is 0 by symmetry."""
    fit = untrained(model, recording, members=2, seed=seed)
    rng = np.random.default_rng(seed)
    for name in ("readout_weight", "bias", "readout_bias", "candidate_bias", "use_raw", "start"):
        if name in fit.params:
            noise = torch.from_numpy(rng.normal(0, 0.3, tuple(fit.params[name].shape)))
            fit.params[name] = fit.params[name] + noise
    return fit


def flow_at(fit, map, recording):
    """A fresh flow (a sampled one begins its random numbers anew) and a state near a visited one, where no unit is
    at the kink of its relu."""
    y = rec.observations(recording)[0, 2]
    flow = fit.flow(1, map, input=y if map == "open" else None, seed=7)
    return flow, torch.from_numpy(fit.states(recording, [0]).values[1, 0, 3] + 0.01)


def check_tangent(fit, recording, map):
    flow, state = flow_at(fit, map, recording)
    new, found = flow.push(state, torch.eye(flow.dim, dtype=torch.float64))
    flow, _ = flow_at(fit, map, recording)
    assert torch.allclose(new, flow(state), atol=1e-12)
    flow, _ = flow_at(fit, map, recording)
    automatic = torch.autograd.functional.jacobian(flow.function, state)
    assert torch.allclose(found, automatic, rtol=0, atol=1e-8), (found - automatic).abs().max()
    if map == "sampled":
        return
    step = 1e-6 * torch.eye(flow.dim, dtype=torch.float64)
    slopes = torch.stack([(flow(state + e) - flow(state - e)) / 2e-6 for e in step], 1)
    assert torch.allclose(found, slopes, rtol=0, atol=1e-6), (found - slopes).abs().max()


# -- tangents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("map", MAPS)
@pytest.mark.parametrize("family, more", EVERY)
def test_the_tangent_is_the_jacobian(family, more, map, any_recording):
    """Every family on every track, whole Jacobians: automatic differentiation to 1e-8, differences to 1e-6."""
    check_tangent(moved(small(family, hidden=6, **more), any_recording), any_recording, map)


@pytest.mark.parametrize("map", ("open", "closed"))
@pytest.mark.parametrize("family, more", EVERY)
def test_the_tangent_without_a_skip(family, more, map, signal):
    check_tangent(moved(small(family, hidden=6, skip=False, **more), signal), signal, map)


@pytest.mark.parametrize("observation", observations.names("counts"))
@pytest.mark.parametrize("family", [f for f in WRITTEN if f in trained()])
def test_the_tangent_of_a_mixture(family, observation, counts):
    recording = rec.with_observation(counts, observation)
    fit = moved(small(family, hidden=6, mixture=3), recording)
    for map in MAPS:
        check_tangent(fit, recording, map)


@pytest.mark.parametrize("family", WRITTEN)
def test_the_tangent_with_recorded_inputs(family, driven):
    fit = moved(small(family, hidden=6), driven)
    for map in MAPS:
        check_tangent(fit, driven, map)


def test_outside_its_range_a_rate_has_no_slope():
    eta, v = torch.tensor([-17.0, 0.0, 10.0]).double(), torch.ones(3, 1, dtype=torch.float64)
    found = readout("poisson", 3).tangent({}, eta, v)
    assert found[:, 0].tolist() == [0.0, 1.0, 0.0]
    p = {"log_dispersion": torch.zeros(3, dtype=torch.float64)}
    found = readout("conway_maxwell", 3, 20).tangent(p, eta, v)
    assert found[[0, 2], 0].tolist() == [0.0, 0.0] and found[1, 0] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("family, more", EVERY)
def test_many_states_are_pushed_at_once(family, more, signal):
    """(n, dim) with frames (n, dim, k), as one after another."""
    fit = moved(small(family, hidden=6, **more), signal)
    flow, states = fit.flow(1), torch.from_numpy(fit.states(signal, [0]).values[1, 0, 1:4])
    frames = torch.from_numpy(np.random.default_rng(0).normal(size=(3, flow.dim, 2)))
    together = flow.push(states, frames)
    each = [flow.push(state, frame) for state, frame in zip(states, frames, strict=True)]
    for found, alone in zip(together, zip(*each, strict=True), strict=True):
        assert torch.allclose(found, torch.stack(alone), atol=1e-12)


@pytest.mark.parametrize("family, more", EVERY)
def test_exponents_do_not_depend_on_how_tangents_are_made(family, more, any_recording):
    fit = moved(small(family, hidden=6, **more), any_recording)
    flow, state = flow_at(fit, "closed", any_recording)
    assert flow.push is not None
    plain = dynamics.Flow(flow.function, flow.dim)
    found, expected = (dynamics.lyapunov_spectrum(f, state, 3, 100, 50).exponents for f in (flow, plain))
    assert found[0] == pytest.approx(expected[0], abs=1e-8)
    # later ones: rounding of the factorisations; below exp(-30) that is all there is, or nothing
    found, expected = (np.where(exponents < -30, -np.inf, exponents) for exponents in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_a_family_without_a_tangent_is_differentiated_automatically(counts, monkeypatch):
    from cortseq.networks.recurrent import Recurrent

    monkeypatch.setattr(models.Rate, "tangent", Recurrent.tangent)
    flow = moved(models.Rate(hidden=6), counts).flow()
    assert flow.push is None
    assert np.isfinite(dynamics.lyapunov_spectrum(flow, np.zeros(6), 2, 40, 10).exponents).all()


# -- recorded inputs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def driven():
    """A signal of one channel that follows a stimulus of mean 5; trials of unequal length, other stimuli after their ends."""
    rng = np.random.default_rng(0)
    u = 5 + rng.normal(0, 0.3, (30, 20, 1))
    y = np.zeros((30, 20, 1))
    for t in range(1, 20):
        y[:, t] = 0.5 * y[:, t - 1] + u[:, t] + 0.1 * rng.normal(size=(30, 1))
    y[::2, 15:], u[::2, 15:] = np.nan, 100.0
    recording = rec.from_signal(y[:, 3:], bin_width=0.1)
    return recording.assign(inputs=(("trial", "time", "input"), u[:, 3:]))


def test_recorded_inputs_are_held_at_the_mean_that_was_learned_from(driven, tmp_path):
    """Over the valid bins of the training trials, also after saving."""
    fit = models.Rate(hidden=4, epochs=1).fit(driven, range(20), range(20, 30))
    mean = driven["inputs"].values[:20][driven["valid"].values[:20]].mean()
    assert fit.card["input_scale"]["mean"] == [pytest.approx(mean)] and 4.9 < mean < 5.1
    state = torch.from_numpy(fit.states(driven, [0]).values[0, 0, 5])
    assert torch.allclose(fit.flow()(state), fit.flow(inputs=[mean])(state), atol=1e-12)
    assert not torch.allclose(fit.flow()(state), fit.flow(inputs=[0.0])(state))
    fit.save(tmp_path / "fit")
    assert torch.equal(models.load(tmp_path / "fit.safetensors").flow()(state), fit.flow()(state))


def test_the_closed_loop_at_the_mean_input_settles_in_the_data(driven):
    """h = relu(u), z = h - mean(u): the mean of the data at the mean input, as many sds away as the input is moved."""
    model = models.Rate(hidden=1, leak=1, nonlinearity="relu", skip=False)
    mean = driven["inputs"].values[driven["valid"].values].mean()
    weights = {"recurrent": [[0]], "input_weight": [[0, 1]], "bias": [0]}
    fit = untrained(model, driven, **weights, readout_weight=[[1]], readout_bias=[-mean])
    y = driven["signal"].values[driven["valid"].values]
    for inputs, away in ((None, 0.0), ([mean + 2], 2.0), ([0.0], -mean)):
        points = dynamics.fixed_points(fit.flow(inputs=inputs), [[1.0], [4.0]]).states
        assert fit.expected(points) == pytest.approx(y.mean() + away * y.std())


def test_held_inputs_are_those_the_cell_sees(driven):
    """The open map with the bin and the next inputs as recorded gives the next visited state."""
    fit = untrained(models.Lstm(hidden=5), driven)
    states = fit.states(driven, [1]).values[0, 0]
    y, u = driven["signal"].values[1], driven["inputs"].values[1]
    for t in range(4):
        flow = fit.flow(0, "open", input=y[t], inputs=u[t + 1])
        assert np.allclose(flow(torch.from_numpy(states[t])), states[t + 1], atol=1e-12)


def test_fits_that_are_older_than_the_mean_hold_zeros(driven):
    fit = untrained(models.Rate(hidden=5), driven)
    state = torch.zeros(fit.flow().dim, dtype=torch.float64)
    zero = fit.flow(inputs=[0.0])(state)
    del fit.card["input_mean"]
    assert torch.equal(fit.flow()(state), zero)


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, match",
    [
        ({"input": [1.0, 2.0]}, r"input: it is held at 3 numbers, shape \(3,\) \(got \(2,\)\)"),
        ({"input": 1.0}, r"input: it is held at 3 numbers.*got \(\)"),
        ({"input": "abc"}, "input: it is held at 3 numbers"),
        ({"input": [1.0, np.nan, 0.0]}, "input: it holds NaN"),
        ({"inputs": [1.0]}, r"inputs: it is held at 0 numbers, shape \(0,\) \(got \(1,\)\)"),
        ({"map": "closed", "input": [1.0, 2.0, 3.0]}, "input: the closed map makes its own input"),
        ({"map": "sampled", "input": [1.0, 2.0, 3.0]}, "input: the sampled map makes its own input"),
        ({"member": 5}, r"member: the fit has 2 members, 0 to 1 \(got 5\)"),
        ({"member": -1}, "member: the fit has 2 members"),
    ],
)
def test_a_flow_says_what_it_cannot_be_held_at(given, match, counts):
    fit = untrained(models.Rate(hidden=5), counts, members=2)
    with pytest.raises(CortseqError, match=match):
        fit.flow(**{"map": "open", **given})


@pytest.mark.parametrize(
    "input, match",
    [
        (7, r"input: a label lies between 0 and 2 \(got 7\)"),
        (-1, "input: a label lies between"),
        (0.5, "input: a label lies between"),
        ([0.5, 0.5], "input: it is held at 3 numbers"),
        ([0.5, 0.5, 0.5], "input: probabilities of labels"),
        ([1.5, -0.5, 0.0], "input: probabilities of labels"),
        ([np.nan, 0.5, 0.5], "input: it holds NaN"),
    ],
)
def test_a_flow_says_which_symbols_it_can_be_held_at(input, match, symbols):
    fit = untrained(models.Rate(hidden=5), symbols)
    with pytest.raises(CortseqError, match=match):
        fit.flow(0, "open", input=input)


def test_symbols_are_held_at_a_label_or_at_probabilities(symbols):
    """One-hot is the label; between two labels the drive lies between."""
    fit = untrained(models.Rate(hidden=5, leak=1), symbols)
    state = torch.zeros(5, dtype=torch.float64)

    def drive(input):
        return torch.atanh(fit.flow(0, "open", input=input)(state))

    assert torch.equal(drive(1), drive([0, 1, 0]))
    assert torch.allclose(drive([0.25, 0.75, 0.0]), 0.25 * drive(0) + 0.75 * drive(np.int64(1)), atol=1e-12)


def test_members_that_are_none_are_refused_everywhere(counts):
    fit = untrained(models.Rate(hidden=5), counts, members=2)
    for ask in (
        lambda: fit.simulate(1, 3, member=2),
        lambda: fit.expected(np.zeros(5), member=2),
        lambda: fit.only(2),
        lambda: dynamics.driven(fit, counts, member=2),
    ):
        with pytest.raises(CortseqError, match="member: the fit has 2 members"):
            ask()


@pytest.mark.parametrize("model", [m for m in every_recurrent() if m.has_tangent], ids=lambda m: m.family)
def test_driven_tangents_are_those_of_automatic_differentiation(model, counts):
    """What the echo-state test and conditional exponents push along the recorded input."""
    import dataclasses

    fit = untrained(model, counts, members=2, seed=3)
    loop = dynamics.driven(fit, counts, 1, [0, 1, 2])
    states, inputs = loop.states[:, 4], loop.inputs[:, 4]
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=states.shape))
    assert loop.tangent is not None
    new, images = loop.push(states, inputs, vectors)
    automatic = dataclasses.replace(loop, tangent=None).push(states, inputs, vectors)
    np.testing.assert_allclose(new, automatic[0], atol=1e-12)
    np.testing.assert_allclose(images, automatic[1], atol=1e-8)
