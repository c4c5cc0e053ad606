"""Small problems of training for measurements of its cost: data, a model, and how far two results differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cortseq import models, recording
from cortseq.data import Data, Params
from cortseq.networks.recurrent import Recurrent

Solution = tuple[float, dict[str, np.ndarray]]  # loss, gradients by name


def problem(
    family: str,
    settings: dict[str, Any],
    n_units: int,
    hidden: int,
    n_trials: int,
    n_time: int,
    n_inputs: int = 0,
) -> tuple[Recurrent, Params, Data]:
    """Model, one member's parameters, data. The start state is not zero, where some gradients vanish."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.uniform(0.1, 0.3, n_units), (n_trials, n_time, n_units))
    inputs = rng.normal(size=(n_trials, n_time, n_inputs)) if n_inputs else None
    data = Data.of(recording.from_counts(counts, bin_width=0.02, inputs=inputs))
    kind: Any = models.find(family)
    model = kind(hidden=hidden, **settings)
    params = {name: value[0] for name, value in model.initial(data, 1, 0).items()}
    shift = rng.normal(0, 0.1, params["start"].shape).astype(np.float32)
    params["start"] = params["start"] + torch.from_numpy(shift)
    return model, params, data


def disagreement(ours: Solution, theirs: Solution, constant: float = 0.0) -> float:
    """Largest relative difference of loss or any gradient; `constant`: ln y!, which peers leave out."""
    loss, gradients = ours
    if set(gradients) != set(theirs[1]):
        return float("inf")
    each = [abs(loss - theirs[0] - constant) / abs(theirs[0])]
    for name, gradient in theirs[1].items():
        each.append(np.abs(gradients[name] - gradient).max() / np.abs(gradient).max())
    return float(np.max(each))  # NaN stays NaN
