"""The whole dissection of one fitted variant as one Dataset: what the figures of dynamics are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cortseq import recording as rec
from cortseq._lazy import xr
from cortseq.dynamics.attractors import slow_points
from cortseq.dynamics.fixed_points import FixedPoints, fixed_points, rms_spread
from cortseq.dynamics.spectra import henrici, numerical_abscissa, outliers
from cortseq.dynamics.transient import transient_growth
from cortseq.errors import CortseqError
from cortseq.flow import Step

MAX_TRIALS = 64
_COMPONENTS = 3
_START_BUDGET = 1.2e6  # starts x dim^2, of a search: large reservoirs would take minutes
# permutations x hidden^2, of the weight spectra: a reservoir of 1000 units would take minutes; 39 allow p <
# 0.05
_PERMUTATION_BUDGET = 10_000_000
_FEWEST_PERMUTATIONS = 39
_LARGEST = 300  # dim of a Jacobian whose transient growth is followed, step by step
_MAPS = {"open": "open (input held)", "closed": "closed (mean)", "sampled": "sampled"}


def dissect_fit(
    fit: Any, recording: xr.Dataset, trials: ArrayLike, label_name: str = "", seed: int = 0, **settings: Any
) -> xr.Dataset:
    """Dissect every member of a recurrent Fit.

    On its closed-loop map and its states in `trials`; see `dissect`.

    Parameters
    ----------
    fit : cortseq.models Fit.
    recording : the Recording it was fitted to.
    trials : (trial,) positions; 64 of them are used, or fewer of a large recording (`data.few`).
    label_name : covariate of the recording that labels the states ("" or unknown: none).
    """
    from cortseq.data import evenly, few

    trials = few(recording, evenly(trials, MAX_TRIALS))
    states = fit.states(recording, trials).values
    members = [fit.member(member) for member in range(len(states))]
    label = recording[label_name].values[trials] if label_name in recording.coords else None
    found = dissect(
        [fit.flow(member, "closed") for member in range(len(states))],
        states,
        [one.weights() for one in members] if members[0].cell.has_weights else None,
        members[0].signs(),
        bin_width=fit.card["bin_width"],
        seed=seed,
        label=label,
        label_name=label_name,
        **settings,
    )
    named = found.assign_attrs(family=fit.model.family, track=rec.kind(recording).name)
    return named.assign_coords(trial=trials)


def dissect(
    flows: Sequence[Step],
    states: ArrayLike,
    weights: Sequence[np.ndarray] | None,
    signs: ArrayLike | None = None,
    *,
    bin_width: float,
    seed: int,
    n_starts: int = 128,
    n_permutations: int = 200,
    label: Any = None,
    label_name: str = "",
) -> xr.Dataset:
    """Find principal components, fixed points with Jacobian spectra, and weight spectra.

    Parameters
    ----------
    flows, weights : one per member
    weights : (hidden, hidden), column = presynaptic unit; None: the cells have no such matrix.
    states : visited states (trial, time, dim) of member 0, or (member, trial, time, dim); NaN where a bin is
        missing. Starts of the search are drawn from them (of member 0 where there is no other).
    signs : (hidden,) sign of each unit's outgoing weights under Dale's law, else None.
    n_starts : of the search per member; fewer, down to 8, where dim > 96.
    n_permutations : of the weights per member; fewer, down to 39, where hidden > 223.
    bin_width : s per step.
    label : (trial,) or (trial, time), of the states.

    Returns
    -------
    Dataset with dims member, point, dim, hidden, trial, time, component; members with fewer points than
    others are padded with NaN. Principal components are those of member 0, and only its fixed points are
    projected. `distance` is to the nearest of a member's visited states, in units of their rms spread.
    """
    if not flows or (weights is not None and len(flows) != len(weights)):
        raise CortseqError(
            f"one weight matrix per member is needed: {len(flows)} flows, {len(weights or ())} matrices"
        )
    visited = _by_member(np.asarray(states, dtype=np.float64), len(flows))
    n_starts = min(n_starts, max(8, int(_START_BUDGET / visited[0].shape[-1] ** 2)))
    if weights is not None:
        affordable = _PERMUTATION_BUDGET // weights[0].shape[-1] ** 2
        n_permutations = min(n_permutations, max(_FEWEST_PERMUTATIONS, affordable))
    starts = [draw(s, n_starts, seed + member) for member, s in enumerate(visited)]
    points = [
        fixed_points(flow, s, seed=seed, visited=finite(every))
        for flow, s, every in zip(flows, starts, visited, strict=True)
    ]
    found = {
        **_projections(visited[0], points),
        **_points(points),
        **_nearest(points, bin_width),
        **({} if weights is None else _weights(weights, signs, n_permutations, seed)),
    }
    if label is not None:
        label = np.asarray(label)
        found["label"] = (("trial", "time")[: label.ndim], label)
    attrs = {
        "map": _MAPS[getattr(flows[0], "map", "closed")],
        "bin_width": float(bin_width),
        "label_name": label_name if label is not None else "",
        "n_points": [len(p.states) for p in points],
        "n_slow_points": [len(p.slow_states) for p in points],
        "n_converged": [p.n_converged for p in points],
        "n_starts": [p.n_starts for p in points],
        "typical_speed": [p.typical_speed for p in points],
        "state_spread": [rms_spread(s) for s in starts],
        "n_permutations": n_permutations,
        "outlier_null": "profile",
        "seed": seed,
    }
    return xr.Dataset(found, attrs=attrs)


def _by_member(states: np.ndarray, members: int) -> list[np.ndarray]:
    """Return visited states (trial, time, dim) of every member."""
    if states.ndim == 3:
        return [states] * members
    if states.ndim != 4 or len(states) != members:
        raise CortseqError("states are (trial, time, dim) or (member, trial, time, dim)", value=states.shape)
    return list(states)


def finite(states: np.ndarray) -> np.ndarray:
    """Return the states (n, dim) of (trial, time, dim) without NaN."""
    flat = states.reshape(-1, states.shape[-1])
    flat = flat[np.isfinite(flat).all(1)]
    if not len(flat):
        raise CortseqError("no visited state without NaN", key="states")
    return np.asarray(flat)


def draw(states: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw up to n visited states, each once.

    Parameters
    ----------
    states : (trial, time, dim), NaN where a bin is missing.

    Returns
    -------
    (n, dim), fewer where fewer were visited.
    """
    flat = finite(states)
    rng = np.random.default_rng(seed)
    return np.asarray(flat[np.sort(rng.choice(len(flat), min(n, len(flat)), replace=False))])


