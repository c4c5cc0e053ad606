"""Cells in layers: what a stack computes, what is shared with a single layer, and what analyses make of it."""

import numpy as np
import pytest
import torch
from families import small, trained, with_setting
from untrained import untrained

import cortseq
from cortseq import dynamics, models
from cortseq.data import Data
from cortseq.dynamics import laboratory
from cortseq.dynamics.laboratory import closed_loop
from cortseq.models.base import Checkpoint, Fit
from cortseq.models.progress import silent
from cortseq.models.work import Size
from cortseq.networks import parameters
from cortseq.networks.layers import layer
from cortseq.networks.network import Network
from cortseq.networks.stacked import Stacked
from cortseq.networks.training import engines, gradient, noise
from cortseq.networks.training.engines import compiled, loss_and_gradient
from cortseq.stages import work

FAMILIES = [family for family in trained() if issubclass(models.registry()[family], Stacked)]
TRAIN, VALID = range(20), range(20, 26)


def started(model, n_in, seed=0):
    """Random parameters of one member, float64, none of them 0."""
    rng = np.random.default_rng(seed)
    p = model.start_parameters(n_in, 0.02, rng)
    return {name: torch.from_numpy(value + rng.normal(0, 0.2, value.shape)) for name, value in p.items()}


def fitted(recording, family, **more):
    model = small(family, **{"layers": 2, "hidden_dropout": 0.2, **more})
    return model.fit(recording, TRAIN, VALID, members=2, seed=3, progress=silent)


# -- what a stack computes ---------------------------------------------------------------------------


def test_these_families_have_layers():
    assert {"lstm", "gru", "rate"} <= set(FAMILIES) <= set(with_setting("layers"))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("family", ["lstm", "gru"])
def test_a_stack_equals_that_of_torch(family, layers):
    model = models.registry()[family](hidden=5, layers=layers)
    p = started(model, 3)
    theirs = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[family](3, 5, layers, batch_first=True).double()
    with torch.no_grad():
        for number in range(1, layers + 1):
            own, at = layer(p, number), f"l{number - 1}"
            getattr(theirs, f"weight_ih_{at}").copy_(own["input_weight" if number == 1 else "below"])
            getattr(theirs, f"weight_hh_{at}").copy_(own["recurrent"])
            getattr(theirs, f"bias_ih_{at}").copy_(own["bias"])
            getattr(theirs, f"bias_hh_{at}").zero_()
            if family == "gru":
                getattr(theirs, f"bias_hh_{at}")[10:] = own["candidate_bias"]
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 9, 3)))
    parts = model.start(p)  # the top layer first; torch has the bottom one first
    begin = [torch.stack(parts[at :: model.layer_parts]).flip(0) for at in range(model.layer_parts)]
    begin = [part.unsqueeze(1).expand(layers, 4, 5).contiguous() for part in begin]
    expected, last = theirs(x, tuple(begin) if family == "lstm" else begin[0])
    network = Network(model, None)
    assert torch.allclose(network.scan(p, x)[:, 1:], expected[:, :-1], rtol=0, atol=1e-12)
    padded = torch.cat([x, torch.zeros_like(x[:, :1])], 1)  # the last step is made where a bin follows
    states = network.scan(p, padded, states=True)[:, -1]
    last = torch.stack([last] if family == "gru" else list(last))  # (part, layer, trial, hidden)
    assert torch.allclose(states, torch.cat([*last.flip(1).swapaxes(0, 1).flatten(0, 1)], -1), atol=1e-12)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_a_stack_of_leaky_layers_by_hand(nonlinearity):
    model = models.Rate(hidden=4, layers=3, nonlinearity=nonlinearity)
    p = {name: value.numpy() for name, value in started(model, 2).items()}
    x = np.random.default_rng(1).normal(size=(7, 2))
    h = dict(zip((3, 2, 1), np.split(p["start"], 3), strict=True))
    phi = np.tanh if nonlinearity == "tanh" else lambda z: np.maximum(z, 0)
    expected = [h[3]]
    for seen in x:
        below = seen
        for number in (1, 2, 3):
            end = "" if number == 1 else f"_{number}"
            into = p["input_weight" if number == 1 else f"below{end}"]
            a = 1 / (1 + np.exp(-p[f"leak_raw{end}"]))
            target = phi(p[f"recurrent{end}"] @ h[number] + into @ below + p[f"bias{end}"])
            h[number] = (1 - a) * h[number] + a * target
            below = h[number]
        expected.append(h[3])
    tensors = {name: torch.from_numpy(value) for name, value in p.items()}
    found = Network(model, None).scan(tensors, torch.from_numpy(x)[None])[0]
    np.testing.assert_allclose(found.numpy(), expected[:-1], rtol=0, atol=1e-12)


