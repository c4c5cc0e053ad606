"""How alike the dynamics of two models are, with the distance between seeds as the ruler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq.dynamics.fixed_points import rms_spread
from cortseq.dynamics.ridge import ridge
from cortseq.errors import CortseqError
from cortseq.notebook import Shown


def spectral_distance(a: Any, b: Any) -> float:
    """Return the Wasserstein-1 distance of two sets of eigenvalues in the complex plane.

    Each set has total weight 1.

    Of equal numbers it is the mean distance of the best pairing; else the optimum of a linear programme. The
    spectra of real matrices are mirror images below the real axis: there the upper half says it all, and only
    that is solved.
    """
    a, b = (np.asarray(v, dtype=np.complex128).ravel() for v in (a, b))
    if not len(a) or not len(b) or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise CortseqError("a spectrum is empty or holds NaN", value=(len(a), len(b)))
    if len(a) == len(b):
        return _paired(np.abs(a[:, None] - b))
    from scipy.stats import wasserstein_distance_nd

    mirrored = all(np.allclose(np.sort_complex(v), np.sort_complex(v.conj())) for v in (a, b))
    a, b = (v[v.imag >= 0] if mirrored else v for v in (a, b))
    weights = (np.where(v.imag > 0, 2.0, 1.0) if mirrored else np.ones(len(v)) for v in (a, b))
    return float(wasserstein_distance_nd(*(np.stack([v.real, v.imag], 1) for v in (a, b)), *weights))


def _paired(costs: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment

    return float(costs[linear_sum_assignment(costs)].mean())


@dataclass(frozen=True, repr=False)
class FixedPointMatch(Shown):
    """How well the fixed points of two models agree.

    Attributes
    ----------
    recall : share of the reference's points that are found
    precision : share of the found ones that are in the reference
    agree : share of the pairs of the same stability (NaN without)
    pairs : (k, 2) positions (reference, found)
    distances : (k,) in units of the reference's rms spread.
    """

    recall: float
    precision: float
    agree: float
    pairs: np.ndarray
    distances: np.ndarray


def match_fixed_points(
    reference: ArrayLike, found: Any, tolerance: float = 0.1, scale: float | None = None, stable: Any = None
) -> FixedPointMatch:
    """Return one-to-one pairs of fixed points within `tolerance`, as many and as near as possible.

    Parameters
    ----------
    reference, found : (n, d) and (m, d), in one space: map the states of another model with `linear_map`.
    tolerance : in units of `scale`, the rms spread of the reference points by default; give that of the
        visited states where there are few points.
    stable : (n,) and (m,) bool, to compare stability.
    """
    from scipy.optimize import linear_sum_assignment

    reference, found = (np.atleast_2d(np.asarray(v, dtype=np.float64)) for v in (reference, found))
    if reference.shape[1] != found.shape[1]:
        raise CortseqError("points of one space are matched", value=(reference.shape, found.shape))
    scale = rms_spread(reference) if scale is None and len(reference) else scale or 1.0
    apart = np.linalg.norm(reference[:, None] - found, axis=-1) / scale
    near = apart <= tolerance
    # a pair costs less than leaving two points alone, so that as many as possible are made
    pairs = np.stack(linear_sum_assignment(np.where(near, apart, 1e6)), 1)
    pairs = pairs[near[pairs[:, 0], pairs[:, 1]]]
    agree = float("nan")
    if stable is not None and len(pairs):
        agree = float((np.asarray(stable[0])[pairs[:, 0]] == np.asarray(stable[1])[pairs[:, 1]]).mean())
    share = [len(pairs) / len(v) if len(v) else float("nan") for v in (reference, found)]
    return FixedPointMatch(share[0], share[1], agree, pairs, apart[pairs[:, 0], pairs[:, 1]])


@dataclass(frozen=True, repr=False)
class LinearMap(Shown):
    """Affine map between the states of two models, b = weight a + bias, and its fit.

    Attributes
    ----------
    weight : (e, d).
    bias : (e,).
    r2 : on held-out trials, variance of all components pooled.
    r2_per_component : (e,) the same of each component.
    """

    weight: np.ndarray
    bias: np.ndarray
    r2: float
    r2_per_component: np.ndarray

    def __call__(self, states: Any) -> np.ndarray:
        """Map states (..., d) of the one model to states (..., e) of the other."""
        return np.asarray(np.asarray(states, dtype=np.float64) @ self.weight.T + self.bias)


def linear_map(
    a: Any, b: Any, train: Any, test: Any, penalties: Sequence[float] = tuple(10.0 ** np.arange(-8, 1))
) -> LinearMap:
    """Return the affine map that predicts states b of one model from states a of another on the same trials.

    Ridge on the trials `train`, its penalty (per sample, of the standardised states) chosen on whole trials
    left out there; judged on `test`.

    Parameters
    ----------
    a, b : (trial, time, d) and (trial, time, e); bins with NaN in either are left out.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape[:2] != b.shape[:2]:
        raise CortseqError("states of the same trials and bins are compared", value=(a.shape, b.shape))
    known = np.isfinite(a).all(-1) & np.isfinite(b).all(-1)
    x, y = (v[train][known[train]] for v in (a, b))
    weight, bias = ridge(x, y, penalties, np.nonzero(known[train])[0])
    truth, guess = b[test][known[test]], a[test][known[test]] @ weight.T + bias
    pooled, per_component = explained(truth, guess)
    return LinearMap(weight, bias, pooled, per_component)


