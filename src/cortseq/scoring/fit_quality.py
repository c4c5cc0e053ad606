"""Goodness of fit: whether what a model predicts for each bin has the right shape (docs/likelihood.md).

A likelihood says which of two models is better, not whether either is right. Three checks look at each unit
on its own, given the past that the model has seen:

- the probability integral transform u = F(y - 1) + v (F(y) - F(y - 1)), v uniform, of counts (Brockwell
  2007, Stat Probab Lett 77:1473; Czado, Gneiting & Held 2009, Biometrics 65:1254) and u = F(y) of signals;
  under the right model the u are independent and uniform;
- the dispersion, mean((y - E[y])^2 / Var[y]): 1 under the right model;
- time rescaling of spikes (Brown et al. 2002, Neural Comput 14:325), corrected for bins (Haslinger, Pipa &
  Brown 2010, Neural Comput 22:2477): rescaled intervals are exponential under the right model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq import recording as rec
from cortseq._lazy import pd, xr
from cortseq.data import Data, few
from cortseq.errors import CortseqError
from cortseq.models.base import Fit
from cortseq.models.predictive import Predictive
from cortseq.observations import Distribution, emission_of
from cortseq.scoring.statistics import LEVEL, holm

BINS = 20  # of the histogram of u
FEWEST = 20  # values or intervals of a unit that a distance is measured on
_AT_ONCE = 2_000_000  # probabilities in the largest array
COLUMNS = "quantity feature value p n".split()


def table(fit: Fit, recording: xr.Dataset, trials: Any, burn_in: int = 0, seed: int = 0) -> pd.DataFrame:
    """Return the goodness of fit of a model on some trials, a mean over its members.

    Parameters
    ----------
    fit, recording, trials : what predicts, and the positions (trial,) of what is predicted; of many some are
        used (`data.few`).
    burn_in : bins at the start of each trial that are not used.
    seed : of the random numbers v.

    Returns
    -------
    Table with the columns quantity, feature, value, p and n. Quantities: "pit" (share of all u in one of BINS
    bins, `feature` its number), "ks" (distance of a unit's u from uniform, p of the Kolmogorov-Smirnov test,
    n bins), "dispersion" (of a unit) and, of counts, "rescaling" (as "ks", of n intervals between spikes).
    Empty for a family whose distribution is not known feature by feature.

    Raises
    ------
    CortseqError : labels, which have no order.
    """
    data = fit._data(recording, few(recording, trials))
    if data.kind.has_labels:
        raise CortseqError("goodness of fit is for counts and signals", key="track", value=data.track)
    names = rec.features(recording) or [str(i) for i in range(data.n_features)]
    used = data.valid.copy()
    used[:, :burn_in] = False
    rng = np.random.default_rng([seed, 31])
    members = [
        _member(predicted, data, used, names, rng) for predicted in fit.model.predictive(fit.params, data)
    ]
    if not members:
        return pd.DataFrame(columns=COLUMNS)
    every = pd.concat(members)
    return every.groupby(["quantity", "feature"], sort=False).mean().reset_index()[COLUMNS]


def _member(
    predicted: Predictive, data: Data, used: np.ndarray, names: list[str], rng: np.random.Generator
) -> pd.DataFrame:
    emission = emission_of(data)
    lower, upper, silent = _probabilities(predicted, emission, data)
    u = (lower + rng.random(lower.shape) * (upper - lower))[used]
    mean, variance = predicted.moments(emission)
    squares = np.broadcast_to((data.y - mean) ** 2 / variance, data.y.shape)[used].mean(0)
    rows: list[tuple[str, str, float, float, int]] = []
    for i, share in enumerate(np.histogram(u, BINS, (0, 1))[0] / u.size):
        rows.append(("pit", str(i), float(share), np.nan, u.size))
    for n, name in enumerate(names):
        rows.append(("ks", name, *_distance(u[:, n]), len(u)))
        rows.append(("dispersion", name, float(squares[n]), np.nan, len(u)))
        if data.kind.has_events:
            intervals = rescaled(1 - silent[..., n][used], data.y[..., n][used] > 0, rng)
            rows.append(("rescaling", name, *_distance(intervals), len(intervals)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _probabilities(
    predicted: Predictive, emission: Distribution, data: Data
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return P(Y < y), P(Y <= y) and P(Y = 0), each (trial, time, feature); P(Y <= y) thrice for signals."""
    components = 1 if predicted.weight is None else predicted.weight.shape[-1]
    size = max(1, _AT_ONCE // (data.y[0].size * components))
    found = []
    for first in range(0, len(data.y), size):
        some = slice(first, first + size)
        y, bins = np.where(data.valid[some][..., None], data.y[some], 0), predicted.at(some)
        upper = bins.cdf(emission, y)
        if not data.kind.has_events:
            found.append((upper, upper, upper))
            continue
        lower = np.where(y > 0, bins.cdf(emission, y - 1), 0.0)
        found.append((lower, upper, bins.cdf(emission, np.zeros_like(y))))
    below, up_to, none = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return below, up_to, none


def rescaled(probability: np.ndarray, spikes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return 1 - exp(-rescaled interval) of all intervals between spikes; uniform under the right model.

    With q_t = -ln(1 - p_t) the interval from one spike to the next, L bins later, is

        sum_{t before the next spike} q_t + d,   d = -ln(1 - r (1 - exp(-q_L))),   r uniform.

    Trials are joined end to end, and the first interval begins with the first trial: then none is cut off
    but the last, as a Poisson process has no memory.

    Parameters
    ----------
    probability : (bin,) of at least one spike.
    spikes : (bin,) whether there is one.
    rng : of the random numbers r.
    """
    q = -np.log1p(-np.minimum(probability, 1 - 1e-12))
    at = np.flatnonzero(spikes)
    through = np.concatenate([[0.0], q.cumsum()])
    begin = np.concatenate([[0], at[:-1] + 1])
    whole = through[at] - through[begin]
    part = -np.log1p(-rng.random(len(at)) * -np.expm1(-q[at]))
    return np.asarray(-np.expm1(-(whole + part)))


def _distance(u: np.ndarray) -> tuple[float, float]:
    """Return the largest distance between the distribution of u (n,) and the uniform one, and its p."""
    if len(u) < FEWEST:
        return np.nan, np.nan
    from scipy import stats

    found = stats.kstest(u, "uniform")
    return float(found.statistic), float(found.pvalue)


def misfit(found: pd.DataFrame, quantity: str = "ks") -> np.ndarray:
    """Return which units (feature,) differ from what a model predicts, by Holm's adjusted p below LEVEL.

    Parameters
    ----------
    found : `table` of one model.
    quantity : "ks" or "rescaling".
    """
    p = found.loc[found["quantity"] == quantity, "p"].to_numpy(float)
    adjusted = np.ones(len(p))
    adjusted[np.isfinite(p)] = holm(p[np.isfinite(p)])
    return np.asarray(adjusted < LEVEL)


def sentence(model: str, found: pd.DataFrame, observation: str) -> str:
    """Return what the table of one model says, in words.

    Parameters
    ----------
    model : its name.
    found : `table` of it; empty where nothing is known.
    observation : the distribution that the study gives to a bin.
    """
    if found.empty:
        return ""
    wrong, spread = misfit(found), found.loc[found["quantity"] == "dispersion", "value"].median()
    late = misfit(found, "rescaling") if (found["quantity"] == "rescaling").any() else None
    said = (
        f"The distribution that {model} predicts is shown to be wrong for {wrong.sum()} of {len(wrong)} "
        "units (Kolmogorov-Smirnov, Holm)"
    )
    if late is not None:
        said += f", its intervals between spikes for {late.sum()} of {len(late)} (time rescaling, Holm)"
    said += f"; residuals vary {spread:.2f} times as much as predicted (median over units)."
    if observation == "poisson" and wrong.mean() > 0.5 and spread > 1.1:
        said += " Counts vary more than Poisson counts: try `observation: negative_binomial`."
    if observation == "poisson" and wrong.mean() > 0.5 and spread < 0.9:
        said += " Counts vary less than Poisson counts: try `observation: conway_maxwell`."
    return said
