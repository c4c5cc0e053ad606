"""Neurodata Without Borders files (HDF5): sorted units, a table of trials, one behaviour series.

Rübel et al. 2022, eLife 11:e78362.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from cortseq.errors import CortseqError, MissingExtra
from cortseq.memory import affordable
from cortseq.sources import observed
from cortseq.sources.arrays import SECONDS, Unit
from cortseq.sources.base import Positive, Source, describe, finite

_BYTES = 64  # that reading, ordering and binning take per spike


class Nwb(Source):
    """`source: nwb`: spike times of the units table, absolute, and where there is one a table of trials.

    A covariate names a column of that table (one value per trial) or a TimeSeries anywhere in the file
    (a value at each of its times). With `window_ms` a number, windows of that length are cut and no
    table is read. Units without spikes are kept here; trials without a start, stop or alignment time
    and trials longer than `max_trial_s` are dropped and counted. A trial needs no stop where `window_ms` is
    given. Time outside the `obs_intervals` of a unit is missing.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".nwb",)

    source: Literal["nwb"] = "nwb"
    intervals: str | None = Field(
        None, description="the table of trials; default: `trials` where the file has it"
    )
    align: str | None = Field(None, description="column whose time is zero of each trial; default: its start")
    max_trial_s: Positive | None = Field(
        None, description="drop longer trials; default: ten times the median duration"
    )
    obs_intervals: bool = Field(
        True, description="whether time outside the units' obs_intervals is missing; false: it is silence"
    )
    time_unit: Unit = Field("s", description="unit of spike times; the standard says s, some files have ms")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "counts"

    @property
    def _wants_table(self) -> bool:
        return not isinstance(self.window_ms, int | float)

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        assert file is not None
        with open_nwb(file) as nwb:
            raw = _units(nwb, file, SECONDS[self.time_unit])
            raw = observed.with_intervals(raw, _observed(nwb)) if self.obs_intervals else raw
            table = self._table(nwb, file)
            dirt: dict[str, int] = {}
            if table is not None:
                raw, dirt = self._with_trials(raw, table, file)
            for label, name in self.covariates.items():
                if table is None or name not in table.colnames:
                    raw = _with_series(raw, label, name, nwb, file)
        return describe(raw, "events", dirt)

    def _table(self, nwb, file: Path):
        """Return the table of trials; None where windows are cut instead."""
        if not self._wants_table:
            if self.intervals or self.align:
                raise CortseqError(
                    "is of no use with window_ms a number",
                    file=file,
                    key="intervals" if self.intervals else "align",
                    fix="remove it, or give window_ms as [start, stop]",
                )
            return None
        tables = dict(nwb.intervals or {})
        if self.intervals and self.intervals not in tables:
            raise CortseqError(
                "the file has no such interval table",
                file=file,
                key="intervals",
                value=self.intervals,
                fix=f"it has {sorted(tables)}" if tables else "give window_ms as a number to cut windows",
            )
        return tables.get(self.intervals or "trials")

    def _with_trials(self, raw: xr.Dataset, table, file: Path) -> tuple[xr.Dataset, dict[str, int]]:
        start, stop = _column(table, "start_time", file), _column(table, "stop_time", file)
        zero = _column(table, self.align, file, "align") if self.align else start
        if zero.dtype.kind != "f":
            raise CortseqError("is not a column of times", file=file, key="align", value=self.align)
        duration = stop - start
        timed = np.isfinite(start) & np.isfinite(stop) & (duration > 0)
        endless = np.isfinite(start) & ~np.isfinite(stop)  # a window says when it ends
        known = timed | endless if isinstance(self.window_ms, tuple) else timed
        if not known.any():
            raise CortseqError(
                "no trial has a start and a stop",
                file=file,
                key="intervals",
                value=table.name,
                fix="give window_ms: [start, stop]" if endless.any() else "choose another table",
            )
        longest = self.max_trial_s or 10 * float(np.median(duration[timed])) if timed.any() else np.inf
        long, aligned = timed & (duration > longest), np.isfinite(zero)
        keep = known & ~long & aligned
        dirt = {
            "trials_without_duration": (~known).sum(),
            "trials_too_long": long.sum(),
            "trials_without_align": (known & ~long & ~aligned).sum(),
        }
        if not keep.any():
            raise CortseqError(
                f"no trial is left, dropped {dirt}", file=file, key="max_trial_s", value=longest
            )
        variables = {"interval_start": start, "interval_stop": stop, "interval_align": zero}
        for label, name in self.covariates.items():
            if name in table.colnames:
                variables[f"covariate_{label}"] = _column(table, name, file, f"covariates.{label}")
        raw = raw.assign_coords(trial=np.arange(keep.sum()))
        return raw.assign({key: ("trial", v[keep]) for key, v in variables.items()}), dirt

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        with open_nwb(file) as nwb:
            return [
                f"kind: NWB file {nwb.identifier} (source: nwb)",
                *_inspect_units(nwb),
                *[
                    line
                    for name, table in (nwb.intervals or {}).items()
                    for line in _inspect_table(name, table)
                ],
                *[f"series {name}: {np.shape(s.data)}" for name, s in sorted(_all_series(nwb).items())],
            ]


