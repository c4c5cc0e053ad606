"""Controls of what a network is said to have learned: the untrained network, the shuffled recording."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import xr

# Variables of a recording that are in time and stay where they are when bins change places.
_STAY = ("valid", "inputs")


def untrained(fit: Any, recording: xr.Dataset) -> Any:
    """Return the network of a Fit as it was before learning: the same start parameters, float64.

    Member m of a fit depends on (seed, m) only, so members are pairs: one network before and after learning.

    Parameters
    ----------
    fit : cortseq.models Fit of a recurrent model.
    recording : the Recording it was fitted to.
    """
    card = fit.card
    train, valid = (fit._data(recording, card["learned_from"][role]) for role in ("train", "valid"))
    failed = {int(member) for member in card.get("failed_members", {})}
    every = card["members"] + len(failed)
    kept = [member for member in range(every) if member not in failed]
    shape = train, every, card["seed"], np.float64, valid
    params = fit.model.initial(*shape)
    return replace(fit, params={name: value[kept] for name, value in params.items()})


def shuffled(recording: xr.Dataset, seed: int = 0) -> xr.Dataset:
    """Return the recording with the valid bins of each trial in random order.

    All units keep their bins together: how often each pattern of a bin occurs in a trial stays, and what
    follows what is gone. Inputs and missing bins stay in their places.

    Parameters
    ----------
    recording : a Recording.
    seed : of the order, another one in each trial.
    """
    rng, valid = np.random.default_rng([seed, 0x5F]), recording["valid"].values
    order = np.tile(np.arange(valid.shape[1]), (len(valid), 1))
    for row, known in zip(order, valid, strict=True):
        row[known] = rng.permutation(row[known])
    changed = {
        name: variable.copy(data=_taken(variable.values, order))
        for name, variable in recording.data_vars.items()
        if name not in _STAY and variable.dims[:2] == ("trial", "time")
    }
    return recording.assign(changed)


def _taken(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return values (trial, time, ...) with the bins of each trial in the order (trial, time)."""
    index: ArrayLike = order.reshape(*order.shape, *[1] * (values.ndim - 2))
    return np.take_along_axis(values, np.asarray(index), 1)
