"""What Euler steps do to a rate equation tau dh/dt = -h + phi(W h + U x + b), and its low-pass filter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.theory.conversion import euler_limit, to_continuous


def euler_eigenvalue(eigenvalue: Any, dt: Any) -> np.ndarray:
    """Return 1 + dt lambda: what a mode exp(lambda t) of the equation becomes in one Euler step.

    Elementwise, of any shape; `dt` in the inverse unit of the eigenvalue.
    """
    return np.asarray(1 + dt * np.asarray(eigenvalue))


def continuous_eigenvalue(eigenvalue: Any, dt: float, exact: bool = False) -> np.ndarray:
    """Return the rate (per unit of dt) of a mode of a map.

    (mu - 1)/dt for an Euler step, ln(mu)/dt (principal value) for an exact flow.

    Elementwise, of any shape.
    """
    return to_continuous(eigenvalue, dt, "exact" if exact else "euler")


def euler_largest_step(eigenvalues: ArrayLike) -> float:
    """Return the step at which Euler turns unstable, the least -2 Re(lambda) / |lambda|^2.

    There |1 + dt lambda| = 1, for one of the eigenvalues, an array of any shape.

    0 where the equation itself is unstable in some mode, or oscillates undamped; a mode of rate 0 limits
    nothing.
    """
    return euler_limit(eigenvalues)


def euler_is_stable(gain: float, eigenvalues: ArrayLike, leak: float) -> bool:
    """Test whether Euler's map is stable: |1 - a + a gain lambda| < 1, a = dt/tau.

    For all eigenvalues of W, an array of any shape; for a -> 0 this is Re(lambda) < 1/gain.
    """
    return bool((np.abs(1 - leak + leak * gain * np.asarray(eigenvalues)) < 1).all())


def low_pass(frequency: ArrayLike, tau: float) -> np.ndarray:
    """Return |H| = 1 / sqrt(1 + (2 pi f tau)^2) of tau dh/dt = -h + x; half power at 1/(2 pi tau).

    Elementwise in the frequency (Hz, with tau in s), of any shape.
    """
    return 1 / np.sqrt(1 + (2 * np.pi * np.asarray(frequency) * tau) ** 2)


def leak_low_pass(frequency: ArrayLike, leak: float, dt: float) -> np.ndarray:
    """Return |H| = a / |1 - (1 - a) exp(-2 pi i f dt)| of h' = (1 - a) h + a x.

    Elementwise in the frequency (Hz, with dt in s), of any shape.
    """
    return leak / np.abs(1 - (1 - leak) * np.exp(-2j * np.pi * np.asarray(frequency) * dt))


def exponential_leak(dt: float, tau: float) -> float:
    """Return a = 1 - exp(-dt/tau): exact for a drive that is constant within the step."""
    return float(-np.expm1(-dt / tau))


def rate_equation(
    weights: ArrayLike, drive: Any, start: Any, times: ArrayLike, tau: float = 1.0, linear: bool = False
) -> np.ndarray:
    """Integrate the rate equation tau dh/dt = -h + phi(W h + drive); h (time, n).

    At each of `times`, which ascend from that of `start`.

    phi = tanh, or the identity; the drive is constant. Dormand & Prince 8(5,3), relative error about 1e-12.

    Parameters
    ----------
    weights : W (n, n).
    drive : U x + b, (n,).
    start : (n,).
    """
    return _integrated(weights, drive, start, times, tau, linear, None)[:, : len(start)]


def euler_error(
    weights: ArrayLike, drive: Any, start: Any, times: ArrayLike, tau: float = 1.0, exponential: bool = False
) -> np.ndarray:
    """Return the leading coefficient e(t) of the error of Euler's steps, (time, n).

    h_Euler(t) - h(t) = dt e(t) + O(dt^2).

    Each step loses dt^2/2 h'' and the linearised equation carries what was lost: de/dt = F'(h) e - h''/2,
    e(0) = 0. The exponential Euler step h' = e^(-dt/tau) h + (1 - e^(-dt/tau)) phi loses dt^2/(2 tau) dphi/dt
    only. Hairer, Norsett & Wanner 1993, Solving ODEs I, section II.8.
    """
    n = len(start)
    return _integrated(weights, drive, start, times, tau, False, exponential)[:, n:]


def _integrated(
    weights: Any, drive: Any, start: Any, times: Any, tau: float, linear: bool, exponential: bool | None
) -> np.ndarray:
    """Return h, and beside it e unless `exponential` is None, at each time."""
    from scipy.integrate import solve_ivp

    w, drive, start = (np.asarray(v, float) for v in (weights, drive, start))
    n = len(start)

    def slope(_: float, y: np.ndarray) -> np.ndarray:
        h = y[:n]
        phi = w @ h + drive if linear else np.tanh(w @ h + drive)
        velocity = (phi - h) / tau
        if exponential is None:
            return np.asarray(velocity)
        gain = 1 - phi**2
        lost = gain * (w @ velocity) / tau  # dphi/dt / tau = h'' + h'/tau
        source = lost if exponential else lost - velocity / tau
        error = y[n:]
        return np.concatenate([velocity, (gain * (w @ error) - error) / tau - source / 2])

    begin = start if exponential is None else np.concatenate([start, np.zeros(n)])
    found = solve_ivp(slope, (times[0], times[-1]), begin, "DOP853", times, rtol=1e-12, atol=1e-13)
    return np.asarray(found.y.T)
