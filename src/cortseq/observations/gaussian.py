"""Signals: independent Gaussian channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, special
from cortseq.observations import states
from cortseq.observations.arrays import row
from cortseq.observations.base import MIN_SD, Distribution, Params, Readout, varying

if TYPE_CHECKING:
    import torch

    from cortseq.data import Data
else:
    torch = lazy("torch")

MIN_LOG_SD = math.log(MIN_SD)  # of a read-out, in units of the training sd
LOG_2PI = float(np.log(2 * np.pi))
FIXED = frozenset({"signal_mean", "signal_scale", "skip"})  # measured on training trials, not learned


class SquaredLoss:
    """0.5 (y - eta)^2, (output, bin)."""

    separable = True

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return eta itself, (output, bin)."""
        return eta

    def value(self, eta: np.ndarray, mean: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the sum over bins of (y - eta)^2 / 2, (output,)."""
        return np.asarray(0.5 * ((y - eta) ** 2).sum(1))

    def curvature(self, mean: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Return the sum over bins of change^2, (output,)."""
        return np.asarray((change**2).sum(1))

    def variance(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return 1 for every output, (output,): the second derivative is constant."""
        return np.ones(len(total))

    def start(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return the mean of each output, (output,)."""
        return np.asarray(total / n)


class GaussianReadout(Readout):
    """y_n ~ N(m_n + s_n eta_n, (s_n sd_n)^2), m and s the training mean and sd, sd learned.

    eta is (..., n_features), or after `skipped` (..., 2 n_features): eta, then each bin's own log sd.
    """

    smooth_draws = True
    linear = True

    def start_parameters(
        self, y: np.ndarray, valid: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return the training mean and sd, and a read-out that predicts them, each (channel,)."""
        return {
            "readout_bias": np.zeros(self.n_features),
            "log_sd": np.zeros(self.n_features),
            "signal_mean": y[valid].mean(0),
            "signal_scale": varying(y[valid].std(0)),
        }

    def encode(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return the standardised signal, (..., channel)."""
        return (y - row(p["signal_mean"], y)) / row(p["signal_scale"], y)

    def log_prob(self, p: Params, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the log density of the signal y (..., channel) in nats, summed over channels, (...)."""
        eta, log_sd = self._parts(p, eta)
        z = (self.encode(p, y) - eta) * torch.exp(-log_sd)
        scale = torch.log(row(p["signal_scale"], eta))
        return (-0.5 * z**2 - log_sd - scale - 0.5 * LOG_2PI).sum(-1)

    def constant(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return sum ln s + (n / 2) ln 2 pi, s the training sds: the same in every bin, (trial, time)."""
        each = float(p["signal_scale"].log().sum()) + 0.5 * self.n_features * LOG_2PI
        return torch.full(y.shape[:-1], each, dtype=torch.float64)

    def _parts(self, p: Params, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return means and log sds of the standardised signal, (..., n_features)."""
        if eta.shape[-1] == self.n_features:
            return eta, row(p["log_sd"], eta).clamp_min(MIN_LOG_SD)
        return eta[..., : self.n_features], eta[..., self.n_features :]

    def mean(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return the mean of the signal in its own unit, (..., channel)."""
        eta, _ = self._parts(p, eta)
        return row(p["signal_mean"], eta) + row(p["signal_scale"], eta) * eta

    def predicted(self, p: Params, eta: torch.Tensor) -> tuple[torch.Tensor | None, Params]:
        """Return None, and mean and sd of the signal in its own unit, each (..., channel)."""
        _, log_sd = self._parts(p, eta)
        return None, {"mean": self.mean(p, eta), "sd": row(p["signal_scale"], log_sd) * log_sd.exp()}

    def tangent(self, p: Params, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Return `moved` (..., channel, k) itself, the encoded mean being eta; an sd does not move."""
        return moved

    def draw(self, p: Params, eta: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Draw samples of the signal in its own unit, (..., channel)."""
        eta, log_sd = self._parts(p, eta)
        sd = row(p["signal_scale"], eta) * log_sd.exp()
        noise = torch.randn(eta.shape, generator=generator, dtype=eta.dtype, device=eta.device)
        return self.mean(p, eta) + sd * noise


class GaussianStates(states.StateEmission):
    """Gaussian channels per state, standardised; normal-inverse-gamma prior around mean 0, sd 1."""

    names: tuple[str, ...] = ("mean", "sd")

    def standardise(self, train: Data) -> None:
        """Set `common` to the training mean and sd of each channel."""
        y = train.y[train.valid]
        self.common = {"centre": y.mean(0), "scale": varying(y.std(0))}

    def _standard(self, y: np.ndarray) -> np.ndarray:
        return np.asarray((y - self.common["centre"]) / self.common["scale"])

    def _back(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self.common["centre"] + self.common["scale"] * z)

    def constant(self, y: np.ndarray) -> float:
        """Return the part of the log density of y (time, trial, channel) that all states and bins share."""
        return float(-0.5 * self.n_features * LOG_2PI - np.log(self.common["scale"]).sum())

    def features(self, y: np.ndarray, valid: np.ndarray, precision: type = float) -> tuple[Any, ...]:
        """Return z, z^2 and 1 of each bin, (time * trial, 2 channel + 1), z standardised."""
        z = self._standard(y)
        return (states.with_ones([z, z**2], valid, precision),)

    def weights(self, p: Params) -> np.ndarray:
        """Return the weights of z, z^2 and 1, (state, 2 channel + 1)."""
        return gaussian_weights(p["mean"], p["sd"])

    def pool(self, sums: Params) -> None:
        """Set `overall` to nothing: the prior is about mean 0 and sd 1."""
        self.overall = {}

    def maximise(self, sums: Params) -> Params:
        """Return standardised means and sds, (state, channel), of greatest posterior density."""
        mean, sd = gaussian_moments(sums["sums"], self.prior)
        return {"mean": mean, "sd": sd}

    def log_prior(self, p: Params) -> float:
        """Return the log density of the prior at all means and sds but for a constant."""
        return gaussian_prior(p["mean"], p["sd"], self.prior)

    def mean(self, p: Params) -> np.ndarray:
        """Return the mean of each state in the signal's own unit, (state, channel)."""
        return self._back(p["mean"])

    def draw(
        self, p: Params, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw a sample for every trial from its state, (trial, channel), in the signal's own unit."""
        return self._back(rng.normal(p["mean"][state], p["sd"][state]))

    def n_free(self) -> int:
        """Return the number of free parameters of a state: a mean and an sd per channel."""
        return 2 * self.n_features


class Gaussian(Distribution):
    """Parameters "mean" and "sd", (..., channel); no family's sd is below MIN_SD of the training sd."""

    track = "signal"
    loss = SquaredLoss()
    readout = GaussianReadout
    states = GaussianStates

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return the training mean and sd, (channel,)."""
        return {"mean": y[valid].mean(0), "sd": varying(y[valid].std(0))}

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return the log density in nats summed over channels, (trial, time)."""
        z = (y - p["mean"]) / p["sd"]
        return np.asarray((-0.5 * z**2 - np.log(p["sd"]) - 0.5 * np.log(2 * np.pi)).sum(-1))

    def log_prob_states(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return log p(y | state) in nats, (..., state), by matrix products; parameters (state, channel)."""
        mean, sd = p["mean"], p["sd"]
        weight = sd**-2.0
        square = (y**2) @ weight.T - 2 * y @ (weight * mean).T + (weight * mean**2).sum(1)
        return np.asarray(-0.5 * square - np.log(sd).sum(1) - 0.5 * y.shape[-1] * np.log(2 * np.pi))

    def mean(self, p: Params) -> np.ndarray:
        """Return the means themselves, (..., channel)."""
        return np.asarray(p["mean"])

    def around(self, mean: np.ndarray, p: Params) -> Params:
        """Return parameters with means `mean` (..., channel) and the sd of `p`."""
        return {"mean": mean, "sd": p["sd"]}

    def cdf(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y) of each channel, (..., channel)."""
        return np.asarray(special.ndtr((y - p["mean"]) / p["sd"]))

    def variance(self, p: Params) -> np.ndarray:
        """Return the squared sds, (..., channel) or (channel,)."""
        return np.asarray(p["sd"] ** 2)

    def from_eta(self, eta: np.ndarray, p: Params) -> Params:
        """Return mean and sd (..., channel) of a standardised prediction eta (..., channel).

        `p` holds signal_mean, signal_scale and the standardised sd, each (channel,).
        """
        return {"mean": p["signal_mean"] + p["signal_scale"] * eta, "sd": p["signal_scale"] * p["sd"]}

    def over_time(self, mean: np.ndarray, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return means (time, channel) and the sd about them of each channel, repeated over time."""
        sd = np.maximum((y - mean)[valid].std(0), MIN_SD * self.estimate(y, valid)["sd"])
        return {"mean": mean, "sd": np.broadcast_to(sd, mean.shape).copy()}

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        """Draw samples, (..., channel)."""
        return np.asarray(rng.normal(p["mean"], p["sd"]))

    def n_free(self, n_features: int, sets: int = 1) -> int:
        """Return the number of free parameters: a mean per channel and set, and an sd per channel."""
        return n_features * (sets + 1)


# -- densities and estimates of standardised channels -------------------------------------------------


def correlated_log_prob(error: np.ndarray, covariance: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return ln N(error; 0, covariance) of standardised errors, as a density of the signal.

    Parameters
    ----------
    error : (..., channel)
    covariance : (channel, channel)
    scale : (channel,) sd by which the signal was divided.

    Returns
    -------
    (...) nats.
    """
    lower = np.linalg.cholesky(covariance)
    z = np.linalg.solve(lower, error.T).T
    volume = np.log(np.diag(lower)).sum() + np.log(scale).sum()
    return np.asarray(-0.5 * (z**2).sum(-1) - volume - 0.5 * error.shape[-1] * np.log(2 * np.pi))


def gaussian_weights(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return weights (state, 2 channel + 1) of z, z^2 and 1 in sum_d -(z - mean)^2 / (2 sd^2) - log sd."""
    precision = sd**-2.0
    rest = (-0.5 * precision * mean**2 - np.log(sd)).sum(1)
    return np.asarray(np.c_[precision * mean, -0.5 * precision, rest])


def gaussian_moments(sums: np.ndarray, prior: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and sd (state, channel) from the sums of z, z^2 and 1, (state, 2 channel + 1)."""
    first, second = np.split(sums[:, :-1], 2, axis=1)
    n = sums[:, -1:]
    mean = first / (n + prior)
    square = (second - 2 * mean * first + n * mean**2).clip(0) + prior * (mean**2 + 1)
    return mean, np.sqrt(square / (n + prior)).clip(MIN_SD)


def gaussian_prior(mean: np.ndarray, sd: np.ndarray, prior: float) -> float:
    """Return the log density of the prior at means and sds (state, channel), but for a constant."""
    return float(-0.5 * prior * (2 * np.log(sd) + (mean**2 + 1) / sd**2).sum())


# -- a read-out that sees the bin before --------------------------------------------------------------


def autoregression(y: np.ndarray, valid: np.ndarray, start: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fit z_t = D z_{t-1} + d + sd e_t to each channel by least squares over pairs of valid bins (order 1).

    Parameters
    ----------
    y, valid : (trial, time, channel), (trial, time).
    start : signal_mean and signal_scale (channel,), by which z is standardised.

    Returns
    -------
    "skip" D, "readout_bias" d and "log_sd", (channel,). Where there is no pair, or no variance in it, D is 0.
    """
    pairs = valid[:, 1:] & valid[:, :-1]
    if not pairs.any():
        return {"skip": np.zeros(y.shape[-1])}
    before, now = (
        (part[pairs] - start["signal_mean"]) / start["signal_scale"] for part in (y[:, :-1], y[:, 1:])
    )
    mean, variance = before.mean(0), before.var(0)
    slope = ((before - mean) * now).mean(0) / np.where(variance > 0, variance, 1.0)
    intercept = now.mean(0) - slope * mean
    square = ((now - slope * before - intercept) ** 2).sum(0) / max(len(now) - 2, 1)  # two were fitted
    log_sd = np.maximum(0.5 * np.log(np.maximum(square, 1e-12)), MIN_LOG_SD)
    return {"skip": slope, "readout_bias": intercept, "log_sd": log_sd}


def skipped(p: Params, eta: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Return eta + D last and the log sd of each bin, (..., 2 n_features), as `GaussianReadout` takes them.

    Parameters
    ----------
    eta : (..., n_features)
    last : (..., n_features) the standardised signal of the bin before. Where it is NaN there was none, and
        the sd is that of the training bins.
    """
    none = last.isnan()
    mean = eta + row(p["skip"], eta) * torch.where(none, 0.0, last)
    log_sd = torch.where(none, 0.0, row(p["log_sd"], eta).clamp_min(MIN_LOG_SD))
    return torch.cat([mean, log_sd.expand(mean.shape)], -1)


OBSERVATION = Gaussian
