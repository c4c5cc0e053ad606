"""What a family writes: names of parameters, capabilities, and the settings that training sees."""

from typing import Literal

import numpy as np
import pytest
import torch
from families import recurrent, small, trained, with_setting
from untrained import untrained

from cortseq import models
from cortseq.data import Data
from cortseq.errors import CortseqError
from cortseq.models.horizons import seeds
from cortseq.networks.cell import Cell
from cortseq.networks.recurrent import Recurrent
from cortseq.networks.training.settings import Training
from cortseq.networks.training.strategies import Generalised


class Plain(Recurrent):
    """h' = tanh(W h + U x + b)."""

    family: Literal["plain_cell"] = "plain_cell"

    def start_parameters(self, n_in, bin_width, rng):
        n = self.hidden
        weights = {"recurrent": np.eye(n) / 2, "input_weight": rng.normal(size=(n, n_in))}
        return {**weights, "bias": np.zeros(n), "start": np.zeros(n)}

    def start(self, q):
        return (q["start"],)

    def step(self, q, state, drive):
        return (torch.tanh(state[0] @ q["recurrent"].mT + drive),)


# -- names of parameters -----------------------------------------------------------------------------


def without(*names, **other):
    """A cell whose start parameters lack `names` and have `other`."""

    class Changed(Plain):
        def start_parameters(self, n_in, bin_width, rng):
            given = super().start_parameters(n_in, bin_width, rng) | other
            return {name: value for name, value in given.items() if name not in names}

    return Changed(hidden=4, epochs=1)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (without("input_weight"), r"input_weight: .*plain_cell gives no `input_weight` \(n_drive, 3\)"),
        (without("bias"), r"bias: .*plain_cell gives no `bias` \(n_drive,\)"),
        (
            without(input_weight=np.zeros((4, 2))),
            r"`input_weight` \(4, 2\) and `bias` \(4,\).*\(n_drive, 3\)",
        ),
        (without(bias=np.zeros((4, 1))), r"`bias` \(4, 1\)"),
        (without("recurrent"), r"recurrent: .*plain_cell gives `recurrent` \(n_drive, hidden\)"),
        (without(readout_bias=np.zeros(3)), r"`readout_bias`, which belongs to the read-out"),
    ],
)
def test_names_that_a_cell_must_use_are_asked_for(counts, model, words):
    with pytest.raises(CortseqError, match=words):
        model.initial(Data.of(counts), 2, 0)


def test_a_cell_with_weights_of_its_own_needs_no_recurrent(counts):
    class Own(type(without("recurrent"))):
        def recurrent_weights(self, p):
            return torch.eye(4)

    assert set(Own(hidden=4).initial(Data.of(counts), 1, 0)) >= {"input_weight", "bias", "readout_weight"}


def test_an_own_cell_is_fitted_saved_and_read_again(counts, tmp_path):
    models.register(Plain)
    try:
        fit = Plain(hidden=4, epochs=2).fit(counts, range(20), range(20, 26), members=2)
        fit.save(tmp_path / "fit")
        again = models.load(tmp_path / "fit")
        assert type(again.model) is Plain and again.digest() == fit.digest()
        assert np.array_equal(again.log_prob(counts, [30]).values, fit.log_prob(counts, [30]).values)
        assert again.flow().dim == 4
    finally:
        models._outside.forget("plain_cell")


# -- capabilities ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", recurrent())
def test_signs_are_those_of_the_weights(family, counts):
    one = untrained(small(family), counts, members=2).member(1)
    assert (one.signs() is not None) == one.cell.signed
    if one.cell.signed:
        assert set(one.signs()) == {-1.0, 1.0} and (one.weights() * one.signs() >= 0).all()


@pytest.mark.parametrize("family", recurrent())
def test_gates_are_shares(family, counts):
    one = untrained(small(family), counts).member()
    state, drive = one.cell.start(one.q), one.drive(torch.ones(3, dtype=torch.float64))
    gates = one.cell.gates(one.q, state, drive)
    assert tuple(gates) == one.cell.gate_names
    for gate in gates.values():
        assert gate.shape == (one.cell.hidden,) and (gate > 0).all() and (gate < 1).all()


def test_a_shut_forget_gate_forgets(counts):
    """c' = i g where f = 0: gates say what `step` does."""
    one = untrained(models.Lstm(hidden=3), counts).member()
    drive = torch.cat([torch.tensor([0.3] * 3), torch.tensor([-800.0] * 3), torch.ones(6)]).double()
    h, c = torch.zeros(3).double(), torch.ones(3).double()
    gates = one.cell.gates(one.q, (h, c), drive)
    assert gates["forget"].max() == 0
    expected = gates["input"] * torch.tanh(torch.ones(3).double())
    assert torch.allclose(one.cell.step(one.q, (h, c), drive)[1], expected)
    assert torch.allclose(one.cell.step(one.q, (h, c), drive)[0], gates["output"] * torch.tanh(expected))


@pytest.mark.parametrize("family", recurrent())
def test_a_cell_with_a_lipschitz_constant_is_leaky(family, counts):
    """h' moves by at most (1 - a + a L |W|) |dh|, with `recurrent` and `leak` as derived."""
    one = untrained(small(family), counts, seed=1).member()
    if one.cell.lipschitz is None:
        assert "leak" not in one.q or one.cell.plastic
        return
    rng = np.random.default_rng(0)
    h, other = (torch.from_numpy(rng.normal(size=one.cell.hidden)).abs() for _ in range(2))
    moved = torch.linalg.norm(one.step(h, torch.ones(3).double()) - one.step(other, torch.ones(3).double()))
    a = one.q["leak"].reshape(-1)
    norm = torch.linalg.matrix_norm(a.reshape(-1, 1) * one.q["recurrent"], 2)
    bound = ((1 - a).max() + one.cell.lipschitz * norm) * torch.linalg.norm(h - other)
    assert 0 < moved <= bound


