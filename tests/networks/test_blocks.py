"""Stacks of diagonal recurrences: all bins at once and bin by bin, what a block computes, what it can learn."""

import numpy as np
import pytest
import torch
from families import recurrent, small
from untrained import untrained

from cortseq import models
from cortseq import recording as rec
from cortseq.networks.blocks import Blocks
from cortseq.networks.layers import numbered
from cortseq.networks.network import repeated
from cortseq.sources.synthetic import SOURCE

IN_BLOCKS = [name for name in recurrent() if issubclass(models.registry()[name], Blocks)]


def moved(fit, seed=0, spread=0.3):
    """The fit with all its parameters away from their start values."""
    rng = np.random.default_rng(seed)
    for name, value in fit.params.items():
        if name not in fit.model.fixed:
            fit.params[name] = value + torch.from_numpy(rng.normal(0, spread, value.shape))
    return fit


def begun(fit, members, n_time=9, seed=1):
    """The cell, what it derives, a start state repeated over trials, and drives: of one member or of all."""
    cell = fit.model
    p = {name: value if members else value[0] for name, value in fit.params.items()}
    q = cell.derive(p)
    outer = (len(fit.params["bias"]),) if members else ()
    random = torch.Generator().manual_seed(seed)
    drives = torch.randn((*outer, 4, n_time, cell.hidden), dtype=torch.float64, generator=random)
    return cell, q, repeated(cell.start(q), (*outer, 4)), drives


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("members", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("family", IN_BLOCKS)
def test_all_bins_at_once_are_the_bins_one_by_one(family, layers, members, dropped, counts):
    cell, q, state, drives = begun(moved(untrained(small(family, layers=layers), counts, members=2)), members)
    random = torch.Generator().manual_seed(2)
    kept = [
        torch.randint(0, 3, (*drives.shape[:-1], size), generator=random).double() * dropped
        for size in cell.places
    ]
    kept = kept if dropped else []
    expected = [state]
    for t in range(drives.shape[-2]):
        now = [factor[..., t, :] for factor in kept]
        expected.append(cell.dropped_step(q, expected[-1], drives[..., t, :], now))
    found = cell.through_time(q, state, drives, kept)
    for part, each in zip(found, zip(*expected, strict=True), strict=True):
        assert torch.allclose(part, torch.stack(each, -2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", IN_BLOCKS)
def test_members_together_are_members_alone(family, counts):
    fit = moved(untrained(small(family), counts, members=2))
    cell, q, state, drives = begun(fit, members=True)
    together = cell.through_time(q, state, drives)
    for m in range(2):
        alone = cell.derive({name: value[m] for name, value in fit.params.items()})
        found = cell.through_time(alone, repeated(cell.start(alone), (4,)), drives[m])
        for part, expected in zip(together, found, strict=True):
            assert torch.allclose(part[m], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", IN_BLOCKS)
def test_no_bin_sees_what_comes_after(family, counts):
    """Drives from bin 5 on are others: the states before them stay, bit for bit, and the next one moves."""
    cell, q, state, drives = begun(moved(untrained(small(family), counts)), members=False)
    before = cell.through_time(q, state, drives)
    changed = drives.clone()
    changed[..., 5:, :] = drives[..., :-5, :]
    for part, other in zip(before, cell.through_time(q, state, changed), strict=True):
        assert torch.equal(part[..., :6, :], other[..., :6, :])
        assert not torch.allclose(part[..., 6, :], other[..., 6, :])


@pytest.mark.parametrize("spread", [1.0, 30.0])
@pytest.mark.parametrize("family", IN_BLOCKS)
def test_every_number_of_the_state_decays_whatever_was_learned(family, spread, counts):
    """Without input into the recurrences no state grows, for parameters as large as one likes, in float32."""
    fit = moved(untrained(small(family), counts), spread=spread)
    cell = fit.model
    q = cell.derive({name: value[0].float() for name, value in fit.params.items()})
    seen = 10 * torch.randn(50, cell.hidden, generator=torch.Generator().manual_seed(0))
    factors = []

    def carried(a, w):
        factors.append(a)
        return torch.zeros_like(w)

    for number in range(1, cell.layers + 1):
        cell.block(numbered(q, number), seen, carried)
    assert len(factors) == cell.layers and all((a.abs() < 1).all() for a in factors)


# -- what an lru is, in closed form ------------------------------------------------------------------


def eigenvalues(fit):
    """lambda of all layers by the formula, (layers x hidden / 2,)."""
    p, found = fit.params, []
    for number in range(1, fit.model.layers + 1):
        nu, theta = (p[f"{name}_{number}"][0].numpy() for name in ("nu", "theta"))
        found.append(np.exp(-np.exp(nu) - 1e-6 + 1j * np.exp(theta)))
    return np.concatenate(found)


def test_states_of_a_layer_are_geometric_sums(counts):
    """A constant drive: x_t = lambda^t x_0 + gamma B v (1 - lambda^t) / (1 - lambda)."""
    fit = moved(untrained(small("lru", layers=1), counts))
    cell, q, state, drives = begun(fit, members=False, n_time=30)
    drives[:] = drives[0, 0].clone()
    x = cell.through_time(q, state, drives)[1][0].numpy()
    x = x[:, ::2] + 1j * x[:, 1::2]
    a, p = eigenvalues(fit), {name: value[0].numpy() for name, value in fit.params.items()}
    z = drives[0, 0].numpy()
    v = p["norm_scale_1"] * (z - z.mean()) / np.sqrt(z.var() + 1e-5) + p["norm_shift_1"]
    into = p["into_1"][::2] + 1j * p["into_1"][1::2]
    w = np.sqrt(1 - np.abs(a) ** 2) * (into @ v)
    powers = a ** np.arange(31)[:, None]
    assert np.allclose(x, powers * x[0] + w * (1 - powers) / (1 - a), rtol=1e-10, atol=1e-12)


def test_the_open_loop_has_the_eigenvalues_of_the_layers(counts):
    """All lambda and their conjugates, and 0 for what the read-out sees, whatever the state."""
    fit = moved(untrained(small("lru", layers=2), counts))
    flow = fit.flow(map="open")
    state = torch.from_numpy(np.random.default_rng(3).normal(size=flow.dim))
    jacobian = torch.func.jacrev(flow)(state).numpy()
    found, expected = np.linalg.eigvals(jacobian), eigenvalues(fit)
    expected = np.concatenate([np.zeros(fit.model.hidden), expected, expected.conj()])
    assert len(found) == len(expected)
    distance = np.abs(found[:, None] - expected)
    assert distance.min(0).max() < 1e-6 and distance.min(1).max() < 1e-6


def test_eigenvalues_start_in_the_ring(counts):
    fit = untrained(small("lru", hidden=800, radius_min=0.5, radius_max=0.9, phase_max=0.3), counts)
    found = eigenvalues(fit)
    modulus, phase = np.abs(found), np.angle(found)
    assert 0.5 < modulus.min() < 0.52 and 0.89 < modulus.max() < 0.9
    assert 0 < phase.min() < 0.01 and 0.29 < phase.max() < 0.3
    # even over the area of the ring: the square of the modulus is uniform
    assert abs((modulus**2).mean() - (0.5**2 + 0.9**2) / 2) < 0.02


# -- what a selective layer chooses ------------------------------------------------------------------


def test_a_small_step_keeps_and_a_large_step_forgets(counts):
    """Delta = 0 keeps every state but for the least decay; a large Delta leaves nothing of it."""
    for bias, share in ((-60.0, np.exp(-1e-6)), (60.0, 0.0)):
        fit = untrained(small("selective", layers=1), counts)
        fit.params["step_bias_1"][:] = bias
        cell, q, state, drives = begun(fit, members=False, n_time=1)
        before = torch.randn(4, cell.width, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
        still = cell.step(q, (state[0], torch.zeros_like(before)), drives[:, 0])[1]
        after = cell.step(q, (state[0], before), drives[:, 0])[1]
        assert torch.allclose(after - still, share * before, rtol=1e-12, atol=1e-12)


# -- what they learn ---------------------------------------------------------------------------------


def excess(kind, model, learned=200, valid=40, tested=60):
    """Nats per symbol above what is exactly known of a process: of the best chain of order 0 to 4, and of a network."""
    trials = learned + valid + tested
    raw = SOURCE(source="synthetic", kind=kind, trials=trials, bins=60).load(None, 0)
    labels = raw["symbols"].values
    recording = rec.from_symbols(list(labels), n_symbols=int(labels.max() + 1))
    roles = range(learned), range(learned, learned + valid)
    test = range(learned + valid, trials)
    least = -raw["ceiling"].values[test.start :].mean()
    chains = [models.Markov(order=k).fit(recording, *roles) for k in range(5)]
    fit = model.fit(recording, *roles)
    losses = [-one.log_prob(recording, test).values.mean() for one in (*chains, fit)]
    return min(losses[:-1]) - least, losses[-1] - least


QUIET = {"hidden": 16, "learning_rate": 0.01, "input_dropout": 0.0, "hidden_dropout": 0.0}


def test_an_lru_learns_a_process_of_no_finite_order():
    """Even process: runs of ones have even length. Alternation needs eigenvalues of large phase."""
    chain, network = excess("even", models.Lru(epochs=20, phase_max=3.1, **QUIET))
    assert chain > 0.03 and network < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("family", IN_BLOCKS)
def test_what_was_seen_six_symbols_ago_is_remembered(family):
    """Embedded strings of Reber: the second symbol of a string decides its last but one; no finite order."""
    chain, network = excess("embedded_reber", models.registry()[family](epochs=30, **QUIET))
    assert chain > 0.03 and network < 0.02


def test_blocks_add_to_the_stream():
    """Where no block adds anything, the read-out sees the normalised drive."""
    model = models.registry()["lru"].small(layers=3)
    p = {k: torch.from_numpy(v) for k, v in model.start_parameters(4, 0.02, np.random.default_rng(0)).items()}
    p |= {name: torch.zeros_like(value) for name, value in p.items() if name.startswith("gate_")}
    q = model.derive(p)
    drive = torch.randn(5, model.hidden, dtype=torch.float64)
    state = tuple(part.expand(5, -1) for part in model.start(q))
    out = model.step(q, state, drive)[0]
    centred = drive - drive.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    assert torch.allclose(out, expected, atol=1e-9)
