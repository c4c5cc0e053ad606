"""Spectra of matrices: radius, abscissa, non-normality, the bulk and what stands out of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from cortseq.dynamics.fixed_points import sorted_eigenvalues
from cortseq.dynamics.shuffles import exchanged, profile_kept
from cortseq.errors import CortseqError
from cortseq.matrices import square
from cortseq.notebook import Drawn, Shown

Null = Literal["entries", "profile"]


def numerical_abscissa(matrix: ArrayLike) -> float:
    """Return the largest eigenvalue of (A + A^H)/2 for A (n, n).

    It is the growth rate of |x| at t = 0 for dx/dt = A x, at worst. Trefethen & Embree 2005, Spectra and
    Pseudospectra, chapter 14.
    """
    a = square(matrix)
    return float(np.linalg.eigvalsh((a + a.conj().T) / 2)[-1])


def henrici(matrix: ArrayLike) -> float:
    """Return the departure of A (n, n) from normality, sqrt(|A|_F^2 - sum_i |lambda_i|^2).

    It is 0 if and only if A is normal. It is the Frobenius norm of the strictly upper part of the Schur form,
    from which it is computed because the difference cancels. Henrici 1962, Numer Math 4:24.
    """
    from scipy.linalg import schur

    return float(np.linalg.norm(np.triu(schur(square(matrix), output="complex")[0], 1)))


@dataclass(frozen=True, repr=False)
class Modes(Shown):
    """Time constants and frequencies of the modes of a map.

    Attributes
    ----------
    time_constants : (mode,) s; negative: growing, inf: neutral.
    frequencies : (mode,) Hz, signed.
    """

    time_constants: np.ndarray
    frequencies: np.ndarray


def time_constants_and_frequencies(eigenvalues: ArrayLike, bin_width: float) -> Modes:
    """Return -dt / ln|lambda| (s) and arg(lambda) / (2 pi dt) (Hz) of a map's eigenvalues (mode,)."""
    values = np.asarray(eigenvalues, dtype=np.complex128)
    with np.errstate(divide="ignore"):
        decay = -bin_width / np.log(np.abs(values))
    decay = np.where(np.abs(values) == 1, np.inf, decay + 0.0)
    return Modes(decay, np.angle(values) / (2 * np.pi * bin_width))


def bulk_radius(weights: ArrayLike, signs: ArrayLike | None = None) -> float:
    """Return radius of the disc that the eigenvalues of an unstructured matrix fill, from its variances.

    R^2 = sum_j sigma_j^2, with sigma_j^2 the variance of the off-diagonal entries in the columns of j's
    sign class. One class: the circular law, R^2 = N sigma^2 (Girko 1985). Two classes: Rajan & Abbott
    2006, PRL 97:188104, R^2 = N (f sigma_E^2 + (1 - f) sigma_I^2).

    Parameters
    ----------
    weights : (n, n), column = presynaptic unit.
    signs : (n,) class of each column; None: one class.
    """
    w = square(weights)
    classes = ((w.ravel()[entries], n) for entries, n in _classes(len(w), signs))
    return float(np.sqrt(sum(n * values.var() for values, n in classes if len(values))))


@dataclass(frozen=True, repr=False)
class Outliers(Drawn):
    """Eigenvalues of a weight matrix with their permutation p values.

    Attributes
    ----------
    eigenvalues : (n,) complex128, largest modulus first.
    bulk_radius : of the disc that unstructured weights fill.
    p_values : (n,) family-wise p of each eigenvalue.
    is_outlier : (n,) bool, p < 0.05.
    """

    eigenvalues: np.ndarray
    bulk_radius: float
    p_values: np.ndarray
    is_outlier: np.ndarray


def outliers(
    weights: ArrayLike,
    signs: ArrayLike | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
    keep_row_sums: bool = False,
    null: Null = "entries",
) -> Outliers:
    """Return eigenvalues further out than shuffling the weights explains.

    p = (1 + number of shuffles whose largest modulus >= |lambda|) / (1 + n_permutations): family-wise over
    eigenvalues, no further correction. All shuffles keep Dale's law and the diagonal.

    Parameters
    ----------
    weights : (n, n), column = presynaptic unit.
    signs : (n,) class of each column; None: one class.
    null : "entries" exchanges the off-diagonal entries of the columns of one sign class. Rows or columns of
        unequal gain are then outliers. "profile" exchanges them after division by the gain of each row and
        column within the class, and multiplies by the gains again (`shuffles.profile_kept`).
    keep_row_sums : of null "entries": shuffle within each row only. Rows that sum to zero confine the
        eigenvalues of a balanced network (Rajan & Abbott 2006), and shuffles that break the sums throw them
        out: without this, outliers of such a matrix are missed up to nearly twice the radius. With it, what
        the sums themselves bring about is no outlier.

    Raises
    ------
    CortseqError : weights that are not square or not finite, signs of another length, a null of another
        name, or sums that "profile" cannot keep.
    """
    w = square(weights)
    if null not in get_args(Null) or (keep_row_sums and null == "profile"):
        raise CortseqError(
            'null is "entries" or "profile", and keep_row_sums goes with "entries"',
            key="null",
            value=null,
            fix='leave keep_row_sums out: "profile" keeps the gain of each row of a class',
        )
    groups = [entries for entries, _ in _classes(len(w), signs)]
    if keep_row_sums:
        starts = len(w) * np.arange(1, len(w))
        groups = [row for entries in groups for row in np.split(entries, np.searchsorted(entries, starts))]
    shuffle = exchanged if null == "entries" else profile_kept
    shuffled = islice(shuffle(w, groups, np.random.default_rng(seed)), n_permutations)
    largest = np.array([np.abs(np.linalg.eigvals(one)).max() for one in shuffled])
    values = sorted_eigenvalues(w)
    # a shuffle that changes nothing must count as equal in spite of rounding
    reached = np.searchsorted(np.sort(largest), np.abs(values) * (1 - 1e-9))
    p = (1 + n_permutations - reached) / (1 + n_permutations)
    return Outliers(values, bulk_radius(w, signs), p, p < 0.05)


def _classes(n: int, signs: Any) -> list[tuple[np.ndarray, int]]:
    """For each sign: flat positions of its columns' off-diagonal entries, and the number of columns."""
    signs = np.zeros(n) if signs is None else np.asarray(signs)
    if signs.shape != (n,):
        raise CortseqError("signs hold one value per column", value=signs.shape, fix=f"give {n} values")
    off = ~np.eye(n, dtype=bool)
    return [(np.flatnonzero(off & (signs == sign)), int((signs == sign).sum())) for sign in np.unique(signs)]
