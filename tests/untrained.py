"""Fits whose weights a test writes itself: nothing is learned."""

import numpy as np
import pandas as pd
import torch

from cortseq import models
from cortseq.models.base import Data, Fit


def untrained(model, recording, members=1, seed=0, **given):
    """A Fit of `model` to `recording` with its start parameters; `given` replace them (no member axis)."""
    data = Data.of(recording)
    params = model.initial(data, members, seed, np.float64)
    for name, value in given.items():
        value = torch.as_tensor(value, dtype=torch.float64)
        assert params[name].shape[1:] == value.shape, (name, params[name].shape, value.shape)
        params[name] = value.expand(members, *value.shape).clone()
    card = {
        "members": members,
        "track": data.track,
        "observation": data.observation,
        "support": data.support,
        "n_features": data.n_features,
        "n_inputs": data.n_inputs,
        "bin_width": data.bin_width,
    }
    return Fit(model, params, card, pd.DataFrame())


def every_recurrent(hidden=8):
    """One specification of every recurrent family."""
    found = models.registry()
    return [found[name](hidden=hidden) for name in sorted(found) if found[name].role == "recurrent"]
