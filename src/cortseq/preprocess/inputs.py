"""What the animal saw and did, as series that models see: times, values, labels and behaviour in the bins.

All of one input lies on a grid of bins that begins before the trial where filters reach there. A time falls
into the bin that a spike of that time would fall into.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.asked import seconds
from cortseq.sources.base import Source
from cortseq.sources.inputs import PREFIX, Basis, Input, label_of

MOST_LABELS = 50
_HELD = 2.5  # of its usual step, that a sample of a series with a slow clock is held
Columns = dict[str, np.ndarray]  # each (trial, bin), by the end of its name


def with_inputs(recording: xr.Dataset, raw: xr.Dataset, source: Source) -> xr.Dataset:
    """Return the Recording with the variable `inputs` (trial, time, input), NaN where one is not known.

    `attrs["inputs"]` (JSON text) says of each what it is made of.

    Parameters
    ----------
    recording : before trials are chosen; it carries what inputs are made of as covariates.
    raw : the raw Dataset it was cut from.
    source : its entry.

    Raises
    ------
    CortseqError : a column that holds no times or numbers, more than 50 labels, a series where the
        recording has no clock, times none of which lies in a trial.
    """
    if not source.inputs:
        return recording
    found: Columns = {}
    made: dict[str, dict[str, object]] = {}
    for name, one in source.inputs.items():
        for end, values in _Grid(recording, raw, source, name, one).columns().items():
            found[name + end] = values
            made[name + end] = {"of": name, **one.model_dump(by_alias=True, exclude_none=True)}
            made[name + end]["lag"] = one.delay
    hidden = [str(k) for k in recording.coords if str(k).startswith(PREFIX)]
    recording = recording.drop_vars(hidden).assign_coords(input=list(found))
    recording["inputs"] = ("trial", "time", "input"), np.stack(list(found.values()), -1)
    recording.attrs["covariates"] = [k for k in recording.attrs["covariates"] if k not in hidden]
    recording.attrs["inputs"] = json.dumps(made)
    return recording


@dataclass(frozen=True)
class _Grid:
    """One input on the bins of a recording, and on as many before each trial as its filters reach back."""

    recording: xr.Dataset
    raw: xr.Dataset
    source: Source
    name: str
    one: Input

    def columns(self) -> Columns:
        """Return the columns of the input, each (trial, time), by the end of its name."""
        made = {"event": self._event, "value": self._value, "label": self._label, "series": self._series}
        filters = np.ones((1, 1)) if self.one.basis is None else raised_cosines(self.one.basis, self.width)
        found = made[self.one.kind]()
        ends = [""] if self.one.basis is None else [f"~{k + 1}" for k in range(filters.shape[1])]
        return {
            kind + end: _filtered(values, column, self.recording.sizes["time"])
            for kind, values in found.items()
            for end, column in zip(ends, filters.T, strict=True)
        }

    # -- the grid ---------------------------------------------------------------------------------

    @property
    def width(self) -> float:
        """Width of a bin, s."""
        return float(self.recording.attrs["bin_width"])

    @property
    def before(self) -> int:
        """Bins of the grid before the trial."""
        return 0 if self.one.basis is None else _span(self.one.basis, self.width) - 1

    @property
    def n(self) -> int:
        """Bins of the grid."""
        return self.before + self.recording.sizes["time"]

    def _starts(self, on_trials: bool) -> np.ndarray:
        """Return the time of the first bin of each trial's grid, (trial,) s, less the lag."""
        early = (self.before + self.one.delay) * self.width
        first = float(self.recording["time"].values[0])
        if on_trials or "start" not in self.recording.coords:
            return np.full(self.recording.sizes["trial"], first - early)
        return np.asarray(self.recording["start"].values - early)

    def _error(self, problem: str, role: str = "", fix: str | None = None) -> CortseqError:
        key = f"inputs.{self.name}" + (f".{role}" if role else "")
        return CortseqError(problem, key=key, value=self.one.names.get(role), fix=fix)

    def _of_trials(self, role: str) -> np.ndarray | None:
        """Return what the file says of each trial, (trial,); None where it is a time series."""
        label = label_of(self.name, role)
        if label in self.recording.coords:
            return np.asarray(self.recording[label].values)
        if f"series_{label}" not in self.raw:
            raise self._error(f"source {self.source.source} reads no inputs of this recording", role)
        return None

    def _bins(self, role: str) -> np.ndarray:
        """Return into which bin of the grid a time of each trial falls, (trial,), NaN without one."""
        times = self._of_trials(role)
        if times is None or times.dtype.kind not in "iufb" or times.ndim > 1:
            raise self._error(
                "is no column of times, one of each trial", {"begin": "from", "end": "to"}.get(role, role)
            )
        clock = self.one.clock or ("recording" if "start" in self.recording.coords else "trial")
        past = times.astype(float) * seconds(self.source, self.one) - self._starts(clock == "trial")
        return np.asarray(np.floor(past / self.width + 1e-9))

    # -- the four kinds ---------------------------------------------------------------------------

    def _event(self) -> Columns:
        """Return how many of the times fall into each bin."""
        if self._of_trials("event") is None:
            time = self.raw[f"time_{label_of(self.name, 'event')}"].values
            edges = self._clocked()[:, None] + self.width * np.arange(self.n + 1)
            found = np.diff(np.searchsorted(time, edges - 1e-9 * self.width), axis=1).astype(float)
        else:
            bins, found = self._bins("event"), np.zeros((self.recording.sizes["trial"], self.n))
            inside = np.flatnonzero((bins >= 0) & (bins < self.n))
            found[inside, bins[inside].astype(int)] = 1.0
        if not found.any():
            raise self._error(
                "none of its times lies in a trial",
                "event",
                "set `clock: trial` or `time_unit:`, if that is why",
            )
        return {"": found}

    def _held(self) -> np.ndarray:
        """Return the bins in which a value or label holds, (trial, bin) bool."""
        number, trials = np.arange(self.n), self.recording.sizes["trial"]
        begin = self._bins("begin") if self.one.begin else np.full(trials, -np.inf)
        end = self._bins("end") if self.one.end else np.full(trials, np.inf)
        end = np.where(np.isnan(end), np.inf, end)  # a trial in which it never ended
        return (number >= begin[:, None]) & (number < end[:, None])

    def _value(self) -> Columns:
        values = self._of_trials("value")
        if values is None or values.dtype.kind not in "iufb" or values.ndim > 1:
            raise self._error(
                "is no column of numbers, one of each trial", "value", "give labels as `label:`"
            )
        held = self._held()
        return {
            end: np.where(held, column[:, None], 0.0)
            for end, column in _shaped(values.astype(float), self.one).items()
        }

    def _label(self) -> Columns:
        values = self._of_trials("label")
        if values is None or values.ndim > 1:
            raise self._error("is no column of labels, one of each trial", "label")
        labels = values.astype(str)
        known = ~np.isin(labels, ["", "nan", "None"])
        names = np.unique(labels[known])
        if not 1 <= len(names) <= MOST_LABELS:
            raise self._error(
                f"has {len(names)} labels, 1 to {MOST_LABELS} can be inputs",
                "label",
                "give numbers as `value:`",
            )
        held = self._held()
        return {
            f"={name}": np.where(held, np.where(known, labels == name, np.nan)[:, None], 0.0)
            for name in names
        }

    def _series(self) -> Columns:
        values, label = self._of_trials("series"), label_of(self.name, "series")
        if values is not None:
            return self._in_trials(values)
        time, samples = self.raw[f"time_{label}"].values, self.raw[f"series_{label}"].values
        if samples.dtype.kind not in "iufb" or samples.ndim > 1:
            raise self._error("is no series of numbers", "series")
        first = self._clocked()
        return {
            end: binned(time, column, first, self.n, self.width)
            for end, column in _shaped(samples.astype(float), self.one).items()
        }

    def _clocked(self) -> np.ndarray:
        if "start" not in self.recording.coords:
            raise self._error(
                "is on the recording's clock, and when its trials began is not known", self.one.kind
            )
        return self._starts(on_trials=False)

    def _in_trials(self, values: np.ndarray) -> Columns:
        """Return a series that the file has in bins already; nothing is known of it before the trial."""
        if values.dtype.kind not in "iufb" or values.ndim != 2:
            raise self._error("is no series, it has one value of each trial", "series", "give it as `value:`")
        late = self.before + self.one.delay
        found = _shaped(values.astype(float), self.one)
        return {
            end: np.pad(v, ((0, 0), (late, 0)), constant_values=np.nan)[:, : self.n]
            for end, v in found.items()
        }


