"""How far gradients reach, and what memory costs a chain."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError


def forget_horizon(bias: ArrayLike) -> np.ndarray:
    """Return -1 / ln sigmoid(b).

    Steps in which an LSTM's direct path, the product of forget gates at bias b, falls to 1/e.

    Elementwise in the bias, of any shape.
    """
    return np.asarray(1 / np.logaddexp(0, -np.asarray(bias, float)))


def gradient_growth(exponent: float, lags: ArrayLike) -> np.ndarray:
    """Return exp(lambda k), the typical norm of dh_t/dh_{t-k} relative to lag 0.

    Elementwise in the lags (steps), of any shape; `exponent` in nats per step.
    """
    return np.exp(exponent * np.asarray(lags))


def always_vanishes(largest_singular_value: float, largest_slope: float) -> bool:
    """Test sigma_max(W) max phi' < 1, which suffices for vanishing gradients.

    Above 1 nothing follows.
    """
    return largest_singular_value * largest_slope < 1


def chain_parameters(symbols: int, order: int) -> int:
    """Return the free probabilities of a chain of order k over m symbols, m^k (m - 1)."""
    return symbols**order * (symbols - 1)


def bptt_multiplications(hidden: int, n_in: int, n_out: int, bins: int) -> int:
    """Return 3 T (H^2 + H (n_in + n_out)): of a trial of T bins through a vanilla network.

    Forward once, backward twice as much.
    """
    return 3 * bins * (hidden**2 + hidden * (n_in + n_out))


def truncation_error(chi: float, depth: ArrayLike, every: int | None = None) -> np.ndarray:
    """Return the relative error of a gradient truncated in time, |g_truncated - g| / |g|.

    Of the recurrent weights, under truncated backpropagation (k1 = every, k2 = depth).

    Where a squared gradient grows by chi < 1 a step and contributions of different lags are uncorrelated, the
    lags j have squared norms chi^j. A loss whose gradient goes back d bins keeps j < d - 1 (its own bin is
    the read-out's), so it loses the share chi^(d-1). With every = 1 all losses go back `depth` bins; with
    every = depth (the default, None) those of a window go back 1, 2 .. depth, and the shares average to (1 -
    chi^depth) / (depth (1 - chi)).
    """
    k = np.asarray(depth, float)
    if every == 1:
        return chi ** ((k - 1) / 2)
    if every is not None:
        raise CortseqError("no prediction for such windows", key="every", value=every, fix="give 1 or None")
    return np.sqrt((1 - chi**k) / (k * (1 - chi)))
