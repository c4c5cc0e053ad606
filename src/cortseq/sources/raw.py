"""Raw Datasets of spikes and samples (see `cortseq.sources.base`), from checked arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import padding, ragged
from cortseq.sources.events import tidy

_JITTER = 0.25  # steps between samples that are this far from the median are irregular


def describe(
    raw: xr.Dataset, form: Literal["events", "samples"], dirt: dict[str, Any] | None = None, **attrs: Any
) -> xr.Dataset:
    """Return the raw Dataset with its attributes; entries of `dirt` that counted nothing are left out."""
    return with_dirt(raw, dirt or {}).assign_attrs(form=form, **attrs)


def with_dirt(raw: xr.Dataset, more: dict[str, Any]) -> xr.Dataset:
    """Return the raw Dataset with more entries of `dirt`; those that counted nothing are left out."""
    found = json.loads(raw.attrs.get("dirt", "{}")) | {key: int(n) for key, n in more.items() if n}
    return raw.assign_attrs(dirt=json.dumps(found))


def from_trains(
    trains: Mapping[str, np.ndarray],
    *,
    scale: float = 1.0,
    file: Path | None,
    key: str,
    trials: Sequence[np.ndarray] | None = None,
) -> xr.Dataset:
    """Raw events of units stored apart: name -> times (in units of `scale` s), and their trial numbers.

    NaN, with which rectangular tables are padded, is left out; spikes are put in order, and of two spikes
    of one unit at one instant (in one trial) one is left out. Each is counted in `dirt`. An infinite time
    and a recording without any spike are errors.

    Parameters
    ----------
    trains : name of each unit -> its spike times (spike,), in units of `scale` s.
    """
    dirt = {"spike_times_nan": 0}
    times, unit, trial = [], [], []
    for i, raw in enumerate(trains.values()):
        t = np.asarray(raw, float).ravel()
        k = np.zeros(len(t), int) if trials is None else np.asarray(trials[i])
        dirt["spike_times_nan"] += int(np.isnan(t).sum())
        t, k = finite(t[~np.isnan(t)], file=file, key=key) * scale, k[~np.isnan(t)]
        times.append(t)
        trial.append(k)
        unit.append(np.full(len(t), i))
    event = {
        "event_time": np.concatenate([*times, []]),
        "event_unit": np.concatenate([*unit, []]).astype(int),
    }
    if not len(event["event_time"]):
        raise CortseqError("holds no spikes", file=file, key=key)
    if trials is not None:
        event["event_trial"] = np.concatenate(trial)
    raw_dataset = xr.Dataset({k: ("event", v) for k, v in event.items()}, {"unit": np.array(list(trains))})
    return tidy(describe(raw_dataset, "events", dirt))


def dense(
    values: np.ndarray,
    track: Literal["counts", "signal"],
    axes: Sequence[str],
    *,
    file: Path | None,
    key: str,
) -> xr.Dataset:
    """Return raw samples of an array whose axes are named, transposed to (trial,) time, unit | channel."""
    feature = "channel" if track == "signal" else "unit"
    axes = [feature if axis in ("unit", "channel") else axis for axis in axes]
    if values.ndim != len(axes):
        raise CortseqError(
            f"the array has shape {values.shape}, not one axis each for {axes}",
            file=file,
            key="axes",
            fix="name every axis of the array",
        )
    if values.size == 0:
        raise CortseqError(f"the array is empty, shape {values.shape}", file=file, key=track)
    known = None
    if track == "counts":
        values, known = padding.missing_bins(values, axes)
        values = whole_counts(values, file=file, key=key)
    elif values.dtype.kind not in "iufb" or np.isinf(values).any():
        raise CortseqError("a signal must be finite numbers (NaN: missing)", file=file, key=key)
    else:
        values = values.astype(float)
    if feature not in axes:
        values, axes = values[..., None], [*axes, feature]
    order = [axis for axis in ("trial", "time", feature) if axis in axes]
    raw = xr.Dataset({track: (axes, values)}).transpose(*order)
    if known is not None:
        raw = raw.assign(valid=([axis for axis in axes if axis != feature], known))
        raw = with_dirt(raw, {"bins_padding": int((~known).sum())})
    return raw.assign_coords({feature: np.arange(raw.sizes[feature])})


def unequal(
    parts: list[np.ndarray],
    track: Literal["counts", "signal"],
    axes: Sequence[str],
    *,
    file: Path | None,
    key: str,
) -> xr.Dataset:
    """Return raw samples of trials stored apart, of unequal length, filled up to (trial, time, feature).

    The first of `axes` is the trial, the others are those of each of `parts`.
    """
    values, valid = ragged.padded(parts, axes, file=file, key=key)
    raw = dense(values, track, axes, file=file, key=key)
    return raw if valid.all() else raw.assign(valid=(("trial", "time"), valid))


def clocked(raw: xr.Dataset, width: float, dirt: dict[str, Any] | None = None) -> xr.Dataset:
    """Return samples of `width` s, described; a continuous array gets its times, from 0."""
    if "trial" not in raw.dims:
        raw = raw.assign_coords(time=np.arange(raw.sizes["time"]) * width)
    return describe(raw, "samples", dirt, bin_width=width)


def inside(raw: xr.Dataset, track: str) -> np.ndarray:
    """Return which samples of a track are no padding, (trial, time) or (time,) bool; all without `valid`."""
    one = raw[track].isel({_feature(raw[track]): 0}, drop=True).transpose(..., "time")
    if "valid" not in raw:
        return np.ones(one.shape, bool)
    known: np.ndarray = raw["valid"].astype(bool).broadcast_like(one).transpose(*one.dims).values
    return known


def steps(raw: xr.Dataset, track: str) -> np.ndarray:
    """Return the steps from each sample of a track to the next of its trial, where neither is padding.

    Returns
    -------
    (step, unit | channel).
    """
    values = raw[track].transpose(..., "time", _feature(raw[track])).values
    found = np.diff(values if values.dtype.kind == "f" else values.astype(float), axis=-2)
    if "valid" not in raw:
        return found.reshape(-1, values.shape[-1])
    known = inside(raw, track)
    return np.asarray(found[known[..., 1:] & known[..., :-1]])


def _feature(values: xr.DataArray) -> str:
    return next(str(dim) for dim in values.dims if dim not in ("trial", "time"))


def step(time: np.ndarray, file: Path | None) -> float:
    """Return the bin width of regular times; gaps are rare and clocks jitter, so the median is the width.

    Parameters
    ----------
    time : (sample,) s.

    Returns
    -------
    s.
    """
    steps = np.diff(time)
    width = float(np.median(steps)) if len(steps) else 0.0
    if width <= 0 or (abs(steps / width - 1) > _JITTER).mean() > 0.05:
        raise CortseqError(
            "times are irregular, so the bin width is not known",
            file=file,
            key="time",
            fix="set native_bin_ms",
        )
    return width


def finite(values: Any, *, file: Path | None, key: str) -> np.ndarray:
    """Return `values` as float64; CortseqError where one is NaN or infinite.

    Parameters
    ----------
    values : of any shape; the result has the same.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iufb" and values.size:
        raise CortseqError(
            f"times must be numbers, not {values.dtype}", file=file, key=key, fix="check the key"
        )
    numbers: np.ndarray = values.astype(float)
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise CortseqError(
            f"{bad.sum()} of {bad.size} times are NaN or infinite",
            file=file,
            key=key,
            fix="remove them from the file",
        )
    return numbers


def whole_counts(values: np.ndarray, *, file: Path | None, key: str) -> np.ndarray:
    """Return `values` as integers >= 0; CortseqError where one is negative, fractional or not a number.

    Parameters
    ----------
    values : of any shape; the result has the same.
    """
    if values.dtype.kind in "ub":
        return values.astype(np.uint8) if values.dtype.kind == "b" else values
    if values.dtype.kind not in "if":
        raise CortseqError(
            f"counts must be numbers, not {values.dtype}", file=file, key=key, fix="check the key"
        )
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(values) | (values < 0) | (values != np.floor(values))
    if bad.any():
        raise CortseqError(
            f"counts must be whole numbers >= 0, {bad.sum()} are not",
            file=file,
            key=key,
            value=float(values[bad][0]),
            fix="real values are read with `signal:`",
        )
    return values if values.dtype.kind == "i" else values.astype(np.int32)
