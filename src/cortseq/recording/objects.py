"""A Recording from objects of other libraries: pynapple, xarray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.errors import CortseqError, MissingExtra
from cortseq.recording.build import from_counts, from_signal

if TYPE_CHECKING:
    from cortseq import binning
else:
    binning = lazy("cortseq.binning")  # it brings the compiler

_COMPUTED = ("rate",)  # pynapple writes it beside the units itself
_IRREGULAR = 1e-3  # by how much of a step the times of bins may differ from regular ones


def from_pynapple(data: Any, epochs: Any, *, bin_width: float, observation: str = "poisson") -> xr.Dataset:
    """Bin objects of pynapple in epochs, one trial each.

    Spikes are counted; samples are averaged in each bin, a bin without a sample is missing. Bin b of a trial
    is ``start + b*bin_width <= t < start + (b+1)*bin_width``; a remainder shorter than a bin is not used, and
    a shorter trial is padded with missing bins. What lies outside of the object's ``time_support`` is
    missing, not silent.

    Parameters
    ----------
    data : TsGroup or Ts: counts; Tsd or TsdFrame: a signal with a channel per column.
    epochs : IntervalSet; its columns of metadata become covariates, those of a TsGroup labels of units.
    bin_width : s.
    observation : distribution of counts, as in `from_spikes`.

    Raises
    ------
    CortseqError : another kind of object, no epoch, a bin wider than every epoch.
    MissingExtra : pynapple is not installed.

    References
    ----------
    Viejo et al. 2023, eLife 12:RP85786.
    """
    try:
        import pynapple as nap
    except ImportError as error:
        raise MissingExtra("pynapple", "pynapple") from error
    if not isinstance(epochs, nap.IntervalSet):
        raise CortseqError("is no IntervalSet", key="epochs", value=type(epochs).__name__)
    if not isinstance(data, nap.TsGroup | nap.Ts | nap.Tsd | nap.TsdFrame):
        raise CortseqError("is none of TsGroup, Ts, Tsd, TsdFrame", key="data", value=type(data).__name__)
    if not bin_width > 0:
        raise CortseqError("a bin has a width above 0", key="bin_width", value=bin_width)
    starts, stops = np.asarray(epochs.start, float), np.asarray(epochs.end, float)
    n_time = binning.n_bins(float((stops - starts).max(initial=0.0)), bin_width)
    if n_time < 1:
        raise CortseqError(
            "every epoch is shorter than a bin", key="bin_width", value=bin_width, fix="choose a smaller one"
        )
    common: dict[str, Any] = {
        "bin_width": bin_width,
        "valid": _inside(starts, stops, n_time, bin_width, np.asarray(data.time_support.values, float)),
        "covariates": {str(k): np.asarray(epochs.get_info(k)) for k in epochs.metadata_columns},
    }
    at = {"start": ("trial", starts), "stop": ("trial", stops)}
    if isinstance(data, nap.Ts):
        data = nap.TsGroup({0: data}, time_support=data.time_support)
    if isinstance(data, nap.TsGroup):
        labels = [k for k in data.metadata_columns if k not in _COMPUTED]
        at |= {str(k): ("unit", np.asarray(data.get_info(k))) for k in labels}
        counts, outside = _counted(data, starts, stops, common["valid"], bin_width)
        return from_counts(
            counts,
            unit_names=np.asarray(data.index),
            coords=at,
            dirt={"spikes_outside_trials": outside} if outside else {},
            observation=observation,
            **common,
        )
    names = np.asarray(data.columns) if isinstance(data, nap.TsdFrame) else None
    values = np.asarray(data.values, float).reshape(len(data.t), -1)
    signal = _averaged(np.asarray(data.t, float), values, starts, stops, n_time, bin_width)
    return from_signal(signal, channel_names=names, coords=at, **common)


def _inside(
    starts: np.ndarray, stops: np.ndarray, n_time: int, width: float, support: np.ndarray
) -> np.ndarray:
    """Return which bins (trial, time) lie within their trial and one interval of the support, (n, 2) s."""
    slack = binning.EDGE * width
    begin = starts[:, None] + width * np.arange(n_time)
    end = begin + width
    at = np.searchsorted(support[:, 0], begin + slack, side="right") - 1
    known = (at >= 0) & (end <= support[np.maximum(at, 0), 1] + slack)
    inside: np.ndarray = known & (end <= stops[:, None] + slack)
    return inside


def _counted(
    units: Any, starts: np.ndarray, stops: np.ndarray, valid: np.ndarray, width: float
) -> tuple[np.ndarray, int]:
    """Return counts (trial, time, unit) of a TsGroup; how many spikes lie in no valid bin (trial, time)."""
    trains = [np.asarray(units[key].t, float) for key in units.index]
    times = np.concatenate(trains)
    owner = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    binned = binning.by_interval(times, owner, starts, stops, (*valid.shape, len(trains)), width)
    assert binned is not None  # owners are in range
    counts = np.where(valid[..., None], binned[0], 0)
    return counts, len(times) - int(counts.sum())


def _averaged(
    t: np.ndarray, values: np.ndarray, starts: np.ndarray, stops: np.ndarray, n_time: int, width: float
) -> np.ndarray:
    """Return means (trial, time, channel) of samples (sample, channel) at times t in s; NaN where none is."""
    trial = np.searchsorted(starts, t, side="right") - 1
    place = np.floor((t - starts[np.maximum(trial, 0)]) / width + binning.EDGE).astype(int)
    kept = (trial >= 0) & (t < stops[np.maximum(trial, 0)]) & (place < n_time)
    flat, n = trial[kept] * n_time + place[kept], len(starts) * n_time
    sums = np.stack([np.bincount(flat, column[kept], n) for column in values.T], -1)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = sums / np.bincount(flat, minlength=n)[:, None]
    return means.reshape(len(starts), n_time, -1)


def from_xarray(
    array: xr.DataArray, *, bin_width: float | None = None, observation: str = "poisson"
) -> xr.Dataset:
    """Return a Recording from an array with named dimensions, in any order.

    Coordinates along `trial` become covariates, those along the feature are kept; bins that hold NaN are
    missing.

    Parameters
    ----------
    array : (trial, time, unit) counts or (trial, time, channel) real values.
    bin_width : s; default: the step of the coordinate `time`.
    observation : distribution of counts, as in `from_spikes`.

    Raises
    ------
    CortseqError : other dimensions, bins of unequal width, no width.
    """
    feature = next((name for name in ("unit", "channel") if name in array.dims), None)
    if feature is None or set(array.dims) != {"trial", "time", feature}:
        raise CortseqError(
            "the dimensions are trial, time and either unit (counts) or channel (a signal)",
            key="dims",
            value=list(array.dims),
            fix="rename() or expand_dims() them",
        )
    array = array.transpose("trial", "time", feature)
    given = {str(k): v for k, v in array.coords.items() if k not in array.dims}
    common: dict[str, Any] = {
        "bin_width": _step(array) if bin_width is None else bin_width,
        "covariates": {k: v.values for k, v in given.items() if v.dims == ("trial",)},
        "coords": {k: (feature, v.values) for k, v in given.items() if v.dims == (feature,)},
    }
    names = array[feature].values if feature in array.coords else None
    if feature == "channel":
        return from_signal(array.values, channel_names=names, **common)
    start = float(array["time"][0]) if "time" in array.coords else 0.0
    valid = ~np.isnan(array.values).any(-1) if array.dtype.kind == "f" else None
    return from_counts(
        array.values, valid=valid, unit_names=names, time_start=start, observation=observation, **common
    )


def _step(array: xr.DataArray) -> float:
    """Return the width of the bins in s from their times."""
    time = array["time"].values if "time" in array.coords else np.empty(0)
    steps = np.diff(time) if len(time) > 1 and time.dtype.kind in "iuf" else np.empty(0)
    if not len(steps) or not steps[0] > 0 or np.ptp(steps) > _IRREGULAR * steps[0]:
        raise CortseqError("the times of the bins are no regular steps in s", key="bin_width", fix="give it")
    return float(np.median(steps))
