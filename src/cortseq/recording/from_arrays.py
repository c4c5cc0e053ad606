"""A Recording from an array of xarray."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.recording.build import from_counts, from_signal

_IRREGULAR = 1e-3  # by how much of a step the times of bins may differ from regular ones


def from_xarray(
    array: xr.DataArray, *, bin_width: float | None = None, observation: str = "poisson"
) -> xr.Dataset:
    """Return a Recording from an array with named dimensions, in any order.

    Coordinates along `trial` become covariates, those along the feature are kept, and so are `start` and
    `stop`, the times of the trials in s. The time of the first bin is kept, too. Bins that hold NaN are
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
    spans = {k: v for k, v in given.items() if k in ("start", "stop")}
    labels = {k: v for k, v in given.items() if v.dims == (feature,)}
    common: dict[str, Any] = {
        "bin_width": step(array) if bin_width is None else bin_width,
        "time_start": float(array["time"][0]) if "time" in array.coords else 0.0,
        "covariates": {k: v.values for k, v in given.items() if v.dims == ("trial",) and k not in spans},
        "coords": {k: (v.dims, v.values) for k, v in (spans | labels).items()},
    }
    names = array[feature].values if feature in array.coords else None
    if feature == "channel":
        return from_signal(array.values, channel_names=names, **common)
    valid = ~np.isnan(array.values).any(-1) if array.dtype.kind == "f" else None
    return from_counts(array.values, valid=valid, unit_names=names, observation=observation, **common)


def step(array: xr.DataArray) -> float:
    """Return the width in s of the bins of an array (trial, time, ...), from the times of its bins."""
    time = array["time"].values if "time" in array.coords else np.empty(0)
    steps = np.diff(time) if len(time) > 1 and time.dtype.kind in "iuf" else np.empty(0)
    if not len(steps) or not steps[0] > 0 or np.ptp(steps) > _IRREGULAR * steps[0]:
        raise CortseqError("the times of the bins are no regular steps in s", key="bin_width", fix="give it")
    return float(np.median(steps))
