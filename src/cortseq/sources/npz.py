"""NumPy archives: a list of spikes, or a dense array of counts or real values with named axes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import xarray as xr
from pydantic import Field, Strict, model_validator

from cortseq.errors import CortseqError
from cortseq.sources.base import Positive, Source, describe, finite, whole_counts

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
Axis = Literal["trial", "unit", "channel", "time"]


class Npz(Source):
    """`source: npz`: exactly one of `spike_times`, `counts` and `signal` names an array of the file.

    With `spike_trials` or an axis `trial` the recording has trials and covariates have one value per
    trial; without, it is continuous and covariates are series along `time`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    source: Literal["npz"] = "npz"
    spike_times: str | None = Field(None, description="key: time of each spike, in `time_unit`")
    spike_trials: str | None = Field(None, description="key: trial number of each spike")
    spike_units: str | None = Field(None, description="key: unit number of each spike; default: one unit")
    first_trial: int = Field(0, description="the number of the first trial in `spike_trials`")
    counts: str | None = Field(None, description="key: spikes per bin, an array with `axes`")
    signal: str | None = Field(None, description="key: real values, an array with `axes`")
    axes: Annotated[tuple[Axis, ...], Strict(False)] = Field(
        ("trial", "unit", "time"), description="what the axes of the dense array are"
    )
    time: str | None = Field(None, description="key: time of each bin of a continuous array, in `time_unit`")
    time_unit: Literal["s", "ms", "us"] = Field("s", description="unit of `spike_times` and `time`")
    native_bin_ms: Positive | None = Field(None, description="bin width of the dense array in ms")
    units: dict[str, str] = Field(
        default_factory=dict, description="label: key, one value per unit; for `select`"
    )

    @property
    def track(self) -> Literal["counts", "symbols", "signal"]:
        return "signal" if self.signal else "counts"

    @model_validator(mode="after")
    def _one_form(self):
        given = [k for k in ("spike_times", "counts", "signal") if getattr(self, k)]
        if len(given) != 1:
            raise ValueError(f"names {given or 'none'} of spike_times, counts, signal -- give exactly one")
        if self.spike_times is None:
            if len(set(self.axes)) != len(self.axes) or "time" not in self.axes:
                raise ValueError(f"axes: {list(self.axes)} must be distinct and hold time")
            if self.native_bin_ms is None and self.time is None:
                raise ValueError("native_bin_ms: is needed without `time:` -- give the width of a bin in ms")
            if "trial" in self.axes and self.time is not None:
                raise ValueError(
                    "time: belongs to a continuous array, this one has the axis trial -- remove it"
                )
        return self

    def load(self, file: Path | None, seed: int) -> xr.Dataset:
        archive = Archive(file)
        return self._load_spikes(archive) if self.spike_times else self._load_dense(archive)

    def _load_spikes(self, archive: Archive) -> xr.Dataset:
        times = archive.get(self.spike_times, "spike_times").ravel()
        if not times.size:
            raise CortseqError(
                "holds no spikes", file=archive.file, key="spike_times", value=self.spike_times
            )
        times = finite(times, file=archive.file, key=f"spike_times: {self.spike_times}")
        units = np.zeros(len(times), int)
        if self.spike_units:
            units = archive.spike_labels(self.spike_units, "spike_units", times)
        labels = {label: archive.get(key, f"units.{label}").ravel() for label, key in self.units.items()}
        # with labels there is one per unit, silent ones too; without, only units that spike are known
        names = np.arange(len(next(iter(labels.values())))) if labels else np.unique(units)
        if not np.isin(units, names).all():
            raise CortseqError(
                f"units run from {units.min()} to {units.max()}, {len(names)} are labelled",
                file=archive.file, key="spike_units", value=self.spike_units,
                fix="give one label per unit, units numbered from 0",
            )  # fmt: skip
        event = {"event_time": times * SECONDS[self.time_unit], "event_unit": np.searchsorted(names, units)}
        raw = _label_units(xr.Dataset(coords={"unit": names}), labels, "unit", archive)
        if self.spike_trials:
            trials = archive.spike_labels(self.spike_trials, "spike_trials", times) - self.first_trial
            raw = self._with_trials(raw, archive, trials)
            event["event_trial"] = trials
        elif self.covariates:
            raise CortseqError("needs `spike_trials` to have covariates", file=archive.file, key="covariates")
        return describe(raw.assign({key: ("event", values) for key, values in event.items()}), "events")

    def _with_trials(self, raw: xr.Dataset, archive: Archive, trials: np.ndarray) -> xr.Dataset:
        """Adds the coordinate `trial` and the covariates, whose length is the number of trials."""
        values = {k: archive.squeezed(key, f"covariates.{k}") for k, key in self.covariates.items()}
        lengths = {len(v) for v in values.values()} or {int(trials.max()) + 1}
        if len(lengths) > 1 or trials.max() >= min(lengths) or trials.min() < 0:
            raise CortseqError(
                f"trials run from {trials.min() + self.first_trial} to {trials.max() + self.first_trial}, "
                f"there are {sorted(lengths)} counted from {self.first_trial}",
                file=archive.file, key="spike_trials", value=self.spike_trials,
                fix="set first_trial to the number of the first trial, give one covariate value per trial",
            )  # fmt: skip
        variables = {f"covariate_{label}": ("trial", v) for label, v in values.items()}
        return raw.assign_coords(trial=np.arange(min(lengths))).assign(variables)

    def _load_dense(self, archive: Archive) -> xr.Dataset:
        track, feature = self.track, "channel" if self.track == "signal" else "unit"
        values = archive.get(getattr(self, track), track)
        axes = [feature if axis in ("unit", "channel") else axis for axis in self.axes]
        if values.ndim != len(axes):
            raise CortseqError(
                f"the array has shape {values.shape}, not one axis each for {axes}",
                file=archive.file, key="axes", fix="name every axis of the array",
            )  # fmt: skip
        if values.size == 0:
            raise CortseqError(f"the array is empty, shape {values.shape}", file=archive.file, key=track)
        values = self._checked(values, archive, f"{track}: {getattr(self, track)}")
        if feature not in axes:
            values, axes = values[..., None], [*axes, feature]
        order = [axis for axis in ("trial", "time", feature) if axis in axes]
        raw = xr.Dataset({track: (axes, values)}).transpose(*order)
        raw = raw.assign_coords({feature: np.arange(raw.sizes[feature])})
        labels = {label: archive.get(key, f"units.{label}").ravel() for label, key in self.units.items()}
        raw = _label_units(raw, labels, feature, archive)
        return self._with_covariates(self._with_time(raw, archive), archive)

    def _checked(self, values: np.ndarray, archive: Archive, key: str) -> np.ndarray:
        if self.track == "counts":
            return whole_counts(values, file=archive.file, key=key)
        if values.dtype.kind not in "iufb" or np.isinf(values).any():
            raise CortseqError("a signal must be finite numbers (NaN: missing)", file=archive.file, key=key)
        return values.astype(float)

    def _with_time(self, raw: xr.Dataset, archive: Archive) -> xr.Dataset:
        width = self.native_bin_ms and self.native_bin_ms / 1e3
        if "trial" in raw.dims:
            return describe(raw, "samples", bin_width=width)
        time = np.arange(raw.sizes["time"]) * (width or 1.0)
        if self.time is not None:
            time = archive.get(self.time, "time").ravel()
            time = finite(time, file=archive.file, key=f"time: {self.time}") * SECONDS[self.time_unit]
            archive.same_length(time, raw.sizes["time"], "time", self.time)
            if (np.diff(time) < 0).any():
                raise CortseqError("time runs backwards", file=archive.file, key="time", value=self.time)
        return describe(raw.assign_coords(time=time), "samples", bin_width=width or _step(time, archive))

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

    @classmethod
    def inspect(cls, file: Path) -> list[str]:
        archive = Archive(file)
        lines = [f"kind: NumPy archive of {len(archive.keys)} arrays (source: npz)"]
        arrays: dict[str, Any] = {}
        for key in archive.keys:
            try:
                arrays[key] = archive.get(key, key)
                lines.append(f"{key}: {_summary(arrays[key])}")
            except CortseqError as error:
                lines.append(f"dirty: {error}")
        return lines + _guess(arrays)


