"""States of a fixed reservoir over 100 trials of 200 bins and a ridge read-out, beside reservoirpy.

Both are given the same sparse matrix (a share of .1, reservoirpy's default) and run the same 20,000 updates;
the read-out maps the state after each bin to ten targets.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.harness import Case, Peer, installed, target

N_TRIALS, N_TIME, N_IN, DENSITY, LEAK, PENALTY = 100, 200, 10, 0.1, 0.4, 1e-4
TARGETS = {500: 0.6 * 4.0, 2000: 0.6 * 2.6}
TOLERANCE = 1e-4  # of states, which lie in [-1, 1], and of predictions of targets of variance about 1


def cases() -> Iterator[Case]:
    for hidden, ratio in TARGETS.items():
        yield case(hidden, target(round(ratio, 2)))


def case(hidden: int, ratio: float | None) -> Case:
    from cortseq.networks.training import convex
    from cortseq.networks.training.kernels import reservoir

    q, x, y = problem(hidden)
    padded = np.concatenate([x, x[:, :1]], 1)  # ours are the states before each bin, theirs the ones after it
    late = y.swapaxes(0, 1).reshape(-1, N_IN)

    def ours():
        states = reservoir.states(q, padded)[1:]
        weight, bias = next(convex.ridge(states.reshape(-1, hidden), late, [PENALTY]))
        return states.swapaxes(0, 1), weight.T, bias

    peer = Peer("reservoirpy", _reservoirpy(q, x, y), disagreement, TOLERANCE, ratio)
    return Case(f"reservoir of {hidden} units, states and ridge", ours, [peer])


def problem(hidden: int):
    """Weights of an ESN, inputs (trial, time, input) and targets that depend on past inputs."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.9 / np.sqrt(DENSITY * hidden), (hidden, hidden))
    weights *= rng.random((hidden, hidden)) < DENSITY
    q = {
        "recurrent": weights,
        "input_weight": rng.normal(0, 0.3, (hidden, N_IN)),
        "bias": rng.normal(0, 0.2, hidden),
        "start": np.zeros(hidden),
        "leak": np.array([LEAK]),
    }
    x = rng.normal(size=(N_TRIALS, N_TIME, N_IN)).astype(np.float32)
    y = np.roll(x, 2, axis=1).astype(float) + 0.1 * rng.normal(size=x.shape)
    return q, x, y


def disagreement(ours, theirs) -> float:
    """Largest absolute difference of states and of predictions."""
    states = np.abs(ours[0] - theirs[0]).max()
    predictions = [s @ weight + bias for s, weight, bias in (ours, theirs)]
    return float(max(states, np.abs(predictions[0] - predictions[1]).max()))


def _reservoirpy(q: dict, x: np.ndarray, y: np.ndarray):
    if not installed("reservoirpy"):
        return None
    from reservoirpy.nodes import Reservoir, Ridge
    from scipy.sparse import csr_matrix

    weights, inputs, targets = csr_matrix(q["recurrent"]), x.astype(float), list(y)

    def run():
        network = Reservoir(lr=LEAK, W=weights, Win=q["input_weight"], bias=q["bias"])
        states = network.run(inputs)
        readout = Ridge(ridge=PENALTY * N_TRIALS * N_TIME)
        readout.fit(list(states), targets)
        return states, readout.Wout, readout.bias

    return run
