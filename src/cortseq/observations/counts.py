"""Counts of independent units: everything that follows from a mean-parametrised exponential family.

    log p(y) = y a(mu) - b(mu) + h(y),    mu = E[y], with one dispersion per unit where the family has any

A distribution writes `natural` (a and b), `base` (h) and `sample` once, on numpy or torch arrays.
Likelihoods, the null, dispersions, EM, regressions and the read-out of a network follow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cortseq._lazy import lazy
from cortseq.observations import arrays
from cortseq.observations.arrays import rows
from cortseq.observations.base import (
    MAX_LOG_RATE,
    MIN_LOG_RATE,
    MIN_RATE,
    Distribution,
    Loss,
    Params,
    Readout,
    with_dispersion,
)
from cortseq.observations.states import CountStates

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

HIGH_COUNTS = ("count_centre", "count_scale")  # parameters by which high counts are standardised
FIXED = frozenset(HIGH_COUNTS)  # measured on training trials, not learned
HIGH = 20.0  # mean count per bin above which a network sees a unit's counts standardised
_TABLE = 100_000  # counts up to which ln y! is looked up
_MAX_ETA = 30.0  # of a log mean in a regression: keeps a step that is too long finite


class CountLoss:
    """exp(eta) - y eta, (output, bin): Poisson's; its minimum is the right mean for every dispersion."""

    separable = True

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return exp(eta), (output, bin); eta is held below 30 so that a step too long stays finite."""
        return np.asarray(np.exp(np.minimum(eta, _MAX_ETA)))

    def value(self, eta: np.ndarray, mean: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the sum over bins of mean - y eta, (output,)."""
        return np.asarray(mean.sum(1) - np.einsum("ot,ot->o", y, eta))

    def curvature(self, mean: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Return the sum over bins of mean * change^2, (output,)."""
        return np.asarray(np.einsum("ot,ot,ot->o", mean, change, change))

    def variance(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return the mean count of each output, (output,), above 0 where a unit is silent."""
        return np.asarray((total + 0.5) / (n + 1))

    def start(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return the log mean count of each output, (output,)."""
        return np.asarray(np.log(self.variance(total, n)))  # finite where a unit is silent


class CountReadout(Readout):
    """mu = exp(eta), eta held between MIN_LOG_RATE and MAX_LOG_RATE; the network sees the counts themselves.

    Where some unit has a training mean above HIGH, it sees (y - count_centre) / count_scale, mean and sd of
    its training bins (0 and 1 of other units). Hundreds of counts would saturate every hidden unit.

    The parameter "log_dispersion" (unit,) is held in the range of the distribution.
    """

    distribution: CountDistribution

    def start_parameters(
        self, y: np.ndarray, valid: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return biases at the training rates and the null's log dispersions, each (unit,)."""
        rate = (rows(y, valid).sum(0) + 0.5) / (valid.sum() + 1.0)  # finite where a unit is silent
        return {
            "readout_bias": np.log(rate),
            **self.start_dispersion(y, valid),
            **standardised_high(y, valid),
        }

    def encode(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return what a network sees of counts, (..., unit): high ones standardised by `count_scale`."""
        if "count_scale" not in p:
            return y
        return (y - arrays.row(p["count_centre"], y)) / arrays.row(p["count_scale"], y)

    def start_dispersion(self, y: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        """Return the null's log dispersions (unit,), inside their range: its ends have no gradient."""
        bounds = self.distribution.bounds
        if bounds is None:
            return {}
        found = np.log(self.distribution.estimate(y, valid)["dispersion"])
        return {"log_dispersion": np.clip(found, bounds[0] + 0.1, bounds[1] - 0.1)}

    def dispersion(self, p: Params, eta: torch.Tensor) -> torch.Tensor | None:
        """Return the dispersions, shaped to broadcast against eta; None where the distribution has none."""
        bounds = self.distribution.bounds
        return None if bounds is None else arrays.row(p["log_dispersion"], eta).clamp(*bounds).exp()

    def rooted(self, y: torch.Tensor) -> torch.Tensor:
        """Return square roots of smoothed counts, (..., unit): their noise does not grow with the rate."""
        return y.sqrt()

    def log_prob(self, p: Params, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log p(y) in nats summed over units, (...), for eta and y (..., unit)."""
        log_mean, dispersion = eta.clamp(MIN_LOG_RATE, MAX_LOG_RATE), self.dispersion(p, eta)
        a, b = self.distribution.natural(log_mean, log_mean.exp(), dispersion)
        log_prob: torch.Tensor = (y * a - b + self.distribution.base(y, dispersion)).sum(-1)
        return log_prob

    def constant(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return ln y! summed over units, (trial, time)."""
        most = int(y.max()) if y.numel() else 0
        if most > _TABLE:
            return torch.lgamma(y + 1).sum(-1)
        # looked up: windows of limited memory ask for it anew in every epoch
        return torch.lgamma(torch.arange(1, most + 2, dtype=y.dtype, device=y.device))[y.long()].sum(-1)

    def mean(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return exp(eta), eta held in its range: expected counts per bin, (..., unit)."""
        return eta.clamp(MIN_LOG_RATE, MAX_LOG_RATE).exp()

    def predicted(self, p: Params, eta: torch.Tensor) -> tuple[torch.Tensor | None, Params]:
        """Return None, and the rates (..., unit) with the dispersions (unit,) where there are any."""
        bounds = self.distribution.bounds
        spread = {} if bounds is None else {"dispersion": p["log_dispersion"].clamp(*bounds).exp()}
        return None, {"rate": self.mean(p, eta), **spread}

    def slope(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return dE[y_n] / d eta_n, (..., n_features); 0 outside the range of eta."""
        return self.mean(p, eta) * ((eta >= MIN_LOG_RATE) & (eta <= MAX_LOG_RATE))

    def tangent(self, p: Params, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Return how expected counts move, (..., unit, k), when eta moves by `moved` (..., unit, k)."""
        slope = self.slope(p, eta)
        if "count_scale" in p:
            slope = slope / arrays.row(p["count_scale"], slope)
        return slope.unsqueeze(-1) * moved

    def draw(self, p: Params, eta: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Draw counts (..., unit), one for every eta."""
        draws = arrays.TorchDraws(generator)
        y: torch.Tensor = self.distribution.sample(self.mean(p, eta), self.dispersion(p, eta), draws)
        return y


def standardised_high(y: np.ndarray, valid: np.ndarray) -> Params:
    """Return "count_centre" and "count_scale" of training bins; {} where no unit's mean is above HIGH.

    Parameters
    ----------
    y, valid : (trial, time, unit) counts, (trial, time).

    Returns
    -------
    Both (unit,): mean and sd of high units, 0 and 1 of the others.
    """
    seen = rows(y, valid)
    mean = seen.mean(0)
    high = mean > HIGH
    if not high.any():
        return {}
    scale = np.ones(len(mean))
    scale[high] = np.maximum(seen[:, high].std(0), 1.0)
    return {"count_centre": np.where(high, mean, 0.0), "count_scale": scale}


def _grouped(rate: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a table (4, group) of one unit's bins whose rates are within 1 %.

    Its rows are 100 times the log rate of the group, and the bins, rates and counts that are summed in it.

    Parameters
    ----------
    rate, y : (bin,) expected and recorded counts.
    """
    level, group = np.unique(np.round(100 * np.log(rate)), return_inverse=True)
    return np.stack([level, *(np.bincount(group, weights) for weights in (None, rate, y))])


def _merged(tables: list[np.ndarray]) -> np.ndarray:
    """Return bins, rates and counts (3, group) of the tables (4, group) of several blocks."""
    if len(tables) == 1:
        return tables[0][1:]
    every = np.concatenate(tables, 1)
    group = np.unique(every[0], return_inverse=True)[1]
    return np.stack([np.bincount(group, row) for row in every[1:]])


class CountDistribution(Distribution):
    """Abstract: counts of independent units; parameters "rate" (..., unit) and maybe "dispersion" (unit,).

    Rates are never below MIN_RATE when scored or drawn from. Sums over bins that share a rate are all that
    the likelihood of a dispersion needs, see `dispersion`.
    """

    track = "counts"
    loss: ClassVar[Loss] = CountLoss()
    readout: ClassVar[type[Readout]] = CountReadout
    states = CountStates
    bounds: ClassVar[tuple[float, float] | None] = None  # of the log dispersion; None: there is none
    like_poisson: ClassVar[float] = 0.0  # the log dispersion of (nearly) Poisson counts
    closed: ClassVar[bool] = True  # whether a(mu) and b(mu) are formulas: no search for every mean

    # -- what a distribution writes ---------------------------------------------------------------

    def natural(self, log_mean: Any, mean: Any, dispersion: Any) -> tuple[Any, Any]:
        """Return a and b, (..., unit), of means and their logarithms (..., unit), numpy or torch."""
        raise NotImplementedError

    def base(self, y: Any, dispersion: Any) -> Any:
        """Return h(y), (..., unit), numpy or torch."""
        raise NotImplementedError

    def sample(self, mean: Any, dispersion: Any, draws: Any) -> Any:
        """Draw counts with these means (..., unit); `draws` is `arrays.NumpyDraws` or `arrays.TorchDraws`."""
        raise NotImplementedError

    # -- what follows -----------------------------------------------------------------------------

    def terms(self, p: Params) -> tuple[np.ndarray, np.ndarray]:
        """Return a and b, (..., unit), of parameters."""
        rate = np.maximum(p["rate"], MIN_RATE)
        return self.natural(np.log(rate), rate, p.get("dispersion"))

    def log_prob_units(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return log p of every unit in nats, (..., unit)."""
        a, b = self.terms(p)
        return np.asarray(y * a - b + self.base(y, p.get("dispersion")))

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return log p(y) in nats summed over units, (trial, time)."""
        return np.asarray(self.log_prob_units(p, y).sum(-1))

    def log_prob_states(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return log p(y | state), (..., state), as one product of matrices; rates (state, unit)."""
        a, b = self.terms(p)
        return np.asarray(y @ a.T - b.sum(1) + self.base(y, p.get("dispersion")).sum(-1, keepdims=True))

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return training rates per bin and dispersions, each (unit,)."""
        seen = rows(y, valid)
        rate, n = seen.mean(0), np.array([len(seen)])
        return {"rate": rate, **self.dispersion(rate[None], n, seen.sum(0)[None], seen)}

    def mean(self, p: Params) -> np.ndarray:
        """Return the rates themselves, expected counts per bin (..., unit)."""
        return np.asarray(p["rate"])

    def cdf(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y) of each unit, (..., unit), summed over all counts up to y."""
        total = 0.0 * (y + p["rate"])
        for k in range(int(np.max(y, initial=-1)) + 1):
            total += np.where(k <= y, np.exp(self.log_prob_units(p, np.full(1, float(k)))), 0.0)
        return np.asarray(np.minimum(total, 1.0))

    def around(self, mean: np.ndarray, p: Params) -> Params:
        """Return parameters with rates `mean` (..., unit) and the dispersions of `p`."""
        return with_dispersion({"rate": mean}, p)

    def from_eta(self, eta: np.ndarray, p: Params) -> Params:
        """Return rates exp(eta), (..., unit), eta held in its range, and the dispersions of `p`."""
        return with_dispersion({"rate": np.exp(np.clip(eta, MIN_LOG_RATE, MAX_LOG_RATE))}, p)

    def over_time(self, mean: np.ndarray, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return rates `mean` (time, unit) and the likeliest dispersions about them, repeated over time."""
        if self.bounds is None:
            return {"rate": mean}
        seen = np.where(valid[..., None], y, 0)
        spread = self.dispersion(mean, valid.sum(0), seen.sum(0), y[valid])
        return {"rate": mean, **{k: np.broadcast_to(v, mean.shape).copy() for k, v in spread.items()}}

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        """Draw counts (..., unit)."""
        return np.asarray(
            self.sample(np.maximum(p["rate"], MIN_RATE), p.get("dispersion"), arrays.NumpyDraws(rng))
        )

    def n_free(self, n_features: int, sets: int = 1) -> int:
        """Return the number of free parameters: rates per unit and set, and a dispersion per unit.

        There are no dispersions where the distribution has none.
        """
        return n_features * (sets + (self.bounds is not None))

    def dispersion(self, rate: np.ndarray, n: np.ndarray, total: np.ndarray, y: np.ndarray) -> Params:
        """Return {"dispersion": (unit,)} of greatest likelihood; {} where the distribution has none.

        Parameters
        ----------
        rate : (group, unit) expected counts per bin.
        n : (group,) bins that have that rate, or their responsibilities.
        total : (group, unit) summed counts of these bins.
        y : (bin, unit) all counts. A silent unit gets the value that is like Poisson.
        """
        if self.bounds is None:
            return {}
        found = [
            self._best(rate[:, [j]], n, total[:, j], y[:, j]) if total[:, j].any() else self.like_poisson
            for j in range(rate.shape[1])
        ]
        return {"dispersion": np.exp(found)}

    def refined(self, p: Params, means: Iterable[np.ndarray], y: np.ndarray) -> Params:
        """Return the dispersions (unit,) that are likeliest about the mean of each bin."""
        return self.fit_dispersion(means, y)

    def fit_dispersion(self, rates: Iterable[np.ndarray], y: np.ndarray) -> Params:
        """Return `dispersion` (unit,) where every bin has its own rate; rates within 1 % count as one.

        Parameters
        ----------
        rates : consecutive blocks of expected counts, each (bin, unit).
        y : (bin, unit) counts of all bins of all blocks.
        """
        if self.bounds is None:
            return {}
        parts: list[list[np.ndarray]] = []
        first = 0
        for block in rates:
            counts = y[first : first + len(block)]
            parts.append(
                [_grouped(*both) for both in zip(np.maximum(block, MIN_RATE).T, counts.T, strict=True)]
            )
            first += len(block)
        found = []
        for counts, *tables in zip(y.T, *parts, strict=True):
            n, rate, total = _merged(tables)
            found.append(self.dispersion((rate / n)[:, None], n, total[:, None], counts[:, None]))
        return {"dispersion": np.concatenate([f["dispersion"] for f in found])}

    def _best(self, rate: np.ndarray, n: np.ndarray, total: np.ndarray, y: np.ndarray) -> float:
        """Return the log dispersion of one unit; arguments as in `dispersion`, without the axis of units."""
        from scipy.optimize import minimize_scalar

        values, times = np.unique(y, return_counts=True)
        values = values.astype(np.int32) if values.dtype.kind == "u" else values  # differences are taken
        times = times * (n.sum() / len(y))  # responsibilities may be of a part of the bins

        def loss(log_dispersion: float) -> float:
            spread = np.exp([log_dispersion])
            a, b = self.terms({"rate": rate, "dispersion": spread})
            base = self.base(values[:, None], spread)
            return float(n @ b[:, 0] - total @ a[:, 0] - times @ base[:, 0])

        return float(minimize_scalar(loss, bounds=self.bounds, method="bounded", options={"xatol": 1e-4}).x)
