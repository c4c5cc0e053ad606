"""Square matrices: their check, and the abscissa of their spectrum."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError


def spectral_radius(matrix: ArrayLike) -> float:
    """Return max_i |lambda_i| of A (n, n): the map x' = A x is stable below 1."""
    return float(np.abs(np.linalg.eigvals(square(matrix))).max())


def spectral_abscissa(matrix: ArrayLike) -> float:
    """Return max_i Re lambda_i of A (n, n): dx/dt = A x is stable below 0."""
    return float(np.linalg.eigvals(square(matrix)).real.max())


def square(matrix: ArrayLike) -> np.ndarray:
    """Return a finite square matrix (n, n) as float64, or complex128 where it is complex.

    Raises
    ------
    CortseqError : it is not square, or holds NaN or infinity.
    """
    a = np.asarray(matrix)
    if a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise CortseqError("needs a square matrix", value=a.shape)
    if not np.isfinite(a).all():
        raise CortseqError("a matrix holds NaN or infinity")
    return a.astype(np.complex128 if np.iscomplexobj(a) else np.float64)
