"""The distribution that a fit predicts for each bin, feature by feature: goodness of fit is read from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq.data import Data, Params
from cortseq.observations import Distribution, emission_of

if TYPE_CHECKING:
    from cortseq.models.base import Model


@dataclass(frozen=True)
class Predictive:
    """A mixture p(y_t | y_<t) = sum_k w_tk prod_n p(y_nt; parameters of k), or one component without weights.

    Attributes
    ----------
    bins : parameters of the observation, (trial, time, feature); with weights (component, feature) or
        (trial, time, component, feature). What all bins share is (feature,).
    weight : (trial, time, component) probabilities; None: one component.
    """

    bins: Params
    weight: np.ndarray | None = None

    def at(self, trials: slice) -> Predictive:
        """Return the distributions of some trials."""
        bins = {name: v[trials] if np.ndim(v) > 2 else v for name, v in self.bins.items()}
        return Predictive(bins, None if self.weight is None else self.weight[trials])

    def cdf(self, emission: Distribution, y: np.ndarray) -> np.ndarray:
        """Return P(Y <= y) of each feature on its own, (trial, time, feature), for y of that shape."""
        if self.weight is None:
            return emission.cdf(self.bins, y)
        return self._mixed(emission.cdf(self.bins, y[..., None, :]))

    def moments(self, emission: Distribution) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and variance of each feature, each (trial, time, feature) or what broadcasts to it."""
        mean, variance = emission.mean(self.bins), emission.variance(self.bins)
        if self.weight is None:
            return mean, variance
        expected = self._mixed(mean)
        return expected, self._mixed(variance + mean**2) - expected**2

    def _mixed(self, values: np.ndarray) -> np.ndarray:
        assert self.weight is not None
        each = np.broadcast_to(values, (*self.weight.shape, values.shape[-1]))
        return np.asarray(np.einsum("rtk,rtkf->rtf", self.weight, each))


def around_expected(model: Model, params: Params, data: Data) -> Iterator[Predictive]:
    """Yield each member's observation about what it expects, with the member's sds or dispersions.

    Right for every family that predicts one component per bin.
    """
    emission: Any = emission_of(data)
    for member, mean in enumerate(model.predict(params, data)):
        shared = {key: params[key][member] for key in ("sd", "dispersion") if key in params}
        yield Predictive(emission.around(mean, shared))
