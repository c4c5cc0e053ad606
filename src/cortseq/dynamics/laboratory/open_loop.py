"""Analyses of the network under its recorded input.

Fixed points per condition, echo state, memory, dimension, seeds.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from cortseq._lazy import xr
from cortseq.data import evenly
from cortseq.dynamics import analyse, decoding, gradients, lipschitz, similarity
from cortseq.dynamics.dimension import participation_ratio
from cortseq.dynamics.echo_state import echo_state_of_fit
from cortseq.dynamics.fixed_points import fixed_points
from cortseq.dynamics.laboratory.subject import CONDITIONS, Subject, leave_out

_DRIVEN_TRIALS, _DRIVEN_BINS = 16, 1500  # at most, of the echo-state test: its steps wait for each other
_JACOBIAN_BUDGET = 4e9  # trials x lags x dim^3 of the gradients: reservoirs would take minutes
_DECODED_BINS = 4000, 40_000  # that a decoder of the past is fitted to: fewest, most
_DECODER_BUDGET = 4e9  # bins x dim^2: reservoirs would take minutes


def conditions(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find fixed points of the open loop under the mean input of each condition.

    Observation and recorded inputs are held at each condition's mean, or at each frequent symbol.
    """
    held = _conditions(subject)
    if not held:
        return {}, {}
    counts, radius = (np.full((subject.members, len(held)), np.nan) for _ in range(2))
    nearest = np.full((*counts.shape, subject.states.shape[-1]), np.nan)
    n_starts = max(4, min(16, 2000 // nearest.shape[-1]))
    for member in range(subject.members):
        starts, visited = subject.visited(member, n_starts), analyse.finite(subject.states[member])
        for c, (y, inputs) in enumerate(held.values()):
            flow = subject.fit.flow(member, "open", input=y, inputs=inputs)
            points = fixed_points(flow, starts, seed=subject.seed, visited=visited)
            counts[member, c] = len(points.states)
            if len(points.states):
                near = points.distances.argmin()
                nearest[member, c], radius[member, c] = (
                    points.states[near],
                    np.abs(points.eigenvalues[near, 0]),
                )
    shown = (nearest[0] - found["mean"].values) @ found["components"].values.T
    return {
        "condition_points": (("member", "condition", "dim"), nearest),
        "condition_projected": (("condition", "component"), shown),
        "condition_count": (("member", "condition"), counts),
        "condition_radius": (("member", "condition"), radius),
    }, {"conditions": list(held)}


def _conditions(subject: Subject) -> dict[str, tuple[Any, ...]]:
    """Return observation and recorded inputs (None without) to hold, by condition.

    Means over the bins of each value or quarter of the label.
    """
    data = subject.fit.model.given(subject.recording, subject.test)

    def inputs(at: np.ndarray) -> Any:
        """Return the mean of each input, over all bins where a condition has none."""
        if data.inputs is None:
            return None
        mean = np.nanmean(data.inputs[data.valid], 0)
        known = np.isfinite(data.inputs[at]).any(0)
        return np.where(known, np.nanmean(np.where(known, data.inputs[at], 0.0), 0), mean)

    if data.kind.has_labels:
        symbols, n = np.unique(data.y[data.valid], return_counts=True)
        common = np.sort(symbols[np.argsort(-n, kind="stable")[:CONDITIONS]])
        names = subject.recording.attrs.get("labels") or [str(s) for s in range(symbols.max() + 1)]
        return {str(names[s]): (s, inputs(data.valid & (data.y == s))) for s in common}
    if subject.label is None:
        return {}
    label = subject.label[subject.test]
    label = np.broadcast_to(label[:, None] if label.ndim == 1 else label, data.valid.shape)
    return {name: (np.nanmean(data.y[at], 0), inputs(at)) for name, at in _groups(label, data.valid).items()}


def _groups(label: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """Bins by the value of a label, the most frequent ones of many names; of many numbers by its quarters."""
    values, n = np.unique(label[valid], return_counts=True)
    if label.dtype.kind not in "iuf" or len(values) <= 2 * CONDITIONS:
        frequent = np.sort(np.argsort(-n, kind="stable")[: 2 * CONDITIONS])
        names = [f"{v:g}" if label.dtype.kind == "f" else str(v) for v in values[frequent]]
        found = {name: valid & (label == v) for name, v in zip(names, values[frequent], strict=True)}
    else:
        edges = np.nanquantile(label[valid].astype(float), np.linspace(0, 1, CONDITIONS + 1))
        at = np.clip(np.searchsorted(edges, label.astype(float), side="right") - 1, 0, CONDITIONS - 1)
        known = valid & np.isfinite(label.astype(float))
        found = {f"{edges[q]:.3g} to {edges[q + 1]:.3g}": known & (at == q) for q in range(CONDITIONS)}
    return {name: at for name, at in found.items() if at.any()}


def echo(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return whether 20 starts meet under the recorded input."""
    length = subject.recording["valid"].values[subject.test].sum(1).mean()
    trials = evenly(subject.test, int(np.clip(_DRIVEN_BINS / max(length, 1), 1, _DRIVEN_TRIALS)))
    tests = [
        echo_state_of_fit(subject.fit, subject.recording, member, trials, seed=subject.seed)
        for member in range(subject.members)
    ]
    return {
        "echo_holds": ("member", np.array([t.holds for t in tests])),
        "echo_distance": (("member", "step"), np.stack([t.distances for t in tests])),
    }, {}


def conditional(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the growth of small differences along each recorded trial, nats per bin."""
    growth = gradients.conditional_exponents(subject.fit, subject.recording, subject.test, subject.seed)
    return {"conditional_exponent": (("member", "trial"), growth)}, {}


def reach(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return norms of dh_t/dh_{t-k} against the lag k; of an LSTM the direct path beside them."""
    longest = int(subject.recording["valid"].values[subject.test].sum(1).max()) - 1
    lags = np.unique(np.round(np.geomspace(1, max(longest, 1), 14)).astype(int)).tolist()
    n = int(_JACOBIAN_BUDGET / (subject.states.shape[-1] ** 3 * lags[-1]))
    trials = evenly(subject.test, int(np.clip(n, 2, _DRIVEN_TRIALS)))
    at = ("member", "driven_trial", "lag")
    variables: dict[str, Any] = {
        "lag": ("lag", lags),
        "gradient_norm": (at, gradients.gradient_norms(subject.fit, subject.recording, lags, trials)),
    }
    if "forget" in subject.fit.model.gate_names:
        direct = gradients.forget_path_norms(subject.fit, subject.recording, lags, trials)
        variables["forget_path"] = (at, direct)
    horizon = gradients.gradient_reach(variables["gradient_norm"][1], lags)
    variables["gradient_slope"] = (at[:2], horizon.slope)
    variables["gradient_horizon"] = (at[:2], horizon.horizon)
    variables["vanishing"] = ("member", horizon.vanishing)
    variables["exploding"] = ("member", horizon.exploding)
    return variables, {}


def bound(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Lipschitz bound on the steps of a rate network; 0 violations are a theorem."""
    if not lipschitz.bounded(subject.fit):
        return {}, {}
    checked = lipschitz.lipschitz_bound(subject.fit, subject.recording, subject.test)
    return {
        "lipschitz_ratio": ("member", checked.ratio),
        "lipschitz_violations": ("member", checked.violations),
    }, {}


def past(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the share of the observation's variance at lag k that the state tells.

    On held-out trials; negative lags are bins to come.
    """
    valid = subject.recording["valid"].values
    bins = np.clip(_DECODER_BUDGET / subject.states.shape[-1] ** 2, *_DECODED_BINS)
    n = max(8, int(bins / max(valid[subject.train].sum(1).mean(), 1)))
    train = evenly(subject.train, n)
    trials = np.concatenate([train, subject.test])
    data = subject.fit._data(subject.recording, trials)
    y = data.kind.encoded(data.y, data.n_features)
    y = np.where(data.valid[..., None], y, np.nan)
    states = subject.fit.states(subject.recording, trials).values
    longest = int(data.valid.sum(1).min()) // 2
    lags = np.array([k for k in (-5, -2, -1, 0, 1, 2, 3, 5, 8, 13, 21) if abs(k) <= max(longest, 1)])
    roles = np.arange(len(train)), np.arange(len(train), len(trials))
    decode = partial(decoding.decode_past, targets=y, lags=lags.tolist(), train=roles[0], test=roles[1])
    r2 = np.stack([decode(s) for s in states])  # NaN: an observation that never varies in the test
    told = np.ma.masked_invalid(r2).mean(2).filled(np.nan)
    return {"decoded_lag": ("decoded_lag", lags), "decoded": (("member", "decoded_lag"), told)}, {}


def dimension(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return participation ratio of the driven states.

    They are exact functions of the recording: there is no noise to take off.
    """
    left_out = [_ratios(subject.states[:, trials]) for trials in subject.left_out()]
    return {"participation_ratio": ("member", _ratios(subject.states))} | (
        {"participation_ratio_left_out": (("group", "member"), np.stack(left_out))} if left_out else {}
    ), {}


def _ratios(states: np.ndarray) -> np.ndarray:
    flat = (s.reshape(-1, s.shape[-1]) for s in states)
    return np.array([participation_ratio(np.cov(f[np.isfinite(f).all(1)], rowvar=False)) for f in flat])


def seeds(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure how alike the members are.

    How alike the members are: Wasserstein distance of their Jacobian spectra at the point nearest to the
    data, and R^2 of a linear map between their states on held-out trials. The ruler for any other comparison.
    """
    m = subject.members
    if m < 2:
        return {}, {}
    apart = np.full((m, m), np.nan)
    eigenvalues = found["nearest_eigenvalues_real"].values + 1j * found["nearest_eigenvalues_imag"].values
    for a in range(m):
        for b in range(a):
            if np.isfinite(eigenvalues[[a, b]]).all():
                apart[a, b] = apart[b, a] = similarity.spectral_distance(eigenvalues[a], eigenvalues[b])
    pair = ("member", "other")
    return {"spectral_distance": (pair, apart)} | _told_by_others(subject), {}


def _told_by_others(subject: Subject) -> dict[str, Any]:
    """R^2 of the states of every member from those of every other, on the second half of the trials."""
    m, half = subject.members, len(subject.test) // 2
    if not half:
        return {}
    learned, judged = np.arange(half), np.arange(half, len(subject.test))
    kept = [judged[trials] for trials in leave_out(len(judged))]
    r2, left_out = np.full((m, m), np.nan), np.full((len(kept), m, m), np.nan)
    for a in range(m):
        for b in range(m):
            if a != b:
                across = similarity.linear_map(subject.states[a], subject.states[b], learned, judged)
                r2[a, b] = across.r2
                guess = across(subject.states[a])
                for g, trials in enumerate(kept):
                    left_out[g, a, b] = _pooled(subject.states[b][trials], guess[trials])
    found: dict[str, Any] = {"states_r2": (("member", "other"), r2)}
    if kept:
        mean = np.ma.masked_invalid(left_out).mean(2).filled(np.nan)  # over the others
        found["states_r2_left_out"] = (("states_group", "member"), mean)
    return found


def _pooled(truth: np.ndarray, guess: np.ndarray) -> float:
    known = np.isfinite(truth).all(-1) & np.isfinite(guess).all(-1)
    return similarity.explained(truth[known], guess[known])[0]


def common_plane(subject: Subject, found: xr.Dataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """Project states and fixed points of every member onto one plane.

    States and fixed points of every member in one plane, that of the first components of member 0: the linear
    map from a member's states to those of member 0 there, fitted to the same trials, takes its points along.
    """
    plane = found["projected"].values[..., :2]
    every = np.arange(len(subject.test))
    states, points = [], []
    for member in range(subject.members):
        of_points = found["fixed_points"].values[member]
        if member == 0:
            states.append(plane)
            points.append(found["fixed_points_projected"].values[0, :, :2])
            continue
        across = similarity.linear_map(subject.states[member], plane, every, every)
        states.append(across(subject.states[member]))
        points.append(across(of_points))
    return {
        "plane_states": (("member", "trial", "time", "axis"), np.stack(states)),
        "plane_points": (("member", "point", "axis"), np.stack(points)),
    }, {}
