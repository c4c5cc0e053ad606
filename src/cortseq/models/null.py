"""The null: a constant prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.base import Learned, Model, Run
from cortseq.models.horizons import forecasts
from cortseq.observations import emission_of


class Null(Model):
    """Training rates (and dispersions, if counts have them), label frequencies, or mean and variance.

    The zero of every score: bits/spike are gains over it.
    """

    role: ClassVar = "null"
    blockwise: ClassVar = True
    family: Literal["null"] = "null"

    @property
    def has_history(self) -> bool:
        """Whether predictions depend on what was observed before in the trial."""
        return False

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Estimate the constant prediction from the training bins."""
        emission = emission_of(train)
        params = emission.estimate(train.y, train.valid)
        return Learned({k: v[None] for k, v in params.items()}, emission.n_free(train.n_features))

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t) in nats, (1, trial, time)."""
        return emission_of(data).log_prob({k: v[0] for k, v in params.items()}, data.y)[None]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return the constant prediction, (1, trial, time, feature)."""
        mean = emission_of(data).mean({k: v[0] for k, v in params.items()})
        return np.broadcast_to(mean, (1, *data.y.shape[:2], data.n_features))

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t), (1, trial, time, horizon): the same at every horizon."""
        return forecasts(data, horizons, lambda h: self.log_prob(params, data)[0])

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw independent bins, (trial, time, feature); labels (trial, time)."""
        everywhere = {k: np.broadcast_to(v, (n_trials, n_time, *v.shape)) for k, v in params.items()}
        return emission_of(shape).draw(everywhere, rng)


MODEL = Null
