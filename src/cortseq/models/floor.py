"""What floors share: the spread of training bins about a mean that changes, and a search over settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cortseq.data import Data, Params
from cortseq.observations import MIN_SD, Distribution


def with_sd(fixed: Params, overall: Params, mean: np.ndarray, train: Data) -> Params:
    """Return `fixed` with the sd of each channel about a mean of its own in each bin.

    Parameters
    ----------
    fixed : parameters (feature,) that do not depend on the bin.
    overall : parameters of a constant prediction (`Distribution.estimate`); without an sd nothing is added.
    mean : (trial, time, feature), or what broadcasts against it.
    train : bins that the sd is measured on.

    Returns
    -------
    `fixed`, on signals with "sd" (channel,), never below MIN_SD of the overall sd.
    """
    if "sd" not in overall:
        return fixed
    residual = (train.y - mean)[train.valid]
    return {**fixed, "sd": np.maximum(np.sqrt((residual**2).mean(0)), MIN_SD * overall["sd"])}


def best(
    emission: Distribution, valid: Data, tried: Iterable[tuple[Params, Params, dict[str, Any]]]
) -> tuple[np.ndarray, Params, dict[str, Any]]:
    """Return the setting that gives the validation bins the highest log-likelihood.

    Parameters
    ----------
    valid : the validation trials.
    tried : for each setting the parameters of its validation bins, those that it keeps, and its name.

    Returns
    -------
    The log-likelihood of each validation trial in nats (trial,), the parameters that are kept, and the name,
    all of the best setting.
    """
    found: tuple[np.ndarray, Params, dict[str, Any]] = (np.array(-np.inf), {}, {})
    for bins, kept, name in tried:
        nats = np.where(valid.valid, emission.log_prob(bins, valid.y), 0.0).sum(1)
        if nats.sum() > found[0].sum():
            found = (nats, kept, name)
    return found


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
