"""Observation models: what a recurrent model's read-out says about the next bin.

The observation follows from the recording and the study, never from the model: all models of a study share it.
Only how many components a mixture of it has (`Mixture`) is a model's. Each maps a linear read-out `eta`
(..., n_features) to log-probabilities, means and draws, and encodes what was seen as network input. `tangent`
is the derivative of the encoded mean: what a closed loop feeds back, moved by k vectors `moved` (..., n_readout, k).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy

if TYPE_CHECKING:
    import torch

    from cortseq.data import Data
else:
    torch = lazy("torch")

MIN_LOG_RATE, MAX_LOG_RATE = -16.0, 6.0  # expected counts per bin between 1e-7 and 400: an explicit floor
# Dispersions of counts: held in these ranges, which are part of the model.
LOG_ALPHA = (-7.0, 9.0)  # negative binomial; at the lower end a variance of 1.001 times the mean at one spike
LOG_NU = (-3.0, math.log(10))  # Conway-Maxwell; at the upper end two spikes are 1/500 as likely as Poisson's
MIN_LOG_SD = math.log(0.03)  # Gaussian sd never below 3 % of the training sd: part of the model


class Poisson:
    """Counts: y_n ~ Poisson(exp(eta_n)), independent given the state. Input: the raw counts."""

    smooth_draws = False  # whether a draw with the same noise has a derivative

    def __init__(self, n_features: int, support: int = 0):
        self.n_features = self.n_encoded = self.n_readout = n_features

    def start_parameters(self, y: np.ndarray, valid: np.ndarray, rng) -> dict[str, np.ndarray]:
        """Read-out bias at the training rates, so that learning starts at the null."""
        rate = (y[valid].sum(0) + 0.5) / (valid.sum() + 1.0)  # finite where a unit is silent
        return {"readout_bias": np.log(rate)}

    def encode(self, p: dict, y: torch.Tensor) -> torch.Tensor:
        return y

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """sum_n y_n eta_n - exp(eta_n) - ln y_n!, (...)."""
        eta = eta.clamp(MIN_LOG_RATE, MAX_LOG_RATE)
        return (y * eta - eta.exp() - torch.lgamma(y + 1)).sum(-1)

    def mean(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        return eta.clamp(MIN_LOG_RATE, MAX_LOG_RATE).exp()

    def slope(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        """dE[y_n] / d eta_n, 0 outside the range of eta."""
        return self.mean(p, eta) * ((eta >= MIN_LOG_RATE) & (eta <= MAX_LOG_RATE))

    def tangent(self, p: dict, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        return self.slope(p, eta).unsqueeze(-1) * moved

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        return torch.poisson(self.mean(p, eta), generator=generator)


class NegativeBinomial(Poisson):
    """Counts that vary more than their mean: mean exp(eta_n), variance mean + alpha_n mean^2, alpha learned."""

    def start_parameters(self, y: np.ndarray, valid: np.ndarray, rng) -> dict[str, np.ndarray]:
        """Rates and dispersions of the null."""
        start = super().start_parameters(y, valid, rng)
        return start | {"log_dispersion": _null_dispersion("negative_binomial", y, valid, LOG_ALPHA)}

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """sum_n y eta - (y + 1/alpha) ln(1 + alpha e^eta) + ln [(1 + alpha) .. (1 + alpha (y - 1))] - ln y!, (...)."""
        eta = eta.clamp(MIN_LOG_RATE, MAX_LOG_RATE)
        log_alpha = _row(p["log_dispersion"], eta).clamp(*LOG_ALPHA)
        r = (-log_alpha).exp()
        wide = r.double()  # the difference of two large numbers
        rising = (torch.lgamma(y.double() + wide) - torch.lgamma(wide)).to(eta.dtype) + y * log_alpha
        raised = torch.log1p((eta + log_alpha).exp())
        return (y * eta - (y + r) * raised + rising - torch.lgamma(y + 1)).sum(-1)

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        """A Poisson count whose rate is Gamma distributed."""
        alpha = _row(p["log_dispersion"], eta).clamp(*LOG_ALPHA).exp()
        shape = (1 / alpha).expand(eta.shape).contiguous()
        rate = torch._standard_gamma(shape, generator=generator) * alpha * self.mean(p, eta)
        return torch.poisson(rate, generator=generator)


class ConwayMaxwell(Poisson):
    """Counts that vary less (nu_n > 1) or more than their mean: log p(y) = y eta - nu ln y! - ln Z(eta, nu).

    eta is the natural parameter, in which (with nu) the log-likelihood is concave; nu is learned. Z is a
    sum over 0 .. `support`, which is part of the model and belongs to the recording (twice its largest count
    + 20, `cortseq.recording.with_observation`); eta is at most nu ln(support), where its end is the likeliest count.
    """

    def __init__(self, n_features: int, support: int):
        super().__init__(n_features, support)
        self.support = support
        self.log_factorial = [math.lgamma(k + 1) for k in range(support + 1)]

    def start_parameters(self, y: np.ndarray, valid: np.ndarray, rng) -> dict[str, np.ndarray]:
        """Natural parameters and dispersions of the null."""
        from cortseq.observations import conway_maxwell

        rate = np.exp(super().start_parameters(y, valid, rng)["readout_bias"])
        log_nu = _null_dispersion("conway_maxwell", y, valid, LOG_NU, self.support)
        eta, _ = conway_maxwell.natural(rate, np.exp(log_nu), self.support)
        return {"readout_bias": eta, "log_dispersion": log_nu}

    def _held(self, p: dict, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """eta in its range, and nu."""
        nu = _row(p["log_dispersion"], eta).clamp(*LOG_NU).exp()
        return torch.minimum(eta.clamp_min(MIN_LOG_RATE), nu * math.log(self.support)), nu

    def _sums(self, eta: torch.Tensor, nu: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """ln Z and E[y], one term after another: no array has an axis for the terms."""
        with torch.no_grad():  # the largest term, by which all are divided
            mode = (eta / nu).exp().floor().clamp(0, self.support)
            largest = mode * eta - nu * torch.lgamma(mode + 1)
        total, first = torch.zeros_like(eta), torch.zeros_like(eta)
        for k, log_factorial in enumerate(self.log_factorial):
            w = (k * eta - nu * log_factorial - largest).exp()
            total, first = total + w, first + k * w
        return total.log() + largest, first / total

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        eta, nu = self._held(p, eta)
        return (y * eta - nu * torch.lgamma(y + 1) - self._log_z(eta, nu)).sum(-1)

    def _log_z(self, eta: torch.Tensor, nu: torch.Tensor) -> torch.Tensor:
        if eta.is_cuda:
            return self._sums(eta, nu)[0]
        from cortseq.observations.normaliser import LogNormaliser

        return LogNormaliser.apply(eta, nu, self.support)

    def mean(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        return self._sums(*self._held(p, eta))[1]

    def slope(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        """dE[y] / d eta = Var[y]."""
        k, probability = self._terms(p, eta)
        mean = (k * probability).sum(-1, keepdim=True)
        return ((k - mean) ** 2 * probability).sum(-1) * (self._held(p, eta)[0] == eta)

    def _terms(self, p: dict, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The counts 0 .. `support`, and the probability of each (..., n_features, count)."""
        held, nu = self._held(p, eta)
        k = torch.arange(self.support + 1, dtype=eta.dtype, device=eta.device)
        logits = held.unsqueeze(-1) * k - nu.unsqueeze(-1) * torch.lgamma(k + 1)
        return k, torch.softmax(logits, -1)

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        flat = self._terms(p, eta)[1].reshape(-1, self.support + 1)
        return torch.multinomial(flat, 1, generator=generator).reshape(eta.shape).to(eta.dtype)