def _projections(states: np.ndarray, points: list[FixedPoints]) -> dict[str, Any]:
    """Return principal components of the states of member 0, and its states and fixed points in them."""
    flat = states.reshape(-1, states.shape[-1])
    flat = flat[np.isfinite(flat).all(1)]
    mean = flat.mean(0)
    _, values, axes = np.linalg.svd(flat - mean, full_matrices=False)
    n = min(_COMPONENTS, len(values))
    axes = axes[:n]
    # the sign of an axis is arbitrary: its largest loading is made positive
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    variance = values**2
    own = (points[0].states - mean) @ axes.T
    projected = _padded([own] + [np.empty((0, n))] * (len(points) - 1), _n_points(points))
    return {
        "states": (("trial", "time", "dim"), states[:MAX_TRIALS]),
        "mean": ("dim", mean),
        "components": (("component", "dim"), axes),
        "explained": ("component", variance[:n] / max(variance.sum(), np.finfo(float).tiny)),
        "projected": (("trial", "time", "component"), (states[:MAX_TRIALS] - mean) @ axes.T),
        "fixed_points_projected": (("member", "point", "component"), projected),
    }


def _points(points: list[FixedPoints]) -> dict[str, Any]:
    """Return fixed points of all members, padded with NaN."""
    n = _n_points(points)
    eigenvalues, slow = [p.eigenvalues for p in points], [slow_points(p) for p in points]
    per_point = ("member", "point")
    return {
        "fixed_points": ((*per_point, "dim"), _padded([p.states for p in points], n)),
        "slow_points": (("member", "slow", "dim"), _padded(slow, max(1, *map(len, slow)))),
        "saturation": (("member", "start"), _padded([p.saturation() for p in points], points[0].n_starts)),
        "speed": (per_point, _padded([p.speeds for p in points], n)),
        "stable": (per_point, _padded([p.stable.astype(float) for p in points], n)),
        "distance": (per_point, _padded([p.distances for p in points], n)),
        "jacobian_eigenvalues_real": ((*per_point, "dim"), _padded([e.real for e in eigenvalues], n)),
        "jacobian_eigenvalues_imag": ((*per_point, "dim"), _padded([e.imag for e in eigenvalues], n)),
    }


