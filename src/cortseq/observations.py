"""Observation models: what a recurrent model's read-out says about the next bin.

The observation follows from the recording, never from the model. Each maps a linear read-out `eta`
(..., n_features) to log-probabilities, means and draws, and encodes what was seen as network input.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

MIN_LOG_RATE, MAX_LOG_RATE = -16.0, 6.0  # expected counts per bin between 1e-7 and 400: an explicit floor
MIN_LOG_SD = math.log(0.03)  # Gaussian sd never below 3 % of the training sd: part of the model


class Poisson:
    """Counts: y_n ~ Poisson(exp(eta_n)), independent given the state. Input: the raw counts."""

    def __init__(self, n_features: int, bin_width: float):
        self.n_features = self.n_encoded = n_features

    def start_parameters(self, y: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
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

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        return torch.poisson(self.mean(p, eta), generator=generator)


class Categorical:
    """Symbols: p(s) = softmax(eta)_s. Input: one-hot."""

    def __init__(self, n_features: int, bin_width: float):
        self.n_features = self.n_encoded = n_features

    def start_parameters(self, y: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        frequency = np.bincount(y[valid].astype(int), minlength=self.n_features) + 0.5
        return {"readout_bias": np.log(frequency / frequency.sum())}

    def encode(self, p: dict, y: torch.Tensor) -> torch.Tensor:
        """One-hot of labels; what already has a trailing axis (probabilities) passes as it is."""
        return torch.nn.functional.one_hot(y.long(), self.n_features).to(p["readout_bias"].dtype)

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.log_softmax(eta, -1).gather(-1, y.long().unsqueeze(-1)).squeeze(-1)

    def mean(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        return torch.softmax(eta, -1)

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        flat = torch.softmax(eta, -1).reshape(-1, self.n_features)
        return torch.multinomial(flat, 1, generator=generator).reshape(eta.shape[:-1])


class Gaussian:
    """Signals: y_n ~ N(m_n + s_n eta_n, (s_n sd_n)^2), m and s the training mean and sd, sd learned."""

    def __init__(self, n_features: int, bin_width: float):
        self.n_features = self.n_encoded = n_features

    def start_parameters(self, y: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
        from cortseq.models.emissions import varying

        return {
            "readout_bias": np.zeros(self.n_features),
            "log_sd": np.zeros(self.n_features),
            "signal_mean": y[valid].mean(0),
            "signal_scale": varying(y[valid].std(0)),
        }

    def encode(self, p: dict, y: torch.Tensor) -> torch.Tensor:
        return (y - _row(p["signal_mean"], y)) / _row(p["signal_scale"], y)

    def log_prob(self, p: dict, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        log_sd = _row(p["log_sd"], eta).clamp_min(MIN_LOG_SD)
        z = (self.encode(p, y) - eta) * torch.exp(-log_sd)
        scale = torch.log(_row(p["signal_scale"], eta))
        return (-0.5 * z**2 - log_sd - scale - 0.5 * math.log(2 * math.pi)).sum(-1)

    def mean(self, p: dict, eta: torch.Tensor) -> torch.Tensor:
        return _row(p["signal_mean"], eta) + _row(p["signal_scale"], eta) * eta

    def draw(self, p: dict, eta: torch.Tensor, generator) -> torch.Tensor:
        sd = _row(p["signal_scale"], eta) * _row(p["log_sd"], eta).clamp_min(MIN_LOG_SD).exp()
        noise = torch.randn(eta.shape, generator=generator, dtype=eta.dtype, device=eta.device)
        return self.mean(p, eta) + sd * noise


OBSERVATIONS: dict[str, Any] = {"counts": Poisson, "symbols": Categorical, "signal": Gaussian}
FIXED = frozenset({"signal_mean", "signal_scale"})  # measured on training trials, not learned


def _row(parameter: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A per-feature parameter (feature,) or (member, feature) shaped to broadcast against `like`."""
    if parameter.ndim == 1:
        return parameter
    return parameter.reshape(parameter.shape[0], *(1,) * (like.ndim - 2), parameter.shape[1])
