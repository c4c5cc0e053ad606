"""Population states: bins of counts or signals as labels, and what is observed in each state.

The parameters are a plain dict: "decay", "centroids" (state, feature), and "rate" or "mean" and "sd" (state,
feature). Everything is learned from training trials; the label at t depends on y_<=t only.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortseq.data import Data, Params, Passes, points_of
from cortseq.observations import MIN_SD, emission_of, varying, with_dispersion
from cortseq.observations.poisson import shrunk_rates

Parts = Passes[tuple[np.ndarray, np.ndarray]]

DECAYS = (0.0, 0.4, 0.6, 0.7, 0.8, 0.9)  # per bin, of the causal exponential smoothing before k-means
_MOST_POINTS = 30_000  # training bins that k-means sees: more change the score in the fourth digit
_QUICK_POINTS = 10_000  # and where decays are compared, with one start and few steps
_STEPS, _QUICK_STEPS = 100, 20
_AT_ONCE = 1 << 18  # distances in one array: what a cache holds


def learn(
    train: Data, decay: float, states: int, restarts: int, seed: int, quick: bool = False
) -> tuple[Params, np.ndarray]:
    """Learn an encoder of `states` population states.

    On symbols there is nothing to learn: the labels are the symbols. quick: where bins are many, clusters
    that are good enough to compare decays.

    Returns
    -------
    The parameters of encoder and emissions, and the labels (trial, time) of the training bins.
    """
    params: Params = {"decay": np.array([decay])}
    if train.kind.has_labels:
        return params, train.y
    quick = quick and train.valid.sum() > _QUICK_POINTS
    parts = _parts(train, decay)
    points = points_of(parts, _QUICK_POINTS if quick else _MOST_POINTS, np.random.default_rng(seed))
    params["centroids"] = _centroids(points, states, 1 if quick else restarts, seed, quick)
    found = np.concatenate([nearest(smooth, params["centroids"]) for smooth, _ in parts])
    if train.kind.has_events:
        return {**params, "rate": shrunk_rates(*_totals(train, found, states))}, found
    return params | _gaussians(train, found, states), found


def labels(params: Params, data: Data) -> np.ndarray:
    """Return the state of each bin, (trial, time): the nearest centroid; on symbols the symbols."""
    if data.kind.has_labels:
        return data.y
    parts = _parts(data, float(params["decay"][0]))
    return np.concatenate([nearest(smooth, params["centroids"]) for smooth, _ in parts])


def smooth_step(before: np.ndarray | None, y: np.ndarray, decay: float) -> np.ndarray:
    """Return e_t = d e_{t-1} + (1 - d) y_t of bins (..., feature); e_0 = y_0 where `before` is None."""
    return np.asarray(y, float) if before is None else decay * before + (1 - decay) * y


def smoothed(data: Data, decay: float) -> np.ndarray:
    """Return what is clustered, (trial, time, feature): square roots of smoothed counts, or smoothed signals.

    Smoothing is causal and starts at the first valid bin of a trial; a missing bin carries the last value on.
    """
    out = np.empty(data.y.shape)
    now = np.zeros(data.y.shape[::2])
    seen = np.zeros((len(now), 1), bool)
    for t in range(data.y.shape[1]):
        valid = data.valid[:, t, None]
        step = np.where(seen, smooth_step(now, data.y[:, t], decay), data.y[:, t])
        now, seen = np.where(valid, step, now), seen | valid
        out[:, t] = now
    return data.kind.rooted(out)


def _parts(data: Data, decay: float) -> Parts:
    """Return smoothed bins (trial, time, feature) and their masks (trial, time), in blocks of trials."""
    return Passes(data, lambda block: (smoothed(block, decay), block.valid))


def nearest(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the index of the nearest centroid, (...), of x (..., feature); centroids (state, feature)."""
    square, twice = (centroids**2).sum(1), -2 * centroids.T
    parts = np.array_split(x, max(1, x[..., 0].size * len(centroids) // _AT_ONCE))
    return np.concatenate([(part @ twice + square).argmin(-1) for part in parts])


def _centroids(points: np.ndarray, k: int, restarts: int, seed: int, quick: bool) -> np.ndarray:
    """Return the centres of k clusters of points (point, feature), fewer where fewer points differ."""
    from sklearn.cluster import KMeans

    steps = _QUICK_STEPS if quick else _STEPS
    k = min(k, len(np.unique(points, axis=0)))  # surplus states are never visited
    return np.asarray(
        KMeans(k, n_init=restarts, max_iter=steps, random_state=seed).fit(points).cluster_centers_
    )


def likelihood(
    p: Params, data: Data, trials: Any = np.s_[:], chosen: Any = np.s_[:], peak: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """p(y_t | label) / exp(peak_t), (trial, time, label), and peak_t in nats, (trial, time).

    The peak is the largest log-likelihood over the labels unless it is given. On symbols the likelihood is 1
    for the symbol itself. `trials` and `chosen` (labels) select.
    """
    if data.kind.has_labels:
        one_hot = data.y[trials][..., None] == np.arange(data.n_features)[chosen]
        return one_hot.astype(float), np.zeros(one_hot.shape[:2])
    log_p = _log_likelihood(p, data.at(trials), chosen)
    peak = log_p.max(-1) if peak is None else peak[trials]
    return np.exp(log_p - peak[..., None]), peak


def _log_likelihood(p: Params, data: Data, chosen: Any) -> np.ndarray:
    """Return log p(y_t | state) in nats, (trial, time, state), as products of matrices."""
    own: Params = {k: p[k][chosen] for k in ("rate", "mean", "sd") if k in p}
    emission, every = emission_of(data), with_dispersion(own, p)
    return np.concatenate([emission.log_prob_states(every, block.y) for _, block in data.blocks()])


def _gaussians(train: Data, found: np.ndarray, k: int) -> Params:
    """Means per state (one bin's worth of the overall mean added), one sd per channel.

    The sd is about the state's mean in the *other* trials: clusters of many channels fit their own bins, and
    an sd about those means would be too small for every new trial.
    """
    y = train.y[train.valid]
    n, total = _totals(train, found, k)
    overall, square = y.mean(0), np.zeros(y.shape[1])
    for trial in range(len(train.y)):
        own, state = train.at([trial]), found[[trial]]
        n_own, total_own = _totals(own, state, k)
        mean = (total - total_own + overall) / (n - n_own + 1)
        square += ((own.y - mean[state])[own.valid] ** 2).sum(0)
    sd = np.maximum(np.sqrt(square / len(y)), MIN_SD * varying(y.std(0)))
    mean = (total + overall) / (n + 1)
    return {"mean": mean, "sd": np.broadcast_to(sd, mean.shape).copy()}


def _totals(train: Data, found: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Bins (state, 1) of each state and sums (state, feature) over them."""
    total = np.zeros((k, train.n_features))
    for trials, block in train.blocks():
        state, y = found[trials][block.valid], block.y[block.valid]
        total += np.stack([np.bincount(state, column, minlength=k) for column in y.T], 1)
    return np.bincount(found[train.valid], minlength=k)[:, None], total