@pytest.mark.parametrize("family", with_setting("nonlinearity") + recurrent())
def test_a_rectified_cell_steps_as_it_says(family, counts):
    """h' = (1 - a) h + a relu(W h + U x + b), its state being h alone."""
    more = {"nonlinearity": "relu"} if family in with_setting("nonlinearity") else {}
    one = untrained(small(family, **more), counts, seed=1).member()
    assert one.cell.rectified or not more
    if not one.cell.rectified:
        return
    h = torch.linspace(-1, 1, one.cell.hidden, dtype=torch.float64)
    drive = one.drive(torch.ones(3, dtype=torch.float64))
    target, a = torch.relu(one.q["recurrent"] @ h + drive), one.q["leak"].reshape(-1)
    assert one.dim == one.cell.hidden and 0 < int((target > 0).sum()) < one.cell.hidden
    assert torch.allclose(one.step(h, torch.ones(3, dtype=torch.float64)), (1 - a) * h + a * target)


@pytest.mark.parametrize("family", trained())
def test_the_first_part_of_the_state_decides_the_next_where_it_can_be_forced(family, signal):
    """Strategies that force it are refused elsewhere: they would do nothing."""
    one = untrained(small(family), signal).member()
    state = one.cell.start(one.q)
    drive = torch.zeros(len(one.q["bias"]), dtype=torch.float64)
    pushed = (state[0] + 1, *state[1:])
    after = [one.cell.step(one.q, tuple(p[None] for p in parts), drive[None]) for parts in (state, pushed)]
    moved = max(float((a - b).abs().max()) for a, b in zip(*after, strict=True))
    assert (moved > 0) == one.cell.forceable
    forced = small(family, strategy=Generalised())
    if one.cell.forceable:
        forced.check(Data.of(signal))
    else:
        with pytest.raises(CortseqError, match="no later state"):
            forced.check(Data.of(signal))


@pytest.mark.parametrize("family", recurrent())
def test_synapses_are_those_of_a_state_of_three_parts(family, counts):
    one = untrained(small(family), counts).member()
    assert one.cell.plastic == (family in with_setting("rate_scale"))
    if one.cell.plastic:
        assert one.sizes == (one.cell.hidden,) * 3
        constants = one.cell.synapses(one.q)
        assert all(c.shape == (one.cell.hidden,) and (c > 0).all() for c in constants)
        assert (constants.use < 1).all()


def test_a_reservoir_is_the_cell_that_is_not_learned(counts):
    for family in recurrent():
        cell = set(small(family).start_parameters(3, 0.02, np.random.default_rng(0)))
        assert (
            (cell <= small(family).fixed) == models.registry()[family].reservoir == (family not in trained())
        )


def test_a_cell_has_no_capability_by_default():
    model = Plain(hidden=2)
    assert not (
        model.signed
        or model.plastic
        or model.saturates
        or model.rectified
        or model.reservoir
        or model.has_tangent
    )
    assert model.lipschitz is None and model.gate_names == () and model.signs({}) is None


# -- settings and vocabulary -------------------------------------------------------------------------


def test_training_is_the_part_of_the_settings_that_training_sees():
    model = models.Lstm(epochs=7, truncate=3, hidden=5)
    assert type(model.training) is Training and model.training.input_dropout == 0.3
    shared = {name: getattr(model, name) for name in Training.model_fields}
    assert model.training.model_dump() == Training(**shared).model_dump()
    assert not set(Training.model_fields) & {*Cell.model_fields, "memory", "skip", "mixture", "discretise"}


def test_a_fit_forecasts_from_a_recording(any_recording):
    fit = untrained(small("rate"), any_recording, members=2)
    trials, data = [3, 4], Data.of(any_recording, [3, 4])
    found = fit.forecast(any_recording, [1, 3], trials, samples=8, seed=2)
    one, other = (fit.model.forecast(fit.params, data, [1, 3], 4, seed) for seed in seeds(2, 2))
    both = np.log((np.exp(one) + np.exp(other)) / 2)
    assert np.allclose(found, 2 * both - (one + other) / 2, atol=1e-9, equal_nan=True)
    assert np.array_equal(found[..., 0], fit.log_prob(any_recording, trials).values, equal_nan=True)
    plug = fit.plug_in(any_recording, [1], trials)
    assert np.array_equal(plug[..., 0], found[..., 0], equal_nan=True)
    longest = fit.recall(any_recording, [1, 100], trials)[1]
    assert np.allclose(longest, found[..., 0], atol=1e-10, equal_nan=True)


@pytest.mark.parametrize("asked", ["states", "flow", "member", "recall", "plug_in", "expected"])
def test_what_only_networks_have_is_said(counts, asked):
    fit = models.Null().fit(counts, range(20), range(20, 26))
    given = {
        "states": (counts,),
        "recall": (counts, [1]),
        "plug_in": (counts, [1]),
        "expected": (np.zeros(3),),
    }
    with pytest.raises(CortseqError, match=r"a null model has no .*choose a recurrent model"):
        getattr(fit, asked)(*given.get(asked, ()))
