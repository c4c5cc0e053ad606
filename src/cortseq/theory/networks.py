"""Random networks to simulate beside the mean-field theory, and fits that have learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

# States and as many tangent vectors below them, (2 starts, n), one step on
Advance = Callable[[np.ndarray], np.ndarray]


def random_coupling(n: int, gain: float, seed) -> np.ndarray:
    """J (n, n), J_ij ~ N(0, gain^2 / n); one seed gives one matrix, scaled by the gain."""
    return gain / np.sqrt(n) * np.random.default_rng(seed).normal(size=(n, n))


def rate_step(coupling, step: float) -> Advance:
    """A Runge-Kutta step (fourth order, `step` in tau) of dx/dt = -x + J tanh(x) and of its tangent vectors."""
    weights = np.ascontiguousarray(np.asarray(coupling).T)

    def velocity(both: np.ndarray) -> np.ndarray:
        x, v = np.split(both, 2)
        r = np.tanh(x)
        return np.concatenate([r, (1 - r**2) * v]) @ weights - both

    def advance(both: np.ndarray) -> np.ndarray:
        a = velocity(both)
        b = velocity(both + step / 2 * a)
        c = velocity(both + step / 2 * b)
        d = velocity(both + step * c)
        return both + step / 6 * (a + 2 * b + 2 * c + d)

    return advance


def map_step(coupling) -> Advance:
    """One step of h' = tanh(J h) and of its tangent vectors."""
    weights = np.ascontiguousarray(np.asarray(coupling).T)

    def advance(both: np.ndarray) -> np.ndarray:
        h, v = np.split(both @ weights, 2)
        r = np.tanh(h)
        return np.concatenate([r, (1 - r**2) * v])

    return advance


def orbit(advance: Advance, start, steps: int, warm_up: int = 0, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """States after the warm-up (step, start, n), and the largest exponent of each start, nats per step (start,).

    As `dynamics.leading_exponents`, where one product with the coupling serves all states and tangent vectors at once.
    """
    x = np.atleast_2d(np.asarray(start, float))
    both = np.concatenate([x, np.random.default_rng(seed).normal(size=x.shape)])
    states, growth = np.empty((steps, *x.shape)), np.zeros(len(x))
    for t in range(-warm_up, steps):
        if t >= 0:
            states[t] = both[: len(x)]
        both = advance(both)
        size = np.linalg.norm(both[len(x) :], axis=1)
        both[len(x) :] /= size[:, None]
        growth += np.log(size) * (t >= 0)
    return states, growth / steps


def untrained(model, recording, members: int = 1, seed: int = 0, **given):
    """A Fit of a recurrent `model` to a recording with its start parameters, float64: nothing is learned.

    `given` : parameters that replace them, with or without a leading member axis.
    """
    import pandas as pd

    from cortseq.models.base import Data, Fit

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
    n: int, gain: float, noise: float, shape: tuple[int, int], members: int, seed: int, **given
):
    """Random networks h' = tanh(J h + noise z) as fits of a vanilla network, and the recording of z that drives them.

    z (trial, time, n), `shape` = (trials, bins), is white; the input weights hand it on one to one. J of member m is a function
    of (seed, m). `given` : other parameters, as of `untrained`.
    """
    from cortseq import models, recording

    rng = np.random.default_rng([seed, n, shape[1]])
    made = recording.from_signal(rng.normal(size=(*shape, n)), bin_width=1.0)
    model = models.Rate(hidden=n, leak=1, gain=gain, skip=False)
    # what a network reads is the signal standardised by its own mean and sd: undo that
    start = {"signal_mean": np.zeros(n), "signal_scale": np.ones(n), "start": rng.normal(size=(members, n))}
    return untrained(
        model, made, members, seed, **{**start, "input_weight": noise * np.eye(n), **given}
    ), made
