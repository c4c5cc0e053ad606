"""Free-running error and scheduled sampling in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.notebook import Shown
from cortseq.processes import stationary


def autoregressive_error(coefficient: float, noise_variance: float, horizon: ArrayLike) -> np.ndarray:
    """Return sigma^2 (1 - phi^(2h)) / (1 - phi^2).

    Mean squared error of the best forecast h steps ahead of y' = phi y + noise; h sigma^2 for |phi| = 1. h =
    1 is the teacher-forced error.

    Elementwise in the horizon (steps), of any shape.
    """
    h = np.asarray(horizon, float)
    square = coefficient**2
    return noise_variance * (h if square == 1 else (1 - square**h) / (1 - square))


def moving_average_error(coefficients: ArrayLike, noise_variance: float, horizon: ArrayLike) -> np.ndarray:
    """Return the mean squared error of the best forecast h steps ahead, sigma^2 sum_{j<h} psi_j^2.

    Of y' = sum_i phi_i y_{t-i} + noise, psi its response to one noise.

    Box & Jenkins 1970. `coefficients`: phi_1, phi_2, ...; for one it is `autoregressive_error`.

    Parameters
    ----------
    coefficients : phi, (lag,).
    horizon : steps, of any shape; the result has the same.
    """
    phi, h = np.atleast_1d(np.asarray(coefficients, float)), np.asarray(horizon)
    psi = np.zeros(int(h.max()) + len(phi))
    psi[len(phi) - 1] = 1.0  # before it zeros, so that the first responses see them
    for t in range(len(phi), len(psi)):
        psi[t] = phi @ psi[t - len(phi) : t][::-1]
    return np.asarray(noise_variance * np.cumsum(psi[len(phi) - 1 :] ** 2)[h - 1])


@dataclass(frozen=True, repr=False)
class ScheduledSampling(Shown):
    """Where scheduled sampling of a two-symbol chain ends.

    Attributes
    ----------
    transition : (from, to) that training ends at.
    bits : its cross-entropy on the data, bits for the second symbol.
    """

    transition: np.ndarray
    bits: float


def scheduled_sampling(transition: ArrayLike, teacher_probability: float) -> ScheduledSampling:
    """Return the minimiser of the scheduled-sampling loss for pairs from a stationary chain P (from, to).

    With probability e the second symbol is predicted from the true first one, else from a sample of the
    model, independent of it: q(b|a) = e P(b|a) + (1 - e) pi(b), pi the stationary law. Only e = 1, teacher
    forcing, gives P; at e = 0 the context is unlearned. No gradient flows through samples. Huszar 2015,
    arXiv:1511.05101.

    Raises
    ------
    CortseqError : a probability outside [0, 1], rows that do not sum to 1.
    """
    p, e = np.asarray(transition, float), teacher_probability
    if not 0 <= e <= 1:
        raise CortseqError("a probability lies in [0, 1]", key="teacher_probability", value=e)
    if p.ndim != 2 or p.shape[0] != p.shape[1] or (p < 0).any() or not np.allclose(p.sum(1), 1):
        raise CortseqError("rows of a transition sum to 1", key="transition", value=p.tolist())
    pi = stationary(p)
    q = e * p + (1 - e) * pi
    seen = p > 0
    bits = -(pi[:, None] * p)[seen] @ np.log2(q[seen])
    return ScheduledSampling(q, float(bits))
