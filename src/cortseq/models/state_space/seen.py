"""The bins of a recording as a mixture of Gaussians of the latent predicts them: signals and counts.

    p(z_t) = sum_i w_i N(z_t; m_i, P_i),    p(y_t) = sum_i w_i integral N(z; m_i, P_i) p(y_t | z) dz

Of signals the integral is a Gaussian. Of counts it is the mean over fixed points, as in `draws`: each component
takes a block of its own out of one set of M points, so that all together take about M.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import lazy, special
from cortseq.data import Data, Params
from cortseq.models.state_space import assumed
from cortseq.observations import MAX_LOG_RATE, MIN_LOG_RATE
from cortseq.observations.gaussian import LOG_2PI

if TYPE_CHECKING:
    from cortseq.models.state_space.counts import Counts
    from cortseq.models.state_space.signals import Signals

branches = lazy("cortseq.models.state_space.branches")  # it brings the compiler
_NUMBERS = 1 << 21  # of one array (trial, component, draw, unit)


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians of the latent of every trial in one bin.

    Attributes
    ----------
    log_weight : (trial, component).
    mean : (trial, component, latent).
    covariance : (trial, component, latent, latent).
    state : (trial, component), the last state of each component.
    seen : what a forecast of signals keeps of each component beside the latent, see `SeenSignals.begun`.
    """

    log_weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    state: np.ndarray
    seen: Params = field(default_factory=dict)

    def at(self, kept: np.ndarray, log_weight: np.ndarray) -> Mixture:
        """Return some components, `kept` (trial, n), with new weights (trial, n)."""
        row = np.arange(len(kept))[:, None]
        found = (a[row, kept] for a in (self.mean, self.covariance, self.state))
        return Mixture(log_weight, *found, {name: a[row, kept] for name, a in self.seen.items()})


