"""Poisson regressions of all states and units at once, each bin weighted by a state's responsibility.

    maximise  sum_t g_kt (y_tn eta_ktn - exp(eta_ktn)) + log prior,    eta_ktn = x_t . theta_kn

eta is held between MIN_LOG_RATE and MAX_LOG_RATE. The objective of each (state, unit) is concave within that
range: Newton's steps, halved where they are no ascent (Escola, Fontanini, Katz & Paninski 2011, Neural
Computation 23:1071, section 2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cortseq.observations import MAX_LOG_RATE, MIN_LOG_RATE

# What is passed over again and again: x (bin, row), y (bin, unit), weight (bin, state) of each block.
Bins = Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]

_HALVINGS = 20
_ENOUGH = 1e-13  # nats per bin: a step that promises less is not taken
_STEADY = 1e-7  # of the mean curvature, added to all directions: sums may be in single precision
NUMBERS = 1 << 20  # of one temporary array (bin, unit)
_HIGHEST = 100.0  # of a log rate without inputs: keeps a step that is too long finite


@dataclass(frozen=True)
class Prior:
    """A Gamma density of exp(theta_last) and a Gaussian one of the other rows, worth `bins` bins each.

    Attributes
    ----------
    bins : how many bins of rate `rate` the prior is worth.
    rate : (unit,), where the density of the rate without inputs is centred.
    drive : (input, unit), where the weights of inputs are centred. Their precision is `bins * rate`, the
        information that so many bins hold about the weight of an input with variance 1.
    """

    bins: float
    rate: np.ndarray
    drive: np.ndarray

    def value(self, theta: np.ndarray) -> np.ndarray:
        """Return the log density but for a constant, (state, unit)."""
        level, away = theta[:, -1], theta[:, :-1] - self.drive
        gamma = self.rate * level - np.exp(np.minimum(level, _HIGHEST))
        return np.asarray(self.bins * (gamma - 0.5 * self.rate * (away**2).sum(1)))

    def slopes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return first and minus second derivatives by each row of theta, both (state, row, unit)."""
        rate = np.exp(np.minimum(theta[:, -1:], _HIGHEST))
        first = [-self.rate * (theta[:, :-1] - self.drive), self.rate - rate]
        second = [np.broadcast_to(self.rate, theta[:, :-1].shape), rate]
        return self.bins * np.concatenate(first, 1), self.bins * np.concatenate(second, 1)


@dataclass(frozen=True)
class _Point:
    """Objective (state, unit), its gradient (state, unit, row), and minus its second derivatives."""

    value: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray


def ascend(theta: np.ndarray, bins: Bins, prior: Prior, steps: int) -> np.ndarray:
    """Take up to `steps` of Newton's steps from theta; no (state, unit) ends lower than it began.

    Parameters
    ----------
    theta : (state, row, unit), the weights of x; the last row of x is 1.
    bins : x (bin, row), y (bin, unit) and weights (bin, state) of each block of bins.

    Returns
    -------
    (state, row, unit).
    """
    enough = _ENOUGH * max(1.0, sum(float(g.sum(dtype=float)) for _, _, g in bins)) / theta.shape[0]
    point = _about(theta, bins, prior)
    for _ in range(steps):
        step = np.linalg.solve(point.curvature, point.gradient[..., None])[..., 0]
        slack = _slack(point, bins)
        going = 0.5 * (step * point.gradient).sum(-1) > np.maximum(enough, slack)
        if not going.any():
            break
        theta, point = _stepped(theta, np.where(going[..., None], step, 0.0), point, slack, bins, prior)
    return theta


def _slack(point: _Point, bins: Bins) -> np.ndarray:
    """Return how far rounding may move the objective, (state, unit): eps times expected counts and itself."""
    eps = float(np.finfo(next(iter(bins))[0].dtype).eps)
    return np.asarray(4 * eps * (np.abs(point.value) + point.curvature[..., -1, -1]))


def _stepped(
    theta: np.ndarray, step: np.ndarray, point: _Point, slack: np.ndarray, bins: Bins, prior: Prior
) -> tuple[np.ndarray, _Point]:
    """Return theta and its point after `step` (state, unit, row), halved where it is no ascent."""
    length = np.ones(point.value.shape)
    for _ in range(_HALVINGS):
        moved = theta + (length[..., None] * step).swapaxes(1, 2)
        found = _about(moved, bins, prior)
        low = ~(found.value >= point.value - slack)
        if not low.any():
            return moved, found
        length = np.where(low, 0.5 * length, length)
    moved = np.where(low[:, None], theta, moved)
    return moved, _about(moved, bins, prior)


def _about(theta: np.ndarray, bins: Bins, prior: Prior) -> _Point:
    """Return the objective about theta (state, row, unit)."""
    n_states, n_rows, n_units = theta.shape
    i, j = np.triu_indices(n_rows)
    value = prior.value(theta)
    gradient, ridge = prior.slopes(theta)
    square = np.zeros((n_states, len(i), n_units))
    for x, y, weight in _pieces(bins, n_units):
        products = x[:, i] * x[:, j]
        for k in range(n_states):
            g = weight[:, k]
            eta = log_rates(x, theta[k])
            mean = g[:, None] * np.exp(eta)
            value[k] += g @ (y * eta) - mean.sum(0)
            gradient[k] += x.T @ (g[:, None] * y - mean)
            square[k] += products.T @ mean
    curvature = np.zeros((n_states, n_units, n_rows, n_rows))
    curvature[..., i, j] = curvature[..., j, i] = square.swapaxes(1, 2)
    steady = _STEADY * np.trace(curvature, axis1=-2, axis2=-1)[..., None] / n_rows
    every = np.arange(n_rows)
    curvature[..., every, every] += ridge.swapaxes(1, 2) + steady
    return _Point(value, gradient.swapaxes(1, 2), curvature)


def log_rates(x: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Return x theta, (bin, unit), held in the range of a log rate; x (bin, row), theta (row, unit)."""
    return np.asarray(np.clip(x @ theta.astype(x.dtype), MIN_LOG_RATE, MAX_LOG_RATE))


def _pieces(bins: Bins, n_units: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield the bins a few at a time: arrays (bin, unit) stay small."""
    size = max(1, NUMBERS // n_units)
    for x, y, weight in bins:
        for first in range(0, len(x), size):
            some = slice(first, first + size)
            yield x[some], y[some], weight[some]