class Archive:
    """An npz file whose every fault is one line; pickled objects are never read."""

    def __init__(self, file: Path | None):
        self.file = file
        try:
            self._content = np.load(file, allow_pickle=False)  # type: ignore[arg-type]
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise CortseqError(f"is not an npz archive ({error})", file=file, fix="check the file") from error
        if isinstance(self._content, np.ndarray):
            raise CortseqError(
                "is a single array, not an npz archive", file=file, fix="save it with np.savez"
            )

    @property
    def keys(self) -> list[str]:
        return sorted(self._content.files)

    def get(self, key: str | None, option: str) -> np.ndarray:
        """The array `key`, named in the study under `option`."""
        if key not in self.keys:
            raise CortseqError(
                "the file has no such array",
                file=self.file,
                key=option,
                value=key,
                fix=f"it holds {self.keys}",
            )
        try:
            return self._content[key]
        except ValueError as error:
            raise CortseqError(
                "holds Python objects (pickle), which are never read",
                file=self.file, key=key, fix="save it again as a plain array of numbers or text",
            ) from error  # fmt: skip

    def squeezed(self, key: str, option: str) -> np.ndarray:
        """A vector, also where it was stored as (n, 1)."""
        values = self.get(key, option)
        if values.ndim == 2 and 1 in values.shape:
            values = values.ravel()
        if values.ndim != 1:
            raise CortseqError(
                f"must be one value each, has shape {values.shape}", file=self.file, key=option, value=key
            )
        return values

    def spike_labels(self, key: str | None, option: str, times: np.ndarray) -> np.ndarray:
        """Whole numbers, one per spike."""
        values = self.get(key, option).ravel()
        self.same_length(values, len(times), option, key)
        if values.dtype.kind not in "iuf" or (values != np.floor(values)).any():
            raise CortseqError("must be whole numbers, one per spike", file=self.file, key=option, value=key)
        return values.astype(np.int64)

    def same_length(self, values: np.ndarray, length: int, option: str, key: str | None) -> None:
        if len(values) != length:
            raise CortseqError(
                f"has {len(values)} values, {length} are needed", file=self.file, key=option, value=key
            )


