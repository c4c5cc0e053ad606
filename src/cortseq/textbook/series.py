"""Series of known laws that phenomena of the textbook are measured on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np


def autoregression(
    coefficients: Sequence[float], trials: int, bins: int, rng: np.random.Generator
) -> np.ndarray:
    """Return y_t = sum_i phi_i y_{t-i} + unit noise after 200 bins, (trial, time, 1)."""
    y = np.zeros((trials, len(coefficients) + 200 + bins))
    noise = rng.normal(size=y.shape)
    for t in range(len(coefficients), y.shape[1]):
        y[:, t] = noise[:, t] + sum(c * y[:, t - 1 - i] for i, c in enumerate(coefficients))
    return y[:, -bins:, None]


def henon(trials: int, bins: int, rng: np.random.Generator) -> np.ndarray:
    """Return x' = 1 - 1.4 x^2 + .3 x_{t-1} on its attractor, (trial, time, 1).

    Henon 1976, Commun Math Phys 50:69.
    """
    now, before = rng.uniform(-0.1, 0.1, (2, trials))
    out = []
    for _ in range(200 + bins):
        now, before = 1 - 1.4 * now**2 + 0.3 * before, now
        out.append(now)
    return np.stack(out[-bins:], 1)[..., None]


def narma(steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return input (time,) and target (time,) of the NARMA-10 task.

    y_{t+1} = .3 y_t + .05 y_t sum_{i<10} y_{t-i} + 1.5 u_{t-9} u_t + .1, u uniform on [0, .5].

    Atiya & Parlos 2000, IEEE Trans Neural Netw 11:697.
    """
    u, y = rng.uniform(0, 0.5, steps), np.zeros(steps)
    for t in range(9, steps - 1):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    return u, y


def mackey_glass(steps: int, rng: np.random.Generator, delay: float = 17.0, dt: float = 0.1) -> np.ndarray:
    """Return the Mackey-Glass series, one sample per unit of time, (time,).

    dx/dt = .2 x(t - delay) / (1 + x(t - delay)^10) - .1 x, after 200 units of time.

    Runge-Kutta of order 4. The delayed value at half steps is that of the cubic through two values and their
    slopes (Hermite), which keeps the order. Mackey & Glass 1977, Science 197:287.
    """
    back, per_sample, warm = round(delay / dt), round(1 / dt), 200
    past = [1.2 + 0.1 * v for v in rng.uniform(-1, 1, back + 1)]
    x = continued(past, (steps + warm) * per_sample, dt)
    return np.array(x[-steps * per_sample :: per_sample])


def continued(past: list[float], n_steps: int, dt: float) -> list[float]:
    """Continue a Mackey-Glass series, straight between the given values, by steps of `dt`.

    Parameters
    ----------
    past : values at -delay, .., -dt, 0.

    Returns
    -------
    `past` and the `n_steps` values after it.
    """
    x, back = list(past), len(past) - 1
    middles = [(a + b) / 2 for a, b in itertools.pairwise(past)]
    for _ in range(n_steps):
        now, delayed = x[-1], (x[-back - 1], middles[-back], x[-back])
        rise = [0.2 * d / (1 + d**10) for d in delayed]
        k1 = rise[0] - 0.1 * now
        k2 = rise[1] - 0.1 * (now + dt / 2 * k1)
        k3 = rise[1] - 0.1 * (now + dt / 2 * k2)
        k4 = rise[2] - 0.1 * (now + dt * k3)
        x.append(now + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        middles.append((now + x[-1]) / 2 + dt / 8 * (k1 - rise[2] + 0.1 * x[-1]))
    return x
