"""Random networks to simulate beside the mean-field theory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# States and as many tangent vectors below them, (2 starts, n), one step on
Advance = Callable[[np.ndarray], np.ndarray]


def random_coupling(n: int, gain: float, seed: Any) -> np.ndarray:
    """Return J (n, n), J_ij ~ N(0, gain^2 / n); one seed gives one matrix, scaled by the gain."""
    return np.asarray(gain / np.sqrt(n) * np.random.default_rng(seed).normal(size=(n, n)))


def runge_kutta(velocity: Callable[[Any], Any], x: Any, step: float) -> Any:
    """Return x one step on by the Runge-Kutta method of fourth order.

    Parameters
    ----------
    velocity : x -> dx/dt, of the shape of x.
    x : numpy array or torch tensor of any shape.
    step : of time.
    """
    a = velocity(x)
    b = velocity(x + step / 2 * a)
    c = velocity(x + step / 2 * b)
    d = velocity(x + step * c)
    return x + step / 6 * (a + 2 * b + 2 * c + d)


def rate_step(coupling: ArrayLike, step: float) -> Advance:
    """Return a fourth-order Runge-Kutta step of dx/dt = -x + J tanh(x) and its tangent map, J (n, n).

    It takes and returns states, then their tangent vectors, in one array (2 start, n). `step` is in units of
    tau.
    """
    weights = np.ascontiguousarray(np.asarray(coupling).T)

    def velocity(both: np.ndarray) -> np.ndarray:
        x, v = np.split(both, 2)
        r = np.tanh(x)
        return np.asarray(np.concatenate([r, (1 - r**2) * v]) @ weights - both)

    return lambda both: runge_kutta(velocity, both, step)


def map_step(coupling: ArrayLike) -> Advance:
    """Return one step of h' = tanh(J h) and of its tangent vectors, J (n, n); arrays as of `rate_step`."""
    weights = np.ascontiguousarray(np.asarray(coupling).T)

    def advance(both: np.ndarray) -> np.ndarray:
        h, v = np.split(both @ weights, 2)
        r = np.tanh(h)
        return np.concatenate([r, (1 - r**2) * v])

    return advance


def orbit(
    advance: Advance, start: Any, steps: int, warm_up: int = 0, seed: Any = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return states after the warm-up (step, start, n) and the largest exponent of each start.

    Exponents (start,) are in nats per step.

    As `dynamics.leading_exponents`, where one product with the coupling serves all states and tangent vectors
    at once.
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
