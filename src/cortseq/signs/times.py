"""Signs of a wrong clock: units of time, restarts, codes for "invalid", trials that lie elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.signs.base import Sign
from cortseq.sources import observed
from cortseq.sources.base import Source
from cortseq.sources.events import FEW, facts

SLOW, FAST = 0.01, 300.0  # Hz; median rates of units that no recording of single neurons has
LONG = 10 * 86400.0  # s
WHOLE = 1e4  # s; whole numbers beyond it are sample numbers or milliseconds
OUTSIDE = 0.2  # share of spikes outside of all trials
ELSEWHERE = 0.5  # share of spikes before the first or after the last trial that is never meant ...
ALONE = 0.05  # ... as is a smaller one where this share of the trials' time lies beyond all spikes
EMPTY_SPACE = (
    0.25  # spikes avoid the trials where they are rarer in them than this share of what chance gives
)
TWICE = 0.02  # share of spikes that repeat another one


def of_events(raw: xr.Dataset, source: Source, spans: np.ndarray | None) -> Iterator[Sign]:
    """Yield the signs of raw events.

    Parameters
    ----------
    raw : prepared raw Dataset of events; times in s.
    source : its entry.
    spans : (trial, 2) starts and stops in s of trials on the clock of the spikes; None without a trial table.
    """
    times = raw["event_time"].values
    if not len(times):
        return
    yield from _unit_of_time(raw, times, source)
    yield from _clock(raw, source)
    yield from _twice(raw)
    yield from _session_times(raw, times)
    yield from _outside(raw, times, source, spans)
    yield from _unobserved(raw, times)


def tally(raw: xr.Dataset, source: Source, spans: np.ndarray | None) -> dict[str, Any]:
    """Return how many spikes were read, and how many lie outside of trials: before, between, after.

    `spans`: (trial, 2) starts and stops in s of trials on the clock of the spikes; None without a trial
    table.
    """
    times = raw["event_time"].values
    found: dict[str, Any] = {"spikes": len(times)}
    if spans is not None and len(spans):
        inside = observed.covered(times, times, observed.union(spans), 0.0)
        before, after = times < spans[:, 0].min(), times >= spans[:, 1].max()
        found |= {
            "outside_trials": int((~inside).sum()),
            "before_the_first_trial": int(before.sum()),
            "after_the_last_trial": int(after.sum()),
            "between_trials": int((~inside & ~before & ~after).sum()),
        }
    elif "event_trial" in raw and isinstance(source.window_ms, tuple):
        start, stop = (edge / 1e3 for edge in source.window_ms)
        found |= {
            "outside_trials": int(((times < start) | (times >= stop)).sum()),
            "before_the_window": int((times < start).sum()),
            "after_the_window": int((times >= stop).sum()),
        }
    return found


def _unit_of_time(raw: xr.Dataset, times: np.ndarray, source: Source) -> Iterator[Sign]:
    fix = "set time_unit (ms, us) or sampling_rate_hz, which turn the file's numbers into s"
    largest = float(np.abs(times).max())
    if largest > WHOLE and (times == np.floor(times)).all():
        text = (
            f"all spike times are whole numbers, up to {largest:.6g} s: they look like sample numbers or ms"
        )
        yield Sign("time_unit", text, fix)
        return
    span = float(np.ptp(times))
    if span > LONG:
        yield Sign("time_unit", f"the spikes span {span / 86400:.4g} days ({span:.6g} s)", fix)
        return
    n_trials = raw.sizes["trial"] if "event_trial" in raw else 1
    counts = np.bincount(raw["event_unit"].values, minlength=raw.sizes["unit"])
    if span <= 0 or len(times) < FEW:
        return
    median = float(np.median(counts[counts > 0])) / (span * n_trials)
    if not SLOW <= median <= FAST:
        text = f"the median rate of the units is {median:.3g} Hz, over {span:.6g} s"
        yield Sign("time_unit", text, f"no neuron does that: {fix}")


def _clock(raw: xr.Dataset, source: Source) -> Iterator[Sign]:
    found = facts(raw)
    if found.get("restarts"):
        yield Sign(
            "clock_restarts",
            f"the clock runs back {found['restarts']} time(s) within the spikes of "
            f"{found['units_restarting']} unit(s): two sessions, or trials, lie on one clock",
            "give each session its own file and entry, or name the trial of each spike",
        )
    at = found.get("repeated_at")
    if at is not None and (source.valid_from is None or at >= source.valid_from):
        yield Sign(
            "sentinel",
            f"{found['repeated']} spikes lie at the one time {at:g} s: a code for invalid spikes",
            "leave them out with valid_from: (s), or remove them from the file",
        )


def _twice(raw: xr.Dataset) -> Iterator[Sign]:
    dropped = json.loads(raw.attrs.get("dirt", "{}")).get("spikes_at_the_same_time", 0)
    share = dropped / max(dropped + raw.sizes["event"], 1)
    if share > TWICE:
        text = (
            f"{dropped} spikes ({share:.0%}) repeat another one of the same unit and time, and were dropped"
        )
        yield Sign("twice", text, "check whether spikes were merged twice", "warn")


def _session_times(raw: xr.Dataset, times: np.ndarray) -> Iterator[Sign]:
    """Yield times that run on from trial to trial although each spike names its trial."""
    if "event_trial" not in raw:
        return
    trials = raw["event_trial"].values
    numbers, index = np.unique(trials, return_inverse=True)
    if len(numbers) < 3 or len(times) < FEW:
        return
    first, last = np.full(len(numbers), np.inf), np.full(len(numbers), -np.inf)
    np.minimum.at(first, index, times)
    np.maximum.at(last, index, times)
    follows = first[1:] >= last[:-1]
    if follows.mean() >= 0.9 and first[-1] > last[0]:
        yield Sign(
            "session_times",
            f"spike times run on from trial to trial, to {times.max():.6g} s, although each names its trial",
            "count them from the start of each trial, or leave spike_trials out and name a table of trials",
        )


def _outside(raw: xr.Dataset, times: np.ndarray, source: Source, spans: np.ndarray | None) -> Iterator[Sign]:
    """Spikes that lie elsewhere than the trials: not those between trials, which every session has."""
    found = tally(raw, source, spans)
    n, fix = len(times), "check the clock and unit of the trials and of the spikes (time_unit)"
    if spans is None or not len(spans):
        outside = found.get("outside_trials", 0)
        if outside > OUTSIDE * n:
            text = f"{outside} of {n} spikes ({outside / n:.0%}) lie outside window_ms"
            yield Sign("outside", text, f"{fix}, or the window")
        return
    first, last = float(spans[:, 0].min()), float(spans[:, 1].max())
    beyond = found["before_the_first_trial"] + found["after_the_last_trial"]
    if beyond > OUTSIDE * n:
        text = (
            f"{beyond} of {n} spikes ({beyond / n:.0%}) lie before the first or after the last trial: trials "
            f"run from {first:.6g} to {last:.6g} s, spikes from {times.min():.6g} to {times.max():.6g} s"
        )
        alone = max(times.min() - first, last - times.max()) > ALONE * (last - first)
        yield Sign("outside", text, fix, "refuse" if alone or beyond > ELSEWHERE * n else "warn")
        if alone or beyond > ELSEWHERE * n:
            return
    pieces = observed.union(spans)
    share = (pieces[:, 1] - pieces[:, 0]).sum() / max(last - first, 1e-12)
    inside = 1 - found["outside_trials"] / n
    if inside < EMPTY_SPACE * share:
        text = f"only {inside:.1%} of the spikes lie in trials, which cover {share:.0%} of the time"
        yield Sign("outside", text, fix)
    elif found["outside_trials"] > OUTSIDE * n and (between := found["between_trials"]):
        text = f"{between} of {n} spikes ({between / n:.0%}) lie between trials"
        yield Sign("between_trials", f"{text} and are not used", "", "note")


def _unobserved(raw: xr.Dataset, times: np.ndarray) -> Iterator[Sign]:
    pieces = observed.stretches(raw)
    if pieces is None:
        return
    own = [_own(raw, unit) for unit in range(raw.sizes["unit"])]
    units = raw["event_unit"].values
    out = sum(
        int((~observed.covered(t, t, p, 1e-9)).sum())
        for t, p in ((times[units == u], p) for u, p in own if len(p))
    )
    if out > OUTSIDE * len(times):
        yield Sign(
            "obs_intervals",
            f"{out} of {len(times)} spikes ({out / len(times):.0%}) lie outside the intervals in which their "
            "units were observed",
            "check the file, or set obs_intervals: false",
        )


def _own(raw: xr.Dataset, unit: int) -> tuple[int, np.ndarray]:
    """Return a unit and the intervals in which it was observed, (interval, 2), ordered and apart."""
    rows = raw["observed_unit"].values == unit
    pairs = np.stack([raw["observed_start"].values[rows], raw["observed_stop"].values[rows]], 1)
    return unit, observed.union(pairs) if len(pairs) else pairs
