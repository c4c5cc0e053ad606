"""A weight matrix as block means, a low-rank part and a rest, and whether the rest is random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.matrices import square
from cortseq.notebook import Shown

_QUARTER_CIRCLE_MEDIAN = 0.8079455  # of the singular values of a random matrix of variance 1/N


@dataclass(frozen=True, repr=False)
class Structure(Shown):
    """Weight matrix taken apart: weights = block + low_rank + residual.

    Attributes
    ----------
    block : (n, n) mean of each class of columns.
    low_rank : (n, n).
    residual : (n, n).
    rank : of `low_rank`.
    p_value : that the residual's eigenvalues fill a disc evenly (Kolmogorov-Smirnov of |lambda|^2 / R^2, R^2
        = n var).
    """

    block: np.ndarray
    low_rank: np.ndarray
    residual: np.ndarray
    rank: int
    p_value: float


def structure(weights: ArrayLike, classes: Any = None, margin: float = 1.05) -> Structure:
    """Take the mean of every class of columns off, then what stands out of the singular values of the rest.

    A random matrix of variance s^2 has singular values up to 2 s sqrt(n) (Marchenko & Pastur 1967); s is read
    from their median, which a low-rank part hardly moves. Eigenvalues of the residual repel each other, so
    that the test of the circular law (Girko 1985) is conservative.

    Parameters
    ----------
    weights : (n, n), column = presynaptic unit.
    classes : (n,) of the columns; None: one class.
    margin : how far above the edge a singular value must lie.
    """
    from scipy.stats import kstest

    w = square(weights)
    n = len(w)
    classes = np.zeros(n) if classes is None else np.asarray(classes)
    if classes.shape != (n,):
        raise CortseqError("classes hold one value per column", value=classes.shape, fix=f"give {n} values")
    block = np.zeros_like(w)
    for name in np.unique(classes):
        block[:, classes == name] = w[:, classes == name].mean()
    left, singular, right = np.linalg.svd(w - block)
    edge = 2 * margin * np.median(singular) / _QUARTER_CIRCLE_MEDIAN
    rank = int((singular > edge).sum())
    low_rank = (left[:, :rank] * singular[:rank]) @ right[:rank]
    residual = w - block - low_rank
    moduli = np.abs(np.linalg.eigvals(residual)) ** 2 / (n * residual.var())
    return Structure(block, low_rank, residual, rank, float(kstest(moduli, "uniform").pvalue))
