"""Products of matrices as small as those of a training step.

Four rows and one vector of columns of the result are summed up in registers. The factor on the right is
packed into panels as wide as a vector once a step, so that the hundreds of products with it read memory in
order. BLAS packs both factors in every call. Every entry is one sum in the order of the inner index, whatever
the processor: results repeat.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled.functions import OPTIONS
from cortseq.compiled.vectors import add, aligned, lanes, load, load_first, plus, store_first, zeros

_ROWS = 64  # of the factors of a transposed product: a panel of them stays in the first cache


def packed(b: np.ndarray) -> np.ndarray:
    """Return panels (panel, row, lane) of b (row, column), the last one filled up with zeros."""
    width = lanes(b.itemsize)
    panels = aligned((-(-b.shape[1] // width), len(b), width), b.dtype)
    _pack(b, panels)
    return panels


@njit(**OPTIONS)
def _pack(b, panels):
    n_panels, n_rows, width = panels.shape
    for p in range(n_panels):
        count = min(b.shape[1] - p * width, width)
        for r in range(n_rows):
            for j in range(count):
                panels[p, r, j] = b[r, p * width + j]
            for j in range(count, width):
                panels[p, r, j] = 0


def unpacked(panels: np.ndarray, n: int) -> np.ndarray:
    """Return the matrix (row, n) that `packed` made into panels (panel, row, lane)."""
    count, rows, width = panels.shape
    return panels.swapaxes(0, 1).reshape(rows, count * width)[:, :n]


@njit(**OPTIONS)
def multiply(a, panels, out):
    """Compute out = a b, panels = packed(b); a and out C-contiguous."""
    m, n = out.shape
    inner, width = panels.shape[1:]
    for p in range(len(panels)):
        count, panel = min(n - p * width, width), panels[p]
        for i in range(0, m - 3, 4):
            s0, s1, s2, s3 = zeros(a), zeros(a), zeros(a), zeros(a)
            at = i * inner
            for k in range(inner):
                v = load(panel, k * width)
                s0 = add(s0, a, at + k, v)
                s1 = add(s1, a, at + inner + k, v)
                s2 = add(s2, a, at + 2 * inner + k, v)
                s3 = add(s3, a, at + 3 * inner + k, v)
            to = i * n + p * width
            store_first(out, to, s0, count)
            store_first(out, to + n, s1, count)
            store_first(out, to + 2 * n, s2, count)
            store_first(out, to + 3 * n, s3, count)
        for i in range(m - m % 4, m):
            s = zeros(a)
            for k in range(inner):
                s = add(s, a, i * inner + k, load(panel, k * width))
            store_first(out, i * n + p * width, s, count)


@njit(**OPTIONS)
def add_transposed(total, a, b):
    """Add a^T b to total: total += a^T b, all C-contiguous."""
    m, n = total.shape
    width = lanes(total.itemsize)
    for first in range(0, len(a), _ROWS):
        rows = range(first, min(first + _ROWS, len(a)))
        for j in range(0, n, width):
            count = min(n - j, width)
            for i in range(0, m - 3, 4):
                at = i * n + j
                s0, s1 = load_first(total, at, count), load_first(total, at + n, count)
                s2, s3 = load_first(total, at + 2 * n, count), load_first(total, at + 3 * n, count)
                for r in rows:
                    v, k = load_first(b, r * n + j, count), r * m + i
                    s0 = add(s0, a, k, v)
                    s1 = add(s1, a, k + 1, v)
                    s2 = add(s2, a, k + 2, v)
                    s3 = add(s3, a, k + 3, v)
                store_first(total, at, s0, count)
                store_first(total, at + n, s1, count)
                store_first(total, at + 2 * n, s2, count)
                store_first(total, at + 3 * n, s3, count)
            for i in range(m - m % 4, m):
                s = load_first(total, i * n + j, count)
                for r in rows:
                    s = add(s, a, r * m + i, load_first(b, r * n + j, count))
                store_first(total, i * n + j, s, count)


@njit(**OPTIONS)
def add_rows(total, a):
    """Add to total the sum of the rows of a, C-contiguous."""
    n, width = len(total), lanes(total.itemsize)
    for j in range(0, n, width):
        count = min(n - j, width)
        s = load_first(total, j, count)
        for r in range(len(a)):
            s = plus(s, load_first(a, r * n + j, count))
        store_first(total, j, s, count)