# -- one layer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_first_layer_of_a_stack_begins_as_a_single_one(family):
    kind, rng = models.registry()[family], np.random.default_rng
    one, three = (kind(hidden=5, layers=n).start_parameters(3, 0.02, rng(0)) for n in (1, 3))
    for name in set(one) - {"start"}:
        assert one[name].tobytes() == three[name].tobytes(), name
    assert three["start"].size == 3 * one["start"].size
    own = set(one) - {"start", "input_weight"} | {"below"}
    assert set(three) == set(one) | {f"{name}_{number}" for name in own for number in (2, 3)}
    assert three["below_2"].shape == (len(one["bias"]), 5)
    assert not np.array_equal(three["recurrent_2"], three["recurrent_3"])


def alone(family):
    """The family as a cell that knows of no layers: its own methods under the names of `Cell`."""
    kind = models.registry()[family]

    class Alone(kind):
        step, tangent = kind.layer_step, kind.layer_tangent
        derive, gates = kind.layer_derive, kind.layer_gates

        def start_parameters(self, n_in, bin_width, rng):
            return self.layer_parameters(n_in, rng)

        def start(self, q):
            return self.layer_start(q["start"])

    return Alone


@pytest.mark.parametrize("execution", ["auto", "generic"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_layer_is_the_cell_itself_bit_for_bit(family, execution, counts):
    how = {"hidden": 5, "epochs": 3, "batch": 8, "hidden_dropout": 0.3, "execution": execution}
    fits = [
        kind(**how).fit(counts, TRAIN, VALID, members=2, seed=3, progress=silent)
        for kind in (models.registry()[family], alone(family))
    ]
    assert fits[0].digest() == fits[1].digest()
    assert fits[0].card["execution"] == ("compiled" if execution == "auto" else "generic")
    assert np.array_equal(fits[0].states(counts, [30]).values, fits[1].states(counts, [30]).values)
    state = torch.from_numpy(fits[0].states(counts, [30]).values[1, 0, 3])
    frame = torch.eye(len(state), dtype=torch.float64)
    assert torch.equal(*(fit.flow(1, "closed").push(state, frame)[1] for fit in fits))


# -- dropout between layers --------------------------------------------------------------------------


def losses(model, data, execution, draws):
    """Loss of four trials, in double precision, with and without a gradient."""
    stacked = model.initial(data, 1, 0, np.float64)
    training = model.training.model_copy(update={"execution": execution})
    engine = engines.choose(model.network(data), data, stacked, training)
    p = {name: value[0] for name, value in stacked.items()}
    engine.prepare(p)
    return p, engine.loss(engine.batch(np.arange(4)[None], draws))[0]


@pytest.mark.parametrize("execution", ["auto", "generic"])
def test_dropout_acts_between_layers_while_a_network_learns(execution, counts):
    """By hand: factors on what layer 1 hands to layer 2, others on what the read-out sees."""
    data = Data.of(counts)
    model = models.Gru(hidden=5, layers=2, hidden_dropout=0.4, input_dropout=0.0)
    draws = noise.Draws(0, 0, 1, 0)
    p, found = losses(model, data, execution, [draws])
    network, (cut, scale) = model.network(data), noise.threshold(0.4)
    read, between = (
        torch.from_numpy((draws.words(purpose, (4, 16, 5)) >= cut) * scale)
        for purpose in (noise.HIDDEN, noise.BETWEEN)
    )
    assert not torch.equal(read, between) and {0.0, scale} == set(between.flatten().tolist())
    x, y, mask = network.tensors(p, data, range(4), torch.float64)
    top, bottom = (part.expand(4, 5) for part in model.start(p))
    total = 0.0
    for t in range(16):
        eta = network.readout(p, top * read[:, t])
        total -= float((network.observation.log_prob(p, eta, y[:, t]) * mask[:, t]).sum())
        (bottom,) = model.layer_step(p, (bottom,), network.drive(p, x[:, t]))
        drive = (bottom * between[:, t]) @ p["below_2"].mT + p["bias_2"]
        (top,) = model.layer_step(layer(p, 2), (top,), drive)
    assert found == pytest.approx(total, rel=1e-12)
    _, plain = losses(model.model_copy(update={"hidden_dropout": 0.0}), data, execution, [draws])
    assert losses(model, data, execution, [])[1] == plain != pytest.approx(found)


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_of_bins_change_nothing(family, counts, monkeypatch):
    """Gradients pass from layer to layer across the ends of blocks of one, two and three bins."""
    data, model = Data.of(counts), models.registry()[family](hidden=6, layers=3)
    params = {name: value[0] for name, value in model.initial(data, 1, 0, np.float64).items()}
    whole = loss_and_gradient(model, params, data, "compiled")
    for bins in (1, 2, 3):
        monkeypatch.setattr(compiled, "BLOCK", bins * len(data.y) * max(6, data.n_features))
        loss, gradients = loss_and_gradient(model, params, data, "compiled")
        assert loss == pytest.approx(whole[0], rel=1e-12)
        for name, found in gradients.items():
            np.testing.assert_allclose(found, whole[1][name], rtol=0, atol=1e-10, err_msg=name)


# -- what an analysis may ask ------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_has_no_single_matrix(family):
    one, two = small(family), small(family, layers=2)
    assert one.has_weights and not two.has_weights
    assert two.places == (6,) and one.places == ()
    assert two.lipschitz is None and not two.saturates and two.fusion is None
    assert two.has_kernel and two.has_tangent


@pytest.mark.parametrize("family", with_setting("forget_bias"))
def test_gates_are_those_of_all_layers(family, counts):
    """c' = f c + i g in every layer: what is kept of c is what the forget gates say, the top layer first."""
    one = untrained(small(family, layers=2), counts, seed=1).member()
    rng = np.random.default_rng(0)
    state = tuple(torch.from_numpy(rng.normal(size=6)) for _ in range(4))
    drive = torch.from_numpy(rng.normal(size=24))
    gates = one.cell.gates(one.q, state, drive)
    h_top, c_top, h_low, c_low = state
    step = one.cell.step(one.q, state, drive)
    moved = one.cell.step(one.q, (h_top, c_top + 1, h_low, c_low), drive)
    assert torch.allclose(moved[1] - step[1], gates["forget"][:6], atol=1e-12)
    moved = one.cell.step(one.q, (h_top, c_top, h_low, c_low + 1), drive)
    assert torch.allclose(moved[3] - step[3], gates["forget"][6:], atol=1e-12)
    assert set(gates) == set(one.cell.gate_names) and all(gate.shape == (12,) for gate in gates.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_analysis_of_a_stack(family, counts, monkeypatch):
    for name, few in (("_STEPS", 60), ("_WARM_UP", 20), ("_TWIN_STEPS", 12)):
        monkeypatch.setattr(closed_loop, name, few)
    fit, test = fitted(counts, family), np.arange(28, 40)
    found = laboratory.examine(fit, counts, test, test, "", 1, lambda *_: None)
    assert found.sizes["dim"] == fit.model.state_parts * 6 and np.isfinite(found["lyapunov"]).all()
    assert "weights" not in found and "gain" not in found and "lipschitz_ratio" not in found
    assert ("forget_path" in found) == ("forget" in fit.model.gate_names)
    flow = fit.flow(1, "closed")
    points = dynamics.fixed_points(flow, found["states"].values[1, :2].reshape(-1, flow.dim))
    assert len(points.states) and points.jacobians.shape[1:] == (flow.dim, flow.dim)
    for at, jacobian in zip(torch.from_numpy(points.states), points.jacobians, strict=True):
        assert torch.allclose(flow.function(at), at, atol=1e-6)
        automatic = torch.autograd.functional.jacobian(flow.function, at)
        np.testing.assert_allclose(jacobian, automatic.numpy(), rtol=0, atol=1e-8)


# -- settings that meet layers -----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_is_fitted_saved_and_read_again(family, any_recording, tmp_path):
    fit = fitted(any_recording, family)
    assert np.isfinite(fit.curves.valid_loss).all()
    fit.save(tmp_path / "fit")
    again = models.load(tmp_path / "fit")
    assert again.model == fit.model and again.digest() == fit.digest()
    scores = [one.log_prob(any_recording, VALID).values for one in (fit, again)]
    assert np.array_equal(*scores, equal_nan=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_of_limited_memory_sees_so_many_bins(family, counts):
    fit = fitted(counts, family, memory=3)
    whole = Fit(fit.model.model_copy(update={"memory": None}), fit.params, fit.card, fit.curves)
    found, expected = fit.log_prob(counts, [30, 31]).values, whole.recall(counts, [3], [30, 31])[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert not np.allclose(found, whole.log_prob(counts, [30, 31]).values)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_sees_population_states(family, counts):
    fit = fitted(counts, family, discretise=4)
    assert fit.params["input_weight"].shape[-1] == 4 and fit.params["below_2"].shape[-1] == 6
    assert np.isfinite(fit.log_prob(counts, [30]).values).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_recordings_share_all_layers(family, counts):
    two, model = {"a": counts, "b": counts.isel(unit=[0, 2])}, small(family, layers=2)
    fits = cortseq.fit_together(
        model, two, dict.fromkeys(two, TRAIN), dict.fromkeys(two, VALID), progress=silent
    )
    shared = set(fits["a"].card["shared"]["parameters"])
    assert {"recurrent", "recurrent_2", "below_2", "bias_2"} <= shared == parameters.of_cell(model, 0.02)
    for name in shared:
        assert np.array_equal(fits["a"].params[name], fits["b"].params[name]), name
    assert not np.array_equal(fits["a"].params["start"], fits["b"].params["start"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stack_goes_on_from_its_checkpoint(family, counts, tmp_path, monkeypatch):
    """Stopped after 4 steps (3 an epoch): it ends with the bytes of a fit that was never stopped."""
    expected, count, step = fitted(counts, family), 0, gradient._Descent._step

    def stopping(self, *arguments):
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(gradient._Descent, "_step", stopping)
    how = {"progress": silent, "checkpoint": Checkpoint(tmp_path / "c.safetensors", 0.0)}
    with pytest.raises(KeyboardInterrupt):
        expected.model.fit(counts, TRAIN, VALID, 2, 3, **how)
    monkeypatch.undo()
    lines = []
    how["progress"] = lambda line, fraction=None: lines.append(line)
    resumed = expected.model.fit(counts, TRAIN, VALID, 2, 3, **how)
    assert any("goes on at epoch 2" in line for line in lines)
    assert resumed.digest() == expected.digest()


# -- estimates of time -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_are_counted(family, counts):
    """Products of a bin are the weights of all layers; the state is that of all layers."""
    size = Size("counts", train=30, valid=0, bins=16, features=3, test=10)
    one, two = small(family), small(family, layers=2)
    amounts = [model.work(size)["product"] / (model.epochs * size.passed) for model in (one, two)]
    added = started(two, 3)
    gates = len(added["bias"]) // 6
    assert amounts[1] - amounts[0] == (added["recurrent_2"].numel() + added["below_2"].numel()) / gates
    dim = untrained(two, counts).member().dim
    assert two.state_parts * two.hidden == dim == 2 * untrained(one, counts).member().dim
    (scored,) = work.score(two, size).values()
    assert scored["product"] > work.score(one, size)["score/network"]["product"]
