"""Dynamical similarity: linear operators on delays, compared up to a rotation of their coordinates.

Ostrow, Eisen, Kozachkov & Fiete 2023 (NeurIPS, arXiv:2306.10168). A series is embedded in its last d bins,
x_t = (y_t, .., y_{t-d+1}), projected on its r leading principal components, and x_{t+1} = A x_t is regressed.
Two systems are alike where some rotation of the one's coordinates makes its operator the other's:

    angle = arccos max_C <A, C B C^T> / (|A| |B|),    C orthogonal,    |.| Frobenius' norm,

0 where they are the same but for a rotation or reflection, pi / 2 where they have nothing in common. Geometry
alone (where states lie) does not enter; the time that things take does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError

DELAYS, RANK = 5, 8
PENALTY = 1e-3  # of the regression, in units of the mean variance of the components
_STARTS, _FEW, _KEPT, _MANY = 8, 25, 2, 200  # random starts, steps of all, those that go on, their steps
_CLOSE = 1e-9


def delay_operator(
    series: ArrayLike, valid: ArrayLike | None = None, delays: int = DELAYS, rank: int = RANK
) -> np.ndarray:
    """Return A, (rank, rank), the ridge regression of delay-embedded states on those one bin before.

    Components are scaled alike, to a mean variance of 1; no window reaches over the end of a trial or over a
    missing bin.

    Parameters
    ----------
    series : (trial, time, feature).
    valid : (trial, time), bins that are known; None: those without NaN.
    delays : bins that a state holds.
    rank : components at most; fewer where there are fewer features x delays.

    Raises
    ------
    CortseqError : no trial holds `delays` + 1 known bins, nothing varies, or the series runs away.
    """
    y = np.asarray(series, dtype=np.float64)
    known = np.asarray(np.isfinite(y).all(-1) if valid is None else valid, dtype=bool)
    windows = _windows(y, known, delays + 1)
    if len(windows) < 2:
        raise CortseqError(
            "no trial is long enough for an operator on delays",
            key="delays",
            value=delays,
            fix="give fewer delays, or longer trials",
        )
    before, after = (windows[:, part].reshape(len(windows), -1) for part in (slice(0, -1), slice(1, None)))
    mean = before.mean(0)
    with np.errstate(over="ignore", invalid="ignore"):
        scatter = (before - mean).T @ (before - mean)
    if not np.isfinite(scatter).all():
        raise CortseqError("the series runs away, so that it has no operator", key="series")
    size, axes = np.linalg.eigh(scatter)
    if not size[-1] > 0:
        raise CortseqError("nothing varies, so there is no operator", key="series")
    axes = axes[:, ::-1][:, :rank]
    x, z = (before - mean) @ axes, (after - mean) @ axes
    scale = (x**2).sum() / x.size
    gram = x.T @ x / (len(x) * scale) + PENALTY * np.eye(x.shape[1])
    operator: np.ndarray = np.linalg.solve(gram, x.T @ z / (len(x) * scale)).T
    return operator


def _windows(y: np.ndarray, known: np.ndarray, length: int) -> np.ndarray:
    """Return all stretches of known bins, (window, length, feature)."""
    if y.shape[1] < length:
        return np.empty((0, length, y.shape[2]))
    every = np.lib.stride_tricks.sliding_window_view(y, length, axis=1)  # (trial, begin, feature, bin)
    whole = np.lib.stride_tricks.sliding_window_view(known, length, axis=1).all(-1)
    return np.asarray(every[whole].swapaxes(1, 2))


def operator_angle(a: ArrayLike, b: ArrayLike, seed: int = 0) -> float:
    """Return the angle between two operators after the best rotation or reflection, radians, 0 to pi.

    The best C is sought from the rotation that pairs their eigenvectors and from random ones, so that the
    angle is an upper bound; each step C <- polar factor of (A C B^T + A^T C B + 2 |A| |B| C) can only lower
    it. An operator of fewer components is filled up with zeros.

    Parameters
    ----------
    a, b : (r, r) real operators, see `delay_operator`.
    seed : of the random starts.
    """
    return float(operator_angles([a], [b], seed)[0])


def operator_angles(first: Sequence[ArrayLike], second: Sequence[ArrayLike], seed: int = 0) -> np.ndarray:
    """Return `operator_angle` of many pairs at once, (pair,).

    Raises
    ------
    CortseqError : an operator is no finite square matrix.
    """
    stack = _alike([np.asarray(m, dtype=np.float64) for m in (*first, *second)])
    a, b = stack[: len(first)], stack[len(first) :]
    norm = np.linalg.norm(a, axis=(1, 2)) * np.linalg.norm(b, axis=(1, 2))
    c = _starts(a, b, np.random.default_rng([seed, 0xD5A]))
    a, b = a[:, None], b[:, None]  # (pair, start, r, r)
    c, reached = _climbed(a, b, c, _FEW)
    ahead = np.argsort(-reached, 1)[:, :_KEPT]
    best = _climbed(a, b, np.take_along_axis(c, ahead[..., None, None], 1), _MANY)[1].max(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.where(norm > 0, best / norm, 0.0)
    return np.asarray(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _climbed(a: np.ndarray, b: np.ndarray, c: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return C (pair, start, r, r) after some steps, and its overlap (pair, start)."""
    size = (np.linalg.norm(a, 2, (-2, -1)) * np.linalg.norm(b, 2, (-2, -1)))[..., None, None]
    best = _overlap(a, b, c)
    for _ in range(steps):
        climb = a @ c @ _turned(b) + _turned(a) @ c @ b
        bold = _polar(climb)  # without the shift: longer, but it may go down
        found = _overlap(a, b, bold)
        if not (found > best).all():
            safe = _polar(climb + 2 * size * c)
            safely = _overlap(a, b, safe)
            bold = np.where((found > safely)[..., None, None], bold, safe)
            found = np.maximum(found, safely)
        c, gained, best = bold, found - best, np.maximum(found, best)
        if (gained <= _CLOSE * size[..., 0, 0]).all():
            break
    return c, best


