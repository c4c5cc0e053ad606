"""Eigenvalues of random matrices: the disc that they fill and those that structure throws out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.theory import bulk as disc


def dale_bulk_radius(n: int, fraction_excitatory: float, sigma_e: float, sigma_i: float) -> float:
    """Return the bulk radius under Dale's law, R = sqrt(N (f sigma_E^2 + (1 - f) sigma_I^2)).

    sigma_E and sigma_I are the standard deviations of entries of excitatory and inhibitory columns. Rajan &
    Abbott 2006, PRL 97:188104. All eigenvalues lie in the disc only if rows sum to 0.

    Raises
    ------
    CortseqError : a fraction outside [0, 1].
    """
    f = fraction_excitatory
    if not 0 <= f <= 1:
        raise CortseqError("a fraction lies in [0, 1]", key="fraction_excitatory", value=f)
    return float(np.sqrt(n * (f * sigma_e**2 + (1 - f) * sigma_i**2)))


def block_bulk_radius(variances: ArrayLike, sizes: ArrayLike) -> float:
    """Return R^2 = largest eigenvalue of variances[a, b] sizes[b], for independent entries of mean 0.

    Parameters
    ----------
    variances : (k, k) of the entries from population b (column) to population a.
    sizes : (k,) units of each; sizes of 1 and an (n, n) table give any variance profile. Aljadeff, Stern &
        Sharpee 2015, PRL 114:088101.
    """
    v, sizes = np.asarray(variances, float), np.asarray(sizes, float)
    if v.shape != (len(sizes), len(sizes)) or (v < 0).any():
        raise CortseqError("variances are a table >= 0, one row and column a population", value=v.shape)
    return disc.profile_radius(v * sizes)


def low_rank_outliers(left: Any, right: Any, radius: float, bulk: Any = None, order: int = 0) -> np.ndarray:
    """Return eigenvalues of B + left right' outside the disc of radius R that the random matrix B fills.

    Largest first.

    An outlier solves det(1 - right' (lambda - B)^-1 left) = 0, or, as a series,
    det(lambda^(k+1) - sum_{i<=k} lambda^(k-i) right' B^i left) = 0. For B independent of the structure the
    overlaps right' B^i left, i >= 1, vanish as N grows, and the outliers are the eigenvalues of right' left
    beyond R: Tao 2013, Probab Theory Relat Fields 155:231. Given `bulk` the overlaps up to `order` are kept:
    they move outliers of finite or partly random structure, and create those of large structure with right'
    left = 0.

    Parameters
    ----------
    left, right : (n,) or (n, rank).
    radius : R.
    bulk : B (n, n), needed where order > 0.
    order : k.

    Returns
    -------
    complex128 (outlier,), empty if none.
    """
    if order and bulk is None:
        raise CortseqError("overlaps are with the random part", key="bulk", fix="give bulk, or order=0")
    return disc.low_rank_outliers(left, right, radius, bulk if order else None, order)
