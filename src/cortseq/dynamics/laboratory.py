"""Every analysis of one fitted variant as one Dataset: what figures of dynamics and the table of verdicts stand on.

An analysis is a function of a Subject that returns variables with a leading `member` axis, and nothing where it
does not apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from cortseq._lazy import lazy
from cortseq.dynamics import analyse, decoding, gradients, lipschitz, similarity
from cortseq.dynamics.attractors import line_attractor
from cortseq.dynamics.balance import balance_of_fit
from cortseq.dynamics.chaos import chaos_verdict, twin_divergence
from cortseq.dynamics.dimension import participation_ratio
from cortseq.dynamics.echo_state import echo_state_of_fit
from cortseq.dynamics.fixed_points import fixed_points, rms_spread
from cortseq.dynamics.flow import batched
from cortseq.dynamics.lyapunov import lyapunov_spectrum
from cortseq.errors import CortseqError

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

_EXPONENTS = 8
_STEPS, _WARM_UP = 1000, 300  # of the exponents of a closed loop
_STARTS = 10  # of the verdict on chaos
_TWINS, _TWIN_STEPS = 8, 60
SAME_POINT = (
    0.15  # rms spreads of the expected observation, up to which two members have the same fixed point
)
_DRIVEN_TRIALS = 16  # of the echo-state test
_JACOBIAN_BUDGET = 4e9  # trials x lags x dim^3 of the gradients: reservoirs would take minutes
_DECODED_BINS = 4000, 40_000  # that a decoder of the past is fitted to: fewest, most
_DECODER_BUDGET = 4e9  # bins x dim^2: reservoirs would take minutes
_GRID = 15
_CONDITIONS = 4


@dataclass(frozen=True)
class Subject:
    """A recurrent fit and the trials it is examined on: decoders learn on `train`, all else sees `test`.

    label : (trial,) or (trial, time) covariate of all trials of the recording, None without one.
    """

    fit: Any
    recording: xr.Dataset
    train: np.ndarray
    test: np.ndarray
    label: np.ndarray | None = None
    seed: int = 0

    @property
    def members(self) -> int:
        return self.fit.card["members"]

    @cached_property
    def states(self) -> np.ndarray:
        """Of the test trials before each bin, (member, trial, time, dim), NaN where a bin is missing."""
        valid = self.recording["valid"].values[self.test]
        return np.where(valid[..., None], self.fit.states(self.recording, self.test), np.nan)

    def visited(self, member: int, n: int) -> np.ndarray:
        """Up to n visited states, (n, dim)."""
        return analyse.draw(self.states[member], n, self.seed + member)


def examine(
    fit, recording: xr.Dataset, train, test, label_name: str = "", seed: int = 0, say=print
) -> xr.Dataset:
    """All analyses of a recurrent Fit.

    Parameters
    ----------
    recording : the Recording it was fitted to. train, test : positions of trials; 64 of `test` are used. label_name : covariate of the recording that makes conditions ("" or unknown: none). say : progress.
    """
    test = analyse.spread(test, analyse.MAX_TRIALS)
    label = recording[label_name].values if label_name in recording.coords else None
    subject = Subject(fit, recording, np.asarray(train, int), test, label, seed)
    found = analyse.dissect_fit(fit, recording, test, label_name, seed, n_starts=32)
    for analysis in ANALYSES:
        say(f"dynamics: {analysis.__name__}")
        variables, attrs = analysis(subject, found)
        found = found.assign(variables).assign_attrs(attrs)
    return found


def vector_field(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """The closed-loop velocity of member 0 in the plane of its first two components, through the mean state."""
    axes, mean = found["components"].values[:2], found["mean"].values
    if len(axes) < 2:
        return {}, {}
    x = found["projected"].values[..., :2].reshape(-1, 2)
    low, high = np.nanmin(x, 0), np.nanmax(x, 0)
    grid = np.stack(
        np.meshgrid(*np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), _GRID).T), -1
    )
    at = torch.from_numpy(mean + grid.reshape(-1, 2) @ axes)
    with torch.no_grad():
        moved = (batched(subject.fit.flow(0, "closed"))(at) - at).numpy() @ axes.T
    plane = ("grid_y", "grid_x", "axis")
    return {"grid": (plane, grid), "velocity": (plane, moved.reshape(grid.shape))}, {}


def lines(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Whether the slow points of each member make a line attractor."""
    holds, reasons = [], []
    for member in range(subject.members):
        points = found["slow_points"].values[member]
        verdict = line_attractor(subject.fit.flow(member, "closed"), points[np.isfinite(points).all(1)])
        holds.append(verdict.holds)
        reasons.append(("ring" if verdict.closed else "line") if verdict.holds else verdict.reason)
    return {"line_attractor": ("member", np.array(holds))}, {"line_attractor_reasons": reasons}


