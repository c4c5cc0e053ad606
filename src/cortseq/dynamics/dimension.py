"""How many dimensions a covariance fills."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError


def participation_ratio(covariance: ArrayLike) -> float:
    """Return (tr C)^2 / tr(C^2), between 1 (a line) and d (a ball); NaN where nothing varies.

    Parameters
    ----------
    covariance : (d, d), symmetric; a single number is that of one unit. Gao et al. 2017, bioRxiv 214262.
    """
    c = np.atleast_2d(np.asarray(covariance, dtype=np.float64))
    total = np.sum(c * c.T)
    return float(np.trace(c) ** 2 / total) if total > 0 else float("nan")


def corrected_participation_ratio(
    samples: ArrayLike, noise_variance: Any = None, n_effective: float | None = None
) -> float:
    """Return the participation ratio of what lies under independent noise, from few samples.

    With S the sample covariance of n samples and D the noise, tr C = tr S - tr D and
    tr C^2 = tr S^2 - 2 tr S D + tr D^2, after the bias of (tr S)^2 and tr S^2 is solved for (normal samples):
    E tr S^2 = tr S'^2 + (tr S'^2 + (tr S')^2) / (n - 1),  E (tr S)^2 = (tr S')^2 + 2 tr S'^2 / (n - 1),
    S' = C + D. Noise alone fills all dimensions and few samples fill few: the plain ratio is wrong either
    way.

    Parameters
    ----------
    samples : (n, d), rows with NaN are left out.
    noise_variance : (d,) of each sample, such as the mean count of each unit for Poisson counts; None: no
        noise.
    n_effective : independent samples, fewer than rows of a slow process.

    Returns
    -------
    NaN where no variance is left.
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 2:
        raise CortseqError("samples are (n, d)", value=x.shape)
    x = x[np.isfinite(x).all(1)]
    n = len(x) if n_effective is None else n_effective
    if n <= 3 or len(x) < 2:
        raise CortseqError("more than three samples are needed", value=n)
    s = np.cov(x, rowvar=False).reshape(x.shape[1], -1)
    d = np.zeros(len(s)) if noise_variance is None else np.asarray(noise_variance, dtype=np.float64)
    bias = 1 / (n - 1)
    squared, square = np.linalg.solve([[1 + bias, bias], [2 * bias, 1]], [np.sum(s * s), np.trace(s) ** 2])
    if np.trace(s) <= d.sum():
        return float("nan")
    square += d.sum() ** 2 - 2 * np.trace(s) * d.sum()
    squared += np.sum(d**2) - 2 * np.sum(np.diagonal(s) * d)
    return float(square / squared) if squared > 0 and square > 0 else float("nan")


def alignment(of: ArrayLike, along: ArrayLike, share: float = 0.95) -> float:
    """Return how much of the variance of one set of states lies where another set varies, 0 to 1.

    With the k leading eigenvectors D of the covariance of `along`, as many as hold `share` of its variance,
    and the covariance C of `of`: tr(D' C D) over the sum of the k largest eigenvalues of C. 1: the k
    dimensions are the same; k / d on average for random directions. Elsayed et al. 2016, Nat Commun 7:13239.

    Parameters
    ----------
    of, along : (n, d) and (m, d) states; rows with NaN are left out.

    Returns
    -------
    NaN where one of them does not vary.
    """
    covariances = []
    for states in (of, along):
        x = np.asarray(states, dtype=np.float64)
        covariances.append(np.atleast_2d(np.cov(x[np.isfinite(x).all(1)], rowvar=False)))
    values, vectors = np.linalg.eigh(covariances[1])
    own = np.linalg.eigvalsh(covariances[0])[::-1]
    if not own[0] > 0 or not values[-1] > 0:
        return float("nan")
    k = int(np.searchsorted(values[::-1].cumsum(), share * values.sum())) + 1
    plane = vectors[:, ::-1][:, :k]
    return float(np.trace(plane.T @ covariances[0] @ plane) / own[:k].sum())
