"""Gaussians of whole paths whose precision is block-tridiagonal, compiled.

    p(z_0 .. z_{T-1}) ~ exp(sum_t l_t . z_t - z_t . D_t z_t / 2 - sum_t z_t . O_t z_{t+1})

Elimination from the first bin to the last, then substitution backwards (Rauch, Tung & Striebel 1965, AIAA J
3:1445, in information form; Golub & Van Loan 2013, Matrix Computations, section 4.5):

    S_0 = D_0,    S_{t+1} = D_{t+1} - O_t' S_t^-1 O_t,    G_t = -S_t^-1 O_t
    E[z_t | z_{t+1}] = S_t^-1 (l_t + ..) + G_t z_{t+1},    Cov[z_t, z_{t+1}] = G_t Cov[z_{t+1}]
"""

from __future__ import annotations

import numpy as np
from numba import njit

from cortseq.compiled.functions import OPTIONS
from cortseq.models.state_space.kalman import _add_product, _back_substitute, _factorise, _forward_substitute


@njit(**OPTIONS)
def solved(
    diagonal: np.ndarray, beside: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the moments of every trial's path.

    Parameters
    ----------
    diagonal : (trial, time, latent, latent), D.
    beside : (trial, time - 1, latent, latent), O.
    linear : (trial, time, latent), l.

    Returns
    -------
    mean : (trial, time, latent).
    covariance : (trial, time, latent, latent).
    gain : (trial, time - 1, latent, latent), G_t.
    log_det : (trial,), the log-determinant of the precision of the whole path.
    """
    n_trials, n_time, n = linear.shape
    mean, covariance = linear.copy(), np.empty(diagonal.shape)
    gain, log_det = np.empty(beside.shape), np.zeros(n_trials)
    low, product, root = np.zeros((n, n)), np.empty((n, n)), np.empty((n, n))
    left, turned, column, before = np.empty((n, n)), np.empty((n, n)), np.empty((n, 1)), np.empty(n)
    for r in range(n_trials):
        for t in range(n_time):
            left[:] = diagonal[r, t]
            if t > 0:  # S_t = D_t + O' G and l_t + G' l, with the O, G and l of the bin before
                turned[:] = beside[r, t - 1].T
                np.dot(turned, gain[r, t - 1], product)
                left += product
                turned[:] = gain[r, t - 1].T
                _add_product(turned, before, 1.0, mean[r, t])
            before[:] = mean[r, t]
            _factorise(left, low)
            root[:] = 0.0
            for i in range(n):
                log_det[r] += 2.0 * np.log(low[i, i])
                root[i, i], column[i, 0] = 1.0, before[i]
            _forward_substitute(low, root)
            np.dot(root.T, root, covariance[r, t])
            _forward_substitute(low, column)
            _back_substitute(low, column)
            mean[r, t] = column[:, 0]
            if t + 1 < n_time:
                gain[r, t] = -beside[r, t]
                _forward_substitute(low, gain[r, t])
                _back_substitute(low, gain[r, t])
        for t in range(n_time - 2, -1, -1):
            _add_product(gain[r, t], mean[r, t + 1], 1.0, mean[r, t])
            np.dot(gain[r, t], covariance[r, t + 1], product)
            np.dot(product, gain[r, t].T, left)
            covariance[r, t] += left
    return mean, covariance, gain, log_det
