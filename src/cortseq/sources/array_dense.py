"""Dense arrays with named axes: counts per bin or real values, in trials or on one clock."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.sources.archive import Archive
from cortseq.sources.array_units import ArrayUnits
from cortseq.sources.base import Sampled
from cortseq.sources.inputs import PREFIX
from cortseq.sources.raw import clocked, dense, describe, finite, step, unequal
from cortseq.sources.trials import SECONDS


class ArrayDense(Sampled, ArrayUnits):
    """Keys of an entry that say which array holds samples, and how they become raw samples."""

    counts: str | None = Field(None, description="key: spikes per bin, an array with `axes`")
    signal: str | None = Field(None, description="key: real values, an array with `axes`")
    time: str | None = Field(None, description="key: time of each bin of a continuous array, in `time_unit`")

    def _check_dense(self) -> None:
        """Raise a ValueError where the axes or the clock of a dense array are not known."""
        if not (self.counts or self.signal):
            return
        if len(set(self.axes)) != len(self.axes) or "time" not in self.axes:
            raise ValueError(f"axes: {list(self.axes)} must be distinct and hold time")
        if self.native is None and self.time is None:
            raise ValueError("native_bin_ms: is needed without `time:` -- give the width of a bin in ms")
        if "trial" in self.axes and self.time is not None:
            raise ValueError("time: belongs to a continuous array, this one has the axis trial -- remove it")

    def _load_dense(self, archive: Archive) -> xr.Dataset:
        track: Literal["counts", "signal"] = "signal" if self.signal else "counts"
        key = getattr(self, track)
        where: Any = {"file": archive.file, "key": f"{track}: {key}"}
        if (parts := archive.parts(key)) is not None:
            raw = unequal(parts, track, self.axes, **where)
        else:
            raw = dense(archive.get(key, track), track, self.axes, **where)
        along = "channel" if track == "signal" else "unit"
        raw = self._labelled(raw, self._labels(archive), along, archive)
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
            binned = archive.get(key, f"covariates.{label}")
            if along == "trial" and label.startswith(PREFIX) and binned.shape == _in_bins(raw):
                raw = raw.assign_coords({label: (("trial", "time"), binned)})  # a series in bins already
                continue
            values = archive.squeezed(key, f"covariates.{label}")
            archive.same_length(values, raw.sizes[along], f"covariates.{label}", key)
            if along == "trial":
                raw[f"covariate_{label}"] = "trial", values
            else:
                raw = raw.assign_coords({f"time_{label}": (f"time_{label}", raw["time"].values)})
                raw[f"series_{label}"] = f"time_{label}", values
        return raw


def _in_bins(raw: xr.Dataset) -> tuple[int, int]:
    return raw.sizes["trial"], raw.sizes["time"]
