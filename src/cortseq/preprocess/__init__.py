"""From a raw Dataset (`cortseq.sources.base`) to a Recording: binning, cutting into trials, selection."""

from __future__ import annotations

import json

import numpy as np

from cortseq import recording as rec
from cortseq import signs
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.preprocess.events import clocked, events, spans
from cortseq.preprocess.inputs import with_inputs
from cortseq.preprocess.samples import (
    samples,
    without_beginning,
    without_clocks,
    without_missing_channels,
)
from cortseq.preprocess.symbols import symbols
from cortseq.sources.base import Source
from cortseq.sources.windows import chosen

_OF_SAMPLES = {"counts": samples, "signal": samples, "symbols": symbols}


def preprocess(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the Recording of one entry of a study.

    Raises
    ------
    CortseqError : a bin wider than a trial or not a multiple of the native one, nothing left.
    """
    raw = prepared(raw, source)
    recording = with_inputs(_cut(raw, source), raw, source)
    recording = _in_order(recording) if source.guard else recording
    if not raw.attrs.get("chosen"):
        recording = recording.isel(trial=chosen(recording.sizes["trial"], source))
    recording.attrs["provenance"] = raw.attrs.get("provenance", "{}")
    dropped = json.loads(raw.attrs.get("dirt", "{}")) | rec.dirt(recording)
    if rec.kind(recording).has_events:
        silent = ~rec.spikes(recording)[0].any(1)
        dropped["trials_without_spikes_kept"] = int(silent.sum())
    recording.attrs["dirt"] = json.dumps({k: v for k, v in dropped.items() if v}, sort_keys=True)
    return rec.with_observation(recording, source.observation or rec.observation(recording))


def judged(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the Recording of one entry, where no sign says that it was misread.

    What was read is in the attribute `read`, the signs that do not stop a study are in `signs` (JSON texts).

    Raises
    ------
    CortseqError : one line for each refused sign (`cortseq.signs`); all that `preprocess` raises.
    """
    raw = prepared(raw, source)
    where = spans(raw, source)
    found = signs.accepted(signs.of_raw(raw, source, where), source.accept)
    recording = preprocess(raw, source)
    found += signs.accepted(signs.of_trials(recording), source.accept)
    if raw.attrs["form"] == "events":
        recording.attrs["read"] = json.dumps(signs.times.tally(raw, source, where))
    return recording.assign_attrs(signs=signs.to_json(found))


def prepared(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the raw Dataset of the chosen units or channels, its spikes in s and in order, clocks left out.

    A Dataset that was prepared comes back as it is.
    """
    if raw.attrs.get("prepared"):
        return raw
    if raw.attrs["form"] == "events":
        raw = clocked(raw, source)
    elif source.valid_from is not None and not raw.attrs.get("chosen"):
        raw = without_beginning(raw, source.valid_from)
    raw = _select(raw, source)
    if "channel" in raw.dims:
        raw = without_missing_channels(without_clocks(raw))
    return raw.assign_attrs(prepared=1)


def _cut(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the trials or windows of a prepared raw Dataset."""
    if raw.attrs["form"] == "events":
        return events(raw, source)
    return _OF_SAMPLES[rec.track(raw)](raw, source)


def _in_order(recording: xr.Dataset) -> xr.Dataset:
    """Return the trials in the order of time, to be dealt like windows of one continuous recording."""
    if "start" not in recording.coords:
        raise CortseqError("the times of the trials are not known", key="guard", value=True, fix="remove it")
    order = np.argsort(recording["start"].values, kind="stable")
    recording = recording.isel(trial=order).assign_coords(trial=np.arange(len(order)))
    recording.attrs["continuous"] = 1
    return recording


def _select(raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Keep the units (or channels) whose label is one of those asked for; count the others in `dirt`."""
    if not source.select:
        return raw
    feature = "channel" if "channel" in raw.dims else "unit"
    before = raw.sizes[feature]
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
            if "observed_unit" in raw:
                unit = renumber[raw["observed_unit"].values]
                raw = raw.assign(observed_unit=("observed", unit)).isel(observed=np.flatnonzero(unit >= 0))
        raw = raw.isel({feature: kept})
    counted = {f"{feature}s_not_selected": before - raw.sizes[feature]}
    return raw.assign_attrs(dirt=json.dumps(json.loads(raw.attrs.get("dirt", "{}")) | counted))
