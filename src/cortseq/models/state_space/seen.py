"""The bins of a recording as a mixture of Gaussians of the latent predicts them: signals and counts.

    p(z_t) = sum_i w_i N(z_t; m_i, P_i),    p(y_t) = sum_i w_i integral N(z; m_i, P_i) p(y_t | z) dz

Of signals the integral is a Gaussian. Of counts it is the mean over fixed points, as in `draws`: M of them
in all, of which a likely component has more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
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
FEWEST = 8  # draws of a component
_NUMBERS = 1 << 21  # of one array (trial, draw, unit)


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
        mean, covariance, state = (a[row, kept] for a in (self.mean, self.covariance, self.state))
        seen = {name: a[row, kept] for name, a in self.seen.items()}
        return Mixture(log_weight, mean, covariance, state, seen)


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
    def mixed(
        self, t: int, mixture: Mixture, values: Callable[[Params, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return the mean of a function of what bins are drawn from, (trial, feature).

        values : (parameters (row, feature), trials (row,)) -> (row, feature).
        """

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
        """Return exact means, covariances and log-probabilities (trial, component)."""
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
        """Return the moments of `begun` one bin further, (trial, component, ..)."""
        if not before.seen:
            return {}
        loading, n_states = self.p["loading"], len(self.p["offset"])
        mean, cross, spread = (np.concatenate([v] * n_states, 1) for v in before.seen.values())
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
        """Return the moments of bins given the latent, (trial, component, ..)."""
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

    def mixed(
        self, t: int, mixture: Mixture, values: Callable[[Params, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return the mean of `values` over the components, (trial, channel); see `Seen.mixed`."""
        loading = self.p["loading"]
        spread = ((loading @ mixture.covariance) * loading).sum(-1) + self.variance[:, t, None]
        mean = self._in_unit(t, mixture.mean @ loading.T + self.p["level"])
        bins = {"mean": mean, "sd": self.readout.common["scale"] * np.sqrt(spread)}
        flat = {name: v.reshape(-1, v.shape[-1]) for name, v in bins.items()}
        each = values(flat, np.repeat(np.arange(len(mean)), mean.shape[1])).reshape(mean.shape)
        return np.asarray(np.einsum("rc,rcf->rf", np.exp(mixture.log_weight), each))


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
        """Return Laplace's approximations of means, covariances and log-probabilities (trial, component)."""
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
        out = np.empty(len(self.y))
        for trials, drawn in self._drawn(mixture):
            a, b = self.readout.terms(self.p, drawn.eta)
            each = np.einsum("du,du->d", a, self.y[trials, t][drawn.trial]) - b.sum(-1)
            out[trials] = drawn.log_mean(each)
        return np.asarray(out + self.base[:, t])

    def _drawn(self, mixture: Mixture) -> Iterator[tuple[slice, Drawn]]:
        """Yield some trials with their draws."""
        points, loading = self.p["points"], self.p["loading"]
        size = max(1, _NUMBERS // (len(points) * max(len(loading), points.shape[1] ** 2)))
        for first in range(0, len(mixture.mean), size):
            some = slice(first, first + size)
            weight, n = np.exp(mixture.log_weight[some]), points.shape[1]
            draws = _shares(weight, (len(points) + FEWEST) // 2)
            of = np.repeat(np.arange(draws.size), draws.ravel())
            place = np.arange(len(of)) - (draws.cumsum() - draws.ravel())[of]
            x = points[draws.ravel()[of] - FEWEST + place]
            low = np.linalg.cholesky(mixture.covariance[some]).reshape(-1, n, n)
            z = mixture.mean[some].reshape(-1, n)[of] + (low[of] @ x[..., None])[..., 0]
            share = weight.ravel()[of] / draws.ravel()[of]
            yield some, Drawn(of // weight.shape[1], share, z @ loading.T + self.p["level"])

    def expected(self, t: int, mixture: Mixture) -> np.ndarray:
        """Return E[y_t] of the mixture over the draws, (trial, unit)."""
        out = np.empty((len(self.y), self.y.shape[2]))
        for trials, drawn in self._drawn(mixture):
            rate = self.readout.distribution.from_eta(drawn.eta, self.p)["rate"]
            out[trials] = drawn.summed(drawn.weight[:, None] * rate)
        return out

    def mixed(
        self, t: int, mixture: Mixture, values: Callable[[Params, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return the mean of `values` over the draws, (trial, .., unit); see `Seen.mixed`."""
        out = []
        for trials, drawn in self._drawn(mixture):
            bins = self.readout.distribution.from_eta(drawn.eta, self.p)
            rows = np.arange(len(self.y))[trials][drawn.trial]
            out.append(drawn.summed(drawn.weight[:, None] * values(bins, rows)))
        return np.concatenate(out)


@dataclass(frozen=True)
class Drawn:
    """Draws of the latents of some trials, one after another.

    Attributes
    ----------
    trial : (draw,), ascending.
    weight : (draw,), those of a trial sum to 1.
    eta : (draw, unit).
    """

    trial: np.ndarray
    weight: np.ndarray
    eta: np.ndarray

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over the draws of each trial, (trial, ..), of values (draw, ..)."""
        first = np.searchsorted(self.trial, np.arange(self.trial[-1] + 1))
        return np.asarray(np.add.reduceat(values, first, axis=0))

    def log_mean(self, log_values: np.ndarray) -> np.ndarray:
        """Return the log of the mean of each trial, (trial,), of logarithms (draw,)."""
        first = np.searchsorted(self.trial, np.arange(self.trial[-1] + 1))
        top = np.maximum.reduceat(log_values, first)
        mean = np.add.reduceat(self.weight * np.exp(log_values - top[self.trial]), first)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mean) + top)


def _shares(weight: np.ndarray, n: int) -> np.ndarray:
    """Return how many of about n draws each component of weight (trial, component) has: powers of two.

    Half of them go by weight, half to all alike: after a switch a component that was unlikely may explain a
    bin alone.
    """
    share = 0.5 * n * (weight / weight.sum(1, keepdims=True) + 1 / weight.shape[1])
    return np.asarray(np.maximum(FEWEST, 1 << np.round(np.log2(share)).astype(int).clip(0)))
