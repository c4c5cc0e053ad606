"""All fixed points of a network of rectified units, from one linear equation in each of its linear regions.

A fixed point of h' = (1 - a) h + a relu(W h + c) obeys h = relu(W h + c), whatever the leak a. With
W = A B^T of rank r it is known from r numbers, kappa = B^T h:

    kappa = B^T relu(A kappa + c),    h = relu(A kappa + c).

The hyperplanes (A kappa + c)_i = 0 of the units cut the space of kappa into at most sum_{k <= r} C(hidden, k)
regions. In each the same units are active, D = diag(active), and the equation is linear:

    (1 - B^T D A) kappa = B^T D c.

A solution that lies in its own region is a fixed point, and there are no others. Pals, Sagtekin, Pei,
Gloeckler & Macke 2024 (NeurIPS, arXiv:2406.16749); of weights of full rank: Eisenmann, Monfared, Goering &
Durstewitz 2023 (NeurIPS, arXiv:2310.18116).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.errors import CortseqError
from cortseq.matrices import square
from cortseq.networks import rectified
from cortseq.notebook import Shown

if TYPE_CHECKING:
    from cortseq.flow import Map

MOST_REGIONS = 500_000
_RANK = 1e-10  # of the largest singular value: smaller ones are rounding
_ZERO = 1e-10  # of a row of A, whose length is 1: smaller coefficients are rounding
_SINGULAR = 1e-9  # smallest singular value of 1 - B^T D A, in units of its largest or of 1
_INSIDE = 1e-9  # how far outside its region rounding may put a solution, in units of kappa and c
_SAME = 1e-8  # distance of two solutions that are one, in units of the largest
_AT_ONCE = 1 << 14  # regions whose equations are solved together


@dataclass(frozen=True, repr=False)
class EveryFixedPoint(Shown):
    """All fixed points of one network of rectified units, sorted by norm, n >= 0.

    Attributes
    ----------
    states : (n, hidden) h.
    active : (n, hidden) bool, the units above 0: the Jacobian there is 1 - a + a diag(active) W.
    rank : of W.
    regions : number of linear regions, each of which was looked into.
    singular : regions whose equation has no single solution, but a line or a plane of them. Where it is 0,
        `states` are all fixed points; else there may be a continuum of them besides.
    """

    states: np.ndarray
    active: np.ndarray
    rank: int
    regions: int
    singular: int


def every_fixed_point(
    weights: ArrayLike, drive: ArrayLike, most_regions: int = MOST_REGIONS
) -> EveryFixedPoint:
    """Return all solutions of h = relu(W h + c), the fixed points of h' = (1 - a) h + a relu(W h + c).

    With W = A B^T of rank r the equation is kappa = B^T relu(A kappa + c) in r numbers kappa = B^T h. It is
    linear in each region that the hyperplanes (A kappa + c)_i = 0 cut, and solved in all of them, at a cost
    that grows as hidden^r. Pals et al. 2024 (NeurIPS, arXiv:2406.16749).

    Parameters
    ----------
    weights : W (hidden, hidden), row = to, column = from.
    drive : c (hidden,), the bias and what a constant input adds.
    most_regions : number of linear regions above which the enumeration is refused.

    Raises
    ------
    CortseqError : weights that are not square or not finite, a drive of another shape, or a network that may
    have more than `most_regions` regions.
    """
    w, c = square(weights), np.asarray(drive, dtype=np.float64)
    if c.shape != (len(w),) or not np.isfinite(c).all():
        raise CortseqError(
            "the drive is one finite number per unit", key="drive", value=c.shape, fix=f"give ({len(w)},)"
        )
    into, out = factors(w)
    rank, possible = into.shape[1], most(*into.shape)
    if possible > most_regions:
        raise CortseqError(
            f"a network of {len(w)} units and rank {rank} may have {possible:,} linear regions, of at most "
            f"{most_regions:,}",
            key="weights",
            fix="search with fixed_points, or take fewer units or a lower rank",
        )
    return solutions(into, out, c)


def solutions(into: np.ndarray, out: np.ndarray, c: np.ndarray) -> EveryFixedPoint:
    """Return all solutions of h = relu(A B^T h + c); see `every_fixed_point`.

    Parameters
    ----------
    into, out : A and B (hidden, rank), as `factors` returns them.
    c : (hidden,) drive.
    """
    patterns = regions(into, c)
    solved = [
        _solved(into, out, c, part) for part in np.split(patterns, range(_AT_ONCE, len(patterns), _AT_ONCE))
    ]
    kappa = _different(np.concatenate([points for points, _ in solved]))
    received = kappa @ into.T + c
    states = np.maximum(received, 0)
    order = np.lexsort((*states.T[::-1], np.linalg.norm(states, axis=1).round(9)))
    singular = sum(n for _, n in solved)
    return EveryFixedPoint(states[order], received[order] > 0, into.shape[1], len(patterns), singular)


def every_fixed_point_of_fit(
    fit: Any, member: int = 0, map: Map = "open", input: Any = None, most_regions: int = MOST_REGIONS
) -> EveryFixedPoint:
    """Return all fixed points of one member of a fit with rectified units; see `every_fixed_point`.

    The points are those of `fit.flow(member, map, input)`. Where the read-out has a skip, the state of that
    flow is h and behind it the standardised signal; `states` here are h alone.

    Parameters
    ----------
    map : "open", where `input` is held, or "closed" of a fit to a signal, whose expectation is linear.
    input : one bin as recorded, (feature,); None: zero.

    Raises
    ------
    CortseqError : another network or map, or too many regions.
    """
    w, c = rectified.equation(fit.member(member), fit.card, map, input)
    return every_fixed_point(w, c, most_regions)


def factors(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A and B, (hidden, rank) each, with W = A B^T and orthonormal columns of B."""
    left, size, right = np.linalg.svd(weights)
    rank = int((size > _RANK * size[0]).sum())
    return left[:, :rank] * size[:rank], right[:rank].T


