"""Persistence: the next bin is like the last one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from cortseq.data import Data, Params
from cortseq.models.base import Learned, Model, Run
from cortseq.models.floor import refined
from cortseq.models.horizons import delayed, farthest, forecasts
from cortseq.models.predictive import Predictive
from cortseq.observations import MIN_SD, TRACKS, Distribution, emission_of, with_dispersion

SHARES = (0.0, *np.linspace(0.02, 0.98, 49).round(2).tolist(), 0.99, 0.995)


class Persistence(Model):
    """Each unit or channel from its own last bin; m and f are the training rates and label frequencies.

    Counts: y_t ~ Poisson(a y_{t-1} + (1 - a) m). Symbols: the last label again with probability a, else one
    drawn from f. One a, chosen on validation. Signals: y_t ~ N(y_{t-1}, sd^2), sd of the training steps per
    channel. Where the last bin is missing or before the trial: m, f, the training mean and sd. Forecasts are
    exact: powers of the chain (counts are cut where nothing is left of their distribution), a random walk for
    signals.
    """

    role: ClassVar = "baseline"
    rung: ClassVar = "L0'"
    blockwise: ClassVar = True
    family: Literal["persistence"] = "persistence"

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        """Choose the share a on validation; of signals, measure the sd of a step."""
        emission = emission_of(train)
        overall = emission.estimate(train.y, train.valid)
        params: Params = with_dispersion({"centre": emission.mean(overall)}, overall)
        n_free = emission.n_free(train.n_features)
        if train.kind.has_scale:
            both = train.valid[:, 1:] & train.valid[:, :-1]
            steps = np.diff(train.y, axis=1)[both]
            step_sd = np.sqrt((steps**2).mean(0)) if len(steps) else overall["sd"]
            params |= {"sd": overall["sd"], "step_sd": np.maximum(step_sd, MIN_SD * overall["sd"])}
            return Learned({k: v[None] for k, v in params.items()}, n_free + train.n_features)
        scores = [_score({**params, "share": np.array(share)}, valid) for share in SHARES]
        share = SHARES[int(np.argmax(scores))]
        params["share"] = np.array(share)
        params |= refined(emission, params, lambda block: emission.mean(_distribution(params, block)), train)
        return Learned(
            {k: v[None] for k, v in params.items()},
            n_free + 1,
            card={"chosen": {"share": share}, "settings_tried": len(SHARES)},
        )

    def log_prob(self, params: Params, data: Data) -> np.ndarray:
        """Return log p(y_t | y_{t-1}) in nats, (1, trial, time)."""
        p = {k: v[0] for k, v in params.items()}
        return emission_of(data).log_prob(_distribution(p, data), data.y)[None]

    def predict(self, params: Params, data: Data) -> np.ndarray:
        """Return E[y_t | y_{t-1}], (1, trial, time, feature); label probabilities for symbols."""
        return emission_of(data).mean(_distribution({k: v[0] for k, v in params.items()}, data))[None]

    def predictive(self, params: Params, data: Data) -> Iterator[Predictive]:
        """Yield the distribution of every bin: a first bin has the training sd, the others that of a step."""
        yield Predictive(_distribution({k: v[0] for k, v in params.items()}, data))

    def forecast(
        self, params: Params, data: Data, horizons: Sequence[int], samples: int = 128, seed: int = 0
    ) -> np.ndarray:
        """Return log p(y_t | y_0 .. y_{t-h}), (1, trial, time, horizon), exact."""
        p = {k: v[0] for k, v in params.items()}
        if data.kind.has_scale:
            emission = emission_of(data)
            return forecasts(data, horizons, lambda h: emission.log_prob(_walk(p, data, h), data.y))
        y = data.kind.columns(data.y)
        found = {h: np.zeros(data.y.shape[:2]) for h in horizons}
        for unit in range(y.shape[2]):
            rows = step = _chain(p, data, unit)
            for h in range(1, farthest(horizons) + 1):
                if h in found:
                    known = delayed(data.valid, h, False)
                    state = np.where(known, delayed(y[..., unit], h).astype(int), len(step) - 1)
                    seen = np.where(data.valid, y[..., unit], 0).astype(int)
                    found[h] = found[h] + np.log(np.maximum(rows[state, seen], 1e-300))
                rows = rows @ step[:-1]
        return forecasts(data, horizons, found.__getitem__)

    def simulate(
        self, params: Params, shape: dict[str, Any], n_trials: int, n_time: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw each bin from the one before, (trial, time, feature); labels (trial, time)."""
        track, n, emission = TRACKS[shape["track"]], shape["n_features"], emission_of(shape)
        drawn: list[np.ndarray] = []
        for t in range(n_time):
            last = drawn[-1] if drawn else track.blank(n_trials, n)
            q = _given(emission, params, track.encoded(last, n), np.full((n_trials, 1), t > 0))
            drawn.append(emission.draw(q, rng))
        return np.stack(drawn, 1)


def _score(p: Params, valid: Data) -> float:
    """Return the log-likelihood of the valid bins in nats."""
    emission = emission_of(valid)
    nats = [emission.log_prob(_distribution(p, block), block.y)[block.valid] for _, block in valid.blocks()]
    return float(np.concatenate(nats).sum())


def _distribution(p: Params, data: Data) -> Params:
    """Parameters of the emission of each bin."""
    known = delayed(data.valid, 1, False)[..., None]
    return _given(emission_of(data), p, delayed(data.kind.encoded(data.y, data.n_features), 1), known)


def _given(emission: Distribution, p: Params, last: np.ndarray, known: np.ndarray) -> Params:
    """Parameters of bins from the bin before (..., feature), where it is known (..., 1)."""
    if "step_sd" in p:
        return {"mean": np.where(known, last, p["centre"]), "sd": np.where(known, p["step_sd"], p["sd"])}
    mean = np.where(known, p["share"] * last + (1 - p["share"]) * p["centre"], p["centre"])
    return emission.around(mean, p)


def _walk(p: Params, data: Data, horizon: int) -> Params:
    """Return a random walk from the bin `horizon` ago, or from the training mean where that is missing."""
    q = _given(emission_of(data), p, delayed(data.y, horizon), delayed(data.valid, horizon, False)[..., None])
    return {"mean": q["mean"], "sd": np.sqrt(q["sd"] ** 2 + (horizon - 1) * p["step_sd"] ** 2)}


def _chain(p: Params, data: Data, unit: int) -> np.ndarray:
    """p(y_t | y_{t-1}) of one unit or of the label, (state, state); a last row where y_{t-1} is not known."""
    share, m = p["share"], p["centre"]
    if data.kind.has_labels:
        return np.vstack([share * np.eye(len(m)) + (1 - share) * m, m])
    top = float(np.where(data.valid, data.y[..., unit], 0).max())
    size = int(top + 12 * np.sqrt(top + 1)) + 20
    if data.support:  # no count beyond it has a probability
        size = min(size, max(data.support, int(top)) + 1)
    count = np.arange(size)
    rate = np.append(share * count + (1 - share) * m[unit], m[unit])
    own = with_dispersion({"rate": rate[:, None]}, {k: v[[unit]] for k, v in p.items() if k == "dispersion"})
    return np.asarray(np.exp(emission_of(data).log_prob_states(own, count[:, None].astype(float))).T)


MODEL = Persistence
