"""Poisson counts: variance equal to the mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq._lazy import special
from cortseq.observations import arrays
from cortseq.observations.base import MIN_RATE, Params
from cortseq.observations.counts import CountDistribution

_PRIOR = np.logspace(-2, 3, 31)  # bins' worth of the Gamma prior


class Poisson(CountDistribution):
    """y ~ Poisson(mu): log p(y) = y ln mu - mu - ln y!."""

    def natural(self, log_mean: Any, mean: Any, dispersion: Any) -> tuple[Any, Any]:
        """Return ln mu and mu, (..., unit)."""
        return log_mean, mean

    def base(self, y: Any, dispersion: Any) -> Any:
        """Return -ln y!, (..., unit)."""
        return -arrays.log_factorial(y)

    def cdf(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y), (..., unit), a regularised incomplete gamma function; 0 for y < 0."""
        known = special.pdtr(np.maximum(y, 0), np.maximum(p["rate"], MIN_RATE))
        return np.asarray(np.where(y < 0, 0.0, known))

    def variance(self, p: Params) -> np.ndarray:
        """Return the rates themselves, (..., unit)."""
        return np.asarray(np.maximum(p["rate"], MIN_RATE))

    def sample(self, mean: Any, dispersion: Any, draws: Any) -> Any:
        """Draw counts (..., unit)."""
        return draws.poisson(mean)


def log_pmf(y: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Return ln Poisson(y; rate) in nats, (...), of counts and rates that broadcast; no rate may be 0."""
    return np.asarray(y * np.log(rate) - rate - arrays.log_factorial(y))


def shrunk_rates(n: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Estimate the rates of groups of bins, shrunk to their common mean.

    Posterior means under lambda ~ Gamma(b m_unit, b), m the rate of all bins, b the likeliest.

    Parameters
    ----------
    n : (group, 1) bins of each group.
    total : (group, unit) their summed counts.

    Returns
    -------
    (group, unit) expected counts per bin.
    """
    mean = (total.sum(0) + 0.5) / (n.sum() + 1)

    def evidence(b: float) -> float:
        a = b * mean
        rising = arrays.log_gamma(a + total) - arrays.log_gamma(a)
        return float((rising + a * np.log(b) - (a + total) * np.log(b + n)).sum())

    b = max(_PRIOR, key=evidence)
    return np.asarray((total + b * mean) / (n + b))


OBSERVATION = Poisson
