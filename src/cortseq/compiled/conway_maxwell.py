"""Sums of the Conway-Maxwell-Poisson distribution of counts 0 .. support, compiled.

    log p(y) = y eta - nu ln y! - ln Z,    Z = sum_{k=0}^{support} exp(k eta - nu ln k!)

eta is the natural parameter, nu the dispersion: 1 is Poisson, above it counts vary less than their mean, and
nu -> infinity leaves 0 and 1 (Bernoulli with logit eta).
Sums start at the largest term and stop where terms no longer count, so they cost a few standard deviations.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from scipy.special import gammaln

from cortseq.compiled.functions import OPTIONS

_SMALLEST = 1e-17  # of the largest term: what a double no longer sees


def tables(nu: np.ndarray, support: int) -> tuple[np.ndarray, np.ndarray]:
    """Return k^-nu (unit, support + 1; 1 at k = 0) and ln k! (support + 1,)."""
    k = np.arange(support + 1.0)
    return np.maximum(k, 1) ** -np.asarray(nu, float)[:, None], gammaln(k + 1)


@njit(**OPTIONS)
def moments(eta, nu, power, log_factorial, smallest):
    """Ln Z, E[y], Var[y] and E[ln y!]; `power` holds k^-nu of this unit."""
    support = power.size - 1
    mode = 0
    if eta > 0:
        mode = support if eta >= nu * math.log(support) else int(math.exp(eta / nu))
    x = math.exp(eta)
    total, first, second, logs = 1.0, 0.0, 0.0, log_factorial[mode]
    for direction in (1, -1):
        w, k = 1.0, mode
        while w > smallest and 0 <= k + direction <= support:
            w = w * x * power[k + 1] if direction == 1 else w / (x * power[k])
            k += direction
            total += w
            first += w * (k - mode)
            second += w * (k - mode) ** 2
            logs += w * log_factorial[k]
    first /= total
    log_z = mode * eta - nu * log_factorial[mode] + math.log(total)
    return log_z, mode + first, second / total - first * first, logs / total


@njit(**OPTIONS)
def fill(eta, nu, power, log_factorial, smallest, log_z, mean, logs):
    """Ln Z, E[y] and E[ln y!] of eta (row, unit) into three arrays of its shape."""
    for i in range(eta.shape[0]):
        for j in range(eta.shape[1]):
            log_z[i, j], mean[i, j], _, logs[i, j] = moments(
                float(eta[i, j]), nu[j], power[j], log_factorial, smallest
            )


@njit(**OPTIONS)
def _solve(mean, nu, power, log_factorial):
    """Eta with E[y] = mean, and ln Z there: Newton on ln E, bisection where it leaves the bracket."""
    low, high = -40.0, nu * math.log(power.size - 1)
    eta = min(math.log(mean) if mean < 1 else nu * math.log(mean), high)
    log_z = 0.0
    for _ in range(100):
        log_z, reached, variance, _ = moments(eta, nu, power, log_factorial, _SMALLEST)
        error = math.log(reached / mean)
        if abs(error) < 1e-13:
            break
        low, high = (low, eta) if error > 0 else (eta, high)
        eta -= error * reached / variance
        if not low < eta < high:
            eta = 0.5 * (low + high)
        if high - low < 1e-14 * (1 + abs(high)):
            break
    return eta, log_z


@njit(**OPTIONS)
def _solve_all(mean, nu, power, log_factorial, eta, log_z):
    for i in range(mean.shape[0]):
        for j in range(mean.shape[1]):
            eta[i, j], log_z[i, j] = _solve(mean[i, j], nu[j], power[j], log_factorial)


def natural(mean: np.ndarray, nu: np.ndarray, support: int) -> tuple[np.ndarray, np.ndarray]:
    """Eta (..., unit) of the means (..., unit) > 0 with dispersion nu (unit,), and ln Z there.

    A mean that eta <= nu ln(support) does not reach is given that eta.
    """
    nu = np.asarray(nu, float)
    flat = np.ascontiguousarray(np.reshape(mean, (-1, len(nu))), float)
    eta, log_z = np.empty_like(flat), np.empty_like(flat)
    _solve_all(flat, nu, *tables(nu, support), eta, log_z)
    return eta.reshape(np.shape(mean)), log_z.reshape(np.shape(mean))


@njit(**OPTIONS)
def _draw_all(eta, nu, log_z, log_factorial, uniform, out):
    for i in range(eta.shape[0]):
        for j in range(eta.shape[1]):
            left, k = uniform[i, j], 0
            while k < log_factorial.size - 1:
                left -= math.exp(k * eta[i, j] - nu[j] * log_factorial[k] - log_z[i, j])
                if left < 0:
                    break
                k += 1
            out[i, j] = k


def draw(mean: np.ndarray, nu: np.ndarray, support: int, rng: np.random.Generator) -> np.ndarray:
    """Draw counts with means (..., unit), by inversion."""
    nu = np.asarray(nu, float)
    eta, log_z = (x.reshape(-1, len(nu)) for x in natural(mean, nu, support))
    out = np.empty(eta.shape, np.int64)
    _draw_all(eta, nu, log_z, tables(nu, support)[1], rng.random(eta.shape), out)
    return out.reshape(np.shape(mean))
