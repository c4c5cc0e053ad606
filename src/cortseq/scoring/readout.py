"""Units that a network never saw, read from its states: how a network takes part in co-smoothing.

A network is fitted to the units held in. A Poisson regression is then learned from its state before a bin and
from the counts of that bin, both of the units held in alone, to the counts of each unit held out,

    log E[y_out(t)] = b + W [h(t), y_in(t)],

on the trials that the network was trained on; the trials it was validated on choose the penalty of |W|^2 for
each unit. The state has read all earlier bins of the trial, so that this is a filter with the present bin; a
hidden Markov model smooths with later bins, too. A read-out of states to units held out is how the Neural
Latents Benchmark judges latent variables: Pei et al. 2021, arXiv:2109.04463.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from cortseq._lazy import xr
from cortseq.errors import CortseqError
from cortseq.models import regression
from cortseq.observations.counts import CountLoss

if TYPE_CHECKING:
    from cortseq.models.fit import Fit

PENALTIES = np.logspace(0, -6, 13)  # of |W|^2 per bin, in units of the features' variance


def held_out_rates(
    fit: Fit, recording: xr.Dataset, held_out: np.ndarray, trials: Sequence[ArrayLike]
) -> list[np.ndarray]:
    """Return expected counts of units held out, mean over members.

    Parameters
    ----------
    fit : of a recurrent model to the units held in, `recording.isel(unit=held_in)`.
    recording : counts of all units.
    held_out : positions along `unit`.
    trials : groups of positions along `trial`.

    Returns
    -------
    (trial, time, unit held out) for each group; NaN where a bin is missing.

    Raises
    ------
    CortseqError : a fit to other units than those held in.
    """
    kept = np.setdiff1d(np.arange(recording.sizes["unit"]), held_out)
    if fit.card["n_features"] != len(kept):
        raise CortseqError(
            "a network must be fitted to the units held in alone",
            key="fit",
            value=f"{fit.card['n_features']} units",
            fix=f"fit it to recording.isel(unit=...) with the {len(kept)} units that are not held out",
        )
    seen = recording.isel(unit=kept)
    learned = [fit.card["learned_from"][role] for role in ("train", "valid")]
    counts = [recording["counts"].values[np.asarray(ids)][..., held_out] for ids in learned]
    by_member = zip(*(_features(fit, seen, ids) for ids in [*learned, *trials]), strict=True)
    rates: list[list[np.ndarray]] = [[] for _ in trials]
    for train, valid, *groups in by_member:
        weights, bias = _learned(train, counts[0], valid, counts[1])
        for found, group in zip(rates, groups, strict=True):
            found.append(CountLoss().mean(group @ weights.T + bias))
    return [np.mean(found, 0) for found in rates]


def _features(fit: Fit, seen: xr.Dataset, trials: ArrayLike) -> np.ndarray:
    """Return states before a bin and its counts, (member, trial, time, feature); NaN where it is missing."""
    trials = np.asarray(trials)
    states = fit.states(seen, trials).values
    counts = np.broadcast_to(
        seen["counts"].values[trials].astype(float), (*states.shape[:3], seen.sizes["unit"])
    )
    both = np.concatenate([states, counts], -1)
    return np.where(seen["valid"].values[trials][..., None], both, np.nan)


def _learned(
    train: np.ndarray, y_train: np.ndarray, valid: np.ndarray, y_valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (unit, feature) and intercepts (unit,); the penalty of each unit is best on `valid`.

    Parameters
    ----------
    train, valid : (trial, time, feature), NaN of a missing bin.
    y_train, y_valid : (trial, time, unit) counts.
    """
    known, other = (np.isfinite(part).all(-1) for part in (train, valid))
    scale = np.maximum(train[known].std(0), 1e-9)
    x, x_valid = train[known] / scale, valid[other] / scale
    y, y_other = y_train[known].T.astype(float), y_valid[other].T.astype(float)
    loss, best = CountLoss(), np.full(len(y), np.inf)
    weights, bias = np.zeros((len(y), x.shape[1])), np.zeros(len(y))
    for weight, intercept in regression.path(loss, x, y, PENALTIES):
        eta = weight @ x_valid.T + intercept[:, None]
        lost = loss.value(eta, loss.mean(eta), y_other)
        better = lost < best
        best[better], weights[better], bias[better] = lost[better], weight[better], intercept[better]
    return weights / scale, bias
