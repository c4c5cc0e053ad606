"""Expectation maximisation of a hidden Markov model: expected counts, the start of a climb, and the climb."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cortseq._lazy import lazy, pd
from cortseq.data import Data, Params, Passes, points_of
from cortseq.models.base import CURVES
from cortseq.models.hmm import squarem, steered
from cortseq.models.work import Size, Work
from cortseq.observations import StateEmission
from cortseq.observations.states import Block

if TYPE_CHECKING:
    from cortseq.models.hmm.hmm import Hmm

forward_backward = lazy("cortseq.models.hmm.forward_backward")  # it brings the compiler

_TOLERANCE = 1e-7  # nats per event: EM has converged when an iteration gains less
_WORTH = 1e-4  # nats per event: validation that gains less in `patience` iterations is as good as it gets
# Of products and passes over time while learning: twice as fast, with an error far below `_WORTH`.
PRECISION = np.float32
_MOST_POINTS = 20_000  # bins that k-means sees
_SMOOTH = 1.5  # bins, sd of the Gaussian before k-means


@dataclass(frozen=True)
class Expected:
    """What the E-step hands to the M-step.

    Attributes
    ----------
    initial : (state,), expected number of trials that begin in each state.
    transition : (from, to), expected number of moves.
    emission : expected sums of the emission's statistics, by name.
    log_prob : log-likelihood, nats.
    driven : what transitions that inputs steer need beside, see `steered.statistics`.
    at : parameters of which these are the expectations; none where states were given.
    """

    initial: np.ndarray
    transition: np.ndarray
    emission: Params
    log_prob: float
    driven: Params = field(default_factory=dict)
    at: Params = field(default_factory=dict)


def expected(emission: StateEmission, p: Params, blocks: list[Block], precision: type = float) -> Expected:
    """Return the expected counts of all blocks: the E-step.

    Parameters
    ----------
    p : parameters of one member.
    precision : floating-point type of the passes over time.
    """
    return _together(_expected(emission, p, block, precision) for block in blocks)


def log_likelihood(emission: StateEmission, p: Params, blocks: list[Block], precision: type = float) -> float:
    """Return log p(y) summed over all trials, nats."""
    return float(sum(forward(emission, p, b, precision)[2].sum() + b.constant.sum() for b in blocks))


def _expected(emission: StateEmission, p: Params, block: Block, precision: type) -> Expected:
    n = len(p["initial"])
    gamma, belief, ratio, log_prob = smoothed(emission, p, block, precision)
    driven: Params = {}
    if steered.steers(p):
        belief, ratio, driven = steered.expected(p, block, gamma, belief, ratio)
    moves = p["transition"] * (belief[:-1].reshape(-1, n).T @ ratio[1:].reshape(-1, n))
    sums = emission.statistics(block, gamma.reshape(-1, n))
    total = float(log_prob.sum() + block.constant.sum())
    return Expected(gamma[0].sum(0, float), moves, sums, total, driven, p)


def forward(
    emission: StateEmission, p: Params, block: Block, precision: type = float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pass forwards over one block.

    Returns
    -------
    predicted : (time, trial, state), p(s_t = k | y_<t).
    belief : (time, trial, state), p(s_t = k | y_<=t).
    log_prob : (time, trial), log p(y_t | y_<t) without the block's constant, nats.
    """
    log_b, transition = emission.log_prob(p, block), p["transition"].astype(precision)
    given = log_b, block.length, p["initial"], transition
    found: tuple[np.ndarray, np.ndarray, np.ndarray]
    if steered.steers(p):
        found = forward_backward.forward_tilted(*given, steered.tilts(p, block, precision))
    else:
        found = forward_backward.forward(*given)
    return found