def explained(truth: np.ndarray, guess: np.ndarray) -> tuple[float, np.ndarray]:
    """Return R^2 = 1 - residual / variance about the mean.

    Of all columns pooled, and per column (feature,), NaN where one has no variance.
    """
    residual, total = ((truth - guess) ** 2).sum(0), ((truth - truth.mean(0)) ** 2).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(1 - residual.sum() / total.sum()), np.where(total > 0, 1 - residual / total, np.nan)


@dataclass(frozen=True, repr=False)
class AgainstSeeds(Shown):
    """Distance between two models with the distance between seeds as ruler.

    Attributes
    ----------
    between : mean distance of members of different models
    within : of members of one model, mean over both
    ratio : between / within, about 1 where the models differ no more than two seeds do
    p_value : of a permutation of the members between the models, one-sided.
    """

    between: float
    within: float
    ratio: float
    p_value: float


def against_seeds(
    distance: Callable[[Any, Any], float],
    first: Sequence[Any],
    second: Sequence[Any],
    n_permutations: int = 1000,
    seed: int = 0,
) -> AgainstSeeds:
    """Return whether two models differ by more than two seeds of one model do.

    Parameters
    ----------
    distance : of two members, symmetric, such as `spectral_distance`.
    first, second : the members of each model, at least two.
    """
    if min(len(first), len(second)) < 2:
        raise CortseqError("two members of each model are needed", value=(len(first), len(second)))
    every = [*first, *second]
    n = len(every)
    apart = np.zeros((n, n))
    for i, j in zip(*np.triu_indices(n, 1), strict=True):
        apart[i, j] = apart[j, i] = distance(every[i], every[j])
    group = np.arange(n) < len(first)
    rng = np.random.default_rng(seed)
    between, within = _means(apart, group)
    differences = [np.subtract(*_means(apart, rng.permutation(group))) for _ in range(n_permutations)]
    reached = np.sum(np.array(differences) >= (between - within) - 1e-12)
    ratio = between / within if within > 0 else (np.inf if between > 0 else np.nan)
    return AgainstSeeds(between, within, float(ratio), float((1 + reached) / (1 + n_permutations)))


def _means(apart: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Return mean distance between the groups, and of pairs inside each, averaged over both."""
    inside = [apart[np.ix_(g, g)].sum() / (g.sum() * (g.sum() - 1)) for g in (group, ~group)]
    return float(apart[np.ix_(group, ~group)].mean()), float(np.mean(inside))
