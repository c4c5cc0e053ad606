"""A member of a fit as a `torch.nn.Module`: equal to the fit, trained further, exported, and back again."""

import numpy as np
import pytest
import torch
from families import recurrent, small

from cortseq import models
from cortseq import recording as rec
from cortseq.errors import CortseqError

TRAIN, VALID, TEST = range(12), range(12, 16), range(16, 24)


def recorded(track, gaps=False, inputs=False, n_trials=24, n_time=12):
    rng = np.random.default_rng(7)
    known = {}
    if inputs:
        u = rng.normal(3.0, 2.0, (n_trials, n_time, 2))
        u[rng.random(u.shape) < 0.1] = np.nan
        known = {"inputs": u, "input_names": ["speed", "light"]}
    valid = rng.random((n_trials, n_time)) < 0.9 if gaps else None
    if track == "symbols":
        return rec.from_symbols([rng.integers(0, 3, n_time) for _ in range(n_trials)], n_symbols=3, **known)
    if track == "signal":
        y = np.cumsum(rng.normal(size=(n_trials, n_time, 2)), 1) + 5
        return rec.from_signal(y, bin_width=0.1, valid=valid, **known)
    return rec.from_counts(rng.poisson(1.0, (n_trials, n_time, 3)), bin_width=0.02, valid=valid, **known)


def tensors(recording, trials):
    """Observations, inputs and mask as a user takes them from a recording, missing bins NaN."""
    one = recording.isel(trial=list(trials))
    valid = torch.as_tensor(one["valid"].values)
    y = torch.as_tensor(rec.observations(one))
    if y.ndim == 3:
        y = torch.where(valid.unsqueeze(-1), y.double(), torch.nan)
    inputs = torch.as_tensor(one["inputs"].values) if "inputs" in one else None
    return y, inputs, valid


def agree(fit, recording, member, dtype, tolerance):
    module = fit.to_torch(member, dtype)
    y, inputs, valid = tensors(recording, TEST)
    with torch.no_grad():
        found, nats = module(y, inputs, valid), module.log_prob(y, inputs, valid)
    seen = valid.numpy()
    for mine, theirs in (
        (found["mean"], fit.predict(recording, TEST).values),
        (found["states"], fit.states(recording, TEST).values),
        (nats, fit.log_prob(recording, TEST).values),
    ):
        np.testing.assert_allclose(mine.numpy()[seen], theirs[member][seen], rtol=tolerance, atol=tolerance)
    assert (nats.numpy()[~seen] == 0).all() and found["mean"].dtype == dtype


@pytest.mark.parametrize("track", ["counts", "symbols", "signal"])
@pytest.mark.parametrize("family", recurrent())
def test_it_says_what_the_fit_says(family, track):
    recording = recorded(track)
    fit = small(family).fit(recording, TRAIN, VALID, members=2)
    agree(fit, recording, 1, torch.float64, 1e-12)


@pytest.mark.parametrize(
    ("settings", "track", "gaps", "inputs"),
    [
        ({}, "counts", True, False),
        ({}, "counts", False, True),
        ({}, "counts", True, True),
        ({}, "signal", True, True),
        ({"skip": False}, "signal", False, False),
        ({}, "symbols", False, True),
        ({"mixture": 2}, "counts", True, True),
        ({"memory": 3}, "counts", False, True),
        ({"layers": 2, "memory": 2}, "signal", True, False),
    ],
)
def test_gaps_inputs_and_other_read_outs(settings, track, gaps, inputs):
    recording = recorded(track, gaps, inputs)
    fit = models.Rate(hidden=5, epochs=2, **settings).fit(recording, TRAIN, VALID)
    agree(fit, recording, 0, torch.float64, 1e-12)
    agree(fit, recording, 0, torch.float32, 1e-5)


def test_no_input_is_the_same_as_an_empty_array_of_inputs():
    recording = recorded("counts", False, False)
    module = models.Rate(hidden=5, epochs=2).fit(recording, TRAIN, VALID).to_torch()
    module.start.data += 1.0  # another state one bin later
    y = torch.as_tensor(recording["counts"].values[:4])
    found = module(y, inputs=torch.empty(*y.shape[:2], 0))["eta"]
    assert torch.equal(found, module(y)["eta"])


