"""The peri-stimulus time histogram: what is known from the time in the trial alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d

from cortseq.data import Data, Params
from cortseq.models.base import Learned, Model, Run
from cortseq.models.horizons import forecasts
from cortseq.observations import emission_of

WIDTHS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)  # bins, sd of the Gaussian over time
SHRINKAGE = (1.0, 10.0, 100.0, 1000.0)  # trials' worth of the overall mean


class Psth(Model):
    """Mean over training trials at each time in the trial, smoothed over time and shrunk to the overall mean.

    m_t = (sum_r y_rt + k m) / (n_t + k), then a Gaussian of sd w over t; k and w are chosen on the
    validation trials. Smoothing is over *training* trials only, so it is no leak. Signals share one
    residual variance per channel over all times, counts one dispersion per unit where they have one.
    """

    role: ClassVar = "baseline"
    rung: ClassVar = "L0'"
    family: Literal["psth"] = "psth"

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Choose the smoothing over time and the shrinkage on validation."""
        emission = emission_of(train)
        best: tuple[float, Params, dict] = (-np.inf, {}, {})
        for width in WIDTHS:
            for shrinkage in SHRINKAGE:
                params = self._estimate(train, width, shrinkage)
                score = float(np.sum(emission.log_prob(params, valid.y)[valid.valid]))
                if score > best[0]:
                    best = (score, params, {"width_bins": width, "shrinkage_trials": shrinkage})
        n_free = emission.n_free(train.n_features, train.y.shape[1])
        return Learned(
            {k: v[None] for k, v in best[1].items()},
            n_free,
            card={"chosen": best[2], "settings_tried": len(WIDTHS) * len(SHRINKAGE)},
        )

    def _estimate(self, train: Data, width: float, shrinkage: float) -> Params:
        emission = emission_of(train)
        overall = emission.estimate(train.y, train.valid)
        y = train.kind.encoded(train.y, train.n_features)
        centre = emission.mean(overall)
        total = np.where(train.valid[..., None], y, 0).sum(0) + shrinkage * centre
        mean = total / (train.valid.sum(0)[:, None] + shrinkage)
        if width:
            mean = gaussian_filter1d(mean, width, axis=0, mode="nearest")
        return emission.over_time(mean, train.y, train.valid)

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | t) in nats, (1, trial, time)."""
        return emission_of(data).log_prob(_cut(params, data.y.shape[1]), data.y)[None]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return m_t, the same in every trial, (1, trial, time, feature)."""
        mean = emission_of(data).mean(_cut(params, data.y.shape[1]))
        return np.broadcast_to(mean, (1, len(data.y), *mean.shape))

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | t), (1, trial, time, horizon): the same at every horizon."""
        return forecasts(data, horizons, lambda h: self.log_prob(params, data)[0])

    def simulate(self, params: Params, shape: dict, n_trials: int, n_time: int, rng) -> np.ndarray:
        """Draw independent bins about m_t, (trial, time, feature); labels (trial, time)."""
        rows = _cut({k: v[None] for k, v in params.items()}, n_time)
        everywhere = {k: np.broadcast_to(v, (n_trials, *v.shape)) for k, v in rows.items()}
        return emission_of(shape).draw(everywhere, rng)


def _cut(params: Params, n_time: int) -> Params:
    """Return the first n_time bins; past the longest training trial the last bin goes on."""
    return {k: v[0][np.minimum(np.arange(n_time), v.shape[1] - 1)] for k, v in params.items()}


MODEL = Psth
