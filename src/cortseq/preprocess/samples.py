"""Samples as they were recorded: windows between gaps, wider bins, missing values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.observations.tracks import Track
from cortseq.preprocess import labels
from cortseq.signs import sizes
from cortseq.sources import windows
from cortseq.sources.base import Source
from cortseq.sources.inputs import PREFIX
from cortseq.sources.raw import inside, steps

CLOCKS = {"time", "t", "times", "timestamp", "timestamps", "frame", "frames", "index", "sample", "samples"}
STEPS = 50  # a channel needs so many steps before their regularity says that it is a clock
MISSING = 0.2  # channels missing in more of the samples are dropped: every bin they lack would be masked


def samples(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the Recording of raw counts or signals (`cortseq.sources.base`)."""
    track = rec.kind(raw)
    native = float(raw.attrs["bin_width"])
    factor = windows.samples_per_bin(source, native)
    recording = _cut(raw, source, native, factor) if "trial" not in raw[track.name].dims else raw
    recording = _rebin(recording, track, factor)
    n_trials, n_time, n_features = (recording.sizes[dim] for dim in track.dims)
    sizes.fits(n_trials, n_time, n_features, track.name, source.accept)
    recording = _build(recording, raw, track, native * factor)
    recording = recording.assign_coords(time=recording["time"] + raw.attrs.get("time_start", 0.0))
    window = windows.window(source)
    if window is not None and not recording.attrs["continuous"]:
        inside = (recording["time"] >= window[0] - 1e-9) & (recording["time"] < window[1] - 1e-9)
        recording = recording.isel(time=np.flatnonzero(inside.values))
    return labels.with_labels(recording, raw)


def without_beginning(raw: xr.Dataset, first: float) -> xr.Dataset:
    """Return continuous samples from the time `first` (s) on; what was left out is counted in `dirt`."""
    if "time" not in raw.coords or "trial" in raw.dims:
        raise CortseqError(
            "is for samples on one clock, these are cut into trials",
            key="valid_from",
            value=first,
            fix="remove it",
        )
    late = raw["time"].values >= first
    if not late.any():
        raise CortseqError(
            f"no sample is left, the last is at {raw['time'].values[-1]:g} s", key="valid_from", value=first
        )
    found = json.loads(raw.attrs.get("dirt", "{}")) | {"samples_before_valid_from": int((~late).sum())}
    raw = raw.isel(time=np.flatnonzero(late))
    return raw.assign_attrs(dirt=json.dumps({key: n for key, n in found.items() if n}))


def without_clocks(raw: xr.Dataset) -> xr.Dataset:
    """Return the signal without the channels that are clocks; their names are in the attribute `clocks`.

    A clock rises at every step, by about the same amount (19 of 20 steps within a quarter of the median), or
    it bears a name such as `time`, `frame` or `index` and never falls. What pads short trials is no step.
    """
    names = [str(name) for name in raw["channel"].values]
    clock = np.array(
        [_is_clock(name, step) for name, step in zip(names, steps(raw, "signal").T, strict=True)], bool
    )
    if not clock.any():
        return raw
    if clock.all():
        raise CortseqError("every channel is a clock: it rises by a constant step", key="signal", value=names)
    found = json.loads(raw.attrs.get("dirt", "{}")) | {"channels_that_are_clocks": int(clock.sum())}
    clocks = [name for name, is_clock in zip(names, clock, strict=True) if is_clock]
    raw = raw.isel(channel=np.flatnonzero(~clock))
    return raw.assign_attrs(dirt=json.dumps(found), clocks=json.dumps(clocks))


def _is_clock(name: str, steps: np.ndarray) -> bool:
    """Whether the steps (step,) of a channel are those of a clock."""
    if len(steps) < STEPS or not np.isfinite(steps).all() or (steps < 0).any() or not steps.any():
        return False
    if name.strip().lower() in CLOCKS:
        return True
    typical = np.median(steps)
    return bool((steps > 0).all() and (abs(steps - typical) <= 0.25 * typical).mean() >= 0.95)


