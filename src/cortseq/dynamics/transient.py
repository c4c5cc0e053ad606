"""Transient growth of stable linear systems: what eigenvalues do not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cortseq.dynamics.spectra import _square, spectral_abscissa, spectral_radius
from cortseq.errors import CortseqError

_PER_RATE = 8  # grid points of exp(A t) per time in which |A| can grow e-fold, at the least
_MOST_STEPS = 20_000


@dataclass(frozen=True)
class TransientGrowth:
    """peak = max over t >= 0 of |exp(A t)| or |A^t| (spectral norm), where it is (`time`), and the curve
    `norms` at `times` on which it was found. peak is inf for an unstable matrix.
    """

    peak: float
    time: float
    times: np.ndarray
    norms: np.ndarray


def transient_growth(matrix, kind: Literal["discrete", "continuous"] = "discrete") -> TransientGrowth:
    """The largest growth of any perturbation at any time, of x' = A x or dx/dt = A x.

    The curve ends at the first m with |A^m| <= 1/2, for then |A^(qm + r)| <= |A^m|^q |A^r|: nothing later
    exceeds what was seen, and no pseudospectrum or Kreiss constant is needed. In continuous time exp(A t) is
    followed on a grid and the peak refined between its neighbours. Trefethen & Embree 2005, chapters 14, 15.

    Raises
    ------
    CortseqError : a matrix so close to instability that the curve does not end in 20 000 steps.
    """
    from scipy.linalg import expm
    from scipy.optimize import minimize_scalar

    a = _square(matrix)
    if kind not in ("discrete", "continuous"):
        raise CortseqError("unknown kind", key="kind", value=kind, fix='choose "discrete" or "continuous"')
    continuous = kind == "continuous"
    if (spectral_abscissa(a) >= 0) if continuous else (spectral_radius(a) >= 1):
        return TransientGrowth(float("inf"), float("inf"), np.zeros(1), np.ones(1))
    step = 1 / (_PER_RATE * max(float(np.linalg.norm(a, 2)), 1e-300)) if continuous else 1.0
    norms = _norms(expm(step * a) if continuous else a)
    times = step * np.arange(len(norms))
    best = int(norms.argmax())
    if continuous and 0 < best:
        around = (times[best - 1], times[best + 1])
        found = minimize_scalar(
            lambda t: -np.linalg.norm(expm(t * a), 2),
            bounds=around,
            method="bounded",
            options={"xatol": 1e-10},
        )
        if -found.fun > norms[best]:
            return TransientGrowth(float(-found.fun), float(found.x), times, norms)
    return TransientGrowth(float(norms[best]), float(times[best]), times, norms)


def _norms(power: np.ndarray) -> np.ndarray:
    """|P^t| for t = 0, 1, ... until it is 1/2."""
    product, norms = np.eye(len(power)), [1.0]
    while norms[-1] > 0.5:
        if len(norms) > _MOST_STEPS:
            raise CortseqError("the matrix is too close to instability", key="matrix")
        product = power @ product
        norms.append(float(np.linalg.norm(product, 2)))
    return np.array(norms)
