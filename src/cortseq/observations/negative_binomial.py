"""Negative binomial counts: they vary more than their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, special
from cortseq.observations import arrays
from cortseq.observations.base import MAX_LOG_RATE, MIN_LOG_RATE, MIN_RATE, Params
from cortseq.observations.counts import CountDistribution, CountReadout

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

LOG_ALPHA = (-7.0, 9.0)  # part of the model; at the lower end a variance of 1.001 times the mean at one spike


class NegativeBinomialReadout(CountReadout):
    """The same distribution in single precision; differences of large numbers are taken in double."""

    def log_prob(self, p: Params, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log p(y) in nats summed over units, (...), for eta and y (..., unit).

        Each unit adds

            y eta - (y + 1/alpha) ln(1 + alpha e^eta) + ln [(1 + alpha) .. (1 + alpha (y - 1))] - ln y!
        """
        eta = eta.clamp(MIN_LOG_RATE, MAX_LOG_RATE)
        log_alpha = arrays.row(p["log_dispersion"], eta).clamp(*LOG_ALPHA)
        r = (-log_alpha).exp()
        wide = r.double()  # the difference of two large numbers
        rising = (torch.lgamma(y.double() + wide) - torch.lgamma(wide)).to(eta.dtype) + y * log_alpha
        raised = torch.log1p((eta + log_alpha).exp())
        return (y * eta - (y + r) * raised + rising - torch.lgamma(y + 1)).sum(-1)


class NegativeBinomial(CountDistribution):
    """Mean mu, variance mu + alpha mu^2, alpha > 0 the dispersion of a unit.

    log p(y) = y [ln mu - ln(1 + alpha mu)] - ln(1 + alpha mu) / alpha
               + ln Gamma(y + 1/alpha) - ln Gamma(1/alpha) + y ln alpha - ln y!
    """

    readout = NegativeBinomialReadout
    bounds = LOG_ALPHA
    like_poisson = LOG_ALPHA[0]

    def natural(self, log_mean: Any, mean: Any, dispersion: Any) -> tuple[Any, Any]:
        """Return ln mu - ln(1 + alpha mu) and ln(1 + alpha mu) / alpha, (..., unit)."""
        raised = arrays.log1p(dispersion * mean)
        return log_mean - raised, raised / dispersion

    def base(self, y: Any, dispersion: Any) -> Any:
        """Return ln Gamma(y + 1/alpha) - ln Gamma(1/alpha) + y ln alpha - ln y!, (..., unit)."""
        rising = arrays.log_gamma(y + 1 / dispersion) - arrays.log_gamma(1 / dispersion)
        return rising + y * arrays.log(dispersion) - arrays.log_factorial(y)

    def cdf(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y), (..., unit), a regularised incomplete beta function; 0 for y < 0."""
        alpha, rate = p["dispersion"], np.maximum(p["rate"], MIN_RATE)
        known = special.betainc(1 / alpha, np.maximum(y, 0) + 1.0, 1 / (1 + alpha * rate))
        return np.where(y < 0, 0.0, known)

    def variance(self, p: Params) -> np.ndarray:
        """Return mu + alpha mu^2, (..., unit)."""
        rate = np.maximum(p["rate"], MIN_RATE)
        return np.asarray(rate + p["dispersion"] * rate**2)

    def sample(self, mean: Any, dispersion: Any, draws: Any) -> Any:
        """Draw counts (..., unit): Poisson counts whose rates are Gamma distributed."""
        return draws.poisson(draws.gamma(mean, dispersion))


OBSERVATION = NegativeBinomial