def without_missing_channels(raw: xr.Dataset) -> xr.Dataset:
    """Channels with enough values; how many were dropped, and how many samples stay masked, is in `dirt`.

    What pads short trials is not judged.
    """
    signal = raw["signal"].transpose(..., "time", "channel")
    missing = np.isnan(signal.values)
    missing = missing[inside(raw, "signal")] if "valid" in raw else missing.reshape(-1, missing.shape[-1])
    kept = missing.mean(0) <= MISSING
    if not kept.any():
        raise CortseqError(
            f"every channel is missing in more than {MISSING:.0%} of the samples", key="signal"
        )
    found = json.loads(raw.attrs.get("dirt", "{}")) | {
        "channels_mostly_missing": int((~kept).sum()),
        "samples_masked_for_missing_values": int(missing[:, kept].any(-1).sum()),
    }
    raw = raw if kept.all() else raw.isel(channel=np.flatnonzero(kept))  # no copy where all are kept
    return raw.assign_attrs(dirt=json.dumps({k: v for k, v in found.items() if v}))


def _cut(raw: xr.Dataset, source: Source, native: float, factor: int) -> xr.Dataset:
    """Return windows of a continuous recording.

    None spans a gap in time (`cortseq.sources.windows.gaps`).
    """
    per_window = windows.samples_per_window(source, native, factor)
    time = raw["time"].values
    first = windows.starts(len(time), windows.gaps(time, native), per_window, source)
    index = first[:, None] + np.arange(per_window)
    moved = xr.Variable(("trial", "time"), index)
    cut = raw.drop_vars([v for v in raw.variables if str(v).startswith(("series_", "time_"))])
    cut = cut.rename(time="sample").isel(sample=moved).drop_vars("sample")
    cut = cut.assign_coords(start=("trial", time[index[:, 0]]), stop=("trial", time[index[:, -1]] + native))
    for name in labels.series(raw):
        values = windows.nearest_in_time(time, raw[f"time_{name}"].values, raw[f"series_{name}"].values)
        cut = cut.assign_coords({name: (("trial", "time"), values[index])})
    cut.attrs = dict(raw.attrs) | {"continuous": 1}
    return cut


def _rebin(raw: xr.Dataset, track: Track, factor: int) -> xr.Dataset:
    """Sum counts or average signals over `factor` bins; a remainder is not used.

    Labels are those of the middle bin; what inputs are made of is averaged.
    """
    if factor == 1:
        return raw
    whole = raw.isel(time=slice(0, raw.sizes["time"] // factor * factor))
    if whole.sizes["time"] == 0:
        raise windows.bin_too_wide(
            factor * raw.attrs["bin_width"], raw.sizes["time"] * raw.attrs["bin_width"]
        )
    blocks = whole[[v for v in whole.data_vars if "time" in whole[v].dims]].coarsen(time=factor)
    reduced = blocks.sum() if track.has_events else blocks.mean()
    if "valid" in whole:  # a wider bin needs all of its samples
        reduced["valid"] = whole["valid"].astype(int).coarsen(time=factor).min()
    middle = whole.isel(time=slice(factor // 2, None, factor))
    within = {k: v.variable for k, v in middle.coords.items() if v.dims == ("trial", "time")}
    for name in (k for k in within if str(k).startswith(PREFIX)):
        wide = whole[name].values.reshape(len(whole[name]), -1, factor)
        within[name] = xr.Variable(("trial", "time"), wide.mean(-1))
    kept = {k: v.variable for k, v in whole.coords.items() if "time" not in v.dims}
    return xr.Dataset(
        {k: v.variable for k, v in reduced.data_vars.items()}, {**kept, **within}, attrs=raw.attrs
    )


def _build(cut: xr.Dataset, raw: xr.Dataset, track: Track, bin_width: float) -> xr.Dataset:
    dims = track.dims
    values = cut[track.name].transpose(*dims).values
    coords = {k: v.variable for k, v in cut.coords.items() if k in ("start", "stop")}
    names = cut[dims[2]].values if dims[2] in cut.coords else np.arange(values.shape[2])
    series = {k: v.values for k, v in cut.coords.items() if v.dims == ("trial", "time")}
    valid = cut["valid"].values if "valid" in cut else None
    common: dict[str, Any] = {
        "bin_width": bin_width,
        "valid": valid,
        "covariates": labels.covariates(raw) | series,
        "coords": coords,
    }
    if track.has_events:
        recording = rec.from_counts(values, unit_names=names, **common)
    else:
        recording = rec.from_signal(values, channel_names=names, **common)
    recording.attrs["continuous"] = int(cut.attrs.get("continuous", 0))
    for extra in ("true_rates", "ceiling", "inputs"):
        if extra in cut:
            recording[extra] = cut[extra].variable
    if "ceiling" in recording and "time" in cut.sizes and cut.sizes["time"] != raw.sizes.get("time"):
        del recording["ceiling"]  # log p of summed counts is not the sum of log p
    return recording
