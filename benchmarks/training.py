"""One training step (forward and backward of one batch) beside torch and JAX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.harness import Case, Peer, installed, target
from cortseq.networks.problems import disagreement, problem

N_TIME = 140
SIZES = {"small": (50, 64, 32), "big": (180, 128, 200)}  # units, hidden, trials
TOLERANCE = 1e-3  # of every gradient, relative to its largest entry, and of the loss: float32
LOOP, SCAN = "torch, loop over time", "JAX, scan"
RNN, LSTM, GRU = "torch.nn.RNN", "torch.nn.LSTM", "torch.nn.GRU"
ASSOCIATIVE = "JAX, associative scan"

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
    ("lstm", {"layers": 2}, "small", {LSTM: None}),
    ("lstm", {"layers": 2}, "big", {LSTM: None}),
    ("gru", {}, "small", {LOOP: None, GRU: None, SCAN: None}),
    ("gru", {}, "big", {LOOP: None, GRU: None, SCAN: None}),
    ("lru", {}, "small", {ASSOCIATIVE: None}),
    ("lru", {}, "big", {ASSOCIATIVE: None}),
]


INPUTS = 4  # recorded ones, which may make a step at most a tenth dearer
DEARER = 1.1


def cases() -> Iterator[Case]:
    for family, settings, size, asked in ASKED:
        yield case(family, settings, *SIZES[size], asked)
    for family in ("rate", "lstm"):
        for size in SIZES.values():
            yield with_inputs(family, *size)


def with_inputs(family: str, n_units: int, hidden: int, n_trials: int) -> Case:
    """A step that sees recorded inputs beside the same step without.

    Their results differ and are not compared; that the engines agree with inputs is tested in
    tests/networks/test_engines.py.
    """
    import torch

    from cortseq.networks.training.engines import stepper

    torch.set_num_threads(1)
    seen, blind = (
        stepper(*problem(family, {}, n_units, hidden, n_trials, N_TIME, n), "auto") for n in (INPUTS, 0)
    )
    named = f"step of {family} N={n_units} H={hidden} batch {n_trials}, {INPUTS} inputs"
    peer = Peer("the same without inputs", blind, lambda ours, theirs: 0.0, 0, target(round(1 / DEARER, 2)))
    return Case(named, seen, [peer])


def case(family: str, settings: dict, n_units: int, hidden: int, n_trials: int, asked: dict) -> Case:
    """Ours and the peers on the same counts (.1 to .3 spikes a bin) and the same parameters."""
    import torch

    from benchmarks import peers_torch
    from cortseq.networks.training.engines import stepper

    torch.set_num_threads(1)
    model, params, data = problem(family, settings, n_units, hidden, n_trials, N_TIME)
    y = data.y.astype(np.float32)
    constant = float(torch.lgamma(torch.as_tensor(data.y, dtype=torch.float64) + 1).sum())
    runs: dict[str, Any] = {LOOP: peers_torch.loop, **dict.fromkeys((RNN, LSTM, GRU), peers_torch.module)}
    if installed("jax"):
        from benchmarks import peers_jax

        runs |= {SCAN: peers_jax.scan, ASSOCIATIVE: peers_jax.associative}
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
    changed = "".join(f" ({name} {value})" for name, value in settings.items())
    named = f"{family}{changed} N={n_units} H={hidden} batch {n_trials}"
    return Case(f"step of {named}", stepper(model, params, data, "auto"), peers)
