"""States of a fixed leaky reservoir, all trials of a bin in one product, compiled.

    h' = (1 - a) h + a tanh(W h + z),    z = U x + b for all bins at once

A dense W is one matrix product a bin. A sparse one goes row by row through its non-zero entries, trials side
by side, so that every entry is used for all trials while it is at hand.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numba import njit

from cortseq.compiled import matrix
from cortseq.compiled.functions import OPTIONS, tanh
from cortseq.networks.training.kernels import rate

SPARSE = 0.2  # share of non-zero entries from which the dense product is faster; see docs/benchmarks.md
_ROWS = 16  # rows of W whose new states are written together: one cache line


def states(q: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """States before every bin (time, trial, hidden) for inputs x (trial, time, input), of the type of x.

    `q`: numpy arrays recurrent, input_weight, bias, start (hidden,) and leak (1,).
    """
    n_trials, n_time, n_in = x.shape
    q = {name: q[name].astype(x.dtype) for name in ("recurrent", "input_weight", "bias", "start", "leak")}
    h = np.empty((n_time, n_trials, len(q["bias"])), x.dtype)
    h[0] = q["start"]
    seen = np.ascontiguousarray(x[:, :-1].swapaxes(0, 1)).reshape(-1, n_in)
    z = (seen @ q["input_weight"].T + q["bias"]).reshape(n_time - 1, n_trials, -1)
    if np.count_nonzero(q["recurrent"]) < SPARSE * q["recurrent"].size:
        w = scipy.sparse.csr_matrix(q["recurrent"])
        _sparse(h, z, w.indptr, w.indices, w.data, q["leak"][0])
    else:
        leak = np.repeat(q["leak"], len(q["bias"]))
        rate.forward(h, z, matrix.packed(q["recurrent"].T), leak, False)
    return h


@njit(**OPTIONS)
def _sparse(
    h: np.ndarray, z: np.ndarray, indptr: np.ndarray, index: np.ndarray, value: np.ndarray, a: float
) -> None:
    """h[1:] from h[0]; W as a compressed sparse row matrix."""
    n_trials, n = h.shape[1:]
    before, after = np.ascontiguousarray(h[0].T), np.empty((n, n_trials), h.dtype)
    total, one = np.empty((_ROWS, n_trials), h.dtype), h.dtype.type(1)
    for t in range(z.shape[0]):
        for first in range(0, n, _ROWS):
            stop = min(first + _ROWS, n)
            for k in range(n_trials):
                for j in range(first, stop):
                    total[j - first, k] = z[t, k, j]
            for j in range(first, stop):
                _multiply(before, indptr[j], indptr[j + 1], index, value, total[j - first])
                old, new, s = before[j], after[j], total[j - first]
                for k in range(n_trials):
                    new[k] = (one - a) * old[k] + a * tanh(s[k])
            for k in range(n_trials):
                for j in range(first, stop):
                    h[t + 1, k, j] = after[j, k]
        before, after = after, before


@njit(**OPTIONS)
def _multiply(
    states: np.ndarray, first: int, stop: int, index: np.ndarray, value: np.ndarray, total: np.ndarray
) -> None:
    """Add the entries first..stop of one row of W times `states` (hidden, trial) to `total` (trial,)."""
    e = first
    while e + 4 <= stop:  # four at a time: `total` is loaded and stored once for them
        p, q, r, s = states[index[e]], states[index[e + 1]], states[index[e + 2]], states[index[e + 3]]
        wp, wq, wr, ws = value[e], value[e + 1], value[e + 2], value[e + 3]
        for k in range(total.size):
            total[k] += (wp * p[k] + wq * q[k]) + (wr * r[k] + ws * s[k])
        e += 4
    while e < stop:
        p, wp = states[index[e]], value[e]
        for k in range(total.size):
            total[k] += wp * p[k]
        e += 1
