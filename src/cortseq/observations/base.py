"""What every distribution of a bin offers: one face for numpy models, one for the read-out of a network.

A distribution is one file of this folder with a line `OBSERVATION = Class`. Its class derives from
`Distribution` (numpy: baselines, chains, hidden Markov models, regressions) and names a `Readout` (torch:
networks) and a `StateEmission` (expected statistics for EM). Counts get all three from
`cortseq.observations.counts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from cortseq.errors import CortseqError

if TYPE_CHECKING:
    import torch

    from cortseq.observations.states import StateEmission

Params = dict[str, Any]

MIN_RATE = 1e-7  # expected counts per bin: the floor of every model, and part of it
MIN_LOG_RATE, MAX_LOG_RATE = -16.0, 9.0  # of a log rate: expected counts between 1e-7 and 8,100 a bin
MIN_SD = 0.03  # of the training sd: the floor of every Gaussian, and part of the model


class Loss(Protocol):
    """A negative log-likelihood with a canonical link; its gradient by eta is mean - y.

    Arrays are (output, bin).
    """

    separable: bool  # whether outputs can be minimised one by one

    def mean(self, eta: np.ndarray) -> np.ndarray:
        """Return E[y], (output, bin)."""

    def value(self, eta: np.ndarray, mean: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the sum over bins, (output,); one number where the loss is not separable."""

    def curvature(self, mean: np.ndarray, change: np.ndarray) -> np.ndarray:
        """Return the second derivative of `value` along `change`, shaped like `value`."""

    def variance(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return the mean second derivative by eta at the constant prediction of n bins, (output,).

        `total` (output,) is the sum of y over these bins.
        """

    def start(self, total: np.ndarray, n: int) -> np.ndarray:
        """Return the intercepts of the constant prediction, (output,); arguments as of `variance`."""


class Distribution:
    """Abstract: what a bin is drawn from, on numpy arrays.

    Parameters of bins are a dict of arrays (..., feature) that broadcast against y: (trial, time, feature)
    counts or samples, (trial, time) labels.

    Parameters
    ----------
    n_features : units, channels or labels.
    support : largest count that has a probability, 0 where there is no largest one.
    """

    track: ClassVar[str]  # "counts", "symbols" or "signal"
    loss: ClassVar[Loss]  # of a regression whose outputs are the features
    readout: ClassVar[type[Readout]]  # the face for networks
    states: ClassVar[type[StateEmission]]  # the face for EM

    def __init__(self, n_features: int, support: int = 0):
        self.n_features, self.support = n_features, support

    @classmethod
    def support_of(cls, y: np.ndarray) -> int:
        """Return the largest count with a probability, from recorded y (trial, time, feature); 0: none."""
        return 0

    def estimate(self, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return the parameters (feature,) of a constant prediction from the valid bins (trial, time)."""
        raise NotImplementedError

    def log_prob(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return log p(y) in nats, (trial, time)."""
        raise NotImplementedError

    def log_prob_states(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return log p(y | state) in nats, (..., state), for parameters (state, feature)."""
        raise NotImplementedError

    def mean(self, p: Params) -> np.ndarray:
        """Return E[y], (..., feature); for labels their probabilities."""
        raise NotImplementedError

    def cdf(self, p: Params, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y) of each feature on its own, (..., feature); labels have no order and no cdf."""
        raise NotImplementedError

    def variance(self, p: Params) -> np.ndarray:
        """Return the variance of each feature, (..., feature), or what broadcasts to it."""
        raise NotImplementedError

    def around(self, mean: np.ndarray, p: Params) -> Params:
        """Return parameters of bins with means (..., feature); what the mean does not say comes from `p`."""
        raise NotImplementedError

    def from_eta(self, eta: np.ndarray, p: Params) -> Params:
        """Return parameters of bins from a linear predictor (..., feature): a regression's inverse link."""
        raise NotImplementedError

    def dispersion(self, rate: np.ndarray, n: np.ndarray, total: np.ndarray, y: np.ndarray) -> Params:
        """Return the likeliest dispersions (feature,), {} where there are none.

        Arguments as of `counts.CountDistribution.dispersion`.
        """
        return {}

    def refined(self, p: Params, means: Iterable[np.ndarray], y: np.ndarray) -> Params:
        """Return what `p` lacks of the likeliest parameters once each bin has a mean of its own.

        Counts: the dispersions. Others: nothing.

        Parameters
        ----------
        means : consecutive blocks of expected values, each (bin, feature); made only where they are needed.
        y : (bin, feature), all bins of all blocks.
        """
        return {}

    def over_time(self, mean: np.ndarray, y: np.ndarray, valid: np.ndarray) -> Params:
        """Return parameters (time, feature) with means (time, feature) that all trials share.

        Dispersions and sds are one per feature, estimated about these means from y (trial, time, feature).
        """
        raise NotImplementedError

    def draw(self, p: Params, rng: np.random.Generator) -> np.ndarray:
        """Draw one value for every bin of `p`, (..., feature); labels (...)."""
        raise NotImplementedError

    def n_free(self, n_features: int, sets: int = 1) -> int:
        """Return the free parameters of `sets` sets of means; dispersions and sds are shared by all sets."""
        raise NotImplementedError


class Readout:
    """Abstract: what a linear read-out `eta` (..., n_readout) says about a bin, on torch tensors.

    `p` holds the network's parameters by name; those of this face are the ones of `start_parameters`.

    Attributes
    ----------
    n_readout : numbers of the read-out for a bin.
    n_encoded : numbers by which the network sees a bin.
    smooth_draws : whether a draw with the same noise has a derivative.
    linear : whether the encoded mean is eta itself, so that a network that reads what it expects reads a
        linear function of its state.
    """

    smooth_draws: ClassVar[bool] = False
    linear: ClassVar[bool] = False

    def __init__(self, distribution: Distribution):
        self.distribution, self.support = distribution, distribution.support
        self.n_features = self.n_encoded = self.n_readout = distribution.n_features

    def start_parameters(
        self, y: np.ndarray, valid: np.ndarray, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return the parameters before learning, at which the network predicts as the null does.

        Parameters
        ----------
        y : (trial, time, feature) training bins; labels (trial, time).
        valid : (trial, time) which of them exist.
        rng : of every random number.

        Returns
        -------
        Arrays of one member, among them "readout_bias" (n_readout,); the others are (feature,).
        """
        raise NotImplementedError

    def encode(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return what the network sees of a bin, (..., n_encoded)."""
        return y

    def rooted(self, y: torch.Tensor) -> torch.Tensor:
        """Return smoothed bins (..., feature) in the space where population states are clusters."""
        return y

    def log_prob(self, p: Params, eta: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return log p(y) in nats, (...)."""
        raise NotImplementedError

    def constant(self, p: Params, y: torch.Tensor) -> torch.Tensor:
        """Return the part of -log p(y) without learned parameters, (trial, time); compiled heads omit it."""
        raise NotImplementedError

    def mean(self, p: Params, eta: torch.Tensor) -> torch.Tensor:
        """Return E[y], (..., n_features)."""
        raise NotImplementedError

    def predicted(self, p: Params, eta: torch.Tensor) -> tuple[torch.Tensor | None, Params]:
        """Return weights (..., component), None for a single one, and parameters as of `Distribution`.

        Those are (..., feature), or (..., component, feature) where there are weights.
        """
        raise NotImplementedError

    def tangent(self, p: Params, eta: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Return the change (..., n_encoded, k) of the encoded mean when eta moves by (..., n_readout, k)."""
        raise NotImplementedError

    def draw(self, p: Params, eta: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """Draw one bin for every eta (..., n_readout): (..., n_features), labels (...)."""
        raise NotImplementedError


def varying(sd: np.ndarray) -> np.ndarray:
    """Return `sd` (channel,) of training channels.

    Raises
    ------
    CortseqError : a channel is constant, which leaves no scale to score on.
    """
    if (sd == 0).any():
        raise CortseqError(
            "a channel is constant in the training trials",
            key="channel",
            value=int(np.argmin(sd)),
            fix="leave it out",
        )
    return sd


def with_dispersion(means: Params, p: Params) -> Params:
    """Return `means` and, where `p` has them, the dispersions."""
    return means | {k: p[k] for k in ("dispersion",) if k in p}
