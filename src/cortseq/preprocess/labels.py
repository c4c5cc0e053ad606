"""Labels of units, trials and bins that go along with a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from cortseq import recording as rec


def covariates(raw: xr.Dataset) -> dict[str, Any]:
    """Return the values (trial,) of each covariate that has one per trial, by label."""
    prefix = "covariate_"
    return {str(v).removeprefix(prefix): raw[v].values for v in raw.data_vars if str(v).startswith(prefix)}


def series(raw: xr.Dataset) -> list[str]:
    """Return the labels of the covariates that are series along their own time."""
    return [str(v).removeprefix("series_") for v in raw.data_vars if str(v).startswith("series_")]


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


def nearest_in_time(wanted: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the sample nearest to each wanted time: interpolation would be wrong for angles.

    Parameters
    ----------
    wanted : s, of any shape; the result has the same.
    times, values : (sample,) in ascending order of times (s).
    """
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    left = right - (wanted - times[right - 1] <= times[right] - wanted)
    return values[left] if len(times) > 1 else np.full(np.shape(wanted), values[0])
