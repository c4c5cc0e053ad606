"""Markov chains: directly on symbols, or over discretised population states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.special import gammaln, logsumexp

from cortseq.models import chain
from cortseq.models.base import Data, Fit, Learned, Model, Params, Run
from cortseq.models.emissions import EMISSIONS, MIN_RATE, MIN_SD, varying

DECAYS = (0.0, 0.4, 0.6, 0.7, 0.8, 0.9)  # per bin, of the causal exponential smoothing before k-means
ALPHAS = (0.01, 0.1, 0.5, 1.0, 10.0)
_MOST_POINTS = 30_000  # training bins that k-means sees: more change the score in the fourth digit
_PRIOR = np.logspace(-2, 3, 31)  # bins' worth of the Gamma prior


class Markov(Model):
    """Markov chain of order k.

    On symbols: p(s_t | s_{t-k} .. s_{t-1}). On counts and signals over `states` population states: states
    are k-means clusters (k-means++, several starts) of the square root of causally smoothed counts
    e_t = d e_{t-1} + (1 - d) y_t, and the prediction is the normalised mixture

        p(y_t | past) = sum_j A[context_t -> j] prod_n Pois(y_nt; lambda_jn)

    with lambda_jn from the training bins of state j under a Gamma prior set by empirical Bayes. Encoder
    and rates see training trials only; d (and alpha of additive smoothing, unless given) are chosen on validation.
    """

    role: ClassVar = "markov"
    idle: ClassVar = {"symbols": ("states", "restarts")}

    family: Literal["markov"] = "markov"
    states: Annotated[int, Field(ge=2, le=512)] = 16
    order: Annotated[int, Field(ge=0, le=8)] = 1
    smoothing: Literal["witten_bell", "additive"] = "witten_bell"
    alpha: Annotated[float, Field(gt=0)] | None = Field(
        None, description="of additive smoothing; default: chosen on validation"
    )
    restarts: Annotated[int, Field(ge=1)] = Field(3, description="k-means starts; the tightest is kept")

    def fit_sequences(self, sequences: Sequence[np.ndarray], n_symbols: int, valid=None, **how) -> Fit:
        """Fit to sequences of labels; `valid` serves the choice of alpha. Without it alpha is 0.5 if not given."""
        if valid is None and self.smoothing == "additive" and self.alpha is None:
            return self.model_copy(update={"alpha": 0.5}).fit_sequences(sequences, n_symbols, **how)
        return super().fit_sequences(sequences, n_symbols, valid, **how)

    def learn(self, train: Data, valid: Data, run: Run) -> Learned:
        best: tuple[float, Params, dict] = (-np.inf, {}, {})
        decays = (0.0,) if train.track == "symbols" else DECAYS
        alphas = (self.alpha or 0.0,) if self.alpha or self.smoothing != "additive" else ALPHAS
        for decay in decays:
            params = self._estimate(train, decay, run.seed)
            for alpha in alphas:
                params = {**params, "alpha": np.array([alpha])}
                score = float(np.sum(self.score(_with_member(params), valid)[0][valid.valid]))
                if score > best[0]:
                    best = (score, params, {"decay": decay, "alpha": alpha})
            run.progress(
                f"markov {self.states} states order {self.order}: decay {decay}, validation {score:.1f} nats"
            )
        table = {k: v for k, v in best[1].items() if k.startswith(("keys", "cells", "counts"))}
        m = self._n_labels(train)
        n_free = chain.n_contexts(table, self.order) * (m - 1)
        n_free += 0 if train.track == "symbols" else m * train.n_features
        return Learned(
            _with_member(best[1]),
            n_free,
            card={"chosen": best[2], "settings_tried": len(decays) * len(alphas)},
        )

    def _n_labels(self, data: Data) -> int:
        return data.n_features if data.track == "symbols" else self.states

    def _estimate(self, train: Data, decay: float, seed: int) -> Params:
        params: Params = {"decay": np.array([decay])}
        if train.track != "symbols":
            params["centroids"] = _centroids(train, decay, self.states, self.restarts, seed)
        labels = _labels(params, train)
        if train.track == "counts":
            params["rate"] = _rates(train, labels, self.states)
        elif train.track == "signal":
            params |= _gaussians(train, labels, self.states)
        return params | chain.count(labels, train.valid, self._n_labels(train), self.order)

    def _rows(self, p: Params, labels: np.ndarray, valid: np.ndarray, m: int) -> np.ndarray:
        return chain.transition_rows(p, labels, valid, m, self.order, self.smoothing, float(p["alpha"][0]))

    def score(self, params: Params, data: Data) -> np.ndarray:
        p = {k: v[0] for k, v in params.items()}
        labels = _labels(p, data)
        out = np.empty(data.y.shape[:2])
        for part in np.array_split(np.arange(len(out)), max(1, out.size * self._n_labels(data) // 5_000_000)):
            rows = self._rows(p, labels[part], data.valid[part], self._n_labels(data))
            if data.track == "symbols":
                chosen = np.take_along_axis(rows, labels[part][..., None].astype(int), -1)[..., 0]
                out[part] = np.log(chosen)
            else:
                with np.errstate(divide="ignore"):  # additive smoothing of an unvisited state may give 0
                    out[part] = logsumexp(
                        np.log(rows) + _state_log_prob(p, data.track, data.y[part]), axis=-1
                    )
        return out[None]

    def expect(self, params: Params, data: Data) -> np.ndarray:
        p = {k: v[0] for k, v in params.items()}
        rows = self._rows(p, _labels(p, data), data.valid, self._n_labels(data))
        return (rows if data.track == "symbols" else rows @ p["rate" if data.track == "counts" else "mean"])[
            None
        ]

    def generate(self, params: Params, shape: dict, n_trials: int, n_time: int, rng) -> np.ndarray:
        kind, n = shape["track"], shape["n_features"]
        m = n if kind == "symbols" else self.states
        labels = np.zeros((n_trials, n_time + 1), np.int64)
        known = np.zeros(labels.shape, bool)
        drawn, smooth = [], None
        for t in range(n_time):
            window = slice(max(0, t - self.order), t + 1)
            rows = self._rows(params, labels[:, window], known[:, window], m)[:, -1]
            state = (rng.random((n_trials, 1)) > rows.cumsum(-1)[:, :-1]).sum(-1)
            if kind != "symbols":
                chosen = {k: params[k][state] for k in ("rate", "mean", "sd") if k in params}
                drawn.append(EMISSIONS[kind](n).draw(chosen, rng))
                smooth = _smooth_step(smooth, drawn[-1], float(params["decay"][0]))
                state = _nearest(_root(smooth, kind), params["centroids"])
            labels[:, t], known[:, t] = state, True
        return labels[:, :n_time] if kind == "symbols" else np.stack(drawn, 1)


def _with_member(params: Params) -> Params:
    return {k: v[None] for k, v in params.items()}


def _smooth_step(before, y: np.ndarray, decay: float) -> np.ndarray:
    return np.asarray(y, float) if before is None else decay * before + (1 - decay) * y


def _smoothed(data: Data, decay: float) -> np.ndarray:
    """Causal exponential smoothing within trials from the first valid bin; a missing bin carries the last value on."""
    out = np.empty(data.y.shape)
    now = np.zeros(data.y.shape[::2])
    seen = np.zeros((len(now), 1), bool)
    for t in range(data.y.shape[1]):
        valid = data.valid[:, t, None]
        step = np.where(seen, _smooth_step(now, data.y[:, t], decay), data.y[:, t])
        now, seen = np.where(valid, step, now), seen | valid
        out[:, t] = now
    return _root(out, data.track)


def _root(smooth: np.ndarray, kind: str) -> np.ndarray:
    """Square roots of smoothed counts: their noise does not grow with the rate."""
    return np.sqrt(smooth) if kind == "counts" else smooth


def _nearest(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((centroids**2).sum(1) - 2 * x @ centroids.T).argmin(-1)


def _labels(params: Params, data: Data) -> np.ndarray:
    if data.track == "symbols":
        return data.y
    return _nearest(_smoothed(data, float(params["decay"][0])), params["centroids"])


def _centroids(train: Data, decay: float, k: int, restarts: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    points = _smoothed(train, decay)[train.valid]
    if len(points) > _MOST_POINTS:
        points = points[np.random.default_rng(seed).choice(len(points), _MOST_POINTS, replace=False)]
    k = min(k, len(np.unique(points, axis=0)))  # surplus states are never visited
    return KMeans(k, n_init=restarts, max_iter=100, random_state=seed).fit(points).cluster_centers_


def _state_log_prob(p: Params, kind: str, y: np.ndarray) -> np.ndarray:
    """log p(y | state), (trial, time, state), as products of matrices."""
    if kind == "counts":
        rate = np.maximum(p["rate"], MIN_RATE)
        return y @ np.log(rate).T - rate.sum(1) - gammaln(y + 1.0).sum(-1, keepdims=True)
    weight = p["sd"] ** -2.0
    square = (y**2) @ weight.T - 2 * y @ (weight * p["mean"]).T + (weight * p["mean"] ** 2).sum(1)
    return -0.5 * square - np.log(p["sd"]).sum(1) - 0.5 * y.shape[-1] * np.log(2 * np.pi)


def _rates(train: Data, labels: np.ndarray, k: int) -> np.ndarray:
    """lambda (state, unit): posterior means under Gamma(b m_n, b), b by maximum marginal likelihood."""
    member = np.eye(k)[labels[train.valid]]
    n, total = member.sum(0)[:, None], member.T @ train.y[train.valid]
    mean = (total.sum(0) + 0.5) / (n.sum() + 1)

    def evidence(b: float) -> float:
        a = b * mean
        return float((gammaln(a + total) - gammaln(a) + a * np.log(b) - (a + total) * np.log(b + n)).sum())

    b = max(_PRIOR, key=evidence)
    return (total + b * mean) / (n + b)


def _gaussians(train: Data, labels: np.ndarray, k: int) -> Params:
    """Means per state (one bin's worth of the overall mean added), one sd per channel."""
    member = np.eye(k)[labels[train.valid]]
    y = train.y[train.valid]
    mean = (member.T @ y + y.mean(0)) / (member.sum(0)[:, None] + 1)
    sd = np.maximum((y - mean[labels[train.valid]]).std(0), MIN_SD * varying(y.std(0)))
    return {"mean": mean, "sd": np.broadcast_to(sd, mean.shape).copy()}


MODEL = Markov
