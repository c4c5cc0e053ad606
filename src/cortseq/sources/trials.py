"""A table of trials for spikes on one clock: from the recording's own file, or from a file beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cortseq import sources
from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.base import Positive, Source
from cortseq.sources.raw import with_dirt
from cortseq.sources.trodes import Trodes

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
Unit = Literal["s", "ms", "us"]


class TrialTable(BaseModel):
    """`trials:` of an entry: which columns say when each trial starts and ends.

    Rows without a start, alignment or (where no `window_ms` is given) stop are dropped and counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    path: str | None = Field(
        None,
        description="table beside the recording (csv, tsv, parquet, npz, mat, hdf5); default: its own file",
    )
    start: str = Field(description="column: start of each trial, in `time_unit`")
    stop: str | None = Field(None, description="column: end of each trial; not needed with window_ms")
    align: str | None = Field(None, description="column: time zero of each trial; default: its start")
    columns: list[str] = Field(
        default_factory=list, description="columns to keep as covariates under their own names"
    )
    time_unit: Unit = Field("s", description="unit of start, stop and align")
    max_trial_s: Positive | None = Field(None, description="drop longer trials; default: none")


class WithTrials(Source):
    """A source of spikes on one clock that may be cut by a table of trials."""

    trials: TrialTable | None = Field(None, description="table of trials; covariates name its columns")

    @property
    def companions(self) -> tuple[str, ...]:
        """Files read beside the recording itself."""
        own = (self.trials.path,) if self.trials and self.trials.path else ()
        return tuple(dict.fromkeys((*own, *super().companions)))

    def with_trials(self, raw: xr.Dataset, file: Path | None) -> xr.Dataset:
        """Return raw events with the intervals and covariates of the trial table; as they are without one."""
        if self.trials is None:
            return raw
        if "event_trial" in raw or raw.attrs["form"] != "events":
            raise CortseqError(
                "is for spikes on one clock, these have their trials already",
                file=file,
                key="trials",
                fix="remove it or the key that names trials",
            )
        home = companion(self.trials.path, file) if self.trials.path else file
        table = _Columns(home, self.trials)
        return _joined(raw, table, self.trials, self.covariates, isinstance(self.window_ms, tuple))


def companion(path: str, file: Path | None, key: str = "trials.path") -> Path:
    """Return where a file named beside a recording lies.

    Searched as given, beside the recording, under data/raw/, then by name in the folders of CORTSEQ_MIRRORS.
    """
    places = [Path(path), *([file.parent / path] if file else []), Path("data/raw") / path]
    for place in places:
        if place.is_file():
            return place
    for folder in filter(None, os.environ.get("CORTSEQ_MIRRORS", "").split(os.pathsep)):
        found = sorted(f for f in Path(folder).rglob(Path(path).name) if f.is_file())
        if len(found) > 1:
            raise CortseqError(f"{len(found)} files of this name lie in {folder}", key=key, value=path)
        if found:
            return found[0]
    raise CortseqError(
        "no such file, nor beside the recording, in data/raw/ or a mirror",
        key=key,
        value=path,
        fix="put it beside the recording",
    )


def open_table(file: Path | None, key: str) -> Any:
    """Return the arrays or columns of any file that a source can open by names (`Source.open_arrays`)."""
    assert file is not None
    for source in sources.registry().values():
        if file.suffix.lower() in source.suffixes and (archive := source.open_arrays(file)) is not None:
            return archive
    if Trodes.opens(file):
        return Trodes(file)
    known = sorted({s for c in sources.registry().values() for s in c.suffixes if _opens(c)})
    raise CortseqError(
        "no table is read from this kind of file",
        file=file,
        key=key,
        value=file.suffix,
        fix=f"one of {known}",
    )


def _opens(source: type[Source]) -> bool:
    return source.open_arrays.__func__ is not Source.open_arrays.__func__  # type: ignore[attr-defined]


class _Columns:
    """Columns of one trial table, all of one length."""

    def __init__(self, file: Path | None, settings: TrialTable) -> None:
        self.file, self._settings = file, settings
        self._archive = open_table(file, "trials.path")
        self.length: int | None = None

    def values(self, name: str, key: str) -> np.ndarray:
        """Return a column, (trial,); its length must be that of the others."""
        column: np.ndarray = self._archive.squeezed(name, key)
        self.length = len(column) if self.length is None else self.length
        self._archive.same_length(column, self.length, key, name)
        return column

    def times(self, option: str) -> np.ndarray | None:
        """Return a column of times in s, (trial,), NaN where a row has none; None where it is not named."""
        name = getattr(self._settings, option)
        if name is None:
            return None
        column = self.values(name, f"trials.{option}")
        if column.dtype.kind not in "iuf":
            raise CortseqError("is not a column of times", file=self.file, key=f"trials.{option}", value=name)
        return np.where(np.isfinite(column), column, np.nan) * SECONDS[self._settings.time_unit]


def _joined(
    raw: xr.Dataset, table: _Columns, settings: TrialTable, covariates: dict[str, str], has_window: bool
) -> xr.Dataset:
    start, stop, align = (table.times(option) for option in ("start", "stop", "align"))
    assert start is not None
    if stop is None and not has_window:
        raise CortseqError(
            "is needed without window_ms",
            file=table.file,
            key="trials.stop",
            fix="name the column, or give window_ms: [start, stop]",
        )
    keep, dirt = _kept(start, stop, start if align is None else align, has_window, settings.max_trial_s)
    if not keep.any():
        raise CortseqError(f"no trial is left, dropped {dirt}", file=table.file, key="trials")
    variables = {"interval_start": start, "interval_align": start if align is None else align}
    if stop is not None:
        variables["interval_stop"] = stop
    for label, name in ({c: c for c in settings.columns} | covariates).items():
        variables[f"covariate_{label}"] = table.values(name, f"covariates.{label}")
    raw = raw.assign_coords(trial=np.arange(int(keep.sum())))
    raw = raw.assign({key: ("trial", values[keep]) for key, values in variables.items()})
    return with_dirt(raw, dirt)


def _kept(
    start: np.ndarray, stop: np.ndarray | None, align: np.ndarray, has_window: bool, longest: float | None
) -> tuple[np.ndarray, dict[str, int]]:
    """Return which rows are trials, (row,) bool, and how many were dropped for which reason."""
    known, aligned = np.isfinite(start), np.isfinite(align)
    if stop is not None and not has_window:
        known &= np.isfinite(stop) & (stop > start)
    long = np.zeros(len(start), bool)
    if longest is not None and stop is not None:
        long = known & (stop - start > longest)
    dirt = {
        "trials_without_duration": (~known).sum(),
        "trials_too_long": long.sum(),
        "trials_without_align": (known & ~long & ~aligned).sum(),
    }
    return known & aligned & ~long, {key: int(n) for key, n in dirt.items() if n}
