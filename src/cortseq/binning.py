"""Spikes into bins, compiled: one pass over the spikes, in whatever order they come.

Bin b holds the spikes with start + b * width <= t < start + (b + 1) * width: the left edge belongs to the
bin, the right one to the next. The quotient is compared with a tolerance of EDGE bins, which keeps a spike
that sits on an edge in exact arithmetic on the right side of it. Counts are of the smallest unsigned type
that holds the largest: a count that would not fit starts the pass again with the next wider type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from cortseq import memory, streamed

# Positions of some trials (trial,) -> their counts (trial, bin, unit), and how many spikes were outside.
Binned = Callable[[np.ndarray], tuple[np.ndarray, int] | None]

EDGE = 1e-9  # bins
_TYPES = np.uint8, np.uint16, np.uint32
_BLOCK = 128  # spikes: their places are computed as a vector, then visited one by one
_FULL, _WRONG = -1, -2
_OPTIONS: Any = {"cache": True, "nogil": True, "error_model": "numpy"}


def n_bins(length: float, width: float) -> int:
    """Return whole bins in `length`; a remainder shorter than a bin is not used."""
    return int(np.floor(length / width + EDGE))


def by_trial(times, units, trials, shape, start: float, width: float) -> tuple[np.ndarray, int] | None:
    """Return counts (trial, bin, unit) of spikes that know their trial, and how many lay outside the bins.

    `times` (s, from the start of the trial), integer `units` and `trials` (None: all in the first): (spike,)
    arrays; shape = (trials, bins, units). None where a time is not finite or a label out of range.
    """
    times = np.ascontiguousarray(times, np.float64)
    units = np.ascontiguousarray(units)
    trials = None if trials is None else np.ascontiguousarray(trials)
    return _widening(_by_trial, (times, units, trials, start, width), units, shape)


def by_interval(times, units, starts, stops, shape, width: float) -> tuple[np.ndarray, int] | None:
    """Return counts (trial, bin, unit) of spikes on one clock, in trials that may overlap.

    Trials are starts <= t < stops (s).

    Bins count from the start of each trial. A spike in two trials is counted in both; one in a trial's
    remainder (beyond the last bin) is counted as outside. A time that is not finite is in no trial. None
    where a unit is out of range.
    """
    order = np.argsort(starts, kind="stable")
    begin, end = np.asarray(starts, float)[order], np.asarray(stops, float)[order]
    reach = np.maximum.accumulate(end)  # no earlier trial lasts longer
    times = np.ascontiguousarray(times, np.float64)
    return _widening(
        _by_interval, (times, np.ascontiguousarray(units), begin, end, reach, order, width), units, shape
    )


def counted(shape: tuple[int, int, int], binned: Binned) -> tuple[Any, int] | None:
    """Return the counts of all trials, and how many spikes were outside.

    Parameters
    ----------
    shape : trials, bins, units.
    binned : counts some trials, see `in_trials` and `in_intervals`.

    Returns
    -------
    counts (trial, bin, unit) and a number; None where `binned` gives None. Counts that are more than a block
    are a streamed variable (`cortseq.streamed`), int32.
    """
    every, outside = np.arange(shape[0]), 0
    if not streamed.is_large(shape):
        return binned(every)
    for block in memory.blocks(shape[0], shape[1] * shape[2]):
        found = binned(every[block])
        if found is None:
            return None
        outside += found[1]

    def make(trials: np.ndarray) -> np.ndarray:
        again = binned(trials)
        assert again is not None  # the first pass found nothing wrong
        return again[0].astype(np.int32)

    return streamed.variable(("trial", "time", "unit"), shape, np.int32, make), outside


def in_trials(times, units, trials, shape, start: float, width: float) -> Binned:
    """Return a function that counts the spikes of some trials as `by_trial` does; arguments as there."""
    if not streamed.is_large(shape):
        return lambda _: by_trial(times, units, trials, shape, start, width)
    order = np.argsort(trials, kind="stable")
    times, units, trials = times[order], units[order], trials[order]
    edges = np.searchsorted(trials, np.arange(shape[0] + 1))

    def binned(some: np.ndarray) -> tuple[np.ndarray, int] | None:
        first, n = edges[some], np.diff(edges)[some]
        place = np.repeat(np.arange(len(some)), n)
        at = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
        return by_trial(times[at], units[at], place, (len(some), *shape[1:]), start, width)

    return binned


def in_intervals(times, units, starts, stops, shape, width: float) -> Binned:
    """Return a function that counts the spikes of some trials as `by_interval` does; arguments as there."""
    if not streamed.is_large(shape):
        return lambda _: by_interval(times, units, starts, stops, shape, width)
    order = np.argsort(times, kind="stable")
    times, units = times[order], units[order]

    def binned(some: np.ndarray) -> tuple[np.ndarray, int] | None:
        begin, end = starts[some], stops[some]
        near = slice(*np.searchsorted(times, [begin.min(), end.max()]))
        return by_interval(times[near], units[near], begin, end, (len(some), *shape[1:]), width)

    return binned


def _widening(kernel, arguments, units, shape) -> tuple[np.ndarray, int] | None:
    """Run `kernel` on zeros, laid out as the spikes come: unit by unit, or all units of a bin together."""
    some = np.linspace(0, max(len(units) - 2, 0), 1000).astype(int)
    by_unit = len(units) > 1 and np.mean(units[some] == units[some + 1]) > 0.5
    for kind in _TYPES:
        counts = np.zeros((shape[0], shape[2], shape[1]) if by_unit else shape, kind)
        counts = counts.swapaxes(1, 2) if by_unit else counts
        steps = tuple(s // counts.itemsize for s in counts.strides)
        flat = counts.swapaxes(1, 2).reshape(-1) if by_unit else counts.reshape(-1)
        outside = kernel(*arguments, shape, steps, flat)
        if outside != _FULL:
            return None if outside == _WRONG else (counts, outside)
    raise OverflowError(f"more than {np.iinfo(_TYPES[-1]).max} spikes in one bin")


@njit(**_OPTIONS)
def _by_trial(times, units, trials, start, width, shape, steps, flat):
    """Add the spikes to `flat`; returns how many were outside, or _FULL or _WRONG."""
    place = np.empty(_BLOCK, np.int64)
    n_trials, n_bins, n_units = shape
    per_trial, per_bin, per_unit = float(steps[0]), float(steps[1]), float(steps[2])
    unit_count, outside = flat.dtype.type(1), 0
    for first in range(0, times.size, _BLOCK):
        t, u = times[first : first + _BLOCK], units[first : first + _BLOCK]
        right = True
        for e in range(t.size):  # products in floating point (exact up to 2^53 cells): those are vectors
            b = np.floor((t[e] - start) / width + EDGE)
            inside = (b >= 0) & (b < n_bins)
            place[e] = np.int64(b * per_bin + u[e] * per_unit) if inside else -1
            right &= (t[e] - t[e] == 0) & (u[e] >= 0) & (u[e] < n_units)
        if trials is not None:
            k = trials[first : first + _BLOCK]
            for e in range(t.size):
                place[e] += np.int64(k[e] * per_trial) if place[e] >= 0 else 0
                right &= (k[e] >= 0) & (k[e] < n_trials)
        if not right:
            return _WRONG
        for e in range(t.size):
            at = place[e]
            if at < 0:
                outside += 1
                continue
            flat[at] += unit_count
            if flat[at] == 0:  # it did not fit
                return _FULL
    return outside


@njit(**_OPTIONS)
def _by_interval(times, units, begin, end, reach, order, width, shape, steps, flat):
    """Count as `_by_trial` does, in trials sorted by `begin`.

    `order` holds their numbers, reach[i] the latest end of the first i + 1.
    """
    unit_count, outside, last = flat.dtype.type(1), 0, -1
    for e in range(times.size):
        t, u = times[e], units[e]
        if u < 0 or u >= shape[2]:
            return _WRONG
        if last >= 0 and t < begin[last]:  # spikes mostly come in order of time: the search is rare
            last = np.searchsorted(begin, t, side="right") - 1
        while last + 1 < begin.size and begin[last + 1] <= t:
            last += 1
        i = last
        while i >= 0 and reach[i] > t:
            if end[i] > t:
                b = np.floor((t - begin[i]) / width + EDGE)
                if b < shape[1]:
                    place = order[i] * steps[0] + np.int64(b) * steps[1] + u * steps[2]
                    flat[place] += unit_count
                    if flat[place] == 0:
                        return _FULL
                else:
                    outside += 1
            i -= 1
    return outside