def _nearest(points: list[FixedPoints], bin_width: float) -> dict[str, Any]:
    """Return the Jacobian at each member's fixed point nearest to the data: spectrum and non-normality.

    `numerical_abscissa` is that of (J - 1) / bin_width: the rate at which the fastest perturbation grows at
    first.
    """
    dim = points[0].states.shape[-1]
    jacobians = np.full((len(points), dim, dim), np.nan)
    values, rows = np.full((len(points), dim), np.nan, complex), np.full((len(points), 4), np.nan)
    for member, p in enumerate(points):
        if len(p.states):
            at = p.distances.argmin()
            values[member], a = p.eigenvalues[at], p.jacobians[at]
            jacobians[member] = a
            abscissa = numerical_abscissa((a - np.eye(dim)) / bin_width)
            rows[member] = np.abs(values[member, 0]), henrici(a), abscissa, _peak(a)
    names = ("nearest_radius", "henrici", "numerical_abscissa", "transient_peak")
    return {
        "nearest_jacobian": (("member", "dim", "dim_from"), jacobians),
        "nearest_eigenvalues_real": (("member", "dim"), values.real),
        "nearest_eigenvalues_imag": (("member", "dim"), values.imag),
        **{name: ("member", column) for name, column in zip(names, rows.T, strict=True)},
    }


def _peak(jacobian: np.ndarray) -> float:
    """Return largest growth on the way; NaN of large ones, and of integrators that nothing brings back."""
    try:
        return transient_growth(jacobian).peak if len(jacobian) <= _LARGEST else float("nan")
    except CortseqError:
        return float("nan")


def _n_points(points: list[FixedPoints]) -> int:
    return max(1, *(len(p.states) for p in points))


def _padded(arrays: list[np.ndarray], n: int) -> np.ndarray:
    """Return arrays (m, ...) of unequal m as one (len(arrays), n, ...), NaN where there is nothing."""
    out = np.full((len(arrays), n, *arrays[0].shape[1:]), np.nan)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out


def _weights(weights: Sequence[np.ndarray], signs: Any, n_permutations: int, seed: int) -> dict[str, Any]:
    """Return recurrent weights, their spectra, bulk radii and the p-value of every eigenvalue."""
    matrices = np.stack([np.asarray(w, dtype=np.float64) for w in weights])
    found = [
        outliers(w, signs, n_permutations, seed + member, null="profile") for member, w in enumerate(matrices)
    ]
    variables: dict[str, Any] = {
        "weights": (("member", "hidden", "hidden_in"), matrices),
        "weight_eigenvalues_real": (("member", "hidden"), np.stack([f.eigenvalues.real for f in found])),
        "weight_eigenvalues_imag": (("member", "hidden"), np.stack([f.eigenvalues.imag for f in found])),
        "bulk_radius": ("member", np.array([f.bulk_radius for f in found])),
        "outlier_p": (("member", "hidden"), np.stack([f.p_values for f in found])),
    }
    if signs is not None:
        variables["signs"] = ("hidden", np.asarray(signs, dtype=np.float64))
    return variables
