"""The flat causal mean: what the last few bins say about the rate, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.base import Learned, Model, Run
from cortseq.models.floor import best, refined, with_sd
from cortseq.models.horizons import delayed, forecasts
from cortseq.observations import TRACKS, emission_of

WINDOWS = (1, 2, 5, 10, 20, 50, 100, 200)  # bins
SHRINKAGE = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # bins' worth of the training mean


class Flat(Model):
    """Mean of the last B valid bins of the trial, each unit alone, shrunk to the training mean m.

        m_t = (sum_{l=1..B} y_{t-l} + k m) / (n_t + k),   n_t the valid bins among them

    the rate of counts, the frequencies of the last B labels, the mean of a signal (with one residual sd per
    channel); B and k are chosen on validation. A forecast is flat too: the rate known at t - h holds until t.
    """

    role: ClassVar = "baseline"
    rung: ClassVar = "L0'"
    blockwise: ClassVar = True
    family: Literal["flat"] = "flat"

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Choose the window and the shrinkage on validation."""
        emission = emission_of(train)
        overall = emission.estimate(train.y, train.valid)
        fixed = {"centre": emission.mean(overall)} | {
            k: overall[k] for k in ("sd", "dispersion") if k in overall
        }

        def settings() -> Iterator[tuple[Params, dict[str, Any]]]:
            for window, shrinkage in itertools.product(WINDOWS, SHRINKAGE):
                params = {**fixed, "window": np.array(window), "shrinkage": np.array(shrinkage)}
                chosen = {"window_bins": window, "shrinkage_bins": shrinkage}
                yield with_sd(params, overall, partial(_mean, params), train), chosen

        _, params, chosen = best(emission, valid, settings(), _distribution)
        params |= refined(emission, params, partial(_mean, params), train)
        return Learned(
            {k: v[None] for k, v in params.items()},
            emission.n_free(train.n_features) + 2,
            card={"chosen": chosen, "settings_tried": len(WINDOWS) * len(SHRINKAGE)},
        )

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_<t) in nats, (1, trial, time)."""
        return self.forecast(params, data, [1])[..., 0]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return m_t, (1, trial, time, feature)."""
        return _mean({k: v[0] for k, v in params.items()}, data)[None]

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}), (1, trial, time, horizon): the rate of h - 1 bins ago."""
        p = {k: v[0] for k, v in params.items()}
        emission = emission_of(data)
        return forecasts(data, horizons, lambda h: emission.log_prob(_distribution(p, data, h), data.y))

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw bin after bin from the mean of the last ones, (trial, time, feature); labels (trial, time)."""
        track, n, emission = TRACKS[shape["track"]], shape["n_features"], emission_of(shape)
        drawn: list[np.ndarray] = []
        for _ in range(n_time):
            last = [track.encoded(y, n) for y in drawn[-int(params["window"]) :]]
            k = params["shrinkage"]
            mean = (sum(last, np.zeros((n_trials, n))) + k * params["centre"]) / (len(last) + k)
            drawn.append(emission.draw(emission.around(mean, params), rng))
        return np.stack(drawn, 1)


def _mean(p: Params, data: Data) -> np.ndarray:
    """m_t, (trial, time, feature)."""
    valid = data.valid[..., None]
    above = np.where(valid, data.kind.encoded(data.y, data.n_features) - p["centre"], 0.0)
    total, n = (a.cumsum(1) for a in (above, valid.astype(float)))
    window = int(p["window"])
    total, n = (delayed(a, 1) - delayed(a, window + 1) for a in (total, n))
    return np.asarray(p["centre"] + total / (n + p["shrinkage"]))


def _distribution(p: Params, data: Data, horizon: int = 1) -> Params:
    """Parameters of the emission `horizon` bins ahead: the flat mean as it was known then."""
    mean = _mean(p, data)
    if horizon > 1:
        mean = np.where(np.arange(mean.shape[1])[:, None] < horizon, p["centre"], delayed(mean, horizon - 1))
    return emission_of(data).around(mean, p)


MODEL = Flat
