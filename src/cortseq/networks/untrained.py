"""Fits of networks that have learned nothing: the parameters they start with, or given ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from cortseq import recording
from cortseq._lazy import pd, xr
from cortseq.data import Data
from cortseq.models.base import Fit
from cortseq.networks.families.rate import Rate
from cortseq.networks.recurrent import Recurrent


def untrained(
    model: Recurrent, recording: xr.Dataset, members: int = 1, seed: int = 0, **given: ArrayLike
) -> Fit:
    """Return a Fit of a recurrent `model` with its start parameters, float64: nothing is learned.

    `given` : parameters that replace them, with or without a leading member axis.
    """
    data = Data.of(recording)
    params = model.initial(data, members, seed, np.float64)
    for name, value in given.items():
        value = torch.as_tensor(np.asarray(value, np.float64))
        params[name] = value.expand(params[name].shape).clone()
    card = {
        "members": members,
        "track": data.track,
        "observation": data.observation,
        "support": data.support,
        "n_features": data.n_features,
        "n_inputs": data.n_inputs,
        "input_mean": data.input_mean(),
        "bin_width": data.bin_width,
    }
    return Fit(model, params, card, pd.DataFrame())


def driven_map_fit(
    n: int, gain: float, noise: float, shape: tuple[int, int], members: int, seed: int, **given: ArrayLike
) -> tuple[Fit, xr.Dataset]:
    """Random networks h' = tanh(J h + noise z) as fits of a vanilla network, and the recording of z.

    z (trial, time, n), `shape` = (trials, bins), is white; the input weights hand it on one to one. J of
    member m is a function of (seed, m). `given` : other parameters, as of `untrained`.
    """
    rng = np.random.default_rng([seed, n, shape[1]])
    made = recording.from_signal(rng.normal(size=(*shape, n)), bin_width=1.0)
    family: Any = Rate
    model = family(hidden=n, leak=1, gain=gain, skip=False)
    # what a network reads is the signal standardised by its own mean and sd: undo that
    start = {"signal_mean": np.zeros(n), "signal_scale": np.ones(n), "start": rng.normal(size=(members, n))}
    return untrained(
        model, made, members, seed, **{**start, "input_weight": noise * np.eye(n), **given}
    ), made
