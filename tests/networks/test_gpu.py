"""What only a CUDA device can show: recorded steps, members at once, the same likelihood as on a CPU."""

import warnings

import numpy as np
import pytest
import torch
from families import small, trained

from cortseq import models
from cortseq.data import Data
from cortseq.networks.training import bptt, engines
from cortseq.networks.training.engines.generic import Generic

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
FAMILIES = trained()


@pytest.mark.parametrize("members", [1, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_recorded_step_equals_the_step(family, members, any_recording):
    """CUDA graph against automatic differentiation on the same device, double precision, several replays."""
    data = Data.of(any_recording)
    model = small(family, hidden=6, input_dropout=0, hidden_dropout=0)
    stacked = {k: v.to("cuda") for k, v in model.initial(data, members, 0, np.float64).items()}
    cpu = {k: v.cpu() for k, v in stacked.items()}
    recorded = engines.choose(model.network(data), data, cpu, model.training, "cuda", together=True)
    assert recorded.name == "graphed"
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a step that could not be recorded warns
        for engine in (Generic(model.network(data), data, cpu, model.training, "cuda"), recorded):
            p = {k: (v if members > 1 else v[0]).clone() for k, v in stacked.items()}
            p = {k: v.requires_grad_(k not in model.network(data).fixed) for k, v in p.items()}
            for value in p.values():
                value.grad = torch.zeros_like(value) if value.requires_grad else None
            losses = [
                bptt.gradient(engine, p, engine.batch(np.tile(np.arange(n), (members, 1))))
                for n in (8, 5, 8, 8)
            ]
            found.append((np.array(losses), {k: v.grad.cpu() for k, v in p.items() if v.grad is not None}))
    assert np.allclose(found[0][0], found[1][0], rtol=1e-10)
    for name, value in found[0][1].items():
        assert torch.allclose(value, found[1][1][name], atol=1e-9), name


@pytest.mark.parametrize("members", [1, 5])
@pytest.mark.parametrize("family", [name for name in FAMILIES if small(name).fusion])
def test_a_fused_step_equals_the_recorded_one(family, members, any_recording):
    """The loop over time in one Triton kernel, single precision, several replays."""
    data = Data.of(any_recording)
    model = small(family, hidden=20, input_dropout=0, hidden_dropout=0)
    stacked = model.initial(data, members, 0)
    stacked["readout_weight"] += 0.1  # where it is 0 no gradient reaches the loop
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for execution in ("auto", "fused"):
            training = model.training.model_copy(update={"execution": execution})
            engine = engines.choose(model.network(data), data, stacked, training, "cuda", together=True)
            p = {k: (v if members > 1 else v[0]).to("cuda") for k, v in stacked.items()}
            p = {k: v.clone().requires_grad_(k not in model.network(data).fixed) for k, v in p.items()}
            for value in p.values():
                value.grad = torch.zeros_like(value) if value.requires_grad else None
            losses = [
                bptt.gradient(engine, p, engine.batch(np.tile(np.arange(n), (members, 1))))
                for n in (20, 5, 20)
            ]
            gradients = {k: v.grad.cpu() for k, v in p.items() if v.grad is not None}
            found.append((engine.name, np.array(losses), gradients))
    assert [name for name, _, _ in found] == ["graphed", "fused"]
    assert np.allclose(found[0][1], found[1][1], rtol=1e-4)
    for name, value in found[0][2].items():
        most = max(float(value.abs().max()), 1e-2)
        assert float((found[1][2][name] - value).abs().max()) < 1e-3 * most, name


@pytest.mark.parametrize("family", FAMILIES)
def test_the_likelihood_is_that_of_a_cpu_fit(family, counts):
    """A few epochs without noise: 1e-3 bits/spike."""
    model = small(family, hidden=8, epochs=5, batch=32, input_dropout=0, hidden_dropout=0)
    a, b = (model.fit(counts, range(20), range(20, 26), members=3, device=d) for d in ("cpu", "cuda"))
    spikes = counts["counts"].values.sum()
    bits = (
        (a.log_prob(counts).values.sum((1, 2)) - b.log_prob(counts).values.sum((1, 2))) / spikes / np.log(2)
    )
    assert np.abs(bits).max() < 1e-3


def test_dropout_on_the_device_learns(counts):
    model = models.Rate(hidden=16, epochs=60, batch=8, input_dropout=0.2, hidden_dropout=0.1)
    fit = model.fit(counts, range(20), range(20, 26), members=4, device="cuda")
    null = models.Null().fit(counts, range(20), range(20, 26))
    gain = (
        fit.log_prob(counts, range(26, 40)).values.sum((1, 2))
        - null.log_prob(counts, range(26, 40)).values.sum()
    )
    assert (gain > 50).all() and fit.card["execution"] == "graphed"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_member_with_dropout_equals_its_solo_fit(family, counts):
    """Its random numbers are its own; a few epochs, to rounding."""
    model = small(family, hidden=8, epochs=2, batch=16, input_dropout=0.2, hidden_dropout=0.2)
    several, alone = (
        model.fit(counts, range(20), range(20, 26), members=n, seed=1, device="cuda") for n in (3, 1)
    )
    for name, value in alone.params.items():
        assert torch.allclose(several.params[name][:1], value, atol=1e-4), name


def test_windows_of_a_limited_memory_are_recorded_once(counts, monkeypatch):
    from cortseq.networks.training.engines import graphed

    recordings, record = [], graphed.recorded
    monkeypatch.setattr(graphed, "recorded", lambda *given: recordings.append(1) or record(*given))
    model = models.Rate(hidden=8, memory=7, epochs=4, batch=8)
    fit = model.fit(counts, range(20), range(20, 26), members=2, device="cuda")
    assert fit.card["execution"] == "graphed" and len(recordings) == 2  # learning, and validation
