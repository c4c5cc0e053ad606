"""From a raw Dataset (`cortseq.sources.base`) to a Recording: binning, cutting into trials, selection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cortseq import recording as rec
from cortseq._lazy import lazy
from cortseq.errors import CortseqError
from cortseq.observations.tracks import Track
from cortseq.sources.base import Source

if TYPE_CHECKING:
    from cortseq import binning
else:
    binning = lazy("cortseq.binning")  # it brings the compiler

DEFAULT_BIN = 0.02  # s, for spikes
DEFAULT_WINDOW = 5.0  # s, windows cut from continuous recordings
GAP = 2.5  # a step between samples longer than this many sample widths is a gap ...
MIN_GAP = 0.1  # ... if it also lasts this long (s)
MISSING = 0.2  # channels missing in more of the samples are dropped: every bin they lack would be masked


def preprocess(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the Recording of one entry of a study.

    Raises
    ------
    CortseqError : a bin wider than a trial or not a multiple of the native one, nothing left.
    """
    raw = _select(raw, source)
    raw = _without_missing_channels(raw) if "channel" in raw.dims else raw
    recording = _events(raw, source) if raw.attrs["form"] == "events" else _samples(raw, source)
    recording = _part(recording, source)
    if source.max_trials and recording.sizes["trial"] > source.max_trials:
        recording = recording.isel(trial=slice(0, source.max_trials))
    recording.attrs["provenance"] = raw.attrs.get("provenance", "{}")
    dropped = json.loads(raw.attrs.get("dirt", "{}")) | rec.dirt(recording)
    if rec.kind(recording).has_events:
        silent = ~(rec.observations(recording) > 0).any((1, 2))
        dropped["trials_without_spikes_kept"] = int(silent.sum())
    recording.attrs["dirt"] = json.dumps({k: v for k, v in dropped.items() if v}, sort_keys=True)
    return rec.with_observation(recording, source.observation or rec.observation(recording))


