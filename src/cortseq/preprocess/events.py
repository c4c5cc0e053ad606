"""Spikes into bins: windows of one clock, tables of trials, what was not observed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import recording as rec
from cortseq import streamed
from cortseq._lazy import lazy, xr
from cortseq.errors import CortseqError
from cortseq.preprocess import labels
from cortseq.signs import sizes
from cortseq.sources import observed, windows
from cortseq.sources.base import Source
from cortseq.sources.events import tidy

if TYPE_CHECKING:
    from cortseq import binning
else:
    binning = lazy("cortseq.binning")  # it brings the compiler


def clocked(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return raw events in s, in order, each once; those before `valid_from` are left out and counted."""
    if source.sampling_rate_hz:
        raw = raw.assign(event_time=raw["event_time"] / source.sampling_rate_hz)
    raw = tidy(raw)
    if source.valid_from is None:
        return raw
    if "event_trial" in raw:
        raise CortseqError(
            "is for spikes on one clock, these are counted from each trial's start", key="valid_from"
        )
    late = raw["event_time"].values >= source.valid_from
    dirt = json.loads(raw.attrs["dirt"]) | {"spikes_before_valid_from": int((~late).sum())}
    return raw.isel(event=np.flatnonzero(late)).assign_attrs(dirt=json.dumps(dirt))