def _shaped(values: np.ndarray, one: Input) -> Columns:
    """Return values as themselves, as cosine and sine of an angle, or as bumps along their range.

    Bump k of n at c_k: exp(-(x - c_k)^2 / 2 s^2) with s the distance of two bumps; of an angle
    exp((cos(x - c_k) - 1) / s^2).
    """
    angle = values * (2 * np.pi / (one.period or 1.0))
    if one.period and not one.bumps:
        return {"_cos": np.cos(angle), "_sin": np.sin(angle)}
    if not one.bumps:
        return {"": values}
    known = values[np.isfinite(values)]
    if one.period:
        centres, step = np.arange(one.bumps) * one.period / one.bumps, 2 * np.pi / one.bumps
        bumps = [np.exp((np.cos(angle - c * 2 * np.pi / one.period) - 1) / step**2) for c in centres]
    else:
        low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
        centres, step = np.linspace(low, high, one.bumps), (high - low) / (one.bumps - 1) or 1.0
        bumps = [np.exp(-0.5 * ((values - c) / step) ** 2) for c in centres]
    return {f"@{c:.4g}": bump for c, bump in zip(centres, bumps, strict=True)}


def binned(time: np.ndarray, values: np.ndarray, first: np.ndarray, n: int, width: float) -> np.ndarray:
    """Return the mean of the samples in each bin, (trial, n), NaN where there is none.

    Where samples come more slowly than bins, a bin without one holds the last sample before it, for at most
    2.5 of the usual steps between samples.

    Parameters
    ----------
    time : (sample,) s, in order.
    values : (sample,); a NaN is no sample.
    first : (trial,) s, where the first bin of each trial begins.
    width : of a bin, s.
    """
    time, values = time[np.isfinite(values)], values[np.isfinite(values)]
    if not len(time):
        return np.full((len(first), n), np.nan)
    edges = first[:, None] + width * np.arange(n + 1)
    at = np.searchsorted(time, edges - 1e-9 * width)
    total, counted = np.concatenate([[0.0], np.cumsum(values)])[at], np.diff(at, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: np.ndarray = np.diff(total, axis=1) / counted
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    if step <= width:
        return mean
    last = np.maximum(at[:, 1:] - 1, 0)
    fresh = (at[:, 1:] > 0) & (edges[:, 1:] - time[last] <= _HELD * step + width)
    return np.where(counted > 0, mean, np.where(fresh, values[last], np.nan))


def _span(basis: Basis, width: float) -> int:
    return max(round(basis.span_ms / 1e3 / width), 1)


def raised_cosines(basis: Basis, width: float) -> np.ndarray:
    """Return filters (lag, filter) over lags 0, 1, ... bins, each summing to 1.

    Raised cosines, evenly spaced in ln(1 + lag) (Pillow et al. 2008, Nature 454:995).

    Parameters
    ----------
    width : of a bin, s.
    """
    at = np.log1p(np.arange(_span(basis, width)))[:, None]
    centres, step = np.linspace(0, at[-1, 0], basis.raised_cosine, retstep=True)
    step = step if np.isfinite(step) and step > 0 else 1.0
    bumps = 1 + np.cos(np.clip((at - centres) * np.pi / (2 * step), -np.pi, np.pi))
    return np.asarray(bumps / bumps.sum(0))


def _filtered(values: np.ndarray, column: np.ndarray, n: int) -> np.ndarray:
    """Return sum over lags l of column[l] values(t - l) in the last n bins; values (trial, bin)."""
    found = np.zeros((len(values), n))
    last = values.shape[1] - n
    for lag, weight in enumerate(column):
        if weight:
            found += weight * values[:, last - lag : last - lag + n]
    return found
