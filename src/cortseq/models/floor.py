"""What floors share: the spread of training bins about a mean that changes, and a search over settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cortseq.data import Data, Params
from cortseq.observations import MIN_SD, Distribution
from cortseq.observations.arrays import rows


def with_sd(fixed: Params, overall: Params, mean: Callable[[Data], np.ndarray], train: Data) -> Params:
    """Return `fixed` with the sd of each channel about a mean of its own in each bin.

    Parameters
    ----------
    fixed : parameters (feature,) that do not depend on the bin.
    overall : parameters of a constant prediction (`Distribution.estimate`); without an sd nothing is added.
    mean : trials -> the mean of their bins (trial, time, feature), or what broadcasts against it.
    train : bins that the sd is measured on.

    Returns
    -------
    `fixed`, on signals with "sd" (channel,), never below MIN_SD of the overall sd.
    """
    if "sd" not in overall:
        return fixed
    residual = (train.y - mean(train))[train.valid]
    return {**fixed, "sd": np.maximum(np.sqrt((residual**2).mean(0)), MIN_SD * overall["sd"])}


def best(
    emission: Distribution,
    valid: Data,
    tried: Iterable[tuple[Params, dict[str, Any]]],
    bins: Callable[[Params, Data], Params],
) -> tuple[np.ndarray, Params, dict[str, Any]]:
    """Return the setting that gives the validation bins the highest log-likelihood.

    Parameters
    ----------
    valid : the validation trials, which are scored in blocks where they are many.
    tried : the parameters of each setting, and its name.
    bins : parameters of a setting and some trials -> the parameters of the bins of these trials.

    Returns
    -------
    The log-likelihood of each validation trial in nats (trial,), the parameters and the name, all of the best
    setting.
    """
    found: tuple[np.ndarray, Params, dict[str, Any]] = (np.array(-np.inf), {}, {})
    for params, name in tried:
        nats = np.concatenate([_nats(emission, bins(params, block), block) for _, block in valid.blocks()])
        if nats.sum() > found[0].sum():
            found = (nats, params, name)
    return found


def counted(data: Data) -> np.ndarray:
    """Return the valid bins as they are summed, (trial, time, feature), and 0 in place of the others."""
    return np.where(data.valid[..., None], data.kind.encoded(data.y, data.n_features), 0)


def _nats(emission: Distribution, bins: Params, data: Data) -> np.ndarray:
    """Return the log-likelihood of each trial in nats, (trial,)."""
    return np.asarray(np.where(data.valid, emission.log_prob(bins, data.y), 0.0).sum(1))


def refined(
    emission: Distribution, params: Params, mean: Callable[[Data], np.ndarray], train: Data
) -> Params:
    """Return what `params` lacks once each bin has a mean of its own; see `Distribution.refined`.

    Parameters
    ----------
    mean : trials -> the mean of their bins, (trial, time, feature).
    train : the training trials, in blocks where they are many.
    """
    means = (mean(block)[block.valid] for _, block in train.blocks())
    return emission.refined(params, means, rows(train.y, train.valid))


def clearly_better(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a has a higher sum than b by more than a standard error of their difference.

    The simpler of two models stays unless that is so: the rule of one standard error (Breiman, Friedman,
    Olshen & Stone 1984, Classification and Regression Trees).

    Parameters
    ----------
    a, b : (trial,) log-likelihoods of the same trials.
    """
    gain = a - b
    return bool(gain.sum() > np.sqrt(len(gain)) * gain.std(ddof=min(1, len(gain) - 1)))
