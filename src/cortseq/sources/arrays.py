"""What sources of numbers share: a clock, named arrays, lists of spikes and dense arrays with named axes."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field, Strict, model_validator

from cortseq.errors import CortseqError
from cortseq.sources import padding, ragged
from cortseq.sources.base import (
    Positive,
    Source,
    describe,
    finite,
    sequences_dataset,
    whole_counts,
    with_dirt,
)
from cortseq.sources.events import tidy
from cortseq.sources.summaries import guess, summary
from cortseq.sources.trials import SECONDS, Unit, WithTrials

Axis = Literal["trial", "unit", "channel", "time"]
_FORMS = ("spike_times", "counts", "signal", "symbols")
_BELONGS = {
    "spike_trials": "spike_times",
    "spike_units": "spike_times",
    "spike_numbers": "spike_times",
    "spike_index": "spike_times",
    "trials": "spike_times",
    "symbol_sequences": "symbols",
}
_EXACT = 2.0**53  # whole numbers beyond it are not told apart in floating point
_JITTER = 0.25  # steps between samples that are this far from the median are irregular


class Sampled(Source):
    """A source of samples whose clock the study gives."""

    native_bin_ms: Positive | None = Field(None, description="bin width of the samples in ms")
    frame_rate_hz: Positive | None = Field(None, description="samples per second, instead of native_bin_ms")

    @property
    def native(self) -> float | None:
        """The width of a sample, s, where the study gives it."""
        if self.frame_rate_hz:
            return 1 / self.frame_rate_hz
        return self.native_bin_ms and self.native_bin_ms / 1e3

    @model_validator(mode="after")
    def _one_clock(self):
        if self.native_bin_ms and self.frame_rate_hz:
            raise ValueError("frame_rate_hz: says the same as native_bin_ms -- give one of them")
        return self


class ArraySource(WithTrials, Sampled):
    """Exactly one of `spike_times`, `counts`, `signal` and `symbols` names an array of the file.

    With `spike_trials`, a table of `trials` or an axis `trial` the recording has trials and covariates have
    one value per trial; without, it is continuous and covariates are series along `time`. Spikes of all units
    in a row are cut by `spike_numbers` (how many each unit has) or `spike_index` (where each unit's end).
    """

    spike_times: str | None = Field(None, description="key: time of each spike, in `time_unit`")
    spike_trials: str | None = Field(None, description="key: trial number of each spike")
    spike_units: str | None = Field(None, description="key: unit number of each spike; default: one unit")
    spike_numbers: str | None = Field(
        None, description="key: number of spikes of each unit, where `spike_times` joins all units in a row"
    )
    spike_index: str | None = Field(
        None, description="key: where each unit's spikes end in `spike_times`, which joins all units in a row"
    )
    unit_names: str | None = Field(None, description="key: name of each unit")
    first_trial: int = Field(0, description="the number of the first trial in `spike_trials`")
    counts: str | None = Field(None, description="key: spikes per bin, an array with `axes`")
    signal: str | None = Field(None, description="key: real values, an array with `axes`")
    symbols: str | None = Field(
        None, description="key: labels in a row, or `*/key`: one sequence in each group"
    )
    symbol_sequences: str | None = Field(None, description="key: the sequence of each label")
    axes: Annotated[tuple[Axis, ...], Strict(False)] = Field(
        ("trial", "unit", "time"), description="what the axes of the dense array (or of cells of spikes) are"
    )
    time: str | None = Field(None, description="key: time of each bin of a continuous array, in `time_unit`")
    time_unit: Unit = Field("s", description="unit of `spike_times` and `time`")
    units: dict[str, str] = Field(
        default_factory=dict, description="label: key, one value per unit; for `select`"
    )

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        """Track of the recording: counts, symbols or signal."""
        return "symbols" if self.symbols else "signal" if self.signal else "counts"

    @model_validator(mode="after")
    def _one_form(self):
        given = [k for k in _FORMS if getattr(self, k)]
        if len(given) != 1:
            raise ValueError(f"names {given or 'none'} of {', '.join(_FORMS)} -- give exactly one")
        for key, form in _BELONGS.items():
            if getattr(self, key) is not None and given != [form]:
                raise ValueError(f"{key}: belongs to {form} -- remove it")
        ways = [k for k in ("spike_units", "spike_numbers", "spike_index") if getattr(self, k)]
        if len(ways) > 1:
            raise ValueError(f"{ways[1]}: says the same as {ways[0]} -- give one of them")
        if self.counts or self.signal:
            if len(set(self.axes)) != len(self.axes) or "time" not in self.axes:
                raise ValueError(f"axes: {list(self.axes)} must be distinct and hold time")
            if self.native is None and self.time is None:
                raise ValueError("native_bin_ms: is needed without `time:` -- give the width of a bin in ms")
            if "trial" in self.axes and self.time is not None:
                raise ValueError(
                    "time: belongs to a continuous array, this one has the axis trial -- remove it"
                )
        return self

    def archive(self, file: Path | None) -> Archive:
        """Return the opened file."""
        raise NotImplementedError

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        """Read the file into a raw Dataset; see `Source.load`."""
        archive = self.archive(file)
        if self.symbols:
            return self._load_symbols(archive)
        if not self.spike_times:
            return self._load_dense(archive)
        return self.with_trials(self._load_spikes(archive), file)

    def _load_symbols(self, archive: Archive) -> xr.Dataset:
        if self.symbols and "*" in self.symbols:
            sequences = archive.every(self.symbols, "symbols")
        else:
            labels = archive.squeezed(str(self.symbols), "symbols")
            sequences = [labels]
            if self.symbol_sequences:
                number = archive.squeezed(self.symbol_sequences, "symbol_sequences")
                archive.same_length(number, len(labels), "symbol_sequences", self.symbol_sequences)
                first = np.sort(np.unique(number, return_index=True)[1])
                sequences = [labels[number == number[i]] for i in first]
        return sequences_dataset(sequences, file=archive.file, key=f"symbols: {self.symbols}")

    # -- spikes -----------------------------------------------------------------------------------

    def _load_spikes(self, archive: Archive) -> xr.Dataset:
        if cells := archive.cells(self.spike_times, self.axes, "spike_times"):
            return self._load_trains(archive, *cells)
        if trains := archive.trains(self.spike_times, "spike_times"):
            return self._load_trains(archive, trains)
        if not self.spike_units and padding.is_matrix(archive.get(self.spike_times, "spike_times")):
            return self._load_matrix(archive)
        times = archive.get(self.spike_times, "spike_times").ravel()
        if not times.size:
            raise CortseqError(
                "holds no spikes", file=archive.file, key="spike_times", value=self.spike_times
            )
        if self.spike_numbers or self.spike_index:
            return self._load_trains(archive, self._parts(archive, times))
        times = finite(times, file=archive.file, key=f"spike_times: {self.spike_times}")
        units, known = self._units(archive, times)
        labels = {label: archive.get(key, f"units.{label}").ravel() for label, key in self.units.items()}
        # with labels there is one per unit, silent ones too; without, only units that spike are known
        names = np.arange(len(next(iter(labels.values())))) if labels else known
        if not np.isin(units, names).all():
            raise CortseqError(
                f"units run from {units.min()} to {units.max()}, {len(names)} are labelled",
                file=archive.file,
                key="spike_units",
                value=self.spike_units,
                fix="give one label per unit, units numbered from 0",
            )
        event = {"event_time": times * SECONDS[self.time_unit], "event_unit": np.searchsorted(names, units)}
        raw = _label_units(xr.Dataset(coords={"unit": names}), labels, "unit", archive)
        if self.spike_trials:
            trials = archive.spike_labels(self.spike_trials, "spike_trials", times) - self.first_trial
            if not self.covariates:  # how many trials there are is not known: those that occur
                trials, unused = padding.compressed(trials)
                raw = with_dirt(raw, {"trial_numbers_unused": unused})
            raw = self._with_trials(raw, archive, trials)
            event["event_trial"] = trials
        elif self.covariates and self.trials is None:
            raise CortseqError(
                "needs `spike_trials` or `trials` to have covariates", file=archive.file, key="covariates"
            )
        return describe(raw.assign({key: ("event", values) for key, values in event.items()}), "events")

    def _load_matrix(self, archive: Archive) -> xr.Dataset:
        """Return units whose spikes are the padded rows (or columns) of one matrix."""
        key = f"spike_times: {self.spike_times}"
        values = archive.get(self.spike_times, "spike_times")
        trains, n_padding = padding.trains(values, archive.file, key)
        return with_dirt(self._load_trains(archive, trains), {"spikes_padding": n_padding})

    def _units(self, archive: Archive, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the unit of each spike, (spike,), and the units there are, (unit,), in order."""
        if not self.spike_units:
            return np.zeros(len(times), int), np.zeros(1, int)
        named = archive.get(self.spike_units, "spike_units").ravel()
        if named.dtype.kind == "U":
            archive.same_length(named, len(times), "spike_units", self.spike_units)
            return named, np.unique(named)
        units = archive.spike_labels(self.spike_units, "spike_units", times)
        return units, np.unique(units)

    def _parts(self, archive: Archive, times: np.ndarray) -> dict[str, np.ndarray]:
        """Return spike times (spike,) by unit from spikes of all units in a row."""
        option = "spike_numbers" if self.spike_numbers else "spike_index"
        cut = ragged.by_number if self.spike_numbers else ragged.by_index
        sizes = archive.get(getattr(self, option), option)
        parts = cut(times, sizes, file=archive.file, key=f"{option}: {getattr(self, option)}")
        return {str(i): part for i, part in enumerate(parts)}

    def _named(self, archive: Archive, raw: xr.Dataset) -> xr.Dataset:
        """Return the units under the names that `unit_names` gives, which must differ."""
        if not self.unit_names:
            return raw
        names = archive.get(self.unit_names, "unit_names").ravel().astype(str)
        archive.same_length(names, raw.sizes["unit"], "unit_names", self.unit_names)
        if len(set(names)) < len(names):
            raise CortseqError(
                "two units have one name", file=archive.file, key="unit_names", value=self.unit_names
            )
        return raw.assign_coords(unit=names)

    def _load_trains(
        self, archive: Archive, trains: Mapping[str, np.ndarray], trials: list[np.ndarray] | None = None
    ) -> xr.Dataset:
        """Return units whose spikes are stored apart; `trials` holds the trial of each spike, by unit."""
        unused = (
            "spike_units",
            "spike_trials",
            *(["covariates"] if trials is None and not self.trials else []),
        )
        for key in unused:
            if getattr(self, key):
                raise CortseqError(
                    "is of no use where every unit has its own list of spikes",
                    file=archive.file,
                    key=key,
                    fix="remove it",
                )
        raw = from_trains(
            trains,
            scale=SECONDS[self.time_unit],
            file=archive.file,
            key=f"spike_times: {self.spike_times}",
            trials=trials,
        )
        raw = self._named(archive, raw)
        if trials is not None:
            raw = self._with_trials(raw, archive, raw["event_trial"].values, archive.n_trials)
        labels = {label: archive.get(key, f"units.{label}").ravel() for label, key in self.units.items()}
        return _label_units(raw, labels, "unit", archive)

    def _with_trials(
        self, raw: xr.Dataset, archive: Archive, trials: np.ndarray, n_trials: int | None = None
    ) -> xr.Dataset:
        """Add the coordinate `trial` and the covariates, whose length is the number of trials."""
        values = {k: archive.squeezed(key, f"covariates.{k}") for k, key in self.covariates.items()}
        lengths = {len(v) for v in values.values()} or {n_trials or int(trials.max()) + 1}
        lengths |= {n_trials} if n_trials else set()
        if len(lengths) > 1 or trials.max() >= min(lengths) or trials.min() < 0:
            raise CortseqError(
                f"trials run from {trials.min() + self.first_trial} to {trials.max() + self.first_trial}, "
                f"there are {sorted(lengths)} counted from {self.first_trial}",
                file=archive.file,
                key="spike_trials",
                value=self.spike_trials,
                fix="set first_trial to the number of the first trial, give one covariate value per trial",
            )
        variables = {f"covariate_{label}": ("trial", v) for label, v in values.items()}
        return raw.assign_coords(trial=np.arange(min(lengths))).assign(variables)

    # -- dense arrays -----------------------------------------------------------------------------

    def _load_dense(self, archive: Archive) -> xr.Dataset:
        track: Literal["counts", "signal"] = "signal" if self.signal else "counts"
        key = getattr(self, track)
        where: Any = {"file": archive.file, "key": f"{track}: {key}"}
        if (parts := archive.parts(key)) is not None:
            raw = _unequal(parts, track, self.axes, **where)
        else:
            raw = dense(archive.get(key, track), track, self.axes, **where)
        labels = {label: archive.get(key, f"units.{label}").ravel() for label, key in self.units.items()}
        raw = _label_units(raw, labels, "channel" if track == "signal" else "unit", archive)
        return self._with_covariates(self._with_time(raw, archive), archive)

    def _with_time(self, raw: xr.Dataset, archive: Archive) -> xr.Dataset:
        if "trial" in raw.dims or self.time is None:
            return clocked(raw, float(self.native or 1.0))
        time = archive.get(self.time, "time").ravel()
        time = finite(time, file=archive.file, key=f"time: {self.time}") * SECONDS[self.time_unit]
        n = raw.sizes["time"]
        dirt = {"times_beyond_the_samples": max(len(time) - n, 0)}
        archive.same_length(time[:n], n, "time", self.time)  # a camera may run on after the last good frame
        if (np.diff(time) < 0).any():
            raise CortseqError(
                "time runs backwards",
                file=archive.file,
                key="time",
                value=self.time,
                fix="remove `time:` and give native_bin_ms",
            )
        width = self.native or step(time[:n], archive.file)
        return describe(raw.assign_coords(time=time[:n]), "samples", dirt, bin_width=width)

    def _with_covariates(self, raw: xr.Dataset, archive: Archive) -> xr.Dataset:
        along = "trial" if "trial" in raw.dims else "time"
        for label, key in self.covariates.items():
            values = archive.squeezed(key, f"covariates.{label}")
            archive.same_length(values, raw.sizes[along], f"covariates.{label}", key)
            if along == "trial":
                raw[f"covariate_{label}"] = "trial", values
            else:
                raw = raw.assign_coords({f"time_{label}": (f"time_{label}", raw["time"].values)})
                raw[f"series_{label}"] = f"time_{label}", values
        return raw


class Archive:
    """A file of named arrays whose every fault is one line. A kind of file gives `keys` and `read`."""

    item: ClassVar[str] = "array"

    def __init__(self, file: Path | None) -> None:
        self.file = file

    @property
    def keys(self) -> list[str]:
        """Return the names of the arrays."""
        raise NotImplementedError

    def read(self, key: str) -> np.ndarray:
        """Return the array of a key that is there.

        Of any shape, as it is stored.
        """
        raise NotImplementedError

    def trains(self, key: str | None, option: str) -> Mapping[str, np.ndarray] | None:
        """Return spike times by unit where `key` holds one array per unit; None where it is one array.

        Times are (spike,) per unit.
        """
        return None

    n_trials: int | None = None  # of cells unit x trial, once they were read

    def cells(
        self, key: str | None, axes: Sequence[str], option: str
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray]] | None:
        """Return spike times by unit and the trial of each spike where `key` holds a cell per unit and trial.

        None where it does not. Times and trials are (spike,) per unit; trials count from 0.
        """
        return None

    def parts(self, key: str) -> list[np.ndarray] | None:
        """Return one array per trial where `key` holds such cells; None where it is one array."""
        return None

    def every(self, pattern: str, option: str) -> list[np.ndarray]:
        """Return all arrays whose key fits `*/name`, (label,) each, in the order of their keys."""
        found = [key for key in self.keys if fnmatch.fnmatchcase(key, pattern)]
        if not found:
            raise self.missing(pattern, option)
        return [self.squeezed(key, option) for key in found]

    def get(self, key: str | None, option: str) -> np.ndarray:
        """Return the array `key`, named in the study under `option`.

        Of any shape, as it is stored.
        """
        if key not in self.keys:
            raise self.missing(key, option)
        assert key is not None
        return self.read(key)

    def missing(self, key: str | None, option: str) -> CortseqError:
        """Return the error that says that no array has this key."""
        return CortseqError(
            f"the file has no such {self.item}",
            file=self.file,
            key=option,
            value=key,
            fix=f"it holds {self.keys}",
        )

    def squeezed(self, key: str, option: str) -> np.ndarray:
        """Return a vector, also where it was stored as (n, 1)."""
        values = self.get(key, option)
        if values.ndim == 2 and 1 in values.shape:
            values = values.ravel()
        if values.ndim != 1:
            raise CortseqError(
                f"must be one value each, has shape {values.shape}", file=self.file, key=option, value=key
            )
        return values

    def spike_labels(self, key: str | None, option: str, times: np.ndarray) -> np.ndarray:
        """Return whole numbers, one per spike.

        Parameters
        ----------
        times : (spike,) whose number the labels must have.

        Returns
        -------
        (spike,) integers.
        """
        values = self.get(key, option).ravel()
        self.same_length(values, len(times), option, key)
        if values.dtype.kind not in "iuf" or (values != np.floor(values)).any():
            raise CortseqError("must be whole numbers, one per spike", file=self.file, key=option, value=key)
        if values.dtype.kind != "i" and values.size and float(abs(values).max()) > _EXACT:
            largest = float(abs(values).max())
            raise CortseqError("a number is too large to be one", file=self.file, key=option, value=largest)
        return values.astype(np.int64)

    def same_length(self, values: np.ndarray, length: int, option: str, key: str | None) -> None:
        """Raise a CortseqError unless `values` has so many rows.

        Parameters
        ----------
        values : (row, ...).
        length : rows there must be.
        """
        if len(values) != length:
            raise CortseqError(
                f"has {len(values)} values, {length} are needed", file=self.file, key=option, value=key
            )

    def readable(self) -> dict[str, np.ndarray]:
        """Return key -> array of everything that can be read."""
        arrays = {}
        for key in self.keys:
            with contextlib.suppress(CortseqError):
                arrays[key] = self.get(key, key)
        return arrays

    def summaries(self) -> list[str]:
        """Return lines of `inspect`: every array, then what the arrays look like."""
        lines, arrays = [], {}
        for key in self.keys:
            try:
                arrays[key] = self.get(key, key)
                lines.append(f"{key}: {summary(arrays[key])}")
            except CortseqError as error:
                lines.append(f"dirty: {error}")
        return lines + guess(arrays)


