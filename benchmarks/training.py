"""One training step (forward and backward of one batch) beside torch and JAX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Case, Peer, installed, target

N_TIME = 140
SIZES = {"small": (50, 64, 32), "big": (180, 128, 200)}  # units, hidden, trials
TOLERANCE = 1e-3  # of every gradient, relative to its largest entry, and of the loss: float32
LOOP, SCAN, RNN, LSTM = "torch, loop over time", "JAX, scan", "torch.nn.RNN", "torch.nn.LSTM"

# Ratios asked for with AVX-512: family, settings, size, {peer: ratio}
ASKED: list[tuple[str, dict, str, dict[str, float | None]]] = [
    ("rate", {}, "small", {LOOP: 8.0, SCAN: 1.5}),
    ("rate", {}, "big", {LOOP: 2.0, SCAN: 1.5}),
    ("rate", {"leak": 1}, "small", {RNN: None}),
    ("rate", {"leak": 1}, "big", {RNN: None}),
    ("dale", {}, "small", {LOOP: None}),
    ("dale", {}, "big", {LOOP: None}),
    ("stp", {}, "small", {LOOP: 3.0, SCAN: 2.0}),
    ("stp", {}, "big", {LOOP: 3.0, SCAN: 2.0}),
    ("lstm", {}, "small", {LOOP: None, LSTM: 1.5, SCAN: None}),
    ("lstm", {}, "big", {LOOP: None, LSTM: 1.5, SCAN: None}),
]


def cases() -> Iterator[Case]:
    for family, settings, size, asked in ASKED:
        yield case(family, settings, *SIZES[size], asked)


def case(family: str, settings: dict, n_units: int, hidden: int, n_trials: int, asked: dict) -> Case:
    """Ours and the peers on the same counts (.1 to .3 spikes a bin) and the same parameters."""
    import torch

    from benchmarks import peers_torch
    from cortseq.networks.training.engines import stepper

    torch.set_num_threads(1)
    model, params, data = problem(family, settings, n_units, hidden, n_trials, N_TIME)
    y = data.y.astype(np.float32)
    constant = float(torch.lgamma(torch.as_tensor(data.y, dtype=torch.float64) + 1).sum())
    runs: dict[str, Any] = {LOOP: peers_torch.loop, RNN: peers_torch.module, LSTM: peers_torch.module}
    if installed("jax"):
        from benchmarks import peers_jax

        runs[SCAN] = peers_jax.scan
    peers = [
        Peer(
            name,
            runs[name](model, params, y) if name in runs else None,
            lambda ours, theirs: disagreement(ours, theirs, constant),
            TOLERANCE,
            target(ratio),
        )
        for name, ratio in asked.items()
    ]
    named = f"{family}{' (leak 1)' if settings else ''} N={n_units} H={hidden} batch {n_trials}"
    return Case(f"step of {named}", stepper(model, params, data, "auto"), peers)


def problem(family: str, settings: dict, n_units: int, hidden: int, n_trials: int, n_time: int):
    """Model, one member's parameters and data. The start state is moved off zero, where some gradients vanish."""
    import torch

    from cortseq import models, recording
    from cortseq.models.base import Data

    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.uniform(0.1, 0.3, n_units), (n_trials, n_time, n_units))
    data = Data.of(recording.from_counts(counts, bin_width=0.02))
    kind: Any = models.registry()[family]
    model = kind(hidden=hidden, **settings)
    params = {name: value[0] for name, value in model.initial(data, 1, 0).items()}
    shift = rng.normal(0, 0.1, params["start"].shape).astype(np.float32)
    params["start"] = params["start"] + torch.from_numpy(shift)
    return model, params, data


def disagreement(ours, theirs, constant: float = 0.0) -> float:
    """Largest relative difference of the loss and of any gradient; `constant`: ln y!, which peers leave out."""
    loss, gradients = ours
    if set(gradients) != set(theirs[1]):
        return float("inf")
    each = [abs(loss - theirs[0] - constant) / abs(theirs[0])]
    for name, gradient in theirs[1].items():
        each.append(np.abs(gradients[name] - gradient).max() / np.abs(gradient).max())
    return float(np.max(each))  # NaN stays NaN
