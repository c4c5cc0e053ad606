"""Generalised Poisson counts: they vary more than their mean, with a heavier tail than the negative binomial.

Consul & Jain 1973, Technometrics 15:791; as a regression on the mean Famoye 1993, Commun Stat Theory Methods
22:1335.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq.observations import arrays
from cortseq.observations.base import MIN_RATE, Params
from cortseq.observations.counts import CountDistribution

_MOST_GENERATIONS = (
    100_000  # of a draw; the chance to need more is below 1e-5 even where a chain barely dies out
)


class GeneralisedPoisson(CountDistribution):
    """Mean mu, variance mu (1 + alpha mu)^2, alpha > 0 the dispersion of a unit.

    log p(y) = y [ln mu - ln(1 + alpha mu) - alpha mu / (1 + alpha mu)] - mu / (1 + alpha mu)
               + (y - 1) ln(1 + alpha y) - ln y!
    """

    # Part of the model; at the lower end a variance of 1.002 times the mean at one spike.
    bounds = (-7.0, 5.0)
    like_poisson = -7.0

    def natural(self, log_mean: Any, mean: Any, dispersion: Any) -> tuple[Any, Any]:
        """Return a and b, (..., unit).

        Here a = ln mu - ln(1 + alpha mu) - alpha mu / (1 + alpha mu) and b = mu / (1 + alpha mu).
        """
        raised = 1 + dispersion * mean
        return log_mean - arrays.log(raised) - dispersion * mean / raised, mean / raised

    def base(self, y: Any, dispersion: Any) -> Any:
        """Return (y - 1) ln(1 + alpha y) - ln y!, (..., unit)."""
        return (y - 1) * arrays.log1p(dispersion * y) - arrays.log_factorial(y)

    def variance(self, p: Params) -> np.ndarray:
        """Return mu (1 + alpha mu)^2, (..., unit)."""
        rate = np.maximum(p["rate"], MIN_RATE)
        return np.asarray(rate * (1 + p["dispersion"] * rate) ** 2)

    def sample(self, mean: Any, dispersion: Any, draws: Any) -> Any:
        """Draw the size of a population: Poisson founders, their Poisson children, and so on.

        Founders have mean mu / (1 + alpha mu), children alpha mu / (1 + alpha mu) < 1: all die out.
        """
        raised = 1 + dispersion * mean
        total = born = draws.poisson(mean / raised)
        for _ in range(_MOST_GENERATIONS):
            if not arrays.any_left(born):
                break
            born = draws.poisson(born * (dispersion * mean / raised))
            total = total + born
        return total


OBSERVATION = GeneralisedPoisson
