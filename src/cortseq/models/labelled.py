"""Arrays of a fit with the names and times of the recording that they are of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import Trials

_DIMS = ("member", "trial", "time")
_UNITS = {"counts": "expected counts per bin", "symbols": "probability", "signal": "as recorded"}


def log_probs(nats: NDArray[np.float64], recording: xr.Dataset, trials: Trials = None) -> xr.DataArray:
    """Return nats (member, trial, time) with their labels."""
    return _labelled("log_prob", nats, recording, trials, {}, "nats")


def predictions(values: NDArray[np.float64], recording: xr.Dataset, trials: Trials = None) -> xr.DataArray:
    """Return expectations (member, trial, time, feature) with their labels.

    The last dimension is `unit` of counts, `channel` of signals and `symbol` of labels, with their names.
    """
    kind = rec.kind(recording)
    feature = kind.dimension or "symbol"
    names = recording[feature].values if kind.dimension else np.array(rec.features(recording))
    return _labelled("predicted", values, recording, trials, {feature: names}, _UNITS[kind.name])


def states(values: NDArray[np.float64], recording: xr.Dataset, trials: Trials = None) -> xr.DataArray:
    """Return states (member, trial, time, dim) with their labels, NaN where a bin is missing."""
    valid = recording["valid"].values
    seen = (valid if trials is None else valid[rec.positions(recording, trials)])[..., None]
    numbers = np.arange(values.shape[-1])
    return _labelled("states", np.where(seen, values, np.nan), recording, trials, {"dim": numbers}, "1")


def _labelled(
    name: str,
    values: NDArray[np.float64],
    recording: xr.Dataset,
    trials: Trials,
    last: dict[str, np.ndarray],
    unit: str,
) -> xr.DataArray:
    """Return values with the coordinates of the recording that go with them; `last`: a fourth dimension."""
    known = recording.coords.to_dataset()
    if trials is not None:
        known = known.isel(trial=rec.positions(recording, trials))
    dims = (*_DIMS, *last)
    shared = {n: c.variable for n, c in known.coords.items() if n not in last and {*c.dims} <= {*dims}}
    coords: dict[Any, Any] = shared | {"member": np.arange(len(values))} | last
    about = {"units": unit, "bin_width": float(recording.attrs["bin_width"])}
    return xr.DataArray(values, coords, dims, name, about)
