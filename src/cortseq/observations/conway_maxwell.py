"""Conway-Maxwell-Poisson counts: they vary less than their mean, or more.

    log p(y) = y eta - nu ln y! - ln Z,    Z = sum_{k=0}^{support} exp(k eta - nu ln k!)

eta is the natural parameter, nu the dispersion: 1 is Poisson, above it counts vary less than their mean. The
sums are compiled, `cortseq.compiled.conway_maxwell`. Conway & Maxwell 1962, J Ind Eng 12:132; Shmueli et al.
2005, Appl Stat 54:127.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy
from cortseq.observations import arrays
from cortseq.observations.base import MIN_LOG_RATE, MIN_RATE, Params
from cortseq.observations.counts import CountDistribution, CountReadout

if TYPE_CHECKING:
    import torch

    from cortseq.compiled import conway_maxwell as sums
    from cortseq.observations import normaliser
else:
    torch = lazy("torch")
    sums = lazy("cortseq.compiled.conway_maxwell")  # it brings the compiler
    normaliser = lazy("cortseq.observations.normaliser")  # it brings torch

# Part of the model; at the upper end two spikes are 1/500 as likely as Poisson's.
LOG_NU = (-3.0, math.log(10))


class ConwayMaxwellReadout(CountReadout):
    """eta itself is the natural parameter, in which (with nu) the log-likelihood is concave.

    eta is at most nu ln(support), where the end of the support is the likeliest count.
    """

    distribution: ConwayMaxwell

    def __init__(self, distribution: ConwayMaxwell):
        super().__init__(distribution)
        self.log_factorial = [math.lgamma(k + 1) for k in range(self.support + 1)]

    def start_parameters(
        self, y: np.ndarray, valid: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return natural parameters and log dispersions of the null, each (unit,)."""
        start = super().start_parameters(y, valid, rng)
        rate, nu = np.exp(start["readout_bias"]), np.exp(start["log_dispersion"])
        return start | {"readout_bias": sums.natural(rate, nu, self.support)[0]}

    def _held(self, p: Params, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return eta in its range, and nu."""
        nu = arrays.row(p["log_dispersion"], eta).clamp(*LOG_NU).exp()
        return torch.minimum(eta.clamp_min(MIN_LOG_RATE), nu * math.log(self.support)), nu

    def _sums(self, eta: torch.Tensor, nu: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return ln Z, E[y] and E[ln y!], one term after another: no array has an axis for the terms."""
        with torch.no_grad():  # the largest term, by which all are divided
            mode = (eta / nu).exp().floor().clamp(0, self.support)
            largest = mode * eta - nu * torch.lgamma(mode + 1)
        total, first, logs = (torch.zeros_like(eta) for _ in range(3))
        for k, log_factorial in enumerate(self.log_factorial):
            w = (k * eta - nu * log_factorial - largest).exp()
            total, first, logs = total + w, first + k * w, logs + log_factorial * w
        return total.log() + largest, first / total, logs / total

    def log_prob(self, p: Params, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log p(y) in nats summed over units, (...), for eta and y (..., unit)."""
        eta, nu = self._held(p, eta)
        return (y * eta - nu * torch.lgamma(y + 1) - self._log_z(eta, nu)).sum(-1)

    def constant(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return 0 for every bin, (trial, time): ln y! has a factor that is learned."""
        return y.new_zeros(y.shape[:-1])

    def _log_z(self, eta: torch.Tensor, nu: torch.Tensor) -> torch.Tensor:
        found = (
            self._sums if eta.is_cuda else functools.partial(normaliser.compiled_sums, support=self.support)
        )
        apply: Any = normaliser.LogNormaliser.apply  # torch declares no types for it
        log_z: torch.Tensor = apply(eta, nu, found)
        return log_z

    def mean(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return expected counts per bin, (..., unit)."""
        return self._sums(*self._held(p, eta))[1]

    def slope(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return dE[y] / d eta = Var[y], (..., n_features); 0 outside the range of eta."""
        k, probability = self._terms(p, eta)
        mean = (k * probability).sum(-1, keepdim=True)
        return ((k - mean) ** 2 * probability).sum(-1) * (self._held(p, eta)[0] == eta)

    def _terms(self, p: Params, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the counts 0 .. support, and the probability of each (..., n_features, count)."""
        held, nu = self._held(p, eta)
        k = torch.arange(self.support + 1, dtype=eta.dtype, device=eta.device)
        logits = held.unsqueeze(-1) * k - nu.unsqueeze(-1) * torch.lgamma(k + 1)
        return k, torch.softmax(logits, -1)

    def draw(self, p: Params, eta: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Draw counts (..., unit), one for every eta."""
        return arrays.chosen(self._terms(p, eta)[1], generator).to(eta.dtype)


class ConwayMaxwell(CountDistribution):
    """Counts 0 .. support with mean mu: a = eta(mu, nu), b = ln Z, h = -nu ln y!, nu a unit's dispersion.

    The support is part of the model and follows from the training trials: twice their largest count + 20. A
    count beyond it has probability 0, and scoring one is an error.
    """

    readout = ConwayMaxwellReadout
    bounds = LOG_NU
    closed = False

    @classmethod
    def support_of(cls, y: np.ndarray) -> int:
        """Return twice the largest count in y (trial, time, unit) + 20: a larger count is not to be met."""
        return 2 * int(y.max(initial=0)) + 20

    def natural(self, log_mean: Any, mean: Any, dispersion: Any) -> tuple[Any, Any]:
        """Return eta and ln Z, (..., unit), of expected counts (..., unit)."""
        return sums.natural(mean, _units(dispersion), self.support)

    def base(self, y: Any, dispersion: Any) -> Any:
        """Return -nu ln y!, (..., unit)."""
        return -_units(dispersion) * arrays.log_factorial(y)

    def variance(self, p: Params) -> np.ndarray:
        """Return sum_k k^2 p(k) - mu^2, (..., unit), over all counts up to the support."""
        square, first = 0.0 * p["rate"], 0.0 * p["rate"]
        for k in range(1, self.support + 1):
            probability = np.exp(self.log_prob_units(p, np.full(1, float(k))))
            square, first = square + k**2 * probability, first + k * probability
        return np.asarray(square - first**2)

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        """Draw counts (..., unit), none above the support."""
        mean = np.maximum(p["rate"], MIN_RATE)
        return sums.draw(mean, _units(p["dispersion"]), self.support, rng)


def _units(dispersion: np.ndarray) -> np.ndarray:
    """Return (unit,) of a dispersion that may have been repeated over leading axes."""
    return np.asarray(dispersion.reshape(-1, dispersion.shape[-1])[0])


OBSERVATION = ConwayMaxwell
