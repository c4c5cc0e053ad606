"""What Euler steps do to a rate equation tau dh/dt = -h + phi(W h + U x + b), and its low-pass filter."""

from __future__ import annotations

import numpy as np


def euler_eigenvalue(eigenvalue, dt: float) -> np.ndarray:
    """1 + dt lambda: what a mode exp(lambda t) of the equation becomes in one Euler step."""
    return 1 + dt * np.asarray(eigenvalue)


def continuous_eigenvalue(eigenvalue, dt: float, exact: bool = False) -> np.ndarray:
    """The rate (per unit of dt) of a mode of a map: (mu - 1)/dt for an Euler step, ln(mu)/dt (principal value) for an
    exact flow."""
    mu = np.asarray(eigenvalue)
    return np.log(mu.astype(np.complex128)) / dt if exact else (mu - 1) / dt


def euler_largest_step(eigenvalues) -> float:
    """The step at which Euler turns unstable, the least -2 Re(lambda) / |lambda|^2: |1 + dt lambda| = 1.

    0 where the equation itself is unstable or neutral in some mode.
    """
    values = np.atleast_1d(np.asarray(eigenvalues, np.complex128))
    return max(0.0, float((-2 * values.real / np.abs(values) ** 2).min()))


def euler_is_stable(gain: float, eigenvalues, leak: float) -> bool:
    """|1 - a + a gain lambda| < 1 for all eigenvalues of W, a = dt/tau; a -> 0: Re(lambda) < 1/gain."""
    return bool((np.abs(1 - leak + leak * gain * np.asarray(eigenvalues)) < 1).all())


def low_pass(frequency, tau: float) -> np.ndarray:
    """|H| = 1 / sqrt(1 + (2 pi f tau)^2) of tau dh/dt = -h + x; half power at 1/(2 pi tau)."""
    return 1 / np.sqrt(1 + (2 * np.pi * np.asarray(frequency) * tau) ** 2)


def leak_low_pass(frequency, leak: float, dt: float) -> np.ndarray:
    """|H| = a / |1 - (1 - a) exp(-2 pi i f dt)| of h' = (1 - a) h + a x."""
    return leak / np.abs(1 - (1 - leak) * np.exp(-2j * np.pi * np.asarray(frequency) * dt))


def exponential_leak(dt: float, tau: float) -> float:
    """a = 1 - exp(-dt/tau): exact for a drive that is constant within the step."""
    return float(-np.expm1(-dt / tau))