# -- from arrays to raw Datasets -------------------------------------------------------------------


def from_trains(
    trains: Mapping[str, np.ndarray],
    *,
    scale: float = 1.0,
    file: Path | None,
    key: str,
    trials: Sequence[np.ndarray] | None = None,
) -> xr.Dataset:
    """Raw events of units stored apart: name -> times (in units of `scale` s), and their trial numbers.

    NaN, with which rectangular tables are padded, is left out; spikes are put in order, and of two spikes
    of one unit at one instant (in one trial) one is left out. Each is counted in `dirt`. An infinite time
    and a recording without any spike are errors.

    Parameters
    ----------
    trains : name of each unit -> its spike times (spike,), in units of `scale` s.
    """
    dirt = {"spike_times_nan": 0}
    times, unit, trial = [], [], []
    for i, raw in enumerate(trains.values()):
        t = np.asarray(raw, float).ravel()
        k = np.zeros(len(t), int) if trials is None else np.asarray(trials[i])
        dirt["spike_times_nan"] += int(np.isnan(t).sum())
        t, k = finite(t[~np.isnan(t)], file=file, key=key) * scale, k[~np.isnan(t)]
        times.append(t)
        trial.append(k)
        unit.append(np.full(len(t), i))
    event = {
        "event_time": np.concatenate([*times, []]),
        "event_unit": np.concatenate([*unit, []]).astype(int),
    }
    if not len(event["event_time"]):
        raise CortseqError("holds no spikes", file=file, key=key)
    if trials is not None:
        event["event_trial"] = np.concatenate(trial)
    raw_dataset = xr.Dataset({k: ("event", v) for k, v in event.items()}, {"unit": np.array(list(trains))})
    return tidy(describe(raw_dataset, "events", dirt))


