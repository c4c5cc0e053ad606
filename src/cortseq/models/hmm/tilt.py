"""Distributions over outcomes that inputs tilt: softmax regressions whose rows share the weights of inputs.

    p_j(k | u) = a_jk exp(W_k . u) / z_j(u),    z_j(u) = sum_l a_jl exp(W_l . u)

are the transitions out of state j, or with one row the labels that a state emits. Climbed is

    Q = sum_jk c_jk log a_jk + sum_k W_k . v_k - sum_t sum_j n_tj log z_j(u_t) - ridge / 2 |W - W_0|^2,

c the expected counts, v_k the sum of u over the bins with outcome k, n_tj how much row j applies to bin t.
Q is concave in (log a, W). A step is iterative scaling for a (Darroch & Ratcliff 1972, Ann Math Stat 43:1470;
with W = 0 it is the closed form c_jk / c_j) and Newton's step for W with the curvature of each outcome alone,
as long as the exact curvature along it says, halved where it is no ascent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_HALVINGS = 20
_TINY = 1e-300


@dataclass(frozen=True)
class Weighed:
    """What the climb learns from.

    Attributes
    ----------
    counts : (row, outcome), expected counts with the pseudo-counts.
    pseudo : (row,), pseudo-counts of each row, seen at inputs of 0.
    total : (input, outcome), the sum of u over the bins with each outcome.
    bins : inputs u (bin, input) and how much each row applies to the bins (bin, row), block by block.
    ridge : precision of the Gaussian density of W.
    centre : (input, outcome), W_0.
    """

    counts: np.ndarray
    pseudo: np.ndarray
    total: np.ndarray
    bins: list[tuple[np.ndarray, np.ndarray]]
    ridge: float
    centre: np.ndarray


def tilts(u: np.ndarray, drive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return exp(W . u - top), (bin, outcome), and top, its largest exponent (bin,); drive is W^T."""
    logits = u @ drive.astype(u.dtype)
    top = logits.max(1)
    return np.exp(logits - top[:, None]), top


def ascend(a: np.ndarray, drive: np.ndarray, given: Weighed, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Take `steps` steps up Q.

    Parameters
    ----------
    a : (row, outcome), rows that sum to 1.
    drive : (input, outcome), W.

    Returns
    -------
    a : (row, outcome).
    drive : (input, outcome).
    """
    for _ in range(steps):
        visits = given.pseudo[:, None] + sum((n / z).T @ w for _, n, w, z, _ in _over(a, drive, given))
        scaled = given.counts / np.maximum(visits, _TINY)
        a = scaled / scaled.sum(1, keepdims=True)
        drive = _stepped(a, drive, given)
    return a, drive


def value(a: np.ndarray, drive: np.ndarray, given: Weighed) -> float:
    """Return Q for a (row, outcome) and drive (input, outcome); nats."""
    q = (given.counts * np.log(np.maximum(a, _TINY))).sum() + (given.total * drive).sum()
    for _, n, _, z, top in _over(a, drive, given):
        q -= (n * (np.log(z) + top[:, None])).sum(dtype=float)
    return float(q - 0.5 * given.ridge * ((drive - given.centre) ** 2).sum())


def _stepped(a: np.ndarray, drive: np.ndarray, given: Weighed) -> np.ndarray:
    """Return W after Newton's step, or as it was where no part of that step is an ascent."""
    n_inputs, n_outcomes = drive.shape
    gradient = given.total - given.ridge * (drive - given.centre)
    square = np.zeros((n_outcomes, n_inputs * n_inputs))
    for u, n, w, z, _ in _over(a, drive, given):
        share = n / z
        expected = w * (share @ a)
        gradient = gradient - u.T @ expected
        own = (expected - w**2 * ((share / z) @ a**2)).clip(0)
        square += own.T @ (u[:, :, None] * u[:, None]).reshape(len(u), -1)
    curvature = square.reshape(n_outcomes, n_inputs, n_inputs) + given.ridge * np.eye(n_inputs)
    direction = np.linalg.solve(curvature, gradient.T[..., None])[..., 0].T
    slope = float((gradient * direction).sum())
    if not slope > 0:
        return drive
    length = slope / (_curvature(a, drive, direction, given) + given.ridge * float((direction**2).sum()))
    before = value(a, drive, given)
    hidden = 4 * float(np.finfo(given.bins[0][0].dtype).eps) * abs(before)  # by rounding
    for _ in range(_HALVINGS if 0.5 * slope * length > hidden else 0):
        moved: np.ndarray = drive + length * direction
        if value(a, moved, given) >= before:
            return moved
        length *= 0.5
    return drive


def _curvature(a: np.ndarray, drive: np.ndarray, direction: np.ndarray, given: Weighed) -> float:
    """Return minus the second derivative of Q along a direction (input, outcome), without the ridge."""
    total = 0.0
    for u, n, w, z, _ in _over(a, drive, given):
        change = u @ direction.astype(u.dtype)
        first, second = ((w * c) @ a.T.astype(w.dtype) / z for c in (change, change**2))
        total += float((n * (second - first**2)).sum(dtype=float))
    return max(total, _TINY)


def _over(
    a: np.ndarray, drive: np.ndarray, given: Weighed
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield u, n, tilts w (bin, outcome), their z (bin, row) and top (bin,), block by block."""
    for u, n in given.bins:
        w, top = tilts(u, drive)
        yield u, n, w, w @ a.T.astype(w.dtype), top