@contextlib.contextmanager
def open_nwb(file: Path) -> Iterator[Any]:
    """Yield the NWB file as pynwb reads it; what pynwb warns about old files is of no use to a user."""
    try:
        import pynwb
    except ImportError as error:
        raise MissingExtra("pynwb", "nwb", file) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            io = pynwb.NWBHDF5IO(str(file), mode="r", load_namespaces=True)
            content = io.read()
        except Exception as error:  # h5py, hdmf and pynwb each raise their own kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CortseqError(
                f"is not a readable NWB file ({reason})", file=file, fix="check the file"
            ) from error
        with io:
            yield content


def _units(nwb, file: Path, scale: float) -> xr.Dataset:
    """Return spikes of all units in the order they are stored, with the units' scalar columns.

    The columns are coordinates; times are multiplied by `scale`.
    """
    if nwb.units is None or "spike_times" not in nwb.units.colnames:
        raise CortseqError(
            "has no table of units with spike times", file=file, key="units", fix="choose another file"
        )
    n_spikes = len(nwb.units["spike_times"].target.data)
    affordable(n_spikes * _BYTES, f"reading {n_spikes} spikes", file=file, key="units.spike_times")
    spikes = [np.asarray(nwb.units.get_unit_spike_times(i), float) for i in range(len(nwb.units))]
    times = finite(np.concatenate([*spikes, np.empty(0)]), file=file, key="units.spike_times") * scale
    units = np.repeat(np.arange(len(spikes)), list(map(len, spikes)))
    raw = xr.Dataset(
        {"event_time": ("event", times), "event_unit": ("event", units)},
        coords={"unit": np.asarray(nwb.units.id[:])},
    )
    labels = {}
    for name in nwb.units.colnames:
        values = _scalars(nwb.units[name])
        if values is not None and len(values) == len(spikes) and name not in ("unit", "trial", "event"):
            labels[name] = "unit", values
    return raw.assign_coords(labels)


def _observed(nwb) -> list[np.ndarray]:
    """Return the intervals in which each unit was observed, (interval, 2) in s each."""
    if "obs_intervals" not in nwb.units.colnames:
        return []
    return [np.asarray(nwb.units.get_unit_obs_intervals(i), float) for i in range(len(nwb.units))]


def _scalars(column) -> np.ndarray | None:
    """Return a column of one number or text per row.

    None for anything else: ragged columns, references, matrices.
    """
    if hasattr(column, "target"):
        return None
    values = np.asarray(column.data[:])
    if values.dtype.kind in "iufb" and values.ndim == 1:
        return values
    if values.ndim == 1 and all(isinstance(v, str | bytes) for v in values):
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)
    return None


def _column(table, name: str, file: Path, key: str = "intervals") -> np.ndarray:
    """Return a column of an interval table, one value per row; lists of tags are joined."""
    if name not in table.colnames:
        raise CortseqError(
            f"the table {table.name} has no such column",
            file=file,
            key=key,
            value=name,
            fix=f"it has {list(table.colnames)}",
        )
    values = _scalars(table[name])
    if values is None:
        rows = [table[name][i] for i in range(len(table))]
        values = np.array([" ".join(map(str, np.atleast_1d(np.asarray(row)))) for row in rows], dtype=str)
    return values


def _all_series(nwb) -> dict[str, Any]:
    """Return every TimeSeries of the file with numbers in it, by name."""
    import pynwb

    series = (o for o in nwb.objects.values() if isinstance(o, pynwb.TimeSeries))
    return {s.name: s for s in series if getattr(s.data, "ndim", 0) in (1, 2) and len(s.data)}


def _with_series(raw: xr.Dataset, label: str, name: str, nwb, file: Path) -> xr.Dataset:
    """Return a behaviour series as `series_<label>`; a column of a matrix is named `name[column]`."""
    series = _all_series(nwb)
    base, _, column = name.rstrip("]").partition("[")
    if base not in series or (column and not column.isdigit()):
        raise CortseqError(
            "neither a column of the trial table nor a time series of the file",
            file=file,
            key=f"covariates.{label}",
            value=name,
            fix=f"series: {sorted(series)}",
        )
    values = np.asarray(series[base].data[:])
    values = values[:, None] if values.ndim == 1 else values
    if (values.shape[1] > 1 and not column) or int(column or 0) >= values.shape[1]:
        raise CortseqError(
            f"the series has {values.shape[1]} columns",
            file=file,
            key=f"covariates.{label}",
            value=name,
            fix=f"choose one: {base}[0]",
        )
    time = finite(series_time(series[base]), file=file, key=f"{base}.timestamps")
    raw = raw.assign_coords({f"time_{label}": (f"time_{label}", time)})
    return raw.assign({f"series_{label}": (f"time_{label}", values[:, int(column or 0)])})


def series_time(series) -> np.ndarray:
    """Return times of a TimeSeries in s.

    Returns
    -------
    (sample,).
    """
    if series.timestamps is not None:
        return np.asarray(series.timestamps[:], float)
    return (series.starting_time or 0.0) + np.arange(len(series.data)) / series.rate


def _inspect_units(nwb) -> list[str]:
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


def _inspect_table(name: str, table) -> list[str]:
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
        values = _scalars(table[column])
        if values is not None and values.dtype.kind == "f" and np.isnan(values).any():
            lines.append(f"dirty: {name}.{column} is NaN in {np.isnan(values).sum()} of {len(values)}")
    return lines


SOURCE = Nwb
