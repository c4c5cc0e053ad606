"""Drawing futures until what is left of a forecast's bias is small beside its interval.

With L_M the logarithm of a mean over M futures, E[L_M] grows with M towards log p. The sum

    log p = L_M + sum_{l >= 1} D_l,    D_l = L_{2^l M} - (L_{2^(l-1) M} + L'_{2^(l-1) M}) / 2 >= 0

needs many futures for its late terms, but these are small and alike: they are estimated on fewer and fewer
bins, drawn at random, each weighted by the inverse of the fraction that was drawn. Sums over bins are then
those of 2^l M futures everywhere, for a few times the cost of M (multilevel Monte Carlo of a nested
expectation; Giles 2015, Acta Numerica 24:259). Single bins are not: a drawn bin holds the terms of all.

To the last term D_L comes the jackknife, D_L once more (`cortseq.models.horizons`). What is left of the bias
is taken to be as large as that: true where each term is at most two thirds of the one before.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cortseq.data import lengths
from cortseq.models.horizons import doubled, halves, seeds

_THINNING = 2**-0.75  # of the bins from term to term: between the cost of a term and its variance
_FEWEST = 2  # bins of a term

Draw = Callable[[int, int, np.ndarray], np.ndarray]


def settled(
    draw: Draw,
    valid: np.ndarray,
    samples: int,
    most: int,
    seed: int,
    enough: Callable[[np.ndarray, np.ndarray], bool],
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return forecasts whose sums over bins are corrected for the bias of few futures.

    Parameters
    ----------
    draw : (samples, seed, begins) -> log-mean-exp over futures that begin before the bins `begins`
        (trial, time), an array (member, trial, time, horizon) of nats, NaN elsewhere.
    valid : (trial, time) bool, the bins that were observed.
    samples, most : futures of every bin, and how far they are doubled.
    seed : of the draws.
    enough : (forecasts, bias) -> whether the bias is small enough; both are as what is returned.

    Returns
    -------
    forecasts : (member, trial, time, horizon) nats.
    bias : (member, trial, time, horizon) nats; its sum over bins estimates what may be left of the bias.
    futures : how many were drawn of the bins of the last term.
    """
    every = np.arange(valid.shape[1]) < lengths(valid)[:, None]  # up to the last bin of each trial
    places = np.random.default_rng([seed, 1]).permutation(np.flatnonzero(every))
    both, gain = doubled(*halves(lambda n, part: draw(n, part, every), samples, seed))
    value, share = both, 1.0
    for part in seeds(seed, 64)[2:]:
        bias = np.where(np.isnan(both), np.nan, np.where(np.isnan(gain), 0.0, gain / share))
        if 2 * samples > most or enough(value + bias, bias):
            break
        chosen = places[: max(_FEWEST, round(len(places) * share * _THINNING))]
        share = len(chosen) / len(places)
        begins = np.zeros(valid.shape, bool)
        begins.flat[chosen] = True
        deeper, gain = doubled(both, draw(samples, part, begins))
        samples, both = 2 * samples, np.where(np.isnan(deeper), both, deeper)
        value = value + np.where(np.isnan(gain), 0.0, gain / share)
    return value + bias, bias, samples
