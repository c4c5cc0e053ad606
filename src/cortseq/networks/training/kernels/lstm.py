"""Long short-term memory: gates i, f, g, o; c' = f c + i g, h' = o tanh(c')."""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled import matrix
from cortseq.compiled.functions import OPTIONS, tanh
from cortseq.networks.training.kernels.rate import Buffer


@njit(**OPTIONS)
def forward(h: np.ndarray, c: np.ndarray, z: np.ndarray, weight: np.ndarray) -> None:
    """States h[1:], c[1:] from h[0], c[0]; z (time, trial, 4 hidden) becomes gates; weight = packed(W^T)."""
    n_trials, n = h.shape[1:]
    product = np.empty((n_trials, 4 * n), h.dtype)
    for t in range(z.shape[0]):
        matrix.multiply(h[t], weight, product)
        for k in range(n_trials):
            _squash(z[t, k], product[k], n)
            _update(z[t, k], c[t, k], c[t + 1, k], h[t + 1, k])


@njit(**OPTIONS)
def _squash(gate: np.ndarray, w: np.ndarray, n: int) -> None:
    """Gates and candidate from their drives; sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    half = gate.dtype.type(0.5)
    entry, w_entry = gate[: 2 * n], w[: 2 * n]
    for j in range(entry.size):
        entry[j] = half + half * tanh(half * (w_entry[j] + entry[j]))
    candidate, w_candidate = gate[2 * n : 3 * n], w[2 * n : 3 * n]
    for j in range(candidate.size):
        candidate[j] = tanh(w_candidate[j] + candidate[j])
    leave, w_leave = gate[3 * n :], w[3 * n :]
    for j in range(leave.size):
        leave[j] = half + half * tanh(half * (w_leave[j] + leave[j]))


@njit(**OPTIONS)
def _update(gate: np.ndarray, before: np.ndarray, after: np.ndarray, out: np.ndarray) -> None:
    n = before.size
    i, f, g, o = gate[:n], gate[n : 2 * n], gate[2 * n : 3 * n], gate[3 * n :]
    for j in range(n):
        cell = f[j] * before[j] + i[j] * g[j]
        after[j] = cell
        out[j] = o[j] * tanh(cell)


@njit(**OPTIONS)
def backward(
    c: np.ndarray, z: np.ndarray, weight: np.ndarray, d_out: np.ndarray, d_h: np.ndarray, d_c: np.ndarray
) -> None:
    """Backpropagation through time: z (the gates) becomes d loss / d (W h + z).

    d_out (time, trial, hidden) is the read-out's gradient for the h before each bin; d_h, d_c (trial, hidden)
    come in as gradients for the last state and leave as those for the first. weight = packed(W).
    """
    n_trials, n = d_h.shape
    product = np.empty((n_trials, n), d_h.dtype)
    for t in range(z.shape[0] - 1, -1, -1):
        for k in range(n_trials):
            _step_back(z[t, k], c[t, k], c[t + 1, k], d_h[k], d_c[k])
        matrix.multiply(z[t], weight, product)
        for k in range(n_trials):
            d, w, q = d_h[k], product[k], d_out[t, k]
            for j in range(n):
                d[j] = w[j] + q[j]


@njit(**OPTIONS)
def _step_back(
    gate: np.ndarray, before: np.ndarray, after: np.ndarray, d: np.ndarray, d_cell: np.ndarray
) -> None:
    """Gates become gradients for their drives, d_cell the gradient for the cell before; d is that for h."""
    n = before.size
    one = before.dtype.type(1)
    i, f, g, o = gate[:n], gate[n : 2 * n], gate[2 * n : 3 * n], gate[3 * n :]
    for j in range(n):
        entry, forget, candidate, leave, kept = i[j], f[j], g[j], o[j], before[j]
        squashed = tanh(after[j])
        grown = d_cell[j] + d[j] * leave * (one - squashed * squashed)
        d_cell[j] = grown * forget
        i[j] = grown * candidate * entry * (one - entry)
        f[j] = grown * kept * forget * (one - forget)
        g[j] = grown * entry * (one - candidate * candidate)
        o[j] = d[j] * squashed * leave * (one - leave)


class Kernel:
    """One member's LSTM; methods as in `cortseq.networks.training.kernels.rate`."""

    def __init__(self, q: dict[str, np.ndarray]):
        self.weight, self.transposed = matrix.packed(q["recurrent"]), matrix.packed(q["recurrent"].T)

    def forward(self, states: list[np.ndarray], z: np.ndarray) -> None:
        """Fill the states (time + 1, trial, hidden) and turn z (time, trial, gate) into activations."""
        forward(*states, z, self.transposed)

    def backward(
        self,
        states: list[np.ndarray],
        z: np.ndarray,
        d_out: np.ndarray,
        d_states: list[np.ndarray],
        buffer: Buffer,
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Turn z (time, trial, gate) into its gradient, d_states from last to first; see `rate.Kernel`."""
        backward(states[1], z, self.weight, d_out, *d_states)
        return {}, states[0][: len(z)], z
