"""Gaussian channels of a linear dynamical system: exact likelihood, filter, smoother and M-step.

    e_t = C z_t + d + v_t,  v_t ~ N(0, R), R diagonal

e_t is the standardised signal, or with `skip` what its own bin before leaves of it, y_t - D y_{t-1}, with D
measured as in networks (`observations.autoregression`). Where the bin before is missing, D y_{t-1} is left
out and R is 1, the variance of the training bins.

Parameter "sd" (channel,) is sqrt(diag R) of the standardised signal, never below MIN_SD.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.predictive import Predictive
from cortseq.models.state_space import latent, skipped
from cortseq.models.state_space.latent import Belief, Evidence, Filtered, Posterior
from cortseq.models.state_space.readout import Readout
from cortseq.models.state_space.seen import SeenSignals
from cortseq.observations import MIN_SD, autoregression
from cortseq.observations.base import varying
from cortseq.observations.gaussian import LOG_2PI


class Signals(Readout):
    """Channels with independent Gaussian noise.

    Parameters
    ----------
    prior : bins' worth of the prior of C, d and R, which is about 0 and sd 1.
    skip : whether a bin is predicted from its own bin before, too.
    """

    is_gaussian: ClassVar = True

    def __init__(self, prior: float, skip: bool):
        super().__init__(prior)
        self.skip = skip

    def measure(self, train: Data) -> None:
        """Set `common` to the training mean and sd of each channel, and to D where there is a skip."""
        y = train.y[train.valid]
        self.common = {"centre": y.mean(0), "scale": varying(y.std(0))}
        if self.skip:
            start = {"signal_mean": self.common["centre"], "signal_scale": self.common["scale"]}
            self.common["skip"] = autoregression(train.y, train.valid, start)["skip"]

    def standard(self, data: Data) -> np.ndarray:
        """Return the standardised signal (trial, time, channel), 0 where a bin is missing."""
        z = (data.y - self.common["centre"]) / self.common["scale"]
        return np.where(data.valid[..., None], z, 0.0)

    def follows(self, data: Data) -> np.ndarray:
        """Return which valid bins have all that they are predicted from, (trial, time)."""
        follows = data.valid.copy()
        if self.skip:
            follows[:, 1:] &= data.valid[:, :-1]
            follows[:, 0] = False
        return follows

    def encoded(self, data: Data) -> np.ndarray:
        """Return e (trial, time, channel), 0 where a bin is missing."""
        z = self.standard(data)
        if self.skip:
            z[:, 1:] -= self.common["skip"] * z[:, :-1]  # the right-hand side is worked out first
        return np.where(data.valid[..., None], z, 0.0)

    def begin(self, train: Data) -> Params:
        """Return the null: level 0 and sd 1 of every channel, or the sd that the bin before leaves."""
        follows = self.follows(train)
        sd = self.encoded(train)[follows].std(0) if follows.any() else np.ones(train.n_features)
        return {
            "loading": np.zeros((train.n_features, 0)),
            "level": np.zeros(train.n_features),
            "sd": np.maximum(sd, MIN_SD),
        }

    def given(self, p: Params, data: Data, z: np.ndarray) -> np.ndarray:
        """Return log p(y_t | z_t), (trial, time) nats, at latents z; anything where a bin is missing."""
        variance = self.variance(p, self.follows(data))
        error = self.encoded(data) - p["level"] - z @ p["loading"].T
        square = (error**2 / variance + np.log(variance) + LOG_2PI).sum(-1)
        return np.asarray(-0.5 * square - np.log(self.common["scale"]).sum())

    def evidence(self, p: Params, data: Data, z: np.ndarray | None = None) -> Evidence:
        """Return J = C' R^-1 C of every valid bin and h = C' R^-1 (e - d); trials with equal gaps share J.

        It is the same for all z (trial, time, latent).
        """
        _, first, row = np.unique(data.valid, axis=0, return_index=True, return_inverse=True)
        follows = self.follows(data)
        given = (self.encoded(data) - p["level"]) / self.variance(p, follows) @ p["loading"]
        which = np.where(data.valid, np.where(follows, 0, 1), -1)[first]
        return Evidence(self._info(p), which, given, row.reshape(-1))

    def _info(self, p: Params) -> np.ndarray:
        """Return C' R^-1 C of a bin that follows another and of one that does not, (2, latent, latent)."""
        weighed = p["loading"] / p["sd"][:, None] ** 2
        return np.stack([p["loading"].T @ weighed, p["loading"].T @ p["loading"]])

    def variance(self, p: Params, follows: np.ndarray) -> np.ndarray:
        """Return diag R of every bin, (trial, time, channel)."""
        return np.where(follows[..., None], p["sd"] ** 2, 1.0)

    def filtered(self, p: Params, data: Data) -> Filtered:
        """Return the exact beliefs before and after every bin."""
        return latent.filtered(p, self.evidence(p, data), latent.offsets(p, data))

    def posterior(self, p: Params, data: Data, path: np.ndarray | None = None) -> Posterior:
        """Return the exact latents given all bins; `path` (trial, time, latent) is of no use here."""
        passed = self.filtered(p, data)
        log_prob = self.log_prob(p, data, passed.predicted)[data.valid].sum()
        return latent.smoothed(p, passed, float(log_prob))

    def seen(self, p: Params, data: Data) -> SeenSignals:
        """Return the bins as mixtures of Gaussians of the latent predict them."""
        return SeenSignals(self, p, data)

    def parts(self, data: Data, n_latents: int) -> list[Data]:
        """Return all trials at once: those without gaps share their covariances."""
        return [data]

    def maximise(self, p: Params, parts: list[tuple[Data, Posterior]]) -> Params:
        """Return C and d of greatest expected posterior density given R, then R given them."""
        n = p["loading"].shape[1]
        xx, xy = np.zeros((2, n + 1, n + 1)), np.zeros((2, n + 1, len(p["level"])))
        yy, count = 0.0, 0
        for data, posterior in parts:
            follows, belief, e = self.follows(data), posterior.belief, self.encoded(data)
            for k, chosen in enumerate((follows, data.valid & ~follows)):
                x = np.concatenate([belief.mean[chosen], np.ones((chosen.sum(), 1))], 1)
                weight = np.zeros(belief.covariance.shape[:2])
                np.add.at(weight, belief.row, chosen.astype(float))
                xx[k] += x.T @ x
                xx[k, :n, :n] += np.einsum("ut,utij->ij", weight, belief.covariance, optimize=True)
                xy[k] += x.T @ e[chosen]
            yy, count = yy + (e[follows] ** 2).sum(0), count + follows.sum()
        variance = p["sd"] ** 2
        both = xx[0] + variance[:, None, None] * xx[1] + self.prior * np.eye(n + 1)
        theta = np.linalg.solve(both, (xy[0] + variance * xy[1]).T[..., None])[..., 0].T
        square = yy - 2 * (theta * xy[0]).sum(0) + (theta * (xx[0] @ theta)).sum(0)
        square = square.clip(0) + self.prior * ((theta**2).sum(0) + 1)
        sd = np.maximum(np.sqrt(square / (count + self.prior)), MIN_SD)
        return {"loading": theta[:-1].T.copy(), "level": theta[-1].copy(), "sd": sd}

    def log_prior(self, p: Params) -> float:
        """Return the log density of the normal-inverse-gamma prior of C, d and R but for a constant."""
        square = (p["loading"] ** 2).sum(1) + p["level"] ** 2 + 1
        return float(-0.5 * self.prior * (2 * np.log(p["sd"]) + square / p["sd"] ** 2).sum())

    def log_prob(self, p: Params, data: Data, belief: Belief) -> np.ndarray:
        """Return log p(y_t), (trial, time) nats: the covariance of the channels is C P_t C' + R.

        By Woodbury's identity nothing larger than (latent, latent) is factorised.
        """
        follows = self.follows(data)
        error = self.encoded(data) - p["level"] - belief.mean @ p["loading"].T
        weighed = error / self.variance(p, follows)
        toward = weighed @ p["loading"]
        square = (error * weighed).sum(-1) + np.where(follows, 2 * np.log(p["sd"]).sum(), 0.0)
        for u, covariance in enumerate(np.nan_to_num(belief.covariance)):  # a mean is NaN where these are
            mine = belief.row == u
            info = self._info(p)[np.where(follows[mine][0], 0, 1)]  # trials of a row have the same gaps
            inner = np.eye(info.shape[1]) + covariance @ info
            inverse = np.linalg.solve(inner, covariance)
            square[mine] -= np.einsum("rti,tij,rtj->rt", toward[mine], inverse, toward[mine], optimize=True)
            square[mine] += np.linalg.slogdet(inner)[1]
        constant = 0.5 * data.n_features * LOG_2PI + np.log(self.common["scale"]).sum()
        return np.asarray(-0.5 * square - constant)

    def forecasts(self, p: Params, data: Data, deepest: int) -> list[np.ndarray]:
        """Return log p(y_t | y_0 .. y_{t-h}) for h = 1 .. deepest, each (trial, time) in nats, exactly."""
        if not self.skip:
            return super().forecasts(p, data, deepest)
        return skipped.forecasts(self, p, data, deepest)

    def expected(self, p: Params, data: Data, belief: Belief) -> np.ndarray:
        """Return E[y_t], (trial, time, channel), in the signal's own unit."""
        z = p["level"] + belief.mean @ p["loading"].T
        if self.skip:
            z[:, 1:] += self.common["skip"] * self.standard(data)[:, :-1]
        return np.asarray(self.common["centre"] + self.common["scale"] * z)

    def predictive(self, p: Params, data: Data, belief: Belief) -> Predictive:
        """Return mean and sd of every channel and bin, each on its own."""
        loading = p["loading"]
        spread = np.einsum("ni,utij,nj->utn", loading, belief.covariance, loading, optimize=True)
        sd = np.sqrt(spread[belief.row] + self.variance(p, self.follows(data)))
        return Predictive({"mean": self.expected(p, data, belief), "sd": self.common["scale"] * sd})

    def draw(
        self, p: Params, z: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw a sample of every trial, (trial, channel), in the signal's own unit."""
        sd = 1.0 if self.skip and before is None else p["sd"]
        e = rng.normal(p["level"] + z @ p["loading"].T, sd)
        if self.skip and before is not None:
            e = e + self.common["skip"] * (before - self.common["centre"]) / self.common["scale"]
        return np.asarray(self.common["centre"] + self.common["scale"] * e)

    def n_free(self, n_latents: int) -> int:
        """Return the number of free parameters: C, d, R, and D where there is a skip."""
        n = len(self.common["centre"])
        return n * (n_latents + 2 + self.skip)
