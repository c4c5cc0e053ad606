"""When units were observed: outside these intervals a bin is missing, it is not silent.

A raw Dataset of events may have the variables `observed_start` and `observed_stop` (s) and `observed_unit`
(index along `unit`), all along `observed`. A unit without any interval counts as observed throughout.
"""

from __future__ import annotations

import numpy as np

from cortseq._lazy import xr

_BLOCK = 1 << 18  # intervals that are compared at once


def with_intervals(raw: xr.Dataset, intervals: list[np.ndarray]) -> xr.Dataset:
    """Return raw events with the intervals in which each unit was observed.

    Parameters
    ----------
    intervals : one (interval, 2) array of starts and stops in s per unit; empty where nothing is known.
    """
    whole = [np.asarray(pairs, float).reshape(-1, 2) for pairs in intervals]
    joined = np.concatenate([*whole, np.empty((0, 2))])
    if not len(joined):
        return raw
    unit = np.repeat(np.arange(len(whole)), list(map(len, whole)))
    known = np.isfinite(joined).all(1) & (joined[:, 1] > joined[:, 0])
    return raw.assign(
        observed_start=("observed", joined[known, 0]),
        observed_stop=("observed", joined[known, 1]),
        observed_unit=("observed", unit[known]),
    )


def stretches(raw: xr.Dataset) -> np.ndarray | None:
    """Return the stretches of time in which all units were observed.

    Returns
    -------
    (stretch, 2) starts and stops in s, ordered and apart; None where the recording does not say.
    """
    if "observed_start" not in raw:
        return None
    starts, stops, units = (raw[f"observed_{name}"].values for name in ("start", "stop", "unit"))
    if not len(units):
        return None
    pairs = np.stack([starts, stops], 1)
    merged = [union(pairs[units == u]) for u in np.unique(units)]
    begin = np.concatenate([m[:, 0] for m in merged])
    end = np.concatenate([m[:, 1] for m in merged])
    edges = np.concatenate([begin, end])
    change = np.repeat([1, -1], [len(begin), len(end)])
    order = np.lexsort((change, edges))  # at one time an end comes before a start
    here = np.cumsum(change[order]) == len(merged)
    at = np.flatnonzero(here)
    found = np.stack([edges[order][at], edges[order][at + 1]], 1)
    return found[found[:, 1] > found[:, 0]]


def covered(starts: np.ndarray, stops: np.ndarray, pieces: np.ndarray, slack: float) -> np.ndarray:
    """Return which intervals lie within one of the stretches, an array like `starts` of bool.

    Parameters
    ----------
    starts, stops : of any equal shape, s.
    pieces : (stretch, 2) ordered and apart, s.
    slack : by how much an interval may stick out, s.
    """
    if not len(pieces):
        return np.zeros(np.shape(starts), bool)
    if len(starts) > _BLOCK:
        blocks = range(0, len(starts), _BLOCK)
        parts = [covered(starts[k : k + _BLOCK], stops[k : k + _BLOCK], pieces, slack) for k in blocks]
        return np.concatenate(parts)
    at = np.searchsorted(pieces[:, 0], np.asarray(starts) + slack, side="right") - 1
    return np.asarray((at >= 0) & (np.asarray(stops) <= pieces[np.maximum(at, 0), 1] + slack))


def union(pairs: np.ndarray) -> np.ndarray:
    """Return intervals (interval, 2) merged where they meet or overlap, in order."""
    starts, stops = pairs[np.argsort(pairs[:, 0], kind="stable")].T
    reach = np.maximum.accumulate(stops)
    new = np.append(True, starts[1:] > reach[:-1])
    last = np.append(np.flatnonzero(new)[1:] - 1, len(starts) - 1)
    return np.stack([starts[new], reach[last]], 1)
