"""All fixed points of networks of rectified units: against every sign pattern, and as known answers of the search."""

from itertools import product
from math import comb

import numpy as np
import pytest
import torch
from untrained import untrained

from cortseq import dynamics, models
from cortseq import recording as rec
from cortseq.dynamics import enumeration, laboratory, summary
from cortseq.dynamics.laboratory import enumerated
from cortseq.errors import CortseqError
from cortseq.networks import rectified
from cortseq.textbook.phenomena.chaotic_forcing import lorenz


def network(hidden, rank, seed, gain=2.0):
    """W of a rank and c, drawn."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(hidden, rank)) @ rng.normal(size=(rank, hidden))
    return gain * w / np.sqrt(hidden), rng.normal(size=hidden)


def step(w, c, leak=0.4):
    w, c = torch.from_numpy(w), torch.from_numpy(c)
    return lambda h: (1 - leak) * h + leak * torch.relu(w @ h + c)


def by_brute_force(w, c):
    """Fixed points from all 2^hidden sets of active units; W is not taken apart, and no region is looked for."""
    points = []
    for pattern in product([0.0, 1.0], repeat=len(c)):
        d = np.array(pattern)
        h = np.linalg.solve(np.eye(len(c)) - d[:, None] * w, d * c)
        received = w @ h + c
        if np.where(d > 0, received >= -1e-10, received <= 1e-10).all():
            points.append(h)
    return np.unique(np.round(points, 7).reshape(-1, len(c)) + 0.0, axis=0)


def both(points, others):
    """Largest distance of a point of either set (n, d) to the other set."""
    apart = np.linalg.norm(points[:, None] - others, axis=2)
    return max(apart.min(1).max(), apart.min(0).max())


CASES = [
    (hidden, rank, seed) for hidden, rank in [(8, 1), (10, 2), (9, 3), (6, 4), (5, 5)] for seed in range(8)
]


@pytest.mark.parametrize(("hidden", "rank", "seed"), CASES)
def test_points_are_those_of_all_sign_patterns(hidden, rank, seed):
    w, c = network(hidden, rank, seed, gain=3.0)
    found, wanted = dynamics.every_fixed_point(w, c), by_brute_force(w, c)
    assert found.rank == rank and found.singular == 0
    assert found.regions == sum(comb(hidden, k) for k in range(rank + 1))  # in general position
    assert len(found.states) == len(wanted)
    if len(wanted):
        assert both(found.states, wanted) < 1e-6
        np.testing.assert_allclose(np.maximum(found.states @ w.T + c, 0), found.states, atol=1e-9)
        assert ((found.states > 0) == found.active).all()


def test_the_cases_have_none_one_and_several_points():
    counts = {len(dynamics.every_fixed_point(*network(*case, gain=3.0)).states) for case in CASES}
    assert {0, 1, 2, 3} <= counts


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_units_that_are_alike_and_hyperplanes_through_one_point(rank):
    """Not in general position: twins, units in opposite directions, silent rows, no drive at all."""
    w, c = network(8, rank, 3, gain=3.0)
    w[1], c[1] = w[0], c[0]
    w[3], c[3] = -2 * w[2], -2 * c[2]
    w[5] = 0
    found = dynamics.every_fixed_point(w, c)
    assert found.regions < enumeration.most(8, rank)
    assert len(found.states) == len(by_brute_force(w, c))
    w, _ = network(7, rank, 4)
    undriven = dynamics.every_fixed_point(w, np.zeros(7))
    assert undriven.regions == 2 * sum(comb(6, k) for k in range(rank))  # of hyperplanes through one point
    np.testing.assert_allclose(undriven.states, np.zeros((1, 7)))


def test_a_network_without_weights_has_one_point():
    found = dynamics.every_fixed_point(np.zeros((3, 3)), [1.0, -2.0, 0.5])
    assert found.states.tolist() == [[1.0, 0.0, 0.5]] and (found.rank, found.regions) == (0, 1)


def test_a_flip_flop_by_hand():
    """h = relu(3 h - 1) at 0 and 1/2; of two units that inhibit each other both, or either, are on."""
    alone = dynamics.every_fixed_point([[3.0]], [-1.0])
    np.testing.assert_allclose(alone.states, [[0.0], [0.5]], atol=1e-12)
    pair = dynamics.every_fixed_point([[0.5, -2.0], [-2.0, 0.5]], [1.0, 1.0])
    np.testing.assert_allclose(pair.states, [[0.4, 0.4], [0.0, 2.0], [2.0, 0.0]], atol=1e-12)
    assert pair.active.tolist() == [[True, True], [False, True], [True, False]]


def test_a_continuum_is_told_from_points():
    """h' = W h with an eigenvalue 1 along a positive vector holds every multiple of it."""
    along = np.array([0.6, 0.8, 0.0])
    found = dynamics.every_fixed_point(np.outer(along, along), np.zeros(3))
    assert found.singular > 0
    assert dynamics.every_fixed_point(0.9 * np.outer(along, along), np.zeros(3)).singular == 0


