"""Input products hoisted out of the loop over time: z = U x + b for all bins, and their gradients.

Counts and symbols are mostly zeros, so U x is a sum of a few columns of U. Events are stored like a
compressed sparse row matrix whose row is trial * n_time + bin. Arrays over a batch are time-major,
(time, trial, ...). `keep` (trial, time, unit) holds 16-bit random words: an input survives dropout where
its word is at least `threshold`, and is then multiplied by `scale`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled.functions import OPTIONS
from cortseq.compiled.vectors import add, load, load_first, store, store_first


@njit(**OPTIONS)
def project(indptr, unit, value, rows, first, keep, threshold, scale, panels, bias, z):
    """z[t, k] = bias + sum over the events of bin first + t of value * U[:, unit]; panels = packed(U^T).

    rows[k] is the row of bin 0. One panel after the other, so that it stays in the first cache.
    """
    n_time, n_trials, size = z.shape
    units, values = np.empty(panels.shape[1], unit.dtype), np.empty(panels.shape[1], value.dtype)
    width = panels.shape[2]
    for p in range(len(panels)):
        panel, j, count = panels[p], p * width, min(size - p * width, width)
        start = load_first(bias, j, count)
        for k in range(n_trials):  # a trial's events lie one after another
            for t in range(n_time):
                at = rows[k] + first + t
                if threshold == 0:
                    total = _sum(unit, value, indptr[at], indptr[at + 1], panel, start)
                else:
                    n = _keep(indptr, unit, value, at, keep[k, first + t], threshold, scale, units, values)
                    total = _sum(units, values, 0, n, panel, start)
                store_first(z, (t * n_trials + k) * size + j, total, count)


@njit(forceinline=True, **OPTIONS)
def _sum(units, values, first, stop, panel, total):
    """Return total + the events first..stop."""
    for e in range(first, stop):
        total = add(total, values, e, load(panel, units[e] * panel.shape[1]))
    return total


@njit(**OPTIONS)
def project_gradient(indptr, unit, value, rows, first, keep, threshold, scale, d_z, d_panels):
    """Add value * d_z[t, k] to the gradient of U[:, unit] over all events; as `project`."""
    n_time, n_trials, size = d_z.shape
    units, values = np.empty(d_panels.shape[1], unit.dtype), np.empty(d_panels.shape[1], value.dtype)
    width = d_panels.shape[2]
    for p in range(len(d_panels)):
        panel, j, count = d_panels[p], p * width, min(size - p * width, width)
        for k in range(n_trials):
            for t in range(n_time):
                at, d = rows[k] + first + t, load_first(d_z, (t * n_trials + k) * size + j, count)
                if threshold == 0:
                    _scatter(unit, value, indptr[at], indptr[at + 1], d, panel)
                else:
                    n = _keep(indptr, unit, value, at, keep[k, first + t], threshold, scale, units, values)
                    _scatter(units, values, 0, n, d, panel)


@njit(forceinline=True, **OPTIONS)
def _scatter(units, values, first, stop, d, panel):
    """Add d times its value to every event's row of `panel`."""
    for e in range(first, stop):
        to = units[e] * panel.shape[1]
        store(panel, to, add(load(panel, to), values, e, d))


@njit(**OPTIONS)
def _keep(indptr, unit, value, row, keep, threshold, scale, units, values):
    """Return units and scaled values of the events of one row that survive dropout; returns how many."""
    n = 0
    for e in range(indptr[row], indptr[row + 1]):
        if keep[unit[e]] >= threshold:
            units[n], values[n] = unit[e], value[e] * scale
            n += 1
    return n


@njit(**OPTIONS)
def drop(x, first, keep, threshold, scale, out):
    """out[t, k, j] = x[t, k, j] * scale where keep[k, first + t, j] >= threshold, else 0; out may be x."""
    zero = x.dtype.type(0)
    for t in range(x.shape[0]):
        for k in range(x.shape[1]):
            for j in range(x.shape[2]):
                out[t, k, j] = x[t, k, j] * scale if keep[k, first + t, j] >= threshold else zero
