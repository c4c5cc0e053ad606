"""Counts whose units vary together given the state: a mixture over the whole population.

    log p(y) = ln sum_m w_m prod_n p(y_n; eta_mn),    E[y_n] = sum_m w_m E[y_n; eta_mn]

It is a setting of a network and no observation of a recording: any distribution of counts can be mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cortseq._lazy import lazy
from cortseq.observations import arrays
from cortseq.observations.base import Params, Readout
from cortseq.observations.categorical import softmax_tangent

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")


class Mixture(Readout):
    """`components` populations of independent units.

    The read-out is M logits of w, then M x n_features etas.

    Parameters
    ----------
    component : the read-out of one of them; its dispersions are shared by all components.
    components : M.
    """

    def __init__(self, component: Readout, components: int):
        super().__init__(component.distribution)
        self.component, self.components = component, components
        self.n_readout = components * (1 + component.n_features)

    def start_parameters(
        self, y: np.ndarray, valid: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return components about the null, the read-out's bias being (n_readout,).

        Components that are equal at the start would stay equal, as their gradients would be.
        """
        start = self.component.start_parameters(y, valid, rng)
        moved = rng.normal(0, 0.3, (self.components, self.n_features))
        bias = start["readout_bias"] + moved - np.log(np.exp(moved).mean(0))
        return start | {"readout_bias": np.concatenate([np.zeros(self.components), bias.ravel()])}

    def encode(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return what the network sees of a bin, (..., n_encoded), as a component does."""
        return self.component.encode(p, y)

    def rooted(self, y: torch.Tensor) -> torch.Tensor:
        """Return smoothed bins (..., feature) as a component does."""
        return self.component.rooted(y)

    def _parts(self, eta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ln w (..., component) and etas (..., component, n_features)."""
        logits, etas = eta[..., : self.components], eta[..., self.components :]
        return torch.log_softmax(logits, -1), etas.reshape(*etas.shape[:-1], self.components, self.n_features)

    def log_prob(self, p: Params, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return ln sum_m w_m p(y; eta_m) in nats, (...)."""
        log_w, etas = self._parts(eta)
        return torch.logsumexp(log_w + self.component.log_prob(p, etas, y.unsqueeze(-2)), -1)

    def constant(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return the component's constant, (trial, time): all components share it."""
        return self.component.constant(p, y)

    def mean(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return the weighted mean of the components' means, (..., n_features)."""
        log_w, etas = self._parts(eta)
        return (log_w.exp().unsqueeze(-1) * self.component.mean(p, etas)).sum(-2)

    def predicted(self, p: Params, eta: torch.Tensor) -> tuple[torch.Tensor | None, Params]:
        """Return the weights (..., component) and parameters (..., component, feature)."""
        log_w, etas = self._parts(eta)
        return log_w.exp(), self.component.predicted(p, etas)[1]

    def tangent(self, p: Params, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Return how the mean moves, (..., n_features, k): the components' means move, and their weights."""
        log_w, etas = self._parts(eta)
        logits, inner = moved[..., : self.components, :], moved[..., self.components :, :]
        inner = inner.reshape(*inner.shape[:-2], self.components, self.n_features, inner.shape[-1])
        inner = self.component.tangent(p, etas, inner)
        w = log_w.exp()
        within = (w[..., None, None] * inner).sum(-3)
        means = self.component.encode(p, self.component.mean(p, etas))
        return within + means.mT @ softmax_tangent(w, logits)

    def draw(self, p: Params, eta: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Draw a component for every eta (..., n_readout), then its bin, (..., n_features)."""
        log_w, etas = self._parts(eta)
        chosen = arrays.chosen(log_w.exp(), generator)[..., None, None]
        picked = etas.gather(-2, chosen.expand(*chosen.shape[:-1], self.n_features)).squeeze(-2)
        return self.component.draw(p, picked, generator)
