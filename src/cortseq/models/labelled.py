"""What a fit says of a recording, as one Dataset with the names and times of the recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.data import Trials

if TYPE_CHECKING:
    from cortseq.models.fit import Fit


def labelled(fit: Fit, recording: xr.Dataset, trials: Trials = None) -> xr.Dataset:
    """Return log-probabilities, predictions and states of a fit; see `Fit.to_xarray`."""
    if trials is not None:
        recording = recording.isel(trial=np.asarray(trials, int))
    kind, dims = rec.kind(recording), ("member", "trial", "time")
    feature = kind.dimension or "symbol"
    names = recording[feature].values if kind.dimension else np.array(rec.features(recording))
    kept = [name for name in recording.coords if name != "input" and "input" not in recording[name].dims]
    variables = {
        "log_prob": (dims, fit.log_prob(recording), {"units": "nats"}),
        "predicted": ((*dims, feature), fit.predict(recording), {"units": _UNITS[kind.name]}),
    }
    if fit.model.role == "recurrent":
        seen = recording["valid"].values[..., None]
        variables["states"] = ((*dims, "state"), np.where(seen, fit.states(recording), np.nan), {})
    width = float(recording.attrs["bin_width"])
    coords: dict[Any, Any] = {name: recording[name].variable for name in kept}
    coords |= {"member": np.arange(fit.card["members"]), feature: names}
    found = xr.Dataset(variables, coords, {"model": repr(fit.model)})
    for variable in (found, *found.data_vars.values()):
        variable.attrs["bin_width"] = width
    return found


_UNITS = {"counts": "expected counts per bin", "symbols": "probability", "signal": "as recorded"}
