"""When the bins of trials were, in seconds of the whole recording: what other formats want to know."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.recording.from_arrays import step


class Clock(NamedTuple):
    """Trials in the order of time; times in s.

    Attributes
    ----------
    order : (trial,) positions of the trials in the array.
    begins, ends : (trial,) of each trial.
    middles : (trial, time) of each bin.
    known : (trial, time) bool, bins that hold a value.
    values : (trial, time, feature), one feature for an array without that axis.
    width : of a bin.
    """

    order: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    middles: np.ndarray
    known: np.ndarray
    values: np.ndarray
    width: float


def clocked(array: xr.DataArray, width: float | None = None) -> Clock:
    """Return when the bins of an array were.

    Trials stand where the coordinate `start` says; without one they follow each other from 0 s, one bin
    apart. They end with `stop`, or with their last bin that holds a value.

    Parameters
    ----------
    array : (trial, time) or (trial, time, feature), NaN where a bin is missing.
    width : of a bin in s; None: the attribute `bin_width`, or the step of the coordinate `time`.

    Raises
    ------
    CortseqError : other dimensions, or trials that overlap in time.
    """
    if array.ndim not in (2, 3) or not {"trial", "time"} <= set(array.dims):
        raise CortseqError(
            "the dimensions are trial, time and one of features",
            key="dims",
            value=list(array.dims),
            fix="choose a member: .sel(member=0)",
        )
    array = array.transpose("trial", "time", ...)
    if width is None:
        width = float(array.attrs["bin_width"]) if "bin_width" in array.attrs else step(array)
    values = array.values.reshape(*array.shape[:2], -1)
    known = ~np.isnan(values).any(-1)
    begins, ends = _spans(array, known, width)
    order = np.argsort(begins, kind="stable")
    begins, ends = begins[order], ends[order]
    if (begins[1:] < ends[:-1] - 1e-9).any():
        raise CortseqError(
            "trials overlap in time, which a series of samples cannot",
            key="start",
            fix="choose trials that do not, .isel(trial=...), or drop the times: .drop_vars('start')",
        )
    middles = begins[:, None] + width * (np.arange(array.sizes["time"]) + 0.5)
    return Clock(order, begins, ends, middles, known[order], values[order], width)


def _spans(array: xr.DataArray, known: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return when each trial begins and ends, two (trial,) in s; known (trial, time): bins with a value."""
    n_trials, n_time = known.shape
    lengths = np.where(known.any(1), n_time - np.argmax(known[:, ::-1], axis=1), 1)
    if "start" not in array.coords:
        starts = (n_time + 1) * width * np.arange(n_trials)
        return starts, starts + width * lengths
    starts = array["start"].values.astype(float)
    stops = starts + width * lengths
    return starts, np.maximum(stops, array["stop"].values) if "stop" in array.coords else stops
