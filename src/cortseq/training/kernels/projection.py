"""Input products hoisted out of the loop over time: z = U x + b for all bins, and their gradients.

Counts and symbols are mostly zeros, so U x is a sum of a few columns of U. Events are stored like a
compressed sparse row matrix whose row is trial * n_time + bin. Arrays over a batch are time-major,
(time, trial, ...). `keep` (trial, time, unit) holds 16-bit random words: an input survives dropout where
its word is at least `threshold`, and is then multiplied by `scale`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.training.kernels.functions import OPTIONS


@njit(**OPTIONS)
def project(indptr, unit, value, rows, first, keep, threshold, scale, columns, bias, z):
    """z[t, k] = bias + sum over the events of bin first + t of value * columns[unit]; rows[k]: the row of bin 0.

    Four columns are added at a time: z is then read and written a quarter as often.
    """
    units, values = np.empty(len(columns), unit.dtype), np.empty(len(columns), value.dtype)
    for t in range(z.shape[0]):
        for k in range(rows.size):
            at, n = rows[k] + first + t, 0
            for e in range(indptr[at], indptr[at + 1]):
                if threshold == 0 or keep[k, first + t, unit[e]] >= threshold:
                    units[n], values[n] = unit[e], value[e] * scale
                    n += 1
            target = z[t, k]
            for j in range(target.size):
                target[j] = bias[j]
            for i in range(n // 4):
                e = 4 * i
                v0, v1, v2, v3 = values[e], values[e + 1], values[e + 2], values[e + 3]
                c0, c1, c2, c3 = (
                    columns[units[e]], columns[units[e + 1]], columns[units[e + 2]], columns[units[e + 3]]
                )  # fmt: skip
                for j in range(target.size):
                    target[j] += (v0 * c0[j] + v1 * c1[j]) + (v2 * c2[j] + v3 * c3[j])
            for e in range(n - n % 4, n):
                v, column = values[e], columns[units[e]]
                for j in range(target.size):
                    target[j] += v * column[j]


@njit(**OPTIONS)
def project_gradient(indptr, unit, value, rows, first, keep, threshold, scale, d_z, d_columns):
    """d_columns[unit] += value * d_z[t, k] over all events."""
    for t in range(d_z.shape[0]):
        for k in range(rows.size):
            source = d_z[t, k]
            at = rows[k] + first + t
            for e in range(indptr[at], indptr[at + 1]):
                n = unit[e]
                if threshold == 0 or keep[k, first + t, n] >= threshold:
                    v = value[e] * scale
                    column = d_columns[n]
                    for j in range(source.size):
                        column[j] += v * source[j]


@njit(**OPTIONS)
def drop(x, first, keep, threshold, scale, out):
    """out[t, k, j] = x[t, k, j] * scale where keep[k, first + t, j] >= threshold, else 0; out may be x."""
    zero = x.dtype.type(0)
    for t in range(x.shape[0]):
        for k in range(x.shape[1]):
            for j in range(x.shape[2]):
                out[t, k, j] = x[t, k, j] * scale if keep[k, first + t, j] >= threshold else zero