def smoothed(
    emission: StateEmission, p: Params, block: Block, precision: type = float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pass forwards and backwards over one block.

    Returns
    -------
    gamma : (time, trial, state), p(s_t = k | all y).
    belief : (time, trial, state), p(s_t = k | y_<=t).
    ratio : (time, trial, state), p(s_t = k | all y) / p(s_t = k | y_<t).
    log_prob : (time, trial), log p(y_t | y_<t) without the block's constant, nats.
    """
    ratio, belief, log_prob = forward(emission, p, block, precision)
    transposed = p["transition"].T.astype(precision, order="C")
    if steered.steers(p):
        tilt = steered.tilts(p, block, precision)
        gamma = forward_backward.backward_tilted(belief, ratio, block.length, transposed, tilt)
    else:
        gamma = forward_backward.backward(belief, ratio, block.length, transposed)
    return gamma, belief, ratio, log_prob


def _together(parts: Iterable[Expected]) -> Expected:
    """Return the sum over blocks."""
    parts = list(parts)
    initial, transition = sum(e.initial for e in parts), sum(e.transition for e in parts)
    emission, driven = add(e.emission for e in parts), add(e.driven for e in parts)
    log_prob = sum(e.log_prob for e in parts)
    return Expected(initial, transition, emission, log_prob, driven, parts[0].at)  # type: ignore[arg-type]


def add(parts: Iterable[Params]) -> Params:
    """Return the sums of dictionaries of arrays with equal keys."""
    parts = list(parts)
    return {k: sum(p[k] for p in parts) for k in parts[0]}


def clusters(
    train: Data,
    n_states: int,
    rng: np.random.Generator,
    known: Callable[[Data], np.ndarray | None] = lambda block: None,
) -> np.ndarray:
    """Return labels (trial, time) from k-means of observations smoothed over time.

    Counts enter as square roots, signals in units of their standard deviation, labels as one-hot vectors.
    `known`: trials -> what inputs alone predict (trial, time, feature), whose smoothed course is taken away.
    """
    from sklearn.cluster import KMeans

    scale = train.y[train.valid].std(0) if train.kind.has_scale else np.ones(1)
    parts = Passes(train, lambda block: (_smooth(block, scale, known(block)), block.valid))
    points = points_of(parts, _MOST_POINTS, rng)
    k = min(n_states, len(np.unique(points, axis=0)))  # surplus states begin as the overall emission
    means = KMeans(k, n_init=1, max_iter=20, random_state=int(rng.integers(2**31))).fit(points)
    labels = [means.predict(smooth.reshape(-1, smooth.shape[2])) for smooth, _ in parts]
    return np.concatenate(labels).reshape(train.valid.shape)


def _smooth(data: Data, scale: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """Return observations smoothed over time, (trial, time, feature); `scale` is that of a signal."""
    from scipy.ndimage import gaussian_filter1d

    y = np.where(data.valid[..., None], data.kind.encoded(data.y, data.n_features), 0.0)
    y = data.kind.rooted(y / scale if data.kind.has_scale else y)
    if known is not None:
        known = known / scale if data.kind.has_scale else known
        y = y - np.where(data.valid[..., None], data.kind.rooted(known), 0.0)
    return np.asarray(gaussian_filter1d(y, _SMOOTH, axis=1, mode="nearest"))


def start(
    model: Hmm, emission: StateEmission, train: Data, blocks: list[Block], rng: np.random.Generator
) -> Params:
    """Return start parameters: one M-step from hard states found by k-means."""
    labels = clusters(train, model.states, rng, emission.known)
    parts = []
    for block in blocks:
        s = labels[block.trials, : block.shape[0]].T
        inside = np.arange(1, len(s))[:, None] < block.length
        moves = np.zeros((model.states, model.states))
        np.add.at(moves, (s[:-1][inside], s[1:][inside]), 1.0)
        first = np.bincount(s[0, block.length > 0], minlength=model.states).astype(float)
        gamma = np.eye(model.states)[s.ravel()]
        sums = emission.statistics(block, gamma)
        steers = model.transitions == "input"
        driven = steered.statistics(block, gamma.reshape(*s.shape, -1)) if steers else {}
        parts.append(Expected(first, moves, sums, 0.0, driven))
    return model.maximise(emission, _together(parts))


def climb(
    model: Hmm, emission: StateEmission, p: Params, sets: list[list[Block]], n_events: list[int]
) -> tuple[Params, pd.DataFrame, dict[str, Any]]:
    """Run EM from `p`; return the iterate that is best on validation, the curve, and how the climb ended.

    Parameters
    ----------
    sets : blocks of the training and of the validation trials.
    n_events : events in each.
    """
    rows, best, before, gain = [], (-np.inf, 0, p), -np.inf, np.inf
    passed = (-np.inf, 0)  # the last score that was worth its iterations
    for epoch in range(1, model.iterations + 1):
        e = expected(emission, p, sets[0], PRECISION)
        score = log_likelihood(emission, p, sets[1], PRECISION)
        rows.append((0, epoch, -e.log_prob / n_events[0], -score / n_events[1], np.nan, 0.0, False))
        if score > best[0]:
            best = score, epoch, p
        if score > passed[0] + _WORTH * n_events[1]:
            passed = score, epoch
        objective = e.log_prob + model.log_prior(emission, p)
        gain, before = (objective - before) / n_events[0], objective
        if gain < _TOLERANCE or epoch - passed[1] >= model.patience:
            break
        p = ascend(model, emission, p, e, sets[0])
    curve = pd.DataFrame(rows, columns=CURVES)
    curve["best"] = curve["epoch"] == best[1]
    ending = "converged" if gain < _TOLERANCE else "validation" if epoch < model.iterations else "iterations"
    end = {"iterations": epoch, "best_iteration": best[1], "ended_by": ending}
    return best[2], curve, {**end, "converged": ending != "iterations"}


def ascend(model: Hmm, emission: StateEmission, p: Params, e: Expected, blocks: list[Block]) -> Params:
    """Take two steps of EM, leap along them and take a third; without the leap where it is no ascent."""
    once = model.maximise(emission, e)
    middle = expected(emission, once, blocks, PRECISION)
    twice = model.maximise(emission, middle)
    far = squarem.leap(p, once, twice)
    there = expected(emission, far, blocks, PRECISION)
    reached = there.log_prob + model.log_prior(emission, far)
    if reached >= middle.log_prob + model.log_prior(emission, once):
        return model.maximise(emission, there)
    return twice


def arithmetic(states: int, size: Size) -> Work:
    """Return how much arithmetic an iteration takes over the training and validation bins (`Model.work`)."""
    bins = size.members * (size.learned + size.valid * size.bins) * states
    return {
        "fit": float(size.members),
        "state": float(bins),
        "move": float(bins * states),
        "emission": float(bins * size.features),
    }