def events(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the Recording of raw events (`cortseq.sources.base`)."""
    bin_width = (source.bin_ms or windows.DEFAULT_BIN * 1e3) / 1e3
    if not raw.sizes["event"]:
        raise CortseqError("no spike is left", key="event_time", fix="check valid_from and the selection")
    if "event_trial" in raw:
        return _in_trials(raw, source, bin_width)
    starts, stops, t0 = _intervals(raw, source, bin_width)
    whole = stops - starts >= bin_width * (1 - 1e-9)
    if not whole.any():
        raise windows.bin_too_wide(bin_width, float((stops - starts).max(initial=0)))
    starts, stops = starts[whole], stops[whole]
    if "trial" in raw.dims:
        raw = raw.isel(trial=np.flatnonzero(whole))
    counts, outside = _binned(raw, source, starts, stops, bin_width)
    recording = rec.from_counts(
        counts,
        bin_width=bin_width,
        unit_names=raw["unit"].values,
        covariates=labels.covariates(raw),
        dirt={"spikes_outside_window": outside},
    )
    n_bins = np.floor((stops - starts) / bin_width + 1e-9)
    recording["valid"] = ("trial", "time"), np.arange(recording.sizes["time"])[None] < n_bins[:, None]
    recording = _silenced(recording)
    recording = recording.assign_coords(
        time=recording["time"] + t0, start=("trial", starts), stop=("trial", starts + n_bins * bin_width)
    )
    recording.attrs["continuous"] = int("interval_start" not in raw)
    short = {"trials_shorter_than_a_bin": int((~whole).sum())}
    recording.attrs["dirt"] = json.dumps(rec.dirt(recording) | short)
    recording = labels.with_series(labels.with_labels(recording, raw), raw)
    return _masked(recording, observed.stretches(raw))


def spans(raw: xr.Dataset, source: Source) -> np.ndarray | None:
    """Return starts and stops in s of the trials on the spikes' clock, (trial, 2); None without a table."""
    return windows.trial_spans(raw, source) if "interval_start" in raw else None


def _in_trials(raw: xr.Dataset, source: Source, bin_width: float) -> xr.Dataset:
    """Return the Recording of spikes that know their trial, their times counted from its start."""
    times = raw["event_time"].values
    window = windows.window(source) or (0.0, float(np.ceil(times.max() / bin_width)) * bin_width)
    n_bins = (window[1] - window[0]) / bin_width
    sizes.fits(raw.sizes["trial"], n_bins, raw.sizes["unit"], "spikes", source.accept)
    recording = rec.from_spikes(
        times,
        raw["event_unit"].values,
        raw["event_trial"].values,
        window=window,
        bin_width=bin_width,
        n_trials=raw.sizes["trial"],
        unit_names=raw["unit"].values,
        covariates=labels.covariates(raw),
    )
    return labels.with_labels(recording, raw)


def _binned(
    raw: xr.Dataset, source: Source, starts: np.ndarray, stops: np.ndarray, bin_width: float
) -> tuple[Any, int]:
    """Return counts (trial, bin, unit) of trials on one clock, and how many spikes fell into a remainder."""
    longest = float((stops - starts).max())
    sizes.fits(len(starts), longest / bin_width, raw.sizes["unit"], "spikes", source.accept)
    shape = len(starts), binning.n_bins(longest, bin_width), raw.sizes["unit"]
    times, units = raw["event_time"].values, raw["event_unit"].values
    binned = binning.counted(shape, binning.in_intervals(times, units, starts, stops, shape, bin_width))
    if binned is None:
        raise CortseqError("a spike's unit is not among the units", key="event_unit")
    return binned


def _silenced(recording: xr.Dataset) -> xr.Dataset:
    """Return the Recording without spikes in bins that are not valid."""
    valid = recording["valid"].values

    def within(counts: np.ndarray, trials: np.ndarray) -> np.ndarray:
        return np.where(valid[trials, :, None], counts, 0)

    return recording.assign(counts=streamed.mapped(recording["counts"].variable, within))


def _intervals(raw: xr.Dataset, source: Source, bin_width: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Return starts and stops of the trials (s, absolute), (trial,) each.

    Returns also the time of the first bin on the trial's clock, s.
    """
    window = windows.window(source)
    if "interval_start" in raw:
        starts, stops = windows.trial_spans(raw, source).T
        return starts, stops, window[0] if window else 0.0
    length = windows.length(source)
    if bin_width > length:
        raise windows.bin_too_wide(bin_width, length)
    pieces = observed.stretches(raw)
    if pieces is None:
        times = raw["event_time"].values
        pieces = np.array([[times.min(), times.max()]])
    n_windows = np.maximum(((pieces[:, 1] - pieces[:, 0]) / length).astype(np.int64), 0)
    sizes.fits(int(n_windows.sum()), length / bin_width, raw.sizes["unit"], "spikes", source.accept)
    starts = [first + length * np.arange(n) for (first, _), n in zip(pieces, n_windows, strict=True)]
    if not n_windows.sum():
        return np.empty(0), np.empty(0), 0.0
    return np.concatenate(starts), np.concatenate(starts) + length, 0.0


def _masked(recording: xr.Dataset, pieces: np.ndarray | None) -> xr.Dataset:
    """Return the Recording without the bins in which a unit was not observed.

    Such a bin is missing, not silent. Trials without any observed bin are left out. `dirt` counts both.
    """
    if pieces is None:
        return recording
    width = recording.attrs["bin_width"]
    first = recording["start"].values[:, None] + width * np.arange(recording.sizes["time"])
    valid = recording["valid"].values
    seen = valid & observed.covered(first, first + width, pieces, slack=1e-6 * width)
    kept = seen.any(1)
    if not kept.any():
        raise CortseqError(
            "there is no trial in which all units were observed",
            key="obs_intervals",
            fix="select units that were observed together, with `select:`",
        )
    lost = {
        "bins_not_observed": int((valid & ~seen)[kept].sum()),
        "trials_not_observed": int((~kept).sum()),
        "spikes_while_not_observed": int(rec.spikes(recording)[0][~seen].sum()),
    }
    recording["valid"] = ("trial", "time"), seen
    recording = _silenced(recording)
    recording.attrs["dirt"] = json.dumps(rec.dirt(recording) | lost)
    recording = recording.isel(trial=np.flatnonzero(kept))
    return recording.assign_coords(trial=np.arange(int(kept.sum())))
