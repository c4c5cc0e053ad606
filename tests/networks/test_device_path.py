"""What a CUDA device runs, checked on a CPU: the recorded engine runs here as it is, step by step."""

import contextlib

import numpy as np
import pytest
import torch
from families import restarting, small, trained
from torch.utils._python_dispatch import TorchDispatchMode

from cortseq import models
from cortseq.data import Data
from cortseq.models.base import Run
from cortseq.networks.network import affine
from cortseq.networks.training import bptt, engines, gradient, noise, roles
from cortseq.networks.training.engines import graphed
from cortseq.networks.training.engines.graphed import Graphed
from cortseq.networks.training.strategies import Generalised, Scheduled, Teacher

CHOOSE = engines.choose
NOISY = {"input_dropout": 0.3, "hidden_dropout": 0.2, "input_noise": 0.1}


@pytest.fixture
def made(monkeypatch):
    """All fits run on the recorded engine; the list has every engine that was made."""
    found = []

    def choose(network, data, params, training, device="cpu", together=False, strategy=None):
        assert strategy is None
        found.append(Graphed(network, data, params, training, "cpu"))
        return found[-1]

    monkeypatch.setattr(engines, "choose", choose)
    return found


def learned(model, recording, members, dtype=np.float32):
    """All members of a fit together."""
    train, valid = Data.of(recording, range(20)), Data.of(recording, range(20, 26))
    params = model.initial(train, members, 0, dtype)
    return gradient.descend(model.network(train), model.training, params, train, valid, Run(), True)


def ready(model, data, members, dtype=np.float64):
    """An engine, parameters that learn, and a function (trials, draws) -> loss (member,)."""
    stacked = model.initial(data, members, 0, dtype)
    engine, fixed = (
        Graphed(model.network(data), data, stacked, model.training, "cpu"),
        model.network(data).fixed,
    )
    p = {k: (v if members > 1 else v[0]).clone() for k, v in stacked.items()}
    p = {k: v.requires_grad_(k not in fixed) for k, v in p.items()}

    def loss(trials, draws=None):
        return bptt.gradient(engine, p, engine.batch(np.tile(np.array(trials), (members, 1)), draws))

    return engine, p, loss


