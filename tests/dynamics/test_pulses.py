"""Pulses of recorded inputs: what a network expects with and without, for how long, and the figure of it."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from untrained import every_flowing, untrained

from cortseq import models
from cortseq.dynamics import laboratory, summary
from cortseq.dynamics.laboratory import closed_loop, pulses
from cortseq.figures import pulses as figure
from cortseq.products import Facts

TEST = np.arange(28, 40)


def under(recording, seed=0):
    """Two inputs of the same trials: a number of mean 5 and an event, 0 or 1."""
    rng = np.random.default_rng(seed)
    shape = (*recording["valid"].shape, 1)
    u = np.concatenate([5 + 2 * rng.normal(size=shape), (rng.random(shape) < 0.2) * 1.0], -1)
    return recording.assign(inputs=(("trial", "time", "input"), u)).assign_coords(input=["speed", "cue"])


@pytest.mark.parametrize(
    ("model", "track"),
    [
        (models.Lstm(hidden=5, epochs=1), "counts"),
        (models.Rate(hidden=5, epochs=1), "signal"),  # with a skip connection from the last bin
        (models.Rate(hidden=5, epochs=1), "symbols"),
    ],
    ids=["counts", "signal", "symbols"],
)
def test_the_response_is_the_difference_of_predictions_of_two_recordings(model, track, request, monkeypatch):
    """With one input of one bin raised in the recording itself: by its sd, or by an event."""
    monkeypatch.setattr(pulses, "_PULSES", 10_000)  # every bin
    recording = under(request.getfixturevalue(track))
    recording = recording.isel(trial=np.flatnonzero(recording["valid"].values.sum(1) >= 8))
    n = recording.sizes["trial"]
    train, valid, test = range(n - 15), range(n - 15, n - 10), np.arange(n - 10, n)
    fit = model.fit(recording, train, valid, members=2, seed=3)
    sd = np.array(fit.card["input_scale"]["sd"])
    assert sd[0] > 1 and sd[1] == 1
    subject = laboratory.Subject(fit, recording, np.arange(n - 15), test)
    found = pulses.pulses(subject, {"expected_spread": xr.DataArray([1.0, 2.0])})[0]["pulse"][1]
    n_lags, ends = found.shape[-1], recording["valid"].values[test].sum(1)
    plain = fit.predict(recording, test).values
    for j in range(2):
        squares = []
        for t in range(1, int(ends.max()) - n_lags + 1):  # the bin of the pulse
            raised = recording.copy(deep=True)
            raised["inputs"][:, t, j] += sd[j]
            apart = ((fit.predict(raised, test).values - plain) ** 2).sum(-1)  # (member, trial, time)
            squares.append(apart[:, ends - n_lags >= t, t : t + n_lags])
        expected = np.sqrt(np.concatenate(squares, 1).mean(1)) / np.array([[1.0], [2.0]])
        np.testing.assert_allclose(found[:, j], expected, rtol=1e-4)


def test_a_pulse_lasts_as_long_as_the_mode_that_it_moves(counts):
    """Of two modes, .9 and .3, one input moves the slow one weakly, the other the fast one strongly."""
    long = xr.concat([counts.drop_vars("time"), counts.drop_vars("time")] * 3, "time", data_vars="minimal")
    recording = under(long.assign_coords(time=np.arange(96) * 0.02))
    fit = untrained(models.Rate(hidden=2, leak=1.0, skip=False), recording, members=1, seed=0)
    for name in ("recurrent", "input_weight", "bias", "start", "readout_weight"):
        fit.params[name][:] = 0
    small = 1e-4  # the linear range of tanh
    fit.params["recurrent"][0] = fit.params["recurrent"][0].new_tensor([[0.9, 0.0], [0.0, 0.3]])
    fit.params["input_weight"][0, 0, -2], fit.params["input_weight"][0, 1, -1] = small, 3 * small
    fit.params["readout_weight"][0] = 1.0
    subject = laboratory.Subject(fit, recording, np.arange(28), TEST)
    variables, attrs = pulses.pulses(subject, {"expected_spread": xr.DataArray([1.0])})
    curves = variables["pulse"][1][0]
    np.testing.assert_allclose(curves[0] / curves[0, 0], 0.9 ** np.arange(curves.shape[1]), rtol=1e-2)
    assert attrs["strongest_input"] == "cue" and attrs["pulsed_inputs"] == ["speed", "cue"]
    assert variables["pulse_gain"][1][0] == pytest.approx(curves[1, 0])
    # straight between lags: from 1 to .3 it passes 1/e at (1 - 1/e) / .7
    assert variables["pulse_span"][1][0] == pytest.approx((1 - 1 / np.e) / 0.7, rel=0.02)
    assert variables["pulse_gain_left_out"][1].shape == (10, 1)


def test_lines_of_the_table_and_the_figure(counts):
    recording = under(counts)
    fit = untrained(models.Rate(hidden=6), recording, members=3, seed=1)
    asked = (closed_loop.expected, pulses.pulses)
    found = laboratory.examine(fit, recording, np.arange(28), TEST, "", 1, lambda *_: None, asked)
    table = summary.summarise(found).set_index("quantity")
    gain = table.loc["response to a pulse of the input that moves most"]
    assert gain["value"] == pytest.approx(float(found["pulse_gain"].mean())) and gain["map"] == "open"
    assert gain["interval"] == "members and 10 groups of trials"
    assert table.loc["a pulse of that input lasts (to 1/e; at most 30)", "unit"] == "bins"
    fig, drawn = figure.draw({"rate": found})
    assert len(drawn) == found["pulse"].size and set(drawn["input"]) == {"speed", "cue"}
    one = drawn[(drawn["input"] == "cue") & (drawn["member"] == 2)].sort_values("lag")["response"]
    np.testing.assert_array_equal(one, found["pulse"].values[2, 1])
    plt.close(fig)
    fig, drawn = figure.draw({})
    assert drawn.empty and fig.axes[0].texts[0].get_text() == "no network sees the inputs"
    plt.close(fig)
    known = Facts(track="counts", flowing=("rate",), driven=True)
    assert figure.applies(known) and not figure.applies(Facts(track="counts", flowing=("rate",)))


@pytest.mark.parametrize("track", ["counts", "symbols", "signal"])
@pytest.mark.parametrize("model", every_flowing(), ids=lambda model: model.family)
def test_every_family_has_responses_on_every_track(model, track, request):
    recording = under(request.getfixturevalue(track))
    n = recording.sizes["trial"]
    fit = untrained(model, recording, members=2, seed=1)
    subject = laboratory.Subject(fit, recording, np.arange(n - 12), np.arange(n - 12, n))
    found = pulses.pulses(subject, {"expected_spread": xr.DataArray([1.0, 1.0])})[0]["pulse"][1]
    assert found.shape[:2] == (2, 2) and np.isfinite(found).all()
    # before learning a network of signals says what its skip connection says
    assert ((found[..., :3].max(-1) > 0) == (track != "signal")).all()


def test_networks_without_inputs_have_no_pulses(counts):
    for model, recording in (
        (models.Rate(hidden=4, epochs=1), counts),
        (models.Rate(hidden=4, epochs=1, inputs=False), under(counts)),
    ):
        fit = model.fit(recording, range(20), range(20, 28))
        subject = laboratory.Subject(fit, recording, np.arange(28), TEST)
        assert pulses.pulses(subject, {}) == ({}, {})