def _label_units(raw: xr.Dataset, labels: dict[str, np.ndarray], along: str, archive: Archive) -> xr.Dataset:
    for label, values in labels.items():
        archive.same_length(values, raw.sizes[along], "units", label)
        raw = raw.assign_coords({label: (along, values)})
    return raw


def _step(time: np.ndarray, archive: Archive) -> float:
    """The bin width of regular times; gaps are rare, so the median is the width."""
    steps = np.diff(time)
    width = float(np.median(steps)) if len(steps) else 0.0
    if width <= 0 or (abs(steps / width - 1) > 0.05).mean() > 0.05:
        raise CortseqError(
            "times are irregular, so the bin width is not known",
            file=archive.file,
            key="time",
            fix="set native_bin_ms",
        )
    return width


def _summary(values: np.ndarray) -> str:
    text = f"{values.dtype} {values.shape}"
    if values.dtype.kind not in "iuf":
        return text + (f", {len(np.unique(values))} different" if values.size else ", empty")
    if values.size == 0:
        return text + ", empty"
    good = values[np.isfinite(values)]
    bad = values.size - good.size
    span = f", {good.min():g} to {good.max():g}, mean {good.mean():.4g}" if good.size else ""
    return text + span + (f", DIRTY: {bad} NaN or infinite" if bad else "")


def _guess(arrays: dict[str, np.ndarray]) -> list[str]:
    """What the arrays look like: lists of equal length, dense counts, times with gaps."""
    lines = []
    lists = [k for k, v in arrays.items() if v.ndim == 1 and v.dtype.kind in "iuf"]
    for n in sorted({len(arrays[k]) for k in lists}, reverse=True):
        same = [k for k in lists if len(arrays[k]) == n]
        whole = {k: len(np.unique(arrays[k])) for k in same if arrays[k].dtype.kind in "iu"}
        if len(same) >= 3 and whole:
            sizes = ", ".join(f"{size} different {k}" for k, size in whole.items())
            lines.append(f"looks like a list of {n} spikes: {', '.join(same)} ({sizes})")
    for key, values in arrays.items():
        if (
            values.ndim in (2, 3)
            and 1 not in values.shape
            and values.dtype.kind in "iu"
            and values.min() >= 0
        ):
            axes = "(trial, unit, time)?" if values.ndim == 3 else "(time, unit)?"
            lines.append(f"looks like counts: {key} {values.shape} {axes}, {values.sum()} spikes")
        if values.ndim == 1 and "time" in key and len(values) > 2 and (np.diff(values) >= 0).all():
            steps = np.diff(values)
            typical = max(float(np.median(steps[steps > 0])), 1e-12) if (steps > 0).any() else 1.0
            lines.append(
                f"{key} runs from {values[0]:g} to {values[-1]:g}; "
                f"{(steps == 0).sum()} repeated values, {(steps > 5 * typical).sum()} gaps"
            )
    return lines


SOURCE = Npz
