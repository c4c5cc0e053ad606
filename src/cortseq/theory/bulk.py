"""Where theory puts the bulk of a random matrix and the outliers of a low-rank part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.matrices import spectral_abscissa, square


def profile_radius(variances: ArrayLike) -> float:
    """Radius of the bulk of a matrix with independent centred entries: R^2 = radius of S, S_ij = var(W_ij).

    Girko's circle for equal variances, N sigma^2; Rajan & Abbott's for columns of two classes. Entries with
    a mean have this bulk and outliers beside it. Aljadeff, Stern & Sharpee 2015, PRL 114:088101.

    Parameters
    ----------
    variances : (n, n), or (group, group) of blocks, each times the number of units in its column's group.
    """
    s = square(variances)
    if np.iscomplexobj(s) or (s < 0).any():
        raise CortseqError("variances are real and not negative", key="variances")
    return float(np.sqrt(np.abs(np.linalg.eigvals(s)).max()))


def predicted_disc(matrix: ArrayLike, signs: ArrayLike | None = None) -> tuple[float, float]:
    """Return centre and radius of the disc that a matrix without structure of the same variances fills.

    Centre: the mean of the diagonal. Radius: that of the variance profile r_i c_j / mean, r and c the mean
    squares of the rows and columns off the diagonal, entries less the mean of their sign class: R^2 = sum_i
    r_i c_i / mean (Aljadeff, Stern & Sharpee 2015; Girko's and Rajan & Abbott's circles are those of equal
    rows).

    Parameters
    ----------
    matrix : (n, n), column = presynaptic unit.
    signs : (n,) class of each column; None: one class.

    Raises
    ------
    CortseqError : a matrix of one unit.
    """
    w = square(matrix)
    n = len(w)
    if n < 2:
        raise CortseqError("one unit has no bulk", value=w.shape)
    off = ~np.eye(n, dtype=bool)
    classes = np.zeros(n) if signs is None else np.asarray(signs)
    squares = np.zeros((n, n))
    for name in np.unique(classes):
        entries = off & (classes == name)
        squares[entries] = (w[entries] - w[entries].mean()) ** 2
    mean, centre = squares[off].mean(), float(np.diagonal(w).mean())
    rows, columns = (squares.sum(axis) / (n - 1) for axis in (1, 0))
    return centre, float(np.sqrt(rows @ columns / mean)) if mean > 0 else 0.0


def low_rank_outliers(left: Any, right: Any, radius: float, random: Any = None, terms: int = 3) -> np.ndarray:
    """Return predicted eigenvalues of J + M N^T outside the bulk of J, complex128, largest modulus first.

    Tao 2013, Probab Theory Relat Fields 155:231: the eigenvalues of N^T M outside `radius`, where J is
    independent of M and N. A J that overlaps with them (trained networks; Schuessler et al. 2020, Phys Rev
    Res 2:013111) shifts them: the roots z of det(1 - sum_k N^T J^k M / z^(k+1)) = 0, k = 0 .. `terms`.

    Parameters
    ----------
    left, right : M and N, (n, rank), or (n,) for rank one.
    radius : of the bulk of J.
    random : J itself (n, n), for the overlap terms; None: they are taken as 0.
    """
    m, n = (np.asarray(v, dtype=np.float64).reshape(len(v), -1) for v in (left, right))
    if m.shape != n.shape:
        raise CortseqError("left and right have the same shape", value=(m.shape, n.shape))
    overlaps = [n.T @ m]
    image = m
    for _ in range(terms if random is not None else 0):
        image = np.asarray(random, dtype=np.float64) @ image
        overlaps.append(n.T @ image)
    values = np.linalg.eigvals(_companion(overlaps)).astype(np.complex128)
    values = values[np.abs(values) > radius]
    return values[np.lexsort((-values.imag, -values.real, -np.abs(values).round(12)))]


def _companion(overlaps: list[np.ndarray]) -> np.ndarray:
    """Return the block matrix whose eigenvalues solve det(z^(K+1) 1 - sum_k z^(K-k) C_k) = 0."""
    rank, depth = len(overlaps[0]), len(overlaps)
    below = np.eye(rank * (depth - 1), rank * depth)
    return np.concatenate([np.concatenate(overlaps, 1), below])


def stability_margin(weights: ArrayLike, gains: ArrayLike = 1.0) -> float:
    """1 - abscissa(diag(gains) W): dx/dt = -x + phi(W x) grows from a fixed point where it is negative.

    `gains` : phi' at the *actual* fixed point, one number or (n,). For one gain this is the textbook's
    abscissa(W) < 1/gain; of an Euler map ask for the spectral radius of (1 - a) 1 + a diag(gains) W instead.
    """
    w = square(weights)
    return 1.0 - spectral_abscissa(np.broadcast_to(gains, len(w))[:, None] * w)