class Seen(ABC):
    """Abstract: the bins of some trials under the parameters of one member."""

    data: Data

    @abstractmethod
    def updated(
        self, t: int, mean: np.ndarray, covariance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what bin t makes of Gaussians (trial, component, ..), and log p(y_t | component).

        Missing bins change nothing; their log-probability is 0.
        """

    @abstractmethod
    def log_prob(self, t: int, mixture: Mixture) -> np.ndarray:
        """Return log p(y_t), (trial,) nats; anything where the bin is missing."""

    @abstractmethod
    def expected(self, t: int, mixture: Mixture) -> np.ndarray:
        """Return E[y_t], (trial, feature)."""

    @abstractmethod
    def components(self, t: int, mixture: Mixture) -> Iterator[tuple[np.ndarray, Params]]:
        """Yield weight (trial, component) and parameters (trial, component, feature) of the bin, in parts."""


    def begun(self, t: int, mixture: Mixture) -> Params:
        """Return what a forecast that begins with bin t keeps of each component."""
        return {}

    def ahead(self, t: int, before: Mixture, after: Mixture) -> Params:
        """Return what a forecast keeps of each component of bin t; `before` has moved on to `after`."""
        return {}

    def pinned(self, seen: Params, low: np.ndarray, x: np.ndarray) -> Params:
        """Return what a forecast keeps where the latent turned out to be m + L x, L L' its covariance.

        low (trial, component, latent, latent), x (component, latent).
        """
        return {}


class SeenSignals(Seen):
    """Gaussian channels; see `Signals`."""

    def __init__(self, readout: Signals, p: Params, data: Data):
        self.readout, self.p, self.data = readout, p, data
        self.evidence = readout.evidence(p, data)
        self.variance = readout.variance(p, readout.follows(data))
        error = readout.encoded(data) - p["level"]
        square = error**2 / self.variance + np.log(self.variance) + LOG_2PI
        self.base = -0.5 * square.sum(-1) - np.log(readout.common["scale"]).sum()

    def updated(
        self, t: int, mean: np.ndarray, covariance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return exact means, covariances and log-probabilities."""
        which, known = self.evidence.which[self.evidence.row, t], self.data.valid[:, t, None]
        info = np.where(known[..., None], self.evidence.info[which], 0.0)
        given = np.where(known, self.evidence.given[:, t], 0.0)
        m, v, evidence = branches.updated(mean, covariance, info, given)
        return m, v, np.where(known, evidence + self.base[:, t, None], 0.0)

    def log_prob(self, t: int, mixture: Mixture) -> np.ndarray:
        """Return log p(y_t), (trial,) nats, exactly."""
        if mixture.seen:
            evidence = self._density(t, mixture.seen)
            return np.asarray(special.logsumexp(mixture.log_weight + evidence, axis=1))
        evidence = self.updated(t, mixture.mean, mixture.covariance)[2]
        return np.asarray(special.logsumexp(mixture.log_weight + evidence, axis=1))

    # With a skip a bin two or more ahead is predicted from a bin that is not known. The moments of both
    # latent and bin move on together, as in `skipped`.

    def begun(self, t: int, mixture: Mixture) -> Params:
        """Return mean (trial, component, channel), Cov[z_t, y_t] and Cov[y_t] of the standardised bin t."""
        if not self.readout.skip:
            return {}
        loading, common = self.p["loading"], self.readout.common
        expected = self._in_unit(t, mixture.mean @ loading.T + self.p["level"])
        cross = mixture.covariance @ loading.T
        noise = self.variance[:, t, None, :, None] * np.eye(len(loading))
        mean = (expected - common["centre"]) / common["scale"]
        return {"mean": mean, "cross": cross, "spread": loading @ cross + noise}

    def ahead(self, t: int, before: Mixture, after: Mixture) -> Params:
        """Return the moments of `begun` one bin further."""
        if not before.seen:
            return {}
        loading, n_states = self.p["loading"], len(self.p["offset"])
        mean, cross, spread = (np.repeat(v, n_states, 1) for v in before.seen.values())
        kept = (self.readout.common["skip"] * self.data.valid[:, t - 1, None])[:, None]
        shared = self.p["transition"][after.state] @ cross * kept[..., None, :]
        own, both = after.covariance @ loading.T, loading @ shared
        noise = self.variance[:, t, None, :, None] * np.eye(len(loading))
        moved = kept[..., None] * spread * kept[..., None, :] + noise + loading @ own + both
        return {
            "mean": kept * mean + self.p["level"] + after.mean @ loading.T,
            "cross": own + shared,
            "spread": moved + both.swapaxes(-1, -2),
        }

    def pinned(self, seen: Params, low: np.ndarray, x: np.ndarray) -> Params:
        """Return the moments of bins given the latent."""
        if not seen:
            return {}
        weighed = np.linalg.solve(low, seen["cross"])  # L^-1 Cov[z, y]
        turned = weighed.swapaxes(-1, -2)
        mean = seen["mean"] + (turned @ x[:, :, None])[..., 0]
        spread = seen["spread"] - turned @ weighed
        return {"mean": mean, "cross": np.zeros_like(weighed), "spread": spread}

    def _density(self, t: int, seen: Params) -> np.ndarray:
        """Return log p(y_t | component), (trial, component), of the moments of `begun`."""
        common = self.readout.common
        away = ((self.data.y[:, t] - common["centre"]) / common["scale"])[:, None] - seen["mean"]
        low = np.linalg.cholesky(seen["spread"])
        x = np.linalg.solve(low, away[..., None])[..., 0]
        log_det = 2 * np.log(np.diagonal(low, axis1=-2, axis2=-1)).sum(-1)
        square = (x**2).sum(-1) + log_det + away.shape[-1] * LOG_2PI
        return np.asarray(-0.5 * square - np.log(common["scale"]).sum())

    def expected(self, t: int, mixture: Mixture) -> np.ndarray:
        """Return E[y_t], (trial, channel), in the signal's own unit."""
        mean = np.einsum("rc,rcn->rn", np.exp(mixture.log_weight), mixture.mean)
        return self._in_unit(t, mean @ self.p["loading"].T + self.p["level"])

    def _in_unit(self, t: int, e: np.ndarray) -> np.ndarray:
        """Return y of e (trial, .., channel): what the bin before adds, in the signal's own unit."""
        common = self.readout.common
        if self.readout.skip and t > 0:
            before = common["skip"] * self.readout.standard(self.data.at((slice(None), slice(t - 1, t))))
            e = e + (before if e.ndim == 3 else before[:, 0])
        return np.asarray(common["centre"] + common["scale"] * e)

    def components(self, t: int, mixture: Mixture) -> Iterator[tuple[np.ndarray, Params]]:
        """Yield the weights, means and sds of all components."""
        loading = self.p["loading"]
        spread = ((loading @ mixture.covariance) * loading).sum(-1) + self.variance[:, t, None]
        mean = self._in_unit(t, mixture.mean @ loading.T + self.p["level"])
        sd = self.readout.common["scale"] * np.sqrt(spread)
        yield np.exp(mixture.log_weight), {"mean": mean, "sd": sd}


class SeenCounts(Seen):
    """Counts of units; see `Counts`."""

    def __init__(self, readout: Counts, p: Params, data: Data):
        self.readout, self.p, self.data = readout, p, data
        self.y = np.where(data.valid[..., None], data.y, 0.0)
        self.base = readout.distribution.base(self.y, p.get("dispersion")).sum(-1)
        self.spread = {k: p[k] for k in ("dispersion",) if k in p}

    def updated(
        self, t: int, mean: np.ndarray, covariance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return Laplace's approximations of means, covariances and log-probabilities."""
        known, p = self.data.valid[:, t, None], self.p
        if self.readout.distribution.bounds is None:
            given = p["loading"], p["level"], self.y[:, t], MIN_LOG_RATE, MAX_LOG_RATE
            m, v, evidence = branches.updated_poisson(mean, covariance, *given)
        else:
            n_trials, n_components, n = mean.shape
            y = np.repeat(self.y[:, t], n_components, 0)
            found = assumed.updated(self.readout, p, y, mean.reshape(-1, n), covariance.reshape(-1, n, n))
            m, v, evidence = (a.reshape(n_trials, n_components, *a.shape[1:]) for a in found)
        m = np.where(known[..., None], m, mean)
        v = np.where(known[..., None, None], v, covariance)
        return m, v, np.where(known, evidence + self.base[:, t, None], 0.0)

    def log_prob(self, t: int, mixture: Mixture) -> np.ndarray:
        """Return log p(y_t), (trial,) nats: the mixture over the draws, jointly for all units."""
        return np.asarray(self.of_halves(t, mixture, 1)[0])

    def of_halves(self, t: int, mixture: Mixture, n: int) -> np.ndarray:
        """Return log p(y_t) by each of n equal parts of the draws, (n, trial)."""
        out = np.empty((n, len(self.y)))
        for trials, weight, eta in self._drawn(mixture):
            a, b = self.readout.terms(self.p, eta)
            each = (a @ self.y[trials, t, None, :, None])[..., 0] - b.sum(-1)
            parts = each.reshape(*each.shape[:2], n, -1) + weight[..., None, None]
            joint = np.moveaxis(parts, 2, 0).reshape(n, len(each), -1)
            out[:, trials] = special.logsumexp(joint, axis=-1) - np.log(parts.shape[-1])
            out[:, trials] += self.base[trials, t]
        return out

    def _drawn(self, mixture: Mixture) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield trials, their log weights (trial, component) and eta (trial, component, draw, unit)."""
        points = self._blocks(mixture.log_weight.shape[1])
        level = mixture.mean @ self.p["loading"].T + self.p["level"]
        size = max(1, _NUMBERS // (points.shape[0] * points.shape[1] * level.shape[2]))
        for first in range(0, len(level), size):
            some = slice(first, first + size)
            reach = self.p["loading"] @ np.linalg.cholesky(mixture.covariance[some])
            eta = level[some, :, None] + points @ reach.swapaxes(-1, -2)
            yield some, mixture.log_weight[some], eta

    def _blocks(self, n: int) -> np.ndarray:
        """Return the points of each of n components, (component, draw, latent)."""
        points = self.p["points"]
        n_blocks = min(1 << (n - 1).bit_length(), len(points) // 2)
        blocks = points.reshape(n_blocks, -1, points.shape[1])
        return blocks[np.arange(n) % n_blocks]

    def expected(self, t: int, mixture: Mixture) -> np.ndarray:
        """Return E[y_t] of the mixture over the draws, (trial, unit)."""
        out = np.empty((len(self.y), self.y.shape[2]))
        for trials, weight, eta in self._drawn(mixture):
            rate = self.readout.distribution.from_eta(eta, self.p)["rate"].mean(2)
            out[trials] = np.einsum("rc,rcu->ru", np.exp(weight), rate)
        return out

    def components(self, t: int, mixture: Mixture) -> Iterator[tuple[np.ndarray, Params]]:
        """Yield the weights and the rates of every draw."""
        points = self._blocks(mixture.log_weight.shape[1])
        level = mixture.mean @ self.p["loading"].T + self.p["level"]
        reach = self.p["loading"] @ np.linalg.cholesky(mixture.covariance)
        weight = np.exp(mixture.log_weight) / points.shape[1]
        for draw in range(points.shape[1]):
            eta = level + (reach @ points[:, draw, :, None])[..., 0]
            yield weight, self.readout.distribution.from_eta(eta, self.p)
