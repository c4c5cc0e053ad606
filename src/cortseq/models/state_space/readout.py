"""How a recording is seen through a latent: the common face of signals and counts.

A bin is seen through the linear read-out eta_t = C z_t + d, parameters "loading" C (feature, latent) and
"level" d (feature,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.state_space import latent
from cortseq.models.state_space.latent import Belief, Evidence, Filtered, Posterior

if TYPE_CHECKING:
    from cortseq.models.predictive import Predictive
    from cortseq.models.state_space.seen import Seen

_NUMBERS = 1 << 22  # of one array (trial, time, latent, latent)


class Readout(ABC):
    """Abstract: what a bin is drawn from, given its latent.

    `common` holds what is measured once on training trials, not learned by EM.
    """

    is_gaussian: ClassVar[bool] = False  # whether bins are Gaussian given the latent

    def __init__(self, prior: float):
        self.prior = prior
        self.common: Params = {}

    @abstractmethod
    def measure(self, train: Data) -> None:
        """Set `common` from the training trials."""

    @abstractmethod
    def encoded(self, data: Data) -> np.ndarray:
        """Return what the start is found from, (trial, time, feature) about 0; 0 where a bin is missing."""

    @abstractmethod
    def begin(self, train: Data) -> Params:
        """Return parameters of this face that predict as the null does, with a loading of 0 latents."""

    @abstractmethod
    def filtered(self, p: Params, data: Data) -> Filtered:
        """Return the latents of every bin given the bins before, and given those up to it."""

    @abstractmethod
    def posterior(self, p: Params, data: Data, path: np.ndarray | None = None) -> Posterior:
        """Return the latents given all bins; `path` (trial, time, latent): where a search begins."""

    @abstractmethod
    def given(self, p: Params, data: Data, z: np.ndarray) -> np.ndarray:
        """Return log p(y_t | z_t), (trial, time) nats, at latents z; anything where a bin is missing."""

    @abstractmethod
    def evidence(self, p: Params, data: Data, z: np.ndarray | None = None) -> Evidence:
        """Return the likelihood of every bin to second order about latents z (trial, time, latent)."""

    @abstractmethod
    def seen(self, p: Params, data: Data) -> Seen:
        """Return the bins as mixtures of Gaussians of the latent predict them."""

    @abstractmethod
    def maximise(self, p: Params, parts: list[tuple[Data, Posterior]]) -> Params:
        """Return the parameters of this face of greatest expected log posterior density: the M-step.

        `p` are those of the E-step; `parts` are the training trials with their latents.
        """

    @abstractmethod
    def log_prob(self, p: Params, data: Data, belief: Belief) -> np.ndarray:
        """Return log p(y_t) in nats under beliefs p(z_t | some past), (trial, time)."""

    @abstractmethod
    def expected(self, p: Params, data: Data, belief: Belief) -> np.ndarray:
        """Return E[y_t], (trial, time, feature), under beliefs p(z_t | y_<t)."""

    @abstractmethod
    def predictive(self, p: Params, data: Data, belief: Belief) -> Predictive:
        """Return the distribution of every bin under beliefs p(z_t | y_<t)."""

    @abstractmethod
    def draw(
        self, p: Params, z: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw one bin of every trial, (trial, feature), at latents z (trial, latent).

        `before` (trial, feature): the bin before; None in the first.
        """

    @abstractmethod
    def n_free(self, n_latents: int) -> int:
        """Return the number of free parameters of this face."""

    def factors(self, p: Params, data: Data, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return J (trial, time, latent, latent) and h (trial, time, latent); 0 where a bin is missing."""
        found = self.evidence(p, data, z)
        info = found.info[found.which[found.row]]
        return np.where(data.valid[..., None, None], info, 0.0), np.where(
            data.valid[..., None], found.given, 0.0
        )

    def log_prior(self, p: Params) -> float:
        """Return the log prior density of the parameters of this face but for a constant."""
        return 0.0

    def parts(self, data: Data, n_latents: int) -> list[Data]:
        """Return the trials in parts whose covariances are small enough to hold at once."""
        size = max(1, _NUMBERS // (data.valid.shape[1] * n_latents**2))
        return [data.at(slice(first, first + size)) for first in range(0, len(data.y), size)]

    def forecasts(self, p: Params, data: Data, deepest: int) -> list[np.ndarray]:
        """Return log p(y_t | y_0 .. y_{t-h}) for h = 1 .. deepest, each (trial, time) in nats."""
        offset, belief, found = latent.offsets(p, data), self.filtered(p, data).predicted, []
        for _ in range(deepest):
            found.append(self.log_prob(p, data, belief))
            belief = belief.shifted(p, offset)
        return found
