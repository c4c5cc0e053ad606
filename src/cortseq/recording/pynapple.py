"""A Recording from objects of pynapple, and recordings and predictions as such objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cortseq._lazy import lazy, xr
from cortseq.errors import CortseqError, MissingExtra
from cortseq.recording.build import from_counts, from_signal
from cortseq.recording.clock import clocked
from cortseq.recording.contents import kind

if TYPE_CHECKING:
    from cortseq import binning
else:
    binning = lazy("cortseq.binning")  # it brings the compiler

_COMPUTED = ("rate",)  # pynapple writes it beside the units itself
_OWN = ("trial", "start", "stop")  # names that a Recording has for itself
_JOINT = 1.5e-6  # s; pynapple takes 1e-6 s off an epoch that ends where the next one begins


class Pynapple(NamedTuple):
    """A recording, or what a model says of it, as objects of pynapple.

    Attributes
    ----------
    data : TsdFrame with a column per unit, channel or state, at the middle of each bin; of labels a Tsd.
    epochs : IntervalSet with a row per trial; its metadata are the position `trial` and the covariates.
    """

    data: Any
    epochs: Any


def from_pynapple(
    data: Any, epochs: Any, *, bin_width: float, observation: str = "poisson", counts: bool = False
) -> xr.Dataset:
    """Bin objects of pynapple in epochs, one trial each.

    Spikes are counted; samples are averaged in each bin, a bin without a sample is missing. Bin b of a trial
    is ``start + b*bin_width <= t < start + (b+1)*bin_width``; a remainder shorter than a bin is not used, and
    a shorter trial is padded with missing bins. What lies outside of the object's ``time_support`` is
    missing, not silent.

    Parameters
    ----------
    data : TsGroup or Ts: counts; Tsd or TsdFrame: a signal with a channel per column.
    epochs : IntervalSet; its columns of metadata become covariates, those of a TsGroup or TsdFrame labels of
        units or channels.
    bin_width : s.
    observation : distribution of counts, as in `from_spikes`.
    counts : whether the samples of a Tsd or TsdFrame are counts, such as `TsGroup.count` returns: they are
        summed in each bin.

    Raises
    ------
    CortseqError : another kind of object, no epoch, a bin wider than every epoch, no unit, no sample, or
    metadata with a name that a Recording has for itself.
    MissingExtra : pynapple is not installed.

    References
    ----------
    Viejo et al. 2023, eLife 12:RP85786.
    """
    nap = _pynapple()
    if not isinstance(epochs, nap.IntervalSet):
        raise CortseqError("is no IntervalSet", key="epochs", value=type(epochs).__name__)
    if not isinstance(data, nap.TsGroup | nap.Ts | nap.Tsd | nap.TsdFrame):
        raise CortseqError("is none of TsGroup, Ts, Tsd, TsdFrame", key="data", value=type(data).__name__)
    if not bin_width > 0:
        raise CortseqError("a bin has a width above 0", key="bin_width", value=bin_width)
    starts, stops = np.asarray(epochs.start, float), np.asarray(epochs.end, float)
    n_time = binning.n_bins(float((stops + _JOINT - starts).max(initial=0.0)), bin_width)
    if n_time < 1:
        raise CortseqError(
            "every epoch is shorter than a bin", key="bin_width", value=bin_width, fix="choose a smaller one"
        )
    common: dict[str, Any] = {
        "bin_width": bin_width,
        "valid": _inside(starts, stops, n_time, bin_width, np.asarray(data.time_support.values, float)),
        "covariates": {k: v for k, v in _metadata(epochs).items() if k not in _OWN},
    }
    at = {"start": ("trial", starts), "stop": ("trial", stops)}
    if isinstance(data, nap.Ts):
        data = nap.TsGroup({0: data}, time_support=data.time_support)
    if isinstance(data, nap.TsGroup):
        spikes, outside = _counted(data, starts, stops, common["valid"], bin_width)
        common["dirt"] = {"spikes_outside_trials": outside} if outside else {}
        common |= {"observation": observation, "coords": at | _labels(data, "unit")}
        return from_counts(spikes, unit_names=np.asarray(data.index), **common)
    names = _text(np.asarray(data.columns)) if isinstance(data, nap.TsdFrame) else None
    values = np.asarray(data.values, float)
    values = values if values.ndim == 2 else values[:, None]
    sums, n = _summed(np.asarray(data.t, float), values, starts, stops, n_time, bin_width)
    if counts:
        common["valid"] &= n[..., 0] > 0
        common |= {"observation": observation, "coords": at | _labels(data, "unit")}
        return from_counts(sums, unit_names=names, **common)
    with np.errstate(invalid="ignore"):
        return from_signal(sums / n, channel_names=names, coords=at | _labels(data, "channel"), **common)


def to_pynapple(source: xr.Dataset | xr.DataArray) -> Pynapple:
    """Return a recording, or an array that a model predicts for it, as objects of pynapple.

    Each bin becomes a sample at its middle; missing bins are left out. Trials stand where the recording says
    they began (`start`). Where it does not say, they follow each other from 0 s, one bin apart. Labels have
    no clock: a bin is then 1 s. From counts `from_pynapple(data, epochs, bin_width=..., counts=True)` leads
    back, from a signal the same without `counts`.

    Parameters
    ----------
    source : a Recording, or an array (trial, time) or (trial, time, feature), NaN where a bin is missing,
        such as `fit.to_xarray(recording)["predicted"].sel(member=0)`.

    Raises
    ------
    CortseqError : trials that overlap in time, which epochs of pynapple cannot; other dimensions.
    MissingExtra : pynapple is not installed.
    """
    nap = _pynapple()
    if isinstance(source, xr.DataArray):
        array = source
    else:
        array = source[kind(source).name].where(source["valid"])
    clock = clocked(array, source.attrs.get("bin_width"))
    joint = np.append(clock.begins[1:], np.inf) <= clock.ends + 1e-9
    about = {str(k): v.values[clock.order] for k, v in array.coords.items() if v.dims == ("trial",)}
    about = {k: v for k, v in about.items() if k not in ("start", "stop")}
    epochs = nap.IntervalSet(clock.begins, np.where(joint, clock.ends - 1e-6, clock.ends), metadata=about)
    t, values = clock.middles[clock.known], clock.values[clock.known]
    if array.ndim == 2:
        whole = bool((values == np.floor(values)).all())
        return Pynapple(nap.Tsd(t, values[:, 0].astype(int if whole else float), time_support=epochs), epochs)
    return Pynapple(_frame(nap, array, t, values, epochs), epochs)


def _pynapple() -> Any:
    try:
        import pynapple
    except ImportError as error:
        raise MissingExtra("pynapple", "pynapple") from error
    return pynapple


def _metadata(table: Any) -> dict[str, np.ndarray]:
    """Return the metadata of rows or columns by name, each (row,) or (column,); text as text."""
    found = {str(name): np.asarray(table.get_info(name)) for name in getattr(table, "metadata_columns", [])}
    return {name: _text(values) for name, values in found.items() if name not in _COMPUTED}


def _text(values: np.ndarray) -> np.ndarray:
    """Return values (n,) as text where all of them are; pandas keeps text as objects."""
    is_text = values.dtype.kind == "O" and all(isinstance(value, str) for value in values)
    return values.astype(str) if is_text else values


def _labels(data: Any, feature: str) -> dict[str, tuple[str, np.ndarray]]:
    """Return the metadata of units or channels as coordinates, each (feature,)."""
    found = _metadata(data)
    if taken := [name for name in found if name in _OWN]:
        raise CortseqError(
            f"a Recording has this name of a {feature}'s metadata for itself",
            key="data",
            value=taken[0],
            fix="give the column another name",
        )
    return {name: (feature, values) for name, values in found.items()}


def _frame(nap: Any, array: xr.DataArray, t: np.ndarray, values: np.ndarray, epochs: Any) -> Any:
    """Return samples (sample, feature) at times t in s as a TsdFrame."""
    (feature,) = (str(name) for name in array.dims if name not in ("trial", "time"))
    names = array[feature].values if feature in array.coords else np.arange(values.shape[1])
    own = {str(k): v.values for k, v in array.coords.items() if v.dims == (feature,) and str(k) != feature}
    return nap.TsdFrame(t, values, columns=names, time_support=epochs, metadata=own or None)


def _inside(
    starts: np.ndarray, stops: np.ndarray, n_time: int, width: float, support: np.ndarray
) -> np.ndarray:
    """Return which bins (trial, time) lie within their trial and one interval of the support, (n, 2) s."""
    slack = max(binning.EDGE * width, _JOINT)
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
    times = np.concatenate([np.empty(0), *trains])
    owner = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    binned = binning.by_interval(times, owner, starts, stops, (*valid.shape, len(trains)), width)
    assert binned is not None  # owners are in range
    counts = np.where(valid[..., None], binned[0], 0)
    return counts, len(times) - int(counts.sum())


def _summed(
    t: np.ndarray, values: np.ndarray, starts: np.ndarray, stops: np.ndarray, n_time: int, width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums (trial, time, channel) of samples (sample, channel) at times t in s, and how many they are.

    The numbers of samples are (trial, time, 1).
    """
    trial = np.searchsorted(starts, t, side="right") - 1
    place = np.floor((t - starts[np.maximum(trial, 0)]) / width + binning.EDGE).astype(int)
    kept = (trial >= 0) & (t < stops[np.maximum(trial, 0)]) & (place < n_time)
    flat, n = trial[kept] * n_time + place[kept], len(starts) * n_time
    sums = np.stack([np.bincount(flat, column[kept], n) for column in values.T], -1)
    number = np.bincount(flat, minlength=n)
    return sums.reshape(len(starts), n_time, -1), number.reshape(len(starts), n_time, 1)
