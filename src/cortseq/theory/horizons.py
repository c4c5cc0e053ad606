"""How far gradients reach, and what memory costs a chain."""

from __future__ import annotations

import numpy as np


def forget_horizon(bias) -> np.ndarray:
    """-1 / ln sigmoid(b): steps in which an LSTM's direct path, the product of forget gates at bias b, falls to 1/e."""
    return 1 / np.logaddexp(0, -np.asarray(bias, float))


def gradient_growth(exponent: float, lags) -> np.ndarray:
    """exp(lambda k): the norm of dh_t/dh_{t-k} along a typical direction, relative to lag 0."""
    return np.exp(exponent * np.asarray(lags))


def always_vanishes(largest_singular_value: float, largest_slope: float) -> bool:
    """sigma_max(W) max phi' < 1: sufficient for vanishing gradients. Above 1 nothing follows."""
    return largest_singular_value * largest_slope < 1


def chain_parameters(symbols: int, order: int) -> int:
    """m^k (m - 1) free probabilities of a chain of order k over m symbols."""
    return symbols**order * (symbols - 1)