def test_high_counts_are_standardised_inside():
    y = np.random.default_rng(1).poisson(200.0, (24, 12, 2))
    recording = rec.from_counts(y, bin_width=1.0, observation="negative_binomial")
    fit = models.Rate(hidden=5, epochs=2).fit(recording, TRAIN, VALID)
    agree(fit, recording, 0, torch.float64, 1e-12)
    assert {"count_centre", "count_scale"} <= dict(fit.to_torch().named_buffers()).keys()


def test_a_loop_of_ones_own_trains_it_further_and_leads_back(counts):
    fit = models.Rate(hidden=5, epochs=1).fit(counts, range(20), range(20, 26), members=2)
    module = fit.to_torch(member=1)
    assert sorted(dict(module.named_parameters())) == sorted(fit.params)
    y = torch.as_tensor(counts["counts"].values[:20])
    optimiser = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        loss = -module.log_prob(y).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    trained = fit.from_torch(module)
    nats = trained.log_prob(counts, range(20)).values
    assert nats.mean() > fit.log_prob(counts, range(20)).values[1].mean() + 0.05
    np.testing.assert_allclose(nats.mean(), module.log_prob(y).mean().item(), rtol=1e-5)
    assert trained.card["members"] == 1 and trained.card["changed_outside"] and not len(trained.curves)
    assert not torch.equal(trained.params["recurrent"][0], fit.params["recurrent"][1])  # fit is as it was
    assert "Fit of Rate" in repr(trained) and trained.flow(0)(torch.zeros(5).double()).shape == (5,)


def test_it_is_a_copy_with_state_and_can_be_exported(counts, tmp_path):
    fit = models.LSTM(hidden=4, epochs=1).fit(counts, range(20), range(20, 26))
    module, y = fit.to_torch(), torch.as_tensor(counts["counts"].values[:6])
    expected = module(y)["mean"]
    torch.save(module.state_dict(), tmp_path / "module.pt")
    with torch.no_grad():
        module.bias += 1
    assert not torch.equal(fit.to_torch().bias, module.bias)
    module.load_state_dict(torch.load(tmp_path / "module.pt"))
    assert torch.equal(module(y)["mean"], expected)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(module, (y,), dynamic_shapes={"y": {0: batch}})
    torch.export.save(exported, tmp_path / "module.pt2")
    again = torch.export.load(tmp_path / "module.pt2").module()
    more = torch.as_tensor(counts["counts"].values[:9])
    torch.testing.assert_close(again(more)["mean"], module(more)["mean"])


def test_a_reservoir_keeps_its_cell(counts):
    fit = models.ESN(hidden=10).fit(counts, range(20), range(20, 26))
    learned = dict(fit.to_torch().named_parameters())
    assert set(learned) == {"readout_weight", "readout_bias"}


def test_what_has_no_module(counts):
    train, valid = range(20), range(20, 26)
    with pytest.raises(CortseqError, match="a markov model has no state"):
        models.Markov(states=2).fit(counts, train, valid).to_torch()
    seen = models.Rate(hidden=4, epochs=1, discretise=4).fit(counts, train, valid)
    with pytest.raises(CortseqError, match=r"discretise: .*no derivative"):
        seen.to_torch()
    fit = models.Rate(hidden=4, epochs=1).fit(counts, train, valid)
    with pytest.raises(CortseqError, match=r"member: .*0 to 0"):
        fit.to_torch(1)
    with pytest.raises(CortseqError, match="inputs: the network was fitted with 0 inputs"):
        fit.to_torch()(torch.zeros(2, 4, 3), torch.zeros(2, 4, 1))
    other = models.Rate(hidden=5, epochs=1).fit(counts, train, valid)
    with pytest.raises(CortseqError, match=r"module: .*no parameter .* of shape"):
        fit.from_torch(other.to_torch())
