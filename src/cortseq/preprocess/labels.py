"""Labels of units, trials and bins that go along with a recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.sources.inputs import PREFIX
from cortseq.sources.windows import nearest_in_time


def covariates(raw: xr.Dataset) -> dict[str, Any]:
    """Return the values (trial,) of each covariate that has one per trial, by label."""
    prefix = "covariate_"
    return {str(v).removeprefix(prefix): raw[v].values for v in raw.data_vars if str(v).startswith(prefix)}


def series(raw: xr.Dataset) -> list[str]:
    """Return the labels of the covariates that are series along their own time; inputs are not among them."""
    found = [str(v).removeprefix("series_") for v in raw.data_vars if str(v).startswith("series_")]
    return [label for label in found if not label.startswith(PREFIX)]


def with_labels(recording: xr.Dataset, raw: xr.Dataset) -> xr.Dataset:
    """Carry labels of units or channels (brain area, ...) along."""
    feature = rec.kind(recording).dimension
    for name, value in raw.coords.items():
        if value.dims == (feature,) and name != feature:
            recording = recording.assign_coords({name: (feature, value.values)})
    return recording


def with_series(recording: xr.Dataset, raw: xr.Dataset) -> xr.Dataset:
    """Return a behaviour series at the middle of each bin."""
    middle = (
        recording["start"].values[:, None]
        + (np.arange(recording.sizes["time"]) + 0.5) * recording.attrs["bin_width"]
    )
    names = series(raw)
    for name in names:
        values = nearest_in_time(middle, raw[f"time_{name}"].values, raw[f"series_{name}"].values)
        recording = recording.assign_coords({name: (("trial", "time"), values)})
    recording.attrs["covariates"] = sorted([*recording.attrs["covariates"], *names])
    return recording
