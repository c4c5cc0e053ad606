"""Spikes as they were stored: their order shows a clock that restarts, their repeats what is no spike."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cortseq._lazy import xr

BACK = 0.1  # a step back by more than this share of the span is a restart of the clock, not jitter ...
SEQUENTIAL = 0.2  # ... where fewer of the steps run back: otherwise the file is in no order at all
FEW = 20  # spikes of a unit from which on its order says something
REPEATED = 10  # spikes of one unit at one time: a neuron does not do that, a code for "invalid" does
COARSE = 2e-3  # s; on a clock this coarse two spikes of a unit may share a time
MANY = 100  # spikes from which on a clock can be called coarse
FACTS = "stored"  # attribute: JSON of what was found in the order of the file


def tidy(raw: xr.Dataset) -> xr.Dataset:
    """Return raw events in order of time within each unit and trial, each spike once.

    Of several spikes of one unit at one time (in one trial) one stays, and the others are counted in `dirt`,
    unless the clock is coarse (steps of at least 2 ms). What the stored order says is kept in the attribute
    `stored`: `restarts`, `units_restarting`, and the most repeated time, `repeated` times at `repeated_at`.
    Datasets that are no events, or tidy already, come back as they are.

    Parameters
    ----------
    raw : raw Dataset (`cortseq.sources.base`) with `event_time` (event,) in s, `event_unit` (event,) and
        perhaps `event_trial` (event,).
    """
    if raw.attrs.get("form") != "events" or FACTS in raw.attrs or (raw["event_unit"].values < 0).any():
        return raw
    times = raw["event_time"].values
    units = raw["event_unit"].values
    trials = raw["event_trial"].values if "event_trial" in raw else None
    by_unit = (units[1:] >= units[:-1]).all()  # slices, then, need no copies
    order: Any = slice(None) if by_unit else np.argsort(units, kind="stable")
    facts: dict[str, Any] = {} if trials is not None else _restarts(times[order], units[order])
    inner = (times,) if trials is None else (times, trials)
    disordered = _steps_back(times, units, trials, order)
    order = order if not disordered else np.lexsort((*inner, units))
    same = _same(times, units, trials, order)
    same &= not (same.any() and _is_coarse(times))
    facts |= _repeats(times[order], same)
    dirt = json.loads(raw.attrs.get("dirt", "{}"))
    if disordered:
        dirt["spikes_out_of_order"] = disordered
    if same.any():
        dirt["spikes_at_the_same_time"] = int(same.sum())
        order = np.flatnonzero(~same) if isinstance(order, slice) else order[~same]
    attrs = {"dirt": json.dumps(dirt), FACTS: json.dumps(facts)}
    return raw.isel(event=order).assign_attrs(attrs)


def facts(raw: xr.Dataset) -> dict[str, Any]:
    """Return what the order of the file said; {} where nothing was found."""
    facts: dict[str, Any] = json.loads(raw.attrs.get(FACTS, "{}"))
    return facts


def _steps_back(times: np.ndarray, units: np.ndarray, trials: np.ndarray | None, order: Any) -> int:
    """Return how often a spike is earlier than the one before it in the same unit (and trial)."""
    units, times = units[order], times[order]
    within, back = units[1:] == units[:-1], times[1:] < times[:-1]
    if trials is None:
        return int((within & back).sum())
    step = np.diff(trials[order])
    return int((within & ((step < 0) | ((step == 0) & back))).sum())


def _same(times: np.ndarray, units: np.ndarray, trials: np.ndarray | None, order: Any) -> np.ndarray:
    """Return which spikes repeat the one before in unit, trial and time, (event,) bool."""
    same = np.ones(max(len(times) - 1, 0), bool)
    for labels in (times, units) if trials is None else (times, units, trials):
        values = labels[order]
        same &= values[1:] == values[:-1]
    return np.append(False, same)[: len(times)]


def _restarts(times: np.ndarray, units: np.ndarray) -> dict[str, Any]:
    """Return how often the clock runs back by much, in units whose spikes are otherwise in order."""
    if len(times) < FEW or not np.isfinite(times).all():
        return {}
    span = float(np.ptp(times))
    steps, within = np.diff(times), units[1:] == units[:-1]
    back = within & (steps < -BACK * span)
    n = np.bincount(units, minlength=int(units.max()) + 1)
    per_unit = np.bincount(units[1:][back], minlength=len(n))
    earlier = np.bincount(units[1:][within & (steps < 0)], minlength=len(n))
    known = n >= FEW
    restarting = known & (per_unit > 0) & (earlier < SEQUENTIAL * n)
    if restarting.sum() * 2 < max(known.sum(), 1):
        return {}  # a unit merged from two clusters: its spikes are one list after the other
    return {"restarts": int(per_unit[restarting].max()), "units_restarting": int(restarting.sum())}


def _repeats(times: np.ndarray, same: np.ndarray) -> dict[str, Any]:
    """Return the time at which one unit spikes most often, where that is no accident."""
    if not same.any():
        return {}
    ends = np.flatnonzero(np.append(~same[1:], True))
    runs = np.diff(np.append(-1, ends))
    most = int(np.argmax(runs))
    if runs[most] < REPEATED:
        return {}
    at = float(times[ends[most]])
    return {"repeated": int(runs[times[ends] == at].sum()), "repeated_at": at}


def _is_coarse(times: np.ndarray) -> bool:
    """Whether all times are multiples of a step of at least 2 ms."""
    if len(times) < MANY or not np.isfinite(times).all():
        return False
    steps = np.diff(np.unique(times))
    if not len(steps) or steps.min() < COARSE * (1 - 1e-6):
        return False
    ticks = (times - times.min()) / steps.min()
    return bool(np.abs(ticks - np.round(ticks)).max() < 1e-3)
