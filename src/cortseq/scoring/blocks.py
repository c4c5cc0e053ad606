"""How many neighbouring trials make a block, found from the autocorrelation of their differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

FEWEST_ASSESSED = 12  # trials: with fewer the autocorrelation says nothing, and each trial is its own block
_FEWEST_BLOCKS = 3
_LENGTH = 4  # times g (see `cut`): neighbouring blocks then share at most a quarter of the variance


def shortest(n_trials: int, is_continuous: bool) -> int:
    """Return the fewest trials that make a block, before anything is known of their correlation.

    Windows of a continuous recording follow each other without a pause: blocks hold at least n^(1/3) of them
    (Hall, Horowitz & Jing 1995, Biometrika 82:561). A trial with a pause before it may be a block of its own.
    """
    return max(1, int(np.ceil(n_trials ** (1 / 3)))) if is_continuous else 1


def most(n_trials: int, is_continuous: bool) -> int:
    """Return the largest number of blocks that n trials can make."""
    return _count(n_trials, shortest(n_trials, is_continuous))


def place(folds: Sequence[ArrayLike], is_continuous: bool) -> dict[str, Any]:
    """Return where the test trials of all folds are in time, and their folds, as keywords of `paired`.

    Parameters
    ----------
    folds : positions in the recording of the test trials of each fold, (trial,).
    is_continuous : whether trials are windows that follow each other without a pause.
    """
    order = np.concatenate(folds)
    of_fold = np.repeat(np.arange(len(folds)), [np.size(trials) for trials in folds])
    return {"order": order, "shortest": shortest(len(order), is_continuous), "folds": of_fold}


def integrated_time(values: np.ndarray) -> float:
    """Return tau = 1 + 2 sum_k r_k of a series, at least 1: how many values hold the evidence of one.

    The sum ends where r_2k + r_2k+1 is no longer positive, and these pairs may not grow: the initial monotone
    sequence (Geyer 1992, Statistical Science 7:473). Every r_k is raised by 1/n, as r_k of n independent
    values is -1/n on average.

    Parameters
    ----------
    values : (n,) in the order of time.
    """
    n = len(values)
    centred = values - values.mean()
    power = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    covariance = np.fft.irfft(power)[:n]
    if covariance[0] <= 0 or n < 2:
        return 1.0
    r = covariance / covariance[0]
    r[1:] += 1 / n
    pairs = r[: n // 2 * 2].reshape(-1, 2).sum(1)
    positive = np.cumprod(pairs > 0)
    return max(1.0, float(2 * (np.minimum.accumulate(pairs) * positive).sum() - 1))


def cut(values: np.ndarray, least: int = 1) -> tuple[np.ndarray, float]:
    """Cut a series into blocks that are long enough for the autocorrelation of its values.

    Sums over blocks of L values miss the share g / L of the variance of a mean. A process of order one with
    integrated time tau has g = (tau - 1 / tau) / 2. L is 4 g, but never so long that fewer than three blocks
    are left.

    Parameters
    ----------
    values : (n,) differences trial by trial less their mean, in the order of time.
    least : values in the shortest block.

    Returns
    -------
    labels : (n,) block of each value, 0, 1, ...; blocks are as equal as can be.
    missing : share of the variance that they miss, at most a half.
    """
    n = len(values)
    g = 0.0
    if n >= FEWEST_ASSESSED:
        tau = integrated_time(values)
        g = (tau - 1 / tau) / 2
    n_blocks = _count(n, max(least, int(np.ceil(_LENGTH * g)), 1))
    return np.arange(n) * n_blocks // n, min(g * n_blocks / n, 0.5)


def _count(n_values: int, length: int) -> int:
    return min(n_values, max(round(n_values / length), _FEWEST_BLOCKS))