def both_ways(hidden, rank, seed):
    """A drawn network with 2 or more points: all of them, those of a search from 128 starts, and their scale."""
    w, c = network(hidden, rank, seed, gain=4.0)
    every = dynamics.every_fixed_point(w, c)
    if len(every.states) < 2 or every.singular:
        return None
    rng, scale = np.random.default_rng(seed), 1 + np.abs(every.states).max()
    starts = np.abs(rng.normal(0, scale, (128, hidden))) * rng.uniform(size=(128, 1))
    return every, dynamics.fixed_points(step(w, c), starts), scale


SEVERAL = [(20, 1, 3), (40, 1, 2), (10, 2, 1), (20, 2, 0), (20, 2, 5), (40, 2, 2), (40, 2, 8), (16, 3, 0)]


@pytest.mark.parametrize(("hidden", "rank", "seed"), SEVERAL)
def test_the_search_finds_all_points_and_no_other(hidden, rank, seed):
    every, searched, scale = both_ways(hidden, rank, seed)
    assert len(searched.states) == len(every.states)
    assert both(searched.states, every.states) < 1e-6 * scale


def test_the_search_invents_no_point_and_misses_few():
    """Of 150 such networks of rank 1 to 3 it missed a point in 9 of 100 of rank 2 and 3, in none of rank 1."""
    whole, n = 0, 0
    for seed in range(40):
        if (found := both_ways(20, 2, seed)) is not None:
            every, searched, scale = found
            near = np.linalg.norm(searched.states[:, None] - every.states, axis=2) < 1e-6 * scale
            assert near.any(1).all()
            whole, n = whole + near.any(0).all(), n + 1
    assert n >= 8 and whole >= 0.8 * n


@pytest.mark.parametrize(("hidden", "rank", "seed"), [(5, 1, 35), (11, 2, 45), (11, 2, 55)])
def test_the_search_invents_no_point_where_states_run_away(hidden, rank, seed):
    """Their spread is 5e8 to 7e16: in its units the speed of every state of the region that is left is small."""
    rng = np.random.default_rng(seed)
    assert (hidden, rank) == (int(rng.integers(5, 12)), int(rng.integers(1, 3)))
    gain = rng.uniform(1.5, 4)
    w = gain * rng.normal(size=(hidden, rank)) @ rng.normal(size=(rank, hidden)) / hidden**0.5
    c, h, starts = rng.normal(size=hidden), np.abs(rng.normal(size=(8, hidden))) * 10, []
    for _ in range(int(rng.integers(5, 60))):
        starts.append(h)
        h = 0.8 * h + 0.2 * np.maximum(h @ w.T + c, 0)
    starts = np.concatenate(starts)[-64:]
    assert np.linalg.norm(starts - starts.mean(0), axis=1).max() > 1e8
    every = dynamics.every_fixed_point(w, c).states
    searched = dynamics.fixed_points(step(w, c, 0.2), starts, max_steps=60, max_returns=100)
    apart = np.linalg.norm(searched.states[:, None] - every, axis=2)
    assert (apart.min(1, initial=np.inf) < 1e-6 * (1 + np.linalg.norm(searched.states, axis=1))).all()
    assert (searched.slow_speeds > 1e-3).any()  # they are told as slow states


def test_stability_is_that_of_the_active_units():
    w, c = network(20, 1, 3, gain=4.0)
    every, leak = dynamics.every_fixed_point(w, c), 0.4
    searched = dynamics.fixed_points(step(w, c, leak), every.states)
    for active, values in zip(every.active, searched.eigenvalues, strict=True):
        jacobian = (1 - leak) * np.eye(20) + leak * active[:, None] * w
        assert np.abs(np.linalg.eigvals(jacobian)).max() == pytest.approx(np.abs(values[0]))
    assert searched.stable.any() and not searched.stable.all()


def test_what_is_refused():
    w, c = network(64, 6, 0)
    with pytest.raises(CortseqError, match=r"64 units and rank 6 may have .* linear regions.*lower rank"):
        dynamics.every_fixed_point(w, c)
    with pytest.raises(CortseqError, match=r"drive: .*one finite number per unit"):
        dynamics.every_fixed_point(np.eye(3) / 2, [1.0, np.nan, 0.0])
    with pytest.raises(CortseqError, match="square"):
        dynamics.every_fixed_point(np.ones((2, 3)), [0.0, 0.0])


# -- of fits -----------------------------------------------------------------------------------------


def fitted(recording, model, seed=0):
    """An untrained fit with biases and a read-out that feeds back."""
    fit, rng = untrained(model, recording, members=2, seed=seed), np.random.default_rng(seed)
    for name in ("bias", "readout_weight", "readout_bias"):
        fit.params[name] = (
            fit.params[name] + torch.from_numpy(rng.normal(0, 0.3, fit.params[name].shape)).float()
        )
    return fit


RECTIFIED = [
    models.LowRank(hidden=12, rank=1, nonlinearity="relu", gain=0.8),
    models.Rate(hidden=6, nonlinearity="relu", leak=0.5),
    models.Dale(hidden=6),
]