def conditions(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Fixed points of the open loop with the input held at each condition's mean, or at each frequent symbol."""
    names, inputs = _conditions(subject)
    if not names:
        return {}, {}
    counts, radius = (np.full((subject.members, len(names)), np.nan) for _ in range(2))
    nearest = np.full((*counts.shape, subject.states.shape[-1]), np.nan)
    n_starts = max(4, min(16, 2000 // nearest.shape[-1]))
    for member in range(subject.members):
        starts = subject.visited(member, n_starts)
        for c, y in enumerate(inputs):
            points = fixed_points(subject.fit.flow(member, "open", input=y), starts, seed=subject.seed)
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
    }, {"conditions": names}


def _conditions(subject: Subject) -> tuple[list[str], list]:
    """Names and held inputs: the mean observation of the bins of each value or quarter of the label."""
    data = subject.fit._data(subject.recording, subject.test)
    if data.track == "symbols":
        symbols, n = np.unique(data.y[data.valid], return_counts=True)
        common = np.sort(symbols[np.argsort(-n, kind="stable")[:_CONDITIONS]])
        names = subject.recording.attrs.get("labels") or [str(s) for s in range(symbols.max() + 1)]
        return [str(names[s]) for s in common], list(common)
    if subject.label is None:
        return [], []
    label = subject.label[subject.test]
    label = np.broadcast_to(label[:, None] if label.ndim == 1 else label, data.valid.shape)
    groups = _groups(label, data.valid)
    return list(groups), [np.nanmean(data.y[at], 0) for at in groups.values()]


def _groups(label: np.ndarray, valid: np.ndarray) -> dict[str, np.ndarray]:
    """Bins by the value of a label of few values, or by its quarters."""
    values = np.unique(label[valid])
    if label.dtype.kind not in "f" and len(values) <= 2 * _CONDITIONS:
        found = {str(v): valid & (label == v) for v in values}
    else:
        edges = np.nanquantile(label[valid].astype(float), np.linspace(0, 1, _CONDITIONS + 1))
        at = np.clip(np.searchsorted(edges, label.astype(float), side="right") - 1, 0, _CONDITIONS - 1)
        known = valid & np.isfinite(label.astype(float))
        found = {f"{edges[q]:.3g} to {edges[q + 1]:.3g}": known & (at == q) for q in range(_CONDITIONS)}
    return {name: at for name, at in found.items() if at.any()}


def exponents(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Leading Lyapunov exponents of the closed loop, nats per bin, and whether it is chaotic."""
    k = min(_EXPONENTS, subject.states.shape[-1])
    flows = [subject.fit.flow(member, "closed") for member in range(subject.members)]
    starts = np.stack([subject.visited(member, _STARTS) for member in range(subject.members)])
    try:
        found_spectra = [
            lyapunov_spectrum(flow, start[0], k, _STEPS, _WARM_UP, subject.seed)
            for flow, start in zip(flows, starts, strict=True)
        ]
        verdict = chaos_verdict(flows, starts, _STEPS, _WARM_UP, subject.seed)
    except CortseqError as error:  # a closed loop that runs away, such as a linear read-out fed back
        return {}, {"chaotic": "no verdict", "chaotic_reason": str(error).splitlines()[0]}
    per = ("member", "exponent")
    return {
        "lyapunov": (per, np.stack([s.exponents for s in found_spectra])),
        "lyapunov_error": (per, np.stack([s.standard_errors for s in found_spectra])),
        "leading_exponents": (("member", "chaos_start"), verdict.exponents),
        "kaplan_yorke": ("member", np.array([s.kaplan_yorke_dimension for s in found_spectra])),
        "entropy": ("member", np.array([s.entropy for s in found_spectra])),
    }, {
        "chaotic": {True: "chaotic", False: "not chaotic", None: "no verdict"}[verdict.chaotic],
        "chaotic_reason": verdict.reason,
    }


def twins(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Distances of twins that begin 1e-6 apart, in the closed loop and where both draw with the same noise."""
    apart, slopes = {}, {}
    for map in ("closed", "sampled"):
        each = []
        for member in range(subject.members):
            flow = partial(_noisy, subject.fit, member, map)
            starts = subject.visited(member, _TWINS)
            each.append(twin_divergence(flow, starts, n_steps=_TWIN_STEPS, seed=subject.seed))
        apart[f"{map}_twins"] = ("member", "twin", "twin_step"), np.stack([e.distances for e in each])
        slopes[f"{map}_twin_slope"] = "member", np.array([e.slope for e in each])
    return apart | slopes, {}


def _noisy(fit, member: int, map: str, seed: int):
    return fit.flow(member, map, seed=seed)


def echo(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Whether 20 starts meet under the recorded input, and the growth of small differences along each trial."""
    trials = analyse.spread(subject.test, _DRIVEN_TRIALS)
    tests = [
        echo_state_of_fit(subject.fit, subject.recording, member, trials, seed=subject.seed)
        for member in range(subject.members)
    ]
    return {
        "echo_holds": ("member", np.array([t.holds for t in tests])),
        "echo_distance": (("member", "step"), np.stack([t.distances for t in tests])),
        "conditional_exponent": (
            ("member", "trial"),
            gradients.conditional_exponents(subject.fit, subject.recording, subject.test, subject.seed),
        ),
    }, {}


def reach(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Norms of dh_t/dh_{t-k} against the lag k; of an LSTM the direct path beside them."""
    longest = int(subject.recording["valid"].values[subject.test].sum(1).max()) - 1
    lags = np.unique(np.round(np.geomspace(1, max(longest, 1), 14)).astype(int)).tolist()
    n = int(_JACOBIAN_BUDGET / (subject.states.shape[-1] ** 3 * lags[-1]))
    trials = analyse.spread(subject.test, int(np.clip(n, 2, _DRIVEN_TRIALS)))
    at = ("member", "driven_trial", "lag")
    variables: dict = {
        "lag": ("lag", lags),
        "gradient_norm": (at, gradients.gradient_norms(subject.fit, subject.recording, lags, trials)),
    }
    if subject.fit.model.family == "lstm":
        direct = gradients.forget_path_norms(subject.fit, subject.recording, lags, trials)
        variables["forget_path"] = (at, direct)
    horizon = gradients.gradient_reach(variables["gradient_norm"][1], lags)
    variables["gradient_slope"] = (at[:2], horizon.slope)
    variables["gradient_horizon"] = (at[:2], horizon.horizon)
    return variables, {}


def bound(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """The Lipschitz bound on the steps of a rate network; 0 violations are a theorem."""
    if subject.fit.model.family not in lipschitz.FAMILIES:
        return {}, {}
    checked = lipschitz.lipschitz_bound(subject.fit, subject.recording, subject.test)
    return {
        "lipschitz_ratio": ("member", checked.ratio),
        "lipschitz_violations": ("member", checked.violations),
    }, {}


def past(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Share of the variance of the observation at lag k (negative: to come) that the state tells, held out."""
    valid = subject.recording["valid"].values
    bins = np.clip(_DECODER_BUDGET / subject.states.shape[-1] ** 2, *_DECODED_BINS)
    n = max(8, int(bins / max(valid[subject.train].sum(1).mean(), 1)))
    train = analyse.spread(subject.train, n)
    trials = np.concatenate([train, subject.test])
    data = subject.fit._data(subject.recording, trials)
    y = np.eye(data.n_features)[data.y] if data.track == "symbols" else data.y
    y = np.where(data.valid[..., None], y, np.nan)
    states = np.where(data.valid[..., None], subject.fit.states(subject.recording, trials), np.nan)
    longest = int(data.valid.sum(1).min()) // 2
    lags = np.array([k for k in (-5, -2, -1, 0, 1, 2, 3, 5, 8, 13, 21) if abs(k) <= max(longest, 1)])
    roles = np.arange(len(train)), np.arange(len(train), len(trials))
    decode = partial(decoding.decode_past, targets=y, lags=lags.tolist(), train=roles[0], test=roles[1])
    told = np.stack([np.nanmean(decode(s), 1) for s in states])
    return {"decoded_lag": ("decoded_lag", lags), "decoded": (("member", "decoded_lag"), told)}, {}


def dimension(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Participation ratio of the driven states."""
    flat = [s.reshape(-1, s.shape[-1]) for s in subject.states]
    ratios = [participation_ratio(np.cov(f[np.isfinite(f).all(1)], rowvar=False)) for f in flat]
    return {"participation_ratio": ("member", np.array(ratios))}, {}


def currents(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """Excitatory and inhibitory currents of a network under Dale's law: mean over trials and units, and balance."""
    if "signs" not in found:
        return {}, {}
    each = [
        balance_of_fit(subject.fit, subject.recording, member, subject.test)
        for member in range(subject.members)
    ]
    over = partial(np.nanmean, axis=(0, 2))
    with np.errstate(invalid="ignore"):
        return {
            "excitation": (("member", "time"), np.stack([over(b.excitatory) for b in each])),
            "inhibition": (("member", "time"), np.stack([over(b.inhibitory) for b in each])),
            "balance_index": (("member", "hidden"), np.stack([b.index for b in each])),
            "tracking_lag": (("member", "hidden"), np.stack([b.lag for b in each])),
        }, {}


def release(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """u, x and the release u x of plastic synapses through the trial; a cue read from rates and from u x."""
    if subject.fit.model.family != "stp":
        return {}, {}
    n = subject.fit.model.hidden  # a skip adds the last bin to (h, u, x)
    u, x = subject.states[..., n : 2 * n], subject.states[..., 2 * n : 3 * n]
    over = partial(np.nanmean, axis=(1, 3))
    spread = np.nanquantile(np.nanmean(u * x, 1), [0.1, 0.5, 0.9], axis=-1)
    variables = {
        "use": (("member", "time"), over(u)),
        "resource": (("member", "time"), over(x)),
        "efficacy": (("quantile", "member", "time"), spread),
    }
    cue = _cue(subject)
    if cue is not None:
        told = decoding.silent_memory(subject.fit, subject.recording, cue, subject.train, subject.test)
        variables["cue_from_rates"] = (("member", "time"), told.rates)
        variables["cue_from_efficacy"] = (("member", "time"), told.efficacy)
    return variables, {}


def _cue(subject: Subject) -> np.ndarray | None:
    """A label of the trial with two to four values; a number is cut at its median."""
    label = subject.label
    if label is None or label.ndim != 1:
        return None
    if label.dtype.kind == "f" or len(np.unique(label)) > _CONDITIONS:
        if label.dtype.kind not in "iuf":
            return None
        label = label > np.nanmedian(label[subject.train])
    return label if len(np.unique(label[subject.test])) > 1 else None


def seeds(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """How alike the members are: Wasserstein distance of their Jacobian spectra at the point nearest to the
    data, and R^2 of a linear map between their states on held-out trials. The ruler for any other comparison."""
    m = subject.members
    if m < 2:
        return {}, {}
    apart, r2 = np.full((m, m), np.nan), np.full((m, m), np.nan)
    half = len(subject.test) // 2
    roles = np.arange(half), np.arange(half, len(subject.test))
    eigenvalues = found["nearest_eigenvalues_real"].values + 1j * found["nearest_eigenvalues_imag"].values
    for a in range(m):
        for b in range(m):
            if a != b and np.isfinite(eigenvalues[[a, b]]).all():
                apart[a, b] = similarity.spectral_distance(eigenvalues[a], eigenvalues[b])
            if a != b and half:
                r2[a, b] = similarity.linear_map(subject.states[a], subject.states[b], *roles).r2
    pair = ("member", "other")
    return {"spectral_distance": (pair, apart), "states_r2": (pair, r2)}, {}


def shared(subject: Subject, found: xr.Dataset) -> tuple[dict, dict]:
    """For each fixed point the share of the other members that have it: a point where they expect the same
    observation, which is the space that members share."""
    m, points = subject.members, found["fixed_points"].values
    if m < 2:
        return {}, {}
    share = np.where(np.isfinite(points).all(-1), 0.0, np.nan)
    there = [subject.fit.expected(p[np.isfinite(p).all(1)], i) for i, p in enumerate(points)]
    spread = np.mean([rms_spread(subject.fit.expected(subject.visited(i, 500), i)) for i in range(m)])
    for a in range(m):
        for b in range(m):
            if a != b and len(there[a]) and len(there[b]):
                same = similarity.match_fixed_points(there[b], there[a], SAME_POINT, float(spread))
                share[a, same.pairs[:, 1]] += 1 / (m - 1)
    return {"shared": (found["speed"].dims, share)}, {}


ANALYSES = (
    vector_field, lines, conditions, exponents, twins, echo, reach, bound, past, dimension, currents, release,
    seeds, shared,
)  # fmt: skip
