"""Line and ring attractors: a chain of slow points with one neutral direction, which runs along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cortseq.dynamics.fixed_points import FixedPoints
from cortseq.dynamics.jacobians import jacobian
from cortseq.errors import CortseqError
from cortseq.flow import Step
from cortseq.notebook import Shown

FEWEST = 5
_NEUTRAL = 0.05  # of |lambda - 1| ...
_ALONG = np.cos(np.pi / 6)  # ... with an eigenvector within 30 degrees of the chain
_DECAYS = 0.98  # modulus of all other eigenvalues
_SHARE = 0.8  # of the points of a chain, and of all points on the chain


@dataclass(frozen=True, repr=False)
class LineAttractor(Shown):
    """Whether slow points make a line or ring attractor, and the line.

    Attributes
    ----------
    holds : whether slow points make a line attractor
    closed : whether the line is a ring
    reason : why not.
    chain : (k,) positions of the points in their order along the line.
    neutral : (k,) the eigenvalue nearest 1.
    alignment : (k,) |cos| of its eigenvector with the chain.
    transverse : (k,) largest modulus of the others.
    length : of the chain, in units of the state.
    """

    holds: bool
    closed: bool
    reason: str
    chain: np.ndarray
    neutral: np.ndarray
    alignment: np.ndarray
    transverse: np.ndarray
    length: float


def line_attractor(flow: Step, states: ArrayLike) -> LineAttractor:
    """Test whether slow and fixed points (n, d) form a line.

    A line integrates an input and remembers a continuous value.

    The chain is the longest path in the minimum spanning tree of the points. It is a line attractor when 80 %
    of the points lie on it and at 80 % of these the Jacobian has one eigenvalue within 0.05 of 1 along the
    chain and all others inside 0.98. Seung 1996, PNAS 93:13339; Mante et al. 2013, Nature 503:78.

    Parameters
    ----------
    flow : torch float64 (d,) -> (d,).
    states : slow and fixed points, as `slow_points` collects them.
    """
    points = np.atleast_2d(np.asarray(states, dtype=np.float64))
    if points.ndim != 2 or not np.isfinite(points).all():
        raise CortseqError("points are (n, d) and finite", key="states", value=points.shape)
    none = np.empty(0)
    different = np.sort(np.unique(points, axis=0, return_index=True)[1])  # a link of no length is no link
    if len(different) < FEWEST or points.shape[1] < 2:
        reason = f"{len(points)} slow points, {len(different)} of them different: a line needs {FEWEST}"
        return LineAttractor(False, False, reason, none.astype(int), none, none, none, 0.0)
    chain = different[_longest_path(points[different])]
    line = points[chain]
    links = np.linalg.norm(np.diff(line, axis=0), axis=1)
    closed = bool(np.linalg.norm(line[-1] - line[0]) <= 2.5 * links.max() and len(chain) > FEWEST)
    neutral, alignment, transverse = _along(jacobian(flow, line), _tangents(line, closed))
    good = (np.abs(neutral - 1) < _NEUTRAL) & (alignment > _ALONG) & (transverse < _DECAYS)
    reason = ""
    if len(chain) < _SHARE * len(different):
        reason = f"{len(chain)} of {len(different)} points lie on one chain"
    elif good.mean() < _SHARE:
        reason = f"at {good.sum()} of {len(chain)} points one neutral direction runs along the chain"
    return LineAttractor(
        not reason, closed, reason, chain, neutral, alignment, transverse, float(links.sum())
    )


def slow_points(points: FixedPoints, slow: float = 0.05) -> np.ndarray:
    """Return fixed points, and minima of the speed below `slow` times the typical speed, (n, d)."""
    crawling = points.slow_speeds < slow * points.typical_speed
    return np.concatenate([points.states, points.slow_states[crawling]])


def _longest_path(points: np.ndarray) -> np.ndarray:
    """Return positions along the longest path in the minimum spanning tree."""
    from scipy.sparse.csgraph import minimum_spanning_tree, shortest_path
    from scipy.spatial.distance import pdist, squareform

    tree = minimum_spanning_tree(squareform(pdist(points)))
    far, before = shortest_path(tree, directed=False, return_predecessors=True)
    first, last = np.unravel_index(far.argmax(), far.shape)
    path = [last]
    while path[-1] != first:
        path.append(before[first, path[-1]])
    return np.array(path)


def _tangents(line: np.ndarray, closed: bool) -> np.ndarray:
    """Return unit vectors along the chain, (k, d)."""
    if closed:
        line = np.concatenate([line[-1:], line, line[:1]])
        tangents = line[2:] - line[:-2]
    else:
        tangents = np.gradient(line, axis=0)
    return np.asarray(tangents / np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-300))


def _along(jacobians: np.ndarray, tangents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each point the eigenvalue nearest 1, its alignment and the largest other.

    Alignment: |cos| of the eigenvector with the line. The largest other is a modulus. All (k,).
    """
    values, vectors = np.linalg.eig(jacobians)
    every = np.arange(len(values))
    at = np.abs(values - 1).argmin(1)
    alignment = np.abs(np.einsum("kd,kd->k", vectors[every, :, at].conj(), tangents))
    others = np.abs(values)
    others[every, at] = 0
    return values[every, at], alignment, others.max(1)
