"""Backpropagation that is cut (checkpointed, truncated) under every strategy of training, track and skip."""

import numpy as np
import pytest
import torch
from families import small

from cortseq import recording as rec
from cortseq.data import Data
from cortseq.networks.training import bptt, engines, noise

STRATEGIES = [
    {"kind": "teacher"},
    {"kind": "scheduled", "decay": "constant", "final": 0.5},
    {"kind": "scheduled", "decay": "constant", "final": 0.5, "coin": "sequence"},
    {"kind": "generalised", "alpha": 0.3},
    {"kind": "sparse", "every": 4},
]
CASES = [
    (strategy, track, skip)
    for strategy in STRATEGIES
    for track in ("counts", "symbols", "signal")
    for skip in ((True, False) if track == "signal" else (True,))
    if track == "signal" or strategy["kind"] in ("teacher", "scheduled")
]
N_TIME = 23  # 5 stretches of 5 bins when checkpointed, the last one shorter


@pytest.fixture(scope="module")
def recordings():
    """8 trials of 23 bins on each track; on signals a tenth of the bins is missing."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(8, N_TIME, 3)).cumsum(1)
    signal[rng.random((8, N_TIME)) < 0.1] = np.nan
    return {
        "counts": rec.from_counts(rng.poisson(1.5, (8, N_TIME, 3)), bin_width=0.02),
        "symbols": rec.from_symbols(list(rng.integers(0, 3, (8, N_TIME))), n_symbols=3),
        "signal": rec.from_signal(signal, bin_width=0.1),
    }


def gradient(recording, strategy, skip, members=1, **cut):
    """Loss (member,) and gradients by name of one step away from the start, with dropout and noise."""
    data = Data.of(recording)
    model = small("rate", hidden=6, skip=skip, strategy=strategy, execution="generic", hidden_dropout=0.2,
                  input_dropout=0.2, input_noise=0.1, **cut)  # fmt: skip
    network, rng = model.network(data), np.random.default_rng(1)
    start = model.initial(data, members, 0, np.float64)
    data = network.given(start, data)
    for name in sorted(start.keys() - network.fixed):
        start[name] = start[name] + torch.from_numpy(rng.normal(0, 0.2, start[name].shape))
    forcing = None if strategy["kind"] == "teacher" else model.strategy
    engine = engines.choose(network, data, start, model.training, strategy=forcing)
    p = {name: (value[0] if members == 1 else value).clone() for name, value in start.items()}
    for name, value in p.items():
        value.requires_grad_(name not in network.fixed)
    draws = [noise.Draws(0, member, 1, 0) for member in range(members)]
    index = np.stack([np.random.default_rng(m).permutation(8) for m in range(members)])
    loss = bptt.gradient(engine, p, engine.batch(index, draws, 0.5))
    return loss, {name: value.grad.numpy() for name, value in p.items() if value.grad is not None}


def same(a, b):
    assert np.allclose(a[0], b[0], rtol=1e-10)
    assert a[1].keys() == b[1].keys()
    for name, value in b[1].items():
        assert np.abs(a[1][name] - value).max() <= 1e-10 * max(np.abs(value).max(), 1e-2), name


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("strategy, track, skip", CASES)
def test_where_backpropagation_is_cut_changes_nothing_that_it_may_not(
    strategy, track, skip, members, recordings
):
    """Checkpointed, and truncated at the trial's length, are full backpropagation; a shorter cut keeps the loss."""
    recording = recordings[track]
    full = gradient(recording, strategy, skip, members)
    same(gradient(recording, strategy, skip, members, checkpointed=True), full)
    same(gradient(recording, strategy, skip, members, truncate=N_TIME), full)
    for every, depth in ((5, 5), (4, 9)):
        short = gradient(recording, strategy, skip, members, truncate=depth, truncate_every=every)
        assert np.allclose(short[0], full[0], rtol=1e-10)
