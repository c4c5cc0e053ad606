"""Counts of a linear dynamical system: Laplace's approximation of the latent, predictions as exact mixtures.

    y_tn ~ p(y; mu_tn),    mu_tn = exp(C_n . z_t + d_n), held between 1e-7 and 8,100 a bin

p is Poisson or whatever distribution of counts the study names. With V(mu) its variance, the log-likelihood
has the slope (mu / V) (y - mu) by eta = ln mu, and the expected curvature mu^2 / V: Newton's steps with them
(Fisher's scoring) find the likeliest latents, over a whole trial by one pass of a smoother (Smith & Brown
2003, Neural Comput 15:965; Paninski et al. 2010, J Comput Neurosci 29:107), bin by bin in the filter.

The M-step of C and d maximises the expected Poisson likelihood (`weights`), which is right in the mean for
every distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cortseq._lazy import special
from cortseq.data import Data, Params
from cortseq.models.predictive import Predictive
from cortseq.models.state_space import assumed, latent, weights
from cortseq.models.state_space.latent import Belief, Evidence, Filtered, Posterior
from cortseq.models.state_space.readout import Readout
from cortseq.models.state_space.seen import SeenCounts
from cortseq.observations import MAX_LOG_RATE, MIN_LOG_RATE, Distribution
from cortseq.observations.counts import CountDistribution

_ENOUGH = 1e-2  # nats of a trial: a step of the smoother that is not worth another, while EM still moves
_NUMBERS = 1 << 21  # of one array (bin, draw, unit)


class Counts(Readout):
    """Counts of units that are independent given the latent.

    Parameters
    ----------
    distribution : of one bin.
    prior : bins' worth of the null in the rates, and of a loading of 0.
    """

    distribution: CountDistribution

    def __init__(self, distribution: Distribution, prior: float):
        super().__init__(prior)
        assert isinstance(distribution, CountDistribution)
        self.distribution = distribution

    def measure(self, train: Data) -> None:
        """Set `common` to nothing: counts have no scale."""
        self.rate = (train.y[train.valid].sum(0) + 0.5) / (train.valid.sum() + 1.0)

    def encoded(self, data: Data) -> np.ndarray:
        """Return square roots of counts about their mean, (trial, time, unit), 0 where a bin is missing."""
        root = np.sqrt(data.y)
        return np.where(data.valid[..., None], root - root[data.valid].mean(0), 0.0)

    def begin(self, train: Data) -> Params:
        """Return the null: training rates, and its dispersions where the distribution has any."""
        null = self.distribution.estimate(train.y, train.valid)
        spread = {k: null[k] for k in ("dispersion",) if k in null}
        return {"loading": np.zeros((train.n_features, 0)), "level": np.log(self.rate), **spread}

    # -- the latents ----------------------------------------------------------------------------------

    def slopes(self, p: Params, eta: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the slope and the expected curvature of the log-likelihood by eta, each (..., unit)."""
        at = self.distribution.from_eta(eta, p)
        if self.distribution.bounds is None:
            return y - at["rate"], at["rate"]
        share = at["rate"] / self.distribution.variance(at)
        return share * (y - at["rate"]), share * at["rate"]

    def terms(self, p: Params, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a and b of log p = y a - b + h(y), (..., unit)."""
        log_rate = np.clip(eta, MIN_LOG_RATE, MAX_LOG_RATE)
        return self.distribution.natural(log_rate, np.exp(log_rate), p.get("dispersion"))

    def likelihood(self, p: Params, eta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return log p(y) but for h(y), summed over units, (...)."""
        a, b = self.terms(p, eta)
        return np.asarray((y * a - b).sum(-1))

    def given(self, p: Params, data: Data, z: np.ndarray) -> np.ndarray:
        """Return log p(y_t | z_t), (trial, time) nats, at latents z; anything where a bin is missing."""
        y = np.where(data.valid[..., None], data.y, 0.0)
        base = self.distribution.base(y, p.get("dispersion")).sum(-1)
        return np.asarray(self.likelihood(p, z @ p["loading"].T + p["level"], y) + base)

    def evidence(self, p: Params, data: Data, z: np.ndarray | None = None) -> Evidence:
        """Return the likelihood of every bin to second order about latents z (trial, time, latent)."""
        assert z is not None
        loading, n = p["loading"], p["loading"].shape[1]
        slope, curvature = self.slopes(p, z @ loading.T + p["level"], data.y)
        outer = (loading[:, :, None] * loading[:, None]).reshape(-1, n * n)
        info = (curvature.reshape(-1, len(loading)) @ outer).reshape(-1, n, n)
        given = slope @ loading + np.einsum("bij,bj->bi", info, z.reshape(-1, n)).reshape(z.shape)
        which = np.where(data.valid, np.arange(data.valid.size).reshape(data.valid.shape), -1)
        return Evidence(info, which, given, np.arange(len(z)))

    def posterior(
        self, p: Params, data: Data, path: np.ndarray | None = None, enough: float = _ENOUGH
    ) -> Posterior:
        """Return the likeliest latents given all bins and their covariance there: Laplace's approximation.

        `path` (trial, time, latent): where the search begins.
        `enough`: a step that gains a trial fewer nats on average is the last.
        """
        offset = latent.offsets(p, data)
        z = offset * 0.0 if path is None else path
        y = np.where(data.valid[..., None], data.y, 0.0)
        value = self._joint(p, data, y, z, offset)
        for _ in range(assumed.STEPS):
            passed = latent.filtered(p, self.evidence(p, replace(data, y=y), z), offset)
            found, _ = latent.smoothed_means(p, passed)
            before = value
            z, value = self._climbed(p, data, y, z, found, value, offset)
            if (value - before).mean() < enough:
                break
        base = self.distribution.base(y, p.get("dispersion")).sum(-1)[data.valid].sum()
        log_prob = float(value.sum() + base - 0.5 * passed.log_det.sum())
        smoothed = latent.smoothed(p, passed, log_prob)
        return replace(smoothed, belief=replace(smoothed.belief, mean=z))

    def _joint(self, p: Params, data: Data, y: np.ndarray, z: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Return log p(y, z) but for constants, (trial,)."""
        seen = self.likelihood(p, z @ p["loading"].T + p["level"], y)
        return np.asarray(
            np.where(data.valid, seen, 0.0).sum(1) + latent.log_prior_density(p, z, offset, data.lengths)
        )

    def _climbed(
        self,
        p: Params,
        data: Data,
        y: np.ndarray,
        z: np.ndarray,
        found: np.ndarray,
        value: np.ndarray,
        offset: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return paths between z and `found` that are likelier than z, and log p(y, z) of each trial."""
        length = np.ones((len(z), 1, 1))
        for _ in range(assumed.HALVINGS):
            moved = z + length * (found - z)
            there = self._joint(p, data, y, moved, offset)
            lower = ~(there >= value - assumed.ROUNDING * np.abs(value))
            if not lower.any():
                return moved, there
            length[lower] *= 0.5
        return np.where(lower[:, None, None], z, moved), np.where(lower, value, there)

    def seen(self, p: Params, data: Data) -> SeenCounts:
        """Return the bins as mixtures of Gaussians of the latent predict them."""
        return SeenCounts(self, p, data)

    def filtered(self, p: Params, data: Data) -> Filtered:
        """Return the beliefs of the assumed-density filter: a Gaussian before and after each bin."""
        return assumed.filtered(self, p, data)

    # -- predictions ----------------------------------------------------------------------------------

    def log_prob(self, p: Params, data: Data, belief: Belief, halves: bool = False) -> np.ndarray:
        """Return log p(y_t), (trial, time) nats: the mixture over the draws, jointly for all units.

        NaN in missing bins. `halves`: of either half of the draws, (half, trial, time).
        """
        out = np.full((2 if halves else 1, *data.valid.shape), np.nan)
        for trial, time, eta in self._drawn(p, data, belief):
            y = data.y[trial, time]
            a, b = self.terms(p, eta)
            each = np.einsum("bmn,bn->bm", a, y) - b.sum(-1)
            base = self.distribution.base(y, p.get("dispersion")).sum(-1)
            parts = each.reshape(len(y), len(out), -1)
            log_mean = special.logsumexp(parts, axis=-1) - np.log(parts.shape[-1])
            out[:, trial, time] = (log_mean + base[:, None]).T
        return np.asarray(out if halves else out[0])

    def _drawn(
        self, p: Params, data: Data, belief: Belief
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield trial and time (bin,) of some valid bins with eta (bin, draw, unit) of their draws."""
        known = data.valid & np.isfinite(belief.mean[..., 0])
        every = np.argwhere(known)
        size = max(1, _NUMBERS // (len(p["points"]) * len(p["level"])))
        for first in range(0, len(every), size):
            trial, time = every[first : first + size].T
            low = np.linalg.cholesky(belief.covariance[belief.row[trial], time])
            level = belief.mean[trial, time] @ p["loading"].T + p["level"]
            reach = p["points"] @ (p["loading"] @ low).swapaxes(1, 2)
            yield trial, time, level[:, None] + reach

    def expected(self, p: Params, data: Data, belief: Belief) -> np.ndarray:
        """Return E[y_t] of the mixture over the draws, (trial, time, unit)."""
        out = np.full((*data.valid.shape, len(p["level"])), np.nan)
        for trial, time, eta in self._drawn(p, data, belief):
            out[trial, time] = self.distribution.from_eta(eta, p)["rate"].mean(1)
        return out

    def predictive(self, p: Params, data: Data, belief: Belief) -> Predictive:
        """Return the mixture over the draws in every bin."""
        spread = {k: p[k] for k in ("dispersion",) if k in p}
        bins = {"mean": belief.mean, "covariance": belief.covariance[belief.row]}
        return Drawn(bins, None, self, {k: p[k] for k in ("loading", "level", "points")} | spread)

    def draw(
        self, p: Params, z: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw the counts of every trial, (trial, unit)."""
        return self.distribution.draw(self.distribution.from_eta(z @ p["loading"].T + p["level"], p), rng)

    def n_free(self, n_latents: int) -> int:
        """Return the number of free parameters: C, d, and dispersions where there are any."""
        return len(self.rate) * (n_latents + 1 + (self.distribution.bounds is not None))

    def maximise(self, p: Params, parts: list[tuple[Data, Posterior]]) -> Params:
        """Return C and d after one Newton step of the expected log posterior density, then dispersions."""
        theta = np.concatenate([p["loading"], p["level"][:, None]], 1)
        moved = weights.ascend(theta, weights.Prior(self.prior, self.rate), parts)
        found = {"loading": moved[:, :-1].copy(), "level": moved[:, -1].copy()}
        if self.distribution.bounds is not None:
            rate = np.concatenate([np.exp(weights.log_mean(moved, d, q)[0]) for d, q in parts])
            seen = np.concatenate([data.y[data.valid] for data, _ in parts])
            found |= self.distribution.fit_dispersion([rate], seen)
        return found


@dataclass(frozen=True)
class Drawn(Predictive):
    """The mixture over the draws, worked out draw by draw when it is needed.

    Attributes
    ----------
    bins : "mean" (trial, time, latent) and "covariance" (trial, time, latent, latent) of the latent.
    readout, p : the read-out and its parameters of one member.
    """

    readout: Counts | None = None
    p: Params | None = None

    def at(self, trials: slice) -> Drawn:
        """Return the distributions of some trials."""
        return replace(self, bins={name: v[trials] for name, v in self.bins.items()})

    def cdf(self, emission: Distribution, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y) of each unit on its own, (trial, time, unit), for y of that shape."""
        each = [emission.cdf(bins, y) for bins in self._each()]
        return np.asarray(sum(each) / len(each))

    def moments(self, emission: Distribution) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each unit, (trial, time, unit)."""
        shape = (*self.bins["mean"].shape[:2], emission.n_features)
        first, second, n = np.zeros(shape), np.zeros(shape), 0
        for bins in self._each():
            mean = emission.mean(bins)
            first, second, n = first + mean, second + emission.variance(bins) + mean**2, n + 1
        return first / n, second / n - (first / n) ** 2

    def _each(self) -> Iterator[Params]:
        """Yield the parameters (trial, time, unit) of each draw."""
        assert self.readout is not None and self.p is not None
        level = self.bins["mean"] @ self.p["loading"].T + self.p["level"]
        reach = self.p["loading"] @ np.linalg.cholesky(self.bins["covariance"])
        for x in self.p["points"]:
            yield self.readout.distribution.from_eta(level + reach @ x, self.p)
