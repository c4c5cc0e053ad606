"""What an NWB file looks like: an entry for its spikes, and lines of `inspect`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from cortseq.recording.shapes import OWN_NAMES
from cortseq.sources.base import Proposal
from cortseq.sources.nwb_view import View, scalars

_INSIDE, _MOST_INPUTS = 0.8, 8  # share of times that lie in their trials; inputs that are proposed
_FEW, _KINDS = 20, 10  # intervals of a table, values of a covariate that are proposed


def propose_units(nwb: View) -> Proposal:
    """Return an entry for spikes, cut by the table of trials or the longest other table of intervals."""
    entry: dict[str, Any] = {"source": "nwb"}
    notes: dict[str, str] = {}
    tables = {name: len(table) for name, table in nwb.intervals.items() if len(table) >= _FEW}
    name = "trials" if "trials" in tables else max(tables, key=lambda n: tables[n], default=None)
    if name is not None:
        if name != "trials":
            entry["intervals"], notes["intervals"] = name, "GUESS: the longest table of intervals"
        found = {}
        for column in nwb.intervals[name].colnames:
            values = None if _named(column) in OWN_NAMES else scalars(nwb.intervals[name][column])
            if values is not None and values.dtype.kind == "U" and 1 < len(np.unique(values)) <= _KINDS:
                found[_named(column)] = column
        entry |= {"covariates": dict(list(found.items())[:2])} if found else {}
    else:
        entry["window_ms"] = 1000.0  # a number: windows are cut
    return Proposal(entry, notes, inputs=_inputs(nwb, name))


def _inputs(nwb: View, name: str | None) -> dict[str, dict[str, str]]:
    """Return what models might see: columns of times within their trials, series of single numbers."""
    found: dict[str, dict[str, str]] = {}
    table: Any = None if name is None else nwb.intervals[name]
    for column in () if table is None else table.colnames:
        values = scalars(table[column])
        if column in ("start_time", "stop_time") or values is None or values.dtype.kind != "f":
            continue
        known = np.isfinite(values)
        start, stop = (np.asarray(table[c].data[:])[known] for c in ("start_time", "stop_time"))
        inside = (values[known] >= start) & (values[known] <= stop) & (values[known] != start)
        if known.any() and inside.mean() > _INSIDE:
            found[_named(column)] = {"event": column}
    for series, one in nwb.series.items():
        if series not in nwb.rois and np.prod(np.shape(one.data)[1:]) == 1 and len(one.data):
            found[_named(series)] = {"series": series}
    return dict(list(found.items())[:_MOST_INPUTS])


def _named(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.rpartition("/")[2].lower())


def inspect_units(nwb: View) -> list[str]:
    """Return lines of `inspect` about the table of units: spikes, rates, columns, what is dirty."""
    if nwb.units is None or "spike_times" not in nwb.units.colnames:
        return ["units: none with spike times"]
    spikes = [np.asarray(nwb.units.get_unit_spike_times(i), float) for i in range(len(nwb.units))]
    joined = np.concatenate([*spikes, np.empty(0)])
    good = joined[np.isfinite(joined)]
    duration = float(np.ptp(good)) if good.size else 0.0
    rates = [len(s) / duration for s in spikes] if duration else [0.0]
    silent = sum(len(s) == 0 for s in spikes)
    lines = [
        f"units: {len(spikes)}, {joined.size} spikes over {duration:.1f} s, "
        f"rates {min(rates):.2f} to {max(rates):.2f} Hz",
        f"columns of units: {', '.join(nwb.units.colnames)}",
    ]
    dirt = {"units without spikes": silent, "spike times NaN or infinite": joined.size - good.size}
    return lines + [f"dirty: {n} {what}" for what, n in dirt.items() if n]


def inspect_table(name: str, table: Any) -> list[str]:
    """Return lines of `inspect` about a table of intervals: durations, columns, what is dirty."""
    start, stop = (np.asarray(table[c].data[:], float) for c in ("start_time", "stop_time"))
    duration = stop - start
    median = float(np.nanmedian(duration)) if len(duration) else 0.0
    lines = [
        f"intervals {name}: {len(table)}, durations {np.nanmin(duration):.2f} to {np.nanmax(duration):.2f} s "
        f"(median {median:.2f})",
        f"columns of {name}: {', '.join(table.colnames)}",
    ]
    long = np.flatnonzero(duration > 10 * median)
    if len(long):
        longest = ", ".join(f"{d:.0f} s" for d in duration[long][:5])
        lines.append(f"dirty: {len(long)} of {name} are longer than ten times the median ({longest})")
    for column in table.colnames:
        values = scalars(table[column])
        if values is not None and values.dtype.kind == "f" and np.isnan(values).any():
            lines.append(f"dirty: {name}.{column} is NaN in {np.isnan(values).sum()} of {len(values)}")
    return lines
