"""What a fixed network remembers of its input, and when input makes it forget where it began."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.processes import stationary

_FORGOTTEN = 1e-17  # rho^k from which an input has left a state in double precision


def cyclic_memory(units: int, radius: float) -> float:
    """Return N - 1 + r^(2N): lags 1, 2, ... of h' = r P h + w u, P a cyclic shift.

    Rodan & Tino 2011, IEEE TNN 22:131.

    Lag k has (1 - r^(2N)) r^(2N floor(k / N)), so that lags 0, 1, ... sum to N.
    """
    return units - 1 + radius ** (2 * units)


def linear_memory(
    weights: ArrayLike, input_weights: ArrayLike, max_lag: int, floor: float = 0.0
) -> np.ndarray:
    """Return MC_k of h' = W h + w u, u white: the share of u_{t-k} that h_t fixes linearly, k = 0 .. max_lag.

    h_t = sum_k v_k u_{t-k}, v_k = W^k w, so MC_k = v_k' (sum_j v_j v_j')^-1 v_k: the squared rows of the
    right singular vectors of [v_0 v_1 ...]. Jaeger 2001, GMD report 152; White, Lee & Sompolinsky 2004, PRL
    92:148102. All lags sum to the rank.

    Parameters
    ----------
    weights : (n, n) of spectral radius < 1
    input_weights : (n,).
    floor : directions whose singular value, of units scaled to equal variance, is smaller than this share of
        the largest count as lost: what a read-out in finite precision can not see.

    Raises
    ------
    CortseqError : a spectral radius of 1 or more.
    """
    w, into = np.asarray(weights, float), np.asarray(input_weights, float)
    radius = np.abs(np.linalg.eigvals(w)).max()
    if radius >= 1:
        raise CortseqError(
            "a linear reservoir forgets only below radius 1", key="weights", value=float(radius)
        )
    longest = len(w) + max_lag
    if radius > 0:
        longest = max(longest, int(np.log(_FORGOTTEN) / np.log(radius)))
    responses = np.empty((len(w), longest + 1))
    v = into
    for k in range(longest + 1):
        responses[:, k] = v
        v = w @ v
    size = np.linalg.norm(responses, axis=1, keepdims=True)
    _, singular, right = np.linalg.svd(responses / np.where(size > 0, size, 1), full_matrices=False)
    kept = right[singular > max(floor, 1e-15) * singular[0]]
    return np.asarray((kept[:, : max_lag + 1] ** 2).sum(0))


def chain_memory(transition: ArrayLike, lags: ArrayLike) -> np.ndarray:
    """Return R^2 of x_{t-k} from X_t in a stationary two-state chain, lambda^(2k), lambda = P_00 + P_11 - 1.

    A chain of order 1 keeps nothing of its past beyond what X_t carries.

    Parameters
    ----------
    transition : (2, 2), (from, to).
    lags : k, (lag,).

    Returns
    -------
    (lag,).
    """
    p = np.asarray(transition, float)
    if p.shape != (2, 2) or not np.allclose(p.sum(1), 1) or not stationary(p).all():
        raise CortseqError("a chain of two states, rows of sum 1", key="transition", value=p.tolist())
    return np.asarray((p[0, 0] + p[1, 1] - 1) ** (2 * np.abs(np.asarray(lags))))


def held_up(gain: float) -> float:
    """Return the positive solution of h = tanh(g h): where a unit that excites itself with g > 1 stays.

    0 for g <= 1.
    """
    from scipy.optimize import brentq

    if gain <= 1:
        return 0.0
    return float(brentq(lambda h: np.tanh(gain * h) - h, np.sqrt(min(1, (gain - 1) / gain**3)) * 1e-3, 1.0))
