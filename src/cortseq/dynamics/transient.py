"""Transient growth of stable linear systems: what eigenvalues do not say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.matrices import spectral_abscissa, spectral_radius, square
from cortseq.notebook import Drawn

_PER_RATE = 8  # grid points of exp(A t) per time in which |A| can grow e-fold, at the least
_EVERY = 1024  # steps that are all looked at, ...
_PER_DOUBLING = 64  # ... and how many of each doubling of the time from there on
_DOUBLINGS = 34  # of _EVERY: a radius of 1 - 1e-11 has decayed by then, after whatever growth


@dataclass(frozen=True, repr=False)
class TransientGrowth(Drawn):
    """Largest transient growth of a linear system, and the curve it was found on.

    Attributes
    ----------
    peak : max over t >= 0 of |exp(A t)| or |A^t| (spectral norm); inf for an unstable matrix.
    time : where the peak is.
    times : (point,) of the curve, in steps or in the time unit of A.
    norms : (point,) spectral norms at `times`.
    """

    peak: float
    time: float
    times: np.ndarray
    norms: np.ndarray


def transient_growth(
    matrix: ArrayLike, kind: Literal["discrete", "continuous"] = "discrete"
) -> TransientGrowth:
    """Return the largest growth of any perturbation at any time, of x' = A x or dx/dt = A x, A (n, n).

    The curve ends at the first m with |A^m| <= 1/2, for then |A^(qm + r)| <= |A^m|^q |A^r|: nothing later
    exceeds what was seen, and no pseudospectrum or Kreiss constant is needed. In continuous time exp(A t) is
    followed on a grid of 1 / (8 |A|). Trefethen & Embree 2005, chapters 14, 15.

    What has not decayed by step 1024, such as a line attractor of a fitted network, is followed by A^2, A^4,
    ...: 64 points for each doubling of the time, up to radii of 1 - 1e-11. The largest point of the curve is
    refined between its neighbours, so that a later peak is exact where it is wider than 1/32 of its time;
    growth that comes and goes faster so late (slow modes that turn fast) is seen where the grid meets it.

    Raises
    ------
    CortseqError : a matrix too close to instability for that, or one that is not square and finite.
    """
    from scipy.linalg import expm

    a = square(matrix)
    if kind not in ("discrete", "continuous"):
        raise CortseqError("unknown kind", key="kind", value=kind, fix='choose "discrete" or "continuous"')
    continuous = kind == "continuous"
    if (spectral_abscissa(a) >= 0) if continuous else (spectral_radius(a) >= 1):
        return TransientGrowth(float("inf"), float("inf"), np.zeros(1), np.ones(1))
    step = 1 / (_PER_RATE * max(float(np.linalg.norm(a, 2)), 1e-300)) if continuous else 1.0
    steps, norms = _curve(expm(step * a) if continuous else a)
    times = step * steps

    def growth(time: float) -> float:
        power = expm(time * a) if continuous else np.linalg.matrix_power(a, round(time))
        return float(np.linalg.norm(power, 2))

    best = int(norms.argmax())
    peak, time = float(norms[best]), float(times[best])
    if best and (continuous or times[best + 1] - times[best - 1] > 2):
        peak, time = max((peak, time), _between(growth, times[best - 1], times[best + 1]))
    return TransientGrowth(peak, time if continuous else float(round(time)), times, norms)


def _curve(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return times t and norms |P^t| until the norm is 1/2.

    t = 0, 1, 2 and so on, from some time on in strides that double with it.
    """
    product, steps, norms = np.eye(len(power)), [0], [1.0]
    stride, until = 1, _EVERY
    while norms[-1] > 0.5:
        if steps[-1] == until:
            if until >= _EVERY * 2**_DOUBLINGS:
                raise CortseqError(
                    "the matrix is too close to instability",
                    key="matrix",
                    fix="take its neutral directions out, or treat it as unstable",
                )
            power = np.linalg.matrix_power(power, until // _PER_DOUBLING // stride)
            stride, until = until // _PER_DOUBLING, 2 * until
        product = power @ product
        steps.append(steps[-1] + stride)
        norms.append(float(np.linalg.norm(product, 2)))
    return np.array(steps), np.array(norms)


def _between(growth: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """Return the largest growth between two times, and its time."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda t: -growth(t), bounds=(low, high), method="bounded", options={"xatol": 1e-10 * high}
    )
    return float(-found.fun), float(found.x)