def dense(
    values: np.ndarray,
    track: Literal["counts", "signal"],
    axes: Sequence[str],
    *,
    file: Path | None,
    key: str,
) -> xr.Dataset:
    """Return raw samples of an array whose axes are named, transposed to (trial,) time, unit | channel."""
    feature = "channel" if track == "signal" else "unit"
    axes = [feature if axis in ("unit", "channel") else axis for axis in axes]
    if values.ndim != len(axes):
        raise CortseqError(
            f"the array has shape {values.shape}, not one axis each for {axes}",
            file=file,
            key="axes",
            fix="name every axis of the array",
        )
    if values.size == 0:
        raise CortseqError(f"the array is empty, shape {values.shape}", file=file, key=track)
    known = None
    if track == "counts":
        values, known = padding.missing_bins(values, axes)
        values = whole_counts(values, file=file, key=key)
    elif values.dtype.kind not in "iufb" or np.isinf(values).any():
        raise CortseqError("a signal must be finite numbers (NaN: missing)", file=file, key=key)
    else:
        values = values.astype(float)
    if feature not in axes:
        values, axes = values[..., None], [*axes, feature]
    order = [axis for axis in ("trial", "time", feature) if axis in axes]
    raw = xr.Dataset({track: (axes, values)}).transpose(*order)
    if known is not None:
        raw = raw.assign(valid=([axis for axis in axes if axis != feature], known))
        raw = with_dirt(raw, {"bins_padding": int((~known).sum())})
    return raw.assign_coords({feature: np.arange(raw.sizes[feature])})


