"""Gated recurrent unit: gates r, z; candidate n = tanh(u + r (W_n h + c)); h' = (1 - z) n + z h."""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled import matrix
from cortseq.compiled.functions import OPTIONS, tanh
from cortseq.networks.training.kernels.rate import Buffer


@njit(**OPTIONS)
def forward(h: np.ndarray, z: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """States h[1:] from h[0]; z (time, trial, 3 hidden) becomes r, z and n.

    weight = packed(W^T), bias = c (hidden,).
    """
    n_trials, n = h.shape[1:]
    product = np.empty((n_trials, 3 * n), h.dtype)
    for t in range(z.shape[0]):
        matrix.multiply(h[t], weight, product)
        for k in range(n_trials):
            _update(z[t, k], product[k], bias, h[t, k], h[t + 1, k])


@njit(**OPTIONS)
def _update(gate: np.ndarray, w: np.ndarray, bias: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """Gates and candidate from their drives, and the next state; sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    n, half = before.size, gate.dtype.type(0.5)
    entry, w_entry = gate[: 2 * n], w[: 2 * n]
    for j in range(entry.size):
        entry[j] = half + half * tanh(half * (w_entry[j] + entry[j]))
    reset, update, candidate, inner = gate[:n], gate[n : 2 * n], gate[2 * n :], w[2 * n :]
    for j in range(n):
        s = tanh(candidate[j] + reset[j] * (inner[j] + bias[j]))
        candidate[j] = s
        after[j] = s + update[j] * (before[j] - s)


@njit(**OPTIONS)
def backward(
    h: np.ndarray,
    z: np.ndarray,
    inner: np.ndarray,
    d_product: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    d_out: np.ndarray,
    d_h: np.ndarray,
    d_bias: np.ndarray,
) -> None:
    """Backpropagation through time: z (the gates) becomes d loss / d (U x + b).

    d_product (time, trial, 3 hidden) is written: d loss / d (W h), in whose candidate's block the reset gate
    is a factor. inner (time, trial, hidden) is W_n h. d_out (time, trial, hidden) is the read-out's gradient
    for h before each bin; d_h (trial, hidden) comes in as the gradient for the last state and leaves as that
    for the first; d_bias is added to. weight = packed(W).
    """
    n_trials, n = h.shape[1:]
    product = np.empty((n_trials, n), h.dtype)
    for t in range(z.shape[0] - 1, -1, -1):
        for k in range(n_trials):
            _step_back(z[t, k], d_product[t, k], inner[t, k], bias, h[t, k], d_h[k], d_bias)
        matrix.multiply(d_product[t], weight, product)
        for k in range(n_trials):
            d, w, q = d_h[k], product[k], d_out[t, k]
            for j in range(n):
                d[j] += w[j] + q[j]


@njit(**OPTIONS)
def _step_back(
    gate: np.ndarray,
    through: np.ndarray,
    inner: np.ndarray,
    bias: np.ndarray,
    before: np.ndarray,
    d: np.ndarray,
    d_bias: np.ndarray,
) -> None:
    """Gates become gradients for their drives, `through` those for W h, d what the update gate kept of it."""
    n, one = before.size, before.dtype.type(1)
    reset, update, candidate = gate[:n], gate[n : 2 * n], gate[2 * n :]
    w_reset, w_update, w_candidate = through[:n], through[n : 2 * n], through[2 * n :]
    for j in range(n):
        r, z, s = reset[j], update[j], candidate[j]
        d_candidate = d[j] * (one - z) * (one - s * s)
        d_update = d[j] * (before[j] - s) * z * (one - z)
        d_reset = d_candidate * (inner[j] + bias[j]) * r * (one - r)
        d_inner = d_candidate * r
        reset[j], update[j], candidate[j] = d_reset, d_update, d_candidate
        w_reset[j], w_update[j], w_candidate[j] = d_reset, d_update, d_inner
        d_bias[j] += d_inner
        d[j] *= z


class Kernel:
    """One member's GRU; methods as in `cortseq.networks.training.kernels.rate`."""

    def __init__(self, q: dict[str, np.ndarray]):
        n = len(q["candidate_bias"])
        self.weight, self.transposed = matrix.packed(q["recurrent"]), matrix.packed(q["recurrent"].T)
        self.candidate = matrix.packed(q["recurrent"][2 * n :].T)
        self.bias = q["candidate_bias"]

    def forward(self, states: list[np.ndarray], z: np.ndarray) -> None:
        """Fill the states (time + 1, trial, hidden) and turn z (time, trial, gate) into activations."""
        forward(states[0], z, self.transposed, self.bias)

    def backward(
        self,
        states: list[np.ndarray],
        z: np.ndarray,
        d_out: np.ndarray,
        d_states: list[np.ndarray],
        buffer: Buffer,
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Turn z (time, trial, gate) into its gradient, d_states from last to first; see `rate.Kernel`.

        W_n h is computed again for all bins at once: that is cheaper than to keep it.
        """
        multiplied = states[0][: len(z)]
        inner, d_product = buffer("inner", multiplied.shape), buffer("d_product", z.shape)
        n = multiplied.shape[-1]
        matrix.multiply(multiplied.reshape(-1, n), self.candidate, inner.reshape(-1, n))
        d_bias = np.zeros_like(self.bias)
        backward(states[0], z, inner, d_product, self.weight, self.bias, d_out, d_states[0], d_bias)
        return {"candidate_bias": d_bias}, multiplied, d_product