class Largest(TorchDispatchMode):
    """Notes the most numbers that one result of an operation holds; views of what is there count too."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, operation, types, given=(), named=None):
        result = operation(*given, **(named or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


def test_a_matrix_of_each_member_is_not_copied_for_every_trial():
    """Three members, 7 trials, 2 bins: neither the product nor its gradient holds 7 times the matrices."""
    random = torch.Generator().manual_seed(0)
    weight, bias, x = (
        torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 20, 30), (3, 20), (3, 7, 2, 30))
    )
    with Largest() as largest:
        y = affine(weight, bias, x)
        y.square().sum().backward()
    assert largest.numbers == weight.numel()
    plain = torch.einsum("mij,mbtj->mbti", weight, x) + bias[:, None, None]
    assert torch.allclose(y, plain, rtol=0, atol=1e-13)


# -- the recorded engine ------------------------------------------------------------------------------


def accumulator(value):
    """The node at which autograd would add up the gradient of a parameter."""
    return value.view_as(value).grad_fn.next_functions[0][0]


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("family", trained())
def test_no_node_of_a_step_lives_on(family, members, counts, monkeypatch):
    """Nodes of the trial runs would bring their stream into the recording."""
    engine, p, loss = ready(small(family), Data.of(counts), members)
    free = [value for value in p.values() if value.requires_grad]
    cell = type(engine.network.cell)
    derive = cell.derive

    def marking(self, parameters):
        q = derive(self, parameters)
        for value in free:  # a mark dies with its node
            accumulator(value).metadata["step"] = 0
        return q

    monkeypatch.setattr(cell, "derive", marking)
    loss(range(8))
    assert not any(accumulator(value).metadata for value in free)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_step_is_recorded_on_any_cuda_device(device, counts, monkeypatch):
    engine, _, loss = ready(small("rate"), Data.of(counts), 1)
    monkeypatch.setattr(Graphed, "_captured", lambda self, step: lambda: torch.zeros(1))
    assert loss(range(8))[0] != 0
    engine.recorded.clear()
    monkeypatch.setattr(torch, "zeros", lambda *a, device=None, zeros=torch.zeros, **k: zeros(*a, **k))
    monkeypatch.setattr(torch, "ones", lambda *a, device=None, ones=torch.ones, **k: ones(*a, **k))
    engine.device = device
    assert loss(range(8))[0] == 0


class Stopped:
    """Stands for the calls of `torch.cuda` around a recording, and notes them."""

    def __init__(self, monkeypatch, error):
        self.calls = []
        monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: "the stream before")
        monkeypatch.setattr(torch.cuda, "set_stream", self.calls.append)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: self.calls.append("waited"))
        self.error = error
        monkeypatch.setattr(graphed, "recorded", self.recorded)

    def recorded(self, step, generators):
        step()
        raise self.error


def test_a_step_that_cannot_be_recorded_runs_as_it_is(counts, monkeypatch):
    """The stream is the one before, the gradients have nothing of the trial runs, and the card says it."""
    engine, p, loss = ready(small("rate"), Data.of(counts), 2)
    plain = loss(range(8))
    gradients = {name: value.grad.clone() for name, value in p.items() if value.grad is not None}
    stopped = Stopped(monkeypatch, RuntimeError("operation not permitted"))
    before = engine.generators
    with pytest.warns(UserWarning, match="not recorded as a CUDA graph: operation not permitted"):
        step = engine._captured(engine.recorded[True, False][2])
    assert stopped.calls == ["the stream before", "waited"]
    assert all(torch.equal(p[name].grad, value) for name, value in gradients.items())
    assert engine.name == "graphed" + graphed.UNRECORDED and not set(before) & set(engine.generators)
    assert np.array_equal(step().numpy(), plain)


@pytest.mark.parametrize("later", [False, True])
def test_too_little_memory_is_an_error(later, counts, monkeypatch):
    """Also where leaving the recording raised another error after it."""
    engine, _, loss = ready(small("rate"), Data.of(counts), 1)
    loss(range(8))
    error = torch.cuda.OutOfMemoryError("too much")
    if later:
        error, error.__context__ = RuntimeError("capture invalidated"), error
    Stopped(monkeypatch, error)
    with pytest.raises(RuntimeError) as raised:
        engine._captured(engine.recorded[True, False][2])
    assert raised.value is error and engine.name == "graphed"


@pytest.mark.parametrize("family", ["rate", "gru"])
def test_noise_of_a_member_is_that_of_its_solo_fit(family, counts):
    """Dropout and noise of member 2 among three, and alone."""
    data, model = Data.of(counts), models.registry()[family](hidden=6, **NOISY)
    _, _, together = ready(model, data, 3)
    draws = [noise.Draws(0, member, 1, 4) for member in range(3)]
    losses = together(range(8), draws)
    assert len(set(losses)) == 3
    for member in range(3):
        stacked = model.initial(data, 3, 0, np.float64)
        alone = {k: v[member : member + 1] for k, v in stacked.items()}
        engine = Graphed(model.network(data), data, alone, model.training, "cpu")
        p = {k: v[0].clone() for k, v in alone.items()}
        engine.p = p
        batch = engine.batch(np.arange(8)[None], draws[member : member + 1])
        assert engine._replay(batch, learning=False)[0] == pytest.approx(losses[member], rel=1e-12)


@pytest.mark.parametrize("track", ["counts", "symbols", "signal"])
def test_windows_of_an_epoch_go_into_the_engine_that_is_there(track, made, request, monkeypatch):
    """Two engines for a whole fit, and the parameters of a fit that makes new ones every epoch.

    An epoch takes about half of the windows of 8 bins.
    """
    recording = request.getfixturevalue(track)
    model = models.Rate(hidden=5, memory=7, epochs=4, batch=8, **NOISY)
    kept = learned(model, recording, 2)
    assert len(made) == 2
    monkeypatch.setattr(Graphed, "replace", lambda *given: False)
    renewed = learned(model, recording, 2)
    assert len(made) == 2 + 5
    assert all(torch.equal(kept.params[name], value) for name, value in renewed.params.items())
    assert kept.curves.equals(renewed.curves)


@pytest.mark.parametrize(
    "strategy, on_cpu, on_gpu",
    [
        (Teacher(), ["plain"], ["plain"]),
        (Scheduled(final=1.0), ["plain"], ["plain"]),
        (Scheduled(), ["forced", "plain"], ["forced"]),
        (Scheduled(decay="constant"), ["forced"], ["forced"]),
        (Generalised(), ["forced"], ["forced"]),
    ],
)
def test_no_engine_is_made_that_learns_nothing(strategy, on_cpu, on_gpu, signal, monkeypatch):
    """On a GPU not for one step either. The engine of the validation trials comes on top, forced where states are."""
    asked = []
    monkeypatch.setattr(
        engines, "choose", lambda network, data, strategy=None, **more: (asked.append(strategy), data.y)[1]
    )
    model, data = small("rate", strategy=strategy), Data.of(signal)
    for device, wanted in (("cpu", on_cpu), ("cuda", on_gpu)):
        asked.clear()
        roles.Roles(roles.Session(model.network(data), {}, data, data), model.training, device, True, 0)
        valid = "forced" if strategy.inverts else "plain"
        assert ["plain" if s is None else "forced" for s in asked] == [*wanted, valid]


@pytest.mark.parametrize("members, batch, most", [(1, 4, 26), (64, 4, 4), (64, 16, 16), (20, 4, 12)])
def test_validation_holds_no_more_trials_than_a_training_step(members, batch, most, counts, made):
    """256 trials of one member, fewer of many, never fewer than a training step takes."""
    model = small("rate", hidden=2, epochs=1, batch=batch)
    train, valid = Data.of(counts, range(8)), Data.of(counts, range(8, 34))
    params = model.initial(train, members, 0)
    gradient.descend(model.network(train), model.training, params, train, valid, Run(), True)
    assert made[1].recorded[False, False][0].shape == (members, most)


@pytest.mark.parametrize("track", ["counts", "symbols", "signal"])
@pytest.mark.parametrize("family", trained())
def test_a_fit_of_the_recorded_engine_equals_the_one_of_a_cpu(family, track, made, request, monkeypatch):
    """All members at once against one after another, without noise, whole trials and windows: 1e-8."""
    recording = request.getfixturevalue(track)
    for more in ({}, {"memory": 5}) if family in restarting() else ({},):
        model = small(family, input_dropout=0, hidden_dropout=0, **more)
        recorded = learned(model, recording, 2, np.float64)
        with monkeypatch.context() as patch:
            patch.setattr(engines, "choose", CHOOSE)
            train, valid = Data.of(recording, range(20)), Data.of(recording, range(20, 26))
            params = model.initial(train, 2, 0, np.float64)
            alone = gradient.descend(model.network(train), model.training, params, train, valid, Run())
        assert recorded.card["execution"] == "graphed" != alone.card["execution"]
        for name, value in alone.params.items():
            assert torch.allclose(recorded.params[name], value, rtol=0, atol=1e-8), (name, more)
