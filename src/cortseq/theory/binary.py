"""Simulation of populations of binary threshold units with K partners each, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike


def partners(population: int, n_populations: int, inputs: int, rng: np.random.Generator) -> np.ndarray:
    """Return presynaptic units of every unit, (unit, population, K): K different ones of every population."""
    n = population * n_populations
    out = np.empty((n, n_populations, inputs), np.int32)
    for unit in range(n):
        for b in range(n_populations):
            out[unit, b] = b * population + rng.choice(population, inputs, replace=False)
    return out


def simulate(
    partner: np.ndarray,
    strengths: ArrayLike,
    external: ArrayLike,
    thresholds: ArrayLike,
    start: Any,
    updates: int,
    seed: int,
    random: bool,
) -> np.ndarray:
    """Return states after every bin of `updates` single-unit updates, (bin, unit), 0 or 1.

    Parameters
    ----------
    partner : (unit, population, K).
    strengths : (population, population), divided by sqrt(K) here.
    external : (bin, population), times sqrt(K) here.
    thresholds : (population,).
    start : (unit,).
    random : the next unit is drawn anew, so that a unit waits an exponential time; else all take turns, in a
        new order each time (in one order for ever their feedback is a delay, and oscillates).
    """
    n, n_populations, k = partner.shape
    rng = np.random.default_rng(seed)
    drive = np.asarray(external, float) * np.sqrt(k) - np.asarray(thresholds, float)
    total = len(drive) * updates
    if random:
        turns = rng.integers(0, n, total)
    else:
        turns = np.concatenate([rng.permutation(n) for _ in range(-(-total // n))])[:total]
    weights = np.asarray(strengths, float) / np.sqrt(k)
    state = np.asarray(start, np.int8).copy()
    return np.asarray(
        _run(partner, weights, drive, state, turns.astype(np.int32).reshape(-1, updates), n // n_populations)
    )


@njit
def _run(
    partner: np.ndarray, weights: Any, drive: Any, state: np.ndarray, turns: np.ndarray, size: int
) -> np.ndarray:
    n, n_populations, k = partner.shape
    out = np.empty((len(drive), n), np.int8)
    for t in range(len(drive)):
        for unit in turns[t]:
            total = drive[t, unit // size]
            for b in range(n_populations):
                active = 0
                for c in range(k):
                    active += state[partner[unit, b, c]]
                total += weights[unit // size, b] * active
            state[unit] = 1 if total > 0 else 0
        out[t] = state
    return out
