"""Neurodata Without Borders files, HDF5 or Zarr: sorted units or a signal, a table of trials, behaviour.

Rübel et al. 2022, eLife 11:e78362.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.memory import affordable
from cortseq.sources import epochs, nwb_signal, observed, windows
from cortseq.sources.base import Positive, Proposal, Source
from cortseq.sources.epochs import Epochs
from cortseq.sources.inputs import PREFIX
from cortseq.sources.nwb_open import open_nwb
from cortseq.sources.nwb_summaries import inspect_table, inspect_units, propose_units
from cortseq.sources.nwb_view import View, scalars
from cortseq.sources.raw import describe, finite, with_dirt
from cortseq.sources.series import column_around
from cortseq.sources.trials import SECONDS, Unit

# keys in `CUT` that `load` looks at where a time series is cut and binned while it is read
_EARLY = ("bin_ms", "part", "max_trials", "guard", "valid_from")
_BYTES = 64  # that reading, ordering and binning take per spike


def _is_zarr(path: str) -> bool:
    """Return whether an entry's path names the folder of an NWB-Zarr."""
    return path.rstrip("/").endswith(".zarr") or Path(path).is_dir()


class Nwb(Source):
    """`source: nwb`: spike times of the units table, absolute, and where there is one a table of trials.

    A covariate names a column of that table (one value per trial) or a TimeSeries anywhere in the file
    (a value at each of its times). With `window_ms` a number, windows of that length are cut and no
    table is read. `signal` reads a time series instead: trials of the table where `window_ms` is [start,
    stop] or `intervals` or `align` is given, else windows. Only their samples are read, and averaged
    into bins meanwhile. Units without spikes are kept here; trials without a start, stop or alignment time
    and trials longer than `max_trial_s` are dropped and counted. A trial needs no stop where `window_ms` is
    given. Time outside the `obs_intervals` of a unit is missing.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".nwb",)
    zarr: ClassVar[tuple[str, ...]] = (".zattrs", ".zmetadata", "zarr.json")  # in the folder of an NWB-Zarr

    source: Literal["nwb"] = "nwb"
    intervals: str | None = Field(
        None, description="the table of trials; default: `trials` where the file has it"
    )
    align: str | None = Field(None, description="column whose time is zero of each trial; default: its start")
    units: str | None = Field(None, description="name or path of the table of units, where there are several")
    signal: str | None = Field(
        None,
        description="name or path of a time series to read instead of spikes: fluorescence, dF/F, ...; in "
        "trials where window_ms is [start, stop] or intervals or align is given, else in windows",
    )
    stream: bool = Field(False, description="read the file at `url:` in pieces, without fetching it whole")
    max_trial_s: Positive | None = Field(
        None, description="drop longer trials; default: ten times the median duration"
    )
    obs_intervals: bool = Field(
        True, description="whether time outside the units' obs_intervals is missing; false: it is silence"
    )
    epochs: Epochs | None = Field(
        None, description="epochs to keep or to leave out: the time outside of those kept is missing"
    )
    time_unit: Unit = Field("s", description="unit of spike times; the standard says s, some files have ms")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "signal" if self.signal else "counts"

    @property
    def early(self) -> tuple[str, ...]:
        """Names of keys in `CUT` that `load` looks at: a time series is cut and binned while it is read."""
        return _EARLY if self.signal else ()

    @property
    def needs_file(self) -> bool:
        """Whether the entry names a file to fetch."""
        return not self.stream

    @property
    def patterns(self) -> tuple[str, ...]:
        """Names of files in the folder of an NWB-Zarr; empty where `path` is an HDF5 file."""
        return ("**/*",) if self.path and _is_zarr(self.path) else ()

    @model_validator(mode="after")
    def _stream_or_file(self) -> Self:
        if self.stream and (self.url is None or self.path or self.sha256 or self.package):
            raise ValueError("stream: reads what `url:` names -- give url: and no path:, sha256: or package:")
        if self.signal and self.units:
            raise ValueError("units: is for spikes -- remove it or signal:")
        return self

    @property
    def _wants_table(self) -> bool:
        if self.signal and self.window_ms is None:
            return bool(self.intervals or self.align)
        return not isinstance(self.window_ms, int | float)

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        file = cast(Any, self.url if self.stream else file)
        with open_nwb(file, self.units) as nwb:
            table = self._table(nwb, file)
            if self.signal:
                return self._samples(nwb, table, file)
            raw = _units(nwb, file, SECONDS[self.time_unit])
            raw, dirt = (raw, dict[str, int]()) if table is None else self._with_trials(raw, table, file)
            spans = None if table is None else windows.trial_spans(raw, self)
            intervals = _observed(nwb) if self.obs_intervals else []
            if self.epochs:
                raw, intervals, left_out = _restricted(self.epochs, nwb, raw, intervals, spans, file)
                dirt |= left_out
            raw = observed.with_intervals(raw, intervals)
            for label, name in self.covariates.items():
                if table is None or name not in table.colnames:
                    raw = _with_series(raw, label, *_behaviour(label, name, nwb, spans, file))
        return describe(raw, "events", dirt)

    def _samples(self, nwb: View, table: Any, file: Path) -> xr.Dataset:
        """Return trials or windows of one time series, its regions of interest or columns as channels."""
        series = nwb.series.get(str(self.signal))
        if series is None:
            raise CortseqError(
                "the file has no such time series",
                file=file,
                key="signal",
                value=self.signal,
                fix=_names(nwb.series),
            )
        trials, dirt = (None, {}) if table is None else self._with_trials(xr.Dataset(), table, file)
        raw, spans = nwb_signal.cut(series, self, trials, file)
        if self.epochs:
            kept = epochs.stretches(self.epochs, nwb.intervals, spans.ravel(), file)
            raw, outside = epochs.masked(raw, kept)
            spans, dirt = np.stack([raw["start"], raw["stop"]], 1), dirt | outside
        for label, name in self.covariates.items():
            if table is None or name not in table.colnames:
                time, values = _behaviour(label, name, nwb, spans, file)
                if label.startswith(PREFIX):
                    raw = _with_series(raw, label, time, values)
                    continue
                values = windows.nearest_in_time(raw["clock"].values, time, values)
                raw = raw.assign_coords({label: (("trial", "time"), values)})
        raw = raw.drop_vars("clock").assign_coords(_regions(series, raw.sizes["channel"]))
        return with_dirt(raw, dirt)

    def _table(self, nwb: View, file: Path) -> Any:
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

    def _with_trials(self, raw: xr.Dataset, table: Any, file: Path) -> tuple[xr.Dataset, dict[str, int]]:
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
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        with open_nwb(file) as nwb:
            made = [propose_units(nwb)] if nwb.units is not None and len(nwb.units) else []
            series = sorted(nwb.series, key=lambda name: name not in nwb.rois)
            for name in series[:1]:
                note = "regions of interest" if name in nwb.rois else "GUESS: the first series of the file"
                with contextlib.suppress(CortseqError):  # a clock that is irregular gives no bins
                    entry, notes = nwb_signal.guess(nwb.series[name], file, name)
                    entry = {"source": "nwb", "signal": name, **entry}
                    made.append(Proposal(entry, {"signal": note, **notes}, 0.5))
        return made

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        with open_nwb(file) as nwb:
            return [
                f"kind: NWB file {nwb.identifier} (source: nwb)",
                *inspect_units(nwb),
                *[
                    line
                    for name, table in (nwb.intervals or {}).items()
                    for line in inspect_table(name, table)
                ],
                *[f"series {name}: {np.shape(s.data)}" for name, s in sorted(nwb.series.items())],
            ]


def _restricted(
    asked: Epochs,
    nwb: View,
    raw: xr.Dataset,
    intervals: list[np.ndarray],
    spans: np.ndarray | None,
    file: Path,
) -> tuple[xr.Dataset, list[np.ndarray], dict[str, int]]:
    """Return what `epochs.restricted` does of the epochs that are asked for; spans (trial, 2) s of trials."""
    times = [raw["event_time"].values, *([] if spans is None else [spans.ravel()])]
    kept = epochs.stretches(asked, nwb.intervals, np.concatenate(times), file)
    return epochs.restricted(raw, intervals, kept)


def _units(nwb: View, file: Path, scale: float) -> xr.Dataset:
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
        values = scalars(nwb.units[name])
        if values is not None and len(values) == len(spikes) and name not in ("unit", "trial", "event"):
            labels[name] = "unit", values
    return raw.assign_coords(labels)


def _observed(nwb: View) -> list[np.ndarray]:
    """Return the intervals in which each unit was observed, (interval, 2) in s each."""
    if "obs_intervals" not in nwb.units.colnames:
        return []
    return [np.asarray(nwb.units.get_unit_obs_intervals(i), float) for i in range(len(nwb.units))]


def _column(table: Any, name: str, file: Path, key: str = "intervals") -> np.ndarray:
    """Return a column of an interval table, one value per row; lists of tags are joined."""
    if name not in table.colnames:
        raise CortseqError(
            f"the table {table.name} has no such column",
            file=file,
            key=key,
            value=name,
            fix=f"it has {list(table.colnames)}",
        )
    values = scalars(table[name])
    if values is None:
        rows = [table[name][i] for i in range(len(table))]
        values = np.array([" ".join(map(str, np.atleast_1d(np.asarray(row)))) for row in rows], dtype=str)
    return values


def _names(found: dict[str, Any]) -> str:
    return f"it has {sorted(found)}"


def _regions(series: Any, n: int) -> dict[str, Any]:
    """Return labels of the regions of interest of a series, one number or text per region each."""
    rois = getattr(series, "rois", None)
    if rois is None or len(rois.data) != n:
        return {}
    rows = np.asarray(rois.data[:], int)
    found = {}
    for name in rois.table.colnames:
        values = scalars(rois.table[name])
        if (
            values is not None
            and len(values) > rows.max(initial=-1)
            and name not in ("channel", "trial", "time")
        ):
            found[name] = "channel", values[rows]
    return found


def _with_series(raw: xr.Dataset, label: str, time: np.ndarray, values: np.ndarray) -> xr.Dataset:
    """Return the raw Dataset with a series (sample,) and its times in s, (sample,)."""
    raw = raw.assign_coords({f"time_{label}": (f"time_{label}", time)})
    return raw.assign({f"series_{label}": (f"time_{label}", values)})


def _behaviour(
    label: str, name: str, nwb: View, spans: np.ndarray | None, file: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return times (sample,) in s and values (sample,) of a behaviour series around the trials.

    A column of a matrix is named `name[column]`. `spans` (trial, 2) are starts and stops of the trials in s;
    None: the whole series.
    """
    series = nwb.series
    base, _, column = name.rstrip("]").partition("[")
    if base not in series or (column and not column.isdigit()):
        raise CortseqError(
            "neither a column of the trial table nor a time series of the file",
            file=file,
            key=f"covariates.{label}",
            value=name,
            fix=f"series: {sorted(series)}",
        )
    n_columns = int(np.prod(series[base].data.shape[1:]))
    if (n_columns > 1 and not column) or int(column or 0) >= n_columns:
        raise CortseqError(
            f"the series has {n_columns} columns",
            file=file,
            key=f"covariates.{label}",
            value=name,
            fix=f"choose one: {base}[0]",
        )
    return column_around(series[base], int(column or 0), spans, file, base)


SOURCE = Nwb
