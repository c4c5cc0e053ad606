"""Fixed points that stand for a Gaussian when counts are predicted.

    p(y_t | y_<t) = integral N(z; m_t, P_t) p(y_t | z) dz
                 ~ (1/M) sum_i p(y_t | m_t + L_t x_i),    L_t L_t' = P_t

Any points x_i that are chosen before the recording is seen make a mixture, and a mixture is normalised for
every M. The points are scrambled Sobol numbers (Owen 1998, J Complexity 14:466) as normal quantiles, in pairs
x and -x, their covariance made the identity. How far M points are from infinitely many is measured: the mean
logarithm of a mean over M points is too low by about a / M, and two halves tell a
(`cortseq.models.horizons`).
"""

from __future__ import annotations

import numpy as np

from cortseq._lazy import special


def points(n: int, n_latents: int) -> np.ndarray:
    """Return n points (n, latent) with mean 0 and covariance 1; n a power of two.

    The first n / 2 are as good a set as the last: pairs x, -x lie next to each other.
    """
    from scipy.stats import qmc

    uniform = qmc.Sobol(n_latents, scramble=True, rng=np.random.default_rng(0)).random(n // 2)
    x = special.ndtri(uniform)
    paired = np.stack([x, -x], 1).reshape(n, n_latents)
    if n <= 2 * n_latents:  # fewer points than directions have no covariance of full rank
        return np.asarray(paired)
    low = np.linalg.cholesky(paired.T @ paired / n)
    return np.asarray(np.linalg.solve(low, paired.T).T)


def nested(n: int, n_latents: int, fewest: int) -> np.ndarray:
    """Return sets of `fewest`, twice as many .. n points, one after another: (2 n - fewest, latent).

    The set of m points begins at row m - fewest. All numbers are powers of two.
    """
    sizes = [fewest << k for k in range((n // fewest).bit_length())]
    return np.concatenate([points(m, n_latents) for m in sizes])