def _part(recording: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the trials between two shares of all.

    Parts that meet neither share a trial nor leave one out.
    """
    if source.part is None:
        return recording
    n = recording.sizes["trial"]
    first, last = (round(share * n) for share in source.part)
    if last - first < 2:
        raise CortseqError(
            f"{last - first} of {n} trials are left", key="part", value=list(source.part), fix="widen it"
        )
    return recording.isel(trial=slice(first, last))


def _select(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Keep the units (or channels) whose label is one of those asked for."""
    feature = "channel" if "channel" in raw.dims else "unit"
    for label, wanted in source.select.items():
        if label not in raw.coords or raw[label].dims != (feature,):
            known = sorted(str(k) for k, v in raw.coords.items() if v.dims == (feature,))
            raise CortseqError(
                f"the recording has no such label of {feature}s (it has {known})", key=f"select.{label}"
            )
        kept = np.flatnonzero(np.isin(raw[label].values.astype(str), [str(w) for w in wanted]))
        if not len(kept):
            raise CortseqError(
                f"no {feature} is left",
                key=f"select.{label}",
                value=wanted,
                fix=f"it has {sorted(set(raw[label].values.astype(str).tolist()))}",
            )
        if raw.attrs["form"] == "events":
            renumber = np.full(raw.sizes["unit"], -1)
            renumber[kept] = np.arange(len(kept))
            unit = renumber[raw["event_unit"].values]
            raw = raw.assign(event_unit=("event", unit)).isel(event=np.flatnonzero(unit >= 0))
        raw = raw.isel({feature: kept})
    return raw


def _window(source: Source) -> tuple[float, float] | None:
    """Return [start, stop] of a trial in s, or None."""
    window = source.window_ms
    return (window[0] / 1e3, window[1] / 1e3) if isinstance(window, tuple) else None


def _length(source: Source) -> float:
    """Return length of the windows cut from a continuous recording, s."""
    if isinstance(source.window_ms, tuple):
        raise CortseqError(
            "[start, stop] is for recordings with trials, this one is continuous",
            key="window_ms",
            value=list(source.window_ms),
            fix="give the length of the windows to cut, one number",
        )
    return source.window_ms / 1e3 if isinstance(source.window_ms, float | int) else DEFAULT_WINDOW


# -- events ----------------------------------------------------------------------------------------


def _events(raw: xr.Dataset, source: Source) -> xr.Dataset:
    bin_width = (source.bin_ms or DEFAULT_BIN * 1e3) / 1e3
    times, units = raw["event_time"].values, raw["event_unit"].values
    if "event_trial" in raw:
        window = _window(source) or (0.0, float(np.ceil(times.max() / bin_width)) * bin_width)
        recording = rec.from_spikes(
            times,
            units,
            raw["event_trial"].values,
            window=window,
            bin_width=bin_width,
            n_trials=raw.sizes["trial"],
            unit_names=raw["unit"].values,
            covariates=_covariates(raw),
        )
        return _with_labels(recording, raw)
    starts, stops, t0 = _intervals(raw, source, bin_width)
    whole = stops - starts >= bin_width * (1 - 1e-9)
    if not whole.any():
        raise _bin_too_wide(bin_width, float((stops - starts).max(initial=0)))
    starts, stops = starts[whole], stops[whole]
    if "trial" in raw.dims:
        raw = raw.isel(trial=np.flatnonzero(whole))
    shape = len(starts), binning.n_bins(float((stops - starts).max()), bin_width), raw.sizes["unit"]
    binned = binning.by_interval(times, units, starts, stops, shape, bin_width)
    if binned is None:
        raise CortseqError("a spike's unit is not among the units", key="event_unit")
    recording = rec.from_counts(
        binned[0],
        bin_width=bin_width,
        unit_names=raw["unit"].values,
        covariates=_covariates(raw),
        dirt={"spikes_outside_window": binned[1]},
    )
    n_bins = np.floor((stops - starts) / bin_width + 1e-9)
    recording["valid"] = ("trial", "time"), np.arange(recording.sizes["time"])[None] < n_bins[:, None]
    recording["counts"] = recording["counts"].where(recording["valid"], 0)
    recording = recording.assign_coords(
        time=recording["time"] + t0, start=("trial", starts), stop=("trial", starts + n_bins * bin_width)
    )
    recording.attrs["continuous"] = int("interval_start" not in raw)
    short = {"trials_shorter_than_a_bin": int((~whole).sum())}
    recording.attrs["dirt"] = json.dumps(rec.dirt(recording) | short)
    return _with_series(_with_labels(recording, raw), raw)


def _intervals(raw: xr.Dataset, source: Source, bin_width: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return starts and stops of the trials (s, absolute), (trial,) each.

    Returns also the time of the first bin on the trial's clock, s.
    """
    window = _window(source)
    if "interval_start" in raw:
        if window is None:
            return raw["interval_start"].values, raw["interval_stop"].values, 0.0
        align = raw["interval_align" if "interval_align" in raw else "interval_start"].values
        return align + window[0], align + window[1], window[0]
    times = raw["event_time"].values
    length = _length(source)
    if bin_width > length:
        raise _bin_too_wide(bin_width, length)
    first, last = times.min(), times.max()
    starts = first + length * np.arange(max(int((last - first) / length), 0))
    return starts, starts + length, 0.0


def _bin_too_wide(bin_width: float, length: float) -> CortseqError:
    return CortseqError(
        f"the bin is wider than the trial of {length * 1e3:g} ms",
        key="bin_ms",
        value=bin_width * 1e3,
        fix="choose a smaller bin_ms",
    )


# -- samples ---------------------------------------------------------------------------------------


def _samples(raw: xr.Dataset, source: Source) -> xr.Dataset:
    track = rec.kind(raw)
    if track.has_labels:
        return _symbols(raw)
    native = float(raw.attrs["bin_width"])
    factor = _factor(source, native)
    recording = _cut(raw, track.name, source, native, factor) if "trial" not in raw[track.name].dims else raw
    recording = _build(_rebin(recording, track, factor), raw, track, native * factor)
    window = _window(source)
    if window is not None and not recording.attrs["continuous"]:
        inside = (recording["time"] >= window[0] - 1e-9) & (recording["time"] < window[1] - 1e-9)
        recording = recording.isel(time=np.flatnonzero(inside.values))
    return _with_labels(recording, raw)


def _without_missing_channels(raw: xr.Dataset) -> xr.Dataset:
    """Channels with enough values; how many were dropped, and how many samples stay masked, is in `dirt`."""
    axis = raw["signal"].dims.index("channel")
    missing = np.moveaxis(np.isnan(raw["signal"].values), axis, -1)
    kept = missing.reshape(-1, missing.shape[-1]).mean(0) <= MISSING
    if not kept.any():
        raise CortseqError(
            f"every channel is missing in more than {MISSING:.0%} of the samples", key="signal"
        )
    found = json.loads(raw.attrs.get("dirt", "{}")) | {
        "channels_mostly_missing": int((~kept).sum()),
        "samples_masked_for_missing_values": int(missing[..., kept].any(-1).sum()),
    }
    raw = raw.isel(channel=np.flatnonzero(kept))
    return raw.assign_attrs(dirt=json.dumps({k: v for k, v in found.items() if v}))


def _factor(source: Source, native: float) -> int:
    """Return native bins per bin."""
    if source.bin_ms is None:
        return 1
    factor = round(source.bin_ms / 1e3 / native)
    if factor < 1 or abs(factor * native * 1e3 - source.bin_ms) > 1e-6 * source.bin_ms:
        raise CortseqError(
            f"is not a multiple of the native bin of {native * 1e3:g} ms", key="bin_ms", value=source.bin_ms
        )
    return factor


def _cut(raw: xr.Dataset, kind: str, source: Source, native: float, factor: int) -> xr.Dataset:
    """Return windows of a continuous recording.

    None spans a gap in time (steps of more than GAP samples and MIN_GAP).
    """
    per_bin = max(round(_length(source) / native) // factor * factor, 0)
    if per_bin < factor or per_bin == 0:
        raise _bin_too_wide(factor * native, _length(source))
    time = raw["time"].values
    gaps = np.flatnonzero(np.diff(time) > max(GAP * native, MIN_GAP if native < MIN_GAP else 0.0)) + 1
    starts = []
    for a, b in zip([0, *gaps], [*gaps, len(time)], strict=True):
        starts += list(range(a, b - per_bin + 1, per_bin))
    if not starts:
        raise CortseqError(
            "no window fits between the gaps of the recording",
            key="window_ms",
            value=source.window_ms,
            fix="shorten it",
        )
    index = np.array(starts)[:, None] + np.arange(per_bin)
    moved = xr.Variable(("trial", "time"), index)
    windows = raw.drop_vars([v for v in raw.variables if str(v).startswith(("series_", "time_"))])
    windows = windows.rename(time="sample").isel(sample=moved).drop_vars("sample")
    windows = windows.assign_coords(
        start=("trial", time[index[:, 0]]), stop=("trial", time[index[:, -1]] + native)
    )
    for name in _series(raw):
        values = _nearest_in_time(time, raw[f"time_{name}"].values, raw[f"series_{name}"].values)
        windows = windows.assign_coords({name: (("trial", "time"), values[index])})
    windows.attrs = dict(raw.attrs) | {"continuous": 1}
    return windows


def _rebin(raw: xr.Dataset, track: Track, factor: int) -> xr.Dataset:
    """Sum counts or average signals over `factor` bins; a remainder is not used.

    Labels are those of the middle bin.
    """
    if factor == 1:
        return raw
    whole = raw.isel(time=slice(0, raw.sizes["time"] // factor * factor))
    if whole.sizes["time"] == 0:
        raise _bin_too_wide(factor * raw.attrs["bin_width"], raw.sizes["time"] * raw.attrs["bin_width"])
    blocks = whole[[v for v in whole.data_vars if "time" in whole[v].dims]].coarsen(time=factor)
    reduced = blocks.sum() if track.has_events else blocks.mean()
    middle = whole.isel(time=slice(factor // 2, None, factor))
    labels = {k: v.variable for k, v in middle.coords.items() if v.dims == ("trial", "time")}
    kept = {k: v.variable for k, v in whole.coords.items() if "time" not in v.dims}
    return xr.Dataset(
        {k: v.variable for k, v in reduced.data_vars.items()}, {**kept, **labels}, attrs=raw.attrs
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
        "covariates": _covariates(raw) | series,
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


def _symbols(raw: xr.Dataset) -> xr.Dataset:
    lengths = raw["valid"].values.sum(1)
    sequences = [row[:n] for row, n in zip(raw["symbols"].values, lengths, strict=True)]
    recording = rec.from_symbols(
        sequences,
        n_symbols=int(raw.attrs["n_symbols"]),
        covariates=_covariates(raw),
        labels=raw.attrs.get("labels"),
    )
    if "ceiling" in raw:
        recording["ceiling"] = ("trial", "time"), raw["ceiling"].values[:, : recording.sizes["time"]]
    return recording


# -- labels ----------------------------------------------------------------------------------------


def _covariates(raw: xr.Dataset) -> dict[str, Any]:
    prefix = "covariate_"
    return {str(v).removeprefix(prefix): raw[v].values for v in raw.data_vars if str(v).startswith(prefix)}


def _series(raw: xr.Dataset) -> list[str]:
    return [str(v).removeprefix("series_") for v in raw.data_vars if str(v).startswith("series_")]


def _with_labels(recording: xr.Dataset, raw: xr.Dataset) -> xr.Dataset:
    """Carry labels of units or channels (brain area, ...) along."""
    feature = rec.kind(recording).dimension
    for name, value in raw.coords.items():
        if value.dims == (feature,) and name != feature:
            recording = recording.assign_coords({name: (feature, value.values)})
    return recording


def _with_series(recording: xr.Dataset, raw: xr.Dataset) -> xr.Dataset:
    """Return a behaviour series at the middle of each bin."""
    middle = (
        recording["start"].values[:, None]
        + (np.arange(recording.sizes["time"]) + 0.5) * recording.attrs["bin_width"]
    )
    names = _series(raw)
    for name in names:
        values = _nearest_in_time(middle, raw[f"time_{name}"].values, raw[f"series_{name}"].values)
        recording = recording.assign_coords({name: (("trial", "time"), values)})
    recording.attrs["covariates"] = sorted([*recording.attrs["covariates"], *names])
    return recording


def _nearest_in_time(wanted: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sample nearest to each wanted time: interpolation would be wrong for angles."""
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    left = right - (wanted - times[right - 1] <= times[right] - wanted)
    return values[left] if len(times) > 1 else np.full(np.shape(wanted), values[0])