def most(hidden: int, rank: int) -> int:
    """Return the largest number of regions that `hidden` hyperplanes cut a space of dimension `rank` into.

    sum_{k <= rank} C(hidden, k), for hyperplanes in general position (Buck 1943, Am Math Mon 50:541).
    """
    return sum(comb(hidden, k) for k in range(rank + 1))


def regions(into: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return which units are above 0 in each region of A kappa + c = 0, (region, hidden) bool.

    A region has a facet on one of its hyperplanes, and the facet is a region of what the other hyperplanes
    cut this one into, in one dimension less. So the regions on both sides of all facets, found in turn down
    to a line, are all of them.

    Parameters
    ----------
    into : A (hidden, rank), of full column rank.
    offsets : c (hidden,).
    """
    length = np.linalg.norm(into, axis=1)
    length = np.where(length > _ZERO * length.max(initial=0.0), length, 1.0)
    return _regions(into / length[:, None], offsets / length, 0)


def _regions(normals: np.ndarray, offsets: np.ndarray, first: int) -> np.ndarray:
    """Return the regions that have a facet on one of the hyperplanes `first`, `first` + 1, ..

    normals (hidden, rank), offsets (hidden,). Of the hyperplanes that meet in an edge of a region the first
    may be taken first, so that each set of hyperplanes is met once.
    """
    rank = normals.shape[1]
    if rank == 0:
        return offsets[None] > 0
    if rank == 1:
        return _intervals(normals[:, 0], offsets)
    found = []
    for i in range(first, len(normals)):
        length = float(np.linalg.norm(normals[i]))
        if length > _ZERO:
            facets, along = _facets(normals, offsets, i, length)
            found += [np.where(along == 0, facets, side * along > 0) for side in (1, -1)]
    every = np.concatenate(found) if found else np.empty((0, len(normals)), bool)
    packed = np.packbits(every, axis=1)  # a region is one string of bytes: many times faster to sort
    return every[np.unique(packed.view(f"V{packed.shape[1]}"), return_index=True)[1]]


def _facets(normals: np.ndarray, offsets: np.ndarray, i: int, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the regions of hyperplane i, (region, hidden), and which other hyperplanes are the same there.

    These are +1 or -1 as they look the same way or the other way, and all others 0, (hidden,).
    """
    normal, rank = normals[i] / length, normals.shape[1]
    basis = np.linalg.qr(np.column_stack([normal, np.eye(rank)]))[0][:, 1:]
    within = normals @ basis
    across = normals @ normal
    height = offsets - across * offsets[i] / length
    flat = np.abs(within).max(1) <= _ZERO
    within[flat] = 0
    same = flat & (np.abs(height) <= _ZERO * (1 + np.abs(offsets).max())) & (np.abs(across) > _ZERO)
    return _regions(within, height, i + 1), np.where(same, np.sign(across), 0.0)


def _intervals(slopes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the regions of a line, that is the intervals between the roots of slopes t + offsets."""
    roots = np.unique(-offsets[slopes != 0] / slopes[slopes != 0])
    if not len(roots):
        return offsets[None] > 0
    ends = np.concatenate([[roots[0] - 1], roots, [roots[-1] + 1]])
    inside = (ends[1:] + ends[:-1]) / 2
    inside[[0, -1]] = ends[[0, -1]]
    return np.asarray(np.outer(inside, slopes) + offsets > 0)


def _solved(into: np.ndarray, out: np.ndarray, c: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the fixed points kappa (n, rank) of some regions, and how many have no single solution.

    active (region, hidden). Points on the border of a region are in it.
    """
    rank, on = into.shape[1], active.astype(np.float64)
    products = (out[:, :, None] * into[:, None, :]).reshape(len(into), rank**2)
    matrices = np.eye(rank) - (on @ products).reshape(len(on), rank, rank)
    sizes = np.linalg.svd(matrices, compute_uv=False)
    single = sizes.min(1, initial=np.inf) > _SINGULAR * np.maximum(sizes.max(1, initial=0.0), 1)
    constant = (on[single] * c) @ out
    kappa = np.linalg.solve(matrices[single], constant[..., None])[..., 0]
    received = kappa @ into.T + c
    slack = _INSIDE * (np.abs(kappa) @ np.abs(into).T + np.abs(c))
    inside = np.where(active[single], received >= -slack, received <= slack).all(1)
    return kappa[inside], int((~single).sum())


def _different(points: np.ndarray) -> np.ndarray:
    """Return points (n, rank) without those that neighbouring regions share."""
    near = _SAME * np.abs(points).max(initial=0.0)
    kept: list[int] = []
    for i, point in enumerate(points):
        if (np.abs(points[kept] - point).max(1, initial=0.0) > near).all():
            kept.append(i)
    return points[kept]
