"""Epochs of a file that are kept or left out: what lies outside of those kept is missing, not silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources import observed


class Epochs(BaseModel):
    """`epochs:` of an entry: which rows of an interval table are kept or left out, by their labels."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    table: str = Field("epochs", description="interval table of the file")
    column: str = Field("tags", description="column of labels, one or several a row")
    keep: list[str] = Field(default_factory=list, description="labels of the epochs to keep; empty: all time")
    leave_out: list[str] = Field(default_factory=list, description="labels of the epochs to leave out")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.keep or self.leave_out):
            raise ValueError("names no epoch -- give keep: or leave_out:")
        return self


def stretches(chosen: Epochs, tables: dict[str, Any], times: np.ndarray, file: Path) -> np.ndarray:
    """Return the stretches of time that are kept, (stretch, 2) in s, ordered and apart.

    Parameters
    ----------
    chosen : `epochs:` of the entry.
    tables : interval tables of the file, by name.
    times : (time,) s; where all time is kept, it lies between the first and the last of them.
    file : for errors.

    Raises
    ------
    CortseqError : no such table or column, no row has a label that is named, or no time is left.
    """
    pairs, labels = _rows(chosen, tables or {}, file)
    known = sorted({label for row in labels for label in row})
    for key in ("keep", "leave_out"):
        if unknown := sorted(set(getattr(chosen, key)) - set(known)):
            raise CortseqError(
                "no epoch has this label",
                file=file,
                key=f"epochs.{key}",
                value=unknown[0],
                fix=f"table {chosen.table} has {known}",
            )

    def named(wanted: list[str]) -> np.ndarray:
        return _union(pairs[[bool(set(row) & set(wanted)) for row in labels]])

    whole = named(chosen.keep) if chosen.keep else np.array([[times.min(), times.max()]])
    found = without(whole, named(chosen.leave_out))
    if not len(found):
        raise CortseqError("no time is left", file=file, key="epochs", fix="keep more, or leave out less")
    return found


def _rows(chosen: Epochs, tables: dict[str, Any], file: Path) -> tuple[np.ndarray, list[list[str]]]:
    """Return starts and stops of the rows that have both, (row, 2) in s, and the labels of each."""
    if chosen.table not in tables:
        raise CortseqError(
            "the file has no such interval table",
            file=file,
            key="epochs.table",
            value=chosen.table,
            fix=f"it has {sorted(tables)}",
        )
    table = tables[chosen.table]
    if chosen.column not in table.colnames:
        raise CortseqError(
            "the table has no such column",
            file=file,
            key="epochs.column",
            value=chosen.column,
            fix=f"{chosen.table} has {list(table.colnames)}",
        )
    pairs = np.stack([np.asarray(table[n].data[:], float) for n in ("start_time", "stop_time")], 1)
    timed = np.isfinite(pairs).all(1) & (pairs[:, 1] > pairs[:, 0])
    column = table[chosen.column]
    labels = [[str(v) for v in np.atleast_1d(np.asarray(column[i]))] for i in np.flatnonzero(timed)]
    return pairs[timed], labels


def _union(pairs: np.ndarray) -> np.ndarray:
    return observed.union(pairs) if len(pairs) else np.empty((0, 2))


def without(pairs: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return intervals (n, 2) less others (m, 2); both ordered and apart, s."""
    inner = np.stack([np.append(-np.inf, gone[:, 1]), np.append(gone[:, 0], np.inf)], 1)
    return common(pairs, inner)


def common(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return what two sets of intervals (n, 2) and (m, 2) share; both ordered and apart, s."""
    starts = np.maximum(one[:, None, 0], other[None, :, 0]).ravel()
    stops = np.minimum(one[:, None, 1], other[None, :, 1]).ravel()
    found = np.stack([starts, stops], 1)
    return np.asarray(found[stops > starts])


def masked(raw: xr.Dataset, kept: np.ndarray) -> tuple[xr.Dataset, dict[str, int]]:
    """Return raw samples whose bins outside of the kept stretches are missing; a trial needs a bin.

    Parameters
    ----------
    raw : raw samples (trial, time, channel) with the coordinate `clock` (trial, time) in s.
    kept : (stretch, 2) s.

    Returns
    -------
    raw, and how many bins and trials were left out.
    """
    clock = raw["clock"].values
    valid = raw["valid"].values if "valid" in raw else np.ones(clock.shape, bool)
    inside = valid & observed.covered(clock, clock, kept, 0.0)
    trials = inside.any(1)
    if not trials.any():
        raise CortseqError("no trial lies in the epochs that are kept", key="epochs", fix="keep more")
    raw = raw.assign(valid=(("trial", "time"), inside)).isel(trial=trials)
    counted = {
        "bins_outside_epochs": int((valid & ~inside)[trials].sum()),
        "trials_outside_epochs": int((~trials).sum()),
    }
    return raw.assign_coords(trial=np.arange(raw.sizes["trial"])), counted


def restricted(
    raw: xr.Dataset, intervals: list[np.ndarray], kept: np.ndarray
) -> tuple[xr.Dataset, list[np.ndarray], dict[str, int]]:
    """Return raw spikes within the kept stretches, when each unit was observed there, and what was left out.

    Parameters
    ----------
    raw : raw events with absolute times.
    intervals : (interval, 2) s of each unit, when it was observed; empty where the file does not say.
    kept : (stretch, 2) s.

    Raises
    ------
    CortseqError : a unit was not observed in any of them.
    """
    found = []
    for unit in range(raw.sizes["unit"]):
        known = intervals[unit].reshape(-1, 2) if intervals else np.empty((0, 2))
        found.append(common(_union(known), kept) if len(known) else kept)
        if not len(found[-1]):
            raise CortseqError(
                f"unit {unit} (counted from 0) was not observed in them", key="epochs", fix="keep more"
            )
    times = raw["event_time"].values
    inside = observed.covered(times, times, kept, 0.0)
    raw = raw.isel(event=np.flatnonzero(inside))
    return raw, found, {"spikes_outside_epochs": int((~inside).sum())}