def _alike(operators: list[np.ndarray]) -> np.ndarray:
    """Return operators of the largest of their sizes, (operator, r, r)."""
    for m in operators:
        if m.ndim != 2 or m.shape[0] != m.shape[1] or not np.isfinite(m).all():
            raise CortseqError("an operator is a finite matrix (r, r)", value=m.shape)
    n = max(map(len, operators))
    return np.stack([np.pad(m, (0, n - len(m))) for m in operators])


def _turned(m: np.ndarray) -> np.ndarray:
    return m.swapaxes(-1, -2)


def _overlap(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return <A, C B C^T> (pair, start) of each C (pair, start, r, r)."""
    return np.asarray((a * (c @ b @ _turned(c))).sum((-2, -1)))


def _polar(m: np.ndarray) -> np.ndarray:
    """Return the orthogonal matrices nearest to `m` (..., r, r)."""
    u, _, v = np.linalg.svd(m)
    return np.asarray(u @ v)


def _starts(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the rotation that pairs eigenvectors, none, and random ones, (pair, start, r, r)."""
    n = a.shape[-1]
    common = np.concatenate([np.eye(n)[None], rng.normal(size=(_STARTS, n, n))])
    own = np.stack([_paired(*both) for both in zip(a, b, strict=True)])
    every = np.broadcast_to(common, (len(a), *common.shape))
    return _polar(np.concatenate([own[:, None], every], 1))


def _paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return V_A D V_B^-1 of eigenvectors paired by their eigenvalues; D makes their inner products agree."""
    from scipy.optimize import linear_sum_assignment

    (value_a, vector_a), (value_b, vector_b) = np.linalg.eig(a), np.linalg.eig(b)
    order = linear_sum_assignment(np.abs(value_a[:, None] - value_b))[1]
    vector_b = vector_b[:, order]
    products = (vector_a.conj().T @ vector_a) * (vector_b.conj().T @ vector_b).conj()
    phase = np.linalg.eigh(products + products.conj().T)[1][:, -1]
    phase = np.where(np.abs(phase) > 1e-9, phase / np.maximum(np.abs(phase), 1e-9), 1.0)
    return np.asarray((vector_a * phase.conj()) @ np.linalg.pinv(vector_b)).real