class Mixture:
    """Counts whose units vary together given the state: `components` populations of independent units.

        log p(y) = ln sum_m w_m prod_n p(y_n; eta_mn),    E[y_n] = sum_m w_m E[y_n; eta_mn]

    The read-out is M logits of w, then M x n_features etas; `one` is the observation of a unit, its
    dispersion shared by the components.
    """

    smooth_draws = False

    def __init__(self, one: Any, components: int):
        self.one, self.components = one, components
        self.n_features, self.n_encoded = one.n_features, one.n_encoded
        self.n_readout = components * (1 + one.n_features)

    def start_parameters(self, y: np.ndarray, valid: np.ndarray, rng) -> dict[str, np.ndarray]:
        """About the null; components that were equal would stay so: their gradients would be."""
        start = self.one.start_parameters(y, valid, rng)
        moved = rng.normal(0, 0.3, (self.components, self.n_features))
        bias = start["readout_bias"] + moved - np.log(np.exp(moved).mean(0))
        return start | {"readout_bias": np.concatenate([np.zeros(self.components), bias.ravel()])}

    def encode(self, p: dict, y: torch.Tensor) -> torch.Tensor:
        return self.one.encode(p, y)

    def _parts(self, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """ln w (..., component) and etas (..., component, n_features)."""
        logits, etas = eta[..., : self.components], eta[..., self.components :]
        return torch.log_softmax(logits, -1), etas.unflatten(-1, (self.components, self.n_features))

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        log_w, etas = self._parts(eta)
        return torch.logsumexp(log_w + self.one.log_prob(p, etas, y.unsqueeze(-2)), -1)

    def mean(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        log_w, etas = self._parts(eta)
        return (log_w.exp().unsqueeze(-1) * self.one.mean(p, etas)).sum(-2)

    def tangent(self, p: dict, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        log_w, etas = self._parts(eta)
        logits, each = moved[..., : self.components, :], moved[..., self.components :, :]
        each = self.one.tangent(p, etas, each.unflatten(-2, (self.components, self.n_features)))
        w = log_w.exp()
        within = (w[..., None, None] * each).sum(-3)
        return within + self.one.mean(p, etas).mT @ softmax_tangent(w, logits)

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        log_w, etas = self._parts(eta)
        flat = log_w.exp().reshape(-1, self.components)
        chosen = torch.multinomial(flat, 1, generator=generator).reshape(*log_w.shape[:-1], 1, 1)
        picked = etas.gather(-2, chosen.expand(*chosen.shape[:-1], self.n_features)).squeeze(-2)
        return self.one.draw(p, picked, generator)


class Categorical:
    """Symbols: p(s) = softmax(eta)_s. Input: one-hot."""

    smooth_draws = False

    def __init__(self, n_features: int, support: int = 0):
        self.n_features = self.n_encoded = self.n_readout = n_features

    def start_parameters(self, y: np.ndarray, valid: np.ndarray, rng) -> dict[str, np.ndarray]:
        frequency = np.bincount(y[valid].astype(int), minlength=self.n_features) + 0.5
        return {"readout_bias": np.log(frequency / frequency.sum())}

    def encode(self, p: dict, y: torch.Tensor) -> torch.Tensor:
        """One-hot of labels (integers); probabilities (floating point, (..., n_features)) pass as they are."""
        if y.is_floating_point():
            return y
        return torch.nn.functional.one_hot(y.long(), self.n_features).to(p["readout_bias"].dtype)

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(eta, -1).gather(-1, y.long().unsqueeze(-1)).squeeze(-1)

    def mean(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        return torch.softmax(eta, -1)

    def tangent(self, p: dict, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        return softmax_tangent(torch.softmax(eta, -1), moved)

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        flat = torch.softmax(eta, -1).reshape(-1, self.n_features)
        return torch.multinomial(flat, 1, generator=generator).reshape(eta.shape[:-1])


class Gaussian:
    """Signals: y_n ~ N(m_n + s_n eta_n, (s_n sd_n)^2), m and s the training mean and sd, sd learned.

    eta is (..., n_features), or after `skipped` (..., 2 n_features): eta, then each bin's own log sd.
    """

    smooth_draws = True

    def __init__(self, n_features: int, support: int = 0):
        self.n_features = self.n_encoded = self.n_readout = n_features

    def start_parameters(self, y: np.ndarray, valid: np.ndarray, rng) -> dict[str, np.ndarray]:
        from cortseq.observations.emissions import varying

        return {
            "readout_bias": np.zeros(self.n_features),
            "log_sd": np.zeros(self.n_features),
            "signal_mean": y[valid].mean(0),
            "signal_scale": varying(y[valid].std(0)),
        }

    def encode(self, p: dict, y: torch.Tensor) -> torch.Tensor:
        return (y - _row(p["signal_mean"], y)) / _row(p["signal_scale"], y)

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        eta, log_sd = self._parts(p, eta)
        z = (self.encode(p, y) - eta) * torch.exp(-log_sd)
        scale = torch.log(_row(p["signal_scale"], eta))
        return (-0.5 * z**2 - log_sd - scale - 0.5 * math.log(2 * math.pi)).sum(-1)

    def _parts(self, p: dict, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log sds of the standardised signal, (..., n_features)."""
        if eta.shape[-1] == self.n_features:
            return eta, _row(p["log_sd"], eta).clamp_min(MIN_LOG_SD)
        return eta[..., : self.n_features], eta[..., self.n_features :]

    def mean(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        eta, _ = self._parts(p, eta)
        return _row(p["signal_mean"], eta) + _row(p["signal_scale"], eta) * eta

    def tangent(self, p: dict, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """`moved` itself, the encoded mean being eta; an sd does not move."""
        return moved

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        eta, log_sd = self._parts(p, eta)
        sd = _row(p["signal_scale"], eta) * log_sd.exp()
        noise = torch.randn(eta.shape, generator=generator, dtype=eta.dtype, device=eta.device)
        return self.mean(p, eta) + sd * noise


OBSERVATIONS: dict[str, Any] = {
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "conway_maxwell": ConwayMaxwell,
    "categorical": Categorical,
    "gaussian": Gaussian,
}
FIXED = frozenset({"signal_mean", "signal_scale", "skip"})  # measured on training trials, not learned


def observation_of(shape: Data | dict, mixture: int = 1) -> Any:
    """The observation model of a recording; `shape`: its Data, or the card of a fit to it."""
    known = shape if isinstance(shape, dict) else vars(shape)
    one = OBSERVATIONS[known["observation"]](known["n_features"], known["support"])
    return Mixture(one, mixture) if mixture > 1 else one


def autoregression(y: np.ndarray, valid: np.ndarray, start: dict) -> dict[str, np.ndarray]:
    """z_t = D z_{t-1} + d + sd e_t of every channel by least squares over the pairs of valid bins (order 1).

    z is `y` standardised by `start`. Where there is no pair, or no variance in it, D is 0.
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


def skipped(p: dict, eta: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """eta + D last and the log sd of each bin, (..., 2 n_features), as `Gaussian` takes them.

    `last` (..., n_features): the standardised signal of the bin before; where it is NaN there was none, and
    the sd is that of the training bins.
    """
    none = last.isnan()
    mean = eta + _row(p["skip"], eta) * torch.where(none, 0.0, last)
    log_sd = torch.where(none, 0.0, _row(p["log_sd"], eta).clamp_min(MIN_LOG_SD))
    return torch.cat([mean, log_sd.expand(mean.shape)], -1)


def softmax_tangent(p: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """What tangent vectors of logits (..., n, k) do to their softmax p (..., n)."""
    p = p.unsqueeze(-1)
    return p * (moved - (p * moved).sum(-2, keepdim=True))


def _null_dispersion(name: str, y: np.ndarray, valid: np.ndarray, bounds, support: int = 0) -> np.ndarray:
    """The null's log dispersion per unit, inside its range: at an end there would be no gradient."""
    from cortseq.observations.emissions import EMISSIONS

    found = np.log(EMISSIONS[name](y.shape[-1], support).estimate(y, valid)["dispersion"])
    return np.clip(found, bounds[0] + 0.1, bounds[1] - 0.1)


def _row(parameter: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A per-feature parameter (feature,) or (member, feature) shaped to broadcast against `like`."""
    if parameter.ndim == 1:
        return parameter
    return parameter.reshape(parameter.shape[0], *(1,) * (like.ndim - 2), parameter.shape[1])
