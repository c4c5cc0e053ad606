"""Lines of `inspect`: of raw Datasets, and of arrays, their range, what is dirty and what they look like."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cortseq._lazy import xr

_MANY = 50  # counts per bin are fewer on average; larger whole numbers are indices


def summary(values: np.ndarray) -> str:
    """Return type, shape, range and dirt of an array of any shape."""
    text = f"{values.dtype} {values.shape}"
    if values.dtype.kind not in "iuf":
        return text + (f", {len(np.unique(values))} different" if values.size else ", empty")
    if values.size == 0:
        return text + ", empty"
    good = values[np.isfinite(values)]
    bad = values.size - good.size
    span = f", {good.min():g} to {good.max():g}, mean {good.mean():.4g}" if good.size else ""
    return text + span + (f", DIRTY: {bad} NaN or infinite" if bad else "") + _constant(values)


def _constant(values: np.ndarray) -> str:
    """Return rows or columns of a table that never vary: dead channels."""
    if values.ndim != 2 or min(values.shape) < 2:
        return ""
    with np.errstate(invalid="ignore"):
        found = {"rows": (np.ptp(values, 1) == 0).sum(), "columns": (np.ptp(values, 0) == 0).sum()}
    return "".join(f", DIRTY: {n} {what} never vary" for what, n in found.items() if n)


def guess(arrays: dict[str, Any]) -> list[str]:
    """Return what the arrays look like: lists of equal length, dense counts, times with gaps."""
    lines = []
    lists = [k for k, v in arrays.items() if v.ndim == 1 and v.dtype.kind in "iuf"]
    for n in sorted({len(arrays[k]) for k in lists}, reverse=True):
        same = [k for k in lists if len(arrays[k]) == n]
        whole = {k: len(np.unique(arrays[k])) for k in same if arrays[k].dtype.kind in "iu"}
        if 3 <= len(same) <= 5 and whole:
            sizes = ", ".join(f"{size} different {k}" for k, size in whole.items())
            lines.append(f"looks like a list of {n} spikes: {', '.join(same)} ({sizes})")
    for key, values in arrays.items():
        if (
            values.ndim in (2, 3)
            and 1 not in values.shape
            and values.size
            and values.dtype.kind in "iu"
            and values.min() >= 0
            and values.mean() < _MANY
        ):
            axes = "(trial, unit, time)?" if values.ndim == 3 else "(time, unit)?"
            lines.append(f"looks like counts: {key} {values.shape} {axes}, {values.sum()} spikes")
        if values.ndim == 1 and "time" in key and values.dtype.kind in "iuf" and len(values) > 2:
            lines += _guess_times(key, values)
    return lines


def _guess_times(key: str, values: np.ndarray) -> list[str]:
    """Return a line about what looks like a clock: its step, and what is dirty in it."""
    steps = np.diff(values)
    if not np.isfinite(steps).all() or (steps < 0).mean() > 0.1:
        return []
    typical = max(float(np.median(steps[steps > 0])), 1e-12) if (steps > 0).any() else 1.0
    back = f", DIRTY: {(steps < 0).sum()} steps backwards" if (steps < 0).any() else ""
    return [
        f"{key} runs from {values[0]:g} to {values[-1]:g} in steps of {typical:.4g}; "
        f"{(steps == 0).sum()} repeated values, {(steps > 5 * typical).sum()} gaps{back}"
    ]


# -- raw Datasets ------------------------------------------------------------------------------------


def summarise_symbols(raw: xr.Dataset, kind: str) -> list[str]:
    """Return lines of `inspect` for a raw Dataset of symbols."""
    lengths = raw["valid"].values.sum(1)
    counts = np.bincount(raw["symbols"].values[raw["valid"].values], minlength=raw.attrs["n_symbols"])
    share = counts / counts.sum()
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
    pairs = [f"{label}: {n}" for label, n in zip(raw.attrs["labels"], counts, strict=True)]
    labels = ", ".join(pairs[:20] + ["..."] * (len(pairs) > 20))
    return [
        f"kind: {kind}",
        f"sequences: {len(lengths)}, {counts.sum()} symbols, "
        f"lengths {lengths.min()} to {lengths.max()} (median {np.median(lengths):g})",
        f"labels: {len(counts)} ({labels})",
        f"entropy of single labels: {entropy:.2f} bits",
        f"dirt: {summarise_dirt(raw)}",
    ]


def summarise_events(raw: xr.Dataset, kind: str) -> list[str]:
    """Return lines of `inspect` for a raw Dataset of spikes."""
    times, n_units = raw["event_time"].values, raw.sizes["unit"]
    counts = np.bincount(raw["event_unit"].values, minlength=n_units)
    lines = [f"kind: {kind}", f"units: {n_units} ({(counts == 0).sum()} silent), {len(times)} spikes"]
    if "trial" in raw.sizes:
        lines.append(f"trials: {raw.sizes['trial']}")
    span = float(np.ptp(times)) if len(times) else 0.0
    if span > 0:
        rates = counts / (span * (raw.sizes["trial"] if "event_trial" in raw else 1))
        lines.append(f"times: {times.min():.3f} to {times.max():.3f} s; {summarise_rates(rates)}")
        lines += dominant(counts, rates, raw["unit"].values)
        if "event_trial" not in raw and "interval_start" not in raw:
            lines.append(f"longest time without any spike: {np.diff(np.sort(times)).max(initial=0):.2f} s")
    return lines


def summarise_rates(rates: np.ndarray) -> str:
    """Return one line on the firing rates (unit,), Hz."""
    return f"rates {rates.min():.2f} to {rates.max():.2f} Hz (mean {rates.mean():.2f})"


def dominant(counts: np.ndarray, rates: np.ndarray, names: np.ndarray) -> list[str]:
    """Return a line where one unit of several has most of all spikes: a pooled score would be that unit's.

    Parameters
    ----------
    counts : (unit,) spikes.
    rates : (unit,) Hz.
    names : (unit,).
    """
    most = int(np.argmax(counts))
    if (counts > 0).sum() < 3 or counts[most] <= counts.sum() / 2:
        return []
    share = 100 * counts[most] / counts.sum()
    return [
        f"dirty: unit {names[most]} fires at {rates[most]:.1f} Hz and has {share:.0f} % of all spikes "
        f"(max_rate_hz)"
    ]


def summarise_dirt(raw: xr.Dataset) -> str:
    """Return what a Dataset dropped, in words."""
    found = json.loads(raw.attrs.get("dirt", "{}"))
    return ", ".join(f"{n} {key.replace('_', ' ')}" for key, n in found.items()) or "none"
