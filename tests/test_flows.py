"""Fitted networks as dynamical systems: recorded inputs, and what is refused."""

import numpy as np
import pytest
import torch
from untrained import untrained

from cortseq import dynamics, models
from cortseq import recording as rec
from cortseq.errors import CortseqError

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
    assert fit.card["input_mean"] == [pytest.approx(mean)] and 4.9 < mean < 5.1
    state = torch.from_numpy(fit.states(driven, [0])[0, 0, 5])
    assert torch.equal(fit.flow()(state), fit.flow(inputs=[mean])(state))
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
    states = fit.states(driven, [1])[0, 0]
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
