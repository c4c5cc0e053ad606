"""Leaky networks: h' = (1 - a) h + a phi(W h + z), phi = tanh or relu."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

from cortseq.compiled import matrix
from cortseq.compiled.functions import OPTIONS, tanh

Buffer = Callable[[str, tuple[int, ...]], np.ndarray]  # (name, shape) -> an array that is used again


@njit(**OPTIONS)
def forward(h: np.ndarray, z: np.ndarray, weight: np.ndarray, a: np.ndarray, rectified: bool) -> None:
    """States h[1:] from h[0]; z (time, trial, hidden) becomes phi(W h + z). weight = packed(W^T)."""
    n_trials, n = h.shape[1:]
    product = np.empty((n_trials, n), h.dtype)
    zero, one = a.dtype.type(0), a.dtype.type(1)
    for t in range(z.shape[0]):
        matrix.multiply(h[t], weight, product)
        for k in range(n_trials):
            before, after, drive, w = h[t, k], h[t + 1, k], z[t, k], product[k]
            if rectified:
                for j in range(n):
                    s = max(w[j] + drive[j], zero)
                    drive[j] = s
                    after[j] = (one - a[j]) * before[j] + a[j] * s
            else:
                for j in range(n):
                    s = tanh(w[j] + drive[j])
                    drive[j] = s
                    after[j] = (one - a[j]) * before[j] + a[j] * s


@njit(**OPTIONS)
def backward(
    h: np.ndarray,
    z: np.ndarray,
    weight: np.ndarray,
    a: np.ndarray,
    rectified: bool,
    d_out: np.ndarray,
    d_h: np.ndarray,
    d_a: np.ndarray,
) -> None:
    """Backpropagation through time: z becomes d loss / d (W h + z).

    d_out (time, trial, hidden) is the read-out's gradient for h[t] before each bin; d_h (trial, hidden) comes
    in as the gradient for the last state and leaves as the one for h[0]; d_a is added to. weight = packed(W).
    """
    n_trials, n = h.shape[1:]
    product = np.empty((n_trials, n), h.dtype)
    zero, one = a.dtype.type(0), a.dtype.type(1)
    for t in range(z.shape[0] - 1, -1, -1):
        for k in range(n_trials):
            before, s, d = h[t, k], z[t, k], d_h[k]
            if rectified:
                for j in range(n):
                    d_a[j] += d[j] * (s[j] - before[j])
                    s[j] = a[j] * d[j] if s[j] > zero else zero
            else:
                for j in range(n):
                    d_a[j] += d[j] * (s[j] - before[j])
                    s[j] = a[j] * d[j] * (one - s[j] * s[j])
        matrix.multiply(z[t], weight, product)
        for k in range(n_trials):
            d, w, o = d_h[k], product[k], d_out[t, k]
            for j in range(n):
                d[j] = (one - a[j]) * d[j] + w[j] + o[j]


class Kernel:
    """One member's leaky network; `q` as `derive` gives it, numpy."""

    def __init__(self, q: dict[str, np.ndarray], rectified: bool):
        self.weight, self.transposed = matrix.packed(q["recurrent"]), matrix.packed(q["recurrent"].T)
        self.a = np.array(np.broadcast_to(q["leak"].ravel(), len(q["recurrent"])))
        self.rectified = rectified

    def forward(self, states: list[np.ndarray], z: np.ndarray) -> None:
        """Fill states[i][1:] and turn z (time, trial, hidden) into activations."""
        forward(states[0], z, self.transposed, self.a, self.rectified)

    def backward(
        self,
        states: list[np.ndarray],
        z: np.ndarray,
        d_out: np.ndarray,
        d_states: list[np.ndarray],
        buffer: Buffer,
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Turn z into its gradient and d_states from the last to the first.

        Returns gradients by name of q; what W multiplied, (time, trial, hidden); and the gradient for that
        product, (time, trial, gate), which is z wherever the product and the drive are only added up.
        """
        d_a = np.zeros_like(self.a)
        backward(states[0], z, self.weight, self.a, self.rectified, d_out, d_states[0], d_a)
        return {"leak": d_a}, states[0][: len(z)], z
