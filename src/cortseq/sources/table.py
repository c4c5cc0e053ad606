"""Tables with a header: csv, tsv and parquet files of spikes, of traces or of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.observations.tracks import TRACKS
from cortseq.sources import columns
from cortseq.sources.base import Proposal, Sampled
from cortseq.sources.columns import Columns
from cortseq.sources.raw import clocked, dense, describe, finite, from_trains, step
from cortseq.sources.sequences import sequences_dataset
from cortseq.sources.trials import SECONDS, Unit, WithTrials

Content = Literal["spikes", "signal", "counts", "symbols"]
Role = Literal["time", "unit", "trial", "label", "onset", "sequence"]
_ROLES: dict[str, tuple[str, ...]] = {
    "spikes": ("time", "unit", "trial"),
    "signal": ("time",),
    "counts": ("time",),
    "symbols": ("label", "onset", "sequence"),
}
_TRACK: dict[str, Literal["counts", "symbols", "signal"]] = {
    "spikes": "counts",
    "counts": "counts",
    "signal": "signal",
    "symbols": "symbols",
}
_SAMPLED = ("signal", "counts")
_NEEDED = {"spikes": "time", "symbols": "label"}


class Table(WithTrials, Sampled):
    """`source: table`: a file with one named column per quantity, whose `content` says what a row is.

    `spikes`: one spike a row; `columns` names its `time`, and its `unit` and `trial` where there are any.
    `signal`, `counts`: one sample a row; `channels` are the columns to read (default: all numbers but the
    time), `columns: {time: ...}` or `frame_rate_hz` is the clock. `symbols`: one label a row; `columns` names
    the `label`, the `onset` by which rows are ordered, and the `sequence` (file, song, animal) of a row.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".parquet")

    source: Literal["table"] = "table"
    content: Content = Field(description="what a row is")
    columns: dict[Role, str] = Field(default_factory=dict, description="role: name of the column")
    channels: list[str] | None = Field(
        None, description="columns of a signal or of counts; default: all others"
    )
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None,
        description="between fields; default: comma, semicolon or tab, what the header has most of",
    )
    decimal: Literal[".", ","] = Field(".", description="decimal mark of numbers")
    time_unit: Unit = Field("s", description="unit of the times")

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return _TRACK[self.content]

    @model_validator(mode="after")
    def _fits_content(self) -> Self:
        if wrong := sorted(set(self.columns) - set(_ROLES[self.content])):
            raise ValueError(
                f"columns.{wrong[0]}: is no role of {self.content}, which has {_ROLES[self.content]}"
            )
        needed = _NEEDED.get(self.content)
        if needed and needed not in self.columns:
            raise ValueError(f"columns.{needed}: is needed for {self.content} -- name the column")
        if self.content in _SAMPLED and "time" not in self.columns and self.native is None:
            raise ValueError("frame_rate_hz: is needed without columns.time -- give samples per second")
        if self.content not in _SAMPLED and (self.channels or self.native):
            raise ValueError(
                "channels, frame_rate_hz, native_bin_ms: belong to signal and counts -- remove them"
            )
        if self.trials and (self.content != "spikes" or "trial" in self.columns):
            raise ValueError("trials: is for spikes without a column trial -- remove one of them")
        return self

    @classmethod
    def open_arrays(cls, file: Path) -> Columns:
        """Return the columns of the file."""
        return Columns(file)

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        table = Columns(file, self.separator, self.decimal)
        readers = {"spikes": self._spikes, "symbols": self._labels}
        raw = readers.get(self.content, self._samples)(table)
        return self.with_trials(raw, file)

    def _spikes(self, table: Columns) -> xr.Dataset:
        times = table.numbers(self.columns["time"], "columns.time")
        unit = np.zeros(len(times), int)
        if "unit" in self.columns:
            unit = table.labels(self.columns["unit"], "columns.unit")
        names, index = np.unique(unit, return_inverse=True)
        trial = None
        if "trial" in self.columns:
            found, trial = np.unique(
                table.labels(self.columns["trial"], "columns.trial"), return_inverse=True
            )
        raw = from_trains(
            {str(name): times[index == i] for i, name in enumerate(names)},
            scale=SECONDS[self.time_unit],
            file=table.file,
            key=f"columns.time: {self.columns['time']}",
            trials=None if trial is None else [trial[index == i] for i in range(len(names))],
        )
        if trial is None:
            if self.covariates and not self.trials:
                raise CortseqError("needs columns.trial or trials", file=table.file, key="covariates")
            return raw
        return self._per_trial(raw.assign_coords(trial=np.arange(len(found))), table, trial)

    def _per_trial(self, raw: xr.Dataset, table: Columns, trial: np.ndarray) -> xr.Dataset:
        """Add covariates, which are one value throughout a trial's rows."""
        first = np.unique(trial, return_index=True)[1]
        for label, name in self.covariates.items():
            values = table.read(name) if name in table.keys else table.get(name, f"covariates.{label}")
            same = values == values[first][trial]
            if not same.all():
                raise CortseqError(
                    f"changes within a trial, as in row {int(np.flatnonzero(~same)[0]) + 2}",
                    file=table.file,
                    key=f"covariates.{label}",
                    value=name,
                )
            raw = raw.assign({f"covariate_{label}": ("trial", values[first])})
        return raw

    def _samples(self, table: Columns) -> xr.Dataset:
        track: Any = self.track
        clock = self.columns.get("time")
        names = self.channels or [
            k for k in table.keys if k not in (clock, *self.covariates.values()) and table.is_number(k)
        ]
        if not names:
            raise CortseqError("no column of numbers is left", file=table.file, key="channels")
        values = np.stack([table.numbers(name, "channels") for name in names], 1)
        axes = TRACKS[track].dims[1:]
        raw = dense(values, track, axes, file=table.file, key=f"channels: {names[0]} ...")
        raw = raw.assign_coords({axes[1]: names})
        raw = self._on_clock(raw, table, clock) if clock else clocked(raw, float(self.native or 1.0))
        for label, name in self.covariates.items():
            raw = raw.assign_coords({f"time_{label}": (f"time_{label}", raw["time"].values)})
            raw[f"series_{label}"] = f"time_{label}", table.get(name, f"covariates.{label}")
        return raw

    def _on_clock(self, raw: xr.Dataset, table: Columns, clock: str) -> xr.Dataset:
        key = f"columns.time: {clock}"
        time = (
            finite(table.numbers(clock, "columns.time"), file=table.file, key=key) * SECONDS[self.time_unit]
        )
        if (np.diff(time) < 0).any():
            raise CortseqError("time runs backwards", file=table.file, key="columns.time", value=clock)
        return describe(
            raw.assign_coords(time=time), "samples", bin_width=self.native or step(time, table.file)
        )

    def _labels(self, table: Columns) -> xr.Dataset:
        labels = table.labels(self.columns["label"], "columns.label").astype(str)
        order = np.arange(len(labels))
        if "onset" in self.columns:
            onsets = finite(
                table.numbers(self.columns["onset"], "columns.onset"), file=table.file, key="columns.onset"
            )
            order = np.argsort(onsets, kind="stable")
        group = np.zeros(len(labels), int)
        if "sequence" in self.columns:
            names = table.labels(self.columns["sequence"], "columns.sequence").astype(str)
            _, first, number = np.unique(names, return_index=True, return_inverse=True)
            group = np.argsort(np.argsort(first))[number]  # sequences in the order of their first rows
        sequences = [labels[order][group[order] == g] for g in range(group.max(initial=0) + 1)]
        return sequences_dataset(sequences, file=table.file, key="columns.label")

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        """Return what the file holds, one line a fact."""
        table = Columns(file)
        return [
            f"kind: table of {len(table)} rows x {len(table.keys)} columns (source: table)",
            *table.summaries(),
        ]

    @classmethod
    def propose(cls, file: Path) -> list[Proposal]:
        """Return entries that may read the file."""
        return columns.propose(Columns(file))


SOURCE = Table