@pytest.mark.parametrize("model", RECTIFIED, ids=lambda m: m.family)
def test_points_of_a_fit_are_fixed_in_its_own_flow(model, any_recording):
    fit = fitted(any_recording, model)
    n, linear = fit.card["n_features"], rec.track(any_recording) == "signal"
    held = np.full(n, 1 / n)
    for map, input in [("open", held)] + [("closed", None)] * linear:
        for member in range(2):
            flow = fit.flow(member, map, input=input)
            points = dynamics.every_fixed_point_of_fit(fit, member, map, input)
            states = torch.from_numpy(points.states)
            if flow.dim > model.hidden:  # behind h the signal that the skip sees, which the flow settles at
                seen = torch.zeros(len(states), flow.dim - model.hidden, dtype=torch.float64)
                states = torch.cat([states, seen], 1)
                for _ in range(2000):
                    moved = flow.many(states)
                    states = torch.cat([states[:, : model.hidden], moved[:, model.hidden :]], 1)
            assert torch.allclose(flow.many(states), states, atol=1e-8)
            searched = dynamics.fixed_points(
                flow, fit.through_gaps(any_recording, range(8))[member].reshape(-1, flow.dim)
            )
            near = np.linalg.norm(searched.states[:, None, : model.hidden] - points.states, axis=2)
            assert len(searched.states) <= len(points.states)
            assert (near.min(1, initial=np.inf) < 1e-5).all()


def test_a_network_that_learned_the_lorenz_system_has_its_three_points():
    """Two at (+-8.49, +-8.49, 27) and one between the wings, near (0, 0, 0), which no run comes close to."""
    y = lorenz(60, 100, 0.03, seed=0)
    noise = np.random.default_rng(0).normal(0, 0.3, y.shape)
    recording = rec.from_signal(y + noise, bin_width=0.03)
    quiet = {"input_dropout": 0.0, "hidden_dropout": 0.0}
    model = models.LowRank(hidden=16, rank=2, nonlinearity="relu", epochs=200, skip=False, **quiet)
    fit = model.fit(recording, range(40), range(40, 50), members=1, seed=1)
    every = dynamics.every_fixed_point_of_fit(fit, 0, "closed")
    assert (every.rank, every.singular, len(every.states)) == (5, 0, 3)
    expected = fit.expected(every.states)
    expected = expected[np.argsort(expected[:, 0])]
    corner = np.sqrt(72)
    assert np.abs(expected[[0, 2]] - [[-corner, -corner, 27], [corner, corner, 27]]).max() < 2
    assert np.abs(expected[1, :2]).max() < 2 and expected[1, 2] < 15
    flow = fit.flow(0, "closed")
    searched = dynamics.fixed_points(
        flow, fit.states(recording, range(50, 60)).values[0].reshape(-1, flow.dim)[::16]
    )
    assert both(searched.states, every.states) < 1e-5


def test_maps_and_networks_that_are_not_piecewise_linear_are_refused(counts, signal):
    of_counts = fitted(counts, RECTIFIED[0])
    with pytest.raises(CortseqError, match=r"map: the closed map .* not piecewise linear"):
        dynamics.every_fixed_point_of_fit(of_counts, 0, "closed")
    with pytest.raises(CortseqError, match="one layer of rectified units"):
        dynamics.every_fixed_point_of_fit(fitted(counts, models.LowRank(hidden=6, rank=2)))
    fit = fitted(signal, RECTIFIED[0])
    fit.params["skip"][:] = 1
    with pytest.raises(CortseqError, match="skip keeps a signal for ever"):
        rectified.equation(fit.member(0), fit.card, "closed")


def test_the_table_says_how_many_points_there_are_and_how_many_the_search_found(signal, counts):
    fit = fitted(signal, RECTIFIED[0], seed=2)
    found = laboratory.examine(
        fit, signal, np.arange(18), np.arange(18, 30), "", 1, lambda *_: None, [enumerated.every_point]
    )
    table = summary.summarise(found).set_index("quantity")
    data = fit.model.given(signal, np.arange(18, 30))
    held = data.y[data.valid].mean(0)
    for name, map, input in [
        ("fixed points, all there are (rectified units)", "closed", None),
        ("fixed points under the mean input, all there are", "open", held),
    ]:
        counted = [len(dynamics.every_fixed_point_of_fit(fit, m, map, input).states) for m in range(2)]
        assert table.loc[name, "each"].split() == [str(n) for n in counted] and table.loc[name, "map"] == map
    assert (found["held_points_found"] <= found["held_points"]).all() and found["held_points_found"].sum() > 0
    # no line where there are too many regions, and none where units are not rectified
    for model in (models.Dale(hidden=20), models.LowRank(hidden=12, rank=2)):
        subject = laboratory.Subject(untrained(model, counts), counts, np.arange(20), np.arange(20, 30))
        assert enumerated.every_point(subject, None) == ({}, {})
