"""Loops of a set of states: persistent homology in dimension 1 (b1), against clouds that have none.

Balls about the points grow together. A loop is born at the scale at which its points are linked into a ring
and dies at the scale at which the ring is filled; its bar is the difference (Vietoris-Rips filtration;
Edelsbrunner & Harer 2010, Computational Topology). A circle of radius R has one bar that ends at sqrt(3) R, a
figure of eight or a torus has two long ones, a disc none. Bars are computed by Ripser (Bauer 2021, J Appl
Comput Topol 5:391; Tralie, Saul & Bar-On 2018, J Open Source Softw 3:925), the extra `topology`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cortseq.dynamics.fixed_points import rms_spread
from cortseq.errors import CortseqError, MissingExtra
from cortseq.notebook import Drawn

FEWEST = 8
_MOST = 150  # points whose bars are computed: their cost grows as the third power
_SHARE = 0.95  # of the variance, that the principal components hold in which distances are taken
_CLOUDS = 19  # 1 of 20 by chance
_FILLED = 3**0.5  # death / birth of a loop, at least: of a circle, that its widest gap is at most its radius


@dataclass(frozen=True, repr=False)
class Loops(Drawn):
    """Loops of a set of points, lengths in units of their rms spread.

    Attributes
    ----------
    count : number of loops, b1.
    bars : (n,) lengths of all bars in dimension 1, longest first.
    births : (n,) scales at which they begin.
    null : longest bar of the Gaussian clouds, which that of a loop exceeds; NaN where there are few points.
    points : number of points whose bars were computed.
    """

    count: int
    bars: np.ndarray
    births: np.ndarray
    null: float
    points: int


def loops(points: ArrayLike, seed: int = 0) -> Loops:
    """Count the loops of points (n, d), such as slow points or visited states.

    Distances are taken in the leading principal components, which hold 95 % of the variance, among at most
    150 points that lie as far apart as can be (farthest-point sampling). A bar is a loop where

    - it is longer than all bars of 19 Gaussian clouds of as many points and the same covariance, so that one
      cloud in 20 has a bar like it, and
    - it ends at sqrt(3) times the scale at which it begins or later. Of points on a circle that means that no
      gap is wider than the radius: the corners of a square are no loop, those of a hexagon are one.

    Fewer than 8 different points make none. What is counted is the shape of the points: a trajectory that
    runs in a circle is a loop, too. Points of one slow random walk are no independent draws, and their
    accidental loops are counted more often than once in 20.

    Parameters
    ----------
    seed : of the clouds.

    Raises
    ------
    CortseqError : points that are not finite, or the package ripser is missing.
    """
    x = np.atleast_2d(np.asarray(points, dtype=np.float64))
    if x.ndim != 2 or not np.isfinite(x).all():
        raise CortseqError("points are (n, d) and finite", key="points", value=x.shape)
    x = np.unique(x, axis=0)
    if len(x) < FEWEST:
        return Loops(0, np.empty(0), np.empty(0), float("nan"), len(x))
    x = _components(x)
    births, bars = _bars(_apart(x))
    rng, sd = np.random.default_rng([seed, 0xB1]), x.std(0)
    clouds = (_apart(sd * rng.normal(size=x.shape)) for _ in range(_CLOUDS))
    null = max(_bars(cloud)[1].max(initial=0.0) for cloud in clouds)
    held = (bars > null) & (births + bars >= _FILLED * births)
    unit = rms_spread(x)
    return Loops(int(held.sum()), bars / unit, births / unit, null / unit, min(len(x), _MOST))


def _components(x: np.ndarray) -> np.ndarray:
    """Return points (n, k) in the leading principal components."""
    left, size, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    held = np.cumsum(size**2) / (size**2).sum()
    k = int((held < _SHARE).sum()) + 1
    return np.asarray(left[:, :k] * size[:k])


def _apart(x: np.ndarray) -> np.ndarray:
    """Return up to 150 of the points (n, k), each as far as can be from those before it.

    The first is the one nearest to the mean. Gonzalez 1985, Theor Comput Sci 38:293.
    """
    if len(x) <= _MOST:
        return x
    kept = [int(np.linalg.norm(x - x.mean(0), axis=1).argmin())]
    near = np.full(len(x), np.inf)
    while len(kept) < _MOST:
        near = np.minimum(near, np.linalg.norm(x - x[kept[-1]], axis=1))
        kept.append(int(near.argmax()))
    return x[kept]


def _bars(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return births and lengths of all bars in dimension 1 of points (n, k), longest first."""
    from scipy.spatial.distance import pdist, squareform

    try:
        from ripser import ripser
    except ImportError as error:
        raise MissingExtra("ripser", "topology") from error
    births, deaths = ripser(squareform(pdist(x)), distance_matrix=True, maxdim=1)["dgms"][1].T
    order = np.argsort(births - deaths, kind="stable")
    return births[order].astype(float), (deaths - births)[order].astype(float)
