"""A Recording from arrays: lists of spikes, counts, labels, real values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import lazy, xr
from cortseq.errors import CortseqError
from cortseq.memory import HELD, affordable
from cortseq.observations import tracks
from cortseq.recording import shapes
from cortseq.recording.contents import check, with_observation

if TYPE_CHECKING:
    from cortseq import binning
else:
    binning = lazy("cortseq.binning")  # it brings the compiler


def from_spikes(
    times: Any,
    units: Any,
    trials: Any,
    *,
    window: tuple[float, float],
    bin_width: float,
    n_trials: int | None = None,
    unit_names: Sequence[Any] | np.ndarray | None = None,
    covariates: dict[str, Any] | None = None,
    observation: str = "poisson",
    inputs: ArrayLike | None = None,
    input_names: Sequence[str] | None = None,
) -> xr.Dataset:
    """Bin a list of spikes.

    Bin b of a trial holds the spikes with ``window[0] + b*bin_width <= t < window[0] + (b+1)*bin_width``:
    the left edge belongs to the bin, the right one to the next. Spikes outside the window are left out
    and counted in ``attrs["dirt"]``; a remainder shorter than a bin is not used.

    Parameters
    ----------
    times, units, trials : (event,) arrays; time in s from the start of the trial, two integer labels.
    window : start and stop in s.
    bin_width : s.
    n_trials : where trailing trials have no spike.
    unit_names : names of units 0, 1, ...; without them the labels that occur.
    observation : distribution of the counts, one of `cortseq.observations.names("counts")`.
    inputs, input_names : (trial, time, input) what models see at each bin, NaN where it is not known; names.

    Raises
    ------
    CortseqError : non-finite times, unequal lengths, a bin wider than the window.
    """
    times, units, trials = np.asarray(times, float), np.asarray(units), np.asarray(trials)
    if not times.shape == units.shape == trials.shape:
        raise CortseqError(
            f"times, units and trials have unequal lengths {times.shape}, {units.shape}, {trials.shape}"
        )
    if not bin_width > 0:
        raise CortseqError("a bin has a width above 0", key="bin_width", value=bin_width)
    n_bins = binning.n_bins(window[1] - window[0], bin_width)
    if n_bins < 1:
        raise CortseqError(
            f"a bin of {bin_width:g} s is wider than the trial of {window[1] - window[0]:g} s",
            key="bin_ms",
            fix="choose a smaller bin_ms",
        )
    names = np.unique(units) if unit_names is None else np.asarray(unit_names)
    index = np.searchsorted(names, units) if unit_names is None else _integers("units", units, len(names))
    n_trials = int(np.nanmax(trials, initial=-1)) + 1 if n_trials is None else n_trials
    trials = _integers("trials", trials, n_trials)
    what = f"{n_trials} trials x {n_bins} bins x {len(names)} units"
    n_bytes = HELD * n_trials * n_bins * len(names)
    affordable(n_bytes, what, key="trials", fix="check trial numbers and bin_width")
    shape = n_trials, n_bins, len(names)
    binned = binning.counted(shape, binning.in_trials(times, index, trials, shape, window[0], bin_width))
    if binned is None:
        if not np.isfinite(times).all():
            raise CortseqError(
                "spike times hold NaN or infinity", fix="remove them before loading", key="times"
            )
        _in_range("trials", trials, n_trials)
        _in_range("units", index, len(names))
    assert binned is not None  # one of the three has raised
    counts, outside = binned
    return from_counts(
        counts,
        bin_width=bin_width,
        time_start=window[0],
        unit_names=names,
        covariates=covariates,
        dirt={"spikes_outside_window": outside},
        observation=observation,
        inputs=inputs,
        input_names=input_names,
    )


def _integers(key: str, labels: np.ndarray, n: int) -> np.ndarray:
    """Return labels of another type as integers; the range of integers is checked while binning."""
    if labels.dtype.kind in "iu":
        return labels
    _in_range(key, labels, n)
    return labels.astype(int)


def _in_range(key: str, labels: np.ndarray, n: int) -> None:
    bad = (labels < 0) | (labels >= n) | (labels != np.floor(labels))
    if bad.any():
        raise CortseqError(
            f"labels of spikes must be whole numbers from 0 to {n - 1}", key=key, value=labels[bad][0].item()
        )


def from_counts(
    counts: Any,
    *,
    bin_width: float,
    valid: Any = None,
    time_start: float = 0.0,
    unit_names: Any = None,
    covariates: dict[str, Any] | None = None,
    coords: dict[str, Any] | None = None,
    dirt: dict[str, Any] | None = None,
    observation: str = "poisson",
    inputs: ArrayLike | None = None,
    input_names: Sequence[str] | None = None,
) -> xr.Dataset:
    """Return a Recording from counts (trial, time, unit) >= 0.

    Parameters
    ----------
    counts : (trial, time, unit) whole numbers; a streamed variable (`cortseq.streamed`) stays one.
    bin_width : s.
    valid : (trial, time) bool, bins that were observed; None: all.
    time_start : left edge of the first bin within the trial, s.
    unit_names : (unit,) names; None: 0, 1, ...
    covariates : values by name, each (trial,) or (trial, time).
    coords : further coordinates by name, each a dimension and its values.
    dirt : numbers of what was dropped, by name.
    observation, inputs, input_names : as in `from_spikes`.

    Raises
    ------
    CortseqError : counts that are no whole numbers >= 0, shapes that do not fit each other, a bin without a
    width, a covariate with a name that a Recording has for itself.
    """
    if not isinstance(counts, xr.Variable):
        counts, valid = shapes.arrays("counts", counts, valid)
        counts = _whole_counts(counts, valid)
    names = np.arange(counts.shape[2]) if unit_names is None else np.asarray(unit_names)
    coords = {"unit": names, **(coords or {})}
    recording = _build("counts", counts, bin_width, valid, time_start, covariates, coords, dirt)
    return with_inputs(with_observation(recording, observation), inputs, input_names)


def _whole_counts(counts: np.ndarray, valid: Any) -> np.ndarray:
    """Return counts (trial, time, unit) as int32, checked."""
    if counts.dtype.kind != "u":
        values = counts if valid is None else counts[np.asarray(valid, bool)]
        bad = ~np.isfinite(values) | (values < 0) | (values != np.floor(values))
        if bad.any():
            raise CortseqError(
                "counts must be whole numbers >= 0",
                key="counts",
                value=float(values[bad][0]),
                fix="check the file",
            )
        counts = np.where(np.isfinite(counts), counts, 0)
    if counts.size and counts.max() > np.iinfo(np.int32).max:
        raise CortseqError(
            "more spikes in one bin than can be counted",
            key="counts",
            value=int(counts.max()),
            fix="check the file",
        )
    return counts.astype(np.int32, order="C")


def from_symbols(
    sequences: Sequence[np.ndarray],
    *,
    n_symbols: int | None = None,
    covariates: Any = None,
    labels: Any = None,
    inputs: ArrayLike | None = None,
    input_names: Sequence[str] | None = None,
) -> xr.Dataset:
    """Return a Recording from sequences of labels 0..n_symbols-1, of any lengths (padded, masked).

    `inputs`, `input_names` as in `from_spikes`, padded like the sequences.
    """
    for s in sequences:
        _whole_labels(np.asarray(s))
    sequences = [np.asarray(s, int) for s in sequences]
    if not sequences or max(map(len, sequences)) == 0:
        raise CortseqError("no sequence holds a symbol", fix="check the file and its format")
    highest = int(max(s.max(initial=0) for s in sequences))
    if highest > np.iinfo(np.int16).max:
        raise CortseqError(
            "labels are whole numbers below 32768", key="symbols", value=highest, fix="renumber them"
        )
    n_symbols = highest + 1 if n_symbols is None else n_symbols
    valid = np.arange(max(map(len, sequences)))[None] < np.array([[len(s)] for s in sequences])
    symbols = np.zeros(valid.shape, np.int16)
    symbols[valid] = np.concatenate(sequences)
    alphabet = {
        "n_symbols": n_symbols,
        "labels": list(map(str, labels if labels is not None else range(n_symbols))),
    }
    recording = _build("symbols", symbols, 1.0, valid, 0.0, covariates, {}, None, alphabet)
    return with_inputs(recording, inputs, input_names)


def _whole_labels(s: np.ndarray) -> None:
    if s.dtype.kind == "f" and (s != np.floor(s)).any():
        bad = float(s[s != np.floor(s)][0])
        raise CortseqError("labels of symbols must be whole numbers", key="symbols", value=bad)


def from_signal(
    signal: Any,
    *,
    bin_width: float,
    valid: Any = None,
    time_start: float = 0.0,
    channel_names: Any = None,
    covariates: Any = None,
    coords: Any = None,
    inputs: ArrayLike | None = None,
    input_names: Sequence[str] | None = None,
) -> xr.Dataset:
    """Return a Recording from real values (trial, time, channel).

    Parameters
    ----------
    signal : (trial, time, channel); a bin with NaN in one channel is missing in all.
    channel_names : (channel,) names; None: 0, 1, ...
    bin_width, valid, time_start, covariates, coords : as in `from_counts`.
    inputs, input_names : as in `from_spikes`.

    Raises
    ------
    CortseqError : infinite values, shapes that do not fit each other, a bin without a width, a covariate with
    a name that a Recording has for itself.
    """
    signal, valid = shapes.arrays("signal", np.asarray(signal, float), valid)
    missing = np.isnan(signal).any(-1)
    valid = ~missing if valid is None else valid & ~missing
    names = np.arange(signal.shape[2]) if channel_names is None else np.asarray(channel_names)
    recording = _build(
        "signal",
        np.where(valid[..., None], signal, 0.0),
        bin_width,
        valid,
        time_start,
        covariates,
        {"channel": names, **(coords or {})},
        None,
    )
    return with_inputs(recording, inputs, input_names)


def with_inputs(
    recording: xr.Dataset, inputs: ArrayLike | None, names: Sequence[str] | None = None
) -> xr.Dataset:
    """Return the Recording with inputs (trial, time, input), NaN where one is not known; None: without.

    Raises
    ------
    CortseqError : another number of trials, bins or names, infinite values.
    """
    if inputs is None:
        return recording
    u = np.asarray(inputs, float)
    names = [f"input{i}" for i in range(u.shape[-1])] if names is None else list(map(str, names))
    shape = recording.sizes["trial"], recording.sizes["time"], len(names)
    if u.shape != shape:
        raise CortseqError(
            f"are one series per trial and name, (trial, time, input) {shape}", key="inputs", value=u.shape
        )
    if np.isinf(u).any():
        raise CortseqError("hold infinity", key="inputs", fix="give NaN where one is not known")
    return recording.assign(inputs=(("trial", "time", "input"), u)).assign_coords(input=names)


def from_drawn(
    track: str, drawn: np.ndarray, *, bin_width: float, n_features: int, observation: str
) -> xr.Dataset:
    """Return what a model of a recording drew, as a Recording.

    Parameters
    ----------
    track, bin_width, observation : of the recording that the model was fitted to.
    drawn : (trial, time, feature), or (trial, time) labels.
    n_features : labels of the alphabet.
    """
    build: Callable[[], xr.Dataset] = tracks.TRACKS[track].choose(
        counts=lambda: from_counts(drawn, bin_width=bin_width, observation=observation),
        symbols=lambda: from_symbols(list(drawn), n_symbols=n_features),
        signal=lambda: from_signal(drawn, bin_width=bin_width),
    )
    return build()


def _build(
    kind: str,
    values: np.ndarray | xr.Variable,
    bin_width: float,
    valid: ArrayLike | None,
    time_start: float,
    covariates: Mapping[str, Any] | None,
    coords: Mapping[str, Any],
    dirt: Mapping[str, Any] | None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    n_trials, n_time = values.shape[:2]
    if not 0 < bin_width < np.inf:
        raise CortseqError("a bin has a width above 0", key="bin_width", value=bin_width)
    valid = np.ones((n_trials, n_time), bool) if valid is None else np.asarray(valid, bool)
    covariates = covariates or {}
    shapes.check_labels(kind, values.shape, covariates, coords)
    observed = values if isinstance(values, xr.Variable) else (tracks.TRACKS[kind].dims, values)
    recording = xr.Dataset(
        {kind: observed, "valid": (("trial", "time"), valid)},
        coords={
            "trial": np.arange(n_trials),
            "time": time_start + bin_width * np.arange(n_time),
            **coords,
            **{k: (("trial", "time")[: np.ndim(v)], np.asarray(v)) for k, v in covariates.items()},
        },
        attrs={
            "bin_width": float(bin_width),
            "continuous": 0,
            "covariates": sorted(covariates),
            "provenance": "{}",
            "dirt": json.dumps(dirt or {}),
            **(attrs or {}),
        },
    )
    return check(recording)
