"""Bins ahead and bins ago: arrays that forecasts of every model share, and the bias of those that are drawn.

The logarithm of a mean over M futures, L_M = log (1/M) sum_m p_m, is too low by a/M + O(1/M^2), where
a = Var[p] / (2 E[p]^2). Two halves of the futures tell a: E[L_M - (L + L')/2] = a/M, with L and L' of M/2
each. Adding that difference is the jackknife over two groups (Quenouille 1956, Biometrika 43:353), and leaves
O(1/M^2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortseq.data import Data
from cortseq.errors import CortseqError

# test trials that are forecast, and test bins at least: short trials are taken in larger number
FORECAST_TRIALS, FORECAST_BINS = 8, 300


def forecasts(data: Data, horizons: Sequence[int], log_prob: Callable[[int], np.ndarray]) -> np.ndarray:
    """`log_prob(h)` (trial, time) = log p(y_t | y_0 .. y_{t-h}) of each horizon, (1, trial, time, horizon).

    NaN where there is none, see `reached`.
    """
    known = reached(data, horizons)
    return np.where(known, np.stack([log_prob(h) for h in horizons], -1), np.nan)[None]


def reached(data: Data, horizons: Sequence[int]) -> np.ndarray:
    """Bins that have a forecast, (trial, time, horizon): not missing, and t >= h - 1."""
    farthest(horizons)
    return data.valid[..., None] & (np.arange(data.y.shape[1])[:, None] >= np.asarray(horizons) - 1)


def farthest(horizons: Sequence[int]) -> int:
    """Return the largest horizon; CortseqError where there is none, or one is below one bin."""
    if not len(horizons) or min(horizons) < 1:
        raise CortseqError("horizons are bins ahead, at least one", key="horizons", value=list(horizons))
    return max(horizons)


def begun(forecast: np.ndarray, horizons: Sequence[int], begins: np.ndarray | None) -> np.ndarray:
    """Return the forecasts (member, trial, time, horizon) that begin before chosen bins, NaN elsewhere.

    Parameters
    ----------
    begins : (trial, time) bool; None: all. A forecast of bin t by horizon h begins before bin t - h + 1.
    """
    if begins is None:
        return forecast
    chosen = np.stack([delayed(begins, h - 1, False) for h in horizons], -1)
    return np.where(chosen, forecast, np.nan)


def jackknifed(draw: Callable[[int, int], np.ndarray], samples: int, seed: int) -> np.ndarray:
    """Return the log of a mean over futures, its bias corrected to first order.

    Parameters
    ----------
    draw : (samples, seed) -> log-mean-exp over so many futures, an array of nats (...).
    samples : of both halves together, at least 4.
    seed : of the draws.

    Returns
    -------
    (...) nats.

    Raises
    ------
    CortseqError : fewer than four futures.
    """
    mean, gain = doubled(*halves(draw, samples, seed))
    return mean + gain


def halves(draw: Callable[[int, int], np.ndarray], samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log-mean-exp (...) of two independent halves of the futures; see `jackknifed`."""
    if samples < 4:
        raise CortseqError(
            "a forecast needs at least two futures in each of two halves",
            key="samples",
            value=samples,
            fix="ask for four or more",
        )
    one, other = (draw(samples // 2, part) for part in seeds(seed, 2))
    return one, other


def seeds(seed: int, n: int) -> list[int]:
    """Return n seeds of independent draws, the same first ones for every n."""
    return [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(n)]


def doubled(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what two log-means over as many futures each say together, (...), and by how much it is higher.

    The second is log-mean-exp of the two less their mean, never negative.
    """
    with np.errstate(invalid="ignore"):  # NaN: no forecast
        mean = np.logaddexp(one, other) - np.log(2)
    mean = np.where(one == other, one, mean)  # to the last bit, where nothing was drawn
    return mean, mean - (one + other) / 2


def delayed(y: np.ndarray, bins: int, before: Any = 0) -> np.ndarray:
    """Return y (trial, time, ...) of `bins` bins ago; `before` where that is before the trial."""
    out = np.full_like(y, before)
    if bins < y.shape[1]:
        out[:, bins:] = y[:, : y.shape[1] - bins]
    return out
