"""Filters of the past: few numbers in place of one weight per lag."""

from __future__ import annotations

from typing import Literal

import numpy as np

Kind = Literal["bins", "exponential", "cosine"]


def bank(kind: Kind, lags: int, n: int | None = None) -> np.ndarray:
    """Return filters of unit norm over lags 1 .. `lags`, (lag, filter).

    Parameters
    ----------
    kind : "bins" one weight per lag; "exponential" exp(-(l - 1) / tau), tau geometric from 1/2 bin to lags/2
        bins; "cosine" raised cosines, evenly spaced in log lag.
    lags : bins of the past; 0: no filter.
    n : filters; None: one per doubling of the lags. One weight per lag unless filters are fewer.
    """
    if not lags:
        return np.zeros((0, 0))
    n = n or int(np.log2(lags)) + 1
    if kind == "bins" or n >= lags:
        return np.eye(lags)
    lag = np.arange(1.0, lags + 1)[:, None]
    if kind == "exponential":
        columns = np.exp(-(lag - 1) / np.geomspace(0.5, lags / 2, n))
    else:
        centres, step = np.linspace(0, np.log(lags), n, retstep=True)
        columns = 1 + np.cos(np.clip((np.log(lag) - centres) * np.pi / (2 * (step or 1)), -np.pi, np.pi))
    return np.asarray(columns / np.linalg.norm(columns, axis=0))
