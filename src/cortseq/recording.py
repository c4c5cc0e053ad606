"""The Recording: an `xarray.Dataset` with a checked schema.

====================  =======================  ==================================================
variable              dims                     meaning
====================  =======================  ==================================================
``counts``            trial, time, unit        spikes per bin, integers >= 0      (track "counts")
``symbols``           trial, time              labels 0 .. n_symbols-1            (track "symbols")
``signal``            trial, time, channel     real values                        (track "signal")
``valid``             trial, time              bool, False where there is no data
``inputs``            trial, time, input       optional: series that models see, each at its time
``true_rates``        trial, time, unit        optional: the generator's expected counts per bin
``ceiling``           trial, time              optional: exact log p(y_t | y_<t) of the generator, nats
====================  =======================  ==================================================

Exactly one of the first three is there. Coordinates: ``time`` (s, left edge of the bin within the
trial), ``unit`` / ``channel`` (names), ``trial`` (0..n-1); ``start`` and ``stop`` (trial; s, the raw
interval a trial covers) where a recording is continuous. Covariates are further coordinates along
``trial`` or ``(trial, time)``, listed in ``attrs["covariates"]``: they label and stratify, models never
see them. Attributes: ``bin_width`` (s; symbols: 1.0, a step), ``continuous`` (0 or 1: windows cut from
one stretch of time), ``n_symbols``, ``provenance`` (JSON text), ``dirt`` (JSON text: what was dropped
and how much). Counts also have ``observation``, the distribution that every model of a study gives them (see
`OBSERVATIONS`); where that is "conway_maxwell", ``support``: its probabilities are over 0 .. support, what
``n_symbols`` is to symbols.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cortseq._lazy import lazy
from cortseq.errors import CortseqError
from cortseq.memory import affordable

if TYPE_CHECKING:
    from cortseq import binning
else:
    binning = lazy("cortseq.binning")  # it brings the compiler

TRACKS = {"counts": "unit", "symbols": None, "signal": "channel"}
# What a bin may be drawn from, by track; the first is the default.
OBSERVATIONS = {
    "counts": ("poisson", "negative_binomial", "conway_maxwell"),
    "symbols": ("categorical",),
    "signal": ("gaussian",),
}
METRICS = {"counts": "bits_per_spike", "symbols": "bits_per_symbol", "signal": "nats_per_sample"}


def track(recording: xr.Dataset) -> str:
    """Return which of the three tracks a recording is on: "counts", "symbols" or "signal"."""
    found = [name for name in TRACKS if name in recording]
    if len(found) != 1:
        raise CortseqError(f"a recording holds exactly one of {sorted(TRACKS)}, this one {found}")
    return found[0]


def observations(recording: xr.Dataset) -> np.ndarray:
    """Return what was recorded, (trial, time, feature); symbols are (trial, time)."""
    kind = track(recording)
    dims = ("trial", "time") + ((TRACKS[kind],) if TRACKS[kind] else ())
    return recording[kind].transpose(*dims).values


def features(recording: xr.Dataset) -> list[str]:
    """Return names of the units, channels or labels; [] where they have none."""
    dimension = TRACKS[track(recording)]
    if dimension is None:
        return [str(label) for label in recording.attrs.get("labels", [])]
    return recording[dimension].values.astype(str).tolist() if dimension in recording.coords else []


def observation(recording: xr.Dataset) -> str:
    """Return the distribution that models of this recording give to a bin: one of `OBSERVATIONS`."""
    return recording.attrs.get("observation", OBSERVATIONS[track(recording)][0])


def with_observation(recording: xr.Dataset, name: str) -> xr.Dataset:
    """Return the recording under another observation model; CortseqError where its track has no such one.

    The support of "conway_maxwell" is 0 .. twice the largest count + 20: a count beyond it is not to be met.
    """
    changed = recording.copy()
    changed.attrs = {k: v for k, v in recording.attrs.items() if k != "support"} | {"observation": name}
    if name == "conway_maxwell" and track(recording) == "counts":
        changed.attrs["support"] = 2 * int(recording["counts"].values.max(initial=0)) + 20
    return check(changed)


def provenance(recording: xr.Dataset) -> dict[str, Any]:
    """Return where a recording comes from (source, file, sha256, settings)."""
    return json.loads(recording.attrs.get("provenance", "{}"))


def dirt(recording: xr.Dataset) -> dict[str, Any]:
    """Return what was dropped on the way, and how much of it."""
    return json.loads(recording.attrs.get("dirt", "{}"))


def from_spikes(
    times,
    units,
    trials,
    *,
    window: tuple[float, float],
    bin_width: float,
    n_trials: int | None = None,
    unit_names: Sequence | np.ndarray | None = None,
    covariates: dict[str, Any] | None = None,
    observation: str = "poisson",
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
    observation : "poisson", "negative_binomial" or "conway_maxwell".

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
    affordable(
        5.0 * n_trials * n_bins * len(names), what, key="trials", fix="check trial numbers and bin_width"
    )
    binned = binning.by_trial(times, index, trials, (n_trials, n_bins, len(names)), window[0], bin_width)
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
    counts,
    *,
    bin_width: float,
    valid=None,
    time_start: float = 0.0,
    unit_names=None,
    covariates: dict[str, Any] | None = None,
    coords: dict[str, Any] | None = None,
    dirt: dict[str, Any] | None = None,
    observation: str = "poisson",
) -> xr.Dataset:
    """Return a Recording from counts (trial, time, unit) >= 0; `observation` as in `from_spikes`."""
    counts = np.asarray(counts)
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
    counts = counts.astype(np.int32, order="C")
    names = np.arange(counts.shape[2]) if unit_names is None else np.asarray(unit_names)
    coords = {"unit": names, **(coords or {})}
    recording = _build("counts", counts, bin_width, valid, time_start, covariates, coords, dirt)
    return with_observation(recording, observation)


def from_symbols(
    sequences: Sequence[np.ndarray], *, n_symbols: int | None = None, covariates=None, labels=None
) -> xr.Dataset:
    """Return a Recording from sequences of labels 0..n_symbols-1, of any lengths (padded, masked)."""
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
    return _build("symbols", symbols, 1.0, valid, 0.0, covariates, {}, None, alphabet)


def _whole_labels(s: np.ndarray) -> None:
    if s.dtype.kind == "f" and (s != np.floor(s)).any():
        bad = float(s[s != np.floor(s)][0])
        raise CortseqError("labels of symbols must be whole numbers", key="symbols", value=bad)


def from_signal(
    signal, *, bin_width: float, valid=None, channel_names=None, covariates=None, coords=None
) -> xr.Dataset:
    """Return a Recording from real values (trial, time, channel); NaN samples are masked whole bins."""
    signal = np.asarray(signal, float)
    missing = np.isnan(signal).any(-1)
    valid = ~missing if valid is None else np.asarray(valid, bool) & ~missing
    names = np.arange(signal.shape[2]) if channel_names is None else np.asarray(channel_names)
    return _build(
        "signal",
        np.where(valid[..., None], signal, 0.0),
        bin_width,
        valid,
        0.0,
        covariates,
        {"channel": names, **(coords or {})},
        None,
    )


def _build(kind, values, bin_width, valid, time_start, covariates, coords, dirt, attrs=None) -> xr.Dataset:
    n_trials, n_time = values.shape[:2]
    valid = np.ones((n_trials, n_time), bool) if valid is None else np.asarray(valid, bool)
    dims = ("trial", "time") + ((TRACKS[kind],) if TRACKS[kind] else ())
    covariates = covariates or {}
    recording = xr.Dataset(
        {kind: (dims, values), "valid": (("trial", "time"), valid)},
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


def check(recording: xr.Dataset) -> xr.Dataset:
    """Return the recording itself, or a CortseqError that says what is wrong with it."""
    kind = track(recording)
    values, valid = observations(recording), recording["valid"].values
    if observation(recording) not in OBSERVATIONS[kind]:
        raise CortseqError(
            f"{kind} have no such observation model",
            key="observation",
            value=observation(recording),
            fix=f"choose one of {', '.join(OBSERVATIONS[kind])}",
        )
    if recording.sizes["trial"] == 0:
        raise CortseqError("no trial is left", fix="check the window and the trial selection")
    if values.ndim == 3 and values.shape[2] == 0:
        raise CortseqError(f"no {TRACKS[kind]} is left", fix="relax the selection")
    if not valid.any():
        raise CortseqError("no valid bin is left", fix="check the window and the bin width")
    if kind == "symbols":
        n, seen = recording.attrs.get("n_symbols", 1), values[valid]
        if seen.min() < 0 or seen.max() >= n:
            bad = int(seen.max() if seen.max() >= n else seen.min())
            raise CortseqError(
                f"a label lies outside the alphabet 0..{n - 1}",
                key="symbols",
                value=bad,
                fix="raise n_symbols",
            )
    elif values.dtype.kind == "f" and not np.isfinite(values[valid]).all():
        raise CortseqError(f"{kind} hold NaN or infinity in valid bins", key=kind, fix="mask those bins")
    return recording
