"""Lines of `inspect` about arrays: their range, what is dirty, and what they look like."""

from __future__ import annotations

from typing import Any

import numpy as np

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
