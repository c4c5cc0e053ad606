"""Bins ahead and bins ago: arrays that forecasts of every model share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortseq.data import Data
from cortseq.errors import CortseqError


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


def delayed(y: np.ndarray, bins: int, before: Any = 0) -> np.ndarray:
    """Return y (trial, time, ...) of `bins` bins ago; `before` where that is before the trial."""
    out = np.full_like(y, before)
    if bins < y.shape[1]:
        out[:, bins:] = y[:, : y.shape[1] - bins]
    return out