def _unequal(
    parts: list[np.ndarray], track: Literal["counts", "signal"], axes: Sequence[str], *, file, key: str
) -> xr.Dataset:
    """Return raw samples of trials stored apart, of unequal length; the first of `axes` is the trial."""
    values, valid = ragged.padded(parts, axes, file=file, key=key)
    raw = dense(values, track, axes, file=file, key=key)
    return raw if valid.all() else raw.assign(valid=(("trial", "time"), valid))


def clocked(raw: xr.Dataset, width: float, dirt: dict[str, Any] | None = None) -> xr.Dataset:
    """Return samples of `width` s, described; a continuous array gets its times, from 0."""
    if "trial" not in raw.dims:
        raw = raw.assign_coords(time=np.arange(raw.sizes["time"]) * width)
    return describe(raw, "samples", dirt, bin_width=width)


def step(time: np.ndarray, file: Path | None) -> float:
    """Return the bin width of regular times; gaps are rare and clocks jitter, so the median is the width.

    Parameters
    ----------
    time : (sample,) s.

    Returns
    -------
    s.
    """
    steps = np.diff(time)
    width = float(np.median(steps)) if len(steps) else 0.0
    if width <= 0 or (abs(steps / width - 1) > _JITTER).mean() > 0.05:
        raise CortseqError(
            "times are irregular, so the bin width is not known",
            file=file,
            key="time",
            fix="set native_bin_ms",
        )
    return width


def _label_units(raw: xr.Dataset, labels: dict[str, np.ndarray], along: str, archive: Archive) -> xr.Dataset:
    for label, values in labels.items():
        archive.same_length(values, raw.sizes[along], "units", label)
        raw = raw.assign_coords({label: (along, values)})
    return raw
