"""Shuffled weight matrices: the nulls of the test for outlying eigenvalues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_ROUNDS = 50  # of scaling rows and columns in turn; dense matrices settle in five
_SETTLED = 1e-6  # relative change of a scale that counts as none


def exchanged(w: np.ndarray, groups: Sequence[np.ndarray], rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield copies of a matrix (n, n) whose entries changed places within each group of flat positions."""
    while True:
        shuffled = w.copy()
        for entries in groups:
            shuffled.flat[entries] = rng.permutation(w.flat[entries])
        yield shuffled


def profile_kept(
    w: np.ndarray, groups: Sequence[np.ndarray], rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield shuffled copies of a matrix (n, n) in which rows and columns keep their gains.

    In each group of flat positions `w_ij = r_i c_j z_ij`, where z has mean square 1 in each row and column.
    The z are exchanged, brought to mean square 1 again and multiplied by the same `r_i c_j`: the shuffled
    matrix has the variance profile of the given one. Scaling rows and columns in turn: Sinkhorn & Knopp 1967,
    Pac J Math 21:343.
    """
    parts = []
    for entries in groups:
        inside = np.zeros(w.shape, bool)
        inside.flat[entries] = True
        some = inside & (w != 0)
        inside &= some.any(1)[:, None] & some.any(0)  # rows and columns of zeros stay
        scale = _scales(w, inside)
        parts.append((inside, scale, w[inside] / scale[inside]))
    while True:
        shuffled = w.copy()
        for inside, scale, standard in parts:
            z = np.zeros_like(w)
            z[inside] = rng.permutation(standard)
            shuffled[inside] = (z * scale / _scales(z, inside))[inside]
        yield shuffled


def _scales(w: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return `r_i c_j` (n, n); divided by them, rows and columns of w have mean square 1 `inside` (n, n)."""
    squares = np.where(inside, np.abs(w) ** 2, 0.0)
    in_row, in_column = (np.maximum(inside.sum(axis), 1) for axis in (1, 0))
    rows, columns = np.ones(len(w)), np.ones(len(w))
    for _ in range(_ROUNDS):
        before = rows
        rows = _known(squares @ (1 / columns) / in_row)
        columns = _known((1 / rows) @ squares / in_column)
        if np.abs(rows / before - 1).max() < _SETTLED:
            break
    return np.sqrt(np.outer(rows, columns))


def _known(mean_squares: np.ndarray) -> np.ndarray:
    return np.where(mean_squares > 0, mean_squares, 1.0)
