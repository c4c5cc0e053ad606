"""Units of scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.metrics import BIT
from cortseq.observations.poisson import log_pmf
from cortseq.scoring.statistics import PairedDifference, paired


def bits_per_spike(log_prob: ArrayLike, null_log_prob: ArrayLike, n_spikes: ArrayLike) -> float:
    """(sum log_prob - sum null_log_prob) / (sum n_spikes * ln 2).

    log_prob, null_log_prob : any equal shapes, nats, over the same bins (NaN in both where a bin is
    missing). n_spikes : spikes in those bins, any shape, summed.

    Raises CortseqError where shapes differ, only one of the two is NaN, or there is no spike.
    """
    a, b = np.asarray(log_prob, float), np.asarray(null_log_prob, float)
    if a.shape != b.shape:
        raise CortseqError(f"log_prob {a.shape} and null_log_prob {b.shape} have unequal shapes")
    if (np.isnan(a) != np.isnan(b)).any():
        raise CortseqError("log_prob and null_log_prob are not over the same bins", fix="mask both alike")
    spikes = float(np.nansum(n_spikes))
    if spikes <= 0:
        raise CortseqError("no spike to divide by", key="n_spikes", value=spikes)
    return float(np.nansum(a - b) / (spikes * BIT))


def benchmark_bits_per_spike(rates: ArrayLike, spikes: ArrayLike) -> float:
    """Bits/spike in the convention of the Neural Latents Benchmark (Pei et al. 2021, arXiv:2109.04463).

        (L(rates; spikes) - L(mean; spikes)) / (n_spikes ln 2),   L(r; y) = sum y ln r - r - ln y!

    rates, spikes : (trial, time, unit) expected counts and counts per bin, unchanged; NaN spikes are ignored,
    zero rates taken as 1e-9. The null of each unit is the mean of the given spikes, over all trials and bins.

    Raises CortseqError where shapes differ, a rate that is scored is negative or NaN, or there is no spike.
    """
    rates, spikes = np.asarray(rates, float), np.asarray(spikes, float)
    if rates.shape != spikes.shape:
        raise CortseqError(f"rates {rates.shape} and spikes {spikes.shape} have unequal shapes")
    seen = ~np.isnan(spikes)
    bad = ~(rates[seen] >= 0)
    if bad.any():
        raise CortseqError("expected counts must be >= 0", key="rates", value=float(rates[seen][bad][0]))
    n_spikes = spikes[seen].sum()
    if n_spikes <= 0:
        raise CortseqError("no spike to divide by", key="spikes", value=float(n_spikes))
    total = np.where(seen, spikes, 0).sum((0, 1), keepdims=True)
    null = np.broadcast_to(total / np.maximum(seen.sum((0, 1), keepdims=True), 1), spikes.shape)

    def log_likelihood(rate: np.ndarray) -> float:
        y, rate = spikes[seen], rate[seen]
        rate = np.where(rate == 0, 1e-9, rate)
        return float(log_pmf(y, rate).sum())

    return float((log_likelihood(rates) - log_likelihood(null)) / (n_spikes * BIT))


def paired_difference(
    log_prob_a: ArrayLike,
    log_prob_b: ArrayLike,
    n_spikes: ArrayLike,
    resamples: int = 10_000,
    seed: int = 0,
    blocks: ArrayLike | None = None,
) -> PairedDifference:
    """Compare two models' log-probabilities of spike counts, in bits per spike; see `statistics.paired`.

    Parameters
    ----------
    log_prob_a, log_prob_b : (trial,) sums in nats, in the order of time, or (member, trial): the interval and
        p then hold the variance of restarts too.
    n_spikes : (trial,) spikes.
    resamples, seed : of the sign flips.
    blocks : (trial,) labels of what is independent; None: blocks are found from the autocorrelation of the
        differences.

    Returns
    -------
    PairedDifference : estimate, low, high, p_value and more, of A minus B.

    Raises
    ------
    CortseqError : unequal numbers of trials, a sum that is NaN or infinite, no spike, or fewer than two
    trials or blocks of them.
    """
    spikes = np.asarray(n_spikes, float)
    if spikes.ndim != 1:
        raise CortseqError("one number for each trial is needed", key="n_spikes", value=spikes.shape)
    sums = {"log_prob_a": log_prob_a, "log_prob_b": log_prob_b, "n_spikes": n_spikes}
    for name, values in sums.items():
        if not np.isfinite(np.asarray(values, float)).all():
            fix = "sum over the observed bins: np.nansum(log_prob, axis=-1)"
            raise CortseqError("a sum of a trial is NaN or infinity", key=name, fix=fix)
    if not spikes.sum() > 0:
        raise CortseqError("no spike to divide by", key="n_spikes", value=float(spikes.sum()))
    return paired(log_prob_a, log_prob_b, n_spikes, resamples, seed, blocks).per(BIT)
